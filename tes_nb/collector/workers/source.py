"""What a source of workers is: the processes below the kernel, the user's executors, Dask clusters.

A source says which workers there are (`facts`), and tells of changes through `context.on_change`. Whatever else it can
do, it overrides: scale, stacks, snapshots, operations of the control socket. All of it happens on the collector's loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tes_nb.collector.samplers.process_reader import ProcessReader
from tes_nb.collector.samplers.shares import ShareSampler
from tes_nb.errors import CollectorError
from tes_nb.model import HostFacts, WorkerFacts
from tes_nb.model.control import ScaleResult
from tes_nb.model.operation import Operation
from tes_nb.wire.events import Gap

Handler = Callable[[Any], Awaitable[object]]
"""Carries out an operation and returns its result; a `TesError` or `ValueError` becomes the sentence of the reply."""


class ScaleRefused(CollectorError):
    """Nothing here can be scaled, or it does not want to be."""

    def __init__(self, sentence: str, *, status: int = 409) -> None:
        """status: the HTTP status that says the same."""
        super().__init__(sentence)
        self.status = status


Scaler = Callable[[int], Awaitable[ScaleResult]]
"""Brings the number of workers to that count."""


def _nobody() -> Collection[int]:
    return ()


def _nothing() -> None:
    """Nobody wants to know of changes."""


def _no_gap(_gap: Gap) -> None:
    """Nobody wants to know of gaps."""


def _no_limits() -> HostFacts:
    return HostFacts(2**30, 1.0, "")


def _no_processes() -> Mapping[int, WorkerFacts]:
    return {}


def _none_listed() -> Sequence[WorkerFacts]:
    return ()


@dataclass(frozen=True, kw_only=True)
class SourceContext:
    """What a collector gives each of its sources."""

    observed_pid: int
    """The kernel's process, or whichever is observed."""
    reader: ProcessReader
    shares: ShareSampler | None = None
    """Who knows which memory belongs to one process alone; `None` = nobody."""
    exclude: Callable[[], Collection[int]] = _nobody
    """Gives pids that, with all below them, are no workers."""
    on_change: Callable[[], None] = _nothing
    """To be called when workers come, go, or are otherwise than before; often does no harm."""
    processes: Callable[[], Mapping[int, WorkerFacts]] = _no_processes
    """Gives the listed processes by pid; of two with one pid, the newer."""
    every_process: Callable[[], Sequence[WorkerFacts]] = _none_listed
    """Gives all listed processes, in the order in which they were seen: those, too, whose pid is another's now."""
    on_gap: Callable[[Gap], None] = _no_gap
    """To be called when a time begins, and ends, in which nobody knows how the workers are."""
    host: Callable[[], HostFacts] = _no_limits
    """Gives the limits of memory and processors that apply."""
    most_workers: int = 16
    """How many workers a cluster of tes_nb's own may have."""


class WorkerSource:
    """Knows of some workers. What it does not know of one is `None` in its facts, never 0."""

    name = ""
    """The name under which it stands in `NAMES`."""

    def facts(self) -> tuple[WorkerFacts, ...]:
        """Return its workers; cheap, and the same tuple again while nothing has changed.

        A worker with the id "" is the process of its `pid`: it is listed under that process's id, and once that is
        listed; one with a process's id is that process. One with an id of its own and a `pid` of this machine stands in
        place of that process. Each gets from the process what the source does not know. Ids never change while a worker
        is listed (`check_id` says what one may be).
        """
        raise NotImplementedError

    async def start(self) -> None:
        """Begin to look, in tasks of the running loop."""

    async def close(self) -> None:
        """End what `start` began, and what belongs to it. May be called twice."""

    def operations(self) -> Mapping[type[Operation[Any]], Handler]:
        """Return the operations of the control socket that it carries out."""
        return {}

    def scaler(self) -> Scaler | None:
        """Return what starts and ends its workers; `None` = it cannot."""
        return None

    async def stack(self, worker: WorkerFacts) -> str | None:
        """Return what one of its workers does: a heading, and a line `file.py:12 in function` a call, outermost first.

        `None` = ask the process itself. Raises `CollectorError` with why not.
        """
        del worker
        return None

    def stack_folders(self) -> Sequence[str]:
        """Return where its workers have prepared themselves to be asked for their stacks."""
        return ()

    async def snapshot(self, worker: WorkerFacts) -> Mapping[str, Any]:
        """Return what one of its workers holds: objects by type, allocations by site, whether that is all.

        {} = nobody there can say. Raises `CollectorError` with why it does not.
        """
        del worker
        return {}
