"""The broadcast: each message is numbered, noted in the ledger, framed once and given to everyone."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tes_nb.simulate.connection import OK, Connection
from tes_nb.simulate.faults import Which
from tes_nb.simulate.frames import Frame, websocket_frame
from tes_nb.simulate.sent import SentLog

REMEMBERED_CONNECTIONS = 10_000


class Hub:
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
            self.log.left(connection.subscriber, connection.number)
            self.ended.append(connection.report(now))
        if not any(one.channels for one in self._open.values()):
            self._served_since = None

    def ask(self, connection: Connection, channels: Sequence[str], now: float) -> None:
        """Let a connection have these channels, and no others, from the next message on."""
        connection.ask(channels, now)
        if self._served_since is None:
            self._served_since = now
        self.first_request.set()
        self.log.asked(connection.subscriber, connection.number, channels)

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

    def connections(self, which: Which = "all") -> list[Connection]:
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
