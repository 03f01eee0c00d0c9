"""The rows of a recording's tables in pieces: memory stays flat however long the recording is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tes_nb.model import Kind
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
    """Decode the messages once for one table; let go of its rows as soon as there are enough for a piece."""
    return (piece for _, piece in pieces_together(stream, messages, [table]))


def pieces_together(
    stream: Stream, messages: Iterable[Message], tables: Collection[str] | None = None
) -> Iterator[tuple[str, Snapshot]]:
    """Decode the messages once for several tables (`None` = all); yield (table, piece).

    Each table's pieces come in their order; the last of each, which may be empty, at the end.
    """
    wanted = [one.name for one in stream.tables if tables is None or one.name in tables]
    store = StreamStore(stream)
    store.tables = {one.name: _Unwanted(one) for one in stream.tables} | {
        name: _empty(stream, name) for name in wanted
    }
    for message in messages:
        store.receive(message)
        for name in wanted:
            if store.tables[name].received >= PIECE_ROWS:
                yield name, store.tables[name].snapshot()
                store.tables[name] = _empty(stream, name)
    for name in wanted:
        yield name, store.tables[name].snapshot()


def count_undecoded(stream: Stream, messages: Iterable[Message]) -> int:
    """Decode the messages, keep nothing, and return how many did not decode."""
    store = StreamStore(stream)
    store.tables = {one.name: _Unwanted(one) for one in stream.tables}
    for message in messages:
        store.receive(message)
    return store.counts().kinds.get(Kind.UNDECODED, 0)


def _empty(stream: Stream, table: str) -> Columns:
    return Columns(stream.table(table), stream=stream.name, cap=UNBOUNDED)
