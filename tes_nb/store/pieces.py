"""The rows of one table of a recording in pieces: memory stays flat however long the recording is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tes_nb.store.columns import Columns
from tes_nb.store.tables import StreamStore

if TYPE_CHECKING:
    from tes_nb.model import Message, Row, Stream
    from tes_nb.store.snapshot import Snapshot

UNBOUNDED = 2**40
"""A recording is read whole when it is asked for whole."""
PIECE_ROWS = 16_384


class _Unwanted(Columns):
    """A table that nobody asked for."""

    def append(self, rows: Sequence[Row], **stamp: Any) -> None:
        """Keep nothing."""


def pieces(stream: Stream, table: str, messages: Iterable[Message]) -> Iterator[Snapshot]:
    """Decode the messages once, and let go of rows as soon as there are enough for a piece."""
    store = StreamStore(stream)
    store.tables = {one.name: _Unwanted(one) for one in stream.tables}
    store.tables[table] = rows = _empty(stream, table)
    for message in messages:
        store.receive(message)
        if rows.received >= PIECE_ROWS:
            yield rows.snapshot()
            store.tables[table] = rows = _empty(stream, table)
    yield rows.snapshot()


def _empty(stream: Stream, table: str) -> Columns:
    return Columns(stream.table(table), stream=stream.name, cap=UNBOUNDED)
