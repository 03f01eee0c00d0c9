"""Writes a session file, one transaction a call: all that was given is in the file, or nothing of it is.

It knows no threads, queues or states; the recorder does. Imports use it directly.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import sqlite3
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tes_nb.errors import SessionError
from tes_nb.model import Message
from tes_nb.store.session.batch import Batch, SourceState
from tes_nb.store.session.files import backup, is_full, make_private, remove, wal_path
from tes_nb.store.session.rows import writable
from tes_nb.store.session.schema import PAGE_SIZE, VERSION, Item, create
from tes_nb.store.session.small_tables import RowWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tes_nb.store.session.small_tables import TableSum

_PATIENCE_MS = 1000
_LOG_BYTES = 16 * 2**20
"""What stays of a write-ahead log that has grown beyond it, because a reader read for long, once it begins anew."""
_UNWRITABLE = (struct.error, TypeError, ValueError, OverflowError)
"""What a message raises that no session can hold: numbers out of range, a payload too long."""


@dataclass(frozen=True, slots=True)
class Committed:
    """How far a source is safely in the file."""

    seq: int
    """The sequence number of the last message."""
    messages: int


@dataclass(frozen=True, slots=True)
class Appended:
    """The outcome of one `append`."""

    committed: Mapping[str, Committed]
    """The sources that this call touched."""
    refused: list[Message]
    """What no session file can hold."""


class SessionWriter:
    """A new session file, open for writing.

    Raises `SessionError` when the file exists already or cannot be made. `time` is (wall ns, monotonic ns) of the
    beginning.
    """

    def __init__(self, path: Path, *, time: tuple[int, int] = (0, 0)) -> None:
        self.path = path
        self._time = time
        self._next_id = 1
        self._log_seq = 0
        self._sources: dict[str, SourceState] = {}
        self._sums: Mapping[str, TableSum] | None = None
        self._folded = False
        """Whether the first commit is in the file itself, and not in its log alone."""
        self._connection = _create(path)
        self._file = _identity(path)

    def append(self, items: Sequence[Item], *, sync: bool = False) -> Appended:
        """Commit the items in this order. `sync` also waits until the disk has them.

        Raises `sqlite3.Error` when the file cannot take them: then none of them is in it, and the same call may be
        tried again.
        """
        try:
            return self._append(items, sync=sync)
        except _UNWRITABLE:
            good = [not isinstance(item, Message) or writable(item) for item in items]
            if all(good):
                raise
        outcome = self._append(list(itertools.compress(items, good)), sync=sync)
        refused = [item for item, is_good in zip(items, good, strict=True) if not is_good]
        return Appended(
            outcome.committed, [one for one in refused if isinstance(one, Message)] + outcome.refused
        )

    def _append(self, items: Sequence[Item], *, sync: bool) -> Appended:
        numbers = itertools.count(self._next_id)
        batch = Batch(self._sources, numbers, self._log_seq, self._time, RowWriter(self._sums))
        batch.add(items)
        with self._transaction(sync=sync):
            batch.write(self._connection)
        self._next_id = next(numbers)
        self._log_seq, self._time = batch.log_seq, batch.time
        self._sources.update(batch.sources)
        self._sums = batch.rows.sums
        if not self._folded:
            # Whatever becomes of the log: that there was one can be seen from the file alone (`damage.log_is_cut`).
            with contextlib.suppress(
                sqlite3.Error
            ):  # a full disk; what is committed is, and must not be written again
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                self._folded = True
        committed = {name: Committed(state.last_seq, state.messages) for name, state in batch.sources.items()}
        return Appended(committed, batch.refused)

    @contextlib.contextmanager
    def _transaction(self, *, sync: bool) -> Iterator[None]:
        """One commit. In WAL mode only `FULL` waits for the disk; `NORMAL` is safe against a killed process."""
        execute = self._connection.execute
        if sync:
            execute("PRAGMA synchronous=FULL")
        try:
            execute("BEGIN IMMEDIATE")
            yield
            execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise
        finally:
            if sync:
                execute("PRAGMA synchronous=NORMAL")

    def sync(self) -> None:
        """Wait until the disk has everything that was committed. Raises `sqlite3.Error` when it cannot."""
        with self._transaction(sync=True):
            self._connection.execute(f"PRAGMA user_version={VERSION}")  # a commit syncs only if it writes

    @property
    def messages(self) -> dict[str, int]:
        """Source → messages in the file."""
        return {name: state.messages for name, state in self._sources.items()}

    @property
    def size(self) -> int:
        """Bytes of the session file once everything is in it."""
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        return int(pages) * PAGE_SIZE

    @property
    def sizes(self) -> tuple[int, int]:
        """Bytes of the file and of its write-ahead log as they are on the disk. Raises `OSError`."""
        return self.path.stat().st_size, wal_path(self.path).stat().st_size

    @property
    def in_place(self) -> bool:
        """Whether the file, and its write-ahead log, still lie where they were made."""
        try:
            return _identity(self.path) == self._file and wal_path(self.path).exists()
        except OSError:
            return False

    def make_room(self) -> None:
        """Give back what the write-ahead log takes, as far as readers and a full disk let that be done now."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA busy_timeout=0")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._connection.execute(f"PRAGMA user_version={VERSION}")  # so that there is a log again
        self._connection.execute(f"PRAGMA busy_timeout={_PATIENCE_MS}")

    def restore(self) -> None:
        """Make the session whole again at its path after one of its files was moved or removed.

        An open file outlives its name, so nothing is lost yet. Raises `OSError` or `sqlite3.Error` while it
        cannot be done, for example because the folder is gone too, or another file has taken the name.
        """
        if self.path.exists() and _identity(self.path) == self._file:
            self._renew_log()
            return
        if self.path.exists():
            raise FileExistsError(errno.EEXIST, "another file has taken its name", str(self.path))
        copy = self.path.with_name(self.path.name + ".restoring")
        copy.unlink(missing_ok=True)
        backup(self._connection, copy).close()
        # Only now: closing removes whatever log lies at our path, and it must not be the new one's.
        self._connection.close()
        copy.rename(self.path)
        self._connection = _connect(self.path)
        _set_up(self._connection)
        self._file = _identity(self.path)

    def _renew_log(self) -> None:
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.execute("PRAGMA journal_mode=DELETE")
        _set_up(self._connection)

    def close(self) -> None:
        """Fold the log into the file, so that a session at rest is one file which read-only places can hold."""
        with contextlib.suppress(sqlite3.Error):  # a reader that is still open: the log stays beside the file
            self._connection.execute("PRAGMA journal_mode=DELETE")
        self._connection.close()


