"""What one transaction adds to a session file, from messages to rows. Nothing here outlives a rollback."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from tes_nb.errors import DecodeError
from tes_nb.model import Direction, Message, Opcode
from tes_nb.store.redact import redact_text, redact_url
from tes_nb.store.session.rows import to_row
from tes_nb.store.session.schema import (
    MAX_PAYLOAD,
    MAX_SOURCES,
    MESSAGE_COLUMNS,
    SEGMENT_MESSAGES,
    SEGMENT_NS,
    SESSION_SOURCE,
    Fact,
    FactRecord,
    FileGap,
    GapRecord,
    Item,
    Record,
    SourceInfo,
    SourceRecord,
    create_view,
    encode_record,
    message_table,
    message_table_sql,
)
from tes_nb.store.session.small_tables import RowWriter
from tes_nb.wire.events import ClockJump, Event, Gap, Mark, StateChange, decode_event

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping


def write_event(
    connection: sqlite3.Connection, rows: RowWriter, source_id: int, number: int, event: Event
) -> None:
    """Insert the row of one event; `number` is the id of the message that carried it."""
    match event:
        case Gap():
            write_gap(connection, rows, source_id, event)
        case Mark():
            rows.put(connection, "marks", (number, source_id, event.at_ns, event.label))
        case ClockJump():
            rows.put(connection, "clock_jumps", (number, source_id, event.at_ns, event.by_ns))
        case StateChange():
            _write_state(connection, rows, source_id, number, event)


def write_gap(connection: sqlite3.Connection, rows: RowWriter, source_id: int, gap: Gap) -> None:
    """Insert a gap, or complete the open one of the same connection and instant: it is reported at both its ends."""
    cause = redact_text(gap.cause)
    row = (source_id, gap.conn, gap.lost_at_ns, gap.last_seen_ns, gap.back_at_ns, cause, gap.missing)
    rows.put(connection, "gaps", row)


def _write_state(
    connection: sqlite3.Connection, rows: RowWriter, source_id: int, number: int, event: StateChange
) -> None:
    row = (
        number,
        source_id,
        event.conn,
        event.at_ns,
        event.state,
        event.text,
        event.attempts,
        event.reconnects,
        event.close_code,
        event.retry_at_ns,
    )
    rows.put(connection, "state_changes", row)


# Python gives the interpreter lock back around every step, and must win it again afterwards: beside a busy event
# loop that costs more than the insertion. So rows go in by the hundred, and only the odd ones singly.

_LARGEST = 128


def insert_rows(connection: sqlite3.Connection, table: str, width: int, values: list[Any]) -> None:
    """Insert `len(values) / width` rows, whose values follow one another. `table` is a trusted name."""
    left = len(values) // width
    start = 0
    size = _LARGEST
    while left:
        while size > left:
            size //= 2
        end = start + size * width
        connection.execute(_statement(table, width, size), values[start:end])
        start, left = end, left - size


@cache
def _statement(table: str, width: int, rows: int) -> str:
    """The same text object each time: SQLite's cache of prepared statements goes by it."""
    row = f"({', '.join('?' * width)})"
    return f"INSERT INTO {table} VALUES {', '.join([row] * rows)}"  # noqa: S608 - the name is ours


_WIDTH = len(MESSAGE_COLUMNS)
_CONN, _SEQ, _WALL, _MONO, _PAYLOAD = (
    MESSAGE_COLUMNS.index(name) for name in ("conn", "seq", "t_wall_ns", "t_mono_ns", "payload")
)


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


def write_messages(
    connection: sqlite3.Connection, writer: RowWriter, state: SourceState, rows: list[Any]
) -> SourceState:
    """Insert the rows of a source, whose values follow one another, and return its new state.

    Raises `ValueError` when a payload is too long.
    """
    if max(map(len, rows[_PAYLOAD::_WIDTH])) > MAX_PAYLOAD:
        raise ValueError("payload too long")
    insert_rows(connection, message_table(state.id), _WIDTH, rows)
    return index_messages(connection, writer, state, rows)


def index_messages(
    connection: sqlite3.Connection, writer: RowWriter, state: SourceState, rows: list[Any]
) -> SourceState:
    """Bring segments, connections and order up to date; return the source's new state."""
    segment = Segment.of(rows)
    before = state.segment
    monos = rows[_MONO::_WIDTH]
    in_order = (before is None or before.last_mono_ns <= monos[0]) and monos == sorted(monos)
    if state.ordered and not in_order:
        source = connection.execute("SELECT * FROM sources WHERE id = ?", (state.id,)).fetchone()
        writer.put(connection, "sources", (*source[:-1], 0))
    replaced = None
    if before is not None and not before.full:
        segment, replaced = before.joined(segment), (state.id, *before.as_row())
    writer.exchange(connection, "segments", (state.id, *segment.as_row()), replaced)
    new = set(rows[_CONN::_WIDTH]) - state.connections
    for conn in sorted(new):
        writer.put(connection, "connections", (state.id, conn, rows[_WALL]))
    return replace(
        state,
        ordered=state.ordered and in_order,
        segment=segment,
        connections=state.connections | new,
        messages=state.messages + len(monos),
        last_seq=rows[_SEQ - _WIDTH],
    )


_EVENT = int(Opcode.EVENT)


