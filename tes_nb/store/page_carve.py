"""Find messages in single pages of a session file, whatever has happened to the pages around them.

A message row is recognised by the shape of its record header and believed only when its checksum fits, so that
neither page headers, cell pointers nor the tree above need to be whole. Pure: bytes in, rows out.
The layout is that of SQLite's file format, "Record Format" and "B-tree Pages".
"""

from __future__ import annotations

import itertools
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from tes_nb.model import Message
from tes_nb.store.session.rows import checksum
from tes_nb.store.session.schema import MAX_PAYLOAD, MESSAGE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Lookup = Callable[[int], bytes | None]
    """Page number → the page, or `None` when there is no such page."""

_INTEGERS = len(MESSAGE_COLUMNS) - 2
_FIXED = 2 + _INTEGERS
"""Bytes of a record header before the payload's type: its own length, NULL for the id, one for each integer."""
_HEADER = re.compile(rb"(?=([\x0c-\x10])\x00[\x01-\x06\x08\x09]{%d})" % _INTEGERS, re.DOTALL)
_ONE = 9
_SIZES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}
"""Serial type of an integer → its bytes; 8 and 9 are the constants 0 and 1."""


class Carved(NamedTuple):
    """A message row that was found and whose checksum fits."""

    id: int
    source_id: int
    message: Message
    """Its `source` is "": the page does not say the name."""


def carve(page: bytes, lookups: tuple[Lookup, ...]) -> Iterator[Carved]:
    """Yield the rows in a page. `lookups` are tried in turn for payloads that go on in other pages."""
    for match in _HEADER.finditer(page):
        carved = _carve_at(page, match.start(), lookups)
        if carved is not None:
            yield carved


def _carve_at(page: bytes, start: int, lookups: tuple[Lookup, ...]) -> Carved | None:
    length = _payload_length(page, start)
    if length is None:
        return None
    spans, values_end = _spans(page[start + 2 : start + _FIXED])
    header = page[start]
    body = header + values_end
    total = body + length
    local = _local_size(total, len(page))
    number = _row_id(page, start, total)
    if number is None or start + local + 4 * (local < total) > len(page):
        return None
    values = page[start + header : start + body]
    integers = [int.from_bytes(values[begin:end], "big", signed=True) + one for begin, end, one in spans]
    here = page[start + body : start + local]
    following = int.from_bytes(page[start + local : start + local + 4], "big")
    for lookup in lookups:
        payload = _payload(here, total - local, following, lookup)
        carved = None if payload is None else _believed(number, integers, payload)
        if carved is not None:
            return carved
    return None


def _payload_length(page: bytes, start: int) -> int | None:
    """The length the record header gives the payload; `None` = that is no blob of ours."""
    end = start + page[start]
    kind, after = _varint(page, start + _FIXED)
    if (
        after != end or kind < 12 or kind % 2 or (kind - 12) // 2 > MAX_PAYLOAD
    ):  # blobs have even types from 12
        return None
    return (kind - 12) // 2


def _row_id(page: bytes, start: int, total: int) -> int | None:
    """The id that stands between the cell's length, which we know, and the record header."""
    size = _encode_varint(total)
    for width in range(1, 10):
        begin = start - width - len(size)
        if begin >= 0 and page[begin : start - width] == size:
            number, after = _varint(page, start - width)
            if after == start:
                return number
    return None


@lru_cache(maxsize=4096)
def _spans(types: bytes) -> tuple[list[tuple[int, int, int]], int]:
    """Where each integer's bytes lie and what to add to them (type 9 is the constant 1), and where all end."""
    ends = list(itertools.accumulate(_SIZES[kind] for kind in types))
    begins = [0, *ends]
    return [(begin, end, kind == _ONE) for begin, end, kind in zip(begins, ends, types, strict=False)], ends[
        -1
    ]


def _payload(here: bytes, left: int, following: int, lookup: Lookup) -> bytes | None:
    """Put a payload together from its part in the leaf and `left` bytes in the pages from `following` on."""
    parts = [here]
    while left > 0:
        more = lookup(following)
        if more is None or len(more) < 8:  # a page number and something after it
            return None
        parts.append(more[4 : 4 + left])
        left -= len(parts[-1])
        following = int.from_bytes(more[:4], "big")
    return b"".join(parts)


def _believed(number: int, numbers: list[int], payload: bytes) -> Carved | None:
    source_id, conn, seq, wall, mono, direction, opcode, flags, crc = numbers
    message = Message("", direction, opcode, payload, wall, mono, conn, seq, flags)
    try:
        fits = checksum(number, source_id, message) == crc
    except Exception:  # noqa: BLE001 - numbers out of range: no row of ours
        fits = False
    return Carved(number, source_id, message) if fits else None


def _local_size(total: int, page_size: int) -> int:
    """How much of a record of `total` bytes stands in the leaf page itself."""
    most = page_size - 35
    if total <= most:
        return total
    least = (page_size - 12) * 32 // 255 - 23
    size = least + (total - least) % (page_size - 4)
    return size if size <= most else least


def _varint(page: bytes, position: int) -> tuple[int, int]:
    """The number at a position, and the position after it."""
    value = 0
    for offset in range(8):
        byte = page[position + offset] if position + offset < len(page) else 0
        value = value << 7 | byte & 0x7F
        if byte < 0x80:  # the highest bit says that more follows
            return value, position + offset + 1
    last = page[position + 8] if position + 8 < len(page) else 0
    value = value << 8 | last
    return value - (1 << 64) if value >> 63 else value, position + 9


def _encode_varint(value: int) -> bytes:
    """Of numbers below 2**28, which is far above any record of ours."""
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(value & 0x7F | 0x80)
    return bytes(reversed(parts))
