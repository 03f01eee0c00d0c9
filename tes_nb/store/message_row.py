"""One message as a row of its source's table, with the checksum that lets it be believed."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any
from zlib import crc32

from tes_nb.store.session_schema import MAX_PAYLOAD
from tes_nb.wire.record import pack

if TYPE_CHECKING:
    from tes_nb.model import Message


def to_row(number: int, source_id: int, message: Message) -> tuple[Any, ...]:
    """Return the values in the order of `MESSAGE_COLUMNS`. Raises what `writable` tests for."""
    return (
        number,
        source_id,
        message.conn,
        message.seq,
        message.t_wall_ns,
        message.t_mono_ns,
        message.direction,
        message.opcode,
        message.flags,
        crc32(pack(message), (number + (source_id << 24)) & 0xFFFFFFFF),
        message.payload,
    )


def writable(message: Message) -> bool:
    """Whether a session file can hold the message: numbers in range, bytes of at most `MAX_PAYLOAD`."""
    try:
        message.source.encode()
        record = pack(message)
    except (struct.error, TypeError, ValueError, AttributeError):
        return False
    return len(record) <= MAX_PAYLOAD and message.seq < 2**63


def checksum(number: int, source_id: int, message: Message) -> int:
    """Return what the column `crc` holds: the CRC-32 of the message as the relay carries it.

    It begins with the row's id and source, so that a row which damage moved is not believed either.
    """
    return crc32(pack(message), (number + (source_id << 24)) & 0xFFFFFFFF)
