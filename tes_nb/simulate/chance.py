"""Randomness that a seed decides."""

from __future__ import annotations

from random import Random


def chance(*seed: object) -> Random:
    """Return a generator that gives the same numbers for the same words and numbers, on every machine."""
    return Random("/".join(map(str, seed)))  # noqa: S311 - a simulation wants repeatable numbers, not secrets
