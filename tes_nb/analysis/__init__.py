"""Odds, steam, and differences between recordings: frames in, frames out."""
