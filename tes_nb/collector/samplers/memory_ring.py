"""Memory over time in bounded space: fine for the last minutes, coarse for the day before."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

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
