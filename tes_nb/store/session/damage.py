"""Find damage that reading alone does not notice: in tables that contradict each other, and in a write-ahead log."""

from __future__ import annotations

import contextlib
import heapq
import os
import sqlite3
import struct
from typing import TYPE_CHECKING, Any, BinaryIO

from tes_nb.errors import DecodeError
from tes_nb.model import Opcode
from tes_nb.store.session.batch import write_event, write_gap
from tes_nb.store.session.files import wal_path
from tes_nb.store.session.rows import COLUMNS, to_message
from tes_nb.store.session.schema import (
    PAGE_SIZE,
    SESSION_SOURCE,
    TABLES,
    FactRecord,
    GapRecord,
    SourceRecord,
    create,
    decode_record,
    message_table,
)
from tes_nb.store.session.small_tables import RowWriter, snapshot, stored_sums
from tes_nb.wire.events import decode_event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tes_nb.store.session.schema import Record
    from tes_nb.store.session.tables import SessionTables


# The messages themselves are not looked at: each has its checksum, which is compared when it is read.


def examine(tables: SessionTables) -> list[str]:
    """Raise `sqlite3.DatabaseError` for the first damage that is found; return what costs nothing, in sentences."""
    connection = tables.connection
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(" ".join(verdict.replace("***", "").split()))
    with snapshot(connection):
        for table in TABLES:
            tables.rows(table)
        _compare_counts(tables)
        broken = compare_with_log(tables)
        if stored_sums(connection) is None:
            _compare_with_messages(tables)
        notes = [
            f"{name}: {count:,} rows say that they are of another source; their checksums and their table do not."
            for name, count in _misplaced_rows(tables)
        ]
    if broken:
        notes.append(
            f"{broken} records of the session's own log have changed bytes; its tables say the same."
        )
    return notes


def _misplaced_rows(tables: SessionTables) -> Iterator[tuple[str, int]]:
    """Sources with rows whose column `source_id`, which only the view `messages` reads, is another's."""
    for source in tables.sources().values():
        query = f"SELECT count(*) FROM {message_table(source.id)} WHERE source_id IS NOT {source.id:d}"  # noqa: S608
        (count,) = tables.connection.execute(query).fetchone()
        if count:
            yield source.name, count


def _compare_counts(tables: SessionTables) -> None:
    sums = tables.sums()
    for source in tables.sources().values():
        query = f"SELECT count(*) FROM {message_table(source.id)}"  # noqa: S608 - an int
        (count,) = tables.connection.execute(query).fetchone()
        if count != (sums[source.id].messages if source.id in sums else 0):
            raise sqlite3.DatabaseError("its segments count other messages than there are")


def compare_with_log(tables: SessionTables) -> int:
    """Compare sources and facts with the session's own log; return how many of the log's records are damaged.

    Raises `sqlite3.DatabaseError` where they contradict it.
    """
    broken, sources, facts = 0, dict[int, tuple[str, str, str | None]](), dict[str, str]()
    for _, record in _log_records(tables.connection):
        match record:
            case None:
                broken += 1
            case SourceRecord(number, name, stream, url):
                sources[number] = (name, stream, url)
            case FactRecord(name, value):
                facts[name] = bytes(value).decode()
    in_tables = {each.id: (each.name, each.stream, each.url) for each in tables.sources().values()}
    if not _agrees(in_tables, sources, broken=broken):
        raise sqlite3.DatabaseError("its table of sources contradicts its log")
    if not _agrees({row.name: row.value for row in tables.rows("facts")}, facts, broken=broken):
        raise sqlite3.DatabaseError("its table of facts contradicts its log")
    return broken


def _agrees(table: dict[Any, Any], log: dict[Any, Any], *, broken: int) -> bool:
    """What a damaged record of the log said may be in the table alone, or be an older value."""
    return table == log if not broken else log.keys() <= table.keys()


