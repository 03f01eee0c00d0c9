"""Make a whole session of a damaged one, of every row that SQLite still reaches, and say what is missing.

What that costs and saves is in decision 0018.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from tes_nb.errors import DecodeError
from tes_nb.model import Opcode
from tes_nb.store.session.batch import SourceState, index_messages, write_event, write_gap
from tes_nb.store.session.connect import connect, connect_without_log
from tes_nb.store.session.damage import hides_commits, mend, wrong_types
from tes_nb.store.session.reach import DAMAGE, Row, last_id_of, reachable, tables_of
from tes_nb.store.session.schema import (
    MAX_SOURCES,
    MESSAGE_COLUMNS,
    SESSION_SOURCE,
    FactRecord,
    GapRecord,
    SourceRecord,
    create,
    create_view,
    decode_record,
    message_table,
    message_table_sql,
)
from tes_nb.store.session.tables import read_facts, read_sources
from tes_nb.store.session.writer import wal_path
from tes_nb.wire.events import Gap, decode_event

_GROUP = 2048
_RANGES = 2**14
"""More ranges of ids than these are not asked for."""
_LOG = message_table(SESSION_SOURCE)
_DAMAGE = "the file is damaged here"
_EXTENTS = "SELECT source_id, sum(messages), max(last_id), min(min_wall_ns), max(max_wall_ns) FROM segments GROUP BY 1"
_HOLES = """
WITH pairs AS (
  SELECT conn, t_wall_ns AS back_ns, lag(t_wall_ns) OVER run AS last_ns, seq - lag(seq) OVER run - 1 AS missing
  FROM messages_{source} WINDOW run AS (ORDER BY id)
)
SELECT conn, last_ns, last_ns, back_ns, '{cause}', missing FROM pairs WHERE missing > 0 AND NOT EXISTS (
  SELECT 1 FROM gaps WHERE source_id IN (0, {source})
  AND coalesce(last_seen_ns, lost_at_ns) <= back_ns AND coalesce(back_at_ns, back_ns) >= last_ns
)
"""
"""Where sequence numbers are missing, but for gaps of the recorder's own: those were never in the file."""


class LostMessages(NamedTuple):
    """Messages of one source that cannot be read."""

    messages: int
    after_ns: int
    """They came after this, Unix ns; 0 = not known."""
    before_ns: int | None
    """They came before this; `None` = to the end."""


class Extent(NamedTuple):
    """What the segments of a source say together."""

    messages: int
    last_id: int
    first_ns: int
    last_ns: int


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
    """Make a new session at `target` of every message of `damaged` that can be read; their ids stay as they were.

    Where messages are missing a gap says so. `None` = nothing can be read.
    """
    with contextlib.ExitStack() as cleanup:
        copy = cleanup.enter_context(contextlib.closing(sqlite3.connect(target, isolation_level=None)))
        create(copy)
        copy.execute("PRAGMA journal_mode=OFF")
        copy.execute("PRAGMA synchronous=OFF")
        copy.execute("BEGIN")
        views, extents, source_ids = list(_views(damaged, cleanup)), dict[int, Extent](), {SESSION_SOURCE}
        complete = [_read_extents(view, extents) for view in views]
        in_segments = max((each.last_id for each in extents.values()), default=0)
        for view in views:
            tables = tables_of(view)
            last_id = last_id_of(view, tables, in_segments)
            for _ in range(2):  # what led astray the first time is out of the way the second
                ranges = _unused(copy, source_ids, last_id)
                for table in tables if len(ranges) < _RANGES else ():
                    source_ids |= _copy_rows(copy, reachable(view, table, ranges))
        if not copy.execute(f"SELECT 1 FROM {_LOG}").fetchone() and len(source_ids) == 1:  # noqa: S608 - ours
            return None
        unused = sum(high - low + 1 for low, high in _unused(copy, source_ids, in_segments))
        _fill_small_tables(copy, views, source_ids - {SESSION_SOURCE})
        ended, messages, missing = _counts_at_end(copy), dict[str, int](), dict[str, LostMessages]()
        for name, number in [(source.name, source.id) for source in read_sources(copy).values()]:
            holes = [Gap(*row) for row in copy.execute(_HOLES.format(source=number, cause=_DAMAGE))]
            messages[name], extent = _index(copy, number, name), extents.get(number)
            # The count at the end is exact and has a checksum. The segments have none, but whatever they know and we
            # do not leaves its id unused.
            lost = max(
                sum(gap.missing or 0 for gap in holes), extent.messages - messages[name] if extent else 0
            )
            lost = ended.get(name, 0) - messages[name] if ended else min(lost, unused)
            if lost > 0:
                missing[name] = _note_missing(copy, number, lost, holes, extent)
        copy.execute("COMMIT")
    is_counted = any(complete) and extents.keys() >= source_ids - {SESSION_SOURCE}
    return Salvaged(messages, missing, bool(ended) or is_counted)


