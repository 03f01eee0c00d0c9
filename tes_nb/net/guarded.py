"""The client connection of the websockets library, with a keepalive and limits of ours."""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN

from tes_nb.net.clock import now
from tes_nb.wire.keepalive import Keepalive


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may do to us."""

    message_bytes: int = 2**20
    """One message, after permessage-deflate; more closes with 1009."""
    fragments: int = 4096
    """Frames of one message; more close with 1009."""
    pings_per_s: int = 100
    """More close with 1008."""


LIMITS = Limits()


class GuardedConnection(ClientConnection):
    """Counts what a peer sends, pings it, and gives it up with a sentence that says why."""

    def __init__(
        self, protocol: ClientProtocol, *, limits: Limits, max_queue: int, close_timeout: float
    ) -> None:
        super().__init__(
            protocol,
            ping_interval=None,  # the library's keepalive cannot tell a slow link from a dead one: ours does
            ping_timeout=None,
            close_timeout=close_timeout,
            max_queue=max_queue,
        )
        self.given_up: tuple[int, str] | None = None
        """(close code, why) when it was we who ended the connection because of the peer."""
        self._limits = limits
        self._patience_s = close_timeout
        self._fragments = 0
        self._pings: deque[float] = deque(maxlen=limits.pings_per_s + 1)
        self._keepalive: Keepalive | None = None
        self._pinged = 0
        self._timers: list[asyncio.TimerHandle] = []

    def keep_alive(self, keepalive: Keepalive) -> None:
        """Ping the peer from now on, and give it up when it does not answer."""
        self._keepalive = keepalive
        self._look(keepalive)

    def data_received(self, data: bytes) -> None:
        """Take what the socket brought."""
        if self._keepalive is not None:
            self._keepalive.bytes_arrived(now())
        super().data_received(data)
        if self.response is not None and self.protocol.state is not OPEN:
            self._abort_soon()

    def process_event(self, event: Response | Frame) -> None:  # type: ignore[override]  # the library's alias is wider
        """Count the frame before the library handles it."""
        if isinstance(event, Frame):
            if self.given_up is not None:
                return
            self._count(event)
        super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers; the connection is over."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        super().connection_lost(exc)

    def _count(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PING:
            self._pings.append(self.loop.time())
            if len(self._pings) > self._limits.pings_per_s and self._pings[-1] - self._pings[0] < 1:
                self._fail(CloseCode.POLICY_VIOLATION, "too many pings")
        elif frame.opcode is Opcode.PONG:
            if self._keepalive is not None and bytes(frame.data) == self._ping_payload():
                self._keepalive.ponged(now())
        elif frame.opcode is not Opcode.CLOSE:
            self._count_fragment(frame)

    def _count_fragment(self, frame: Frame) -> None:
        if frame.fin:
            self._fragments = 0
            if self._keepalive is not None:
                self._keepalive.message_arrived()
            return
        self._fragments += 1
        if self._fragments >= self._limits.fragments:
            self._fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")

    def _fail(self, code: CloseCode, reason: str) -> None:
        """Close with `code`, and do not wait long for the peer to agree."""
        self.given_up = (code, f"we closed {int(code)}: {reason}")
        self.protocol.fail(code, reason)
        self.send_data()
        self._abort_soon()

    def _abort_soon(self) -> None:
        if not self._timers:
            self._timers.append(self.loop.call_later(self._patience_s, self.transport.abort))

    def _ping_payload(self) -> bytes:
        return struct.pack("!I", self._pinged)

    def _look(self, keepalive: Keepalive) -> None:
        """Ask the keepalive what to do, and when it wants to be asked again."""
        if self.protocol.state is not OPEN:
            return
        answer = keepalive.look(now())
        if answer == "dead":
            self.given_up = (CloseCode.ABNORMAL_CLOSURE, "the peer does not answer pings")
            self.transport.abort()
            return
        if answer == "ping":
            self._pinged = (self._pinged + 1) % 2**32
            self.protocol.send_ping(self._ping_payload())
            self.send_data()
        self.loop.call_later(max(keepalive.due_at() - now(), 0.001), self._look, keepalive)
