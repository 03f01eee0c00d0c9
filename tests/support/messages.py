"""Messages for tests that need no connection."""

from __future__ import annotations

from typing import Any

import msgspec

from tes_nb.model import Direction, Message, Opcode

WALL = 1_767_225_600_000_000_000
"""2026-01-01T00:00:00Z in Unix nanoseconds."""


def message(payload: Any, *, source: str = "test", opcode: int = Opcode.TEXT, seq: int = 1) -> Message:
    """A received message; what is not bytes is encoded as JSON."""
    raw = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
    return Message(source, Direction.IN, opcode, raw, WALL + seq, seq, 1, seq)
