"""The broadcast: each message is numbered, noted in the ledger, framed once and given to everyone."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tes_nb.simulate.encoding import Frame, websocket_frame
from tes_nb.simulate.faults import Which
from tes_nb.simulate.sent_log import SentLog

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
    """Nothing is sent any more, without an error: a silence."""
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
        """Return what the ledger says of the connection."""
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


REMEMBERED_CONNECTIONS = 10_000


class Connections:
    """The open connections and what they are sent."""

    def __init__(self, ledger_limit: int) -> None:
        self.log = SentLog(ledger_limit)
        self.ended: deque[dict[str, Any]] = deque(maxlen=REMEMBERED_CONNECTIONS)
        """Reports of the connections that are no more."""
        self.first_request = asyncio.Event()
        """Set when the first connection has asked for channels."""
        self._open: dict[int, Connection] = {}
        self._served_since: float | None = None
        self._count = 0

    def next_number(self) -> int:
        """Return the number for a new connection, counted from 1."""
        self._count += 1
        return self._count

    def add(self, connection: Connection) -> None:
        """Take an open connection in."""
        self._open[connection.number] = connection

    def remove(self, connection: Connection, now: float) -> None:
        """Forget a connection that ended, but for its report."""
        if self._open.pop(connection.number, None) is not None:
            self.log.remove_connection(connection.subscriber, connection.number)
            self.ended.append(connection.report(now))
        if not any(one.channels for one in self._open.values()):
            self._served_since = None

    def ask(self, connection: Connection, channels: Sequence[str], now: float) -> None:
        """Let a connection have these channels, and no others, from the next message on."""
        connection.ask(channels, now)
        if self._served_since is None:
            self._served_since = now
        self.first_request.set()
        self.log.set_channels(connection.subscriber, connection.number, channels)

    def publish(self, channel: str, build: Callable[[int], Frame]) -> None:
        """Send the message that `build` makes of its number to everyone who asked for the channel."""
        frame = websocket_frame(build(self.log.number(channel, time.time_ns())))
        for connection in self._open.values():
            if connection.wants(channel):
                connection.sent += 1
                connection.send(frame)

    def inject(self, frame: Frame) -> None:
        """Send something that is no data, without a number, to everyone."""
        self._send(self._open.values(), websocket_frame(frame))

    def keep_alive(self) -> None:
        """Send `ok` to everyone."""
        self._send(self._open.values(), OK)

    def select(self, which: Which = "all") -> list[Connection]:
        """Return the open connections, or the oldest or newest of them alone."""
        connections = list(self._open.values())
        return {"all": connections, "oldest": connections[:1], "newest": connections[-1:]}[which]

    def of(self, subscriber: str) -> list[Connection]:
        """Return the open connections of one logical subscriber."""
        return [connection for connection in self._open.values() if connection.subscriber == subscriber]

    def served_s(self, now: float) -> float | None:
        """Return for how many seconds somebody has had data without a break; `None` = nobody has."""
        return None if self._served_since is None else now - self._served_since

    def behind(self, limit: int) -> list[Connection]:
        """Return the connections for which more than `limit` bytes wait."""
        return [connection for connection in self._open.values() if connection.waiting > limit]

    @staticmethod
    def _send(connections: Iterable[Connection], frame: bytes) -> None:
        for connection in connections:
            connection.send(frame)
