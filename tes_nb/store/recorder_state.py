"""The recorder's visible states, and which of them an error of SQLite or the operating system means."""

from __future__ import annotations

import errno
import os
import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LITTLE = 2**20
"""Bytes: with less than this free, a failed write means a full disk."""
_READ_ONLY_ERRORS = (errno.EROFS, errno.EACCES, errno.EPERM)


class RecorderState(StrEnum):
    """What a recorder does now. All but STOPPED end by themselves when their cause goes away."""

    RECORDING = "RECORDING"
    DISK_FULL = "DISK FULL"
    READ_ONLY = "READ-ONLY"
    FILE_REMOVED = "FILE REMOVED"
    WRITE_ERROR = "WRITE ERROR"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True)
class RecorderStatus:
    """A state and the sentence that a user reads."""

    state: RecorderState
    text: str


class FileRemoved(Exception):
    """The session file is no longer where it was made."""


def diagnose(error: Exception, session: Path) -> RecorderStatus:
    """Return what a failed write of the session file means."""
    if isinstance(error, FileRemoved | FileExistsError) or not session.parent.exists():
        return RecorderStatus(RecorderState.FILE_REMOVED, _removed_text(session))
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    number = getattr(error, "errno", None)
    writing = code == sqlite3.SQLITE_IOERR
    if (
        code == sqlite3.SQLITE_FULL
        or number in (errno.ENOSPC, errno.EDQUOT)
        or (writing and _is_full(session))
    ):
        return RecorderStatus(
            RecorderState.DISK_FULL,
            f"The disk of {session.parent} is full: what was recorded is safe. "
            "Free some space there and the recording goes on by itself.",
        )
    if code == sqlite3.SQLITE_READONLY or number in _READ_ONLY_ERRORS or _is_read_only(session):
        return RecorderStatus(
            RecorderState.READ_ONLY,
            f"{session} can no longer be written to: what was recorded is safe. "
            "Make it writable and the recording goes on by itself.",
        )
    return RecorderStatus(
        RecorderState.WRITE_ERROR,
        f"Writing {session.name} failed ({error}): what was recorded is safe. "
        "It is tried again twice a second; look at the disk, or stop and record elsewhere.",
    )


def _removed_text(session: Path) -> str:
    if not session.parent.exists():
        return (
            f"The folder {session.parent} was removed: make it again and the recording returns there, whole."
        )
    if session.exists():
        return f"Another file has taken the name {session.name}: move it away and the recording returns there, whole."
    return f"{session.name} was moved or removed while it was recorded: it is being written again, whole."


def _is_full(session: Path) -> bool:
    try:
        disk = os.statvfs(session.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _LITTLE


def _is_read_only(session: Path) -> bool:
    try:
        return bool(os.statvfs(session.parent).f_flag & os.ST_RDONLY)
    except OSError:
        return False
