"""What one transaction adds to a session file, from messages to rows. Nothing here outlives a rollback."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from tes_nb.errors import DecodeError
from tes_nb.model import Direction, Message, Opcode
from tes_nb.store.event_rows import write_event, write_gap
from tes_nb.store.message_row import to_row
from tes_nb.store.redact import redact_text, redact_url
from tes_nb.store.row_insert import insert_rows
from tes_nb.store.session_items import Fact, FileGap, Item, SourceInfo
from tes_nb.store.session_log import FactRecord, GapRecord, Record, SourceRecord, encode_record
from tes_nb.store.session_schema import (
    MAX_SOURCES,
    MESSAGE_COLUMNS,
    SESSION_SOURCE,
    create_view,
    message_table,
    message_table_sql,
)
from tes_nb.store.source_state import SourceState, write_messages
from tes_nb.wire.events import decode_event

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping

_WIDTH = len(MESSAGE_COLUMNS)
_EVENT = int(Opcode.EVENT)


@dataclass(slots=True)
class Batch:
    """Collects items, then writes them inside the caller's transaction."""

    known: Mapping[str, SourceState]
    numbers: Iterator[int]
    """Where ids come from."""
    log_seq: int
    """The last sequence number of the session's own log."""
    time: tuple[int, int]
    """Wall and monotonic ns, for records that have no time of their own."""
    sources: dict[str, SourceState] = field(default_factory=dict)
    """The states after this batch, of the sources it touches."""
    refused: int = 0
    """Messages of more sources than a session file can hold."""
    _groups: dict[str, tuple[int, list[Any]]] = field(default_factory=dict)
    """Source → its id, and the values of its new rows one after the other."""
    _events: list[tuple[int, int, Message]] = field(default_factory=list)
    """Our own events: source id, row id, message."""
    _log: list[Any] = field(default_factory=list)
    _created: list[tuple[SourceState, SourceInfo]] = field(default_factory=list)
    _facts: list[Fact] = field(default_factory=list)
    _gaps: list[FileGap] = field(default_factory=list)

    def add(self, items: Iterable[Item], ids: Iterator[int] | None = None) -> None:
        """Take items in the order of their arrival; `ids` numbers them otherwise than `numbers` would.

        Raises what a message deserves that cannot be written (`ValueError`, `TypeError`, `struct.error` …).
        """
        groups, given = self._groups, ids or self.numbers
        for item in items:
            if type(item) is not Message:
                self._add_other(item, given)
                continue
            group = groups.get(item.source) or self._group(item)
            if group is None:
                self.refused += 1
                continue
            number, (source_id, rows) = next(given), group
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
        if info.name in self.known or info.name in self.sources:
            return
        source_id = len(self.known) + len(self._created) + 1
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
            connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (fact.name, text))
        for each in self._gaps:
            state = self._state(each.source)
            write_gap(connection, SESSION_SOURCE if state is None else state.id, each.gap)
        for name, (_, rows) in self._groups.items():
            state = self._state(name)
            assert state is not None
            self.sources[name] = write_messages(connection, state, rows)
        for source_id, number, message in self._events:
            # What is no event of ours, or speaks of times beyond 64 bits, stays a message and no more.
            with contextlib.suppress(DecodeError, OverflowError):
                write_event(connection, source_id, number, decode_event(message.payload))

    def _state(self, source: str) -> SourceState | None:
        return self.sources.get(source) or self.known.get(source)

    def _create_sources(self, connection: sqlite3.Connection) -> None:
        for state, info in self._created:
            row = (state.id, info.name, info.stream, info.url)
            connection.execute("INSERT INTO sources VALUES (?, ?, ?, ?, 1)", row)
            connection.execute(message_table_sql(state.id))
        if self._created:
            create_view(connection, [SESSION_SOURCE, *range(1, self._created[-1][0].id + 1)])


def _without_credentials(message: Message) -> Message:
    """Our own events quote addresses and what peers said; nothing else is ever changed."""
    text = message.payload.decode("utf-8", "surrogateescape")
    shown = redact_text(text)
    if shown == text:
        return message
    return msgspec.structs.replace(message, payload=shown.encode("utf-8", "surrogateescape"))
