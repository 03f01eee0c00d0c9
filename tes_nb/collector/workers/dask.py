"""Dask clusters as a source of workers: schedulers that are observed, and a cluster of one's own (decisions/0027)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any

from tes_nb.collector.workers.cluster import ClusterProcess
from tes_nb.collector.workers.cluster_process import ClusterOptions
from tes_nb.collector.workers.dask_identity import SchedulerAddress, scheduler_address
from tes_nb.collector.workers.dask_scheduler import DaskScheduler
from tes_nb.collector.workers.source import Handler, Scaler, ScaleRefused, SourceContext, WorkerSource
from tes_nb.errors import CollectorError
from tes_nb.model import WorkerFacts
from tes_nb.model.control import (
    AnswerScale,
    AwaitScale,
    ObserveScheduler,
    ScaleResult,
    SeenScheduler,
    StartCluster,
    UnobserveScheduler,
    WantedScale,
)
from tes_nb.model.operation import Operation

FIRST_ANSWER_S = 2.5
MOST_SCHEDULERS = 20
AWAIT_S = 20.0
ANSWER_S = 4.0
"""A kernel whose background thread gets no turn in that time is held by something."""
OWN_NAME = "own cluster"


class KernelScaler:
    """Lets the kernel scale a cluster that lives there: it waits for a count, and answers."""

    def __init__(self) -> None:
        self._wanted: asyncio.Queue[tuple[int, asyncio.Future[ScaleResult]]] = asyncio.Queue()
        self._waiting: asyncio.Future[tuple[int, asyncio.Future[ScaleResult]]] | None = None
        self._answer: asyncio.Future[ScaleResult] | None = None
        self._turn = asyncio.Lock()

    async def scale(self, count: int) -> ScaleResult:
        """Ask the kernel for it. Raises `CollectorError` when it refuses or does not answer."""
        async with self._turn:
            answer: asyncio.Future[ScaleResult] = asyncio.get_running_loop().create_future()
            self._wanted.put_nowait((count, answer))
            try:
                return await asyncio.wait_for(answer, ANSWER_S)
            except TimeoutError:
                while not self._wanted.empty():  # nobody shall scale a minute later
                    self._wanted.get_nowait()
                raise CollectorError(
                    f"The kernel, which holds this cluster, has not answered within {ANSWER_S:.0f} s: a cell keeps "
                    "its background thread from running. A cluster of s.cluster(n) scales then, too."
                ) from None

    async def next(self) -> int | None:
        """Return the next count that is wanted; `None` = none is for now. Whoever waited before, waits no longer."""
        if self._waiting is not None:
            self._waiting.cancel()  # a connection that was lost would take the count, and nobody would scale
        waiting = self._waiting = asyncio.ensure_future(self._wanted.get())
        try:
            await asyncio.wait({waiting}, timeout=AWAIT_S)
            if not waiting.done() or waiting.cancelled():
                return None
            count, self._answer = waiting.result()
            return count
        finally:
            waiting.cancel()

    def answer(self, reply: AnswerScale) -> None:
        """Take in what became of the count that was taken last; nobody waits any more for a late answer."""
        if self._answer is None or self._answer.done():
            return
        if reply.refusal is None:
            self._answer.set_result(ScaleResult(reply.created, reply.terminated))
        else:
            self._answer.set_exception(ScaleRefused(reply.refusal))


class DaskWorkers(WorkerSource):
    """All schedulers that are observed. One's own cluster is one of them."""

    name = "dask"

    def __init__(self, context: SourceContext) -> None:
        self._context = context
        self._schedulers: dict[str, DaskScheduler] = {}
        self._kernels: dict[str, KernelScaler] = {}
        self._own: tuple[ClusterProcess, DaskScheduler] | None = None
        self._starting = asyncio.Lock()
        self._parts: tuple[tuple[WorkerFacts, ...], ...] = ()
        self._facts: tuple[WorkerFacts, ...] = ()

    def facts(self) -> tuple[WorkerFacts, ...]:
        """Return schedulers and workers; the same tuple while nothing has changed."""
        parts = tuple(one.facts() for one in self._schedulers.values())
        if len(parts) != len(self._parts) or any(
            new is not old for new, old in zip(parts, self._parts, strict=True)
        ):
            self._parts, self._facts = parts, tuple(worker for part in parts for worker in part)
        return self._facts

    def operations(self) -> Mapping[type[Operation[Any]], Handler]:
        """Return what kernels ask for."""
        return {
            ObserveScheduler: self.observe,
            UnobserveScheduler: self.unobserve,
            StartCluster: self.start_cluster,
            AwaitScale: self.await_scale,
            AnswerScale: self.answer_scale,
        }

    def scaler(self) -> Scaler | None:
        """Return what scales the newest cluster that can be scaled; one's own comes first."""
        if self._own is not None:
            return self._own[1].scaler
        return next((one.scaler for one in reversed(self._schedulers.values()) if one.scaler), None)

    async def close(self) -> None:
        """Observe nothing any more, and end one's own cluster."""
        own, self._own = self._own, None
        schedulers, self._schedulers = self._schedulers, {}
        cluster = [] if own is None else [own[0].close()]
        await asyncio.gather(*cluster, *(one.close() for one in schedulers.values()))

    async def stack(self, worker: WorkerFacts) -> str | None:
        """Return what a worker's task does, if its scheduler is asked for tasks; else `None`: ask the system."""
        for scheduler in self._schedulers.values():
            job = scheduler.jobs.current().get(worker.address or "")
            if job is not None and any(one.id == worker.id for one in scheduler.facts()):
                return "\n".join([f"{job.function} ({job.key})", *(f"  {frame}" for frame in job.frames)])
        return None

    # Schedulers

    async def observe(self, operation: ObserveScheduler) -> SeenScheduler:
        """List a scheduler, the same one once. Raises ValueError for what is no address."""
        address = scheduler_address(operation.address)
        if operation.http:
            address = SchedulerAddress(http=scheduler_address(operation.http).http, tcp=address.tcp)
        scheduler = self._find(address) or await self._add(
            address, operation.name, with_tasks=operation.tasks
        )
        if operation.scales and scheduler.scaler is None:
            kernel = self._kernels[scheduler.id] = KernelScaler()
            scheduler.scaler = kernel.scale
        return _seen(scheduler)

    async def unobserve(self, operation: UnobserveScheduler) -> None:
        """List it no longer; one's own cluster ends."""
        scheduler = self._get(operation.id)
        del self._schedulers[scheduler.id]
        self._kernels.pop(scheduler.id, None)
        await scheduler.close()
        if self._own is not None and self._own[1] is scheduler:
            cluster, self._own = self._own[0], None
            await cluster.close()
        self._context.on_change()

    async def await_scale(self, operation: AwaitScale) -> WantedScale:
        """Wait for a count that is wanted of a cluster in the kernel."""
        self._get(operation.id)
        kernel = self._kernels.get(operation.id)
        if kernel is None:
            raise CollectorError("This scheduler was observed without scales=true.")
        return WantedScale(await kernel.next())

    async def answer_scale(self, operation: AnswerScale) -> None:
        """Take in what the kernel did."""
        kernel = self._kernels.get(operation.id)
        if kernel is not None:
            kernel.answer(operation)

    def _get(self, scheduler_id: str) -> DaskScheduler:
        try:
            return self._schedulers[scheduler_id]
        except KeyError:
            raise CollectorError("There is no such scheduler under observation.") from None

    def _find(self, address: SchedulerAddress) -> DaskScheduler | None:
        def is_same(one: SchedulerAddress) -> bool:
            return bool(one.tcp and one.tcp == address.tcp) or bool(one.http and one.http == address.http)

        return next((one for one in self._schedulers.values() if is_same(one.address)), None)

    async def _add(self, address: SchedulerAddress, name: str, *, with_tasks: bool) -> DaskScheduler:
        if len(self._schedulers) >= MOST_SCHEDULERS:
            raise CollectorError(f"{MOST_SCHEDULERS} schedulers are observed already; stop observing one.")
        scheduler = DaskScheduler(
            address,
            name=name,
            on_change=self._context.on_change,
            on_gap=self._context.on_gap,
            exit_code=self._exit_code,
            with_tasks=with_tasks,
        )
        self._schedulers[scheduler.id] = scheduler
        await scheduler.start(FIRST_ANSWER_S)
        self._context.on_change()
        return scheduler

    def _exit_code(self, pid: int) -> int | None:
        """Return how a process below the kernel ended, as the kernel has said."""
        process = self._context.processes().get(pid)
        return None if process is None else process.exit_code

    # One's own cluster

    async def start_cluster(self, operation: StartCluster) -> SeenScheduler:
        """Start it, or scale it if it runs. Raises `CollectorError` when it cannot start."""
        async with self._starting:
            self._check(operation.count)
            if self._own is not None and self._own[0].pid is not None:
                await self._own[0].scale(operation.count)
                return _seen(self._own[1])
            if self._own is not None:
                await self.unobserve(UnobserveScheduler(id=self._own[1].id))
            host = self._context.host()
            options = ClusterOptions(
                operation.count,
                host.memory_limit // max(operation.count, math.ceil(host.cores_limit), 1),
                operation.path,
            )
            cluster = ClusterProcess(self._worker_exited)
            begun = await cluster.start(options)
            scheduler = await self._add(
                SchedulerAddress(begun.http, begun.address), OWN_NAME, with_tasks=True
            )
            scheduler.scaler, scheduler.lives.exits_are_reported = self._scale_own, True
            self._own = cluster, scheduler
            return _seen(scheduler)

    async def _scale_own(self, count: int) -> ScaleResult:
        self._check(count)
        if self._own is None:
            raise CollectorError("The cluster has ended; start another with s.cluster(n).")
        scaled = await self._own[0].scale(count)
        return ScaleResult(scaled.created, scaled.terminated)

    def _check(self, count: int) -> None:
        if not 0 <= count <= self._context.most_workers:
            raise ValueError(f"A cluster here has 0 to {self._context.most_workers} workers, not {count}.")

    def _worker_exited(self, pid: int, code: int) -> None:
        if self._own is not None:
            self._own[1].lives.report_exit(pid, code)


def _seen(scheduler: DaskScheduler) -> SeenScheduler:
    return SeenScheduler(
        scheduler.id, scheduler.name, str(scheduler.address), len(scheduler.lives.facts()), scheduler.trouble
    )


SOURCE = DaskWorkers
