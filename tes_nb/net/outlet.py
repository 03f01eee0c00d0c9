"""The way out of a reader: messages and events go to one sink, and nothing the sink does harms the reader."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from tes_nb.model import Direction, Kind, Message, Opcode, Stream
from tes_nb.model.message import FLAG_DUPLICATE
from tes_nb.wire.events import Event, Gap, GapBook

_REMEMBERED_TEXTS = 8

Item = tuple[Direction, Opcode, bytes, int, int]
"""What a sink takes: direction, opcode, payload, connection, flags."""


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


class Joined:
    """Hands on to one sink; nothing that the sink does harms the reader."""

    def __init__(self, stream: Stream, source: str, sink: Sink, wall_ns: Callable[[], int]) -> None:
        self._classify = stream.classify
        self._source = source
        self._sink = sink
        self._wall_ns = wall_ns
        self._gaps = GapBook()
        self.errors = 0
        """How often the sink raised; each time the loop's handler was told."""

    @property
    def gap(self) -> Gap | None:
        """The gap between two connections that is open; `None` = none is."""
        return self._gaps.open

    def gap_begins(self, conn: int, cause: str) -> None:
        """From now on messages may be missing, until data come again."""
        self._gaps.begin(conn, cause, self._wall_ns())

    def emit(self, items: Iterable[tuple[Item, bool]]) -> None:
        """Hand on messages, each with whether it is a duplicate."""
        for item, duplicate in items:
            self.give((*item[:4], item[4] | FLAG_DUPLICATE) if duplicate else item)

    def give(self, item: Item) -> None:
        """Hand on one message; a gap that it ends comes first."""
        if self._gaps.open is not None and not item[4] & FLAG_DUPLICATE and self.kind(item) is Kind.DATA:
            gap = self._gaps.end(self._wall_ns())
            assert gap is not None
            self.tell(gap)
        if item[0] is Direction.IN:
            self._gaps.seen(self._wall_ns())
        try:
            self._sink.received(*item)
        except Exception as error:  # noqa: BLE001 - whatever the sink does, the reader goes on
            self.errors += 1
            self.report("the sink", error)

    def tell(self, event: Event) -> None:
        """Hand on an event."""
        try:
            self._sink.event(event)
        except Exception as error:  # noqa: BLE001 - see give
            self.errors += 1
            self.report("the sink", error)

    def close(self) -> None:
        """Hand on the record of a gap that nothing ends any more."""
        if (gap := self._gaps.end(None)) is not None:
            self.tell(gap)

    def kind(self, item: Item) -> Kind:
        """Return what a message is; what we send ourselves is an echo."""
        direction, opcode, payload, conn, flags = item
        if direction is Direction.OUT:
            return Kind.ECHO
        try:
            return self._classify(Message(self._source, direction, opcode, payload, 0, 0, conn, 0, flags))
        except Exception:  # noqa: BLE001 - the connection's own outlet has told of it
            return Kind.UNDECODED

    def report(self, what: str, error: Exception) -> None:
        """Tell the loop's handler of an error that nobody waits for."""
        context = {"message": f"{what} of '{self._source}' raised", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
