"""`/ws/rows/{source}`: a source decoded for the page. Several records travel in one message, ten times a second.

The page decodes nothing itself: what a peer sends may be deflated XML, and one decoder is enough (docs/decisions/0010).
The collector's grid comes first: a slice of the loop decodes for `SLICE_S` at most, and a page that cannot keep up with
a source skips the oldest records and gets their number.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from tes_nb.collector.http.guard import Handler, sentence
from tes_nb.collector.http.relay import serve_log
from tes_nb.collector.http.sockets import Sockets
from tes_nb.collector.hub import Hub, Topic
from tes_nb.errors import DecodeError
from tes_nb.model import Decoded, Direction, Kind, Message, Opcode, Stream
from tes_nb.model.message import FLAG_DUPLICATE
from tes_nb.streams.browser_json import inspect_message, json_row
from tes_nb.streams.lanes import LaneChange, folds_of, row_dicts
from tes_nb.wire.events import ClockJump, Gap, Mark, Playback, StateChange, Subscription, decode_event
from tes_nb.wire.record import unpack

PAYLOAD_CHARS = 16 * 1024
"""So much of a payload travels to the page's inspector."""
MOST_ROWS = 2_000
"""Rows of one message that travel."""


class RowDecoder:
    """Decodes one source's messages, and remembers what a stream needs to know of the messages before."""

    def __init__(self, source: str, stream: Stream, *, ages: bool = True) -> None:
        """ages: whether a message is as old as its time says: what a replay plays is new."""
        self._source = source
        self._ages = ages
        self._stream = stream
        self._decoder = stream.decoder()
        self._memory: dict[str, Any] = {}
        self._columns = {table.name: table.columns for table in stream.tables}
        self._folds = folds_of(stream)
        self._round: int | None = None

    def decode(self, message: Message) -> dict[str, Any] | None:
        """Return a message or an event as the page takes it; `None` = the page needs nothing of it."""
        if message.opcode == Opcode.EVENT:
            self._decoder.note(message)
            return self._note_round(_event(message))
        if message.direction == Direction.OUT:
            self._decoder.note(message)
        info, payload, decoded = inspect_message(self._source, self._decoder.decode, message)
        if info.inflated is None:
            text = payload[:512].hex(" ")
        else:
            text = payload[:PAYLOAD_CHARS].decode("utf-8", "replace")
        rows = {} if message.flags & FLAG_DUPLICATE else self._rows(message, decoded)
        return {
            "type": "message",
            **msgspec.structs.asdict(info),
            "seq": message.seq,
            "age_s": max(0, time.monotonic_ns() - message.t_mono_ns) / 1e9 if self._ages else 0,
            "rows": rows,
            "lanes": self._lanes(info.t, rows),
            "text": text,
        }

    def _note_round(self, event: dict[str, Any] | None) -> dict[str, Any] | None:
        """A replay that went back begins with no state at all."""
        if event is not None and event.get("round", self._round) != self._round:
            self._round = event["round"]
            for fold in self._folds:
                fold.clear()
        return event

    def _lanes(self, time: float, rows: dict[str, list[list[Any]]]) -> list[LaneChange]:
        changes: list[LaneChange] = []
        for fold in self._folds:
            name = fold.rule.table
            if name in rows:
                names = [column.name for column in self._columns[name]]
                changes += fold.add(time, row_dicts(names, rows[name]))
        return changes

    def _rows(self, message: Message, decoded: Decoded) -> dict[str, list[list[Any]]]:
        tables = dict(decoded.rows)
        if self._stream.fold is not None and decoded.kind is Kind.DATA:
            tables.update(self._stream.fold(self._memory, message, decoded))
        return {
            name: [json_row(row, self._columns[name]) for row in rows[-MOST_ROWS:]]
            for name, rows in tables.items()
            if name in self._columns
        }


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
            return {"type": "state", "since": None, "round": event.round, **_playback_state(event)}
        case ClockJump() | Subscription():
            return None


