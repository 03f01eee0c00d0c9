"""What the kernel and its children take: sampled ten times a second, summed since the beginning.

Children's CPU time is counted in two ways, each of which can only be too low: what was seen of each live
child, and what the system adds to the kernel when it has waited for a child. The greater one is told.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from tes_nb.collector.samplers.process_reader import ProcessReader, Times, default_reader
from tes_nb.collector.samplers.shares import Member, ShareSampler
from tes_nb.model import HostFacts

FINE = 6000
"""Ten minutes at ten samples a second."""
MERGED = 100
"""So many fine samples become one coarse one, which keeps their peaks and means."""
COARSE = 8640
"""A day at ten seconds each."""


class Level(NamedTuple):
    """Memory at one instant, in bytes."""

    kernel_rss: int
    children_rss: int
    """Sum over the children; a page that two of them share counts twice."""
    children_pss: int
    """The same with shared pages counted once, as far as PSS is known."""
    kernel_pss: int


class Cpu(NamedTuple):
    """CPU seconds since the track began."""

    kernel_s: float
    children_s: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One or several samples: `start_ns == end_ns` unless merged."""

    start_ns: int
    """Monotonic nanoseconds."""
    end_ns: int
    count: int
    peak: Level
    total: Level
    """The sum of the levels, for means."""
    cpu: Cpu
    """At `end_ns`."""


@dataclass(frozen=True, slots=True)
class Span:
    """What a stretch of time took. Memory in bytes, CPU in seconds."""

    samples: int
    """How many lie in it; 0 = too short for the sampling: those around it were taken."""
    rss_peak: int
    rss_mean: float
    children_rss_peak: int
    children_rss_mean: float
    children_pss_peak: int
    cpu_s: float
    """Of the kernel, interpolated at both ends."""
    children_cpu_s: float


class MemoryRing:
    """Holds samples in order of time."""

    def __init__(self, fine: int = FINE, coarse: int = COARSE) -> None:
        self._most_fine = fine
        self._most_coarse = coarse
        self._fine: list[Sample] = []
        self._coarse: list[Sample] = []

    def __len__(self) -> int:
        return len(self._fine) + len(self._coarse)

    def add(self, at_ns: int, level: Level, cpu: Cpu) -> None:
        """Add a sample; the oldest ones merge, then leave. Times must not go back."""
        self._fine.append(Sample(at_ns, at_ns, 1, level, level, cpu))
        if len(self._fine) >= self._most_fine + MERGED:
            self._coarse.append(merge(self._fine[:MERGED]))
            del self._fine[:MERGED]
            del self._coarse[: -self._most_coarse]

    def between(self, start_ns: int, end_ns: int) -> Span | None:
        """Return what lies in [start, end]; `None` = it lies before the first sample.

        Coarse samples count if they overlap, so at the edges of old stretches up to ten seconds more are in.
        """
        first = self._coarse[:1] or self._fine[:1]
        if end_ns < start_ns or not first or end_ns < first[0].start_ns:
            return None
        inside = _overlapping(self._coarse, start_ns, end_ns) + _overlapping(self._fine, start_ns, end_ns)
        count = sum(sample.count for sample in inside)
        if not inside:
            around = (self._last_before(start_ns), self._first_after(end_ns))
            inside = [sample for sample in around if sample is not None]
        whole = merge(inside)
        begin, end = self._cpu_at(start_ns), self._cpu_at(end_ns)
        return Span(
            samples=count,
            rss_peak=whole.peak.kernel_rss,
            rss_mean=whole.total.kernel_rss / whole.count,
            children_rss_peak=whole.peak.children_rss,
            children_rss_mean=whole.total.children_rss / whole.count,
            children_pss_peak=whole.peak.children_pss,
            cpu_s=end.kernel_s - begin.kernel_s,
            children_cpu_s=end.children_s - begin.children_s,
        )

    def _last_before(self, at_ns: int) -> Sample | None:
        for samples in (self._fine, self._coarse):
            index = bisect_right(samples, at_ns, key=_END)
            if index:
                return samples[index - 1]
        return None

    def _cpu_at(self, at_ns: int) -> Cpu:
        """Return the CPU time at an instant, on the line between the samples around it."""
        before = self._last_before(at_ns)
        after = self._first_after(at_ns)
        if before is None or after is None:
            known = before or after
            return known.cpu if known else Cpu(0.0, 0.0)
        part = (at_ns - before.end_ns) / max(1, after.end_ns - before.end_ns)
        return Cpu(
            before.cpu.kernel_s + part * (after.cpu.kernel_s - before.cpu.kernel_s),
            before.cpu.children_s + part * (after.cpu.children_s - before.cpu.children_s),
        )

    def _first_after(self, at_ns: int) -> Sample | None:
        for samples in (self._coarse, self._fine):
            index = bisect_right(samples, at_ns, key=_END)
            if index < len(samples):
                return samples[index]
        return None


_START, _END = attrgetter("start_ns"), attrgetter("end_ns")


def merge(samples: Sequence[Sample]) -> Sample:
    """Return one sample for all: their peaks, and sums for their means."""
    peaks = zip(*(sample.peak for sample in samples), strict=True)
    totals = zip(*(sample.total for sample in samples), strict=True)
    return Sample(
        start_ns=samples[0].start_ns,
        end_ns=samples[-1].end_ns,
        count=sum(sample.count for sample in samples),
        peak=Level(*(max(column) for column in peaks)),
        total=Level(*(sum(column) for column in totals)),
        cpu=samples[-1].cpu,
    )


def _overlapping(samples: list[Sample], start_ns: int, end_ns: int) -> list[Sample]:
    return samples[bisect_left(samples, start_ns, key=_END) : bisect_right(samples, end_ns, key=_START)]


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