def _create(path: Path) -> sqlite3.Connection:
    if path.exists() and (not path.is_file() or path.stat().st_size):
        if not path.is_file():
            raise SessionError(f"{path} is no file: choose another name or remove it.")
        raise SessionError(
            f"{path} exists already: recordings are not overwritten without overwrite=True; "
            "choose another name or remove it."
        )
    made = False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            make_private(path)
            made = True
        connection = _connect(path)
        try:
            create(connection)
            _set_up(connection)
        except BaseException:
            connection.close()
            raise
    except (OSError, sqlite3.Error) as error:
        if made:
            remove(path)  # else it would stand in the way of a second try
        raise _cannot_create(path, error) from error
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        path,
        isolation_level=None,
        timeout=_PATIENCE_MS / 1000,
        check_same_thread=False,
        cached_statements=1024,
    )


def _set_up(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA journal_size_limit={_LOG_BYTES}")
    connection.execute(f"PRAGMA user_version={VERSION}")  # writes, so that the log exists from now on


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _cannot_create(path: Path, error: Exception) -> SessionError:
    if is_full(error):
        return SessionError(
            f"{path.name} cannot be made in {path.parent}: the disk is full. "
            "Free some space there, or record elsewhere."
        )
    why = error.strerror if isinstance(error, OSError) else str(error)
    return SessionError(
        f"{path.name} cannot be made in {path.parent} ({why}): choose a folder on a local disk that you may write to."
    )