def _views(damaged: Path, cleanup: contextlib.ExitStack) -> Iterator[sqlite3.Connection]:
    """The file as SQLite sees it. Where its log is damaged, also without the log, and with a mended one."""
    with contextlib.suppress(*DAMAGE):
        yield connect(damaged, cleanup, damaged=True)
    if hides_commits(wal_path(damaged)):
        with contextlib.suppress(*DAMAGE):
            yield connect_without_log(damaged, cleanup)
        mended = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="tes_nb-"))) / damaged.name
        shutil.copyfile(damaged, mended)
        mend(wal_path(damaged), wal_path(mended))
        with contextlib.suppress(*DAMAGE):
            yield connect(mended, cleanup, damaged=True)


def _read_extents(view: sqlite3.Connection, extents: dict[int, Extent]) -> bool:
    """Note what the segments say, and return whether they can be read."""
    with contextlib.suppress(*DAMAGE):
        rows = view.execute(_EXTENTS).fetchall()
        if all(isinstance(value, int) for row in rows for value in row):
            for number, *values in rows:
                extents[number] = max(extents.get(number, Extent(0, 0, 0, 0)), Extent(*values))
            return True
    return False


def _unused(copy: sqlite3.Connection, source_ids: Iterable[int], last_id: int) -> list[tuple[int, int]]:
    """Return the ranges of ids, up to `last_id`, that no row was found for."""
    ids = " UNION ALL ".join(f"SELECT id FROM {message_table(number)}" for number in source_ids)  # noqa: S608 - ints
    ranges, low = list[tuple[int, int]](), 1
    for (number,) in itertools.chain(copy.execute(f"{ids} ORDER BY 1"), [(last_id + 1,)]):
        if number > low:
            ranges.append((low, number - 1))
        low = number + 1
    return ranges


def _copy_rows(copy: sqlite3.Connection, rows: Iterator[Row]) -> set[int]:
    """Take rows, each once, into the tables of their sources; return the ids of the sources."""
    marks, source_ids = ", ".join("?" * len(MESSAGE_COLUMNS)), set[int]()
    while group := list(itertools.islice(rows, _GROUP)):
        for number, of_source in itertools.groupby(group, key=itemgetter(1)):
            if 0 <= number <= MAX_SOURCES:
                source_ids.add(number)
                _create_table(copy, number)
                insert = f"INSERT OR IGNORE INTO {message_table(number)} VALUES ({marks})"  # noqa: S608 - ints
                copy.executemany(insert, of_source)
    return source_ids


def _create_table(copy: sqlite3.Connection, number: int) -> None:
    copy.execute(message_table_sql(number).replace("TABLE", "TABLE IF NOT EXISTS", 1))


