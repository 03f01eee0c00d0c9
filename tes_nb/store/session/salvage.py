"""Make a whole session of a damaged one, of every row that SQLite still reaches, and say what is missing.

What that costs and saves is in decision 0015.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tes_nb.errors import DecodeError
from tes_nb.model import Message
from tes_nb.store.session.connect import connect, connect_without_log
from tes_nb.store.session.damage import hides_commits, mend
from tes_nb.store.session.reach import DAMAGE, Found, highest_id, message_tables, reachable
from tes_nb.store.session.schema import (
    MESSAGE_COLUMNS,
    SESSION_SOURCE,
    Fact,
    FactRecord,
    FileGap,
    GapRecord,
    Record,
    SourceInfo,
    SourceRecord,
    decode_record,
)
from tes_nb.store.session.writer import SessionWriter, wal_path
from tes_nb.wire.events import Gap

_GROUP = 2048
_DAMAGE = "the file is damaged here"


class LostMessages(NamedTuple):
    """Messages of one source that cannot be read."""

    messages: int
    first_id: int
    last_id: int
    """They lie between these ids, both included; so may messages that can be read."""


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What came out of a damaged file."""

    messages: dict[str, int]
    """Source → messages that are readable."""
    missing: dict[str, LostMessages]
    """Source → messages known to be lost; sources without loss are left out."""
    complete: bool
    """Whether the file still tells how many there were. If not, more may be lost than `missing` says."""

    @property
    def whole(self) -> bool:
        """Whether certainly no message is lost."""
        return self.complete and not self.missing


def salvage(damaged: Path, target: Path) -> Salvaged | None:
    """Write a new session at `target` with every message of `damaged` that can be read; their ids stay as they were.

    Where messages are missing a gap says so. `None` = nothing can be read, and nothing was written.
    """
    with contextlib.ExitStack() as cleanup:
        rows, index = _Rows(cleanup), _Index()
        for view in _views(damaged, cleanup):
            tables = message_tables(view)
            index.ask_tables(view)
            last_id = highest_id(view, tables, index.last_id)
            for table in tables:
                rows.add(reachable(view, table, last_id))
        if not rows.last_id():
            return None
        index.ask_log(rows)
        writer = SessionWriter(target, first_id=rows.last_id() + 1)
        try:
            writer.append([*index.facts.values(), *index.sources.values(), *index.gaps])
            census = _Census(index)
            messages = census.count(rows)
            while group := list(itertools.islice(messages, _GROUP)):
                writer.append([message for _, message in group], ids=[number for number, _ in group])
            missing, gaps = census.missing(max(rows.last_id(), index.last_id) - len(rows))
            writer.append(gaps)
        finally:
            writer.close()
    return Salvaged(census.counts, missing, index.complete)


def _views(damaged: Path, cleanup: contextlib.ExitStack) -> Iterator[sqlite3.Connection]:
    """The file as SQLite sees it. Where its log is damaged, also without the log, and with a mended one."""
    with contextlib.suppress(*DAMAGE):
        yield connect(damaged, cleanup, damaged=True)
    if hides_commits(wal_path(damaged)):
        with contextlib.suppress(*DAMAGE):
            yield connect_without_log(damaged, cleanup)
        copy = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="tes_nb-"))) / damaged.name
        shutil.copyfile(damaged, copy)
        mend(wal_path(damaged), wal_path(copy))
        with contextlib.suppress(*DAMAGE):
            yield connect(copy, cleanup, damaged=True)


