"""Long work in an event loop, in slices short enough that nothing else is late."""

from __future__ import annotations

import asyncio
import time

SLICE_S = 0.0005


class Pace:
    """`await turn()` between two steps: it lets the loop do other things whenever a slice is used up."""

    def __init__(self, slice_s: float = SLICE_S) -> None:
        self._slice_s = slice_s
        self._until = time.perf_counter() + slice_s

    async def turn(self) -> None:
        """Go on at once, or after everything else that is ready."""
        if time.perf_counter() >= self._until:
            await asyncio.sleep(0)
            self._until = time.perf_counter() + self._slice_s
