"""Dask in the kernel: `s.observe(client)` and `s.cluster(4)`. Nothing of dask is imported before it is used.

The collector reads the scheduler by its address (decisions/0027). What only the kernel can do is to scale a cluster
object of the user's: the background thread waits for a wanted count, and calls the object's own `scale`.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeGuard

from tes_nb.collector.workers.cluster_process import MISSING
from tes_nb.collector.workers.dask_identity import scheduler_address
from tes_nb.errors import ArgumentError, SessionError, TesError
from tes_nb.model.control import (
    AnswerScale,
    AwaitScale,
    ObserveScheduler,
    SeenScheduler,
    StartCluster,
    UnobserveScheduler,
)
from tes_nb.model.owner import Owned, Owner
from tes_nb.net.loop import background

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy import Cluster

Ask = Callable[..., Coroutine[Any, Any, Any]]
"""`ControlClient.call`."""
AWAIT_S = 60.0
"""Longer than the collector lets a call wait."""
START_S = 25.0
AGAIN_S = 1.0


class ObservedScheduler(Owned):
    """A Dask scheduler that the session lists among its workers. `stop()` ends that, and nothing else."""

    def __init__(self, ask: Ask, seen: SeenScheduler, agent: Future[None] | None) -> None:
        self._owner = Owner()
        self._ask = ask
        self._agent = agent
        self._stopped = False
        self.id = seen.id
        """Its id in `s.workers.frame()`."""
        self.name = seen.name
        self.address = seen.address
        self.trouble = seen.trouble
        """Why it did not answer at first; `None` = it did. Later the table of workers says it."""

    def stop(self) -> None:
        """Observe it no longer. May be called twice."""
        self._owner.check()
        if not self._stopped:
            self.release()
            background().run(self._ask(UnobserveScheduler(id=self.id)), timeout=10)

    def release(self) -> None:
        """Let go of the user's cluster object, if there is one: the session ends."""
        self._stopped = True
        if self._agent is not None:
            self._agent.cancel()

    def __repr__(self) -> str:
        trouble = "" if self.trouble is None else f", which does not answer yet: {self.trouble}"
        where = self.address if self.name == self.address else f"{self.name} at {self.address}"
        return f"<observed Dask scheduler {where}{trouble}>"


def is_dask(what: object) -> TypeGuard[Client | Cluster]:
    """Whether it is a client or a cluster of Dask. Imports nothing: where there is one, dask is imported."""
    distributed = sys.modules.get("distributed")
    return distributed is not None and isinstance(what, distributed.Client | distributed.deploy.Cluster)


def observe_scheduler(
    ask: Ask, what: str | Client | Cluster, name: str = "", *, tasks: bool = False
) -> ObservedScheduler:
    """Let the collector list a scheduler; `what` is its address, a client of it, or its cluster object.

    Raises `ArgumentError` for what cannot be observed, `CollectorError` when the collector refuses.
    """
    cluster = None if isinstance(what, str) else getattr(what, "cluster", what)
    if not hasattr(
        cluster, "scheduler_address"
    ):  # an address, or a client of a scheduler that somebody else started
        cluster = None
    address = what if isinstance(what, str) else _address(what)
    scheduler_address(address)
    operation = ObserveScheduler(address=address, name=name, tasks=tasks, scales=cluster is not None)
    seen: SeenScheduler = background().run(ask(operation), timeout=10)
    if cluster is None:
        return ObservedScheduler(ask, seen, None)
    agent = ClusterAgent(ask, seen.id, cluster)
    return ObservedScheduler(ask, seen, background().spawn(agent.run(), name=f"scale {seen.name}"))


def _address(what: Any) -> str:
    """Return where the collector can ask the scheduler of a client or a cluster."""
    scheduler = getattr(what, "scheduler_address", None) or getattr(
        getattr(what, "scheduler", None), "address", None
    )
    if not scheduler:
        raise ArgumentError("This Dask client is not connected to a scheduler: connect it first.")
    if scheduler.startswith("inproc://"):
        raise ArgumentError(
            "This cluster's workers are threads of this very process, which the kernel's own figures show; "
            "LocalCluster(processes=True) has workers to observe."
        )
    if scheduler.startswith("tcp://"):
        return str(scheduler)
    dashboard = str(what.dashboard_link)
    if not dashboard.startswith(("http://", "https://")):
        raise ArgumentError(
            f"A scheduler at {scheduler.partition(':')[0]}:// is read through its dashboard, whose address is not "
            "known here: give it, as in s.observe('http://host:8787')."
        )
    return dashboard


def start_cluster(ask: Ask, count: int) -> Client:
    """Start a cluster beside the collector, or bring the one there is to `count`; return a client of it."""
    try:
        from distributed import Client  # noqa: PLC0415 - it takes half a second, and need not be there
    except ImportError:
        raise SessionError(MISSING) from None
    operation = StartCluster(count=count, path=tuple(place for place in sys.path if place))
    seen: SeenScheduler = background().run(ask(operation, timeout_s=START_S), timeout=START_S + 2)
    return Client(seen.address, timeout="10s")


class ClusterAgent:
    """Scales a cluster object that lives in this process, on request."""

    def __init__(self, ask: Ask, scheduler_id: str, cluster: Cluster) -> None:
        self._ask = ask
        self._id = scheduler_id
        self._cluster = weakref.ref(cluster)

    async def run(self) -> None:
        """Go on until the cluster is gone, or this is cancelled."""
        while self._cluster() is not None:
            try:
                wanted = await self._ask(AwaitScale(id=self._id), timeout_s=AWAIT_S)
                if wanted.count is not None:
                    await self._ask(await asyncio.to_thread(self._scale, wanted.count))
            except TesError:  # the collector is busy or gone; whoever stops observing cancels this
                await asyncio.sleep(AGAIN_S)

    def _scale(self, count: int) -> AnswerScale:
        """Scale it as the user would, and say what that changes."""
        cluster: Any = self._cluster()
        adaptive = getattr(cluster, "_adaptive", None)
        if getattr(adaptive, "periodic_callback", None) is not None:
            return self._refuse(
                "This cluster adapts its size by itself (cluster.adapt()), which stays as it is; "
                "cluster.scale(n) in the notebook ends that."
            )
        try:
            before = len(cluster.plan)
            result = cluster.scale(count)
            if asyncio.iscoroutine(result):
                asyncio.run_coroutine_threadsafe(result, cluster.loop.asyncio_loop).result(5)
        except Exception as error:  # noqa: BLE001 - a cluster manager of any make
            return self._refuse(
                f"The cluster's own scale() failed ({type(error).__name__}: {str(error)[:300]})."
            )
        return AnswerScale(id=self._id, created=max(0, count - before), terminated=max(0, before - count))

    def _refuse(self, sentence: str) -> AnswerScale:
        return AnswerScale(id=self._id, refusal=sentence)
