"""Measuring hangtag: data sets in one row format, metrics, and what they say about an answer."""
