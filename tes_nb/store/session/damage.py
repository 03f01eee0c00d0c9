"""Find damage that SQLite does not notice: in a write-ahead log, which can be mended, and in the small tables.

SQLite stops at the first frame whose checksum does not fit, without a word. After a killed process that is the end of
the log; if committed frames follow, it is damage. The layout is that of SQLite's file format, "The WAL File Format".
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import struct
from typing import TYPE_CHECKING, Any, BinaryIO

from tes_nb.errors import DecodeError
from tes_nb.store.session.rows import COLUMNS, to_message
from tes_nb.store.session.schema import (
    PAGE_SIZE,
    SESSION_SOURCE,
    TABLES,
    FactRecord,
    SourceRecord,
    decode_record,
    message_table,
)
from tes_nb.store.session.tables import read_facts, read_sources, read_sums

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# The messages themselves are not looked at: each has its checksum, which whoever reads it compares.


def examine(connection: sqlite3.Connection) -> None:
    """Raise `sqlite3.DatabaseError` for the first damage that is found."""
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(" ".join(verdict.replace("***", "").split()))
    connection.execute("BEGIN")  # tables of one moment, also while they are written
    try:
        for table, condition in wrong_types(connection):
            if connection.execute(f"SELECT 1 FROM {table} WHERE {condition}").fetchone():  # noqa: S608 - ours
                raise sqlite3.DatabaseError(f"table {table} holds something else than it should")
        _compare_counts(connection)
        _compare_with_log(connection)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def wrong_types(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Yield the small tables, with the condition that a value is not of its column's type."""
    for table in TABLES:
        for _, column, kind, required, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
            others = f"('{kind.lower()}', '{kind.lower() if required else 'null'}')"
            yield table, f"typeof({column}) NOT IN {others}"


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


_MAGIC, _VERSION = 0x377F0682, 3_007_000
_HEADER, _FRAME = 32, 24
"""Bytes of the log's header and of each frame's, which a page follows."""


def hides_commits(wal: Path) -> bool:
    """Whether SQLite leaves out transactions that were committed. Of the last page written nobody can tell."""
    try:
        file = wal.open("rb")
    except OSError:
        return False
    with file:
        header = file.read(_HEADER)
        if len(header) < _HEADER:
            return False
        magic, _, page_size = struct.unpack(">III", header[:12])
        order = ">" if magic & 1 else "<"
        sums = _checksum(header[:24], (0, 0), order)
        if (magic & ~1, page_size) != (_MAGIC, PAGE_SIZE) or struct.pack(">II", *sums) != header[24:]:
            return bool(file.read(1))
        good = True
        for head, page in _frames(file):
            if head[8:16] != header[16:24]:  # left over from an older generation of the log, or damaged
                good = False
            elif good:
                sums = _checksum(head[:8] + page, sums, order)
                good = struct.pack(">II", *sums) == head[16:]
            elif any(head[4:8]):  # a transaction ends here
                return True
    return False


def mend(wal: Path, copy: Path) -> None:
    """Write a copy of a damaged log with checksums that fit, so that SQLite reads on behind the changed bytes.

    Of pages that nobody can know, the rows' own checksums tell what to believe.
    """
    with wal.open("rb") as file, copy.open("wb") as mended:
        salts = file.read(_HEADER)[16:24]
        of_frames = [head[8:16] for head, _ in _frames(file)]
        if salts not in of_frames:  # the header's own bytes have changed
            salts = of_frames[0] if of_frames else bytes(8)
        header = struct.pack(">4I", _MAGIC, _VERSION, PAGE_SIZE, 0) + salts
        sums = _checksum(header, (0, 0), "<")
        mended.write(header + struct.pack(">II", *sums))
        file.seek(_HEADER)
        for head, page in _frames(file):
            if head[8:16] == salts:
                sums = _checksum(head[:8] + page, sums, "<")
                mended.write(head[:16] + struct.pack(">II", *sums) + page)


def _frames(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The header and the page of each whole frame."""
    while len(frame := file.read(_FRAME + PAGE_SIZE)) == _FRAME + PAGE_SIZE:
        yield frame[:_FRAME], frame[_FRAME:]


def _checksum(data: bytes, start: tuple[int, int], order: str) -> tuple[int, int]:
    first, second = start
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for even, odd in zip(words, words, strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