def _fill_small_tables(
    copy: sqlite3.Connection, views: list[sqlite3.Connection], source_ids: set[int]
) -> None:
    """Write what the session's own log says of sources, facts and gaps; it has checksums.

    What it has lost comes from the damaged tables. A source whose name is lost is called after its id.
    """
    gaps: list[GapRecord] = []
    for (payload,) in copy.execute(f"SELECT payload FROM {_LOG} ORDER BY id DESC").fetchall():  # noqa: S608 - ours
        with contextlib.suppress(DecodeError):
            match decode_record(payload):
                case SourceRecord(number, name, stream, url):
                    _insert(copy, "sources", (number, name, stream, url, 1))
                case FactRecord(name, value):
                    _insert(copy, "facts", (name, bytes(value).decode()))
                case GapRecord() as record:
                    gaps.append(record)
    contiguous = f"SELECT count(*) = max(seq) FROM {_LOG}"  # noqa: S608 - ours
    whole = copy.execute(contiguous).fetchone() == (1,) and "ended" in read_facts(copy)
    for view, table in itertools.product(
        views, ("sources", "facts") if whole else ("sources", "facts", "gaps")
    ):
        with contextlib.suppress(*DAMAGE):
            for row in view.execute(f"SELECT * FROM {table}"):  # noqa: S608 - ours
                with contextlib.suppress(ValueError, TypeError, RecursionError):
                    _insert(
                        copy, table, (row[0], json.dumps(json.loads(row[1]))) if table == "facts" else row
                    )
    for table, condition in wrong_types(copy):
        copy.execute(f"DELETE FROM {table} WHERE {condition}")  # noqa: S608 - ours
    copy.execute("DELETE FROM sources WHERE id NOT BETWEEN 1 AND ?", (MAX_SOURCES,))
    for number in sorted(source_ids):
        _insert(copy, "sources", (number, f"source-{number}", f"source-{number}", None, 1))
    ids = {name: source.id for name, source in read_sources(copy).items()}
    for record in reversed(gaps):
        write_gap(copy, ids.get(record.source, SESSION_SOURCE), record.gap)
    for number in ids.values():
        _create_table(copy, number)
    create_view(copy, [SESSION_SOURCE, *ids.values()])


def _insert(copy: sqlite3.Connection, table: str, row: tuple[Any, ...]) -> None:
    marks = ", ".join("?" * len(row))
    copy.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)  # noqa: S608 - ours


def _counts_at_end(copy: sqlite3.Connection) -> dict[str, int]:
    """Source → messages when the recording ended; {} = nobody ended it, or that is lost."""
    ended = read_facts(copy).get("ended")
    counts = ended.get("messages") if isinstance(ended, dict) else None
    if not isinstance(counts, dict) or not read_sources(copy).keys() >= counts.keys():
        return {}
    return counts if all(isinstance(count, int) for count in counts.values()) else {}


def _index(copy: sqlite3.Connection, number: int, name: str) -> int:
    """Write what follows from the messages of a source: segments, connections, events. Return how many there are."""
    state, opcode = SourceState(number, name), MESSAGE_COLUMNS.index("opcode")
    cursor = copy.execute(f"SELECT * FROM {message_table(number)} ORDER BY id")  # noqa: S608 - an int
    while rows := cursor.fetchmany(_GROUP):
        state = index_messages(copy, state, list(itertools.chain.from_iterable(rows)))
        for row in rows:
            if row[opcode] == Opcode.EVENT:
                with contextlib.suppress(DecodeError, OverflowError):
                    write_event(copy, number, row[0], decode_event(row[-1]))
    return state.messages


def _note_missing(
    copy: sqlite3.Connection, number: int, lost: int, holes: list[Gap], extent: Extent | None
) -> LostMessages:
    """Write a gap for each hole between messages, and one for what is missing before the first or behind the last."""
    rest = lost - sum(gap.missing or 0 for gap in holes)
    if rest > 0:
        ends = f"SELECT min(t_wall_ns), max(t_wall_ns) FROM {message_table(number)}"  # noqa: S608 - an int
        first_ns, last_ns = copy.execute(ends).fetchone()
        began_ns, ended_ns = (extent.first_ns, extent.last_ns) if extent else (first_ns or 0, None)
        if first_ns is None or began_ns < first_ns:
            back_ns = first_ns if last_ns == ended_ns else None
            holes = [*holes, Gap(0, None, began_ns, back_ns, _DAMAGE, rest)]
        else:
            holes = [*holes, Gap(0, last_ns, last_ns, None, _DAMAGE, rest)]
    for gap in holes:
        if gap.lost_at_ns:  # else nobody knows when it was
            write_gap(copy, number, gap)
    ends_ns = [gap.back_at_ns for gap in holes if gap.back_at_ns is not None]
    last = max(ends_ns) if len(ends_ns) == len(holes) else None
    return LostMessages(lost, min(gap.lost_at_ns for gap in holes), last)
