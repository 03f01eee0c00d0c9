"""Our own events as rows of the tables that people query: gaps, marks, state changes, clock jumps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tes_nb.store.redact import redact_text
from tes_nb.wire.events import ClockJump, Event, Gap, Mark, StateChange

if TYPE_CHECKING:
    import sqlite3

_GAP = (
    "INSERT INTO gaps VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (source_id, conn, lost_at_ns) DO UPDATE SET "
    "last_seen_ns = excluded.last_seen_ns, back_at_ns = excluded.back_at_ns, cause = excluded.cause, "
    "missing = excluded.missing"
)
"""A gap is reported when it opens and again when it ends; the second report completes the first."""


def write_event(connection: sqlite3.Connection, source_id: int, number: int, event: Event) -> None:
    """Insert the row of one event; `number` is the id of the message that carried it."""
    match event:
        case Gap():
            write_gap(connection, source_id, event)
        case Mark():
            row = (number, source_id, event.at_ns, event.label)
            connection.execute("INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?)", row)
        case ClockJump():
            jump = (number, source_id, event.at_ns, event.by_ns)
            connection.execute("INSERT OR REPLACE INTO clock_jumps VALUES (?, ?, ?, ?)", jump)
        case StateChange():
            _write_state(connection, source_id, number, event)


def write_gap(connection: sqlite3.Connection, source_id: int, gap: Gap) -> None:
    """Insert a gap, or complete the open one of the same connection and instant."""
    cause = redact_text(gap.cause)
    row = (source_id, gap.conn, gap.lost_at_ns, gap.last_seen_ns, gap.back_at_ns, cause, gap.missing)
    connection.execute(_GAP, row)


def _write_state(connection: sqlite3.Connection, source_id: int, number: int, event: StateChange) -> None:
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
    connection.execute("INSERT OR REPLACE INTO state_changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