class _Rows:
    """The rows within reach, each once and in the order of their ids, in a temporary database: not in memory."""

    def __init__(self, cleanup: contextlib.ExitStack) -> None:
        folder = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="tes_nb-"))
        self._rows = sqlite3.connect(Path(folder) / "rows", isolation_level=None)
        cleanup.callback(self._rows.close)
        self._rows.execute("PRAGMA journal_mode=OFF")
        self._rows.execute("PRAGMA synchronous=OFF")
        columns = ", ".join(MESSAGE_COLUMNS)
        self._rows.execute(f"CREATE TABLE rows (number INTEGER PRIMARY KEY, {columns})")

    def add(self, found: Iterable[Found]) -> None:
        """Take what was found and is not here yet."""
        self._rows.execute("BEGIN")
        values = ", ".join("?" * (1 + len(MESSAGE_COLUMNS)))
        self._rows.executemany(f"INSERT OR IGNORE INTO rows VALUES ({values})", found)  # noqa: S608 - marks
        self._rows.execute("COMMIT")

    def last_id(self) -> int:
        """Return the highest id; 0 = there are no rows."""
        return self._number("coalesce(max(number), 0)")

    def __len__(self) -> int:
        return self._number("count(*)")

    def _number(self, what: str) -> int:
        (number,) = self._rows.execute(f"SELECT {what} FROM rows").fetchone()  # noqa: S608 - ours
        return int(number)

    def source_ids(self) -> list[int]:
        """Return the sources there are messages of."""
        query = "SELECT DISTINCT source_id FROM rows WHERE source_id <> ? ORDER BY 1"
        return [number for (number,) in self._rows.execute(query, (SESSION_SOURCE,))]

    def messages(self) -> Iterator[tuple[Any, ...]]:
        """Yield id, source id and what a `Message` holds after its source."""
        yield from self._rows.execute(
            "SELECT number, source_id, direction, opcode, payload, t_wall_ns, t_mono_ns, conn, seq, flags "
            "FROM rows WHERE source_id <> ? ORDER BY number",
            (SESSION_SOURCE,),
        )

    def log_is_whole(self) -> bool:
        """Whether no record of the session's own log is missing before the last one that is here."""
        query = "SELECT count(*) > 0 AND count(*) = max(seq) FROM rows WHERE source_id = ?"
        (whole,) = self._rows.execute(query, (SESSION_SOURCE,)).fetchone()
        return bool(whole)

    def records(self) -> Iterator[Record]:
        """Yield the records of the session's own log."""
        query = "SELECT payload FROM rows WHERE source_id = ? ORDER BY number"
        for (payload,) in self._rows.execute(query, (SESSION_SOURCE,)):
            with contextlib.suppress(DecodeError):
                yield decode_record(payload)


@dataclass(slots=True)
class _Index:
    """What a damaged file still says about itself: its log, whose records have checksums, before its tables."""

    sources: dict[int, SourceInfo] = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)
    gaps: list[FileGap] = field(default_factory=list)
    """The recorder's own: sequence numbers missing there were never in the file."""
    segments: dict[int, tuple[int, ...]] | None = None
    """Source id → messages, last id, first id and earliest Unix ns of its segments; `None` = they are damaged."""

    @property
    def last_id(self) -> int:
        """The highest id of the segments; 0 = they do not say."""
        return max((last for _, last, *_ in (self.segments or {}).values()), default=0)

    @property
    def ended(self) -> dict[str, int]:
        """Source → messages when the recording ended; {} = nobody ended it, or that is lost."""
        ended = self.facts["ended"].value if "ended" in self.facts else None
        counts = ended.get("messages") if isinstance(ended, dict) else None
        names = {each.name for each in self.sources.values()}
        return counts if isinstance(counts, dict) and names.issuperset(counts) else {}

    @property
    def complete(self) -> bool:
        """Whether the file tells how many messages there were."""
        return bool(self.ended) or self.segments is not None

    def ask_tables(self, connection: sqlite3.Connection) -> None:
        """Note what the small tables say, each as far as it can be read."""
        for number, name, stream, url in _read(connection, "SELECT id, name, stream, url FROM sources"):
            if isinstance(name, str) and isinstance(stream, str) and isinstance(url, str | None):
                self.sources.setdefault(number, SourceInfo(name, stream, url))
        for name, value in _read(connection, "SELECT name, value FROM facts"):
            with contextlib.suppress(ValueError, TypeError, RecursionError):
                self.facts.setdefault(str(name), Fact(str(name), json.loads(value)))
        gaps = "SELECT source_id, conn, last_seen_ns, lost_at_ns, back_at_ns, cause, missing FROM gaps"
        for number, *values in _read(connection, gaps):
            with contextlib.suppress(msgspec.ValidationError):
                gap = msgspec.convert(dict(zip(Gap.__struct_fields__, values, strict=True)), Gap)
                self.gaps.append(FileGap(gap, self.sources[number].name if number in self.sources else ""))
        query = (
            "SELECT source_id, sum(messages), max(last_id), min(first_id), min(min_wall_ns) "
            "FROM segments GROUP BY source_id"
        )
        with contextlib.suppress(*DAMAGE):
            sums = connection.execute(query).fetchall()
            self.segments = self.segments or {}
            for number, *values in sums:
                if all(isinstance(value, int) for value in values):
                    self.segments[number] = max(self.segments.get(number, ()), tuple(values))

    def ask_log(self, rows: _Rows) -> None:
        """Note what the log says, and call each source whose name is lost after its id.

        The gaps of the table count only where the log has lost records: they have no checksum.
        """
        from_table, self.gaps = self.gaps, []
        for record in rows.records():
            match record:
                case SourceRecord(number, name, stream, url):
                    self.sources[number] = SourceInfo(name, stream, url)
                case FactRecord(name, value):
                    self.facts[name] = Fact(name, json.loads(bytes(value)))
                case GapRecord(gap, source):
                    self.gaps.append(FileGap(gap, source))
        if not rows.log_is_whole():
            self.gaps = [*from_table, *self.gaps]
        for number in rows.source_ids():
            self.sources.setdefault(number, SourceInfo(f"source-{number}", f"source-{number}"))
        self.sources = dict(sorted(self.sources.items()))


