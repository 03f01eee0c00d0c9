"""Session files for tests: messages whose content follows from their number, and ways to damage a file."""

from __future__ import annotations

import random
from pathlib import Path

from tes_nb.model import Direction, Message, Opcode
from tes_nb.store.session.reader import SessionFile
from tes_nb.store.session.writer import SessionWriter
from tes_nb.wire.events import Gap, Mark, StateChange, encode_event

WALL = 1_767_225_600_000_000_000
"""2026-01-01T00:00:00Z in Unix nanoseconds."""
STEP = 10_000_000
PAGE = 4096
SOURCES = ("metrics", "status", "workers")


def payload_of(number: int, size: int | None = None) -> bytes:
    """The bytes of the message with that number: different for each, the same in every run."""
    chance = random.Random(number)
    return chance.randbytes(chance.choice((20, 200, 300)) if size is None else size)


def numbered(number: int, *, source: str | None = None, size: int | None = None) -> Message:
    """The message with that number, counted from 0; sources take turns unless one is named."""
    name = SOURCES[number % len(SOURCES)] if source is None else source
    seq = number + 1 if source else number // len(SOURCES) + 1
    wall = WALL + number * STEP
    return Message(name, Direction.IN, Opcode.BINARY, payload_of(number, size), wall, number * STEP, 1, seq)


def event(
    number: int, content: Gap | Mark | StateChange, *, source: str = "metrics", seq: int = 1
) -> Message:
    """An event as the collector sends it."""
    wall = WALL + number * STEP
    return Message(source, Direction.IN, Opcode.EVENT, encode_event(content), wall, number * STEP, 1, seq)


def write_session(path: Path, messages, *, group: int = 100) -> Path:
    """A session file with these items, in groups of so many."""
    writer = SessionWriter(path)
    items = list(messages)
    for start in range(0, len(items), group):
        writer.append(items[start : start + group])
    writer.close()
    return path


def read_all(path: Path, source: str | None = None) -> list[Message]:
    """Every message of a session."""
    with SessionFile.open(path) as session:
        return list(session.messages(source))


def flipped(data: bytes, *positions: int) -> bytes:
    """The bytes with all bits at these positions turned."""
    changed = bytearray(data)
    for position in positions:
        changed[position] ^= 0xFF
    return bytes(changed)
