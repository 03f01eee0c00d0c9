"""Rows in memory, session files, exports, HAR files."""
