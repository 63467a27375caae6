"""Engines that run the model: one protocol, one file for each library."""
