"""How long to wait before the next try: exponential with equal jitter."""

from __future__ import annotations

from collections.abc import Callable

_MOST_DOUBLINGS = 32  # beyond every sensible cap; keeps 2**n small


class Backoff:
    """Delays that double from `first_s` up to `cap_s`; each is half fixed, half random.

    The fixed half keeps the number of tries bounded (full jitter can draw a row of zeros), the random half
    keeps many readers of one peer from coming back together.
    """

    def __init__(self, first_s: float, cap_s: float, random: Callable[[], float]) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._random = random
        self._doublings = 0

    @property
    def cap_s(self) -> float:
        """The longest delay, in seconds."""
        return self._cap_s

    def next(self) -> float:
        """Return the delay before the next try, in seconds, and lengthen the one after it."""
        whole = min(self._cap_s, self._first_s * 2.0**self._doublings)
        self._doublings = min(self._doublings + 1, _MOST_DOUBLINGS)
        return whole / 2 + self._random() * whole / 2

    def rest(self) -> float:
        """Return a delay of at least the cap, in seconds: for a peer that keeps saying no."""
        return self._cap_s * (1 + 0.1 * self._random())

    def reset(self) -> None:
        """Start again from the first delay."""
        self._doublings = 0
