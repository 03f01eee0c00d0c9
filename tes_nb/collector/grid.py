"""A fixed grid of ticks: no drift, and no burst of late ones after a suspension."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

logger = logging.getLogger("tes_nb.collector")


async def run_grid(period_s: float, tick: Callable[[], None]) -> None:
    """Call `tick` at start + k · period until cancelled.

    Each tick is planned from the start, never from the one before, so lateness does not add up. After a stall
    of more than a period the missed points are left out: nobody can measure the past. A tick that fails is
    logged; the next one comes.
    """
    loop = asyncio.get_running_loop()
    start = loop.time()
    count = 0
    while True:
        try:
            tick()
        except Exception:
            logger.exception("A message could not be built; the grid goes on")
        count = max(count + 1, int((loop.time() - start) / period_s))
        await asyncio.sleep(start + count * period_s - loop.time())
