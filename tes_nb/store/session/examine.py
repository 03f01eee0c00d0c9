"""Look at a whole session file for damage, also for such as SQLite does not notice: a changed number in a small table.

The messages themselves are not looked at: each has its checksum, which whoever reads it compares.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import Any

from tes_nb.errors import DecodeError
from tes_nb.store.session.rows import COLUMNS, to_message
from tes_nb.store.session.schema import (
    SESSION_SOURCE,
    TABLES,
    FactRecord,
    SourceRecord,
    decode_record,
    message_table,
)
from tes_nb.store.session.tables import read_facts, read_sources, read_sums


def examine(connection: sqlite3.Connection) -> None:
    """Raise `sqlite3.DatabaseError` for the first damage that is found."""
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(" ".join(verdict.replace("***", "").split()))
    connection.execute("BEGIN")  # tables of one moment, also while they are written
    try:
        _compare_types(connection)
        _compare_counts(connection)
        _compare_with_log(connection)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _compare_types(connection: sqlite3.Connection) -> None:
    for table in TABLES:
        for _, column, kind, required, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
            kinds = f"('{kind.lower()}', '{kind.lower() if required else 'null'}')"
            query = f"SELECT 1 FROM {table} WHERE typeof({column}) NOT IN {kinds}"  # noqa: S608 - ours
            if connection.execute(query).fetchone():
                raise sqlite3.DatabaseError(f"table {table} holds something else than it should")


def _compare_counts(connection: sqlite3.Connection) -> None:
    sums = read_sums(connection)
    for source in read_sources(connection).values():
        query = f"SELECT count(*) FROM {message_table(source.id)}"  # noqa: S608 - an int
        (count,) = connection.execute(query).fetchone()
        if count != (sums[source.id].messages if source.id in sums else 0):
            raise sqlite3.DatabaseError("its segments count other messages than there are")


def _compare_with_log(connection: sqlite3.Connection) -> None:
    sources = {each.id: (each.name, each.stream, each.url) for each in read_sources(connection).values()}
    facts: dict[str, Any] = {}
    query = f"SELECT {COLUMNS} FROM {message_table(SESSION_SOURCE)} ORDER BY id"  # noqa: S608 - ours
    for row in connection.execute(query):
        message = to_message("", SESSION_SOURCE, row)
        with contextlib.suppress(DecodeError):
            match message and decode_record(message.payload):
                case SourceRecord(number, name, stream, url) if sources.get(number) != (name, stream, url):
                    raise sqlite3.DatabaseError("its table of sources contradicts its log")
                case FactRecord(name, value):
                    facts[name] = json.loads(bytes(value))
    known = read_facts(connection)
    if known != {**known, **facts}:
        raise sqlite3.DatabaseError("its table of facts contradicts its log")
