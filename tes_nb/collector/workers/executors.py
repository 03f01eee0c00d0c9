"""Pools of the user's that the kernel has given to `s.observe`: their queue, their jobs, and which worker runs what.

The kernel and the workers write that to memory that is read here (`tes_nb/jobs/slots.py`); nobody sends anything, so it
is as fresh while the kernel is held, and still there when a worker was killed. What a worker holds
(`tes_nb/jobs/holds.py`) it is asked itself, for some seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from tes_nb.collector.samplers.worker_life import safe_name
from tes_nb.collector.workers.registry import last_words
from tes_nb.collector.workers.source import Handler, SourceContext, WorkerSource
from tes_nb.errors import CollectorError
from tes_nb.jobs import slots
from tes_nb.jobs.holds import ANSWER, PIPE
from tes_nb.jobs.slots import JobCounts, JobSlot, read_counts, read_slots
from tes_nb.model import WorkerFacts
from tes_nb.model.observation import WorkerStatus
from tes_nb.model.operation import Operation
from tes_nb.model.work_control import ObservePool, SeenPool

PERIOD_S = 0.1
KEEP_CLOSED_S = 60.0
MOST = 100
CLOCKS_MS = 20
"""So much later than its first job a process may seem to have begun: the system counts in hundredths of a second."""
_FOLDER = re.compile(rf"{slots.FOLDER}\d+-\d+")


@dataclass
class ObservedPool:
    """A pool, and what was read of it last."""

    id: str
    folder: Path
    name: str
    kind: str
    created_at_ms: int
    counts: JobCounts = field(default_factory=JobCounts)
    running: list[JobSlot] = field(default_factory=list)
    broken: str = ""
    """What a worker of a broken pool died of."""
    closed_at: float | None = None
    """Monotonic seconds; `None` = it takes jobs."""


class ExecutorWorkers(WorkerSource):
    """Reads the folders of the pools, ten times a second."""

    name = "executors"

    def __init__(self, context: SourceContext) -> None:
        self._context = context
        self._pools: dict[str, ObservedPool] = {}
        self._facts: tuple[WorkerFacts, ...] = ()
        self._task: asyncio.Task[None] | None = None
        self._number = 0

    def facts(self) -> tuple[WorkerFacts, ...]:
        """Return the pools, their threads, and their processes."""
        return self._facts

    def operations(self) -> Mapping[type[Operation[Any]], Handler]:
        """Return that a pool is given."""
        return {ObservePool: self.observe}

    async def observe(self, operation: ObservePool) -> SeenPool:
        """List a pool. Raises ValueError with a sentence."""
        folder = Path(operation.folder)
        if not is_jobs_folder(folder):
            raise ValueError("A pool's folder is one that the kernel has made for it in its runtime folder.")
        if len(self._pools) >= MOST:
            raise ValueError(f"At most {MOST} pools are listed; shut down those that are not needed.")
        self._number += 1
        pool = ObservedPool(
            f"pool-{self._number}",
            folder,
            safe_name(operation.name),
            operation.kind,
            time.time_ns() // 1_000_000,
        )
        self._pools[pool.id] = pool
        self._read()
        if self._task is None:
            self._task = asyncio.create_task(self._follow(), name="pools")
        return SeenPool(pool.id)

    def stack_folders(self) -> list[str]:
        """Return the pools' folders: each worker prepares itself in that of the first pool it works for."""
        return [str(pool.folder) for pool in self._pools.values()]

    async def snapshot(self, worker: WorkerFacts) -> Mapping[str, Any]:
        """Return what one of its processes holds. Raises `CollectorError` with why it does not say."""
        if worker.pid is None:
            return {}
        started = [
            pool.folder for pool in self._pools.values() if (pool.folder / f"{PIPE}{worker.pid}").exists()
        ]
        folders = started or [
            pool.folder for pool in self._pools.values() if (pool.folder / str(worker.pid)).exists()
        ]
        return await read_holds(folders[0], worker.pid) if folders else {}

    async def close(self) -> None:
        """End reading, and remove the folders."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        for pool in self._pools.values():
            shutil.rmtree(pool.folder, ignore_errors=True)
        self._pools = {}

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_S)
            self._read()

    def _read(self) -> None:
        """Look at every pool; make facts where anything is otherwise."""
        now = time.monotonic()
        for pool in tuple(self._pools.values()):
            if pool.closed_at is not None and now - pool.closed_at > KEEP_CLOSED_S:
                shutil.rmtree(pool.folder, ignore_errors=True)
                del self._pools[pool.id]
        processes = self._context.processes()
        facts = tuple(one for pool in self._pools.values() for one in self._pool_facts(pool, processes, now))
        before, self._facts = self._facts, facts
        if [_health(one) for one in before] != [_health(one) for one in facts]:
            self._context.on_change()

    def _pool_facts(
        self, pool: ObservedPool, processes: Mapping[int, WorkerFacts], now: float
    ) -> Iterator[WorkerFacts]:
        counts = read_counts(str(pool.folder / slots.POOL))
        if counts is not None:
            pool.counts = counts
        elif pool.closed_at is None and not (pool.folder / slots.POOL).exists():  # the kernel has removed it
            pool.counts.state = max(pool.counts.state, slots.CLOSED)
        pool.running = []
        workers = [one for pid in self._pids(pool) for one in self._worker_facts(pool, pid, processes)]
        ends = pool.counts.state == slots.BROKEN or (
            pool.counts.state == slots.CLOSED and (counts is None or not _open_jobs(pool.counts))
        )
        if ends and not pool.running and pool.closed_at is None:
            pool.closed_at = now
        yield self._own_facts(pool)
        yield from workers

    def _pids(self, pool: ObservedPool) -> list[int]:
        try:
            return sorted(int(path.name) for path in pool.folder.iterdir() if path.name.isdecimal())
        except OSError:
            return []

    def _worker_facts(
        self, pool: ObservedPool, pid: int, processes: Mapping[int, WorkerFacts]
    ) -> Iterator[WorkerFacts]:
        """What the threads of the kernel do, or one worker process does."""
        job_slots = list(read_slots(str(pool.folder / str(pid))))
        if pid == self._context.observed_pid:
            for slot in job_slots:
                if slot.job:
                    pool.running.append(slot)
                thread = _facts(pool, [slot], id=f"{pool.id}-{slot.thread}", pid=None, role="pool thread")
                yield (
                    thread if pool.closed_at is None else replace(thread, status="terminated", executing=None)
                )
            return
        process = self._process(pid, job_slots, processes)
        if process is None and pid in processes:
            return  # it is forgotten, and its pid another's
        alive = process is not None and process.status in ("idle", "working")
        if alive:
            pool.running += [slot for slot in job_slots if slot.job]
        worker = _facts(pool, job_slots, id="" if process is None else process.id, pid=pid, role="")
        if process is not None and process.status == "error" and worker.current_job is not None:
            pool.broken = last_words(worker, process) or ""
        yield worker

    def _process(
        self, pid: int, job_slots: list[JobSlot], processes: Mapping[int, WorkerFacts]
    ) -> WorkerFacts | None:
        """Return the process of that pid that has written this: a pid is given again when its process has ended."""
        newest, latest_ms = (
            processes.get(pid),
            max((slot.started_ns for slot in job_slots), default=0) // 1_000_000,
        )
        if newest is None or not job_slots or newest.created_at_ms <= latest_ms + CLOCKS_MS:
            return newest
        before = [one for one in self._context.every_process() if one.pid == pid and one is not newest]
        return next((one for one in reversed(before) if one.created_at_ms <= latest_ms + CLOCKS_MS), None)

    def _own_facts(self, pool: ObservedPool) -> WorkerFacts:
        counts, running = pool.counts, pool.running
        broken = counts.state == slots.BROKEN
        status: WorkerStatus = "working" if running else "idle"
        if broken:
            status = "error"
        elif pool.closed_at is not None:
            status = "terminated"
        oldest = min(running, key=lambda slot: slot.started_ns, default=None)
        last_error = (broken and pool.broken) or safe_name(counts.last_error) or None
        return WorkerFacts(
            id=pool.id,
            pid=None,
            name=pool.name,
            kind="executor",
            status=status,
            created_at_ms=pool.created_at_ms,
            errors=counts.failed,
            last_error=last_error,
            messages_processed=counts.done,
            queue_depth=max(0, _open_jobs(counts) - len(running)),
            current_job=_job(oldest),
            role=f"{pool.kind} pool",
            executing=len(running),
            done=counts.done,
            failed=counts.failed,
            job_s=_job_s(oldest),
        )


def _open_jobs(counts: JobCounts) -> int:
    """Jobs that wait or run: in a pool that was shut down they go on."""
    return counts.submitted - counts.done - counts.failed - counts.cancelled


def is_jobs_folder(folder: Path) -> bool:
    """Whether a kernel of this user has made it; a kernel's runtime folder may be another than this process's."""
    try:
        facts = folder.lstat()
    except (OSError, ValueError):
        return False
    ours = _FOLDER.fullmatch(folder.name) is not None and folder.parent.name.startswith("tes_nb")
    return ours and folder.is_absolute() and stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid()


def _facts(pool: ObservedPool, job_slots: list[JobSlot], **identity: Any) -> WorkerFacts:
    """What a process or a thread of a pool does."""
    running = [slot for slot in job_slots if slot.job]
    current = running[0] if running else None
    done, failed = sum(slot.done for slot in job_slots), sum(slot.failed for slot in job_slots)
    return WorkerFacts(
        **identity,
        name="" if identity["pid"] else pool.name,
        kind="executor",
        status="working" if running else "idle",
        created_at_ms=pool.created_at_ms,
        messages_processed=done,
        current_job=_job(current),
        pool=f"{pool.name} ({pool.id})",
        executing=len(running),
        done=done,
        failed=failed,
        job_s=_job_s(current),
    )


def _job(slot: JobSlot | None) -> dict[str, Any] | None:
    if slot is None:
        return None
    return {"id": str(slot.job), "type": safe_name(slot.name), "started_at": slot.started_ns // 1_000_000}


def _job_s(slot: JobSlot | None) -> float | None:
    return None if slot is None else max(0.0, (time.time_ns() - slot.started_ns) / 1e9)


def _health(worker: WorkerFacts) -> tuple[object, ...]:
    return worker.id, worker.pid, worker.status, worker.last_error, worker.errors


SOURCE = ExecutorWorkers


WAIT_S = 4.0
"""Who can run at all has answered by then, a busy one, too."""
MOST_BYTES = 2**20
_POLL_S = 0.02


async def read_holds(folder: Path, pid: int) -> dict[str, Any]:
    """Return {"objects", "allocations", "tracing", "complete"}, see there; not complete = more would have come.

    Raises `CollectorError` with a sentence: why it does not say.
    """
    answer = folder / f"{ANSWER}{pid}"
    answer.unlink(missing_ok=True)
    try:
        handle = os.open(folder / f"{PIPE}{pid}", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        raise CollectorError(
            f"The process {pid} has run no job yet, or has ended: nobody there answers."
        ) from None
    try:
        with contextlib.suppress(BlockingIOError):  # it has been asked often enough
            os.write(handle, b"?")
    finally:
        os.close(handle)
    content: dict[str, Any] | None = None
    end = time.monotonic() + WAIT_S
    while (content is None or not content["complete"]) and time.monotonic() < end:
        await asyncio.sleep(_POLL_S)
        content = _read_answer(answer) or content
    if content is None:
        raise CollectorError(
            f"The process {pid} did not answer within {WAIT_S:g} s: C code does not let go of the interpreter "
            "there, or the process is stopped."
        )
    return content


def _read_answer(path: Path) -> dict[str, Any] | None:
    """Return the answer; `None` = there is none yet. What a user's process wrote is no more trusted than others."""
    try:
        with path.open("rb") as file:
            content = msgspec.json.decode(file.read(MOST_BYTES), type=dict[str, Any])
        types = [
            {"type": safe_name(str(one["type"])), "count": int(one["count"])}
            for one in content["objects"]["types"]
        ]
        sites = content["allocations"]
        return {
            "objects": {
                **{name: int(content["objects"][name]) for name in ("total", "counted")},
                "types": types,
            },
            "allocations": None if sites is None else [dict(one) for one in sites],
            "tracing": bool(content["tracing"]),
            "complete": bool(content["complete"]),
        }
    except (OSError, ValueError, KeyError, TypeError, msgspec.MsgspecError):
        return None
