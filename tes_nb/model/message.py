"""One message as it was received, stamped once by the collector, and what it turns out to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

import msgspec

from tes_nb.model.table import Row


class Direction(IntEnum):
    """Which way a message went, seen from the collector."""

    IN = 0
    """From a peer (or a sampler) to us."""
    OUT = 1
    """From us to a peer."""


class Opcode(IntEnum):
    """What the payload is. TEXT and BINARY are the WebSocket opcodes."""

    EVENT = 0
    """One of our own events as JSON (`tes_nb.wire.events`): a gap, a state change, a mark, a clock jump."""
    TEXT = 1
    BINARY = 2


class Message(msgspec.Struct, frozen=True, gc=False):
    """A payload and where, when and how it was received. Never changed after the stamp."""

    source: str
    """The relay source it belongs to: a stream's name, or the name given to an attached peer's stream."""
    direction: int
    opcode: int
    payload: bytes
    """Exactly the received bytes, still compressed if they came compressed."""
    t_wall_ns: int
    """Receive time: Unix nanoseconds, UTC, the collector's wall clock."""
    t_mono_ns: int
    """The same instant on the collector's monotonic clock, in nanoseconds."""
    conn: int
    """The upstream connection's number, counted from 1; 0 = the collector's own samplers."""
    seq: int
    """Position in the source, counted from 1, without holes: a cursor of the relay (decisions/0002)."""
    flags: int = 0
    """Bit 0: fetched by HTTP polling. Bit 1: a duplicate seen during a renewal; decoding skips it."""

    def json(self) -> Any:
        """Return the payload parsed as JSON. Raises `msgspec.DecodeError` when it is something else."""
        return msgspec.json.decode(self.payload)


FLAG_POLLED = 1
FLAG_DUPLICATE = 2


class Kind(StrEnum):
    """What a message is, for the supervisor: only DATA proves that a stream is alive."""

    DATA = "data"
    GREETING = "greeting"
    """Says hello and nothing more; old peers send it where they have no stream."""
    REPLY = "reply"
    """Answers something we sent (pong, ack, subscribed)."""
    KEEPALIVE = "keepalive"
    ERROR = "error"
    """An error report of the peer; the connection stays open."""
    ECHO = "echo"
    """Our own message coming back; never data."""
    UNDECODED = "undecoded"


@dataclass(slots=True)
class Decoded:
    """What one message says."""

    kind: Kind
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    """Table name → rows: tuples, or a `RowBatch` where a message has many and speed counts."""
    sent_at_ns: int | None = None
    """The sender's own time stamp, Unix nanoseconds; `None` = it gives none."""
    notes: tuple[str, ...] = ()
    """What could not be read, one sentence for each fault."""
    reason: str | None = None
    """Why an UNDECODED message could not be read: one of a few fixed words, for counting."""
