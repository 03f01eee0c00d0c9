"""`/ws/relay/{source}`: the stamped records of one source, from any point that the log still holds.

Why a log with cursors instead of pushing alone: docs/decisions/0002.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Protocol

from aiohttp import web
from websockets.frames import Frame
from websockets.frames import Opcode as FrameOpcode

from tes_nb.collector.http.guard import Handler, sentence
from tes_nb.collector.http.sockets import Sockets, messages
from tes_nb.collector.hub import Hub, LogReader, Topic
from tes_nb.model import Direction, Message, Opcode
from tes_nb.wire.events import Gap, encode_event
from tes_nb.wire.record import join, pack, unpack

CAUGHT_UP_BYTES = 256 * 1024
"""A reader with more than this unsent goes on from the log, at its own pace."""
MOST_NEW = 1000
"""More than these in one turn of the loop are the pump's."""
BATCH_BYTES = 64 * 1024
"""A batch that has reached this size is sent; the next records begin another one."""


class RelayConnection:
    """One relay connection: pushed to while it keeps up, else pumped from the log."""

    def __init__(
        self, topic: Topic, socket: web.WebSocketResponse, transport: asyncio.Transport, after: int
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._is_due = False
        self._topic = topic
        self._socket = socket
        self._transport = transport
        self._sent = after
        self._wake = asyncio.Event()
        self._wake.set()

    @property
    def sent(self) -> int:
        """The place of the last record that it was sent."""
        return self._sent

    def skip_to(self, place: int) -> None:
        """What was appended up to there counts no longer."""
        self._sent = place

    def appended(self) -> None:
        """Send at once; what else this turn of the loop brings goes together at its end (0032)."""
        if self._is_due or self._wake.is_set():
            return
        self._is_due = True
        self._loop.call_soon(self._end_turn)
        self._send_new()

    def _end_turn(self) -> None:
        self._is_due = False
        if self._sent < self._topic.log.last:
            self._send_new()

    def _send_new(self) -> None:
        """Send what was not sent, as one message, when the socket takes it; else wake the pump."""
        log = self._topic.log
        full = self._transport.get_write_buffer_size() > CAUGHT_UP_BYTES
        if full or self._sent + 1 < log.first or log.last - self._sent > MOST_NEW:
            self._wake.set()
        if self._wake.is_set() or self._transport.is_closing():
            return
        for group in batches(log.after(self._sent, MOST_NEW)):
            self._transport.write(Frame(FrameOpcode.BINARY, join(group)).serialize(mask=False))
            self._sent += len(group)

    async def pump(self) -> None:
        """Bring the reader up to date, whenever it has fallen behind."""
        if self._topic.greeting is not None:
            await self._socket.send_bytes(self._topic.greeting)
        while True:
            await self._wake.wait()
            await self._catch_up()

    async def _catch_up(self) -> None:
        log = self._topic.log
        while self._sent < log.last:
            if self._sent + 1 < log.first:
                missing, self._sent = log.first - 1 - self._sent, log.first - 1
                await self._send_overflow(missing)
                continue  # what the log has dropped meanwhile is said, too
            place = self._sent
            for group in batches(log.after(place)):
                await self._socket.send_bytes(join(group))  # waits while the socket's buffer is full
                if self._sent != place:
                    break  # everything was taken back meanwhile
                place = self._sent = place + len(group)
        self._wake.clear()

    async def _send_overflow(self, missing: int) -> None:
        """The log has dropped records that this reader never got: say so, never be silent."""
        first = unpack(self._topic.source, self._topic.log.oldest)
        gap = Gap(
            conn=first.conn,
            last_seen_ns=None,
            lost_at_ns=first.t_wall_ns,
            back_at_ns=first.t_wall_ns,
            cause="relay overflow",
            missing=missing,
        )
        if self._topic.state is not None:
            await self._socket.send_bytes(self._topic.state)
        await self._socket.send_bytes(
            pack(
                Message(
                    source=self._topic.source,
                    direction=Direction.IN,
                    opcode=Opcode.EVENT,
                    payload=encode_event(gap),
                    t_wall_ns=first.t_wall_ns,
                    t_mono_ns=first.t_mono_ns,
                    conn=first.conn,
                    seq=first.seq - 1,
                )
            )
        )


def batches(records: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield the records in groups of `BATCH_BYTES`, or of one that is larger."""
    start = size = 0
    for place, record in enumerate(records):
        if size and size + len(record) > BATCH_BYTES:
            yield records[start:place]
            start, size = place, 0
        size += len(record)
    if records[start:]:
        yield records[start:]


def relay_socket(hub: Hub, sockets: Sockets) -> Handler:
    """Return the handler. `?after=N` starts after record N (0 = all there is); without it, with the next record.

    `&round=R` says in which round of a replay that number was received.
    """

    async def handler(request: web.Request) -> web.StreamResponse:
        source = request.match_info["source"]
        topic = hub.topics.get(source)
        if topic is None:
            names = ", ".join(sorted(hub.topics)) or "none"
            return sentence(404, f"There is no such source here; there are: {names}.")
        after, round_ = request.query.get("after"), request.query.get("round", "0")
        if any(not text.isdecimal() or len(text) > 18 for text in ("0" if after is None else after, round_)):
            return sentence(400, "'after' and 'round' must be whole numbers.")
        socket = await sockets.admit(request, heartbeat=False)  # a held kernel answers pings late
        if isinstance(socket, web.Response) or request.transport is None:
            return socket
        # A reader from before a restart asks for a number that is not reached yet: it gets what is new.
        place = topic.log.last if after is None else topic.place_after(int(after), int(round_))
        try:
            await serve_log(RelayConnection(topic, socket, request.transport, place), topic, socket)
        finally:
            sockets.release(socket)
        return socket

    return handler


class PumpedReader(LogReader, Protocol):
    """A reader of a log that sends what it reads to a socket."""

    async def pump(self) -> None:
        """Send what is new, without end."""


async def serve_log(reader: PumpedReader, topic: Topic, socket: web.WebSocketResponse) -> None:
    """Let the reader send until the client leaves; what the client sends is not answered."""
    topic.readers.add(reader)
    pump = asyncio.create_task(reader.pump())
    try:
        with contextlib.suppress(ConnectionError):
            async for _ in messages(socket):
                pass
    finally:
        topic.readers.discard(reader)
        pump.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await pump
