"""Benchmarks: a table for people, JSON for programs, and the peer in the same run."""
