"""The way out of a renewing reader: what several connections brought as one, and the gaps between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from tes_nb.model import Direction, Kind, Message, Stream
from tes_nb.model.message import FLAG_DUPLICATE
from tes_nb.net.leg import Item
from tes_nb.net.outlet import Sink
from tes_nb.wire.events import Event, Gap, GapBook


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