def _playback_state(playback: Playback) -> dict[str, str]:
    """How a replay goes on, as the state of its source."""
    if playback.word != "PLAYING":
        return {"word": playback.word, "text": f"the replay is {playback.word.lower()}"}
    speed = f"{playback.speed:g} x" if playback.speed else "as fast as it goes"
    return {"word": "OPEN", "text": f"a replay, {speed}"}


BACK = 600
"""Records that a page begins with, as far as the log still holds them: five minutes of our own fastest stream."""
REMEMBERED = 10
"""Records before the first that is sent, which are decoded for what follows from them."""
PACE_S = 0.1
SLICE_S = 0.01
"""So long one turn of the loop may decode for a page."""
MOST_BEHIND = 2_000


class RowsConnection:
    """One page's connection to one source."""

    def __init__(
        self, topic: Topic, stream: Stream, socket: web.WebSocketResponse, start_id: str, after: int | None
    ) -> None:
        """start_id: of the collector. after: the place of the last record that the page has; `None` = it has none."""
        self._topic = topic
        self._start_id = start_id
        self._decoder = RowDecoder(topic.source, stream, ages=topic.greeting is None)
        self._socket = socket
        back = max(topic.log.first - 1, topic.log.last - BACK)
        self._sent = back if after is None else after
        # What a row says of those before it (a state that changed, a lane that ended) needs them here, too.
        earlier = max(topic.log.first - 1, self._sent - REMEMBERED)
        if earlier < self._sent:
            self._decode(topic.log.after(earlier, self._sent - earlier))
        self._wake = asyncio.Event()
        self._wake.set()

    @property
    def sent(self) -> int:
        """A page that falls behind skips records, so that it counts as up to date."""
        return self._topic.log.last

    def skip_to(self, place: int) -> None:
        """What was appended up to there counts no longer."""
        self._sent = place

    def appended(self) -> None:
        """There is something new."""
        self._wake.set()

    async def pump(self) -> None:
        """Send what is new, at the page's pace."""
        state = [] if self._topic.state is None else self._decode([self._topic.state])
        await self._send([{"type": "start", "id": self._start_id}, *state])
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
        items: list[dict[str, Any]] = []
        for record in self._topic.log.after(self._sent):
            items += self._decode([record])
            self._sent += 1
            if loop.time() > end:
                break
        return items

    def _decode(self, records: list[bytes]) -> list[dict[str, Any]]:
        items = []
        for record in records:
            with contextlib.suppress(DecodeError):
                item = self._decoder.decode(unpack(self._topic.source, record))
                if item is not None:
                    items.append(item)
        return items

    async def _send(self, items: list[dict[str, Any]]) -> None:
        if items:
            await self._socket.send_str(msgspec.json.encode({"type": "batch", "items": items}).decode())


def rows_socket(hub: Hub, sockets: Sockets, stream_of: Callable[[str], Stream | None]) -> Handler:
    """Return the handler. `?after=N&start=ID` starts after record N, else with the newest `BACK` records.

    start: the collector that gave the number; another one, which had this port before, may have. `&round=R` says in
    which round of a replay, whose numbers are those of the recording, it was received.
    stream_of: which stream a source carries; `None` = there is no such source now.
    """

    async def handler(request: web.Request) -> web.StreamResponse:
        source = request.match_info["source"]
        stream = stream_of(source)
        if stream is None:
            return sentence(404, "There is no such source here; GET /api/streams lists those there are.")
        after, round_ = request.query.get("after"), request.query.get("round", "0")
        if any(not text.isdecimal() or len(text) > 18 for text in ("0" if after is None else after, round_)):
            return sentence(400, "'after' must be the number of a record, and 'round' that of a round.")
        socket = await sockets.admit(request)
        if isinstance(socket, web.Response):
            return socket
        try:
            if await sockets.may_read(request, socket):
                topic = hub.topic(source)
                here = request.query.get("start", sockets.start_id) == sockets.start_id
                place = topic.place_after(int(after), int(round_)) if after is not None and here else None
                connection = RowsConnection(topic, stream, socket, sockets.start_id, place)
                await serve_log(connection, topic, socket)
        finally:
            sockets.release(socket)
        return socket

    return handler
