"""Samplers of the observed process, its descendants, this machine and tmux."""
