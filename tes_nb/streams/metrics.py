"""The metrics stream: HTTP, WebSocket, memory and CPU figures of the observed process, every 500 ms.

    {"type": "metrics", "timestamp": 1767225600000,
     "http": {"pendingRequests": 0, "totalRequests": 12},
     "websockets": {"pendingConnections": 2, "subscribers": {"metrics": 2}, "totalSubscribers": 2},
     "memory": {"heapUsed": 52428800, "heapTotal": 104857600, "rss": 83886080, "external": 0, "arrayBuffers": 0},
     "cpu": {"percent": 3.1, "cores": 0.03, "user_ms": 12.0, "system_ms": 3.0},
     "limits": {"memory": 8589934592, "cores": 2.0},
     "total": {"cores": 1.9, "memory": 213886080}}

Old peers leave out `cpu`, `total`, most of `memory`, and count other topics.
"""

from __future__ import annotations

from typing import Annotated, Any

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
)
from tes_nb.streams.describe import Field, Int, describe
from tes_nb.streams.tes_protocol import answer_by_type, classify, is_own, ms_to_ns, pong, talk_decoded
from tes_nb.wire.json_guard import decode_json


class HttpFigures(msgspec.Struct, rename="camel"):
    pending_requests: Annotated[
        Int | None,
        Field("", "HTTP requests in flight", title="HTTP requests in flight", quantity="Connections"),
    ] = None
    total_requests: Annotated[
        Int | None,
        Field("", "HTTP requests since the start", "counter", title="HTTP requests", quantity="Requests"),
    ] = None


class WebsocketFigures(msgspec.Struct, rename="camel"):
    pending_connections: Annotated[
        Int | None,
        Field("", "open WebSocket connections", title="WebSocket connections", quantity="Connections"),
    ] = None
    total_subscribers: Annotated[
        Int | None, Field("", "subscriptions over all topics", title="subscriptions", quantity="Connections")
    ] = None
    subscribers: dict[str, Int] = msgspec.field(default_factory=dict)


class MemoryFigures(msgspec.Struct, rename="camel"):
    heap_used: Annotated[
        Int | None,
        Field("bytes", "heap in use (Python on Linux: RssAnon)", title="heap in use", quantity="Memory"),
    ] = None
    heap_total: Annotated[
        Int | None,
        Field(
            "bytes",
            "heap reserved (Python on Linux: VmData)",
            title="heap reserved",
            quantity="Memory reserved",
        ),
    ] = None
    rss: Annotated[
        Int | None,
        Field("bytes", "resident memory of the observed process", title="process", quantity="Memory"),
    ] = None
    external: Annotated[
        Int | None,
        Field(
            "bytes",
            "file and shared pages (RssFile + RssShmem)",
            title="file and shared pages",
            quantity="Memory",
        ),
    ] = None
    array_buffers: Annotated[
        Int | None, Field("bytes", "shared memory (RssShmem)", title="shared memory", quantity="Memory")
    ] = None


class CpuFigures(msgspec.Struct):
    percent: Annotated[
        float | None,
        Field(
            "percent",
            "share of one core since the last tick, at most 100",
            title="process",
            quantity="CPU of one core",
        ),
    ] = None
    cores: Annotated[
        float | None,
        Field("cores", "cores in use since the last tick, uncapped", title="process", quantity="CPU"),
    ] = None
    user_ms: Annotated[
        float | None,
        Field(
            "ms",
            "CPU time in user mode since the last tick",
            title="in user mode",
            quantity="CPU time a tick",
        ),
    ] = None
    system_ms: Annotated[
        float | None,
        Field(
            "ms",
            "CPU time in the kernel since the last tick",
            title="in the system",
            quantity="CPU time a tick",
        ),
    ] = None


class LimitFigures(msgspec.Struct):
    memory: Annotated[
        Int | None, Field("bytes", "the memory limit that applies", title="limit", quantity="Memory")
    ] = None
    cores: Annotated[
        float | None, Field("cores", "the CPU limit that applies", title="limit", quantity="CPU")
    ] = None


class TotalFigures(msgspec.Struct):
    cores: Annotated[
        float | None,
        Field(
            "cores",
            "cores in use by the observed process and its descendants since the last tick, uncapped",
            title="with children",
            quantity="CPU",
        ),
    ] = None
    memory: Annotated[
        Int | None,
        Field(
            "bytes",
            "memory of the observed process and its descendants, shared pages counted once",
            title="with children",
            quantity="Memory",
        ),
    ] = None


