"""Make a whole session of a damaged one, of every row that SQLite still reaches, and say what is missing.

What that costs and saves is in decision 0018.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sqlite3
import tempfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tes_nb.errors import DecodeError
from tes_nb.model import Opcode
from tes_nb.store.session.batch import SourceState, index_messages, write_event, write_gap
from tes_nb.store.session.connect import connect, connect_without_log
from tes_nb.store.session.damage import hides_commits, mend
from tes_nb.store.session.files import wal_path
from tes_nb.store.session.reach import DAMAGE, Row, last_id_of, reachable, tables_of
from tes_nb.store.session.schema import (
    MAX_SOURCES,
    MESSAGE_COLUMNS,
    SESSION_SOURCE,
    TABLES,
    FactRecord,
    GapRecord,
    SourceRecord,
    create,
    create_view,
    decode_record,
    message_table,
    message_table_sql,
)
from tes_nb.store.session.small_tables import RowWriter, read_rows, stored_sums
from tes_nb.store.session.tables import SessionTables
from tes_nb.wire.events import ClockJump, Gap, Mark, StateChange, decode_event

_GROUP = 2048
_WITHOUT_MENDED = 2
"""A damaged log gives three views of a file, of which the last is the newest; it may not open."""
_RANGES = 2**14
"""More ranges of ids than these are not asked for."""
_LOG = message_table(SESSION_SOURCE)
_DAMAGE = "the file is damaged here"
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

    @classmethod
    def of(cls, messages: int, holes: list[Gap]) -> LostMessages:
        """Return what these gaps say together."""
        ends_ns = [gap.back_at_ns for gap in holes if gap.back_at_ns is not None]
        last = max(ends_ns) if len(ends_ns) == len(holes) else None
        return cls(messages, min(gap.lost_at_ns for gap in holes), last)


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
    """Whether the file still says how many there were. If not, more may be lost than `missing` says."""
    anew: tuple[str, ...] = ()
    """Small tables that do not fit their checksums, and were made anew."""

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
        views, source_ids, tables = list(_views(damaged, cleanup)), {SESSION_SOURCE}, SessionTables(copy)
        newest = views[-1] if len(views) != _WITHOUT_MENDED else None
        intact, has_sums = _intact_tables(newest)
        extents, is_counted = _extents(views, intact)
        in_segments = max((each.last_id for each in extents.values()), default=0)
        for view in views:
            names = tables_of(view)
            last_id = last_id_of(view, names, in_segments)
            for _ in range(
                2
            ):  # rows found in the first pass are skipped in the second, which thus reaches further
                ranges = _unused(copy, source_ids, last_id)
                for table in names if len(ranges) < _RANGES else ():
                    source_ids |= _copy_rows(copy, reachable(view, table, ranges))
        if not copy.execute(f"SELECT 1 FROM {_LOG}").fetchone() and len(source_ids) == 1:  # noqa: S608 - ours
            return None
        unused = sum(high - low + 1 for low, high in _unused(copy, source_ids, in_segments))
        rows = RowWriter()
        _fill_small_tables(copy, rows, views, intact, source_ids - {SESSION_SOURCE})
        rows.finish(copy)
        ended, messages, missing = _counts_at_end(tables), dict[str, int](), dict[str, LostMessages]()
        for name, number in [(source.name, source.id) for source in tables.sources().values()]:
            messages[name], extent = _index(copy, rows, number, name, intact), extents.get(number)
            holes = [Gap(*row) for row in copy.execute(_HOLES.format(source=number, cause=_DAMAGE))]
            # The count at the end is exact, and that of segments whose checksum fits. Others are believed as far as
            # sequence numbers and ids that are not used bear them out.
            lost = max(
                sum(gap.missing or 0 for gap in holes), extent.messages - messages[name] if extent else 0
            )
            if ended:
                lost = ended.get(name, 0) - messages[name]
            elif "segments" not in intact:
                lost = min(lost, unused)
            if lost > 0:
                rest = lost - sum(gap.missing or 0 for gap in holes)
                holes += [_edge(copy, number, extent, rest)] if rest > 0 else []
                for gap in holes:
                    if gap.lost_at_ns:  # else it is not known when it was
                        write_gap(copy, rows, number, gap)
                missing[name] = LostMessages.of(lost, holes)
        if not has_sums:
            _complete_gaps(copy, rows, views)
        rows.finish(copy)
        copy.execute("COMMIT")
    complete = bool(ended) or (is_counted and extents.keys() >= source_ids - {SESSION_SOURCE})
    anew = [table for table in TABLES if has_sums and table not in intact]
    return Salvaged(messages, missing, complete, tuple(anew))


def _views(damaged: Path, cleanup: contextlib.ExitStack) -> Iterator[sqlite3.Connection]:
    """The file as SQLite sees it. Where its log is damaged, also without the log, and with a mended one."""
    with contextlib.suppress(*DAMAGE):
        yield connect(damaged, cleanup, damaged=True)
    if hides_commits(damaged):
        with contextlib.suppress(*DAMAGE):
            yield connect_without_log(damaged, cleanup)
        mended = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="tes_nb-"))) / damaged.name
        shutil.copyfile(damaged, mended)
        mend(wal_path(damaged), wal_path(mended))
        with contextlib.suppress(*DAMAGE):
            yield connect(mended, cleanup, damaged=True)


def _intact_tables(view: sqlite3.Connection | None) -> tuple[dict[str, tuple[Any, ...]], bool]:
    """Small table → its rows, of those that can be read and fit their checksum; whether there are checksums."""
    intact: dict[str, tuple[Any, ...]] = {}
    if view is None:
        return intact, False
    stored = None
    with contextlib.suppress(*DAMAGE):
        stored = stored_sums(view)
    for table in TABLES if stored is not None else ():
        with contextlib.suppress(*DAMAGE):
            intact[table] = read_rows(view, table, stored)
    return intact, stored is not None


def _extents(
    views: list[sqlite3.Connection], intact: dict[str, tuple[Any, ...]]
) -> tuple[dict[int, Extent], bool]:
    """What the segments say, and whether they can be read at all."""
    extents, counted = dict[int, Extent](), False
    for view in views:
        with contextlib.suppress(*DAMAGE):
            rows = intact["segments"] if "segments" in intact else read_rows(view, "segments", None)
            for number, group in itertools.groupby(rows, key=lambda row: row.source_id):
                runs = list(group)
                extent = Extent(
                    sum(run.messages for run in runs),
                    max(run.last_id for run in runs),
                    min(run.min_wall_ns for run in runs),
                    max(run.max_wall_ns for run in runs),
                )
                extents[number] = max(extents.get(number, extent), extent)
            counted = True
    return extents, counted


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
    copy: sqlite3.Connection,
    rows: RowWriter,
    views: list[sqlite3.Connection],
    intact: dict[str, tuple[Any, ...]],
    source_ids: set[int],
) -> None:
    """Take the tables that are intact; write of the others what the session's own log says, which has checksums.

    What the log has lost comes from the damaged tables. A source whose name is lost is called after its id.
    """
    for table in intact.keys() - {"segments", "connections"}:
        for row in intact[table]:
            rows.exchange(copy, table, msgspec.structs.astuple(row), None)
    gaps: list[GapRecord] = []
    for (payload,) in copy.execute(f"SELECT payload FROM {_LOG} ORDER BY id DESC").fetchall():  # noqa: S608 - ours
        with contextlib.suppress(DecodeError):
            match decode_record(payload):
                case SourceRecord(number, name, stream, url):
                    _add(copy, rows, "sources", (number, name, stream, url, 1))
                case FactRecord(name, value):
                    _add(copy, rows, "facts", (name, bytes(value).decode()))
                case GapRecord() as record:
                    gaps.append(record)
    contiguous = f"SELECT count(*) = max(seq) FROM {_LOG}"  # noqa: S608 - ours
    ended = copy.execute("SELECT 1 FROM facts WHERE name = 'ended'").fetchone()
    whole = copy.execute(contiguous).fetchone() == (1,) and ended is not None
    for view, table in itertools.product(views, () if whole else ("sources", "facts", "gaps")):
        with contextlib.suppress(*DAMAGE):
            for row in read_rows(view, table, None) if table not in intact else ():
                _add(copy, rows, table, msgspec.structs.astuple(row))
    for number in sorted(source_ids):
        _add(copy, rows, "sources", (number, f"source-{number}", f"source-{number}", None, 1))
    ids = dict(copy.execute("SELECT name, id FROM sources").fetchall())
    for record in reversed(gaps if "gaps" not in intact else []):
        write_gap(copy, rows, ids.get(record.source, SESSION_SOURCE), record.gap)
    for number in ids.values():
        _create_table(copy, number)
    create_view(copy, [SESSION_SOURCE, *sorted(ids.values())])


def _complete_gaps(copy: sqlite3.Connection, rows: RowWriter, views: list[sqlite3.Connection]) -> None:
    """Take the ends of gaps from a table without checksum, where the messages with those events are lost."""
    for view in views:
        with contextlib.suppress(*DAMAGE):
            for row in read_rows(view, "gaps", None):
                key = (row.source_id, row.conn, row.lost_at_ns, row.last_seen_ns)
                query = (
                    "SELECT 1 FROM gaps WHERE source_id = ? AND conn = ? AND lost_at_ns = ? AND last_seen_ns IS ? "
                    "AND back_at_ns IS NULL"
                )
                if row.back_at_ns is not None and copy.execute(query, key).fetchone():
                    rows.put(copy, "gaps", msgspec.structs.astuple(row))


def _add(copy: sqlite3.Connection, rows: RowWriter, table: str, row: tuple[Any, ...]) -> None:
    """Insert a row, unless there is one of its key, or a source of its name."""
    if table == "sources" and copy.execute("SELECT 1 FROM sources WHERE name = ?", (row[1],)).fetchone():
        return
    rows.put(copy, table, row, replace=False)


def _counts_at_end(tables: SessionTables) -> dict[str, int]:
    """Source → messages when the recording ended; {} = it has no end record, or that is lost."""
    ended = tables.facts().get("ended")
    counts = ended.get("messages") if isinstance(ended, dict) else None
    if not isinstance(counts, dict) or not tables.sources().keys() >= counts.keys():
        return {}
    return counts if all(isinstance(count, int) for count in counts.values()) else {}


_HOMES = {Gap: "gaps", Mark: "marks", StateChange: "state_changes", ClockJump: "clock_jumps"}
"""Event → its table."""


def _index(
    copy: sqlite3.Connection, writer: RowWriter, number: int, name: str, intact: Collection[str]
) -> int:
    """Write what follows from the messages of a source: segments, connections, events. Return how many there are."""
    state, opcode = SourceState(number, name), MESSAGE_COLUMNS.index("opcode")
    cursor = copy.execute(f"SELECT * FROM {message_table(number)} ORDER BY id")  # noqa: S608 - an int
    while rows := cursor.fetchmany(_GROUP):
        state = index_messages(copy, writer, state, list(itertools.chain.from_iterable(rows)))
        for row in rows:
            if row[opcode] == Opcode.EVENT:
                with contextlib.suppress(DecodeError, OverflowError):
                    event = decode_event(row[-1])
                    if _HOMES.get(type(event)) not in intact:
                        write_event(copy, writer, number, row[0], event)
    return state.messages


def _edge(copy: sqlite3.Connection, number: int, extent: Extent | None, lost: int) -> Gap:
    """The gap of what is missing before the first message of a source or behind the last."""
    ends = f"SELECT min(t_wall_ns), max(t_wall_ns) FROM {message_table(number)}"  # noqa: S608 - an int
    first_ns, last_ns = copy.execute(ends).fetchone()
    began_ns, ended_ns = (extent.first_ns, extent.last_ns) if extent else (first_ns or 0, None)
    if first_ns is None or began_ns < first_ns:
        return Gap(0, None, began_ns, first_ns if last_ns == ended_ns else None, _DAMAGE, lost)
    return Gap(0, last_ns, last_ns, None, _DAMAGE, lost)


def _utc(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%d %H:%M:%S} UTC"


def describe(path: Path, why: str, salvaged: Salvaged) -> list[str]:
    """Return what happened to a damaged file, a sentence each."""
    readable = sum(salvaged.messages.values())
    sentences = [f"{path.name} is damaged ({why.rstrip('.')}): {readable:,} messages can be read."]
    for name, lost in sorted(salvaged.missing.items()):
        end = "the end" if lost.before_ns is None else _utc(lost.before_ns)
        when = f" between {_utc(lost.after_ns)} and {end}" if lost.after_ns else ""
        sentences.append(f"{name}: {lost.messages:,} messages are lost{when}.")
    if salvaged.anew:
        names = ", ".join(salvaged.anew)
        sentences.append(f"Made anew from the messages and the session's log, since damaged: {names}.")
    if not salvaged.complete:
        sentences.append("How many there were before cannot be told any more.")
    elif not salvaged.missing:
        sentences.append("No message is missing.")
    return sentences
