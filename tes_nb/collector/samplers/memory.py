"""What the kernel and its children take: sampled ten times a second, summed since the beginning.

Memory has three meanings, each with a word of its own:

- `rss`: pages that are in memory for a process. A page that two processes share counts in each.
- `children`: the sum over the descendants in which a shared page counts once over all its users (PSS), as of the
  last reading of all of them at one moment, plus what each has grown by since. A forked child that was not read
  yet counts only by its growth, any other by its anonymous pages.
- `total`: kernel and children together, in the same way; never less than the kernel's RSS.

Peaks are maxima over sums of one moment. Where a process's own peak is known (VmHWM), a peak between two samples
counts, too.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from tes_nb.collector.samplers.process_reader import MemoryWords, ProcessReader, Times, default_reader
from tes_nb.collector.samplers.shares import CHANGED_BYTES, Member, ShareSampler
from tes_nb.collector.samplers.tree import MOST, Descendant, ProcessTree
from tes_nb.model import HostFacts
from tes_nb.model.control import Cost

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
    children: int
    """The same with shared pages counted once."""
    total: int
    """Kernel and children, shared pages counted once."""


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
    children_peak: int
    """Shared pages counted once."""
    total_peak: int
    """Kernel and children, shared pages counted once."""
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

    def add(self, at_ns: int, level: Level, cpu: Cpu, peak: Level | None = None) -> None:
        """Add a sample; the oldest ones merge, then leave. Times must not go back.

        peak: what was reached since the sample before; `None` = nothing more than `level` is known.
        """
        self._fine.append(Sample(at_ns, at_ns, 1, peak or level, level, cpu))
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
            children_peak=whole.peak.children,
            total_peak=whole.peak.total,
            cpu_s=round(end.kernel_s - begin.kernel_s, 6),  # what floats leave beyond is no time: 2e-16 s
            children_cpu_s=round(end.children_s - begin.children_s, 6),
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
            nearest = before or after
            return nearest.cpu if nearest else Cpu(0.0, 0.0)
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
_GB_H = 1e9 * 3600
_SPURT_FAULTS = 256
"""Pages that a child was given between two samples, from which on it may have had a peak in between (1 MiB)."""


class MemoryTrack:
    """Samples one process tree into a ring, and sums up what it takes."""

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
        self.tree = ProcessTree(pid, self._reader)
        self._began_ns = self._last_ns = clock_ns()
        self._high_water = self._high_water_of(pid) or 0
        self._high_waters: dict[int, tuple[int, int]] = {}
        """pid → faults and high water when it was last asked for."""
        self._byte_s = self._children_byte_s = self._total_byte_s = 0.0
        self._level = self._peaks = Level(0, 0, 0, 0)

    def between(self, start_ns: int, end_ns: int) -> Span | None:
        """Return peaks, means and CPU seconds in a stretch of monotonic time; `None` = nothing is known."""
        return self._ring.between(start_ns, end_ns)

    def sample(self, pids: Iterable[int], *, own: Collection[int] = (), all_of_them: bool = False) -> None:
        """Take a sample; `pids`, `own` and `all_of_them` are those of `ProcessTree.look`. Never raises."""
        now_ns = self._clock_ns()
        whole = self.tree.look(pids, own=own, all_of_them=all_of_them)
        first, kernel = self.tree.first, self.tree.root
        if whole is None or first is None or kernel is None:
            return  # the kernel is gone: what was used stays as it is
        level = self._sum_up(kernel) if whole else self._only_kernel(kernel)
        peak = self._peak_since(level)
        self._add_up(level, peak, now_ns)
        self._ring.add(now_ns, level, Cpu(kernel.cpu_s - first.cpu_s, self.tree.cpu_s), peak)

    @property
    def total(self) -> int:
        """Memory of kernel and children at the newest sample, in bytes, shared pages counted once."""
        return self._level.total

    def cost(self, host: HostFacts) -> Cost:
        """Return what was used so far, and its share of the limits."""
        wall_s = (self._last_ns - self._began_ns) / 1e9
        first, kernel = self.tree.first, self.tree.root
        cpu_s = 0.0 if first is None or kernel is None else kernel.cpu_s - first.cpu_s
        allowed_s = wall_s * host.cores_limit
        return Cost(
            wall_s=wall_s,
            cpu_s=cpu_s,
            children_cpu_s=self.tree.cpu_s,
            gb_h=self._byte_s / _GB_H,
            children_gb_h=self._children_byte_s / _GB_H,
            total_gb_h=self._total_byte_s / _GB_H,
            peak=self._peaks.kernel_rss,
            children_peak=self._peaks.children,
            total_peak=self._peaks.total,
            memory_limit=host.memory_limit,
            peak_share=self._peaks.total / host.memory_limit if host.memory_limit else 0.0,
            cores_limit=host.cores_limit,
            cpu_share=(cpu_s + self.tree.cpu_s) / allowed_s if allowed_s else 0.0,
        )

    def members(self) -> list[Member]:
        """Return the kernel and its descendants as the share sampler wants them."""
        kernel = self.tree.root
        live = [(one.pid, one.times) for one in self.tree.below.values() if not one.times.zombie]
        everybody = live if kernel is None else [(self._pid, kernel), *live]
        return [Member(pid, times.born, times.rss, times.faults) for pid, times in everybody]

    def _sum_up(self, kernel: Times) -> Level:
        """Sum over all, as they were read at one moment."""
        users = [one for one in self.tree.below.values() if not one.is_helper]
        children = sum(map(self._part_of, users))
        is_read = self._shares.reading(self._pid, kernel.born) is not None
        together = children + (self._share_of(self._pid, kernel) if is_read else kernel.rss)
        return Level(kernel.rss, sum(one.rss for one in users), children, max(kernel.rss, together))

    def _part_of(self, one: Descendant) -> int:
        """Return what a descendant adds to a sum in which shared pages count once, in bytes."""
        if one.times.zombie:
            return 0
        if one.is_fork and self._shares.reading(one.pid, one.times.born) is None:
            return max(0, one.rss - one.first.rss)
        return self._share_of(one.pid, one.times)

    def _share_of(self, pid: int, times: Times) -> int:
        """Return a process's part of the memory of all, which is that of the last reading and what came since."""
        reading = self._shares.reading(pid, times.born)
        if reading is None:
            return self._own_pages_of(pid, times)
        if reading.share is None:
            return times.rss
        growth = times.rss - reading.rss
        if growth > CHANGED_BYTES:  # pages of files are shared with others that run the same program
            growth = self._own_pages_of(pid, times) - reading.own
        return max(0, reading.share.pss + growth)

    def _own_pages_of(self, pid: int, times: Times) -> int:
        """Return what a process has beside the pages of files."""
        memory = self._memory_of(pid)
        return times.rss if memory is None else memory.heap_used

    def _only_kernel(self, kernel: Times) -> Level:
        """Let the children be as they were when all were read."""
        return self._level._replace(kernel_rss=kernel.rss, total=max(kernel.rss, self._level.total))

    def _peak_since(self, level: Level) -> Level:
        """Return what was reached since the sample before, where the system knows more than two samples do."""
        kernel = level.kernel_rss
        high_water = self._high_water_of(self._pid)
        if high_water is not None:
            if high_water != self._high_water:  # it has risen, or was reset and tells of the time since
                kernel = max(kernel, high_water)
            self._high_water = high_water
        child = max((self._spurt_of(one) for one in self.tree.below.values() if not one.is_fork), default=0)
        children = max(level.children, child)
        return Level(kernel, max(level.children_rss, child), children, max(level.total, kernel, children))

    def _spurt_of(self, one: Descendant) -> int:
        """Return a child's high water if it has risen since the last look; 0 = nothing new."""
        faults, before = self._high_waters.get(one.pid, (0, 0))
        if one.is_helper or one.times.faults - faults < _SPURT_FAULTS:
            return 0
        memory = self._memory_of(one.pid)
        # at its peak it had the pages of files as well, which others of its kind share
        high_water = 0 if memory is None or memory.peak is None else memory.peak - (memory.external or 0)
        if len(self._high_waters) > 2 * MOST:
            self._high_waters.clear()
        self._high_waters[one.pid] = one.times.faults, high_water
        return high_water if high_water > before else 0

    def _high_water_of(self, pid: int) -> int | None:
        memory = self._memory_of(pid)
        return None if memory is None else memory.peak

    def _memory_of(self, pid: int) -> MemoryWords | None:
        try:
            return self._reader.memory(pid)
        except OSError:
            return None

    def _add_up(self, level: Level, peak: Level, now_ns: int) -> None:
        elapsed_s = (now_ns - self._last_ns) / 1e9
        self._level, self._last_ns = level, now_ns
        self._byte_s += level.kernel_rss * elapsed_s
        self._children_byte_s += level.children * elapsed_s
        self._total_byte_s += level.total * elapsed_s
        self._peaks = Level(*map(max, self._peaks, peak))