def _log_records(connection: sqlite3.Connection) -> Iterator[tuple[int, Record | None]]:
    """The session's own log with its ids; `None` = a record whose checksum does not fit."""
    query = f"SELECT {COLUMNS} FROM {message_table(SESSION_SOURCE)} ORDER BY id"  # noqa: S608 - ours
    for row in connection.execute(query):
        message = to_message("", SESSION_SOURCE, row)
        record: Record | None = None
        with contextlib.suppress(DecodeError):
            record = None if message is None else decode_record(message.payload)
        yield row[0], record


# Of a recording from before there were checksums, what it says twice is compared.

_SEGMENT_WRONG = """
SELECT 1 FROM segments s WHERE source_id = {n} AND (
  (messages, bytes, min_wall_ns, max_wall_ns) IS NOT (
    SELECT count(*), sum(length(payload)), min(t_wall_ns), max(t_wall_ns) FROM messages_{n}
    WHERE id BETWEEN s.first_id AND s.last_id)
  OR first_mono_ns IS NOT (SELECT t_mono_ns FROM messages_{n} WHERE id = s.first_id)
  OR last_mono_ns IS NOT (SELECT t_mono_ns FROM messages_{n} WHERE id = s.last_id))
"""
_UNORDERED = "SELECT 1 FROM (SELECT t_mono_ns < lag(t_mono_ns) OVER (ORDER BY id) AS back FROM messages_{n}) WHERE back"


def _compare_with_messages(tables: SessionTables) -> None:
    connection = tables.connection
    for source in tables.sources().values():
        if connection.execute(_SEGMENT_WRONG.format(n=source.id)).fetchone():
            raise sqlite3.DatabaseError("its table of segments contradicts the messages")
        if source.ordered == bool(connection.execute(_UNORDERED.format(n=source.id)).fetchone()):
            raise sqlite3.DatabaseError("its table of sources contradicts the messages")
        conns = connection.execute(f"SELECT DISTINCT conn FROM {message_table(source.id)} ORDER BY 1")  # noqa: S608
        if tables.connections(source.id) != [conn for (conn,) in conns]:
            raise sqlite3.DatabaseError("its table of connections contradicts the messages")
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as anew:
        create(anew)
        write_events(tables, anew)
        for table in ("gaps", "marks", "state_changes", "clock_jumps"):
            query = f"SELECT * FROM {table}"  # noqa: S608 - ours
            if set(connection.execute(query)) != set(anew.execute(query)):
                raise sqlite3.DatabaseError(f"its table of {table} contradicts the messages")


def write_events(tables: SessionTables, target: sqlite3.Connection) -> None:
    """Write what the messages and the log say of gaps, marks, states and clock jumps into another session's tables."""
    sources, rows = tables.sources(), RowWriter()
    streams = [_events(tables.connection, name, each.id) for name, each in sources.items()]
    gaps = ((number, SESSION_SOURCE, record) for number, record in _log_records(tables.connection))
    for number, source_id, event in heapq.merge(*streams, gaps, key=lambda one: one[0]):
        if source_id != SESSION_SOURCE:
            with contextlib.suppress(DecodeError, OverflowError):
                write_event(target, rows, source_id, number, decode_event(event.payload))
        elif isinstance(event, GapRecord):
            source = sources.get(event.source)
            write_gap(target, rows, SESSION_SOURCE if source is None else source.id, event.gap)


def _events(connection: sqlite3.Connection, name: str, source_id: int) -> Iterator[tuple[int, int, Any]]:
    query = f"SELECT {COLUMNS} FROM {message_table(source_id)} WHERE opcode = {int(Opcode.EVENT)} ORDER BY id"  # noqa: S608
    for row in connection.execute(query):
        message = to_message(name, source_id, row)
        if message is not None:
            yield row[0], source_id, message


# The write-ahead log. SQLite stops at the first frame whose checksum does not fit, without a word: after a killed
# process that is its end; if commits follow, it is damage. Layout: "The WAL File Format" of SQLite's documentation.

