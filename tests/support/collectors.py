"""Collectors for tests, in the test's own loop or as a child process; and clients that may misbehave."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Iterable
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakKeyDictionary

import pytest
from websockets.asyncio.client import connect

from tes_nb.collector import process as process_module
from tes_nb.collector.app import Collector
from tes_nb.collector.lifetime import own_identity
from tes_nb.collector.options import CollectorOptions, Limits
from tes_nb.model.control import ScaleResult
from tes_nb.wire.record import split
from tests.support.processes import IDLE, running

TOKEN = "right-token-5b1c9e7f20a34d68"
TOKEN_HEADER = "X-TES-Dev-Token"
STATUS = "/api/dev/status/live"
METRICS = "/ws/server-metrics/live"
WORKERS = "/ws/workers/telemetry"
PATIENCE_S = 10.0
HANDSHAKE = (
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)


_RECORDS: WeakKeyDictionary[object, deque[bytes]] = WeakKeyDictionary()


async def next_record(client, patience_s: float = PATIENCE_S) -> bytes:
    """The next record that a client of a relay gets, whatever message it came in."""
    records = _RECORDS.setdefault(client, deque())
    if not records:
        records.extend(split(await asyncio.wait_for(client.recv(), patience_s)))
    return records.popleft()


def options(*, limits: dict | None = None, **changes) -> CollectorOptions:
    """Options with free ports and the tests' token; `limits` are fields of `Limits`."""
    fields = {"token": TOKEN, "status_port": 0, "workers_port": 0, "limits": Limits(**(limits or {}))}
    return CollectorOptions(**{**fields, **changes})


@asynccontextmanager
async def collecting(make=Collector, **changes):
    """A collector in this loop, stopped at the end."""
    collector = make(options(**changes))
    await collector.start()
    try:
        yield collector
    finally:
        await collector.stop()


@asynccontextmanager
async def listing(collector: Collector, code: str = IDLE):
    """A real process that the collector lists as a worker; gives it."""
    with running(code) as process:
        collector.observer.processes.add(process.pid)
        yield process


class Scales:
    """What can be scaled in a collector, and counts: `asked` has every count that got through to it."""

    def __init__(self, collector: Collector) -> None:
        self.asked: list[int] = []
        self.count = 0
        collector.observer.workers.scaler = lambda: self.scale

    async def scale(self, count: int) -> ScaleResult:
        if count > 16:
            raise ValueError("A cluster here has 0 to 16 workers.")
        self.asked.append(count)
        before, self.count = self.count, count
        return ScaleResult(max(0, count - before), max(0, before - count))


@contextmanager
def child(*, module: str | None = None, **changes):
    """A collector as a child process of this one, stopped at the end. module: what it runs instead."""
    pid, created = own_identity()
    with pytest.MonkeyPatch.context() as patch:
        if module is not None:
            patch.setattr(process_module, "MODULE", module)
        if "cluster" in changes:
            patch.setattr(process_module, "START_TIMEOUT_S", 60.0)  # it starts before the collector answers
        process = process_module.start_process(
            options(**{"parent_pid": pid, "parent_created": created, **changes})
        )
    try:
        yield process
    finally:
        process.stop()


# Clients ------------------------------------------------------------------------------------------------------


def socket(port: int, path: str, *, token: str | None = None, **fields):
    """A WebSocket client of the `websockets` library (a context manager)."""
    headers = {} if token is None else {TOKEN_HEADER: token}
    fields = {"proxy": None, "additional_headers": headers, "close_timeout": 1, "compression": None, **fields}
    return connect(f"ws://127.0.0.1:{port}{path}", **fields)


async def receive(client, patience_s: float = PATIENCE_S):
    """The next message, from JSON."""
    return json.loads(await asyncio.wait_for(client.recv(), patience_s))


async def receive_where(client, condition, patience_s: float = PATIENCE_S):
    """The next message for which `condition(message)`, others skipped."""
    async with asyncio.timeout(patience_s):
        while True:
            message = await receive(client)
            if condition(message):
                return message


async def reply(client, message, patience_s: float = PATIENCE_S):
    """Send a message (JSON unless text or bytes), and return the answer, pushes skipped."""
    await client.send(message if isinstance(message, str | bytes) else json.dumps(message))
    return await receive_where(client, lambda one: one.get("type") in REPLIES, patience_s)


REPLIES = ("pong", "subscribed", "error", "heartbeat-ack")


@dataclass
class Reply:
    """An HTTP answer as it was on the wire."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self):
        return json.loads(self.body)


def request(
    port: int,
    path: str,
    *,
    method: str = "GET",
    headers: Iterable[tuple[str, str]] = (),
    host: str | None = "",
    token: str | None = None,
    body: bytes = b"",
    close: bool = True,
) -> bytes:
    """The bytes of a request. host: "" = the right one, `None` = none. Headers may be doubled or not ASCII."""
    lines = [f"{method} {path} HTTP/1.1"]
    if host is not None:
        lines.append(f"Host: {host or f'127.0.0.1:{port}'}")
    if token is not None:
        lines.append(f"{TOKEN_HEADER}: {token}")
    lines += [f"{name}: {value}" for name, value in headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    if close and not any(name == "Connection" for name, _ in headers):
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape") + body


async def ask(port: int, path: str, **fields) -> Reply:
    """One request on a connection of its own, and its answer."""
    patience_s = fields.pop("patience_s", PATIENCE_S)
    is_head = fields.get("method", "GET") == "HEAD"
    return await raw(port, request(port, path, **fields), head=is_head, patience_s=patience_s)


async def handshake(port: int, path: str, *, headers=(), **fields) -> Reply:
    """A WebSocket handshake by hand: 101, or the refusal. The connection is closed afterwards."""
    return await ask(port, path, headers=(*HANDSHAKE, *headers), **fields)


async def raw(port: int, sent: bytes, *, head: bool = False, patience_s: float = PATIENCE_S) -> Reply:
    """Send these bytes and return the first answer; status 0 = the server said nothing and closed."""
    async with asyncio.timeout(patience_s):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(sent)
            return await read_reply(reader, head=head)
        finally:
            writer.close()


async def read_reply(reader: asyncio.StreamReader, *, head: bool = False) -> Reply:
    try:
        top = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return Reply(0)
    first, *rest = top.strip().split("\r\n")
    answer = Reply(int(first.split()[1]), [tuple(line.split(": ", 1)) for line in rest if ": " in line])
    length = int(answer.header("Content-Length") or 0)
    if length and not head and answer.status != 101:
        answer.body = await reader.readexactly(length)
    return answer


async def open_socket(port: int, path: str, **fields):
    """A WebSocket opened by hand: (reader, writer) right after the 101."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(port, path, headers=HANDSHAKE, **fields))
    answer = await asyncio.wait_for(read_reply(reader), PATIENCE_S)
    assert answer.status == 101, answer
    return reader, writer


# Looking from outside -----------------------------------------------------------------------------------------


def peak_memory(pid: int) -> int:
    """VmHWM of a process, in bytes."""
    return _status_line(pid, "VmHWM:")


def resident_memory(pid: int) -> int:
    """VmRSS of a process, in bytes."""
    return _status_line(pid, "VmRSS:")


def _status_line(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


async def round_trips(client, seconds: float) -> list[float]:
    """How long pings of the application take, one after the other for so long (seconds each, sorted)."""
    times = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        await reply(client, '{"type":"ping"}')
        times.append(time.perf_counter() - began)
        await asyncio.sleep(0.005)
    return sorted(times)
