"""PSS and USS of many processes: figures that cost a walk over all pages, so a thread fetches them, seldom.

A forked child shares most of its memory with its parent. Its RSS counts those pages again, PSS counts each
page once over all its users. What a page counts in one process depends on who else has it, so only readings of one
moment may be added: all are read together, when one is new, when one has changed, and every few seconds.
Between two readings a process is taken to have grown by pages of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from tes_nb.collector.samplers.process_reader import ProcessReader, Share

RENEW_S = 5.0
"""All are read again after this time, or later when reading costs much."""
RENEW_CHANGED_S = 1.0
"""The same when a process was given or gave back 1 MiB since."""
_CHANGED_PAGES = 256
CHANGED_BYTES = 2**20
_SOON_S = 0.2
_COST_FACTOR = 25
"""Reading may take one part in so many of the wall time: 4 % of one core at the most."""


class Member(NamedTuple):
    """A process to be read, with the RSS it has now, in bytes, and the pages it was given so far."""

    pid: int
    born: int
    rss: int
    faults: int = 0


class MemoryReading(NamedTuple):
    """What a process had at the moment of a reading, in bytes."""

    share: Share | None
    """`None` = it cannot be read; then RSS has to do."""
    rss: int
    own: int
    """Of these the pages that are no file's (Linux: RssAnon)."""
    faults: int


class ShareSampler:
    """Keeps the last known share of each process and says when the next reading is due."""

    def __init__(self, reader: ProcessReader) -> None:
        self._reader = reader
        self._readings: dict[tuple[int, int], MemoryReading] = {}
        self._read_at = float("-inf")
        self._not_before = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tes_nb pss")
        self._closing = False

    def reading(self, pid: int, born: int) -> MemoryReading | None:
        """Return the last reading of a process; `None` = it was not read yet."""
        return self._readings.get((pid, born))

    def uss(self, pid: int, born: int) -> int | None:
        """Return the USS at the last reading, in bytes; `None` = not read yet, or not readable."""
        reading = self._readings.get((pid, born))
        return None if reading is None or reading.share is None else reading.share.uss

    async def refresh(self, members: Iterable[Member], now: float) -> int:
        """Read all, if that is due at monotonic second `now`; return how many. Forgets the others."""
        present = {(member.pid, member.born): member for member in members}
        self._readings = {key: reading for key, reading in self._readings.items() if key in present}
        if not present or not self._is_due(present, now):
            return 0
        began = time.perf_counter()
        readings = await asyncio.get_running_loop().run_in_executor(
            self._thread, self._read, list(present.values())
        )
        cost = time.perf_counter() - began
        self._readings = readings
        self._read_at = now
        self._not_before = now + max(_SOON_S, cost * _COST_FACTOR)
        return len(readings)

    def _is_due(self, present: dict[tuple[int, int], Member], now: float) -> bool:
        if now < self._not_before:
            return False
        age = now - self._read_at
        if age >= RENEW_S or any(key not in self._readings for key in present):
            return True
        return age >= RENEW_CHANGED_S and any(map(self._has_changed, present.values()))

    def _has_changed(self, member: Member) -> bool:
        reading = self._readings[member.pid, member.born]
        moved = abs(member.rss - reading.rss) >= CHANGED_BYTES
        return moved or member.faults - reading.faults >= _CHANGED_PAGES

    def _read(self, members: list[Member]) -> dict[tuple[int, int], MemoryReading]:
        """In the thread: read each, with the RSS of that very moment."""
        readings: dict[tuple[int, int], MemoryReading] = {}
        for member in members:
            if self._closing:
                break
            rss = own = member.rss
            faults = member.faults
            try:
                times = self._reader.times(member.pid)
                if times is None or times.born != member.born or times.zombie:
                    continue
                memory = self._reader.memory(member.pid)
                share = self._reader.share(member.pid)
            except OSError:
                share = None
            else:
                rss, faults = times.rss, times.faults
                own = rss if memory is None else memory.heap_used
            readings[member.pid, member.born] = MemoryReading(share, rss, own, faults)
        return readings

    def close(self) -> None:
        """End the thread after the process it is reading."""
        self._closing = True
        self._thread.shutdown(wait=False, cancel_futures=True)
