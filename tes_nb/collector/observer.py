"""All that the collector sees of this machine: the samplers, their rhythms, and one observation."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import time
from collections.abc import Callable, Collection
from typing import Literal

from tes_nb.collector.logs import logger
from tes_nb.collector.samplers import memory
from tes_nb.collector.samplers.host import HostSampler
from tes_nb.collector.samplers.http_window import HttpWindow
from tes_nb.collector.samplers.memory import MemoryTrack, Span
from tes_nb.collector.samplers.process import ProcessSampler
from tes_nb.collector.samplers.process_reader import default_reader
from tes_nb.collector.samplers.shares import ShareSampler
from tes_nb.collector.samplers.tmux import PERIOD_S as TMUX_PERIOD_S
from tes_nb.collector.samplers.tmux import TmuxSampler
from tes_nb.collector.workers.registry import WorkerRegistry
from tes_nb.collector.workers.source import SourceContext
from tes_nb.model import Observation, SocketFacts, TreeFacts
from tes_nb.model.control import Cost
from tes_nb.wire.events import Gap

WORKERS_PERIOD_S = 0.5
SHARES_PERIOD_S = 0.25
"""How often it is asked whether a PSS reading is due; the sampler itself decides."""
HOST_PERIOD_S = 60.0
_COMPLAIN_EVERY_S = 60.0
_TMUX_MAY_DELAY_S = 0.3
"""The start waits so long for tmux's first answer, so that the first observation has it."""


async def run_grid(what: str, period_s: float, act: Callable[[], object], *, at_once: bool = True) -> None:
    """Call `act` at start + k · period until cancelled, for the first time at once or after a period.

    Each point is planned from the start, never from the one before, so lateness does not add up. After a stall
    of more than a period the missed points are left out: nobody can measure the past. What `act` raises is logged,
    once a minute at most; the next point comes. `what` names it in the log.
    """
    loop = asyncio.get_running_loop()
    start, count, complained = loop.time(), 0, float("-inf")
    if not at_once:
        count = 1
        await asyncio.sleep(period_s)
    while True:
        try:
            result = act()
            if inspect.isawaitable(result):
                await result
        except Exception:
            if loop.time() - complained > _COMPLAIN_EVERY_S:
                complained = loop.time()
                logger.exception("Sampling %s failed; it goes on with the next sample.", what)
        count = max(count + 1, int((loop.time() - start) / period_s))
        await asyncio.sleep(start + count * period_s - loop.time())


