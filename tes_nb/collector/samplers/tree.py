"""A process and its descendants: which of them live, and the CPU time of all together, the dead ones included.

The system adds a child's CPU time to its parent's account when the parent has waited for it. So at one moment

    reaped(process) + sum over its descendants, zombies too, of (own + reaped)

is all that descendants ever used, whichever waited for which. Only what no process of the tree waits for leaves this
sum: an orphan that ends, a child of a process that ignores SIGCHLD. The sum can only rise, so what it falls by is
what they took along, and is kept. Readings of different moments would count the same second twice, in a child that
was just reaped and in its parent; so a reading during which a process ended is made again, parents first.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tes_nb.collector.samplers.process_reader import ProcessReader, Times, default_reader

MOST = 1000
"""So many descendants are followed; the CPU time of the others counts when they are reaped."""
READS_A_LOOK = 50
"""With more descendants than this, all are read on every second look, or third, and so on."""
_PASSES = 3
_AGE_TOLERANCE_S = 0.05


@dataclass(slots=True)
class Descendant:
    """A process below the observed one, as it was read last."""

    pid: int
    times: Times
    first: Times
    """When it was first seen, or has just started another program."""
    is_fork: bool
    """Whether it has its parent's pages, until one of them writes: its first memory is not its own."""
    is_helper: bool
    """Whether it belongs to tes_nb and not to the user."""
    before_s: float
    """CPU seconds that it had used before the beginning."""

    @property
    def used_s(self) -> float:
        """CPU seconds since it began, its reaped children's included."""
        return self.times.cpu_s + self.times.reaped_s

    @property
    def rss(self) -> int:
        """Bytes; a zombie has none."""
        return 0 if self.times.zombie else self.times.rss


class ProcessTree:
    """Follows one process and what is below it. Reads only; new descendants are passed to `look`."""

    def __init__(self, pid: int, reader: ProcessReader | None = None) -> None:
        self._pid = pid
        self._reader = reader or default_reader()
        self._began = time.monotonic()
        self._below: dict[int, Descendant] = {}
        self._looks = 0
        self._orphans_s = self._helpers_s = self._highest_s = 0.0
        self.root = self.first = self._read(pid)
        """The observed process now, and at the beginning; `None` = it could not be read."""
        self._before_s = 0.0 if self.first is None else self.first.reaped_s
        self.cpu_s = 0.0
        """CPU seconds of all descendants since the beginning, tes_nb's own helpers left out."""

    def helpers(self) -> set[int]:
        """Return the pids of those that are tes_nb's own."""
        return {one.pid for one in self._below.values() if one.is_helper}

    @property
    def below(self) -> Mapping[int, Descendant]:
        """The descendants that are followed, by pid."""
        return self._below

    def look(
        self, pids: Iterable[int], *, own: Collection[int] = (), all_of_them: bool = False
    ) -> bool | None:
        """Read the process and its descendants. `pids` are those that are known of; zombies may be among them.

        own: pids that are tes_nb's for certain. all_of_them: also if there are many. Returns whether all were
        read, so that sums over them are of one moment; `None` = the process is gone, and nothing changes.
        """
        root = self._read(self._pid)
        if self.first is None or root is None or root.zombie or root.born != self.first.born:
            return None
        reaped = self.root is None or root.reaped_s != self.root.reaped_s
        self.root = root
        for pid in pids:
            if pid not in self._below and len(self._below) < MOST:
                self._adopt(pid, is_own=pid in own)
        self._looks += 1
        if not (all_of_them or reaped) and self._looks % (1 + len(self._below) // READS_A_LOOK):
            return False
        self._read_all()
        return True

    def _adopt(self, pid: int, *, is_own: bool) -> None:
        times = self._read(pid)
        if times is None or self.root is None:
            return
        is_older = self._reader.age_s(times.born) > time.monotonic() - self._began + _AGE_TOLERANCE_S
        stacks = {self.root.stack, *(one.times.stack for one in self._below.values())} - {0}
        before_s = times.cpu_s + times.reaped_s if is_older else 0.0
        self._before_s += before_s
        is_helper = is_own or runs_tes_nb(self._reader.arguments(pid))
        self._below[pid] = Descendant(pid, times, times, times.stack in stacks, is_helper, before_s)

    def _read_all(self) -> None:
        for _ in range(_PASSES):
            root = self._read(self._pid)
            if root is not None:
                self.root = root
            vanished = [one for one in self._below.values() if not self._update(one)]
            for one in vanished:
                del self._below[one.pid]
                if one.is_helper:
                    self._helpers_s += one.used_s - one.before_s
            if not vanished:
                self._add_up()
                return

    def _update(self, one: Descendant) -> bool:
        """Read it again; return whether it is still there."""
        try:
            times = self._reader.times(one.pid)
        except OSError:
            return True  # no descriptor left: that says nothing about the process
        if times is None or times.born != one.times.born:
            return False
        if times.stack not in (0, one.first.stack):  # it has started another program
            one.is_fork, one.first = False, times
            one.is_helper = one.is_helper or runs_tes_nb(self._reader.arguments(one.pid))
        one.times = times
        return True

    def _add_up(self) -> None:
        assert self.root is not None
        live_s = sum(one.used_s for one in self._below.values())
        all_s = self.root.reaped_s - self._before_s + live_s + self._orphans_s
        self._orphans_s += max(0.0, self._highest_s - all_s)
        self._highest_s = max(self._highest_s, all_s)
        helpers = [one for one in self._below.values() if one.is_helper]
        helpers_s = self._helpers_s + sum(one.used_s - one.before_s for one in helpers)
        self.cpu_s = max(self.cpu_s, self._highest_s - helpers_s)

    def _read(self, pid: int) -> Times | None:
        try:
            return self._reader.times(pid)
        except OSError:
            return None


def runs_tes_nb(arguments: Sequence[str]) -> bool:
    """Return whether a command line starts one of tes_nb's own processes: a collector, a replay, the stand-in."""
    modules = (after for before, after in pairwise(arguments) if before == "-m")
    return any(module.partition(".")[0] == "tes_nb" for module in modules)
