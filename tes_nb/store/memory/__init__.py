"""Rows in memory: `tables.py` takes the messages of a feed, `frames.py` makes DataFrames of its rows."""
