"""Messages, rows and columns as a browser takes them: one description for the page's inspector and the notebook's.

Pages and widgets speak JSON, which knows no times, no infinities and no halves of surrogate pairs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from tes_nb.errors import DecodeError
from tes_nb.model import Column, Decoded, Direction, Kind, Message, Opcode
from tes_nb.wire.inflate import inflate

MAX_TEXT = 1_000
"""Characters of a text that travel; a longer one ends in an ellipsis and its length."""
PREVIEW_CHARS = 300


class MessageInfo(msgspec.Struct):
    """A message in a list of messages. The table of `static/inspector.js` shows these fields."""

    t: float
    """When the collector received it, Unix seconds."""
    direction: Literal["in", "out"]
    kind: str
    """What its stream says it is; "sent" for what we sent ourselves."""
    outcome: str
    """What became of it: "metrics: 1 metrics", or why it did not decode."""
    decode_ms: float | None
    """`None` = it was not decoded, since we sent it."""
    undecoded: bool
    size: int
    """Bytes on the wire."""
    inflated: int | None
    """Bytes as its sender wrote it; `None` = it cannot be inflated."""
    conn: int
    preview: str
    """The beginning of its payload."""


class Inspection(NamedTuple):
    """A message, looked at once."""

    info: MessageInfo
    payload: bytes
    """As its sender wrote it, as far as it can be inflated."""
    decoded: Decoded


def inspect_message(name: str, decode: Callable[[Message], Decoded], message: Message) -> Inspection:
    """Decode a message and say what it is. name: of its source or feed. Never raises."""
    plain = inflated(message)
    payload = message.payload if plain is None else plain
    began = time.perf_counter()
    decoded, outcome = _decode(decode, message)
    decode_ms = round((time.perf_counter() - began) * 1e3, 3)
    outgoing = message.direction == Direction.OUT
    info = MessageInfo(
        t=message.t_wall_ns / 1e9,
        direction="out" if outgoing else "in",
        kind="sent" if outgoing else decoded.kind,
        outcome=json_text(f"{name}: {outcome}", PREVIEW_CHARS),
        decode_ms=None if outgoing else decode_ms,
        undecoded=decoded.kind is Kind.UNDECODED,
        size=len(message.payload),
        inflated=None if plain is None else len(plain),
        conn=message.conn,
        # a character has at most four bytes
        preview=payload[: 4 * PREVIEW_CHARS].decode("utf-8", "replace")[:PREVIEW_CHARS],
    )
    return Inspection(info, payload, decoded)


def inflated(message: Message) -> bytes | None:
    """Return the payload as its sender wrote it; `None` = it cannot be inflated."""
    if message.opcode == Opcode.TEXT:
        return message.payload
    try:
        return inflate(message.payload)
    except DecodeError:
        return None


def _decode(decode: Callable[[Message], Decoded], message: Message) -> tuple[Decoded, str]:
    """Decode what a peer sent; what we sent is no data."""
    if message.direction == Direction.OUT:
        return Decoded(Kind.REPLY), "sent"
    try:
        decoded = decode(message)
    except DecodeError as error:
        return Decoded(Kind.UNDECODED), f"{error.reason}: {error}"
    except Exception as error:  # noqa: BLE001 - a stream's mistake is shown, not raised
        return Decoded(Kind.UNDECODED), f"the decoder failed: {error!r}"
    counts = [f"{len(rows)} {table}" for table, rows in decoded.rows.items() if rows]
    return decoded, ", ".join([*counts, *decoded.notes]) or decoded.kind


def json_row(row: Sequence[Any], columns: Iterable[Column]) -> list[Any]:
    """Return a row: absent is null, a time is Unix seconds, an infinity a word."""
    return [_json_cell(value, column) for value, column in zip(row, columns, strict=True)]


def _json_cell(value: Any, column: Column) -> Any:
    if value is None:
        return None
    if column.dtype.startswith("datetime64"):
        return value / 1e9
    if isinstance(value, float):
        return json_float(value)
    return json_text(value) if isinstance(value, str) else value


def json_float(value: float) -> float | str | None:
    """Return a number; whole ones stay as they are, a browser shows 5.0 as 5."""
    if math.isfinite(value):
        return value
    return None if math.isnan(value) else ("∞" if value > 0 else "-∞")


def json_text(text: str, most: int = MAX_TEXT) -> str:
    """Return at most about `most` characters, with the length where some are left out, and none JSON cannot carry."""
    short = text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"
    return short.encode("utf-8", "replace").decode()


def json_columns(columns: Iterable[Column]) -> list[dict[str, Any]]:
    """Return columns with what a view must know of them."""
    return [
        {
            "name": one.name,
            "dtype": one.dtype,
            "unit": one.unit,
            "kind": one.kind,
            "doc": one.doc,
            "title": one.caption,
            "quantity": one.quantity,
            "head": one.heading,
        }
        | ({"words": dict(one.words)} if one.words else {})
        for one in columns
    ]
