"""Find everything readable in a damaged session: all messages, each once, and what the small tables still tell."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from tes_nb.errors import DecodeError, SessionError
from tes_nb.model import Message
from tes_nb.store.page_carve import Carved, carve
from tes_nb.store.session.connect import connect
from tes_nb.store.session.schema import (
    MAX_LENGTH,
    PAGE_SIZE,
    SESSION_SOURCE,
    FactRecord,
    SourceInfo,
    SourceRecord,
    decode_record,
)
from tes_nb.store.session.writer import wal_path
from tes_nb.store.wal_frames import frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tes_nb.store.page_carve import Lookup

_INSERT = "INSERT OR IGNORE INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class FoundRows(contextlib.AbstractContextManager["FoundRows"]):
    """The rows of a file in the order of their ids, held in a temporary database, not in memory."""

    def __init__(self, damaged: Path) -> None:
        self._cleanup = contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            undo.callback(self._cleanup.close)
            folder = self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="tes_nb-"))
            self._rows = sqlite3.connect(Path(folder) / "rows", isolation_level=None)
            self._cleanup.callback(self._rows.close)
            self._rows.execute("PRAGMA synchronous=OFF")
            self._rows.execute(
                "CREATE TABLE rows (id INTEGER PRIMARY KEY, source_id, direction, opcode, payload, "
                "t_wall_ns, t_mono_ns, conn, seq, flags)"
            )
            self._rows.execute("BEGIN")
            self._rows.executemany(_INSERT, map(_as_row, _carve_file(damaged)))
            self._rows.execute("COMMIT")
            undo.pop_all()

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def sources(self) -> dict[int, int]:
        """Return how many messages there are of each source id."""
        return dict(self._rows.execute("SELECT source_id, count(*) FROM rows GROUP BY source_id ORDER BY 1"))

    def last_id(self) -> int:
        """Return the highest id; 0 = there are no rows."""
        (last,) = self._rows.execute("SELECT coalesce(max(id), 0) FROM rows").fetchone()
        return int(last)

    def rows(self, source_id: int | None = None) -> Iterator[Carved]:
        """Yield the rows by id; `None` = of all sources."""
        where = "" if source_id is None else f" WHERE source_id = {source_id:d}"
        for number, source, *values in self._rows.execute(f"SELECT * FROM rows{where} ORDER BY id"):  # noqa: S608 - an int
            yield Carved(number, source, Message("", *values))


@dataclass(slots=True)
class Known:
    """What a damaged file still says about itself."""

    sources: dict[int, SourceInfo] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    expected: dict[str, int] = field(default_factory=dict)
    """Source → messages there were."""
    complete: bool = False
    """Whether `expected` can be relied on."""

    def name(self, number: int) -> str:
        """Return what a source is called; one whose name is lost is called after its id."""
        nameless = SourceInfo(f"source-{number}", f"source-{number}")
        return self.sources.setdefault(number, nameless).name


def what_is_known(damaged: Path, found: FoundRows) -> Known:
    """Ask the session's own log, then the tables, each as far as it can be read; the tables are newer."""
    known = Known()
    for row in found.rows(SESSION_SOURCE):
        with contextlib.suppress(DecodeError):
            record = decode_record(row.message.payload)
            if isinstance(record, SourceRecord):
                known.sources[record.id] = SourceInfo(record.name, record.stream, record.url)
            elif isinstance(record, FactRecord):
                known.facts[record.name] = json.loads(bytes(record.value))
    with contextlib.ExitStack() as cleanup, contextlib.suppress(sqlite3.Error, SessionError):
        _ask_tables(connect(damaged, cleanup), known)
    counts = (known.facts.get("ended") or {}).get("messages")
    if isinstance(counts, dict):
        known.expected, known.complete = counts, True
    for number in found.sources():
        if number != SESSION_SOURCE:
            known.name(number)
    return known


def _ask_tables(connection: sqlite3.Connection, known: Known) -> None:
    with contextlib.suppress(sqlite3.Error):
        for number, name, stream, url in connection.execute("SELECT id, name, stream, url FROM sources"):
            known.sources.setdefault(number, SourceInfo(name, stream, url))
    with contextlib.suppress(sqlite3.Error, ValueError):
        for name, value in connection.execute("SELECT name, value FROM facts"):
            known.facts[name] = json.loads(value)
    with contextlib.suppress(sqlite3.Error):
        query = "SELECT source_id, sum(messages) FROM segments GROUP BY source_id"
        counts = {known.name(number): count for number, count in connection.execute(query)}
        known.expected, known.complete = counts, True


def looks_like_session(path: Path) -> bool:
    """Whether there is any message in the first 16 MiB of a file, or in its log. Quick for any size."""
    with path.open("rb") as file:
        beginning = _carve_pages(file, MAX_LENGTH // PAGE_SIZE)
        return any(True for _ in beginning) or any(True for _ in _carve_log(wal_path(path), ()))


def _carve_file(path: Path) -> Iterator[Carved]:
    with path.open("rb") as file:
        yield from _carve_pages(file, None)
        yield from _carve_log(wal_path(path), (_pages_of(file),))


def _carve_pages(file: BinaryIO, most: int | None) -> Iterator[Carved]:
    lookup = _pages_of(file)
    number = 0
    while most is None or number < most:
        number += 1
        page = lookup(number)
        if page is None:
            return
        yield from carve(page, (lookup,))


def _carve_log(path: Path, others: tuple[Lookup, ...]) -> Iterator[Carved]:
    """The pages of the write-ahead log; a payload may go on in the log or in the file."""
    newest = {frame.page: frame.offset for frame in frames(path, PAGE_SIZE)}
    if not newest:
        return
    with path.open("rb") as file:

        def lookup(number: int) -> bytes | None:
            if number not in newest:
                return others[0](number) if others else None
            file.seek(newest[number])
            return file.read(PAGE_SIZE)

        for frame in frames(path, PAGE_SIZE):
            file.seek(frame.offset)
            yield from carve(file.read(PAGE_SIZE), (lookup, *others))


def _pages_of(file: BinaryIO) -> Lookup:
    def lookup(number: int) -> bytes | None:
        file.seek((number - 1) * PAGE_SIZE if number > 0 else 0)
        page = file.read(PAGE_SIZE) if number > 0 else b""
        return page or None

    return lookup


def _as_row(found: Carved) -> tuple[Any, ...]:
    message = found.message
    return (
        found.id,
        found.source_id,
        message.direction,
        message.opcode,
        message.payload,
        message.t_wall_ns,
        message.t_mono_ns,
        message.conn,
        message.seq,
        message.flags,
    )
