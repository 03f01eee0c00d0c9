"""Read every row of a damaged session that SQLite can reach and whose checksum fits (decision 0018)."""

from __future__ import annotations

import contextlib
import itertools
import re
import sqlite3
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from tes_nb.store.session.rows import to_message
from tes_nb.store.session.schema import MESSAGE_COLUMNS, PAGE_SIZE

PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT)
"""Errors of the moment, not of the file."""
DAMAGE = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What reading a damaged file raises: Python cannot decode what SQLite says of a name whose bytes have changed."""
_SPLITS = 2**15
"""So often the ids of one table are halved, which takes a second or two: down to single rows where fewer ids are out of
reach, else into so many parts."""
_SHORTEST_ROW = 16
"""Bytes; from it follows how many rows a file can have."""

Row = tuple[Any, ...]
"""The values of `MESSAGE_COLUMNS`."""


def tables_of(connection: sqlite3.Connection) -> list[str]:
    """Return the tables that SQLite knows, which are all it could read of a damaged schema."""
    names: dict[str, None] = {}
    with contextlib.suppress(*DAMAGE):
        connection.execute(
            "SELECT 1 FROM sqlite_schema"
        ).fetchone()  # the first statement fails, later ones do not
    with contextlib.suppress(*DAMAGE):
        query = (
            "SELECT sql FROM sqlite_schema LIMIT 1 OFFSET ?"  # singly: with an error Python gives up a row
        )
        for offset in itertools.count():
            row = connection.execute(query, (offset,)).fetchone()
            if row is None:
                break
            if table := re.match(r"CREATE TABLE (\w+) \(", str(row[0])):
                names[table[1]] = None
    return list(names)


def last_id_of(connection: sqlite3.Connection, tables: list[str], in_segments: int) -> int:
    """Return an id that no row within reach exceeds. `in_segments` is what the segments say, 0 = nothing."""
    if not tables:
        return 0
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    most = int(pages) * PAGE_SIZE // _SHORTEST_ROW
    last_ids = [in_segments or most]
    for table in tables:
        with contextlib.suppress(*DAMAGE):
            last_ids += connection.execute(f"SELECT coalesce(max(rowid), 0) FROM {table}").fetchone()  # noqa: S608 - \w
    return min(most, max(last_ids))


def reachable(connection: sqlite3.Connection, table: str, ranges: Iterable[tuple[int, int]]) -> Iterator[Row]:
    """Yield the intact rows of a message table in these ranges of ids, in no certain order, some of them twice.

    SQLite reads up to a damaged page. What lies behind it is read from the middle of the remaining ids on, and so
    forth by halves, down to a single row. A row counts only with its checksum: a damaged tree may lead to others.
    """
    query = f"SELECT rowid, * FROM {table} NOT INDEXED WHERE rowid"  # noqa: S608 - \w only
    forwards, backwards = f"{query} >= ? ORDER BY rowid", f"{query} <= ? ORDER BY rowid DESC"
    splits, left = _SPLITS, deque(ranges)
    while left:
        low, high = left.popleft()
        try:
            # Python's cursor is a row ahead, and gives up the row before an error: a single one is asked for alone.
            one = " LIMIT 1" if low == high else ""
            for row in _intact(connection.execute(forwards + one, (low,)), table):
                if row[0] > high:
                    break
                yield row
                low = max(low, row[0] + 1)
        except UnicodeDecodeError:
            return
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF in PASSING:
                raise
            if error.sqlite_errorcode in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_AUTH):
                return  # no such column: not our table
            if low < high and splits:
                splits -= 1
                middle = (low + high) // 2
                left += ((low, middle), (middle + 1, high))
            elif low < high:
                with contextlib.suppress(*DAMAGE):
                    for row in _intact(connection.execute(backwards, (high,)), table):
                        if row[0] < low:
                            break
                        yield row


def _intact(rows: Iterator[Row], table: str) -> Iterator[Row]:
    """Yield the rows whose checksum fits, of the source that their column names, else of the one whose table it is."""
    name = re.fullmatch(r"messages_(\d{1,9})", table)
    own = int(name[1]) if name else None
    for row in rows:
        if len(row) == 1 + len(MESSAGE_COLUMNS):
            # The number of a row is its id, whatever the column of that name says.
            number, _, source_id, *_ = row
            for source in (source_id,) if source_id == own else (source_id, own):
                if number > 0 and source is not None and to_message("", source, (number, *row[3:])):
                    yield (number, source, *row[3:])
                    break
