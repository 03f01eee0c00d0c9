"""PSS and USS of many processes: figures that cost a walk over all pages, so a thread fetches them, seldom.

A forked child shares most of its memory with its parent. Its RSS counts those pages again, PSS counts each
page once over all its users. Between two readings a process is taken to hold the same share of its RSS.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from tes_nb.collector.samplers.process_reader import ProcessReader, Share

RENEW_S = 5.0
"""A process is read again after this time, or later when reading costs much."""
_SOON_S = 0.2
_COST_FACTOR = 25
"""Reading may take one part in so many of the wall time: 4 % of one core at the most."""
_AT_ONCE = 64


class Member(NamedTuple):
    """A process to be read, with the RSS it has now, in bytes."""

    pid: int
    born: int
    rss: int


class _Known(NamedTuple):
    share: Share | None
    """`None` = it cannot be read; then RSS has to do."""
    ratio: float
    at: float


class ShareSampler:
    """Keeps the last known share of each process and says when the next reading is due."""

    def __init__(self, reader: ProcessReader) -> None:
        self._reader = reader
        self._known: dict[tuple[int, int], _Known] = {}
        self._not_before = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tes_nb pss")
        self._closing = False

    def pss(self, pid: int, born: int, rss: int) -> int | None:
        """Return the estimated PSS in bytes of a process that has `rss` now; `None` = it was not read yet."""
        known = self._known.get((pid, born))
        return None if known is None else int(rss * known.ratio)

    def uss(self, pid: int, born: int) -> int | None:
        """Return the USS at the last reading, in bytes; `None` = not read yet, or not readable."""
        known = self._known.get((pid, born))
        return None if known is None or known.share is None else known.share.uss

    async def refresh(self, members: Iterable[Member], now: float) -> int:
        """Read those that are due at monotonic second `now`; return how many. Forgets the others."""
        present = {(member.pid, member.born): member for member in members}
        self._known = {key: known for key, known in self._known.items() if key in present}
        due = self._due(present, now)
        if not due:
            return 0
        began = time.perf_counter()
        found = await asyncio.get_running_loop().run_in_executor(self._thread, self._read, due)
        cost = time.perf_counter() - began
        for member, share in found:
            ratio = 1.0 if share is None or not member.rss else share.pss / member.rss
            self._known[(member.pid, member.born)] = _Known(share, min(ratio, 1.0), now)
        self._not_before = now + max(_SOON_S, cost * _COST_FACTOR)
        return len(found)

    def _due(self, present: dict[tuple[int, int], Member], now: float) -> list[Member]:
        """Return new ones first, then the oldest readings."""
        if now < self._not_before:
            return []
        stale = [key for key in present if key not in self._known]
        old = [key for key, known in self._known.items() if now - known.at >= RENEW_S]
        stale += sorted(old, key=lambda key: self._known[key].at)
        return [present[key] for key in stale[:_AT_ONCE]]

    def _read(self, members: list[Member]) -> list[tuple[Member, Share | None]]:
        """In the thread: read each, with the RSS of that very moment."""
        found: list[tuple[Member, Share | None]] = []
        for member in members:
            if self._closing:
                break
            try:
                times = self._reader.times(member.pid)
                if times is None or times.born != member.born or times.zombie:
                    continue
                share = self._reader.share(member.pid)
            except OSError:
                share = None
            else:
                member = member._replace(rss=times.rss)  # noqa: PLW2901 - the RSS that belongs to this PSS
            found.append((member, share))
        return found

    def close(self) -> None:
        """End the thread after the process it is reading."""
        self._closing = True
        self._thread.shutdown(wait=False, cancel_futures=True)
