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

Several records in one message are a batch: one byte, 2, then each record after its length (4 bytes). What a turn of the
loop brings travels together: each message costs a turn on either side (docs/decisions/0032).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from tes_nb.errors import DecodeError
from tes_nb.model import Message

VERSION = 1
BATCH = 2
"""In the place of the version, where a message is a batch."""
_HEADER = struct.Struct("<BBBBIQqq")
HEADER_SIZE = _HEADER.size
assert HEADER_SIZE == 32
_LENGTH = struct.Struct("<I")


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


def join(records: Sequence[bytes]) -> bytes:
    """Return one message that holds these records, of which there is at least one."""
    if len(records) == 1:
        return records[0]
    parts = [bytes((BATCH,))]
    for record in records:
        parts += (_LENGTH.pack(len(record)), record)
    return b"".join(parts)


def unpack_all(source: str, message: bytes) -> Iterator[Message]:
    """Yield the messages of a batch, or of a record alone. Raises like `unpack`."""
    return (unpack(source, record) for record in split(message))


def split(message: bytes) -> Iterator[bytes]:
    """Yield the records in a message. What a length beyond the end leaves is no record, as `unpack` will say."""
    if message[:1] != bytes((BATCH,)):
        yield message
        return
    place = 1
    while place < len(message):
        start = place + _LENGTH.size
        size = int.from_bytes(message[place:start], "little")
        yield message[start : start + size]
        place = start + size
