"""The workers stream: each worker's state, memory and queue, on every change and every second.

    {"timestamp": 1767225600000,
     "workers": {"4711-1767225000": {"id": "4711-1767225000", "status": "working", "created_at": 1767225000000,
                 "messages_processed": 0, "errors": 0, "queue_depth": 0,
                 "resource_usage": {"rss_mb": 40.1, "heap_used_mb": 30.2, "heap_total_mb": 60.0, "external_mb": 8.1},
                 "pid": 4711, "name": "python3.12", "kind": "process", "cpu_percent": 99.1, "threads": 1}},
     "summary": {"total": 1, "idle": 0, "working": 1, "error": 0, "total_queue_depth": 0}}

Ours are MiB; older peers leave fields out, and some send one `{"type": "telemetry", …}` on connect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec

from tes_nb.errors import DecodeError
from tes_nb.model import (
    Answer,
    Column,
    Decoded,
    Endpoint,
    HttpHalf,
    Kind,
    Message,
    Observation,
    Producer,
    Row,
    Stream,
    Table,
    WorkerFacts,
)
from tes_nb.model.observation import HELPERS, TASK_GROUP
from tes_nb.streams.describe import Field, Int, describe
from tes_nb.streams.row_actions import WORKER_ACTIONS
from tes_nb.streams.tes_protocol import answer_by_type, classify, is_own, ms_to_ns, pong, talk_decoded
from tes_nb.wire.json_guard import decode_json

_MIB = 2**20


class Job(msgspec.Struct):
    id: Annotated[str | None, Field("", "the current job's id", "label")] = None
    type: Annotated[str | None, Field("", "the current job's type", "label", "category")] = None
    started_at: Annotated[
        Int | None, Field("", "when the current job started", "time", "datetime64[ns, UTC]")
    ] = None
    files: Any = None


class ResourceUsage(msgspec.Struct):
    rss_mb: Annotated[
        float | None, Field("MiB", "resident memory (RSS): shared pages count in each; NA once it has ended")
    ] = None
    heap_used_mb: Annotated[float | None, Field("MiB", "heap in use (Python on Linux: RssAnon)")] = None
    heap_total_mb: Annotated[float | None, Field("MiB", "heap reserved (Python on Linux: VmData)")] = None
    external_mb: Annotated[float | None, Field("MiB", "file and shared pages")] = None


class Worker(msgspec.Struct):
    id: Annotated[str | None, Field("", "the worker's id; text, never a number", "label")] = None
    status: Annotated[str | None, Field("", "idle, working, error or terminated", "label", "category")] = None
    created_at: Annotated[Int | None, Field("", "when it was created", "time", "datetime64[ns, UTC]")] = None
    messages_processed: Annotated[Int | None, Field("", "messages processed so far", "counter")] = None
    errors: Annotated[Int | None, Field("", "errors so far", "counter")] = None
    last_error: Annotated[str | None, Field("", "the last error's text", "text")] = None
    queue_depth: Annotated[Int | None, Field("", "jobs that wait")] = None
    current_job: Job | None = None
    resource_usage: ResourceUsage = msgspec.field(default_factory=ResourceUsage)
    pid: Annotated[Int | None, Field("", "process id", "label")] = None
    name: Annotated[str | None, Field("", "the program's name, without arguments", "label")] = None
    kind: Annotated[str | None, Field("", "process, executor or dask", "label", "category")] = None
    cpu_percent: Annotated[float | None, Field("percent", "of one core, uncapped")] = None
    uss_mb: Annotated[
        float | None, Field("MiB", "memory that belongs to it alone (USS), as of the last look")
    ] = None
    threads: Annotated[Int | None, Field("", "threads")] = None
    exit_code: Annotated[Int | None, Field("", "exit code; NA while alive or unknown", "label")] = None
    role: Annotated[
        str | None,
        Field("", "what it is for, such as pool worker; else the program's name", "label", "category"),
    ] = None
    pool: Annotated[str | None, Field("", "the pool or cluster that it belongs to", "label", "category")] = (
        None
    )
    address: Annotated[str | None, Field("", "where it listens", "label")] = None
    executing: Annotated[Int | None, Field("", "jobs that it runs now")] = None
    done: Annotated[Int | None, Field("", "jobs that gave a result, so far", "counter")] = None
    failed: Annotated[Int | None, Field("", "jobs that raised, so far", "counter")] = None
    job_s: Annotated[
        float | None, Field("s", "how long the current job runs; once it has ended: how long the last had")
    ] = None
    disk_read_mb: Annotated[float | None, Field("MiB", "read from disks so far", "counter")] = None
    disk_write_mb: Annotated[float | None, Field("MiB", "written to disks so far", "counter")] = None
    descriptors: Annotated[Int | None, Field("", "open file descriptors")] = None
    managed_mb: Annotated[float | None, Field("MiB", "results that it holds in memory (Dask)")] = None
    spilled_mb: Annotated[float | None, Field("MiB", "results that it holds on disk (Dask)")] = None
    disk_read_rate_mb: Annotated[float | None, Field("MiB/s", "reads from its host's disks (Dask)")] = None
    disk_write_rate_mb: Annotated[float | None, Field("MiB/s", "writes to its host's disks (Dask)")] = None
    net_read_rate_mb: Annotated[float | None, Field("MiB/s", "received over the host's network (Dask)")] = (
        None
    )
    net_write_rate_mb: Annotated[float | None, Field("MiB/s", "sent over the host's network (Dask)")] = None


LATER = (
    *("role", "pool", "address", "executing", "done", "failed", "job_s"),
    *("disk_read_mb", "disk_write_mb", "descriptors", "managed_mb", "spilled_mb"),
    *("disk_read_rate_mb", "disk_write_rate_mb", "net_read_rate_mb", "net_write_rate_mb"),
)
"""Columns that came later stand behind all others, so that files with and without them go together."""


class Summary(msgspec.Struct):
    total: Annotated[Int | None, Field("", "workers listed")] = None
    idle: Annotated[Int | None, Field("", "idle workers")] = None
    working: Annotated[Int | None, Field("", "working workers")] = None
    error: Annotated[Int | None, Field("", "workers in error")] = None
    total_queue_depth: Annotated[Int | None, Field("", "jobs that wait, over all workers")] = None


class Workers(msgspec.Struct):
    workers: dict[str, Worker]
    timestamp: Int | None = None
    summary: Summary | None = None


class OldTelemetry(msgspec.Struct, rename="camel"):
    """`{"type":"telemetry","workerId":…,"metrics":{"cpu","memory","requests"}}`, memory in bytes."""

    class Figures(msgspec.Struct):
        cpu: float | None = None
        memory: Int | None = None
        requests: Int | None = None

    worker_id: str
    timestamp: Int | None = None
    metrics: Figures = msgspec.field(default_factory=Figures)


_worker_columns, _worker_row = describe(Worker)
_job_columns, _job_row = describe(Job)
_summary_columns, _summary_row = describe(Summary)
_usage_columns = tuple(column for column in _worker_columns if column.name.startswith("resource_usage_"))


_QUANTITIES = {
    "Memory": {"rss_mb": "resident", "heap_used_mb": "heap in use", "external_mb": "file and shared pages"}
    | {"uss_mb": "its own", "managed_mb": "results"},
    "Memory reserved": {"heap_total_mb": "heap reserved"},
    "CPU": {"cpu_percent": "CPU"},
    "Queue": {"queue_depth": "jobs that wait", "total_queue_depth": "jobs that wait"},
    "Jobs": {"executing": "running", "done": "done", "failed": "failed"},
    "Disk": {"disk_read_mb": "read", "disk_write_mb": "written"}
    | {"disk_read_rate_mb": "read by its host", "disk_write_rate_mb": "written by its host"},
    "Network": {"net_read_rate_mb": "received", "net_write_rate_mb": "sent"},
    "Workers": {"total": "listed", "idle": "idle", "working": "working", "error": "in error"},
}
"""What is measured → its columns, and what charts call them."""
_WORDS = {
    name: (title, quantity) for quantity, titles in _QUANTITIES.items() for name, title in titles.items()
}
_HEADS = {"rss_mb": "memory", "cpu_percent": "CPU", "status": "state", "queue_depth": "jobs waiting"}
_HEADS |= {"executing": "jobs running", "done": "jobs done", "failed": "jobs failed"}


def _plain(column: Column) -> Column:
    """`resource_usage_rss_mb` reads better as `rss_mb`, which no other field is called."""
    name = column.name.removeprefix("resource_usage_")
    title, quantity = _WORDS.get(name, ("", ""))
    return replace(column, name=name, title=title, quantity=quantity, head=_HEADS.get(name, ""))


_FIRST = len(_worker_columns) - len(LATER)
_JOB_NAMES = tuple(replace(column, name=f"current_job_{column.name}") for column in _job_columns)
TABLES = (
    Table(
        "workers",
        "One row a worker and message.",
        (
            *(_plain(column) for column in _worker_columns[:_FIRST]),
            *_JOB_NAMES,
            *map(_plain, _worker_columns[_FIRST:]),
        ),
        key=("id",),
        plot=("cpu_percent", "rss_mb", "queue_depth", "executing"),
        complete=True,
        first=(
            *("name", "role", "status", "cpu_percent", "rss_mb"),
            *("executing", "queue_depth", "done", "failed", "current_job_type", "last_error", "pid"),
        ),
        empty="no child processes",
        label=("role", "name", "pid"),
        actions=WORKER_ACTIONS,
        undrawn=("role", (*HELPERS, TASK_GROUP)),
    ),
    Table("summary", "The summary of each message.", tuple(map(_plain, _summary_columns))),
    Table(
        "health",
        "One row for each change of a worker's status, also its appearing and leaving; one more, from terminated to "
        "terminated, where the reason of its end comes later.",
        (
            Column("worker", "str", "", "label", "the worker's id"),
            Column("from", "category", "", "label", "the status before; NA = it was not listed"),
            Column("to", "category", "", "label", "the status after; NA = it is no longer listed"),
            Column("reason", "str", "", "text", "the worker's last error, if it gave one"),
        ),
        key=("worker",),
    ),
)
_NO_JOB = Job()
_CREATED_AT = TABLES[0].names.index("created_at")
_decoder = msgspec.json.Decoder(Workers)
_old_decoder = msgspec.json.Decoder(OldTelemetry)


def decode(message: Message) -> Decoded:
    """One telemetry message → a row of `workers` per worker, one of `summary`."""
    talk = talk_decoded(message)
    if talk is not None:
        return talk
    try:
        telemetry = decode_json(message.payload, _decoder, check=not is_own(message))
    except DecodeError as error:
        return _decode_old(message, error)
    rows = [_row(worker_id, worker) for worker_id, worker in telemetry.workers.items()]
    summary = [] if telemetry.summary is None else [_summary_row(telemetry.summary)]
    return Decoded(Kind.DATA, {"workers": rows, "summary": summary}, ms_to_ns(telemetry.timestamp))


def _row(worker_id: str, worker: Worker) -> Row:
    worker.id = worker_id if worker.id is None else worker.id
    values = list(_worker_row(worker))
    values[_CREATED_AT] = ms_to_ns(worker.created_at)
    job_id, job_type, started_at = _job_row(worker.current_job or _NO_JOB)
    return (*values[:_FIRST], job_id, job_type, ms_to_ns(started_at), *values[_FIRST:])


def _decode_old(message: Message, first: DecodeError) -> Decoded:
    try:
        old = decode_json(message.payload, _old_decoder, check=not is_own(message))
    except DecodeError:
        raise first from None
    memory = None if old.metrics.memory is None else old.metrics.memory / _MIB
    worker = Worker(
        id=old.worker_id,
        messages_processed=old.metrics.requests,
        cpu_percent=old.metrics.cpu,
        resource_usage=ResourceUsage(rss_mb=memory),
    )
    return Decoded(Kind.DATA, {"workers": [_row(old.worker_id, worker)]}, ms_to_ns(old.timestamp))


_ID, _STATUS, _LAST_ERROR = (TABLES[0].names.index(name) for name in ("id", "status", "last_error"))


def fold(memory: dict[str, Any], message: Message, decoded: Decoded) -> Mapping[str, Sequence[Row]]:
    """Compare with the message before: rows of `health`. A message without a summary is no full list."""
    del message
    if decoded.kind is not Kind.DATA or not decoded.rows.get("summary"):
        return {}
    before: dict[str, Any] = memory.get("status", {})
    rows = decoded.rows["workers"]
    now = {row[_ID]: row[_STATUS] for row in rows}
    changes: list[Row] = [
        (row[_ID], before.get(row[_ID]), row[_STATUS], row[_LAST_ERROR])
        for row in rows
        if before.get(row[_ID]) != row[_STATUS]
        or (row[_ID] in memory.get("unexplained", ()) and row[_LAST_ERROR] is not None)
    ]
    changes += [
        (worker_id, status, None, None) for worker_id, status in before.items() if worker_id not in now
    ]
    memory["status"] = now
    memory["unexplained"] = {
        row[_ID] for row in rows if row[_STATUS] == "terminated" and row[_LAST_ERROR] is None
    }
    return {"health": changes}


def build(observation: Observation) -> dict[str, Any]:
    """The canonical message. Helpers and whole pools are listed, with their role, and counted in no summary."""
    counted = tuple(worker for worker in observation.workers if worker.is_counted)
    return {
        "timestamp": observation.wall_ms,
        "workers": {worker.id: worker_message(worker) for worker in observation.workers},
        "summary": {
            "total": len(counted),
            "idle": _count(counted, "idle"),
            "working": _count(counted, "working"),
            "error": _count(counted, "error"),
            "total_queue_depth": sum(worker.queue_depth for worker in observation.workers),
        },
    }


def _count(workers: tuple[WorkerFacts, ...], status: Literal["idle", "working", "error"]) -> int:
    return sum(worker.status == status for worker in workers)


def worker_message(worker: WorkerFacts) -> dict[str, Any]:
    """One WORKER; what is not known is left out (states: decisions/0004)."""
    usage = {
        "rss_mb": _mib(worker.rss),
        "heap_used_mb": _mib(worker.heap_used),
        "heap_total_mb": _mib(worker.heap_total),
        "external_mb": _mib(worker.external),
    }
    fields: dict[str, Any] = {
        "id": worker.id,
        "status": worker.status,
        "created_at": worker.created_at_ms,
        "messages_processed": worker.messages_processed,
        "errors": worker.errors,
        "last_error": worker.last_error,
        "current_job": None if worker.current_job is None else dict(worker.current_job),
        "resource_usage": {name: value for name, value in usage.items() if value is not None},
        "queue_depth": worker.queue_depth,
        "pid": worker.pid,
        "name": worker.name,
        "kind": worker.kind,
        "cpu_percent": worker.cpu_percent,
        "uss_mb": _mib(worker.uss),
        "threads": worker.threads,
        "exit_code": worker.exit_code,
        "role": worker.role or None,
        "pool": worker.pool,
        "address": worker.address,
        "executing": worker.executing,
        "done": worker.done,
        "failed": worker.failed,
        "job_s": None if worker.job_s is None else round(worker.job_s, 3),
        "disk_read_mb": _mib(worker.disk_read),
        "disk_write_mb": _mib(worker.disk_write),
        "descriptors": worker.descriptors,
        "managed_mb": _mib(worker.managed),
        "spilled_mb": _mib(worker.spilled),
        "disk_read_rate_mb": _mib(worker.disk_read_rate),
        "disk_write_rate_mb": _mib(worker.disk_write_rate),
        "net_read_rate_mb": _mib(worker.net_read_rate),
        "net_write_rate_mb": _mib(worker.net_write_rate),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _mib(value: float | None) -> float | None:
    return None if value is None else round(value / _MIB, 3)


def changed(message: dict[str, Any]) -> object:
    """What makes a push: who is listed, and how each one is."""
    return {
        name: (worker["status"], worker.get("last_error"), worker["errors"])
        for name, worker in message["workers"].items()
    }


def answer(payload: bytes, now_ms: int) -> Answer:
    """Acknowledge a heartbeat, answer a ping."""
    return answer_by_type(
        payload,
        {
            "heartbeat": lambda _: Answer({"type": "heartbeat-ack", "receivedAt": now_ms}),
            "ping": lambda _: pong(now_ms),
        },
    )


STREAM = Stream(
    name="workers",
    extras="tes_nb.session.worker_actions:EXTRAS",
    doc="Each worker's state, memory and queue, on every change and every second.",
    endpoint=Endpoint("workers", "/ws/workers/telemetry"),
    tables=TABLES,
    main="workers",
    view="table",
    period_s=1.0,
    decode=decode,
    classify=classify,
    fold=fold,
    folded=("health",),
    heartbeat=b'{"type":"heartbeat"}',
    producer=Producer(
        build=build,
        period_s=1.0,
        changed=changed,
        answer=answer,
        http=(
            HttpHalf(
                "workers",
                "/api/workers/registry",
                lambda message: message["workers"],
                {"Cache-Control": "no-store"},
                open=False,
            ),
            HttpHalf(
                "status",
                "/api/dev/workers",
                lambda message: {"workers": message["workers"], "timestamp": message["timestamp"]},
                {"Cache-Control": "no-store"},
                open=False,
            ),
        ),
    ),
)
