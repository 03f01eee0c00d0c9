"""Processes as workers: the observed process's descendants, and pids that were given.

Rules, for the docs and for tests:

- A process counts from the moment it is seen (a child of the main thread within 0.1 s, any other descendant
  within 0.5 s, or later when there are more than 50) until it ends, also when its parent ends before it.
- working: it used at least 5 % of a core in the last sample. idle: less than that in two samples in a row.
- Its end is seen at once, with the exit code, where the system has pidfds (Linux; before 6.15 only a zombie's code):
  0 is `terminated`, any other `error` with "exit code 3" or "killed by SIGKILL".
- One whose code the system does not tell is `terminated` with an unknown exit code until the code is reported. When
  nobody has reported one for a second after it vanished, it is `terminated` with "ended, cause unknown".
- Who ended stays listed for 60 s.
- At most 500 live processes and as many ended ones are listed; `overflow` counts the rest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection

from tes_nb.collector.samplers.children import ChildFinder, EndWatch, LoopPace
from tes_nb.collector.samplers.process_reader import ProcessReader, Times, default_reader
from tes_nb.collector.samplers.shares import Member, ShareSampler
from tes_nb.collector.samplers.tree import runs_tes_nb
from tes_nb.collector.samplers.worker_life import NO_USAGE, WorkerLife, short_lived
from tes_nb.collector.workers.roles import FORKING, role_of
from tes_nb.collector.workers.source import SourceContext, WorkerSource
from tes_nb.model import WorkerFacts

CAP = 500
KEEP_ENDED_S = 60.0
EXPLAINED_WITHIN_S = 1.0
"""So long the kernel has for reporting the exit code of a child that is gone."""


def _nobody() -> Collection[int]:
    return ()


class ProcessWorkers(WorkerSource):
    """Finds and samples processes, on one event loop; only `refresh` takes longer than a slice."""

    name = "processes"

    def __init__(
        self,
        observed_pid: int | None = None,
        *,
        reader: ProcessReader | None = None,
        shares: ShareSampler | None = None,
        exclude: Callable[[], Collection[int]] = _nobody,
        on_change: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        cap: int = CAP,
    ) -> None:
        """`None` observes this process. `exclude` gives pids that, with all below them, are no workers."""
        self.observed_pid = os.getpid() if observed_pid is None else observed_pid
        self.overflow = 0
        """Descendants that are not listed because the registry is full."""
        self.version = 0
        """Rises with every change of who is listed and how each one is."""
        self._reader = reader or default_reader()
        self._finder = ChildFinder()
        self._shares = shares
        self._exclude = exclude
        self._on_change = on_change
        self._clock = clock
        self._cap = cap
        self._lives: dict[str, WorkerLife] = {}
        self._running: dict[int, WorkerLife] = {}
        self._ends = EndWatch(self._end_seen)
        self._dismissed: set[int] = set()
        self._facts: tuple[WorkerFacts, ...] = ()
        self._changed = False
        self._surplus = 0
        root = self._read(self.observed_pid)
        self._root_born = None if root is None else root.born
        self._root_stack = 0 if root is None else root.stack

    @classmethod
    def of(cls, context: SourceContext) -> ProcessWorkers:
        """Return the source as a collector makes it."""
        return cls(
            context.observed_pid,
            reader=context.reader,
            shares=context.shares,
            exclude=context.exclude,
            on_change=context.on_change,
        )

    # what is known

    def facts(self) -> tuple[WorkerFacts, ...]:
        """Return all listed workers, as of the last refresh or report. Costs nothing."""
        return self._facts

    def by_pid(self) -> dict[int, WorkerFacts]:
        """Return the listed ones by their pid: the newest where a pid was used again."""
        return {life.pid: life.facts for life in self._lives.values()}

    def find(self, worker_id: str) -> WorkerFacts | None:
        """Return the listed worker with that id; `None` = there is none."""
        life = self._lives.get(worker_id)
        return None if life is None else life.facts

    def running(self) -> list[WorkerLife]:
        """Return the live processes."""
        return list(self._running.values())

    def members(self) -> list[Member]:
        """Return the live processes as the share sampler wants them."""
        return [
            Member(life.pid, life.born, life.times.rss, life.times.faults) for life in self._running.values()
        ]

    # what others tell

    def add(self, pid: int, name: str = "") -> str:
        """List a process whose pid was given, and return its id. Raises ValueError when that cannot be."""
        life = self._running.get(pid)
        if life is None:
            times = self._read(pid)
            if times is None or times.zombie:
                raise ValueError(f"There is no running process {pid}; give the pid of one that runs.")
            if len(self._running) >= self._cap:
                raise ValueError(f"The registry is full: it lists at most {self._cap} live workers.")
            life = self._adopt(pid, times)
        if name:
            life.rename(name)
            self._changed = True
        self._publish()
        return life.facts.id

    def report_exit(self, pid: int, code: int, *, name: str = "", expected: bool = False) -> bool:
        """Take in an exit code from a process's parent; negative = killed by that signal.

        `expected` says that the end was asked for, so that no code is an error. A process that nobody saw is
        listed as ended. Returns whether the report had something new.
        """
        if pid in self._exclude():
            return False
        now = self._clock()
        life = self._ended_now(pid) or self._ended_before(pid)
        if life is None:
            life = short_lived(pid, name, wall_ms=time.time_ns() // 1_000_000, now=now)
            self._lives[life.facts.id] = life
        elif life.facts.exit_code is not None and not expected:
            return False
        if self._running.get(pid) is life:
            del self._running[pid]
        life.end(now, code, expected=expected)
        self._changed = True
        self._publish()
        return True

    # what is seen

    def main_children(self) -> list[int]:
        """Return the children that the observed process's main thread started, dead ones that wait included."""
        return self._finder.of_main_thread(self.observed_pid)

    def notice_new(self) -> None:
        """List new children of the observed process's main thread: one small read, ten times a second."""
        fresh = [
            pid for pid in self.main_children() if pid not in self._running and pid not in self._dismissed
        ]
        if fresh and self._root_runs():
            for pid in fresh:
                self._consider(pid)
            if self._changed:
                self._publish()

    async def refresh(self) -> None:
        """Sample all processes and look for new ones, in slices. Twice a second, never two at a time."""
        pace = LoopPace()
        excluded = self._exclude()
        for life in list(self._running.values()):
            if life.is_child and life.pid in excluded:  # it was seen before it had started what it is
                del self._running[life.pid], self._lives[life.facts.id]
                self._ends.forget(life.pid)
                self._changed = True
            else:
                self._sample(life)
            await pace.turn()
        await self._look_around(pace)
        self._settle_ended()
        self._forget_ended()
        self._publish()

    async def close(self) -> None:
        """Follow no ends any more."""
        self._ends.close()

    def _end_seen(self, pid: int, code: int | None) -> None:
        """Take in that a process has ended just now. A held kernel reaps nobody: then the system may tell the code."""
        life = self._running.get(pid)
        if life is not None:
            self._end(life, code, self._read(pid))
            self._changed = True
            self._publish()

    def _end(self, life: WorkerLife, code: int | None, times: Times | None) -> None:
        """Take it from the running. times: what was read of its pid; code: `None` = a zombie may say it."""
        del self._running[life.pid]
        self._ends.forget(life.pid)
        if code is None and life.is_same_process(times):
            code = self._reader.exit_code(life.pid)
        life.end(self._clock(), code)

    async def _look_around(self, pace: LoopPace) -> None:
        if not self._root_runs():
            return
        self._dismissed = set()
        self._surplus = 0
        descendants = [pid for pid, life in self._running.items() if life.is_child]
        await self._finder.look(self.observed_pid, descendants, self._consider, pace)
        self.overflow = self._surplus

    def _consider(self, pid: int) -> bool:
        """List a descendant of the observed process. Return whether it was not known as one."""
        life = self._running.get(pid)
        if life is None:
            life = self._adopt_descendant(pid)
        if life is None or life.is_child:
            return False
        life.is_child = True
        return True

    def _adopt_descendant(self, pid: int) -> WorkerLife | None:
        """Return a new life; `None` = excluded, tes_nb's own, ended already, or there is no place for it."""
        if pid in self._exclude():
            return None
        if len(self._running) >= self._cap:
            self._surplus += 1
            return None
        times = self._read(pid)
        if times is None or times.zombie or runs_tes_nb(self._reader.arguments(pid)):
            self._dismissed.add(pid)
            return None
        return self._adopt(pid, times)

    def _adopt(self, pid: int, times: Times) -> WorkerLife:
        try:
            memory = self._reader.memory(pid)
        except OSError:
            memory = None
        created_s = time.time() - self._reader.age_s(times.born)
        life = WorkerLife(
            pid,
            times,
            memory,
            created_at_ms=round(created_s * 1000),
            now=self._clock(),
            role=self._role(pid, times),
            usage=self._reader.usage(pid),
        )
        self._lives[life.facts.id] = self._running[pid] = life
        self._ends.follow(pid)
        self._changed = True
        return life

    def _role(self, pid: int, times: Times) -> str:
        """What a process is for. A fork has the stack of who made it: the kernel, a forkserver, a pool's worker."""
        forking = (life for life in self._running.values() if life.facts.role in FORKING and life.pid != pid)
        stacks = {self._root_stack, *(life.times.stack for life in forking)} - {0}
        return role_of(self._reader.arguments(pid), times.name, is_fork=times.stack in stacks)

    def _sample(self, life: WorkerLife) -> None:
        """Read one process again, and see whether it is still the same."""
        if life.ended_at is not None:  # reported since this refresh began
            return
        try:
            times = self._reader.times(life.pid)
            changed = life.is_same(times) and times != life.times
            memory = self._reader.memory(life.pid) if changed else None
            usage = self._reader.usage(life.pid) if changed else NO_USAGE
        except OSError:  # no descriptor left: that says nothing about the process
            return
        before = _health(life.facts)
        if times is not None and life.is_same(times):
            uss = None if self._shares is None else self._shares.uss(life.pid, life.born)
            if (times.stack, times.name) != (
                life.times.stack,
                life.times.name,
            ):  # it executes another program
                life.set_role(self._role(life.pid, times))
            life.sample(self._clock(), times, memory, uss, usage)
        else:
            self._end(life, self._ends.code(life.pid), times)
        self._changed |= before != _health(life.facts)

    def _read(self, pid: int) -> Times | None:
        try:
            return self._reader.times(pid)
        except OSError:
            return None

    def _root_runs(self) -> bool:
        times = self._read(self.observed_pid)
        return times is not None and times.born == self._root_born

    def _ended_now(self, pid: int) -> WorkerLife | None:
        """Return the listed process of that pid if it runs no more."""
        life = self._running.get(pid)
        return None if life is None or life.is_same(self._read(pid)) else life

    def _ended_before(self, pid: int) -> WorkerLife | None:
        """Return the one of that pid that ended last."""
        ended = [life for life in self._lives.values() if life.pid == pid and life.ended_at is not None]
        return ended[-1] if ended else None

    def _settle_ended(self) -> None:
        """Say of ends that nobody has explained that they are not."""
        latest = self._clock() - EXPLAINED_WITHIN_S
        for life in self._lives.values():
            ended, facts = life.ended_at, life.facts
            if ended is None or ended > latest or facts.exit_code is not None or facts.last_error is not None:
                continue
            if life.is_same_process(self._read(life.pid)):
                continue  # a zombie: its code can still be had
            life.give_up_asking()
            self._changed = True

    def _forget_ended(self) -> None:
        ended = [life for life in self._lives.values() if life.ended_at is not None]
        oldest = self._clock() - KEEP_ENDED_S
        surplus = len(ended) - self._cap
        for index, life in enumerate(ended):
            if index < surplus or (life.ended_at or 0.0) <= oldest:
                del self._lives[life.facts.id]
                self._changed = True

    def _publish(self) -> None:
        """Renew the facts that readers get, and report a change."""
        self._facts = tuple(life.facts for life in self._lives.values())
        if self._changed:
            self._changed = False
            self.version += 1
            if self._on_change is not None:
                self._on_change()


def _health(worker: WorkerFacts) -> tuple[object, ...]:
    """Return what makes a push: the same that the stream calls a change, and the name."""
    return worker.status, worker.errors, worker.last_error, worker.name, worker.role
