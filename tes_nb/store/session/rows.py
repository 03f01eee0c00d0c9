"""Read message rows in small chunks, each a transaction of its own, so that a reader never holds a recorder back."""

from __future__ import annotations

import sqlite3
import struct
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zlib import crc32

from tes_nb.model import Direction, Message, Opcode
from tes_nb.store.session.schema import MAX_PAYLOAD, message_table
from tes_nb.wire.record import pack

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence


def to_row(number: int, source_id: int, message: Message) -> tuple[Any, ...]:
    """Return the values in the order of `MESSAGE_COLUMNS`. Raises what `writable` tests for."""
    return (
        number,
        source_id,
        message.conn,
        message.seq,
        message.t_wall_ns,
        message.t_mono_ns,
        message.direction,
        message.opcode,
        message.flags,
        crc32(pack(message), (number + (source_id << 24)) & 0xFFFFFFFF),
        message.payload,
    )


def writable(message: Message) -> bool:
    """Whether a session file can hold the message: numbers in range, bytes of at most `MAX_PAYLOAD`."""
    try:
        message.source.encode()
        record = pack(message)
    except (struct.error, TypeError, ValueError, AttributeError):
        return False
    return len(record) <= MAX_PAYLOAD and message.seq < 2**63


def checksum(number: int, source_id: int, message: Message) -> int:
    """Return what the column `crc` holds: the CRC-32 of the message as the relay carries it.

    It begins with the row's id and source, so that a row which damage moved is not believed either.
    """
    return crc32(pack(message), (number + (source_id << 24)) & 0xFFFFFFFF)


ROWS = 2048
BYTES = 4 * 2**20
"""The most of one bite, whichever comes first."""

COLUMNS = "id, conn, seq, t_wall_ns, t_mono_ns, direction, opcode, flags, crc, payload"
Row = tuple[int, int, int, int, int, int, int, int, int, bytes]
LOWEST, HIGHEST = -(2**63), 2**63 - 1


STATES = "id IN (SELECT id FROM state_changes)"
"""Events that say how a connection is doing: their ids are in a small table."""
ASIDES = f"(opcode = {int(Opcode.EVENT)} OR direction = {int(Direction.OUT)})"
"""What no peer sent."""


@dataclass(frozen=True, slots=True)
class Want:
    """Which rows of a source."""

    first_id: int = LOWEST
    last_id: int = HIGHEST
    start_ns: int = LOWEST
    """Unix ns, inclusive."""
    end_ns: int = HIGHEST
    """Unix ns, exclusive."""
    conn: int | None = None
    """`None` = every connection."""
    among: str = ""
    """A condition on top, one of `STATES` and `ASIDES`; "" = every message."""

    @property
    def every(self) -> bool:
        """Whether every row of these ids is read, and times are compared when its checksum has been (decision 0019)."""
        return self.conn is None and not self.among

    def where(self) -> tuple[str, tuple[int, ...]]:
        """Return the condition and its values."""
        text, values = "id <= ?", [self.last_id]
        if not self.every and (self.start_ns, self.end_ns) != (LOWEST, HIGHEST):
            text += " AND t_wall_ns >= ? AND t_wall_ns < ?"
            values += [self.start_ns, self.end_ns]
        if self.conn is not None:
            text += " AND conn = ?"
            values.append(self.conn)
        if self.among:
            text += f" AND {self.among}"
        return text, tuple(values)


class Tally:
    """Counts the rows that a read meets by the segments they belong to.

    A row that damage moved elsewhere is missed where it was: no checksum of its own can say that.
    """

    def __init__(self, segments: Sequence[tuple[int, int, int]], *, grows: bool) -> None:
        """segments: first id, last id and count of each, by id. grows: whether the last is still being written."""
        self._segments = segments
        self._firsts = [first for first, _, _ in segments]
        self._left = [count for _, _, count in segments]
        self._grows = grows

    def add(self, ids: list[int]) -> None:
        """Count rows. Raises `sqlite3.DatabaseError` for one that belongs to no segment."""
        ids = sorted(ids)
        low, at = 0, max(0, bisect_right(self._firsts, ids[0]) - 1)
        while low < len(ids):
            if at == len(self._segments):
                if self._grows:
                    return
                raise sqlite3.DatabaseError("a row has a number that no row was given")
            first, last, _ = self._segments[at]
            high = bisect_right(ids, last, low)
            if high > low and ids[low] < first:
                raise sqlite3.DatabaseError("a row has a number that no row was given")
            self._left[at] -= high - low
            low, at = high, at + 1

    def finish(self) -> None:
        """Raise `sqlite3.DatabaseError` where another number of rows was there than was written."""
        if any(self._left[:-1] if self._grows else self._left):
            raise sqlite3.DatabaseError("rows are missing where they were written")


def chunks_by_id(
    connection: sqlite3.Connection, guard: threading.RLock, source_id: int, want: Want
) -> Iterator[list[Row]]:
    """Yield the rows in the order of their ids, which is the order of their arrival."""
    where, values = want.where()
    query = (
        f"SELECT {COLUMNS} FROM {message_table(source_id)} WHERE id > ? AND {where} "  # noqa: S608 - names are ours
        f"ORDER BY id LIMIT {ROWS}"
    )
    after = max(want.first_id, LOWEST + 1) - 1
    while True:
        with guard:
            rows = _take(connection.execute(query, (after, *values)))
        if not rows:
            return
        yield rows
        after = rows[-1][0]


def chunks_by_time(
    connection: sqlite3.Connection, guard: threading.RLock, source_id: int, want: Want, after: tuple[int, int]
) -> Iterator[list[Row]]:
    """Yield the rows in monotonic order where that is not the order of arrival; `after` is (ns, id)."""
    where, values = want.where()
    query = (
        f"SELECT {COLUMNS} FROM {message_table(source_id)} "  # noqa: S608 - names are ours
        f"WHERE (t_mono_ns, id) > (?, ?) AND id >= ? AND {where} ORDER BY t_mono_ns, id"
    )
    with guard:
        cursor = connection.execute(query, (*after, want.first_id, *values))
        rows = _take(cursor, close=False)
    while rows:
        yield rows
        with guard:
            rows = _take(cursor, close=False)


def _take(cursor: sqlite3.Cursor, *, close: bool = True) -> list[Row]:
    rows: list[Row] = []
    size = 0
    for row in cursor:
        rows.append(row)
        payload = row[-1]
        size += len(payload) if isinstance(payload, bytes) else 0  # damage makes anything of it
        if size >= BYTES or len(rows) >= ROWS:
            break
    if close:
        cursor.close()
    return rows


def to_message(source: str, source_id: int, row: Row) -> Message | None:
    """Return the message of a row; `None` = its checksum does not fit: some of its bytes have changed."""
    number, conn, seq, wall, mono, direction, opcode, flags, crc, payload = row
    message = Message(source, direction, opcode, payload, wall, mono, conn, seq, flags)
    try:
        intact = checksum(number, source_id, message) == crc
    except Exception:  # noqa: BLE001 - numbers out of range, a payload that is no bytes: damage of any kind
        intact = False
    return message if intact else None