_MAGIC, _VERSION = 0x377F0682, 3_007_000
_CHANGED = 2
"""Bytes of a frame's salts that may have changed."""
_HEADER, _FRAME = 32, 24
"""Bytes of the log's header and of each frame's, which a page follows."""


def log_is_cut(connection: sqlite3.Connection, session: Path) -> bool:
    """Whether the log of a recording without an end record is missing, or was cut off inside a page.

    A killed process or a full disk leaves whole blocks of the file system; only a copy ends elsewhere.
    """
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        return False
    try:
        size = wal_path(session).stat().st_size
    except OSError:
        size = 0
    if size < _HEADER + _FRAME + PAGE_SIZE:
        # the first commit is folded in at once: without it, the process was killed before it had acknowledged any
        query = f"SELECT 1 FROM {message_table(SESSION_SOURCE)}"  # noqa: S608 - ours
        return connection.execute(query).fetchone() is not None
    rest = (size - _HEADER) % (_FRAME + PAGE_SIZE)
    return rest not in (0, _FRAME) and size % PAGE_SIZE != 0


def hides_commits(session: Path) -> bool:
    """Whether SQLite, which has the session open for us, leaves out transactions of its log that were committed.

    Only what lies behind the place where SQLite stopped is looked at.
    """
    read = _frames_read(session)
    with contextlib.suppress(OSError), wal_path(session).open("rb") as file:
        header = file.read(_HEADER)
        if len(header) < _HEADER:
            return False
        magic, _, page_size = struct.unpack(">III", header[:12])
        order = ">" if magic & 1 else "<"
        sums = _checksum(header[:24], (0, 0), order)
        if (magic & ~1, page_size) != (_MAGIC, PAGE_SIZE) or struct.pack(">II", *sums) != header[24:]:
            return bool(file.read(1))
        if read is None:
            return False
        if read:
            file.seek(_HEADER + (read - 1) * (_FRAME + PAGE_SIZE))
            sums = struct.unpack(">II", file.read(_FRAME)[16:])
            file.seek(PAGE_SIZE, os.SEEK_CUR)
        good, ends = True, False
        for head, page in _frames(file):
            ends = False  # a write that was cut off by a kill leaves no whole frame, unless over an older generation's
            if not _is_of(head, header):
                good = False
            elif good:
                sums = _checksum(head[:8] + page, sums, order)
                good = struct.pack(">II", *sums) == head[16:] and head[8:16] == header[16:24]
                ends = not good and any(head[4:8])
            elif any(head[4:8]):  # a transaction ends here
                return True
        return ends
    return False


def _is_of(head: bytes, header: bytes) -> bool:
    """Whether a frame is of the log's present generation, whose salts differ in most bytes from those before."""
    return sum(one != other for one, other in zip(head[8:16], header[16:24], strict=True)) <= _CHANGED


def _frames_read(session: Path) -> int | None:
    """How many frames of the log SQLite has taken, from its index; `None` = this system does not let us see that.

    The index is read where SQLite has it open: closing a handle of our own would drop SQLite's locks on it.
    """
    index = os.path.realpath(session) + "-shm"
    with contextlib.suppress(OSError, ValueError, struct.error, AttributeError):
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, not paths
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/self/fd/{name}") == index:  # noqa: PTH115
                    (frames,) = struct.unpack("=I", os.pread(int(name), 4, 16))
                    return int(frames)
    return None


def mend(wal: Path, copy: Path) -> None:
    """Write a copy of a damaged log with checksums that fit, so that SQLite reads on behind the changed bytes.

    Which rows of doubtful pages are intact follows from the rows' own checksums.
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
            if _is_of(head, header):
                sums = _checksum(head[:8] + page, sums, "<")
                mended.write(head[:8] + salts + struct.pack(">II", *sums) + page)


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
