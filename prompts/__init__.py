"""Prompt templates as data, and the one renderer. It knows listings and tags, no model and no tokenizer."""
