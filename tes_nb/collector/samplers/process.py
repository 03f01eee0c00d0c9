"""The observed process: the kernel by its pid, or the collector itself when it stands alone."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

from tes_nb.collector.samplers.process_reader import MemoryWords, ProcessReader, Times, default_reader
from tes_nb.model import ProcessFacts


@dataclass(frozen=True, slots=True)
class _Mark:
    """CPU time at the last sample: what the next one counts from."""

    at: float
    user_s: float
    system_s: float
    clock_s: float | None


class ProcessSampler:
    """Samples one process; its start time distinguishes it from a later process with the same pid.

    The CPU figures count from the sample before, so one caller on one grid should ask for samples; everybody
    else reads `latest`.
    """

    def __init__(self, pid: int, *, reader: ProcessReader | None = None) -> None:
        self.pid = pid
        self._reader = reader or default_reader()
        self._mark: _Mark | None = None
        self._born: int | None = None
        self._facts = _no_facts(pid)
        self._gone = False
        self._identify()

    @property
    def latest(self) -> ProcessFacts:
        """The last sample, without reading anything."""
        return self._facts

    def sample(self, now: float) -> ProcessFacts:
        """Return the facts at monotonic second `now`. Never raises.

        A process that is gone has `alive=False` and its last values; it stays gone, whoever gets its pid.
        """
        if self._gone:
            return self._facts
        try:
            times = self._reader.times(self.pid)
            memory = None if times is None else self._reader.memory(self.pid)
        except OSError:  # no descriptor left, or refused: that says nothing about the process
            return self._facts
        if times is None or times.zombie or self._born not in (None, times.born):
            self._gone = True
            # who is gone uses no CPU any more
            self._facts = replace(
                self._facts, alive=False, cpu_percent=0.0, cpu_cores=0.0, cpu_user_ms=0.0, cpu_system_ms=0.0
            )
        elif memory is not None or self._facts.heap_total is None:
            # Else it has given its memory back and is about to be a zombie: what it had before counts.
            self._born = times.born
            self._facts = self._measure(now, times, memory)
        return self._facts

    def _identify(self) -> None:
        """Learn the start time at once: the pid may be re-used before the first sample."""
        with contextlib.suppress(OSError):
            times = self._reader.times(self.pid)
            self._gone = times is None
            self._born = None if times is None else times.born

    def _measure(self, now: float, times: Times, memory: MemoryWords | None) -> ProcessFacts:
        mark = _Mark(now, times.user_s, times.system_s, self._reader.cpu_clock(self.pid))
        user_s, system_s, cores = _since(self._mark, mark)
        self._mark = mark
        words = memory or MemoryWords(times.rss, times.rss, None, None, None)
        return ProcessFacts(
            pid=self.pid,
            alive=True,
            rss=words.rss,
            heap_used=words.heap_used,
            heap_total=words.heap_total,
            external=words.external,
            array_buffers=words.array_buffers,
            cpu_percent=round(min(100.0, cores * 100), 1),
            cpu_cores=round(cores, 4),
            cpu_user_ms=round(user_s * 1000, 3),
            cpu_system_ms=round(system_s * 1000, 3),
            uptime_s=self._reader.age_s(times.born),
            cpu_total_s=times.cpu_s,
        )


def _since(before: _Mark | None, now: _Mark) -> tuple[float, float, float]:
    """Return user seconds, system seconds and cores in use between two marks; zeros at first."""
    if before is None or now.at <= before.at:
        return 0.0, 0.0, 0.0
    user_s = max(0.0, now.user_s - before.user_s)
    system_s = max(0.0, now.system_s - before.system_s)
    used_s = user_s + system_s
    if before.clock_s is not None and now.clock_s is not None:
        used_s = max(0.0, now.clock_s - before.clock_s)
    return user_s, system_s, used_s / (now.at - before.at)


def _no_facts(pid: int) -> ProcessFacts:
    return ProcessFacts(
        pid=pid,
        alive=False,
        rss=0,
        heap_used=0,
        heap_total=None,
        external=None,
        array_buffers=None,
        cpu_percent=0.0,
        cpu_cores=0.0,
        cpu_user_ms=0.0,
        cpu_system_ms=0.0,
        uptime_s=0.0,
    )
