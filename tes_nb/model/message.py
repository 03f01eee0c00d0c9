"""One message as it was received, stamped once by the collector."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec


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
    """Position in the source, counted from 1, without holes."""
    flags: int = 0
    """Bit 0: fetched by HTTP polling. Bit 1: a duplicate seen during a renewal; decoding skips it."""

    def json(self) -> Any:
        """Return the payload parsed as JSON. Raises `msgspec.DecodeError` when it is something else."""
        return msgspec.json.decode(self.payload)


FLAG_POLLED = 1
FLAG_DUPLICATE = 2