@dataclass(slots=True)
class Batch:
    """Collects items, then writes them inside the caller's transaction."""

    earlier: Mapping[str, SourceState]
    numbers: Iterator[int]
    """Where ids come from."""
    log_seq: int
    """The last sequence number of the session's own log."""
    time: tuple[int, int]
    """Wall and monotonic ns, for records that have no time of their own."""
    rows: RowWriter
    sources: dict[str, SourceState] = field(default_factory=dict)
    """The states after this batch, of the sources it touches."""
    refused: list[Message] = field(default_factory=list)
    """Messages of more sources than a session file can hold."""
    _groups: dict[str, tuple[int, list[Any]]] = field(default_factory=dict)
    """Source → its id, and the values of its new rows one after the other."""
    _events: list[tuple[int, int, Message]] = field(default_factory=list)
    """Our own events: source id, row id, message."""
    _log: list[Any] = field(default_factory=list)
    _created: list[tuple[SourceState, SourceInfo]] = field(default_factory=list)
    _facts: list[Fact] = field(default_factory=list)
    _gaps: list[FileGap] = field(default_factory=list)

    def add(self, items: Iterable[Item]) -> None:
        """Take items in the order of their arrival.

        Raises what a message deserves that cannot be written (`ValueError`, `TypeError`, `struct.error` …).
        """
        groups, numbers = self._groups, self.numbers
        for item in items:
            if type(item) is not Message:
                self._add_other(item, numbers)
                continue
            group = groups.get(item.source) or self._group(item)
            if group is None:
                self.refused.append(item)
                continue
            number, (source_id, rows) = next(numbers), group
            if item.opcode == _EVENT:
                item = _without_credentials(item)  # noqa: PLW2901 - this is what is written
                self._events.append((source_id, number, item))
            rows += to_row(number, source_id, item)

    def _group(self, first: Message) -> tuple[int, list[Any]] | None:
        """Begin the rows of a source; `None` = there are too many sources."""
        self.time = first.t_wall_ns, first.t_mono_ns
        self._ensure(SourceInfo(first.source, first.source), self.numbers)
        state = self._state(first.source)
        if state is None:
            return None
        return self._groups.setdefault(first.source, (state.id, []))

    def _add_other(self, item: Item, numbers: Iterator[int]) -> None:
        match item:
            case SourceInfo():
                self._ensure(item, numbers)
            case Fact(name, value):
                self._facts.append(item)
                self._record(FactRecord(name, msgspec.Raw(msgspec.json.encode(value))), numbers)
            case FileGap(gap, source):
                self._gaps.append(item)
                self._record(GapRecord(gap, source), numbers)

    def _ensure(self, info: SourceInfo, numbers: Iterator[int]) -> None:
        if info.name in self.earlier or info.name in self.sources:
            return
        source_id = len(self.earlier) + len(self._created) + 1
        if source_id > MAX_SOURCES:
            return
        if info.url is not None:
            info = replace(info, url=redact_url(info.url))
        state = SourceState(source_id, info.name)
        self.sources[info.name] = state
        self._created.append((state, info))
        self._record(SourceRecord(source_id, info.name, info.stream, info.url), numbers)

    def _record(self, record: Record, numbers: Iterator[int]) -> None:
        self.log_seq += 1
        payload = encode_record(record)
        message = Message("", Direction.IN, Opcode.EVENT, payload, *self.time, 0, self.log_seq)
        self._log.extend(to_row(next(numbers), SESSION_SOURCE, message))

    def write(self, connection: sqlite3.Connection) -> None:
        """Write everything. The caller begins and ends the transaction.

        Raises what a message deserves that cannot be written (`ValueError`, `OverflowError`, `struct.error` …).
        """
        self._create_sources(connection)
        insert_rows(connection, message_table(SESSION_SOURCE), _WIDTH, self._log)
        for fact in self._facts:
            text = msgspec.json.encode(fact.value).decode()
            self.rows.put(connection, "facts", (fact.name, text))
        for each in self._gaps:
            state = self._state(each.source)
            write_gap(connection, self.rows, SESSION_SOURCE if state is None else state.id, each.gap)
        for name, (_, rows) in self._groups.items():
            state = self._state(name)
            assert state is not None
            self.sources[name] = write_messages(connection, self.rows, state, rows)
        for source_id, number, message in self._events:
            # What is no event of ours, or speaks of times beyond 64 bits, stays a message and no more.
            with contextlib.suppress(DecodeError, OverflowError):
                write_event(connection, self.rows, source_id, number, decode_event(message.payload))
        self.rows.finish(connection)

    def _state(self, source: str) -> SourceState | None:
        return self.sources.get(source) or self.earlier.get(source)

    def _create_sources(self, connection: sqlite3.Connection) -> None:
        for state, info in self._created:
            row = (state.id, info.name, info.stream, info.url, 1)
            self.rows.exchange(connection, "sources", row, None)
            connection.execute(message_table_sql(state.id))
        if self._created:
            create_view(connection, [SESSION_SOURCE, *range(1, self._created[-1][0].id + 1)])


def _without_credentials(message: Message) -> Message:
    """Our own events quote addresses and what peers said; nothing else is ever changed."""
    text = message.payload.decode("utf-8", "surrogateescape")
    redacted = redact_text(text)
    if redacted == text:
        return message
    return msgspec.structs.replace(message, payload=redacted.encode("utf-8", "surrogateescape"))
