"""What the workers port offers beside its stream: snapshots, stacks, a count, and `POST /api/workers/scale`."""

from __future__ import annotations

import asyncio
import gzip
import math
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

import msgspec
import psutil
from aiohttp import web

from tes_nb.collector.http.guard import json_answer, sentence
from tes_nb.collector.http.sockets import Sockets
from tes_nb.collector.observer import Observer
from tes_nb.collector.samplers.process_reader import default_reader
from tes_nb.collector.samplers.worker_life import check_id, worker_id
from tes_nb.collector.stacks import StackRoutes
from tes_nb.collector.workers.cluster_process import MISSING
from tes_nb.collector.workers.registry import WorkerRegistry
from tes_nb.collector.workers.source import Scaler, ScaleRefused
from tes_nb.errors import CollectorError
from tes_nb.model import WorkerFacts
from tes_nb.model.control import ScaleResult, ScaleWorkers
from tes_nb.model.work_control import GetStack, ProcessStack, TakeSnapshot, WorkerSnapshot

__all__ = ["PERIOD_S", "Allowance", "SnapshotLimiter", "check_id", "file_name", "read_snapshot"]

PERIOD_S = 10.0
"""One snapshot a worker in this time."""
_THREADS_MOST = 1000
SNAPSHOT_S = 5.0
"""What is not known by then is left out, and said."""
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Allowance:
    """The limiter's answer."""

    allowed: bool
    wait_s: float
    """Until the next snapshot of this worker is allowed."""
    headers: dict[str, str]
    """What the HTTP answer carries, allowed or not."""


class SnapshotLimiter:
    """Allows one snapshot per worker and period. Remembers live workers only, so its memory cannot grow."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`clock` gives monotonic seconds and decides; `wall` is only shown."""
        self._clock = clock
        self._wall = wall
        self._last: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._last)

    def ask(self, worker: str, live: Collection[str]) -> Allowance:
        """Ask for one snapshot of a worker in `live`. Raises KeyError for any other id: answer 404."""
        self._last = {one: at for one, at in self._last.items() if one in live}
        if worker not in live:
            raise KeyError(worker)
        now = self._clock()
        left_s = self._last.get(worker, -math.inf) + PERIOD_S - now
        if left_s > 0:
            return self._answer(allowed=False, wait_s=left_s)
        self._last[worker] = now
        return self._answer(allowed=True, wait_s=PERIOD_S)

    def _answer(self, *, allowed: bool, wait_s: float) -> Allowance:
        headers = {
            "X-RateLimit-Limit": "1",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(math.ceil(self._wall() + wait_s)),  # Unix seconds
        }
        if not allowed:
            headers["Retry-After"] = str(max(1, math.ceil(wait_s)))
        return Allowance(allowed, wait_s, headers)


def file_name(worker: str, wall_ms: int) -> str:
    """Return the name for `Content-Disposition`. The id must have passed `check_id`."""
    return f"worker-{check_id(worker)}-{wall_ms}.json.gz"


