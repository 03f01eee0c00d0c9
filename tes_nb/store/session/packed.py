"""Compressed session files, `friday.tes.zst`: one zstd frame that `zstd -d` undoes, with a note in front of it.

The note is a skippable frame, which every decoder passes over: what the file is can be read without decompressing it.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import msgspec

from tes_nb.errors import SessionError
from tes_nb.store.session.files import is_full, make_private

SUFFIX_PACKED = ".zst"
PART = ".part"
"""What is not yet whole ends so, and begins with a dot."""
_NOTE = struct.Struct("<II")
_NOTE_MAGIC = 0x184D2A54
"""One of the sixteen of skippable frames (RFC 8878, 3.1.2)."""
_MOST_NOTE = 2**16
_CHUNK = 2**20
_LEVEL = 3


def zstd() -> ModuleType:
    """Return the module that compresses: Python's own, or the package. Raises `SessionError` where there is neither."""
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    try:
        return import_module(name)
    except ImportError as error:
        raise SessionError(
            'Compressed session files need a package that is not installed: pip install "tes-nb[zstd]".'
        ) from error


def is_packed(path: Path) -> bool:
    """Whether the name says that it is compressed."""
    return path.suffix.lower() == SUFFIX_PACKED


def packed_path(session: Path) -> Path:
    """Return where the compressed form of a session lies."""
    return session.with_name(session.name + SUFFIX_PACKED)


def part_path(packed: Path) -> Path:
    """Return what a compressed file is called until it is whole."""
    return packed.with_name(f".{packed.name}{PART}")


def pack(session: Path, note: Any, *, wanted: Callable[[], bool] = lambda: True) -> Path | None:
    """Put a compressed file in the place of a session that is not being written and has no log; return its path.

    The session is removed once the other has been read back and is on the disk: whatever ends this process, one of both
    is whole. The file has the session's time. note: what JSON can say. wanted: asked again and again; False = leave it,
    then `None` is returned. Raises `OSError`, and leaves the session alone then.
    """
    target = packed_path(session)
    part = part_path(target)
    try:
        with suppress(FileNotFoundError):
            part.unlink()
        make_private(part)
        if not _write(session, part, note, wanted) or not _is_copy(session, part, wanted):
            return None
        status = session.stat()
        os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))
        part.replace(target)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    _sync_folder(target.parent)
    session.unlink()
    return target


def _write(session: Path, part: Path, note: Any, wanted: Callable[[], bool]) -> bool:
    module = zstd()
    parameter = module.CompressionParameter
    compressor = module.ZstdCompressor(
        options={parameter.compression_level: _LEVEL, parameter.checksum_flag: 1}
    )
    text = msgspec.json.encode(note)
    with session.open("rb") as source, part.open("wb") as target:
        target.write(_NOTE.pack(_NOTE_MAGIC, len(text)) + text)
        while chunk := source.read(_CHUNK):
            if not wanted():
                return False
            target.write(compressor.compress(chunk))
        target.write(compressor.flush())
        target.flush()
        os.fsync(target.fileno())
    return True


def _is_copy(session: Path, part: Path, wanted: Callable[[], bool]) -> bool:
    """Read it back. Raises `OSError` where it is another."""
    module = zstd()
    with session.open("rb") as source, part.open("rb") as raw, module.open(raw, "rb") as copy:
        try:
            same = _sum_of(copy, wanted) == _sum_of(source, wanted)
        except (EOFError, module.ZstdError):
            same = False
    if not wanted():
        return False
    if not same:
        raise OSError(f"what was written of {session.name} reads back as something else")
    return True


def _sum_of(file: IO[bytes], wanted: Callable[[], bool]) -> tuple[int, int]:
    size = crc = 0
    while wanted() and (chunk := file.read(_CHUNK)):
        size, crc = size + len(chunk), zlib.crc32(chunk, crc)
    return size, crc


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # some file systems know no such thing
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def note_of(packed: Path) -> Any:
    """Return the note in a compressed file; `None` = it has none."""
    try:
        with packed.open("rb") as file:
            magic, size = _NOTE.unpack(file.read(_NOTE.size))
            return (
                msgspec.json.decode(file.read(size)) if magic == _NOTE_MAGIC and size < _MOST_NOTE else None
            )
    except (OSError, struct.error, msgspec.MsgspecError):
        return None


def unpack(packed: Path, target: Path) -> str:
    """Write the session in a compressed file to `target`; return what is wrong with it, "" = nothing.

    Of a damaged file what comes before the damage is written. Raises `SessionError` where there is nothing at all, no
    room, or nothing to decompress with.
    """
    module = zstd()
    make_private(target)
    wrong = ""
    size = 0
    try:
        with packed.open("rb") as raw, module.open(raw, "rb") as source, target.open("wb") as copy:
            try:
                while chunk := source.read1(_CHUNK):  # what comes before damage comes out
                    size += copy.write(chunk)
            except (EOFError, module.ZstdError) as error:
                wrong = (
                    f"{packed.name} is damaged or cut off ({error}): what follows {size:,} bytes is missing."
                )
    except OSError as error:
        why = "there is no room for it" if is_full(error) else error.strerror or error
        raise SessionError(
            f"{packed.name} cannot be decompressed into {target.parent} ({why}): make room there, or set TMPDIR."
        ) from error
    if not size:
        raise SessionError(
            f"{packed.name} is no compressed session, or nothing of it can be read. {wrong}".rstrip()
        )
    return wrong
