"""The files of a session on the disk: made for their owner alone, copied whole, removed together."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
from pathlib import Path

import msgspec

from tes_nb.errors import SessionError
from tes_nb.model import Direction, Message, Opcode
from tes_nb.store.session.rows import to_row
from tes_nb.store.session.schema import (
    MESSAGE_COLUMNS,
    SESSION_SOURCE,
    FactRecord,
    encode_record,
    message_table,
)
from tes_nb.store.session.small_tables import RowWriter, snapshot, stored_sums

_FULL = (errno.ENOSPC, errno.EDQUOT)


def wal_path(session: Path) -> Path:
    """Return where SQLite keeps the write-ahead log of a session."""
    return session.with_name(session.name + "-wal")


def make_private(path: Path) -> None:
    """Make an empty file that only its owner may read, as SQLite's files beside it then are, too.

    Raises `OSError`, also where there is a file.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def remove(session: Path) -> None:
    """Remove a session that nobody needs, with the files beside it."""
    for end in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(OSError):
            session.with_name(session.name + end).unlink()


def is_full(error: Exception) -> bool:
    """Whether a disk had no room."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in _FULL


def backup(connection: sqlite3.Connection, target: Path) -> sqlite3.Connection:
    """Copy what a connection sees at this moment into a new file, with SQLite's own means; return it, open.

    Raises `OSError` and `sqlite3.Error`, and leaves nothing then.
    """
    make_private(target)
    fresh = sqlite3.connect(target, isolation_level=None, check_same_thread=False)
    try:
        with snapshot(connection):
            connection.execute("SELECT count(*) FROM sources").fetchone()
            connection.backup(fresh)
        fresh.execute("PRAGMA journal_mode=DELETE")
    except BaseException:
        fresh.close()
        remove(target)
        raise
    return fresh


def save_copy(connection: sqlite3.Connection, target: Path, *, running: bool) -> Path:
    """Write a session of its own of all that was recorded until now; return its path.

    running: it is being recorded, which the copy says. Raises `SessionError` where it cannot be written, or where there
    is a file.
    """
    if target.exists():
        raise SessionError(
            f"{target} exists already: a copy overwrites nothing; choose another name or remove it."
        )
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        with contextlib.closing(backup(connection, part)) as fresh:
            if running:
                _note_copy(fresh)
        part.rename(target)
    except (OSError, sqlite3.Error) as error:
        remove(part)
        why = "the disk is full" if is_full(error) else error
        raise SessionError(
            f"Nothing was copied to {target} ({why}): choose a folder with room that you may write to."
        ) from error
    return target


def _note_copy(fresh: sqlite3.Connection) -> None:
    """Say in the copy that the recording went on, as a fact and in the session's own log."""
    stored = stored_sums(fresh)
    if stored is None:
        return
    value = msgspec.json.encode({"wall_ns": time.time_ns()})
    (last_id,) = fresh.execute("SELECT max(last_id) FROM segments").fetchone()
    log = message_table(SESSION_SOURCE)
    log_id, seq = fresh.execute(f"SELECT max(id), max(seq) FROM {log}").fetchone()  # noqa: S608 - ours
    record = encode_record(FactRecord("copied", msgspec.Raw(value)))
    message = Message("", Direction.IN, Opcode.EVENT, record, time.time_ns(), 0, 0, (seq or 0) + 1)
    row = to_row(max(last_id or 0, log_id or 0) + 1, SESSION_SOURCE, message)
    rows = RowWriter(stored)
    fresh.execute("BEGIN")
    fresh.execute(f"INSERT INTO {log} VALUES ({', '.join('?' * len(MESSAGE_COLUMNS))})", row)  # noqa: S608
    rows.put(fresh, "facts", ("copied", value.decode()))
    rows.finish(fresh)
    fresh.execute("COMMIT")