async def read_snapshot(worker: WorkerFacts) -> dict[str, Any] | None:
    """Return what the worker's row and the system say; `None` = its process is gone.

    Reading a big process takes time, so a thread does it. The snapshot never holds arguments, environment,
    names of open files or contents of memory.
    """
    return await asyncio.to_thread(_snapshot_of, worker, time.time_ns() // 1_000_000)


def _snapshot_of(worker: WorkerFacts, wall_ms: int) -> dict[str, Any] | None:
    process: dict[str, Any] | None = None
    if worker.pid is not None and worker.id.startswith(f"{worker.pid}-"):  # else it may be another machine's
        process = _process_state(worker)
        if process is None:
            return None
    return {
        "version": _VERSION,
        "taken_at": datetime.fromtimestamp(wall_ms / 1000, UTC).isoformat(timespec="milliseconds"),
        "units": {"memory": "bytes", "times": "s"},
        "worker": asdict(worker),
        "process": process,
    }


def _process_state(worker: WorkerFacts) -> dict[str, Any] | None:
    """Return what the system says about the process; `None` when that pid is another process by now."""
    try:
        if worker.pid is None:
            return None
        process = psutil.Process(worker.pid)
        times = default_reader().times(worker.pid)
        if times is None or times.zombie or worker_id(worker.pid, times.born) != worker.id:
            return None
        with process.oneshot():
            return {name: _unless_refused(read, process) for name, read in _READINGS.items()}
    except (psutil.NoSuchProcess, OSError):
        return None


def _unless_refused(read: Callable[[psutil.Process], Any], process: psutil.Process) -> Any:
    """Return the reading; `None` where the system or the platform does not give it."""
    try:
        return read(process)
    except (psutil.AccessDenied, AttributeError, NotImplementedError):
        return None


_READINGS: dict[str, Callable[[psutil.Process], Any]] = {
    "memory": lambda process: process.memory_full_info()._asdict(),
    "cpu_times": lambda process: process.cpu_times()._asdict(),
    "threads": lambda process: [thread._asdict() for thread in process.threads()[:_THREADS_MOST]],
    "thread_count": lambda process: process.num_threads(),
    "open_descriptors": lambda process: process.num_fds(),
    "context_switches": lambda process: process.num_ctx_switches()._asdict(),
    "io": lambda process: process.io_counters()._asdict(),
    "nice": lambda process: process.nice(),
    "status": lambda process: process.status(),
    "created_at": lambda process: process.create_time(),
}


_NOT_OBSERVED = "Only the processes of a pool under observation say what they hold: pool = s.observe(pool)."
_NOT_TRACED = (
    "tracemalloc is off in that process; after tracemalloc.start() in it a snapshot has allocations by site."
)


async def _in_time(awaitable: Awaitable[Any]) -> Any:
    """Raises `CollectorError` where it takes too long."""
    try:
        async with asyncio.timeout(SNAPSHOT_S):
            return await awaitable
    except TimeoutError:
        raise CollectorError(f"It took longer than {SNAPSHOT_S:.0f} s.") from None


class WorkerRoutes:
    """Answers about workers."""

    def __init__(self, observer: Observer, sockets: Sockets, stacks: StackRoutes) -> None:
        self._observer = observer
        self._stacks = stacks
        self._sockets = sockets
        self._limiter = SnapshotLimiter()

    async def status(self, request: web.Request) -> web.Response:
        """`{"connected": n}`: open WebSocket connections."""
        del request
        return json_answer({"connected": self._sockets.foreign})

    async def snapshot(self, request: web.Request) -> web.Response:
        """gzip-compressed JSON of one worker's memory and state."""
        try:
            worker_id = check_id(request.match_info["id"])
        except ValueError as error:
            return sentence(400, str(error))
        try:
            allowance = self._limiter.ask(worker_id, self._live())
        except KeyError:
            return sentence(404, "There is no live worker of that id.")
        if not allowance.allowed:
            text = f"A snapshot of this worker was taken a moment ago; the next may be in {allowance.wait_s:.0f} s."
            return sentence(429, text, allowance.headers)
        return await self._snapshot_response(worker_id, allowance.headers)

    def _live(self) -> set[str]:
        return {
            worker.id
            for worker in self._observer.workers.facts()
            if worker.exit_code is None and worker.status != "terminated"
        }

    async def take(self, operation: TakeSnapshot) -> WorkerSnapshot:
        """The same over the control socket. Raises `CollectorError` where there is no such worker, or too soon."""
        try:
            allowance = self._limiter.ask(check_id(operation.worker), self._live())
        except KeyError:
            raise CollectorError("There is no live worker of that id.") from None
        if not allowance.allowed:
            raise CollectorError(
                f"A snapshot of this worker was taken a moment ago; the next may be in {allowance.wait_s:.0f} s."
            )
        content = await self._content(operation.worker)
        if content is None:
            raise CollectorError("That worker has ended.")
        return content

    async def _content(self, worker_id: str) -> WorkerSnapshot | None:
        """What can be known within the time; what could not be read is named, with the reason."""
        worker = self._observer.workers.find(worker_id)
        if worker is None:
            return None
        content = await read_snapshot(worker)
        if content is None:
            return None
        stack, holds, unread = None, None, dict[str, str]()
        results = await asyncio.gather(
            _in_time(self._stacks.stack(GetStack(worker=worker_id))),
            _in_time(self._observer.workers.snapshot(worker)),
            return_exceptions=True,
        )
        for name, result in zip(("stack", "holds"), results, strict=True):
            if isinstance(result, CollectorError):
                unread[name] = str(result)
            elif isinstance(result, BaseException):
                raise result
            elif isinstance(result, ProcessStack):
                stack = result
            else:
                holds = dict(result) or None
        if holds is None:
            unread.setdefault("holds", _NOT_OBSERVED)
        elif not holds["tracing"]:
            unread["allocations"] = _NOT_TRACED
        short = holds is not None and (
            not holds["complete"] or holds["objects"]["counted"] < holds["objects"]["total"]
        )
        partial = short or stack is None or holds is None
        return WorkerSnapshot(**content, stack=stack, holds=holds, partial=partial, unread=unread or None)

    async def _snapshot_response(self, worker_id: str, headers: dict[str, str]) -> web.Response:
        content = await self._content(worker_id)
        if content is None:
            return sentence(404, "That worker has ended.")
        body = gzip.compress(msgspec.json.encode(content), mtime=0)
        name = file_name(worker_id, time.time_ns() // 1_000_000)
        return web.Response(
            body=body,
            content_type="application/gzip",
            headers={
                "Content-Disposition": f'attachment; filename="{name}"',
                "Cache-Control": "no-store",
                **headers,
            },
        )


BODY_TIMEOUT_S = 4.0
MOST = 1000
"""More is a mistake; a cluster of tes_nb's own has a lower limit."""
_MOST_DIGITS = 9
_HOW = "s.cluster(4) in a notebook, or tes-nb serve --cluster 4, runs a Dask cluster that can be scaled."


def parse_count(body: Any) -> int:
    """Return the count in the body of a scale request: `{"count": 3}`, or its text `{"count": "3"}`.

    Raises ValueError with a sentence for everything else: 0 to `MOST` and nothing but digits.
    """
    if not isinstance(body, dict) or set(body) != {"count"}:
        raise ValueError(
            'The body must be a JSON object with "count" and nothing else, for example {"count": 2}.'
        )
    value = body["count"]
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f'"count" must be a whole number from 0 to {MOST}.')
    if not 0 <= value <= MOST:
        text = value if abs(value) < 10**_MOST_DIGITS else "a number of that size"
        raise ValueError(f'"count" must be from 0 to {MOST}, not {text}.')
    return value


class ScaleRoutes:
    """Scales whatever can be scaled here."""

    def __init__(self, workers: WorkerRegistry, peer: Scaler | None) -> None:
        """peer: scales the TES that this collector reads; `None` = it reads none."""
        self._workers = workers
        self._peer = peer

    async def scale(self, request: web.Request) -> web.Response:
        """`{"count": n}` → `{"created": n, "terminated": n}`; anything else is 422 and changes nothing.

        409 = there is nothing here that can be scaled, or it does not want to be; 501 = the extra is not installed.
        """
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await request.read()
        except TimeoutError:
            return sentence(408, f"The request's body did not come within {BODY_TIMEOUT_S:.0f} s.")
        try:
            count = parse_count(msgspec.json.decode(body))
            return json_answer(await self.scale_operation(ScaleWorkers(count=count)))
        except ScaleRefused as error:
            return sentence(error.status, str(error))
        except CollectorError as error:
            return sentence(503, str(error))
        except msgspec.MsgspecError:
            return sentence(422, "The body is not valid JSON.")
        except (ValueError, RecursionError) as error:
            return sentence(422, str(error))

    async def scale_operation(self, operation: ScaleWorkers) -> ScaleResult:
        """The same over the control socket. Raises `ScaleRefused` where there is nothing to scale."""
        scale = self._workers.scaler() or self._peer
        if scale is None:
            raise self._refusal()
        return await scale(operation.count)

    def why_not(self) -> str | None:
        """Say why nothing can be scaled just now; `None` = something can."""
        scalable = (self._workers.scaler() or self._peer) is not None
        return None if scalable else str(self._refusal())

    def _refusal(self) -> ScaleRefused:
        workers = self._workers.facts()
        observed = next((worker for worker in workers if worker.role == "dask scheduler"), None)
        if observed is not None:
            return ScaleRefused(
                f"{observed.name} is observed by its address, and a scheduler has no means to start or end workers "
                f"(dask/distributed#6907): observe the cluster object, s.observe(cluster). {_HOW}"
            )
        if any(worker.kind == "executor" for worker in workers):
            return ScaleRefused(f"The size of a pool is set where it is made, by max_workers. {_HOW}")
        if find_spec("distributed") is None:
            return ScaleRefused(f"There is nothing to scale here. {MISSING}", status=501)
        return ScaleRefused(f"There is nothing to scale here. {_HOW}")
