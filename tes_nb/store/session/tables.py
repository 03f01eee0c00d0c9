"""Read the small tables of a session file: sources, gaps, marks, state changes, facts, and the sums of the segments."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tes_nb.store.session.rows import HIGHEST, Want
from tes_nb.store.session.schema import SESSION_SOURCE
from tes_nb.wire.events import ClockJump, Gap, StateChange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
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
        head = f"{self.path.name}: {self.messages:,} messages in {self.duration_s:,.1f} s, {size}"
        undecoded = "undecoded not counted" if self.undecoded is None else f"{self.undecoded} undecoded"
        lines = [f"{head}, {self.gaps} gaps, {self.marks} marks, {undecoded}"]
        if self.peaks:
            lines.append(f"  at most: {', '.join(map(_peak, self.peaks.items()))}")
        for name, each in self.sources.items():
            rate = f"{each.per_second:,.1f}/s, {each.bytes / 1e6:,.1f} MB"
            lines.append(f"  {name}: {each.messages:,} messages, {rate}")
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


def read_sources(connection: sqlite3.Connection) -> dict[str, RecordedSource]:
    """Return the sources by name, in the order in which they appeared."""
    rows = connection.execute("SELECT id, name, stream, url, ordered FROM sources ORDER BY id")
    return {
        name: RecordedSource(name, stream, url, number, bool(ordered))
        for number, name, stream, url, ordered in rows
    }


def read_gaps(connection: sqlite3.Connection) -> Iterator[RecordedGap]:
    """Yield all gaps by the time they began."""
    rows = connection.execute(
        "SELECT g.source_id, s.name, g.conn, g.last_seen_ns, g.lost_at_ns, g.back_at_ns, g.cause, g.missing "
        "FROM gaps g LEFT JOIN sources s ON s.id = g.source_id ORDER BY g.lost_at_ns, g.source_id, g.conn"
    )
    for source_id, name, *values in rows:
        yield RecordedGap(None if source_id == SESSION_SOURCE else name, Gap(*values))


def read_marks(connection: sqlite3.Connection) -> Iterator[RecordedMark]:
    """Yield all marks by their time."""
    rows = connection.execute(
        "SELECT m.label, m.at_ns, s.name FROM marks m LEFT JOIN sources s ON s.id = m.source_id ORDER BY m.at_ns, m.id"
    )
    for label, at_ns, name in rows:
        yield RecordedMark(label, at_ns, name or "")


def read_states(connection: sqlite3.Connection, source_id: int) -> Iterator[StateChange]:
    """Yield the state changes of a source in their order."""
    rows = connection.execute(
        "SELECT state, text, conn, at_ns, attempts, reconnects, close_code, retry_at_ns "
        "FROM state_changes WHERE source_id = ? ORDER BY id",
        (source_id,),
    )
    for row in rows:
        yield StateChange(*row)


def read_clock_jumps(connection: sqlite3.Connection) -> Iterator[ClockJump]:
    """Yield the jumps of the wall clock."""
    for row in connection.execute("SELECT at_ns, by_ns FROM clock_jumps ORDER BY id"):
        yield ClockJump(*row)


def read_facts(connection: sqlite3.Connection) -> dict[str, Any]:
    """Return what was noted about the recording and its host."""
    facts = connection.execute("SELECT name, value FROM facts").fetchall()
    try:
        return {name: json.loads(value) for name, value in facts}
    except (ValueError, TypeError, RecursionError) as error:
        raise sqlite3.DatabaseError("a fact is no JSON") from error


def read_connections(connection: sqlite3.Connection, source_id: int) -> tuple[int, ...]:
    """Return the numbers of a source's upstream connections in order; 0 = the collector's own samplers."""
    rows = connection.execute("SELECT conn FROM connections WHERE source_id = ? ORDER BY conn", (source_id,))
    return tuple(conn for (conn,) in rows)


def count_connections(connection: sqlite3.Connection) -> dict[int, int]:
    """Return the number of upstream connections per source id; our own samplers (0) are none."""
    return dict(
        connection.execute("SELECT source_id, count(*) FROM connections WHERE conn > 0 GROUP BY source_id")
    )


def read_sums(connection: sqlite3.Connection) -> dict[int, Sum]:
    """Return count, bytes and times per source id. Costs a millisecond per million messages."""
    rows = connection.execute(
        "SELECT source_id, sum(messages), sum(bytes), min(min_wall_ns), max(max_wall_ns), "
        "min(first_mono_ns), max(last_mono_ns) FROM segments GROUP BY source_id"
    )
    return {source_id: Sum(*values) for source_id, *values in rows}


def ranges(connection: sqlite3.Connection, source_id: int, want: Want) -> list[Want]:
    """Narrow what is wanted down to the runs of ids that can hold it.

    More than one where the wall clock jumped. What is newer than the last segment we see belongs to the last run.
    """
    rows = connection.execute(
        "SELECT first_id, last_id, max_wall_ns >= ? AND min_wall_ns < ? FROM segments "
        "WHERE source_id = ? ORDER BY first_id",
        (want.start_ns, want.end_ns, source_id),
    )
    runs: list[list[int]] = []
    joins = False
    for first, last, holds in rows:
        if holds and joins:
            runs[-1][1] = last
        elif holds:
            runs.append([first, last])
        joins = bool(holds)
    if joins:
        runs[-1][1] = HIGHEST
    return [replace(want, first_id=first, last_id=last) for first, last in runs]
