"""Read every row of a damaged session that SQLite can reach and whose checksum fits (decision 0015)."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections import deque
from collections.abc import Iterator
from typing import Any

from tes_nb.store.session.rows import to_message
from tes_nb.store.session.schema import MESSAGE_COLUMNS, PAGE_SIZE

PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT)
"""Errors of the moment, not of the file."""
DAMAGE = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What reading a damaged file raises: Python cannot decode what SQLite says of a name whose bytes have changed."""
_SPLITS = 2**17
"""So often the ids of one table are halved: down to single rows where fewer are out of reach, which takes some two
seconds at most; else into so many parts."""
_SHORTEST_ROW = 16
"""Bytes; from it follows how many rows a file can have."""
_LONGEST_PAGE = 1 + PAGE_SIZE // _SHORTEST_ROW
"""Rows, and the one before them."""

Found = tuple[Any, ...]
"""The row's number, which is its id whatever the column says, and the values of `MESSAGE_COLUMNS`."""


def message_tables(connection: sqlite3.Connection) -> list[str]:
    """Return the tables that can hold messages, by their columns' number: damage may have changed any name."""
    names: dict[str, None] = {}
    with contextlib.suppress(*DAMAGE):
        # The first statement fails where the schema is damaged; later ones see what of it could be read.
        connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
    query = "SELECT rowid, sql FROM sqlite_schema WHERE rowid > ? ORDER BY rowid LIMIT 1"
    with contextlib.suppress(*DAMAGE):
        number = 0
        while (row := connection.execute(query, (number,)).fetchone()) and row[0] > number:
            number = row[0]
            table = re.match(r"CREATE TABLE (\w+) \(", str(row[1]))
            if table:
                names[table[1]] = None
    return [name for name in names if _has_plain_columns(connection, name)]


def _has_plain_columns(connection: sqlite3.Connection, table: str) -> bool:
    with contextlib.suppress(*DAMAGE):
        hidden = [row[-1] for row in connection.execute(f"PRAGMA table_xinfo({table})")]
        return hidden == [0] * len(MESSAGE_COLUMNS)
    return False


def highest_id(connection: sqlite3.Connection, tables: list[str], in_segments: int) -> int:
    """Return an id that no row within reach exceeds. `in_segments` is what the segments say, 0 = nothing."""
    if not tables:
        return 0
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    most = int(pages) * PAGE_SIZE // _SHORTEST_ROW
    found = [in_segments]
    for table in tables:
        try:
            (highest,) = connection.execute(f"SELECT max(rowid) FROM {table}").fetchone()  # noqa: S608 - \w only
            found.append(highest or 0)
        except DAMAGE:
            found.append(0 if in_segments else most)
    return min(most, max(found))


def reachable(connection: sqlite3.Connection, table: str, last_id: int) -> Iterator[Found]:
    """Yield the intact rows of a message table, ids up to `last_id`, in no certain order, some of them twice.

    SQLite reads up to a damaged page. What lies behind it is read from the middle of the remaining ids on, and so
    forth by halves. A row counts only with its checksum: damaged trees lead to pages of other tables, too.
    """
    query = f"SELECT rowid, * FROM {table} NOT INDEXED WHERE rowid"  # noqa: S608 - \w only
    forwards, backwards = f"{query} >= ? ORDER BY rowid", f"{query} <= ? ORDER BY rowid DESC"
    splits = _SPLITS
    ranges = deque([(1, last_id)])
    while ranges:
        low, high = ranges.popleft()
        recent = deque([low], maxlen=_LONGEST_PAGE)
        try:
            for found in _intact(connection.execute(forwards, (low,))):
                if found[0] > high:  # behind the range, or led astray: rows before it may have been passed by
                    yield from _between(connection, backwards, high, low, high)
                    break
                yield found
                recent.append(found[0])
        except UnicodeDecodeError:
            return
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF in PASSING:
                raise
            if error.sqlite_errorcode in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_AUTH):
                return  # no such column: not our table
            # Python's cursor is a row ahead: with the error it gives up the row before.
            yield from _between(connection, f"{forwards} LIMIT 1", recent[-1] + (len(recent) > 1), low, high)
            low = max(low, recent[0])  # the last page may have led astray, too
            if low < high and splits:
                splits -= 1
                middle = (low + high) // 2
                ranges += ((low, middle), (middle + 1, high))
            elif low < high:
                yield from _between(connection, backwards, high, low, high)


def _between(connection: sqlite3.Connection, query: str, start: int, low: int, high: int) -> Iterator[Found]:
    """The rows of a range, from one of its ends up to damage."""
    with contextlib.suppress(*DAMAGE):
        for found in _intact(connection.execute(query, (start,))):
            if not low <= found[0] <= high:
                return
            yield found


def _intact(rows: Iterator[Found]) -> Iterator[Found]:
    for row in rows:
        if to_message("", row[2], (row[0], *row[3:])) is not None:
            yield row
