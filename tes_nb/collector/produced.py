"""One produced stream on its way to clients: built from an observation, sent on the grid and on every change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
from websockets.frames import Frame
from websockets.frames import Opcode as FrameOpcode

from tes_nb.collector.hub import Hub
from tes_nb.collector.logs import logger
from tes_nb.model import Direction, Message, Observation, Opcode, Producer, Stream
from tes_nb.model.stream import STALE_PERIODS
from tes_nb.net.loop import now
from tes_nb.wire.events import Gap


def text_frame(payload: bytes) -> bytes:
    """Return the unmasked WebSocket text frame around `payload`, made once for all clients."""
    return Frame(FrameOpcode.TEXT, payload).serialize(mask=False)


def binary_frame(payload: bytes) -> bytes:
    """Return the unmasked WebSocket binary frame around `payload`."""
    return Frame(FrameOpcode.BINARY, payload).serialize(mask=False)


class Client:
    """One open WebSocket of a foreign client.

    Frames go straight into its transport: one `write` a frame, so they never mix with what aiohttp writes for
    replies and pings. A client whose unsent bytes exceed `max_buffer` is aborted: it would otherwise eat the
    memory of all.
    """

    __slots__ = ("_max_buffer", "_transport", "parts")

    def __init__(self, transport: asyncio.Transport, max_buffer: int) -> None:
        self._transport = transport
        self._max_buffer = max_buffer
        self.parts: tuple[str, ...] = ()
        """What it subscribed to; () = everything."""

    def write(self, frame: bytes) -> None:
        """Send the frame, or cut the client off."""
        transport = self._transport
        if transport.is_closing():
            return
        transport.write(frame)
        if transport.get_write_buffer_size() > self._max_buffer:
            logger.warning(
                "A client does not read: cut off with more than %d bytes unsent.", self._max_buffer
            )
            transport.abort()


COALESCE_S = 0.020
"""The first of a burst of changes is sent at once, later ones are gathered for so long (decisions/0004)."""

_encode = msgspec.json.Encoder().encode


class Channel:
    """Builds the messages of one stream and sends each to the hub and to all clients."""

    def __init__(
        self, stream: Stream, producer: Producer, hub: Hub, observe: Callable[[], Observation]
    ) -> None:
        self.stream = stream
        self.producer = producer
        self.clients: set[Client] = set()
        self._hub = hub
        self._observe = observe
        self._sent: object = None
        self._ticked: tuple[float, int] | None = None
        """When the last message was made: seconds, Unix ns. `None` = none was."""
        self._greeted: dict[Client, tuple[object, float]] = {}
        """Clients that have just been greeted: the state they got, and until when it need not be sent again."""
        self._quiet_until = 0.0
        self._check: asyncio.Handle | None = None

    def current(self) -> dict[str, Any]:
        """Return the message as it would be now."""
        return self.producer.build(self._observe())

    def tick(self, message: dict[str, Any] | None = None) -> None:
        """Send this message; `None` = that of the present grid point."""
        self._note_standstill()
        if message is None:
            message = self.producer.build(self._observe())
        if self.producer.changed is not None:
            self._sent = self.producer.changed(message)
        payload = _encode(message)
        self._hub.stamp(Message(self.stream.name, Direction.IN, Opcode.TEXT, payload, 0, 0, 0, 0))
        self._fan_out(message, payload)

    def _note_standstill(self) -> None:
        """Say where our own stream has a hole: the collector was stopped, or had no processor, or the machine slept."""
        now_s, wall_ns = now(), time.time_ns()
        before, self._ticked = self._ticked, (now_s, wall_ns)
        if before is None or now_s - before[0] <= STALE_PERIODS * self.stream.period_s:
            return
        cause = f"the collector stood still for {now_s - before[0]:.1f} s"
        last = before[1]
        self._hub.event(
            self.stream.name, Gap(0, last_seen_ns=last, lost_at_ns=last, back_at_ns=wall_ns, cause=cause)
        )

    def touch(self) -> None:
        """Something may have changed: look at once, or at the end of the running burst."""
        if self.producer.changed is None or self._check is not None:
            return
        loop = asyncio.get_running_loop()
        wait = self._quiet_until - loop.time()
        self._check = loop.call_soon(self._look) if wait <= 0 else loop.call_later(wait, self._look)

    def _look(self) -> None:
        self._check = None
        message = self.current()
        if self.producer.changed is not None and self.producer.changed(message) != self._sent:
            self._quiet_until = asyncio.get_running_loop().time() + COALESCE_S
            self.tick(message)

    def _fan_out(self, message: dict[str, Any], payload: bytes) -> None:
        frames: dict[tuple[str, ...], bytes] = {(): text_frame(payload)}
        for client in tuple(self.clients):
            if client in self._greeted and self._repeats_greeting(client):
                continue
            frame = frames.get(client.parts)
            if frame is None:
                frame = frames[client.parts] = text_frame(self.encode(message, client.parts))
            client.write(frame)

    def _repeats_greeting(self, client: Client) -> bool:
        """Whether what is sent now is what the client was greeted with a moment ago."""
        content, until = self._greeted[client]
        repeats = content == self._sent and asyncio.get_running_loop().time() < until
        if not repeats:
            del self._greeted[client]
        return repeats

    def encode(self, message: dict[str, Any], parts: tuple[str, ...]) -> bytes:
        """Return the message, or those parts of it, as JSON."""
        if parts and self.producer.select is not None:
            message = self.producer.select(message, parts)
        return _encode(message)

    def join(self, client: Client) -> None:
        """Greet a client with the current message, then send it every one."""
        self.clients.add(client)  # first, so that the greeting counts it
        message = self.current()
        if self.producer.changed is not None:
            # Its coming is a change, which is pushed at once, or at the end of a burst: to all but itself.
            until = asyncio.get_running_loop().time() + 2 * COALESCE_S
            self._greeted[client] = (self.producer.changed(message), until)
        client.write(text_frame(self.encode(message, client.parts)))

    def leave(self, client: Client) -> None:
        """Stop sending to the client."""
        self.clients.discard(client)
        self._greeted.pop(client, None)

    def close(self) -> None:
        """Forget a planned look."""
        if self._check is not None:
            self._check.cancel()
            self._check = None