class Observer:
    """Owns the samplers. Call `tick()` on each point of the metrics grid; `observe()` is cheap at any time.

    The CPU figures of an observation count from one tick to the next, so that all CPU time is in exactly one
    metrics message, however many other observations (pushes, requests) lie between. Where nothing ticks there is
    a new sample from `observe()` itself, at most once a period.
    """

    def __init__(
        self,
        observed_pid: int | None = None,
        *,
        period_s: float = 0.5,
        worker_pids: Collection[int] = (),
        on_change: Callable[[], None] | None = None,
        on_gap: Callable[[Gap], None] = lambda _gap: None,
        most_workers: int = 16,
    ) -> None:
        """Observe a process (`None` = this one) and its children.

        `worker_pids` are listed as workers too; this process and its helpers are none where it observes another.
        `on_change` is called in the loop when tmux or the registry changed, `on_gap` when a time begins or ends in
        which the state of workers is unknown. most_workers: of a Dask cluster of our own. Raises ValueError for a
        worker pid that does not run.
        """
        self.observed_pid = os.getpid() if observed_pid is None else observed_pid
        self._period_s = period_s
        self._own_pids = {os.getpid()} - {self.observed_pid}
        reader = default_reader()
        self.shares = ShareSampler(reader)
        self.process = ProcessSampler(self.observed_pid, reader=reader)
        self.host = HostSampler(self.observed_pid)
        self.tmux = TmuxSampler(on_change=on_change)
        self.http = HttpWindow()
        self.workers = WorkerRegistry(
            SourceContext(
                observed_pid=self.observed_pid,
                reader=reader,
                shares=self.shares,
                exclude=self._excluded,
                on_change=on_change or (lambda: None),
                on_gap=on_gap,
                host=lambda: self.host.facts,
                most_workers=most_workers,
            )
        )
        self.processes = self.workers.processes
        self.memory = MemoryTrack(self.observed_pid, self.shares, reader=reader)
        for pid in worker_pids:
            self.processes.add(pid)
        self.sockets: Callable[[], SocketFacts] = lambda: SocketFacts(0, {})
        """Asks who serves what is observed for the connections that are open."""
        self.total_routes = 0
        """How many routes are served."""
        self.workers_port: Literal["answers", "silent"] = "silent"
        self._tasks: list[asyncio.Task[None]] = []
        self._ticked = self._sampled = float("-inf")
        self._children_s = 0.0
        self._tree: TreeFacts | None = None

    def tick(self) -> None:
        """Sample the observed process and what is below it: a new grid point begins."""
        self._ticked = time.monotonic()
        self._sample(self._ticked)

    def observe(self, wall_ms: int | None = None) -> Observation:
        """Return what is known now; it reads nothing that it has not just sampled. wall_ms: `None` = now."""
        self._sample_if_nobody_ticks()
        return Observation(
            wall_ms=time.time_ns() // 1_000_000 if wall_ms is None else wall_ms,
            process=self.process.latest,
            host=self.host.facts,
            tmux=self.tmux.facts,
            http=self.http.facts(self.total_routes),
            sockets=self.sockets(),
            workers=self.workers.facts(),
            workers_port=self.workers_port,
            tree=self._tree,
        )

    def span(self, start_ns: int, end_ns: int) -> Span | None:
        """Return what a stretch of monotonic time took, such as a cell; `None` = it was not sampled."""
        self._sample_memory(all_of_them=True)
        return self.memory.between(start_ns, end_ns)

    def cost(self) -> Cost:
        """Return what kernel and children used since the observer began."""
        self._sample_memory(all_of_them=True)
        return self.memory.cost(self.host.facts)

    async def start(self) -> None:
        """Look once at everything, then go on in tasks of the running loop until `close()`."""
        self.tick()
        self._sample_memory()
        await self.processes.refresh()
        await self.workers.start()
        answered = asyncio.Event()

        async def ask_tmux() -> None:
            try:
                await self.tmux.refresh()
            finally:
                answered.set()

        grids = (
            run_grid("tmux", TMUX_PERIOD_S, ask_tmux),
            run_grid("memory", memory.PERIOD_S, self._look_quickly, at_once=False),
            run_grid("workers", WORKERS_PERIOD_S, self.processes.refresh, at_once=False),
            run_grid("shares", SHARES_PERIOD_S, self._refresh_shares, at_once=False),
            run_grid("host", HOST_PERIOD_S, self.host.refresh, at_once=False),
        )
        self._tasks = [asyncio.create_task(grid) for grid in grids]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TMUX_MAY_DELAY_S):
                await answered.wait()

    async def close(self) -> None:
        """End the tasks, and a running tmux command. Idempotent."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []
        await self.workers.close()
        self.shares.close()

    def _look_quickly(self) -> None:
        self._sample_memory()
        self.processes.notice_new()

    async def _refresh_shares(self) -> None:
        others = [member for member in self.processes.members() if member.pid not in self.memory.tree.below]
        await self.shares.refresh([*self.memory.members(), *others], time.monotonic())

    def _sample_memory(self, *, all_of_them: bool = False) -> None:
        below = (life.pid for life in self.processes.running() if life.is_child)
        pids = {*self.processes.main_children(), *below}
        self.memory.sample(pids, own=self._own_pids | self.tmux.own_pids, all_of_them=all_of_them)

    def _sample_if_nobody_ticks(self) -> None:
        now = time.monotonic()
        if now - self._ticked > 2 * self._period_s and now - self._sampled >= self._period_s:
            self._sample(now)

    def _sample(self, now: float) -> None:
        """Sample; CPU counts from the sample before."""
        elapsed, self._sampled = now - self._sampled, now
        process = self.process.sample(now)
        self._sample_memory(all_of_them=True)
        children_cores = (self.memory.tree.cpu_s - self._children_s) / elapsed
        self._children_s = self.memory.tree.cpu_s
        # two files of the system have the RSS, and differ by some pages: the total is never the smaller one
        total = max(process.rss, self.memory.total)
        self._tree = TreeFacts(round(process.cpu_cores + children_cores, 4), total)

    def _excluded(self) -> Collection[int]:
        return self._own_pids | self.tmux.own_pids | self.memory.tree.helpers()
