"""What the kernel and its children take: sampled ten times a second, summed since the beginning.

Children's CPU time is counted in two ways, each of which can only be too low: what was seen of each live
child, and what the system adds to the kernel when it has waited for a child. The greater one is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tes_nb.collector.samplers.memory_ring import Cpu, Level, MemoryRing, Span
from tes_nb.collector.samplers.portable import default_reader
from tes_nb.collector.samplers.reading import ProcessReader, Times
from tes_nb.collector.samplers.shares import Member, ShareSampler
from tes_nb.model import HostFacts

PERIOD_S = 0.1
READS_A_TICK = 25
"""So many children are read on one tick; of more, the others keep their last values until their turn."""
_WAIT_FOR_PSS_S = 2.0
"""A new child counts into the PSS sum when its PSS is known, with its RSS if that takes longer."""
_GB_H = 1e9 * 3600


@dataclass(frozen=True, slots=True)
class Cost:
    """What was used since the track began: `s.cost()`. GB are 10⁹ bytes; children's memory is PSS."""

    wall_s: float
    cpu_s: float
    """Of the kernel."""
    children_cpu_s: float
    gb_h: float
    """Memory times time, of the kernel."""
    children_gb_h: float
    peak: int
    """The kernel's greatest RSS, bytes."""
    children_peak: int
    total_peak: int
    """The greatest sum of both PSS, bytes."""
    memory_limit: int
    peak_share: float
    """`total_peak` in parts of the memory limit."""
    cores_limit: float
    cpu_share: float
    """All CPU seconds in parts of what the limit would have allowed."""


@dataclass(slots=True)
class _Child:
    born: int
    first_seen: float
    cpu_s: float
    reaped_s: float
    rss: int


class MemoryTrack:
    """Samples one process tree. `sample` reads it and up to `READS_A_TICK` of its children."""

    def __init__(
        self,
        pid: int,
        shares: ShareSampler,
        *,
        reader: ProcessReader | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._pid = pid
        self._shares = shares
        self._reader = reader or default_reader()
        self._clock_ns = clock_ns
        self._ring = MemoryRing()
        self._children: dict[int, _Child] = {}
        self._turn = 0
        self._began_ns = self._last_ns = clock_ns()
        self._first = self._kernel = self._read(pid)
        self._live_at_start: float | None = None
        self._seen_s = self._told_s = 0.0
        self._byte_s = self._children_byte_s = 0.0
        self._peaks = Level(0, 0, 0, 0)
        self._total_peak = 0

    def between(self, start_ns: int, end_ns: int) -> Span | None:
        """Return peaks, means and CPU seconds in a stretch of monotonic time; `None` = nothing is known."""
        return self._ring.between(start_ns, end_ns)

    def sample(self, children: Iterable[int]) -> None:
        """Take a sample; `children` are the pids of all live descendants. Never raises."""
        now_ns = self._clock_ns()
        kernel = self._read(self._pid)
        if self._first is None or kernel is None or kernel.zombie or kernel.born != self._first.born:
            return  # the kernel is gone: what was used stays as it is
        self._kernel = kernel
        self._follow(list(children), now_ns / 1e9)
        level = self._level(kernel, now_ns / 1e9)
        self._add_up(level, now_ns)
        self._count_children_cpu(kernel)
        self._ring.add(now_ns, level, Cpu(kernel.cpu_s - self._first.cpu_s, self._told_s))

    def cost(self, host: HostFacts) -> Cost:
        """Return what was used so far, and its share of the limits."""
        wall_s = (self._last_ns - self._began_ns) / 1e9
        cpu_s = 0.0 if self._first is None or self._kernel is None else self._kernel.cpu_s - self._first.cpu_s
        allowed_s = wall_s * host.cores_limit
        return Cost(
            wall_s=wall_s,
            cpu_s=cpu_s,
            children_cpu_s=self._told_s,
            gb_h=self._byte_s / _GB_H,
            children_gb_h=self._children_byte_s / _GB_H,
            peak=self._peaks.kernel_rss,
            children_peak=self._peaks.children_pss,
            total_peak=self._total_peak,
            memory_limit=host.memory_limit,
            peak_share=self._total_peak / host.memory_limit if host.memory_limit else 0.0,
            cores_limit=host.cores_limit,
            cpu_share=(cpu_s + self._told_s) / allowed_s if allowed_s else 0.0,
        )

    def kernel_member(self) -> Member | None:
        """Return the observed process as the share sampler wants it; `None` = it was never seen."""
        kernel = self._kernel
        return None if kernel is None else Member(self._pid, kernel.born, kernel.rss)

    def _follow(self, pids: Sequence[int], now: float) -> None:
        """Read the new children and, in turns, the known ones."""
        present = set(pids)
        for gone in [pid for pid in self._children if pid not in present]:
            del self._children[gone]
        known = [pid for pid in pids if pid in self._children]
        start = self._turn % len(known) if known else 0
        self._turn = start + READS_A_TICK
        new = [pid for pid in pids if pid not in self._children]
        for pid in (new + known[start:] + known[:start])[:READS_A_TICK]:
            self._look_at(pid, now)

    def _look_at(self, pid: int, now: float) -> None:
        times = self._read(pid)
        if times is None:
            return  # ended: the registry will say so, its CPU time comes through the kernel's
        child = self._children.get(pid)
        if child is not None and child.born == times.born:
            self._seen_s += max(0.0, times.cpu_s - child.cpu_s)
            child.cpu_s, child.reaped_s, child.rss = times.cpu_s, times.reaped_s, times.rss
            return
        self._children[pid] = _Child(times.born, now, times.cpu_s, times.reaped_s, times.rss)
        if self._live_at_start is not None:  # it began under our eyes: all it used counts
            self._seen_s += times.cpu_s

    def _level(self, kernel: Times, now: float) -> Level:
        rss = pss = 0
        for pid, child in self._children.items():
            rss += child.rss
            estimate = self._shares.pss(pid, child.born, child.rss)
            if estimate is None:
                estimate = child.rss if now - child.first_seen > _WAIT_FOR_PSS_S else 0
            pss += estimate
        own = self._shares.pss(self._pid, kernel.born, kernel.rss)
        return Level(kernel.rss, rss, pss, kernel.rss if own is None else own)

    def _add_up(self, level: Level, now_ns: int) -> None:
        elapsed_s = (now_ns - self._last_ns) / 1e9
        self._last_ns = now_ns
        self._byte_s += level.kernel_rss * elapsed_s
        self._children_byte_s += level.children_pss * elapsed_s
        self._peaks = Level(*map(max, self._peaks, level))
        self._total_peak = max(self._total_peak, level.kernel_pss + level.children_pss)

    def _count_children_cpu(self, kernel: Times) -> None:
        live_s = sum(child.cpu_s + child.reaped_s for child in self._children.values())
        if self._live_at_start is None:
            self._live_at_start = live_s + kernel.reaped_s
        self._told_s = max(self._told_s, self._seen_s, live_s + kernel.reaped_s - self._live_at_start)

    def _read(self, pid: int) -> Times | None:
        try:
            return self._reader.times(pid)
        except OSError:
            return None
