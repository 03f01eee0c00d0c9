"""Open a session file for reading, whoever made it and wherever it lies, or say in a sentence why that cannot be."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from pathlib import Path
from urllib.parse import quote

from tes_nb.errors import SessionError
from tes_nb.store.session.files import wal_path
from tes_nb.store.session.schema import MAX_LENGTH, verify

_NOT_HERE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
"""What SQLite says where it may not put its shared memory beside the file."""
_STRICT = ("cell_size_check=ON",)
_LENIENT = ("cell_size_check=OFF", "writable_schema=ON")
"""With a writable schema SQLite also opens a file that was cut off, and reads what is left of a damaged schema."""


def refuse_what_is_no_file(path: Path) -> None:
    """Raise `SessionError` for what is recognised without opening it: nothing, a folder, an empty file."""
    if path.is_dir():
        raise SessionError(
            f"{path} is a folder, not a session: name the file in it, for example {path / 'NAME.tes'}."
        )
    try:
        size = path.stat().st_size
    except OSError as error:
        raise SessionError(
            f"{path} cannot be opened ({error.strerror}): check the name and the folder."
        ) from error
    if size == 0:
        raise SessionError(
            f"{path} is empty (0 bytes): the recording ended before its first message, or the copy failed. "
            "Nothing is lost by removing it."
        )


def refuse_other_formats(path: Path) -> None:
    """Raise `SessionError` for a file that begins like something else that people have.

    Only for what SQLite cannot read: closing any handle of a file drops the locks that SQLite holds on it.
    """
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise SessionError(f"{path} cannot be read ({error.strerror}): check its permissions.") from error
    if head.startswith((b"{", b"\xef\xbb\xbf{")):
        raise SessionError(f"{path} is JSON, not a session: if it is a HAR file, give it the ending .har.")
    if head.startswith((b"\x28\xb5\x2f\xfd", b"\x54\x2a\x4d\x18")):
        raise SessionError(f"{path} is compressed: if a session is in it, give it the ending .tes.zst.")
    if head.startswith((b"PK\x03\x04", b"\x1f\x8b")):
        raise SessionError(f"{path} is a compressed archive: unpack it and open the session inside.")


def connect(path: Path, cleanup: contextlib.ExitStack, *, damaged: bool = False) -> sqlite3.Connection:
    """Return a read-only connection to a verified session; `cleanup` closes it and removes what it needed.

    Raises `SessionError` for another program's file or a newer format, `sqlite3.DatabaseError` for a damaged one,
    unless `damaged`: then SQLite reads past what is wrong as far as it can. Nothing is verified, so that only plain
    columns of tables can be read: no view, trigger or function of a stranger's.
    """
    try:
        return _connect(path, "mode=ro", path.name, cleanup, damaged=damaged)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _NOT_HERE:
            raise
    wal = wal_path(path)
    if not wal.exists() or wal.stat().st_size == 0:
        return _connect(path, "immutable=1", path.name, cleanup, damaged=damaged)
    # A read-only place with a log that was never folded in: only a copy can be opened.
    folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="tes_nb-")))
    copy = folder / path.name
    shutil.copyfile(path, copy)
    shutil.copyfile(wal, wal_path(copy))
    return _connect(copy, "mode=ro", path.name, cleanup, damaged=damaged)


def connect_without_log(path: Path, cleanup: contextlib.ExitStack) -> sqlite3.Connection:
    """Return a connection to a damaged session as it is without what its write-ahead log adds."""
    return _connect(path, "immutable=1", path.name, cleanup, damaged=True)


def _authorise(action: int, _: str | None, function: str | None, __: str | None, inside: str | None) -> int:
    plain = action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_PRAGMA) and inside is None
    ours = action == sqlite3.SQLITE_FUNCTION and function in ("coalesce", "max", "min", "sum")
    return sqlite3.SQLITE_OK if plain or ours else sqlite3.SQLITE_DENY


def _connect(
    path: Path, how: str, name: str, cleanup: contextlib.ExitStack, *, damaged: bool
) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path.resolve()))}?{how}",
        uri=True,
        isolation_level=None,
        timeout=5.0,
        check_same_thread=False,
    )
    connection.text_factory = _text
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_LENGTH)
        for pragma in (
            "trusted_schema=OFF",
            "query_only=ON",
            "mmap_size=0",
            *(_LENIENT if damaged else _STRICT),
        ):
            connection.execute(f"PRAGMA {pragma}")
        if damaged:
            connection.set_authorizer(_authorise)
        else:
            verify(connection, name)
    except UnicodeDecodeError as error:  # what SQLite says of a damaged schema quotes it
        connection.close()
        raise sqlite3.DatabaseError("malformed database schema") from error
    except BaseException:
        connection.close()
        raise
    cleanup.callback(connection.close)
    return connection


def _text(raw: bytes) -> str:
    """Damaged text is shown as far as it is text; what must be exact has a checksum."""
    return raw.decode("utf-8", "replace")
