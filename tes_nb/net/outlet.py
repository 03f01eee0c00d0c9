"""The way out of a reader: it hands messages and events on, and an error of their receiver does not end the reader.

There is one `Outlet` for each stream that is read, and in it the one book of gaps, also when two connections
take turns (`tes_nb.net.renewing`). A message is made once, where it leaves the socket, and classified there; the
hub gives it its time and number (decisions/0015).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from tes_nb.model import Direction, Kind, Message
from tes_nb.model.message import FLAG_DUPLICATE
from tes_nb.wire.events import Event, Gap, GapBook


class Receiver(Protocol):
    """Where a reader puts what it gets. Everything is called in the reader's loop and must not block."""

    def number(self, conn: int) -> int:
        """Return the number under which a connection of the reader is known outside; both count from 1."""

    def append(self, message: Message, kind: Kind) -> None:
        """Hand on one message: from the peer (IN) or from us to the peer (OUT). It has no time or number yet."""

    def event(self, event: Event) -> None:
        """Hand on a change of state."""

    def begin_gap(self, conn: int, cause: str, *, by_silence: bool = False) -> None:
        """From now on messages may be missing. by_silence: nothing more is known of it."""

    def end_gap(self) -> None:
        """Data have come again."""

    def close(self) -> None:
        """The reader has ended; nothing ends an open gap any more."""


class Outlet:
    """Hands on, and keeps the book of gaps."""

    def __init__(
        self,
        source: str,
        on_message: Callable[[Message], object],
        on_event: Callable[[Event], object],
        *,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Both are called in the reader's loop; what they raise is reported to the loop's handler."""
        self._source = source
        self._on_message = on_message
        self._on_event = on_event
        self._wall_ns = wall_ns
        self._gaps = GapBook()
        self._until_data = False

    @property
    def gap(self) -> Gap | None:
        """The gap that is open; `None` = none is."""
        return self._gaps.open

    def number(self, conn: int) -> int:
        """Return the connection's number, which is the reader's own."""
        return conn

    def append(self, message: Message, kind: Kind) -> None:
        """Hand on one message; a gap that it ends comes first."""
        if self._until_data and kind is Kind.DATA and not message.flags & FLAG_DUPLICATE:
            self.end_gap()
        if message.direction == Direction.IN:
            self._gaps.note_message(self._wall_ns())
        try:
            self._on_message(message)
        except Exception as error:  # noqa: BLE001 - an error of the receiver must not end the reader
            report(f"What takes the messages of '{self._source}'", error)

    def event(self, event: Event) -> None:
        """Hand on an event."""
        try:
            self._on_event(event)
        except Exception as error:  # noqa: BLE001 - see append
            report(f"What takes the events of '{self._source}'", error)

    def begin_gap(self, conn: int, cause: str, *, by_silence: bool = False, until_data: bool = False) -> None:
        """Hand on the record of a gap that begins; of one that is open the first cause counts.

        until_data: the next message of data ends it. Else whoever began it does: a supervisor, which also knows
        whether data that come on a connection about to be closed count.
        """
        self._until_data = until_data
        gap = self._gaps.begin(conn, cause, self._wall_ns(), by_silence=by_silence)
        if gap is not None:
            self.event(gap)

    def end_gap(self) -> None:
        """Hand on the record of the gap that data have just ended, if one was open."""
        self._until_data = False
        if (gap := self._gaps.end(self._wall_ns())) is not None:
            self.event(gap)

    def close(self) -> None:
        """Nothing ends an open gap any more: its record, which came when it began, stays as it is."""
        self._until_data = False
        self._gaps = GapBook()


def report(what: str, error: Exception) -> None:
    """Hand an error that nothing awaits to the running loop's exception handler."""
    context = {"message": f"{what} raised", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)
