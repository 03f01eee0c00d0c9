"""`/ws/rows/{source}`: a source decoded for the page. Several records travel in one message, ten times a second.

`GET /api/rows/{source}` is what a page that opens now shows of the time before. The collector's grid comes first: a
slice of the loop decodes for `SLICE_S` at most, and a page that cannot keep up with a source skips the oldest records
and is told how many.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from tes_nb.collector.http.guard import Handler, json_answer, sentence
from tes_nb.collector.http.sockets import Sockets, messages
from tes_nb.collector.hub import Hub, Topic
from tes_nb.errors import DecodeError
from tes_nb.model import Column, Decoded, Direction, Kind, Message, Opcode, Stream
from tes_nb.model.message import FLAG_DUPLICATE
from tes_nb.wire.events import ClockJump, Gap, Mark, Playback, StateChange, decode_event
from tes_nb.wire.inflate import inflate
from tes_nb.wire.record import unpack

# Streams of our own speak JSON that a page can flatten by their description. What a peer sends may be anything, so
# the collector decodes it with the very function that kernels use.

TEXT_CHARS = 1_000
"""Characters of a cell that travel; a longer one ends in an ellipsis and its length."""
PAYLOAD_CHARS = 16 * 1024
"""So much of a payload travels to the page's inspector."""
MOST_ROWS = 2_000
"""Rows of one message that travel."""


class RowReader:
    """Decodes one source's messages. Remembers what streams with a `fold` need to compare messages."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._memory: dict[str, Any] = {}

    def told(self, message: Message) -> dict[str, Any] | None:
        """Return what a page is told of a message; `None` = nothing."""
        if message.opcode == Opcode.EVENT:
            return _event(message)
        began = time.perf_counter()
        decoded, outcome = self._decoded(message)
        took_ms = (time.perf_counter() - began) * 1e3
        rows = {} if message.flags & FLAG_DUPLICATE else self._rows(message, decoded)
        return {
            "type": "message",
            "t": message.t_wall_ns / 1e9,
            "seq": message.seq,
            "age_s": max(0, time.monotonic_ns() - message.t_mono_ns) / 1e9,
            "rows": rows,
            "direction": "in" if message.direction == Direction.IN else "out",
            "kind": decoded.kind,
            "outcome": outcome,
            "decode_ms": round(took_ms, 3),
            "size": len(message.payload),
            **_content(message),
        }

    def _decoded(self, message: Message) -> tuple[Decoded, str]:
        """Decode what a peer sent; what we sent is data of nobody."""
        if message.direction == Direction.OUT:
            return Decoded(Kind.REPLY), "sent"
        try:
            decoded = self._stream.decode(message)
        except DecodeError as error:
            return Decoded(Kind.UNDECODED), f"{error.reason}: {error}"[:TEXT_CHARS]
        except Exception as error:  # noqa: BLE001 - a stream's mistake is shown, not raised
            return Decoded(Kind.UNDECODED), f"the decoder failed: {type(error).__name__}"
        counts = [f"{len(rows)} {table}" for table, rows in decoded.rows.items() if rows]
        return decoded, ", ".join([*counts, *decoded.notes])[:TEXT_CHARS] or decoded.kind

    def _rows(self, message: Message, decoded: Decoded) -> dict[str, list[list[Any]]]:
        found = dict(decoded.rows)
        if self._stream.fold is not None and decoded.kind is Kind.DATA:
            found.update(self._stream.fold(self._memory, message, decoded))
        tables: Mapping[str, tuple[Column, ...]] = {one.name: one.columns for one in self._stream.tables}
        return {
            name: [_plain(row, tables[name]) for row in rows[-MOST_ROWS:]]
            for name, rows in found.items()
            if name in tables
        }


def _plain(row: tuple[Any, ...], columns: tuple[Column, ...]) -> list[Any]:
    return [_cell(value, column) for value, column in zip(row, columns, strict=True)]


def _cell(value: Any, column: Column) -> Any:
    """A cell as JSON: absent is null, a time is Unix seconds, an infinity a word."""
    if value is None:
        return None
    if column.dtype.startswith("datetime64"):
        return value / 1e9
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("∞" if value > 0 else "-∞")
    if isinstance(value, str):
        return _text(value, TEXT_CHARS)
    return value


def _text(text: str, most: int) -> str:
    """At most about so many characters, and none that JSON cannot carry."""
    short = text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"
    return short.encode("utf-8", "replace").decode()


def _content(message: Message) -> dict[str, Any]:
    """The payload as its sender wrote it, and how large that is."""
    plain = message.payload
    if message.opcode != Opcode.TEXT:
        try:
            plain = inflate(message.payload)
        except DecodeError:
            return {"inflated": None, "text": message.payload[:512].hex(" ")}
    return {"inflated": len(plain), "text": plain[:PAYLOAD_CHARS].decode("utf-8", "replace")}


def _event(message: Message) -> dict[str, Any] | None:
    try:
        event = decode_event(message.payload)
    except DecodeError:
        return None
    match event:
        case StateChange():
            return {
                "type": "state",
                "word": event.state,
                "text": event.text,
                "since": event.at_ns / 1e9,
                "attempts": event.attempts,
                "reconnects": event.reconnects,
                "close_code": event.close_code,
            }
        case Mark():
            return {"type": "mark", "t": event.at_ns / 1e9, "label": event.label}
        case Gap():
            end = None if event.back_at_ns is None else event.back_at_ns / 1e9
            return {"type": "gap", "start": event.lost_at_ns / 1e9, "end": end, "label": event.cause}
        case Playback():
            return {"type": "state", "since": None, "round": event.round, **_replaying(event)}
        case ClockJump():
            return None


def _replaying(playback: Playback) -> dict[str, str]:
    """How a replay goes on, as the state of its source."""
    if playback.word != "PLAYING":
        return {"word": playback.word, "text": f"the replay is {playback.word.lower()}"}
    speed = f"{playback.speed:g} x" if playback.speed else "as fast as it goes"
    return {"word": "OPEN", "text": f"a replay, {speed}"}


BACK = 1_000
"""Records that a page begins with: the newest that the log still holds."""
PACE_S = 0.1
SLICE_S = 0.01
"""So long one turn of the loop may decode for a page."""
MOST_BEHIND = 2_000
HISTORY = 600
"""Records that a page of our own streams begins with: five minutes of the fastest."""


class RowsReader:
    """One page's connection to one source."""

    def __init__(
        self, topic: Topic, stream: Stream, socket: web.WebSocketResponse, after: int | None
    ) -> None:
        """after: the number of the last record that the page has; `None` = it has none."""
        self._topic = topic
        self._rows = RowReader(stream)
        self._socket = socket
        back = max(topic.log.first - 1, topic.log.last - BACK)
        # A page from before a restart asks for a number that is not reached yet: it gets what is new.
        self._sent = back if after is None else min(after, topic.log.last)
        self._wake = asyncio.Event()
        self._wake.set()

    @property
    def sent(self) -> int:
        """A page that falls behind skips: nobody waits for it."""
        return self._topic.log.last

    def skip_to(self, place: int) -> None:
        """What was appended up to there counts no longer."""
        self._sent = place

    def appended(self, record: bytes, place: int) -> None:
        """There is something new."""
        del record, place
        self._wake.set()

    async def pump(self) -> None:
        """Send what is new, at the page's pace."""
        first = [] if self._topic.state is None else self._told([self._topic.state])
        await self._send(first)
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._sent < self._topic.log.last:
                await self._send([*self._skipped(), *self._next()])
                await asyncio.sleep(0)
            await asyncio.sleep(PACE_S)

    def _skipped(self) -> list[dict[str, Any]]:
        """Leave out what is too far behind, and say so."""
        log = self._topic.log
        start = max(log.first - 1, log.last - MOST_BEHIND)
        missing = start - self._sent
        if missing <= 0:
            return []
        self._sent = start
        return [{"type": "skipped", "count": missing}]

    def _next(self) -> list[dict[str, Any]]:
        """Decode until the slice is over."""
        loop = asyncio.get_running_loop()
        end = loop.time() + SLICE_S
        told: list[dict[str, Any]] = []
        for record in self._topic.log.after(self._sent):
            told += self._told([record])
            self._sent += 1
            if loop.time() > end:
                break
        return told

    def _told(self, records: list[bytes]) -> list[dict[str, Any]]:
        found = []
        for record in records:
            with contextlib.suppress(DecodeError):
                told = self._rows.told(unpack(self._topic.source, record))
                if told is not None:
                    found.append(told)
        return found

    async def _send(self, told: list[dict[str, Any]]) -> None:
        if told:
            await self._socket.send_str(msgspec.json.encode({"type": "batch", "items": told}).decode())


