"""What can be read about one process, and who reads it: Linux from /proc, elsewhere psutil.

Every read tells three cases apart: a value; `None`, the process is gone; `OSError`, it could not be read just
now (no file descriptors left, no permission), which says nothing about the process.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Times(NamedTuple):
    """A process's identity and its CPU time, from one cheap read."""

    name: str
    """The program's name as the system knows it (Linux: at most 15 characters); never arguments."""
    born: int
    """Together with the pid this names one process for ever: a pid that is used again has another `born`."""
    zombie: bool
    """Ended, but its parent has not asked for the exit code yet."""
    threads: int
    user_s: float
    system_s: float
    reaped_s: float
    """CPU seconds of its ended children that it has waited for, theirs included; 0 where unknown."""
    rss: int
    """Bytes."""

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the process itself since it began."""
        return self.user_s + self.system_s


class MemoryWords(NamedTuple):
    """Memory in bytes, in the words of the wire; `None` = the platform does not tell."""

    rss: int
    heap_used: int
    heap_total: int | None
    external: int | None
    array_buffers: int | None


class Share(NamedTuple):
    """Memory with shared pages counted fairly, in bytes. Reading it costs a walk over all pages."""

    pss: int
    """Each shared page divided by the number of its users; where the platform has no such figure, the USS."""
    uss: int
    """Pages that nobody else uses: what the end of this process would give back."""


class ProcessReader(Protocol):
    """Reads processes by pid. All reads but `share` are cheap enough for an event loop."""

    def times(self, pid: int) -> Times | None:
        """Return identity and CPU time; `None` = there is no such process. Raises OSError when unreadable."""

    def memory(self, pid: int) -> MemoryWords | None:
        """Return the memory; `None` = no such process, or one without memory (a zombie)."""

    def share(self, pid: int) -> Share | None:
        """Return PSS and USS; `None` = gone. May take long for a big process: call it in a thread."""

    def cpu_clock(self, pid: int) -> float | None:
        """Return CPU seconds in fine resolution; `None` = use `times`, there is no such clock."""

    def age_s(self, born: int) -> float:
        """Return the seconds since a process with that `born` began; no wall clock jump matters."""
