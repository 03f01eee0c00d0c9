"""The relay's binary form: one fixed little-endian header, then the payload verbatim.

offset  size  field
0       1     version (1)
1       1     opcode (0 event, 1 text, 2 binary)
2       1     direction (0 in, 1 out)
3       1     flags
4       4     connection
8       8     sequence
16      8     wall clock, Unix ns (signed)
24      8     monotonic clock, ns (signed)
32      …     payload
"""

from __future__ import annotations

import struct

from tes_nb.errors import DecodeError
from tes_nb.model import Message

VERSION = 1
_HEADER = struct.Struct("<BBBBIQqq")
HEADER_SIZE = _HEADER.size
assert HEADER_SIZE == 32


def pack(message: Message) -> bytes:
    """Return the record that travels over `/ws/relay/{source}`."""
    header = _HEADER.pack(
        VERSION,
        message.opcode,
        message.direction,
        message.flags,
        message.conn,
        message.seq,
        message.t_wall_ns,
        message.t_mono_ns,
    )
    return header + message.payload


def seq_of(record: bytes) -> int:
    """Return a record's sequence number."""
    number: int = _HEADER.unpack_from(record)[5]
    return number


def unpack(source: str, record: bytes) -> Message:
    """Return the message in `record`. Raises `DecodeError` for a short record or another version."""
    if len(record) < HEADER_SIZE:
        raise DecodeError(
            f"A relay record of {len(record)} bytes is shorter than its header.", reason="truncated"
        )
    version, opcode, direction, flags, conn, seq, wall, mono = _HEADER.unpack_from(record)
    if version != VERSION:
        raise DecodeError(
            f"The relay speaks version {version}, this tes_nb speaks {VERSION}: "
            "use the same tes_nb on both sides.",
            reason="version",
        )
    return Message(
        source=source,
        direction=direction,
        opcode=opcode,
        payload=record[HEADER_SIZE:],
        t_wall_ns=wall,
        t_mono_ns=mono,
        conn=conn,
        seq=seq,
        flags=flags,
    )
