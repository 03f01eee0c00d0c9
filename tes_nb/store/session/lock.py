"""One writer a file: a lock that the operating system drops when its process dies, however it dies.

The lock lies in a file beside the session (`friday.tes.lock`, which holds the owner's pid), never on the session
itself: closing any other handle of a file drops all POSIX locks a process holds on it, SQLite's own included.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
import time
from pathlib import Path
from weakref import WeakValueDictionary

from tes_nb.errors import SessionError, no_posix
from tes_nb.store.session.files import is_full

try:
    import fcntl
except ImportError:  # Windows: recordings are read there, and written elsewhere
    HAS_LOCKS = False
else:
    HAS_LOCKS = True

_held: dict[tuple[int, Path], int] = {}
"""This process's pid and a session it writes → the lock's descriptor. POSIX locks do not exclude their own process;
by the pid a forked child sees that they are not its own."""
_guards: WeakValueDictionary[Path, _Guard] = WeakValueDictionary()
"""One for each session in use: a disk that hangs does not block recordings elsewhere."""
_guarding = threading.Lock()
_TAKEN = (errno.EACCES, errno.EAGAIN)
_RESERVE = 128 * 1024
"""Bytes that the lock's file takes: room that is given back where a recording ends on a full disk (decision 0020)."""


class _Guard:
    """Lets one thread at a time open and close the lock of a session."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


def _guard(session: Path) -> _Guard:
    with _guarding:
        guard = _guards.get(session)
        if guard is None:
            guard = _guards[session] = _Guard()
        return guard


class WriterLock:
    """Held from construction to `release`. Raises `SessionError`, naming the owner, when another holds it."""

    def __init__(self, session: Path) -> None:
        if not HAS_LOCKS:
            raise SessionError(no_posix("Recording"))
        self.session = _real(session)
        self._key = os.getpid(), self.session
        guard = _guard(self.session)
        with guard.lock:
            if self._key in _held:
                raise _refused(session, os.getpid())
            _held[self._key] = self._acquire(session)

    def _acquire(self, session: Path) -> int:
        path = lock_path(self.session)
        while True:
            descriptor, made = _open(path, session)
            if not (made or _is_lock(descriptor)):
                os.close(descriptor)
                raise _not_ours(path, session)
            try:
                _lock(descriptor)
                if _same_file(descriptor, path):
                    _sign(descriptor)
                    return descriptor
            except BaseException as error:
                owner = _read_pid(descriptor)
                os.close(descriptor)
                if made and not (isinstance(error, OSError) and error.errno in _TAKEN):
                    path.unlink(missing_ok=True)
                if isinstance(error, OSError):
                    raise _not_locked(session, owner, error) from None
                raise
            os.close(descriptor)  # the former owner removed it between our open and our lock

    def give_room(self) -> None:
        """Free the space that the lock's file reserves, for the end record of a recording on a full disk."""
        with contextlib.suppress(OSError, KeyError):
            os.ftruncate(_held[self._key], len(_signature()))

    def renew(self) -> None:
        """Lock again where the lock's own file was removed with its folder. Raises `SessionError` as at first."""
        guard = _guard(self.session)
        with guard.lock:
            descriptor = _held[self._key]
            if not _same_file(descriptor, lock_path(self.session)):
                _held[self._key] = self._acquire(self.session)
                os.close(descriptor)

    def release(self) -> None:
        """Give the file free. Does nothing the second time, and nothing in a forked child."""
        if os.getpid() != self._key[0]:
            return
        guard = _guard(self.session)
        with guard.lock:
            descriptor = _held.pop(self._key, None)
            if descriptor is not None:
                if _same_file(descriptor, lock_path(self.session)):
                    lock_path(self.session).unlink(missing_ok=True)
                os.close(descriptor)


def owner_of(session: Path) -> int | None:
    """Return the pid of the process that writes this session, or `None` when none does.

    0 = one does, but does not say which. Where nothing can be locked, none writes.
    """
    if not HAS_LOCKS:
        return None
    real = _real(session)
    guard = _guard(real)
    with guard.lock:
        if (os.getpid(), real) in _held:
            return os.getpid()
        try:
            descriptor = os.open(lock_path(real), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return _read_pid(descriptor) or 0
        else:
            return None
        finally:
            os.close(descriptor)


def lock_path(session: Path) -> Path:
    """Return where the lock of a session lies."""
    return session.with_name(session.name + ".lock")


def _real(session: Path) -> Path:
    return session.resolve()


def _open(path: Path, session: Path) -> tuple[int, bool]:
    """Open or make the lock's file, and return whether it was made."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        while True:
            with contextlib.suppress(FileExistsError):
                return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600), True
            with contextlib.suppress(FileNotFoundError):  # it was removed meanwhile
                return os.open(path, flags), False
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise _not_ours(path, session) from None
        raise _not_made(session, error) from error


def _not_ours(path: Path, session: Path) -> SessionError:
    return SessionError(
        f"{session.name} cannot be recorded: {path} is there and is no lock of a recording. "
        "Move it away, or choose another name."
    )


def _is_lock(descriptor: int) -> bool:
    """Whether a file holds a pid and zeros, or nothing, and has one name: anything else is another program's."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        return False
    head = os.pread(descriptor, _RESERVE + 1, 0).rstrip(b"\0")
    return not head or head.strip().isdigit()


def _signature() -> bytes:
    return b"%d\n" % os.getpid()


def _sign(descriptor: int) -> None:
    """Write our pid, and hold room for what a recording must write when the disk is full."""
    os.pwrite(descriptor, _signature().ljust(_RESERVE, b"\0"), 0)
    os.ftruncate(descriptor, _RESERVE)


def _lock(descriptor: int) -> None:
    """Take the lock; a few tries, because `owner_of` in another process holds it for an instant."""
    for last in (False, False, True):
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if last or error.errno not in _TAKEN:
                raise
            time.sleep(0.01)
        else:
            return


def _same_file(descriptor: int, path: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    return False


def _read_pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, 20, 0).rstrip(b"\0").strip()
    return int(text) if text.isdigit() else None


def _not_locked(session: Path, owner: int | None, error: OSError) -> SessionError:
    if error.errno in _TAKEN:
        return _refused(session, owner)
    if is_full(error):
        return _not_made(session, error)
    return SessionError(
        f"{session.name} cannot be locked ({error.strerror}): the file system of its folder has no locks. "
        "Record into a folder on a local disk."
    )


def _not_made(session: Path, error: OSError) -> SessionError:
    if is_full(error):
        return SessionError(
            f"{session.name} cannot be recorded in {session.parent}: the disk is full. "
            "Free some space there, or record elsewhere."
        )
    return SessionError(
        f"{session.name} cannot be recorded in {session.parent} ({error.strerror}): "
        "choose a folder that you may write to."
    )


def _refused(session: Path, owner: int | None) -> SessionError:
    who = f"process {owner}" if owner else "another process"
    if owner == os.getpid():
        who = f"this process (pid {owner})"
    return SessionError(
        f"{session.name} is being recorded by {who} already: stop that recording, or choose another name."
    )
