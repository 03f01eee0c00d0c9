"""Read the small tables of a session file: sources, gaps, marks, state changes, facts, and the sums of the segments."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tes_nb.errors import counted
from tes_nb.store.session.rows import HIGHEST, STATES, Tally, Want
from tes_nb.store.session.schema import SESSION_SOURCE
from tes_nb.store.session.small_tables import TableSum, read_rows, snapshot, stored_sums
from tes_nb.wire.events import ClockJump, Gap, StateChange

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class RecordedSource:
    """A source of a session."""

    name: str
    stream: str
    """The name of the stream it carries."""
    url: str | None
    """Where it was read from, without credentials; `None` = the collector's own, or unknown."""
    id: int
    """What the file's tables call it."""
    ordered: bool
    """Whether its messages arrived in monotonic order, as all but imported ones do."""


@dataclass(frozen=True, slots=True)
class RecordedGap:
    """A hole in what was recorded."""

    source: str | None
    """`None` = it touches every source: the recorder could not write."""
    gap: Gap


@dataclass(frozen=True, slots=True)
class RecordedMark:
    """A mark on the time line."""

    label: str
    at_ns: int
    """Unix ns."""
    source: str


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """One source in figures."""

    stream: str
    url: str | None
    messages: int
    bytes: int
    """Of the payloads."""
    first_ns: int | None
    """Receive time of the first message, Unix ns; `None` = there is none."""
    last_ns: int | None
    duration_s: float
    """From the first to the last message, on the monotonic clock."""
    connections: int
    gaps: int
    undecoded: int | None
    """Messages that do not decode; `None` = nobody has counted them."""

    @property
    def per_second(self) -> float:
        """Messages a second; 0 for fewer than two."""
        return (self.messages - 1) / self.duration_s if self.duration_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session in figures."""

    path: Path
    file_bytes: int
    """Of the file and what its log adds."""
    began_ns: int | None
    """Unix ns; `None` = there are no messages."""
    ended_ns: int | None
    duration_s: float
    messages: int
    bytes: int
    """Of all payloads."""
    gaps: int
    missing: int
    """Messages that the gaps say are missing, where they know."""
    marks: int
    undecoded: int | None
    """Messages that do not decode; `None` = nobody has counted them: `info(decode=True)` does."""
    peaks: Mapping[str, float]
    """What the collector noted as highest: "rss", "children_rss" (bytes), "cpu_percent" (of one core); {} = nothing."""
    ending: str
    """How the recording ended, or that it has not, or that nobody ended it."""
    damage: tuple[str, ...]
    """Sentences; () = the file is whole as far as it was read."""
    sources: Mapping[str, SourceSummary] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        size = f"{self.file_bytes / 1e6:,.1f} MB"
        head = f"{self.path.name}: {counted(self.messages, 'message')} in {self.duration_s:,.1f} s, {size}"
        undecoded = "undecoded not counted" if self.undecoded is None else f"{self.undecoded} undecoded"
        lines = [f"{head}, {counted(self.gaps, 'gap')}, {counted(self.marks, 'mark')}, {undecoded}"]
        if self.peaks:
            lines.append(f"  at most: {', '.join(map(_peak, self.peaks.items()))}")
        for name, each in self.sources.items():
            rate = f"{each.per_second:,.1f}/s, {each.bytes / 1e6:,.1f} MB"
            lines.append(f"  {name}: {counted(each.messages, 'message')}, {rate}")
        lines += [f"  {sentence}" for sentence in (self.ending, *self.damage)]
        return "\n".join(lines)


def _peak(peak: tuple[str, float]) -> str:
    name, value = peak
    words = name.replace("_", " ")
    return f"{words} {value / 1e6:,.1f} MB" if name.endswith("rss") else f"{words} {value:,.1f}"


@dataclass(frozen=True, slots=True)
class Sum:
    """The segments of one source taken together."""

    messages: int
    bytes: int
    min_wall_ns: int
    max_wall_ns: int
    first_mono_ns: int
    last_mono_ns: int


class SessionTables:
    """The small tables of a session that is open; each is read and checked when it is first asked for.

    Every method raises `sqlite3.DatabaseError` where a table is damaged.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._cache: dict[str, tuple[TableSum, tuple[Any, ...]]] = {}

    def rows(self, table: str) -> tuple[Any, ...]:
        """Return all rows of a table by their key; they are read again when their sum is another."""
        with snapshot(self.connection):
            stored = stored_sums(self.connection)
            if stored is None:
                return read_rows(self.connection, table, None)
            cached = self._cache.get(table)
            if cached is None or cached[0] != stored.get(table):
                rows = read_rows(self.connection, table, stored)
                cached = self._cache[table] = stored[table], rows
            return cached[1]

    def sources(self) -> dict[str, RecordedSource]:
        """Return the sources by name, in the order in which they appeared."""
        return {
            row.name: RecordedSource(row.name, row.stream, row.url, row.id, bool(row.ordered))
            for row in self.rows("sources")
        }

    def _names(self) -> dict[int, str]:
        return {row.id: row.name for row in self.rows("sources")}

    def gaps(self) -> list[RecordedGap]:
        """Return all gaps by the time they began."""
        with snapshot(self.connection):
            names, rows = self._names(), self.rows("gaps")
        return [
            RecordedGap(
                None if row.source_id == SESSION_SOURCE else names.get(row.source_id),
                Gap(row.conn, row.last_seen_ns, row.lost_at_ns, row.back_at_ns, row.cause, row.missing),
            )
            for row in sorted(rows, key=lambda row: row.lost_at_ns)
        ]

    def marks(self) -> list[RecordedMark]:
        """Return all marks by their time."""
        with snapshot(self.connection):
            names, rows = self._names(), self.rows("marks")
        return [
            RecordedMark(row.label, row.at_ns, names.get(row.source_id, ""))
            for row in sorted(rows, key=lambda row: row.at_ns)
        ]

    def states(self, source_id: int) -> list[StateChange]:
        """Return the state changes of a source in their order."""
        return [
            StateChange(
                row.state,
                row.text,
                row.conn,
                row.at_ns,
                row.attempts,
                row.reconnects,
                row.close_code,
                row.retry_at_ns,
            )
            for row in self.rows("state_changes")
            if row.source_id == source_id
        ]

    def clock_jumps(self) -> list[ClockJump]:
        """Return the jumps of the wall clock."""
        return [ClockJump(row.at_ns, row.by_ns) for row in self.rows("clock_jumps")]

    def facts(self) -> dict[str, Any]:
        """Return what was noted about the recording and its host."""
        return {row.name: row.decoded() for row in self.rows("facts")}

    def connections(self, source_id: int) -> list[int]:
        """Return the numbers of a source's upstream connections in order; 0 = the collector's own samplers."""
        return [row.conn for row in self.rows("connections") if row.source_id == source_id]

    def sums(self) -> dict[int, Sum]:
        """Return count, bytes and times per source id."""
        sums: dict[int, Sum] = {}
        for source_id, group in groupby(self.rows("segments"), key=lambda row: row.source_id):
            rows = list(group)
            sums[source_id] = Sum(
                sum(row.messages for row in rows),
                sum(row.bytes for row in rows),
                min(row.min_wall_ns for row in rows),
                max(row.max_wall_ns for row in rows),
                min(row.first_mono_ns for row in rows),
                max(row.last_mono_ns for row in rows),
            )
        return sums

    def tally(self, source_id: int, want: Want, *, recorded: bool) -> Tally:
        """Return what counts the rows that are wanted. `recorded`: whether the file is being written."""
        if want.among == STATES:
            ids = sorted(row.id for row in self.rows("state_changes") if row.source_id == source_id)
            return Tally([(number, number, 1) for number in ids], grows=recorded)
        rows = [row for row in self.rows("segments") if row.source_id == source_id]
        inside = [row for row in rows if want.first_id <= row.first_id <= want.last_id]
        grows = recorded and inside[-1:] == rows[-1:]
        return Tally([(row.first_id, row.last_id, row.messages) for row in inside], grows=grows)

    def ranges(self, source_id: int, want: Want) -> list[Want]:
        """Narrow what is wanted down to the runs of ids that can hold it.

        More than one where the wall clock jumped. What is newer than the last segment we see belongs to the last run.
        """
        runs: list[list[int]] = []
        joins = False
        for row in self.rows("segments"):
            if row.source_id != source_id:
                continue
            holds = row.max_wall_ns >= want.start_ns and row.min_wall_ns < want.end_ns
            if holds and joins:
                runs[-1][1] = row.last_id
            elif holds:
                runs.append([row.first_id, row.last_id])
            joins = holds
        if joins:
            runs[-1][1] = HIGHEST
        return [replace(want, first_id=first, last_id=last) for first, last in runs]