def rows_history(hub: Hub, stream_of: Callable[[str], Stream | None]) -> Handler:
    """Return the handler of `GET /api/rows/{source}`: {"items": […]}, the newest `HISTORY` records."""

    async def handler(request: web.Request) -> web.Response:
        source = request.match_info["source"]
        stream = stream_of(source)
        if stream is None:
            return sentence(404, "There is no such source here; GET /api/streams lists those there are.")
        log, rows = hub.topic(source).log, RowReader(stream)
        items = []
        for at, record in enumerate(log.after(max(0, log.last - HISTORY), HISTORY)):
            with contextlib.suppress(DecodeError):
                told = rows.told(unpack(source, record))
                items.append({"t": told["t"], "rows": told["rows"]} if told and "rows" in told else told)
            if at % 50 == 0:
                await asyncio.sleep(0)  # the grid comes first
        return json_answer({"items": [one for one in items if one is not None]})

    return handler


def rows_socket(hub: Hub, sockets: Sockets, stream_of: Callable[[str], Stream | None]) -> Handler:
    """Return the handler. `?after=N` starts after record N, else with the newest `BACK` records.

    stream_of: which stream a source carries; `None` = there is no such source now.
    """

    async def handler(request: web.Request) -> web.StreamResponse:
        source = request.match_info["source"]
        stream = stream_of(source)
        if stream is None:
            return sentence(404, "There is no such source here; GET /api/streams lists those there are.")
        after = request.query.get("after")
        if after is not None and (not after.isdecimal() or len(after) > 18):
            return sentence(400, "'after' must be the number of a record.")
        socket = await sockets.admit(request)
        if isinstance(socket, web.Response):
            return socket
        try:
            if await sockets.vouched(request, socket):
                topic = hub.topic(source)
                reader = RowsReader(topic, stream, socket, None if after is None else int(after))
                await _serve(reader, topic, socket)
        finally:
            sockets.release(socket)
        return socket

    return handler


async def _serve(reader: RowsReader, topic: Topic, socket: web.WebSocketResponse) -> None:
    topic.readers.add(reader)
    pump = asyncio.create_task(reader.pump())
    try:
        with contextlib.suppress(ConnectionError):
            async for _ in messages(socket):
                pass  # a page has nothing to say here
    finally:
        topic.readers.discard(reader)
        pump.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await pump
