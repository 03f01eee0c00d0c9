"""A source's records as a browser reads them: rows of its tables, the state of its connection, marks and gaps.

Streams of our own speak JSON that a page can flatten by their description. What a peer sends may be anything, so
the collector decodes it with the very function that kernels use.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from tes_nb.errors import DecodeError
from tes_nb.model import Column, Decoded, Direction, Kind, Message, Opcode, Stream
from tes_nb.model.message import FLAG_DUPLICATE
from tes_nb.wire.events import ClockJump, Gap, Mark, Playback, StateChange, decode_event
from tes_nb.wire.inflate import inflate

TEXT_CHARS = 1_000
"""Characters of a cell that travel; a longer one ends in an ellipsis and its length."""
PAYLOAD_CHARS = 16 * 1024
"""So much of a payload travels to the page's inspector."""
MOST_ROWS = 2_000
"""Rows of one message that travel."""


class RowReader:
    """Decodes one source's messages. Remembers what streams with a `fold` need to compare messages."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._memory: dict[str, Any] = {}

    def told(self, message: Message) -> dict[str, Any] | None:
        """Return what a page is told of a message; `None` = nothing."""
        if message.opcode == Opcode.EVENT:
            return _event(message)
        began = time.perf_counter()
        decoded, outcome = self._decoded(message)
        took_ms = (time.perf_counter() - began) * 1e3
        rows = {} if message.flags & FLAG_DUPLICATE else self._rows(message, decoded)
        return {
            "type": "message",
            "t": message.t_wall_ns / 1e9,
            "seq": message.seq,
            "age_s": max(0, time.monotonic_ns() - message.t_mono_ns) / 1e9,
            "rows": rows,
            "direction": "in" if message.direction == Direction.IN else "out",
            "kind": decoded.kind,
            "outcome": outcome,
            "decode_ms": round(took_ms, 3),
            "size": len(message.payload),
            **_content(message),
        }

    def _decoded(self, message: Message) -> tuple[Decoded, str]:
        """Decode what a peer sent; what we sent is data of nobody."""
        if message.direction == Direction.OUT:
            return Decoded(Kind.REPLY), "sent"
        try:
            decoded = self._stream.decode(message)
        except DecodeError as error:
            return Decoded(Kind.UNDECODED), f"{error.reason}: {error}"[:TEXT_CHARS]
        except Exception as error:  # noqa: BLE001 - a stream's mistake is shown, not raised
            return Decoded(Kind.UNDECODED), f"the decoder failed: {type(error).__name__}"
        counts = [f"{len(rows)} {table}" for table, rows in decoded.rows.items() if rows]
        return decoded, ", ".join([*counts, *decoded.notes])[:TEXT_CHARS] or decoded.kind

    def _rows(self, message: Message, decoded: Decoded) -> dict[str, list[list[Any]]]:
        found = dict(decoded.rows)
        if self._stream.fold is not None and decoded.kind is Kind.DATA:
            found.update(self._stream.fold(self._memory, message, decoded))
        tables: Mapping[str, tuple[Column, ...]] = {one.name: one.columns for one in self._stream.tables}
        return {
            name: [_plain(row, tables[name]) for row in rows[-MOST_ROWS:]]
            for name, rows in found.items()
            if name in tables
        }


def _plain(row: tuple[Any, ...], columns: tuple[Column, ...]) -> list[Any]:
    return [_cell(value, column) for value, column in zip(row, columns, strict=True)]


def _cell(value: Any, column: Column) -> Any:
    """A cell as JSON: absent is null, a time is Unix seconds, an infinity a word."""
    if value is None:
        return None
    if column.dtype.startswith("datetime64"):
        return value / 1e9
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("∞" if value > 0 else "-∞")
    if isinstance(value, str):
        return _text(value, TEXT_CHARS)
    return value


def _text(text: str, most: int) -> str:
    """At most about so many characters, and none that JSON cannot carry."""
    short = text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"
    return short.encode("utf-8", "replace").decode()


def _content(message: Message) -> dict[str, Any]:
    """The payload as its sender wrote it, and how large that is."""
    plain = message.payload
    if message.opcode != Opcode.TEXT:
        try:
            plain = inflate(message.payload)
        except DecodeError:
            return {"inflated": None, "text": message.payload[:512].hex(" ")}
    return {"inflated": len(plain), "text": plain[:PAYLOAD_CHARS].decode("utf-8", "replace")}


def _event(message: Message) -> dict[str, Any] | None:
    try:
        event = decode_event(message.payload)
    except DecodeError:
        return None
    match event:
        case StateChange():
            return {
                "type": "state",
                "word": event.state,
                "text": event.text,
                "since": event.at_ns / 1e9,
                "attempts": event.attempts,
                "reconnects": event.reconnects,
                "close_code": event.close_code,
            }
        case Mark():
            return {"type": "mark", "t": event.at_ns / 1e9, "label": event.label}
        case Gap():
            end = None if event.back_at_ns is None else event.back_at_ns / 1e9
            return {"type": "gap", "start": event.lost_at_ns / 1e9, "end": end, "label": event.cause}
        case Playback():
            return {"type": "state", "since": None, "round": event.round, **_replaying(event)}
        case ClockJump():
            return None


def _replaying(playback: Playback) -> dict[str, str]:
    """How a replay goes on, as the state of its source."""
    if playback.word != "PLAYING":
        return {"word": playback.word, "text": f"the replay is {playback.word.lower()}"}
    speed = f"{playback.speed:g} x" if playback.speed else "as fast as it goes"
    return {"word": "OPEN", "text": f"a replay, {speed}"}
