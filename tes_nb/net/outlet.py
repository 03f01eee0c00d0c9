"""The way out of a reader: messages and events go to one sink, and nothing the sink does harms the reader."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from tes_nb.model import Direction, Kind, Message, Opcode, Stream
from tes_nb.wire.events import Event, Gap, GapBook

_REMEMBERED_TEXTS = 8


class Sink(Protocol):
    """Where a reader puts what it gets. Both are called in the reader's loop and must not block."""

    def received(self, direction: Direction, opcode: Opcode, payload: bytes, conn: int, flags: int) -> object:
        """Take one message: from the peer (IN) or from us to the peer (OUT). `conn` counts from 1."""

    def event(self, event: Event) -> object:
        """Take a gap or a change of state."""


class Outlet:
    """Hands on, classifies, and keeps the book of gaps."""

    def __init__(self, stream: Stream, source: str, sink: Sink, wall_ns: Callable[[], int]) -> None:
        self._classify = stream.classify
        self._stream_name = stream.name
        self._source = source
        self._sink = sink
        self._wall_ns = wall_ns
        self._gaps = GapBook()
        self._sent: deque[bytes] = deque(maxlen=_REMEMBERED_TEXTS)
        self.errors = 0
        """How often the sink or the stream's `classify` raised; each time the loop's handler is told."""

    @property
    def gap(self) -> Gap | None:
        """The gap that is open; `None` = none is."""
        return self._gaps.open

    def new_connection(self) -> None:
        """Forget what was sent on the connection before: only its own texts can come back as echoes."""
        self._sent.clear()

    def kind(self, opcode: Opcode, payload: bytes, conn: int, flags: int) -> Kind:
        """Return what a received message is; our own texts coming back are echoes, whatever they are."""
        if payload in self._sent:
            return Kind.ECHO
        try:
            return self._classify(Message(self._source, Direction.IN, opcode, payload, 0, 0, conn, 0, flags))
        except Exception as error:  # noqa: BLE001 - a user's own stream must not end the connection
            self._report(f"classify of the stream '{self._stream_name}'", error)
            return Kind.UNDECODED

    def received(self, opcode: Opcode, payload: bytes, conn: int, flags: int) -> None:
        """Hand on a message of the peer."""
        self._gaps.seen(self._wall_ns())
        self._give(Direction.IN, opcode, payload, conn, flags)

    def sent(self, text: bytes, conn: int) -> None:
        """Hand on a copy of what we send: recordings hold both directions."""
        self._sent.append(text)
        self._give(Direction.OUT, Opcode.TEXT, text, conn, 0)

    def event(self, event: Event) -> None:
        """Hand on an event."""
        try:
            self._sink.event(event)
        except Exception as error:  # noqa: BLE001 - whatever the sink does, the reader goes on
            self._report(f"the sink of '{self._source}'", error)

    def gap_begins(self, conn: int, cause: str) -> None:
        """From now on messages may be missing."""
        self._gaps.begin(conn, cause, self._wall_ns())

    def gap_ends(self) -> None:
        """Hand on the record of the gap that data have just ended."""
        if (gap := self._gaps.end(self._wall_ns())) is not None:
            self.event(gap)

    def close(self) -> None:
        """Hand on the record of a gap that nothing ends any more."""
        if (gap := self._gaps.end(None)) is not None:
            self.event(gap)

    def _give(self, direction: Direction, opcode: Opcode, payload: bytes, conn: int, flags: int) -> None:
        try:
            self._sink.received(direction, opcode, payload, conn, flags)
        except Exception as error:  # noqa: BLE001 - see event
            self._report(f"the sink of '{self._source}'", error)

    def _report(self, where: str, error: Exception) -> None:
        self.errors += 1
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": f"{where} raised", "exception": error})
