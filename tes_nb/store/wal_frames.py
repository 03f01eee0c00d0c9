"""Read SQLite's write-ahead log by hand: which pages it holds, and whether damage hides committed ones.

SQLite stops at the first frame whose checksum does not fit. After a killed process that is the end of the log;
if committed frames follow, it is damage, and SQLite would silently leave them out.
The layout is that of SQLite's file format, "The WAL File Format".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAGIC = 0x377F0682
HEADER = 32
_FRAME = 24
_PAGE_SIZES = tuple(2**power for power in range(9, 17))


@dataclass(frozen=True, slots=True)
class Frame:
    """One page as a transaction left it."""

    page: int
    """The page's number."""
    offset: int
    """Where the page's bytes lie in the log."""
    commits: bool
    """Whether a transaction ends here."""
    salts: bytes
    """The same in all frames of one generation of the log."""


def frames(path: Path, page_size: int) -> Iterator[Frame]:
    """Yield every whole frame of a log, old generations and damaged ones included. No log = no frames."""
    try:
        size = path.stat().st_size
        file = path.open("rb")
    except OSError:
        return
    with file:
        for offset in range(HEADER, size - page_size - _FRAME + 1, page_size + _FRAME):
            file.seek(offset)
            page, commit, salts = struct.unpack(">II8s", file.read(16))
            yield Frame(page, offset + _FRAME, bool(commit), salts)


def hides_commits(path: Path) -> bool:
    """Whether the log is damaged such that SQLite would leave out transactions that were committed."""
    try:
        with path.open("rb") as file:
            return _hides_commits(file, path)
    except OSError:
        return False


def _hides_commits(file: BinaryIO, path: Path) -> bool:
    header = file.read(HEADER)
    if len(header) < HEADER:
        return False
    magic, _, page_size = struct.unpack(">III", header[:12])
    sums = struct.unpack(">II", header[24:])
    order = ">" if magic & 1 else "<"
    whole = magic & ~1 == _MAGIC and page_size in _PAGE_SIZES
    if not whole or _checksum(header[:24], (0, 0), order) != sums:
        return path.stat().st_size > HEADER
    broken = False
    for frame in frames(path, page_size):
        ours = frame.salts == header[16:24]  # else left over from an older generation, or damaged
        if broken or not ours:
            broken = True
            if ours and frame.commits:
                return True
            continue
        file.seek(frame.offset - _FRAME)
        head, page = file.read(_FRAME), file.read(page_size)
        sums = _checksum(head[:8] + page, sums, order)
        broken = sums != struct.unpack(">II", head[16:])
    return False


def _checksum(data: bytes, start: tuple[int, ...], order: str) -> tuple[int, int]:
    first, second = start
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for even, odd in zip(words, words, strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
