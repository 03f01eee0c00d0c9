"""A fixed grid of ticks: no drift, and no burst of late ones after a suspension."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def run_grid(period_s: float, tick: Callable[[], None]) -> None:
    """Call `tick` at start + k · period until cancelled.

    Each tick is planned from the start, never from the one before, so lateness does not add up. After a stall
    of more than a period the missed points are left out: nobody can measure the past.
    """
    loop = asyncio.get_running_loop()
    start = loop.time()
    count = 0
    while True:
        tick()
        count = max(count + 1, int((loop.time() - start) / period_s))
        await asyncio.sleep(start + count * period_s - loop.time())
