"""All that the collector sees of this machine: the samplers, their rhythms, and one observation."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Literal

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
from tes_nb.collector.samplers.workers import WorkerRegistry
from tes_nb.model import Observation, SocketFacts, TreeFacts
from tes_nb.model.control import Cost

WORKERS_PERIOD_S = 0.5
SHARES_PERIOD_S = 0.25
"""How often it is asked whether a PSS reading is due; the sampler itself decides."""
HOST_PERIOD_S = 60.0
_COMPLAIN_EVERY_S = 60.0
_TMUX_MAY_DELAY_S = 0.3
"""The start waits so long for tmux's first answer, so that the first observation has it."""


class Observer:
    """Owns the samplers. Call `tick()` on each point of the metrics grid; `observe()` is cheap at any time.

    The CPU figures of an observation count from one tick to the next, so that all CPU time is in exactly one
    metrics message, however many other observations (pushes, requests) lie between. Whoever never ticks gets
    a new sample from `observe()` itself, at most once a period.
    """

    def __init__(
        self,
        observed_pid: int | None = None,
        *,
        period_s: float = 0.5,
        worker_pids: Collection[int] = (),
        own_pids: Collection[int] = (),
        environ: Mapping[str, str] = os.environ,
        http: HttpWindow | None = None,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        """Observe a process (`None` = this one) and its children.

        `worker_pids` are listed as workers too; `own_pids` and what is below them are never found as workers:
        pass nothing, this process is left out by itself when it observes another. `on_change` is called in
        the loop when tmux or the registry changed. Raises ValueError for a worker pid that does not run.
        """
        self.observed_pid = os.getpid() if observed_pid is None else observed_pid
        self._period_s = period_s
        self._own_pids = {*own_pids, os.getpid()} - {self.observed_pid}
        reader = default_reader()
        self.shares = ShareSampler(reader)
        self.process = ProcessSampler(self.observed_pid, reader=reader)
        self.host = HostSampler(self.observed_pid, environ=environ)
        self.tmux = TmuxSampler(environ=environ, on_change=on_change)
        self.http = HttpWindow() if http is None else http
        self.workers = WorkerRegistry(
            self.observed_pid, reader=reader, shares=self.shares, exclude=self._excluded, on_change=on_change
        )
        self.memory = MemoryTrack(self.observed_pid, self.shares, reader=reader)
        for pid in worker_pids:
            self.workers.add(pid)
        self._tasks: list[asyncio.Task[None]] = []
        self._complained: dict[str, float] = {}
        self._ticked = self._sampled = float("-inf")
        self._children_s = 0.0
        self._tree: TreeFacts | None = None

    def tick(self) -> None:
        """Sample the observed process and what is below it: a new grid point begins."""
        self._ticked = time.monotonic()
        self._sample(self._ticked)

    def observe(
        self,
        now_wall_ms: int,
        *,
        sockets: SocketFacts,
        total_routes: int = 0,
        workers_port: Literal["answers", "silent"] = "answers",
        extra: Mapping[str, Any] | None = None,
    ) -> Observation:
        """Return what is known now; it reads nothing that it has not just sampled."""
        self._sample_if_nobody_ticks()
        return Observation(
            wall_ms=now_wall_ms,
            process=self.process.latest,
            host=self.host.facts,
            tmux=self.tmux.facts,
            http=self.http.facts(total_routes),
            sockets=sockets,
            workers=self.workers.facts(),
            workers_port=workers_port,
            tree=self._tree,
            extra={} if extra is None else extra,
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
        await self.workers.refresh()
        first_answer = asyncio.create_task(self._attempt("tmux", self.tmux.refresh))
        await asyncio.wait({first_answer}, timeout=_TMUX_MAY_DELAY_S)
        self._tasks = [
            first_answer,
            asyncio.create_task(self._repeat("memory", memory.PERIOD_S, self._look_quickly)),
            asyncio.create_task(self._repeat("workers", WORKERS_PERIOD_S, self.workers.refresh)),
            asyncio.create_task(self._repeat("shares", SHARES_PERIOD_S, self._refresh_shares)),
            asyncio.create_task(self._repeat("tmux", TMUX_PERIOD_S, self.tmux.refresh)),
            asyncio.create_task(self._repeat("host", HOST_PERIOD_S, self._refresh_host)),
        ]

    async def close(self) -> None:
        """End the tasks, and a running tmux command. Idempotent."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []
        self.shares.close()

    async def _repeat(self, what: str, period_s: float, act: Callable[[], Awaitable[object]]) -> None:
        """Call `act` on a grid, from one period on; missed points are left out, errors logged."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        while True:
            passed = loop.time() - started
            await asyncio.sleep(period_s - passed % period_s)
            await self._attempt(what, act)

    async def _attempt(self, what: str, act: Callable[[], Awaitable[object]]) -> None:
        """Call `act`; an error is logged, once a minute at most, and ends nothing."""
        try:
            await act()
        except Exception:
            now = time.monotonic()
            if now - self._complained.get(what, float("-inf")) > _COMPLAIN_EVERY_S:
                self._complained[what] = now
                logger.exception("Sampling %s failed; it goes on with the next sample.", what)

    async def _look_quickly(self) -> None:
        self._sample_memory()
        self.workers.notice_new()

    async def _refresh_host(self) -> None:
        self.host.refresh()

    async def _refresh_shares(self) -> None:
        given = [member for member in self.workers.members() if member.pid not in self.memory.tree.below]
        await self.shares.refresh([*self.memory.members(), *given], time.monotonic())

    def _sample_memory(self, *, all_of_them: bool = False) -> None:
        below = (life.pid for life in self.workers.running() if life.is_child)
        pids = {*self.workers.main_children(), *below}
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
        self._tree = TreeFacts(round(process.cpu_cores + children_cores, 4), self.memory.total)

    def _excluded(self) -> Collection[int]:
        return self._own_pids | self.tmux.own_pids | self.memory.tree.helpers()
