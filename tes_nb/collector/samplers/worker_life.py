"""One worker process from first sight to a minute after its end, and what makes it idle or working."""

from __future__ import annotations

import re
import signal
import time
from dataclasses import replace

from tes_nb.collector.samplers.process_reader import MemoryWords, Times, Usage
from tes_nb.model import WorkerFacts
from tes_nb.model.observation import WorkerStatus

ID_MOST = 100
_ID = re.compile(rf"[A-Za-z0-9._-]{{1,{ID_MOST}}}", re.ASCII)


def worker_id(pid: int, born: int | str) -> str:
    """Return the id of a worker: the same while it is listed, another for a later user of the pid."""
    return f"{pid}-{born}"


def check_id(text: str) -> str:
    """Return `text` if it can be a worker's id. Raises ValueError with a sentence for everything else."""
    if _ID.fullmatch(text) is None or ".." in text:
        raise ValueError(
            f"A worker's id has 1 to {ID_MOST} characters out of A-Z, a-z, 0-9, '.', '_', '-' and no '..'."
        )
    return text


BUSY_SHARE = 0.05
"""A sample with at least this share of one core makes a worker "working"."""
QUIET_SAMPLES = 2
"""So many samples below it in a row make it "idle" again: a short pause is not the end of the work."""

_NAME_MOST = 100
NO_USAGE = Usage()
CAUSE_UNKNOWN = "ended, cause unknown"
"""The text for an end without an explanation."""


class Activity:
    """Distinguishes idle from working by CPU use alone, with hysteresis in time. At first sight a worker is idle."""

    def __init__(self) -> None:
        self.status: WorkerStatus = "idle"
        self._quiet = QUIET_SAMPLES

    def add(self, share: float) -> None:
        """Take in one sample: CPU seconds per second since the sample before."""
        self._quiet = 0 if share >= BUSY_SHARE else self._quiet + 1
        self.status = "idle" if self._quiet >= QUIET_SAMPLES else "working"


class WorkerLife:
    """A process that counts as a worker. `facts` is what readers get; it is replaced, never changed."""

    def __init__(
        self,
        pid: int,
        first: Times,
        memory: MemoryWords | None,
        *,
        created_at_ms: int,
        now: float,
        role: str = "",
        usage: Usage = NO_USAGE,
    ) -> None:
        """role: what the process is for; "" = not known."""
        self.pid = pid
        self.born = first.born
        self.user_name = ""
        """A given name; "" = the program's own is shown, which changes when it executes another."""
        self.is_child = False
        """Whether it is a descendant of the observed process; else its pid was given."""
        self.ended_at: float | None = None
        """Monotonic seconds; `None` = it lives."""
        self.times = first
        """The last reading."""
        self._at = now
        self._activity = Activity()
        words = memory or _only_rss(first)
        self.facts = WorkerFacts(
            id=worker_id(pid, first.born),
            pid=pid,
            name=safe_name(first.name),
            kind="process",
            status=self._activity.status,
            created_at_ms=created_at_ms,
            rss=words.rss,
            heap_used=words.heap_used,
            heap_total=words.heap_total,
            external=words.external,
            uss=None,
            cpu_percent=0.0,
            threads=first.threads,
            role=role or safe_name(first.name),
            **usage._asdict(),
        )

    def rename(self, name: str) -> None:
        """Show this name instead of the program's."""
        self.user_name = name
        self.facts = replace(self.facts, name=safe_name(name))

    def is_same(self, times: Times | None) -> bool:
        """Return whether what was read is this worker, alive."""
        return times is not None and not times.zombie and times.born == self.born

    def is_same_process(self, times: Times | None) -> bool:
        """Return whether what was read is this worker, alive or as a zombie."""
        return times is not None and times.born == self.born

    def set_role(self, role: str) -> None:
        """Take in what it is for: it executes another program now."""
        self.facts = replace(self.facts, role=role)

    def sample(
        self, now: float, times: Times, memory: MemoryWords | None, uss: int | None, usage: Usage = NO_USAGE
    ) -> None:
        """Take in one reading at monotonic second `now`. Equal times: nothing else changed."""
        elapsed = now - self._at
        share = max(0.0, times.cpu_s - self.times.cpu_s) / elapsed if elapsed > 0 else 0.0
        unchanged = times == self.times
        self._at, self.times = now, times
        self._activity.add(share)
        if unchanged:
            self._rest(uss)
            return
        words = memory or _only_rss(times)
        self.facts = replace(
            self.facts,
            name=safe_name(self.user_name or times.name),
            status=self._activity.status,
            rss=words.rss,
            heap_used=words.heap_used,
            heap_total=words.heap_total,
            external=words.external,
            uss=uss,
            cpu_percent=round(share * 100, 1),
            threads=times.threads,
            **usage._asdict(),
        )

    def _rest(self, uss: int | None) -> None:
        """Take in a reading in which it did nothing; most readings of most workers are like that."""
        facts = self.facts
        if facts.status != self._activity.status or facts.cpu_percent or facts.uss != uss:
            self.facts = replace(facts, status=self._activity.status, cpu_percent=0.0, uss=uss)

    def end(self, now: float, code: int | None, *, expected: bool = False) -> None:
        """Take in its end, with that exit code (`None` = not known yet, negative = killed by that signal).

        A code other than 0 is an error, unless the end was asked for (`expected`). Who has ended uses nothing.
        """
        self.ended_at = now if self.ended_at is None else self.ended_at
        failed = code is not None and code != 0 and not expected
        self.facts = replace(
            self.facts,
            status="error" if failed else "terminated",
            errors=int(failed),
            last_error=exit_sentence(code) if failed and code is not None else None,
            exit_code=code,
            rss=None,
            heap_used=None,
            heap_total=None,
            external=None,
            uss=None,
            cpu_percent=None,
            threads=None,
            descriptors=None,
            ended_at_ms=self.facts.ended_at_ms or time.time_ns() // 1_000_000,
        )

    def give_up_asking(self) -> None:
        """Why it ended was not reported, and will not be: that is not the same as a normal end."""
        self.facts = replace(self.facts, last_error=CAUSE_UNKNOWN)


def _only_rss(times: Times) -> MemoryWords:
    return MemoryWords(times.rss, times.rss, None, None, None)


def exit_sentence(code: int) -> str:
    """Say an exit code in words: "exit code 3", "killed by SIGKILL"."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def safe_name(text: str) -> str:
    """Return a name for display: one line, bounded, no control characters."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:_NAME_MOST]
    )


def short_lived(pid: int, name: str, *, wall_ms: int, now: float) -> WorkerLife:
    """Return the life of a process of which only the end was reported: it was too short to be sampled."""
    times = Times(
        name=name or "process", born=0, zombie=True, threads=0, user_s=0, system_s=0, reaped_s=0, rss=0
    )
    life = WorkerLife(pid, times, None, created_at_ms=wall_ms, now=now)
    life.facts = replace(life.facts, id=worker_id(pid, f"x{wall_ms}"))
    return life
