"""What a session and its feed of workers do beyond others: observe pools and clusters, ask what a process does."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from concurrent.futures import Executor
from html import escape
from typing import TYPE_CHECKING, Any

import msgspec

from tes_nb.errors import ArgumentError, SessionError
from tes_nb.model.control import ScaleWorkers
from tes_nb.model.operation import Operation, R
from tes_nb.model.work_control import (
    GetStack,
    ObservePool,
    ProcessStack,
    StackFrame,
    TakeSnapshot,
    ThreadStack,
)
from tes_nb.session.extras import Extras
from tes_nb.session.feed import Feed

if TYPE_CHECKING:
    from distributed import Client

    from tes_nb.net.control_client import ControlClient
    from tes_nb.session.clusters import ObservedScheduler


class Stack:
    """What a process did at one instant: `print(stack)` shows it like a traceback, innermost call last."""

    def __init__(self, stack: ProcessStack) -> None:
        self.pid = stack.pid
        self.place = stack.place
        """Where the main thread was in the user's own code, in words; `None` = nowhere there."""
        self.door = stack.door
        """How it was looked at: faulthandler, or py-spy."""
        self.took_ms = stack.took_ms
        """How long that took, in milliseconds."""
        self.threads: list[ThreadStack] = stack.threads
        """Each with a name and frames, innermost first: function, file, line, and whether it is the user's."""

    def __str__(self) -> str:
        parts = [f"process {self.pid}, {self.place or 'not in your code'} ({self.door}, {self.took_ms:g} ms)"]
        for thread in self.threads:
            parts += [f"{thread.name}:", *(_line(frame) for frame in reversed(thread.frames))]
        return "\n".join(parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def checked_id(worker: object) -> str:
    """Return a worker's id. Raises `ArgumentError` for what is none, such as a pid, which another may have later."""
    if isinstance(worker, str):
        return worker
    raise ArgumentError(
        f"A worker is given by its id, a text such as '4242-81733', not by {worker!r}: "
        "s.workers.frame()[['id', 'pid', 'name']] has them."
    )


def _line(frame: StackFrame) -> str:
    return f"{'>' if frame.mine else ' '} {frame.function}, {frame.file} line {frame.line}"


class WorkersFeed(Feed):
    """The workers: `s.workers.frame()`, `s.workers.table()`, `s.workers.stack(id)`."""

    def stack(self, worker: str) -> Stack:
        """Return what a worker does now: functions, files and lines of each thread, no values.

        worker: an id of `s.workers.frame()`. Raises `CollectorError` where it cannot be seen, with the cause and what
        to do; `SessionError` where this is a recording.
        """
        return Stack(self._ask("stack()", GetStack(worker=checked_id(worker))))

    def snapshot(self, worker: str) -> dict[str, Any]:
        """Return what can be known of a worker from outside, once in 10 s for each.

        worker: an id of `s.workers.frame()`. The result has "worker" (its row, memory in bytes), "process" (the
        system's figures: memory, CPU times, threads, descriptors, I/O; `None` = it is no process of this machine),
        "stack" (as `stack()` has it; `None` = it could not be read), "holds" (of a process of an observed pool:
        "objects" with counts by type, "allocations" by site in bytes where tracemalloc is on in it), "partial" (whether
        something is missing) and "unread" (what could not be read, and why; `None` = nothing).
        No arguments, environment, names of open files or contents of memory. Raises as `stack`
        does.
        """
        snapshot: dict[str, Any] = msgspec.to_builtins(
            self._ask("snapshot()", TakeSnapshot(worker=checked_id(worker)))
        )
        return snapshot

    def _ask(self, what: str, operation: Operation[R]) -> R:
        if self.ask is None:
            raise SessionError(
                f"A recording holds no processes that could be asked; s.workers.{what} is for live ones."
            )
        result: R = self.ask(operation)
        return result


EXTRAS = Extras(feed=WorkersFeed)


CLOSE_S = 1.0
"""How long a client of a cluster that ends may take to close."""


class WorkerActions(ABC):
    """Needs the way to the collector."""

    peer: str | None
    _control: ControlClient
    _observed: list[ObservedScheduler]
    """What is observed, to be let go at the end."""
    _clients: list[Client]
    """Clients of one's own cluster, which would wait for it when it has ended."""

    @abstractmethod
    def _call(self, operation: Operation[R]) -> R:
        """Let the collector carry out an operation."""

    @abstractmethod
    def _check_present(self, what: str) -> None:
        """Raise where the session shows what is over."""

    @abstractmethod
    def _raise_pending(self) -> None:
        """Raise what went wrong in the background, and where this is only a fork's copy."""

    def stack(self, worker: str | None = None) -> Stack:
        """Return what this kernel does now, or a worker: functions, files and lines of each thread, no values.

        worker: an id of `s.workers.frame()`; `None` = the kernel. It is asked by the collector, so that another
        program with the token can ask for the kernel's while a cell holds it; `s.kernel.frame("held")` says where it
        was held. Raises `CollectorError` where a process cannot be seen, with the cause and what to do.
        """
        self._check_present("stack()")
        return Stack(self._call(GetStack(worker=None if worker is None else checked_id(worker))))

    def observe(self, what: Any, *, name: str = "", tasks: bool = False) -> Any:
        """Show a pool's jobs in `s.workers`, and return what to use in its place; or a Dask cluster's workers.

        what: a `ProcessPoolExecutor`, a `ThreadPoolExecutor`, loky's `get_reusable_executor()`: use the executor that
        is returned, which does the same. What is submitted to the one given, or was before, cannot be counted. The
        module `joblib`: returns a context, `with s.observe(joblib): Parallel(…)`. A Dask client, a cluster object, or
        an address: the dashboard's (`http://host:8787`) or the scheduler's own (`tcp://host:8786`): it is only read,
        and `stop()` of what is returned ends that; `s.scale(n)` calls the `scale` of a cluster object.
        name: what it is called in the table; "" = its class or address. tasks: of Dask, ask every worker once a second
        which task it runs.
        Raises `ArgumentError` for anything else, `CollectorError` when the collector refuses.
        """
        self._check_local("observe()")
        from tes_nb.session.clusters import is_dask, observe_scheduler  # noqa: PLC0415
        from tes_nb.session.executors import (  # noqa: PLC0415 - most sessions observe no pool
            is_joblib,
            observe_executor,
            observe_joblib,
        )

        if isinstance(what, Executor):
            return observe_executor(what, self._register_pool, name)
        if is_joblib(what):
            return observe_joblib(what, self._register_pool, name)
        if isinstance(what, str) or is_dask(what):
            observed = observe_scheduler(self._control.call, what, name, tasks=tasks)
            self._observed.append(observed)
            return observed
        raise ArgumentError(
            "observe() takes an executor of concurrent.futures or loky, the module joblib, a Dask client or cluster, "
            f"or a scheduler's address, not a {type(what).__name__}."
        )

    def cluster(self, count: int = 2) -> Client:
        """Run a Dask cluster beside the collector and return a client of it; a second call scales it.

        It works and can be scaled while a cell holds the kernel. It ends with the session. count: worker processes,
        each with one thread and its share of the memory limit. Raises `SessionError` where the extra `[cluster]` is not
        installed, `CollectorError` when the cluster cannot start.
        """
        from tes_nb.session.clusters import start_cluster  # noqa: PLC0415 - most sessions have no Dask

        self._check_local("cluster()")
        client = start_cluster(self._control.call, count)
        self._clients.append(client)
        return client

    def scale(self, count: int) -> dict[str, int]:
        """Bring the Dask cluster to so many workers; return how many are being created and terminated.

        That is the cluster of `s.cluster()`, else the newest cluster object under observation; of an attached session
        the peer's own. `s.workers` shows how far it is. Raises `CollectorError` where nothing can be scaled.
        """
        self._check_present("scale()")
        result: dict[str, int] = msgspec.to_builtins(self._call(ScaleWorkers(count=count)))
        return result

    def _check_local(self, what: str) -> None:
        self._check_present(what)
        self._raise_pending()
        if self.peer is not None:
            raise SessionError(f"This session shows {self.peer}; {what} belongs to a session of tes.start().")

    def _release_workers(self) -> None:
        """Let go of the user's objects before the collector ends."""
        for observed in self._observed:
            observed.release()
        for client in self._clients:
            with contextlib.suppress(Exception):  # it is another library's, and may be closed already
                client.close(timeout=CLOSE_S)

    def _register_pool(self, folder: str, name: str, kind: str) -> str:
        operation = ObservePool(
            folder=folder, name=name[:200], kind="thread" if kind == "thread" else "process"
        )
        return self._call(operation).id
