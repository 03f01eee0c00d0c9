"""The rows of the small tables: the border where their values come in and go out, and a checksum for each table.

A message carries its own checksum. The small tables are many kinds of rows that change, so each table has one sum over
all its rows, in the table `checksums`; what does not fit is damage, and no value of it is given (decision 0019).
"""

from __future__ import annotations

import contextlib
import sqlite3
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple
from zlib import crc32

import msgspec
from msgspec import Meta

from tes_nb.store.session.schema import MAX_SOURCES, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_Source = Annotated[int, Meta(ge=1, le=MAX_SOURCES)]
_AnySource = Annotated[int, Meta(ge=0, le=MAX_SOURCES)]
_Count = Annotated[int, Meta(ge=0)]


class _Row(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The fields of each kind are the columns of its table, in their order."""


class FactRow(_Row, frozen=True, array_like=True):
    """Something noted about the recording."""

    name: str
    value: str

    def __post_init__(self) -> None:
        """Refuse what is no JSON."""
        self.decoded()

    def decoded(self) -> Any:
        """Return the value."""
        return msgspec.json.decode(self.value)


class SourceRow(_Row, frozen=True, array_like=True):
    """A source."""

    id: _Source
    name: str
    stream: str
    url: str | None
    ordered: Annotated[int, Meta(ge=0, le=1)]


class SegmentRow(_Row, frozen=True, array_like=True):
    """A run of one source's messages."""

    source_id: _Source
    first_id: Annotated[int, Meta(ge=1)]
    last_id: Annotated[int, Meta(ge=1)]
    messages: Annotated[int, Meta(ge=1)]
    bytes: _Count
    first_mono_ns: int
    last_mono_ns: int
    min_wall_ns: int
    max_wall_ns: int


class ConnectionRow(_Row, frozen=True, array_like=True):
    """An upstream connection."""

    source_id: _Source
    conn: int
    first_seen_ns: int


class StateRow(_Row, frozen=True, array_like=True):
    """A change of a reader's visible state."""

    id: int
    source_id: _Source
    conn: int
    at_ns: int
    state: Literal["IDLE", "CONNECTING", "OPEN", "POLLING", "WAITING", "FAILED", "CLOSED"]
    text: str
    attempts: int
    reconnects: int
    close_code: int | None
    retry_at_ns: int | None


class GapRow(_Row, frozen=True, array_like=True):
    """A hole."""

    source_id: _AnySource
    conn: int
    lost_at_ns: int
    last_seen_ns: int | None
    back_at_ns: int | None
    cause: str
    missing: int | None


class MarkRow(_Row, frozen=True, array_like=True):
    """A mark on the time line."""

    id: int
    source_id: _Source
    at_ns: int
    label: str


class JumpRow(_Row, frozen=True, array_like=True):
    """A jump of the wall clock."""

    id: int
    source_id: _Source
    at_ns: int
    by_ns: int


_KINDS: dict[str, tuple[type[_Row], int]] = {
    "facts": (FactRow, 1),
    "sources": (SourceRow, 1),
    "segments": (SegmentRow, 2),
    "connections": (ConnectionRow, 2),
    "state_changes": (StateRow, 1),
    "gaps": (GapRow, 3),
    "marks": (MarkRow, 1),
    "clock_jumps": (JumpRow, 1),
}
"""Table → what its rows are, and how many of their first columns are the key."""


class TableSum(NamedTuple):
    """What `checksums` says of a table."""

    rows: int = 0
    crc: int = 0

    @classmethod
    def of(cls, rows: list[tuple[Any, ...]]) -> TableSum:
        """Return the sum of these rows. Their order does not matter."""
        return cls(len(rows), sum(map(_row_crc, rows)) & 0xFFFFFFFF)


_encode = msgspec.json.Encoder().encode


def _row_crc(row: tuple[Any, ...]) -> int:
    return crc32(_encode(row))


def stored_sums(connection: sqlite3.Connection) -> dict[str, TableSum] | None:
    """Return table → its sum, as the file says; `None` = it was recorded before there were any."""
    try:
        # not by name: an index may be damaged, too
        rows = connection.execute("SELECT name, row_count, crc FROM checksums").fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:
            return None
        raise
    return {name: TableSum(count, crc) for name, count, crc in rows}


def read_rows(
    connection: sqlite3.Connection, table: str, stored: Mapping[str, TableSum] | None
) -> tuple[Any, ...]:
    """Return all rows of a small table by their key, each as what `_KINDS` says.

    Raises `sqlite3.DatabaseError` for values that no session writes, and where they do not fit the sum in `stored`.
    """
    rows = connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - ours
    if stored is not None and stored.get(table) != TableSum.of(rows):
        raise sqlite3.DatabaseError(f"its table of {table} does not fit the checksum")
    kind, width = _KINDS[table]
    try:
        converted = msgspec.convert(rows, list[kind])  # type: ignore[valid-type]
    except (ValueError, RecursionError) as error:
        raise sqlite3.DatabaseError(
            f"its table of {table} holds what no recorder writes ({error})"
        ) from error
    if len({row[:width] for row in rows}) < len(rows) or (
        table == "sources" and len({row[1] for row in rows}) < len(rows)
    ):
        raise sqlite3.DatabaseError(f"its table of {table} says something twice")
    return tuple(sorted(converted, key=lambda row: msgspec.structs.astuple(row)[:width]))


@contextlib.contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Let everything that is read inside be of one moment, also while another process records."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        with contextlib.suppress(sqlite3.OperationalError):  # an error may have ended it
            connection.execute("COMMIT")


class RowWriter:
    """Writes rows of small tables, and keeps the sums up. One transaction has one, made of the one before."""

    def __init__(self, sums: Mapping[str, TableSum] | None = None) -> None:
        self.sums = dict(sums or dict.fromkeys(TABLES, TableSum()))
        self._changed: set[str] = set()

    def put(
        self, connection: sqlite3.Connection, table: str, row: tuple[Any, ...], *, replace: bool = True
    ) -> None:
        """Insert a row, in the place of that with the same key if there is one; replace=False: then it stays.

        Raises `OverflowError` for integers beyond 64 bits: then nothing has changed.
        """
        width = _KINDS[table][1]
        before = connection.execute(_select(table), row[:width]).fetchone()
        if before is None or replace:
            self.exchange(connection, table, row, before)

    def exchange(
        self,
        connection: sqlite3.Connection,
        table: str,
        row: tuple[Any, ...],
        before: tuple[Any, ...] | None,
    ) -> None:
        """Insert a row in the place of another, which the caller knows; `None` = there is none."""
        connection.execute(_insert(table, len(row)), row)
        count, crc = self.sums[table]
        crc += _row_crc(row)
        if before is None:
            count += 1
        else:
            crc -= _row_crc(before)
        self.sums[table] = TableSum(count, crc & 0xFFFFFFFF)
        self._changed.add(table)

    def finish(self, connection: sqlite3.Connection) -> None:
        """Write the sums of the tables that have changed, inside the caller's transaction."""
        for table in self._changed:
            row = (*self.sums[table], table)  # it is there from the beginning; an update touches one page
            connection.execute("UPDATE checksums SET row_count = ?, crc = ? WHERE name = ?", row)


@cache
def _select(table: str) -> str:
    keys = list(_KINDS[table][0].__struct_fields__)[: _KINDS[table][1]]
    return f"SELECT * FROM {table} WHERE {' AND '.join(f'{key} = ?' for key in keys)}"  # noqa: S608 - ours


@cache
def _insert(table: str, width: int) -> str:
    return f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * width)})"  # noqa: S608 - ours