def _read(connection: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    with contextlib.suppress(*DAMAGE):
        yield from connection.execute(query)


@dataclass(slots=True)
class _Census:
    """Counts the messages on their way into the new session, and tells what is missing between and around them."""

    index: _Index
    counts: dict[str, int] = field(default_factory=dict)
    _first: dict[str, tuple[int, Message]] = field(default_factory=dict)
    _last: dict[str, tuple[int, Message]] = field(default_factory=dict)
    _holes: dict[str, list[tuple[LostMessages, Gap]]] = field(default_factory=dict)

    def count(self, rows: _Rows) -> Iterator[tuple[int, Message]]:
        """Yield the messages with their ids."""
        for number, source_id, *values in rows.messages():
            message = Message(self.index.sources[source_id].name, *values)
            if message.source in self._last:
                self._note_hole(*self._last[message.source], number, message)
            else:
                self._first[message.source] = number, message
            self._last[message.source] = number, message
            self.counts[message.source] = self.counts.get(message.source, 0) + 1
            yield number, message

    def _note_hole(self, before_id: int, before: Message, after_id: int, after: Message) -> None:
        missing = after.seq - before.seq - 1
        if missing > 0 and not self._was_never_written(before, after):
            gap = Gap(after.conn, before.t_wall_ns, before.t_wall_ns, after.t_wall_ns, _DAMAGE, missing)
            lost = LostMessages(missing, before_id + 1, after_id - 1)
            self._holes.setdefault(after.source, []).append((lost, gap))

    def _was_never_written(self, before: Message, after: Message) -> bool:
        return any(
            (gap.last_seen_ns or gap.lost_at_ns) <= after.t_wall_ns
            and (gap.back_at_ns is None or gap.back_at_ns >= before.t_wall_ns)
            for gap in (each.gap for each in self.index.gaps if each.source in ("", after.source))
        )

    def missing(self, unused: int) -> tuple[dict[str, LostMessages], list[FileGap]]:
        """Return what is lost of each source, and where. `unused`: ids below the highest without a row.

        The count with which the recording ended is exact and has a checksum. The segments have none, but every
        message that they know and we do not leaves its id unused.
        """
        missing: dict[str, LostMessages] = {}
        gaps: list[FileGap] = []
        for number, source in self.index.sources.items():
            holes = self._holes.get(source.name, [])
            in_holes = sum(lost.messages for lost, _ in holes)
            here = self.counts.get(source.name, 0)
            known = (self.index.segments or {}).get(number)
            if self.index.ended:
                lost = self.index.ended.get(source.name, 0) - here
            else:
                lost = min(unused, max(in_holes, known[0] - here if known else 0))
            if lost <= 0:
                continue
            if lost > in_holes:
                holes = [*holes, self._around(source.name, lost - in_holes, known)]
            first, last = min(each.first_id for each, _ in holes), max(each.last_id for each, _ in holes)
            missing[source.name] = LostMessages(lost, first, last)
            gaps += [FileGap(gap, source.name) for _, gap in holes]
        return missing, gaps

    def _around(self, name: str, messages: int, known: tuple[int, ...] | None) -> tuple[LostMessages, Gap]:
        """What is missing before the first or behind the last message that can be read."""
        walls = [first.t_wall_ns for _, first in self._first.values()]
        _, top, low, began = known or (0, self.index.last_id, 1, min(walls, default=0))
        first_id, first = self._first.get(name, (top + 1, None))
        last_id, last = self._last.get(name, (low - 1, None))
        back = None if first is None or top > last_id else first.t_wall_ns
        if low < first_id:
            lost = LostMessages(messages, low, top if back is None else first_id - 1)
            return lost, Gap(0, None, began, back, _DAMAGE, messages)
        assert last is not None  # a source without messages is one whose first ids are missing
        lost = LostMessages(messages, last_id + 1, max(top, last_id + 1))
        return lost, Gap(last.conn, last.t_wall_ns, last.t_wall_ns, None, _DAMAGE, messages)