class Metrics(msgspec.Struct):
    timestamp: Int | None = None
    http: HttpFigures = msgspec.field(default_factory=HttpFigures)
    websockets: WebsocketFigures = msgspec.field(default_factory=WebsocketFigures)
    memory: MemoryFigures = msgspec.field(default_factory=MemoryFigures)
    cpu: CpuFigures = msgspec.field(default_factory=CpuFigures)
    limits: LimitFigures = msgspec.field(default_factory=LimitFigures)
    total: TotalFigures = msgspec.field(default_factory=TotalFigures)


_COLUMNS, _row = describe(Metrics)
TABLES = (
    Table(
        "metrics",
        "One row a tick.",
        _COLUMNS,
        plot=(
            "cpu_cores",
            "total_cores",
            "memory_rss",
            "memory_heap_used",
            "total_memory",
            "http_pending_requests",
            "websockets_total_subscribers",
        ),
    ),
    Table(
        "subscribers",
        "Subscriptions per topic, one row a topic and tick; peers count topics of their own.",
        (
            Column("topic", "category", "", "label", "the topic's name, as the peer calls it"),
            Column(
                "count",
                "Int64",
                "",
                "gauge",
                "open subscriptions",
                title="subscriptions",
                quantity="Subscriptions",
            ),
        ),
        key=("topic",),
        complete=True,
    ),
)

_decoder = msgspec.json.Decoder(Metrics)


def decode(message: Message) -> Decoded:
    """One metrics message → one row of `metrics`, one of `subscribers` per topic."""
    talk = talk_decoded(message)
    if talk is not None:
        return talk
    metrics = decode_json(message.payload, _decoder, check=not is_own(message))
    if (
        metrics.memory.rss is None
        and metrics.memory.heap_used is None
        and metrics.http.total_requests is None
    ):
        raise DecodeError("The message has none of the fields of a metrics message.", reason="schema")
    topics: list[Row] = list(metrics.websockets.subscribers.items())
    return Decoded(
        kind=Kind.DATA,
        rows={"metrics": (_row(metrics),), "subscribers": topics},
        sent_at_ns=ms_to_ns(metrics.timestamp),
    )


def build(observation: Observation) -> dict[str, Any]:
    """The canonical message."""
    process, http, sockets, tree = (
        observation.process,
        observation.http,
        observation.sockets,
        observation.tree,
    )
    memory = {
        "heapUsed": process.heap_used,
        "heapTotal": process.heap_total,
        "rss": process.rss,
        "external": process.external,
        "arrayBuffers": process.array_buffers,
    }
    return {
        "type": "metrics",
        "timestamp": observation.wall_ms,
        "http": {"pendingRequests": http.pending, "totalRequests": http.total},
        "websockets": {
            "pendingConnections": sockets.connections,
            "subscribers": dict(sockets.subscribers),
            "totalSubscribers": sum(sockets.subscribers.values()),
        },
        "memory": {name: value for name, value in memory.items() if value is not None},
        "cpu": {
            "percent": process.cpu_percent,
            "cores": process.cpu_cores,
            "user_ms": process.cpu_user_ms,
            "system_ms": process.cpu_system_ms,
        },
        "limits": {"memory": observation.host.memory_limit, "cores": observation.host.cores_limit},
        **({} if tree is None else {"total": {"cores": tree.cores, "memory": tree.memory}}),
    }


def answer(payload: bytes, now_ms: int) -> Answer:
    """Pong, or the error every unknown message gets."""
    return answer_by_type(payload, {"ping": lambda _: pong(now_ms)})


STREAM = Stream(
    name="metrics",
    doc="HTTP, WebSocket, memory and CPU figures of the observed process, every 500 ms.",
    endpoint=Endpoint(
        "status",
        "/ws/server-metrics/live",
        aliases=("/api/dev/server-metrics/live",),
        poll="/api/dev/server-metrics",
    ),
    tables=TABLES,
    main="metrics",
    period_s=0.5,
    decode=decode,
    classify=classify,
    producer=Producer(
        build=build,
        period_s=0.5,
        answer=answer,
        http=(
            HttpHalf(
                "status",
                "/api/dev/server-metrics",
                lambda message: {name: value for name, value in message.items() if name != "type"},
                {"Cache-Control": "no-store", "X-TES-Metrics-Version": "1.0", "X-Metrics-Source": "tes_nb"},
            ),
        ),
    ),
)
