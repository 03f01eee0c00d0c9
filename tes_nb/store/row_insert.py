"""Insert many rows in few SQLite steps.

Python gives the interpreter lock back around every step, and must win it again afterwards: beside a busy event
loop that costs more than the insertion. So rows go in by the hundred, and only the odd ones singly.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3

_LARGEST = 128


def insert_rows(connection: sqlite3.Connection, table: str, width: int, values: list[Any]) -> None:
    """Insert `len(values) / width` rows, whose values follow one another. `table` is a trusted name."""
    left = len(values) // width
    start = 0
    size = _LARGEST
    while left:
        while size > left:
            size //= 2
        end = start + size * width
        connection.execute(_statement(table, width, size), values[start:end])
        start, left = end, left - size


@cache
def _statement(table: str, width: int, rows: int) -> str:
    """The same text object each time: SQLite's cache of prepared statements goes by it."""
    row = f"({', '.join('?' * width)})"
    return f"INSERT INTO {table} VALUES {', '.join([row] * rows)}"  # noqa: S608 - the name is ours
