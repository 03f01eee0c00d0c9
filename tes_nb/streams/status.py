"""The status stream: sessions, directions and vital signs of a TES, on every change and every second.

    {"type": "status", "timestamp": 1767225600000, "data": {
       "timestamp": "2026-01-01T00:00:00.000Z",
       "vector": {
         "sessions": {"tmux": 1, "activeWorkers": 2, "apiSessions": 0, "websocketConnections": 3,
                      "websocketSubscribers": 3},
         "directions": {"primaryRegion": "us-east-1", "trafficMode": "normal", "activeRoutes": 2,
                        "requestFlow": {"totalRoutes": 14, "activeRoutes": 2, "avgLatency": 0.8,
                                        "requestsPerSecond": 0.2}},
         "others": {"memory": 52428800, "cpu": 3.1, "errorRate": 0.0, "uptime": 12.5}},
       "meta": {"totalEndpoints": 14, "telemetryStatus": "healthy", "statusVersion": "2.0", "tmux": "running"}}}

HTTP answers the bare inner object. Older peers send it bare over the WebSocket too, or a flat form.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from tes_nb.errors import DecodeError
from tes_nb.model import (
    Answer,
    Decoded,
    Endpoint,
    HttpFacts,
    HttpHalf,
    Kind,
    Message,
    Observation,
    Producer,
    Stream,
    Table,
)
from tes_nb.streams.describe import Field, Int, describe
from tes_nb.streams.tes_protocol import answer_by_type, classify, is_own, ms_to_ns, pong, talk_decoded
from tes_nb.wire.json_guard import decode_json

PARTS = ("sessions", "directions", "others", "meta")
_SYNONYMS = {"metrics": "others"}


class Sessions(msgspec.Struct, rename="camel"):
    tmux: Annotated[
        Int | None, Field("", "tmux sessions on this host", title="tmux sessions", quantity="Sessions")
    ] = None
    active_workers: Annotated[
        Int | None, Field("", "workers that are not terminated", title="active workers", quantity="Sessions")
    ] = None
    api_sessions: Annotated[
        Int | None,
        Field("", "HTTP requests in flight", title="HTTP requests in flight", quantity="Connections"),
    ] = None
    websocket_connections: Annotated[
        Int | None,
        Field(
            "",
            "open WebSocket connections, all streams",
            title="WebSocket connections",
            quantity="Connections",
        ),
    ] = None
    websocket_subscribers: Annotated[
        Int | None, Field("", "subscriptions over all topics", title="subscriptions", quantity="Connections")
    ] = None


class RequestFlow(msgspec.Struct, rename="camel"):
    total_routes: Annotated[
        Int | None, Field("", "routes served", title="routes served", quantity="Routes")
    ] = None
    active_routes: Annotated[
        Int | None, Field("", "routes that answered in the window", title="routes in use", quantity="Routes")
    ] = None
    avg_latency: Annotated[
        float | None,
        Field("ms", "mean latency over the rolling window", title="mean latency", quantity="Latency"),
    ] = None
    requests_per_second: Annotated[
        float | None,
        Field("1/s", "requests over the rolling window", title="HTTP requests", quantity="Requests"),
    ] = None


class Directions(msgspec.Struct, rename="camel"):
    primary_region: Annotated[str | None, Field("", "the primary region", "label", "category")] = None
    traffic_mode: Annotated[
        str | None, Field("", "normal, degraded or isolated, by error rate", "label", "category")
    ] = None
    request_flow: RequestFlow = msgspec.field(default_factory=RequestFlow)
    active_routes: Annotated[
        Int | None,
        Field("", "the same as in request_flow, for older readers", title="routes in use", quantity="Routes"),
    ] = None


class Others(msgspec.Struct, rename="camel"):
    memory: Annotated[
        Int | None,
        Field("bytes", "heap in use by the observed process", title="heap in use", quantity="Memory"),
    ] = None
    cpu: Annotated[
        float | None,
        Field("percent", "CPU of the observed process, 0-100", title="process", quantity="CPU of one core"),
    ] = None
    error_rate: Annotated[
        float | None,
        Field(
            "ratio",
            "errors by requests in the rolling window, 0-1",
            title="share of errors",
            quantity="Errors",
        ),
    ] = None
    uptime: Annotated[
        float | None, Field("s", "age of the observed process", title="age", quantity="Uptime")
    ] = None


class Meta(msgspec.Struct, rename="camel"):
    total_endpoints: Annotated[
        Int | None, Field("", "endpoints served", title="endpoints served", quantity="Routes")
    ] = None
    telemetry_status: Annotated[
        str | None,
        Field(
            "",
            "healthy, degraded or offline: the workers port",
            "label",
            "category",
            words=(("degraded", "no workers"),),  # it answers, and lists none: nothing is wrong
        ),
    ] = None
    status_version: Annotated[str | None, Field("", "version of this form", "label", "category")] = None
    tmux: Annotated[str | None, Field("", "running, no server, absent or failed", "label", "category")] = None


class Vector(msgspec.Struct):
    sessions: Sessions = msgspec.field(default_factory=Sessions)
    directions: Directions = msgspec.field(default_factory=Directions)
    others: Others = msgspec.field(default_factory=Others)


class OldMemory(msgspec.Struct, rename="camel"):
    heap_used: Int | None = None
    rss: Int | None = None


class Status(msgspec.Struct):
    """The inner object; `cpu`, `memory` and `uptime` beside `vector` are the flat form of older peers."""

    timestamp: str | Int | None = None
    vector: Vector | None = None
    meta: Meta = msgspec.field(default_factory=Meta)
    cpu: float | None = None
    memory: OldMemory | None = None
    uptime: float | None = None


class Envelope(Status):
    """The enveloped form has `data`; the bare form is the inner object itself."""

    data: Status | None = None


class _StatusColumns(msgspec.Struct):
    """What becomes columns."""

    vector: Vector
    meta: Meta


_COLUMNS, _row = describe(_StatusColumns, drop="vector")
TABLES = (
    Table(
        "status",
        "One row a snapshot.",
        _COLUMNS,
        plot=(
            "sessions_tmux",
            "sessions_active_workers",
            "sessions_websocket_connections",
            "directions_request_flow_avg_latency",
            "directions_request_flow_requests_per_second",
            "others_cpu",
            "others_memory",
        ),
    ),
)
_decoder = msgspec.json.Decoder(Envelope)


def decode(message: Message) -> Decoded:
    """One status message in any of its forms → one row."""
    talk = talk_decoded(message)
    if talk is not None:
        return talk
    envelope = decode_json(message.payload, _decoder, check=not is_own(message))
    status = envelope if envelope.data is None else envelope.data
    if status.vector is None and status.memory is None and status.cpu is None and status.meta == Meta():
        raise DecodeError("The message has none of the fields of a status message.", reason="schema")
    timestamp = envelope.timestamp if isinstance(envelope.timestamp, int) else status.timestamp
    return Decoded(
        kind=Kind.DATA,
        rows={"status": (_row(_StatusColumns(status.vector or _from_flat(status), status.meta)),)},
        sent_at_ns=_time_ns(timestamp),
    )


def _from_flat(status: Status) -> Vector:
    memory = None if status.memory is None else status.memory.heap_used
    return Vector(others=Others(memory=memory, cpu=status.cpu, uptime=status.uptime))


def _time_ns(value: str | int | None) -> int | None:
    """Unix milliseconds or ISO 8601 → Unix nanoseconds; unreadable is `None`."""
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            return None
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return round(at.timestamp() * 1000) * 1_000_000
    return ms_to_ns(value)


def traffic_mode(error_rate: float) -> str:
    """Return "normal" below 0.10, "isolated" above 0.50, else "degraded"; errors are counted as decisions/0004 says."""
    if error_rate > 0.50:
        return "isolated"
    return "degraded" if error_rate >= 0.10 else "normal"


def build(observation: Observation) -> dict[str, Any]:
    """The canonical message."""
    telemetry = "healthy" if any(worker.is_counted for worker in observation.workers) else "degraded"
    return {
        "type": "status",
        "timestamp": observation.wall_ms,
        "data": {
            "timestamp": _iso(observation.wall_ms),
            "vector": {
                "sessions": _sessions(observation),
                "directions": _directions(observation.host.primary_region, observation.http),
                "others": {
                    "memory": observation.process.heap_used,
                    "cpu": observation.process.cpu_percent,
                    "errorRate": observation.http.error_rate,
                    "uptime": round(observation.process.uptime_s, 3),
                },
            },
            "meta": {
                "totalEndpoints": observation.http.total_routes,
                "telemetryStatus": "offline" if observation.workers_port == "silent" else telemetry,
                "statusVersion": "2.0",
                "tmux": observation.tmux.state,
            },
        },
    }


def _iso(wall_ms: int) -> str:
    at = datetime.fromtimestamp(wall_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _sessions(observation: Observation) -> dict[str, int]:
    return {
        "tmux": observation.tmux.sessions,
        "activeWorkers": sum(
            worker.is_counted and worker.status != "terminated" for worker in observation.workers
        ),
        "apiSessions": observation.http.pending,
        "websocketConnections": observation.sockets.connections,
        "websocketSubscribers": sum(observation.sockets.subscribers.values()),
    }


def _directions(region: str, http: HttpFacts) -> dict[str, Any]:
    return {
        "primaryRegion": region,
        "trafficMode": traffic_mode(http.error_rate),
        "requestFlow": {
            "totalRoutes": http.total_routes,
            "activeRoutes": http.active_routes,
            "avgLatency": http.latency_ms,
            "requestsPerSecond": http.per_second,
        },
        "activeRoutes": http.active_routes,
    }


def changed(message: dict[str, Any]) -> object:
    """What makes a push: sessions, traffic mode, region, meta. The always-moving figures ride along."""
    data = message["data"]
    directions = data["vector"]["directions"]
    return (data["vector"]["sessions"], directions["trafficMode"], directions["primaryRegion"], data["meta"])


def select(message: dict[str, Any], parts: tuple[str, ...]) -> dict[str, Any]:
    """Return the message with these parts of it only."""
    data = message["data"]
    vector = {name: value for name, value in data["vector"].items() if name in parts}
    chosen = {"timestamp": data["timestamp"], "vector": vector}
    if "meta" in parts:
        chosen["meta"] = data["meta"]
    return {**message, "data": chosen}


def answer(payload: bytes, now_ms: int) -> Answer:
    """Pong, subscribed, or an error; the connection stays open in every case."""
    return answer_by_type(
        payload,
        {"ping": lambda _: pong(now_ms), "subscribe": lambda request: _subscribe(request.get("metrics"))},
    )


def _subscribe(names: Any) -> Answer:
    if names is None or names in ([], "all", ["all"]):
        return Answer({"type": "subscribed", "metrics": ["all"]}, parts=())
    listed = names if isinstance(names, list) else [names]
    parts = tuple(_SYNONYMS.get(name, name) for name in listed if isinstance(name, str))
    if len(parts) != len(listed) or not set(parts) <= set(PARTS):
        return Answer(
            {
                "type": "error",
                "message": f"Unknown names in 'metrics'; known are {', '.join(PARTS)}.",
                "received": "subscribe",
            }
        )
    return Answer({"type": "subscribed", "metrics": listed}, parts=parts)


STREAM = Stream(
    name="status",
    doc="Sessions, directions and vital signs of a TES, on every change and every second.",
    endpoint=Endpoint("status", "/api/dev/status/live", poll="/api/dev/status"),
    tables=TABLES,
    main="status",
    view="cards",
    period_s=1.0,
    decode=decode,
    classify=classify,
    producer=Producer(
        build=build,
        period_s=1.0,
        changed=changed,
        answer=answer,
        select=select,
        http=(
            HttpHalf(
                "status",
                "/api/dev/status",
                lambda message: message["data"],
                {"Cache-Control": "no-cache", "X-TES-Status-Version": "2.0"},
            ),
        ),
    ),
)
