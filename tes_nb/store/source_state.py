"""What a writer knows of a source from one transaction to the next, and how new rows change it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tes_nb.store.row_insert import insert_rows
from tes_nb.store.session_schema import (
    MAX_PAYLOAD,
    MESSAGE_COLUMNS,
    SEGMENT_MESSAGES,
    SEGMENT_NS,
    message_table,
)

if TYPE_CHECKING:
    import sqlite3

_WIDTH = len(MESSAGE_COLUMNS)
_CONN, _SEQ, _WALL, _MONO, _PAYLOAD = (
    MESSAGE_COLUMNS.index(name) for name in ("conn", "seq", "t_wall_ns", "t_mono_ns", "payload")
)
_SEGMENT = "INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_CONNECTION = "INSERT OR IGNORE INTO connections VALUES (?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of one source's messages, from which a reader finds a time range without an index on every row."""

    first_id: int
    last_id: int
    messages: int
    bytes: int
    first_mono_ns: int
    last_mono_ns: int
    min_wall_ns: int
    max_wall_ns: int

    @classmethod
    def of(cls, rows: list[Any]) -> Segment:
        """Return the segment that covers these rows (values one after the other)."""
        walls = rows[_WALL::_WIDTH]
        size = sum(map(len, rows[_PAYLOAD::_WIDTH]))
        monos = rows[_MONO], rows[_MONO - _WIDTH]
        return cls(rows[0], rows[-_WIDTH], len(walls), size, *monos, min(walls), max(walls))

    @property
    def full(self) -> bool:
        """Whether the next message begins a new segment."""
        return self.messages >= SEGMENT_MESSAGES or self.last_mono_ns - self.first_mono_ns >= SEGMENT_NS

    def as_row(self) -> tuple[int, ...]:
        """Return the values of `segments`, but for the source."""
        return tuple(getattr(self, name) for name in self.__slots__)

    def joined(self, later: Segment) -> Segment:
        """Return one segment that covers both."""
        return Segment(
            self.first_id,
            later.last_id,
            self.messages + later.messages,
            self.bytes + later.bytes,
            self.first_mono_ns,
            later.last_mono_ns,
            min(self.min_wall_ns, later.min_wall_ns),
            max(self.max_wall_ns, later.max_wall_ns),
        )


@dataclass(frozen=True, slots=True)
class SourceState:
    """What is remembered of a source between transactions."""

    id: int
    name: str
    ordered: bool = True
    """False once a message was older, on the monotonic clock, than the one before it."""
    segment: Segment | None = None
    connections: frozenset[int] = frozenset()
    messages: int = 0
    last_seq: int = 0


def write_messages(connection: sqlite3.Connection, state: SourceState, rows: list[Any]) -> SourceState:
    """Insert the rows of a source, whose values follow one another, and return its new state.

    Raises `ValueError` when a payload is too long.
    """
    if max(map(len, rows[_PAYLOAD::_WIDTH])) > MAX_PAYLOAD:
        raise ValueError("payload too long")
    insert_rows(connection, message_table(state.id), _WIDTH, rows)
    return _advance(connection, state, rows)


def _advance(connection: sqlite3.Connection, state: SourceState, rows: list[Any]) -> SourceState:
    """Bring segments, connections and order up to date; return the source's new state."""
    segment = Segment.of(rows)
    before = state.segment
    monos = rows[_MONO::_WIDTH]
    in_order = (before is None or before.last_mono_ns <= monos[0]) and monos == sorted(monos)
    if state.ordered and not in_order:
        connection.execute("UPDATE sources SET ordered = 0 WHERE id = ?", (state.id,))
    if before is not None and not before.full:
        segment = before.joined(segment)
    connection.execute(_SEGMENT, (state.id, *segment.as_row()))
    new = set(rows[_CONN::_WIDTH]) - state.connections
    if new:
        first = rows[_WALL]
        connection.executemany(_CONNECTION, [(state.id, conn, first) for conn in sorted(new)])
    return replace(
        state,
        ordered=state.ordered and in_order,
        segment=segment,
        connections=state.connections | new,
        messages=state.messages + len(monos),
        last_seq=rows[_SEQ - _WIDTH],
    )
