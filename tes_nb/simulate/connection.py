"""One WebSocket connection of a client, seen from the server."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tes_nb.simulate.frames import Frame, websocket_frame

OK = websocket_frame(Frame(text=True, payload=b"ok"))
_LINGER_NOT = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Connection:
    """Writes whole frames straight to the transport, so that one framing serves every client."""

    number: int
    subscriber: str
    socket: web.WebSocketResponse
    transport: asyncio.Transport
    token_age_s: float
    opened_at: float
    """The loop's time, like all times here."""
    channels: frozenset[str] | None = None
    """`None` = it has not asked for any yet."""
    subscriptions: list[tuple[float, list[str]]] = field(default_factory=list)
    """(seconds after the opening, channels) of each request."""
    muted: bool = False
    """Nothing is sent any more, and nobody notices: a silence."""
    unreadable: int = 0
    """Client messages that are no channel request."""
    sent: int = 0
    """Data messages."""
    last_frame: bytes = OK
    ended: str = ""
    """Why the server ended it; "" = it did not."""

    def ask(self, channels: Sequence[str], now: float) -> None:
        """Take the whole new list of channels."""
        self.channels = frozenset(channels)
        self.subscriptions.append((round(now - self.opened_at, 3), list(channels)))

    def wants(self, channel: str) -> bool:
        """Whether data of that channel are for this connection, sent or lost."""
        return self.channels is not None and channel in self.channels

    def send(self, frame: bytes) -> None:
        """Write one whole frame, unless the connection is muted or gone."""
        if not self.muted and not self.transport.is_closing():
            self.last_frame = frame
            self.transport.write(frame)

    @property
    def waiting(self) -> int:
        """Bytes that the client has not taken yet."""
        return 0 if self.transport.is_closing() else self.transport.get_write_buffer_size()

    def blackhole(self) -> None:
        """Read nothing from now on: pings stay unanswered."""
        if self.transport.is_reading():
            self.transport.pause_reading()

    def reset(self, *, mid_frame: bool = False) -> None:
        """End the connection with a TCP reset, on request after half a frame."""
        if self.transport.is_closing():
            return
        self.ended = self.ended or "reset"
        if mid_frame and not self.muted:
            self.transport.write(self.last_frame[: max(len(self.last_frame) // 2, 2)])
        raw = self.transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.transport.abort()

    async def close(self, code: int, reason: str) -> None:
        """Close with that code and reason; a client that does not answer within a second is cut off."""
        self.ended = self.ended or f"closed {code} {reason}"
        if not self.transport.is_closing():
            await self.socket.close(code=code, message=reason.encode()[:123])

    def report(self, now: float) -> dict[str, Any]:
        """Return what the ledger tells of the connection."""
        return {
            "connection": self.number,
            "subscriber": self.subscriber,
            "open": not self.transport.is_closing() and not self.socket.closed,
            "age_s": round(now - self.opened_at, 3),
            "token_age_s": round(self.token_age_s, 3),
            "channels": None if self.channels is None else sorted(self.channels),
            "subscriptions": [{"after_s": after, "channels": names} for after, names in self.subscriptions],
            "sent": self.sent,
            "unreadable": self.unreadable,
            "muted": self.muted,
            "ended": self.ended,
        }
