"""The writer's thread of a recording: takes groups from the queue, commits them, goes on after failures of the disk."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import msgspec

from tes_nb.errors import SessionError
from tes_nb.model import Message
from tes_nb.store.session.queue import Loss
from tes_nb.store.session.schema import Fact, FileGap, Item
from tes_nb.store.session.writer import Committed, SessionWriter
from tes_nb.wire.events import Gap

if TYPE_CHECKING:
    from pathlib import Path

    from tes_nb.store.session.lock import WriterLock
    from tes_nb.store.session.queue import MessageQueue


_LITTLE = 2**20
"""Bytes: with less than this free, a failed write means a full disk."""
_SMALL_LOG = 128 * 1024
"""Bytes: what a log of this size takes is not worth the work on a small disk."""
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


log = logging.getLogger(__name__)

GROUP = 16_384
"""The most messages of one commit."""
SPACING_S = 0.002
"""Commits follow each other no closer than this, so that a fast stream comes in groups."""
SYNC_S = 0.8
"""After a commit the disk has it within a second at the latest; the rest is room for a slow machine."""
RETRY_S = 0.5
"""Between two tries to write, while writing fails."""
LOOK_S = 0.25
"""How often the file's place is looked at when there is nothing to write."""

OnState = Callable[[RecorderStatus], None]
OnCommit = Callable[[Mapping[str, Committed]], None]
_News = TypeVar("_News")
_FAILURES = (sqlite3.Error, OSError, FileRemoved, SessionError)


class RecorderLoop:
    """Everything the writer's thread owns. The attributes may be read from any thread."""

    def __init__(
        self,
        queue: MessageQueue,
        writer: SessionWriter,
        lock: WriterLock,
        size_limit: int,
        *,
        on_state: OnState | None,
        on_commit: OnCommit | None,
    ) -> None:
        self._queue, self._writer, self._lock = queue, writer, lock
        self._path, self._size_limit = writer.path, size_limit
        self._on_state, self._on_commit = on_state, on_commit
        self._unsynced_since: float | None = None
        self._last_commit = 0.0
        self._outage: tuple[int, int, int] | None = None
        self._loss: Loss | None = None
        self._last_written_ns: int | None = None
        self._in_hand: list[Item] = []
        self._ending = f"Stopped recording {writer.path.name}"
        self.status = RecorderStatus(RecorderState.RECORDING, f"Recording {writer.path.name}.")
        self.committed: Mapping[str, Committed] = MappingProxyType({})
        self.size = writer.size
        self.lost = 0
        """Messages that the queue had accepted but that could not be written."""

    def run(self) -> None:
        """Write until nothing comes any more and the queue is empty; then close the file."""
        try:
            while self._step():
                pass
        except Exception as error:  # the thread must not end silently
            log.exception("The recorder of %s failed", self._path.name)
            self._ending = f"The recording of {self._path.name} ended by an error of its own ({error!r})"
            self._drop([*self._in_hand, *self._queue.take(len(self._queue))], self._ending)
            with contextlib.suppress(Exception):
                self._finish()
        finally:
            self._queue.close()
            self._writer.close()
            self._lock.release()
            self._enter(RecorderStatus(RecorderState.STOPPED, self._last_words()))

    def _step(self) -> bool:
        """Write one group, or look after the file; False = done."""
        self._queue.wait(self._patience())
        self._space_commits()
        items = self._queue.take(GROUP)
        if items:
            self._write(items)
        elif self._queue.sealed:
            self._finish()
            return False
        else:
            self._tend()
        return True

    def _patience(self) -> float:
        """How long to wait for messages before something else is due, in seconds."""
        if self._unsynced_since is None:
            return LOOK_S
        return min(LOOK_S, max(0.0, self._unsynced_since + SYNC_S - time.monotonic()))

    def _space_commits(self) -> None:
        early = self._last_commit + SPACING_S - time.monotonic()
        if early > 0 and len(self._queue) < GROUP and not self._queue.closed:
            time.sleep(early)

    # Writing

    def _write(self, items: list[Item]) -> None:
        self._last_commit, self._in_hand = time.monotonic(), items
        if (self._loss is not None and self._queue.closed) or not self._insist(lambda: self._append(items)):
            self._write_part(items)
        self._in_hand = []
        if self._is_at_limit():
            self._stop_at_limit()

    def _write_part(self, items: list[Item]) -> None:
        """The recorder was stopped, and the disk does not take the group: write what it takes, and drop the rest."""
        size = len(items) // 2 if self._loss is None else 1
        self._writer.make_room()
        while items and size:
            try:
                self._append(items[:size])
            except _FAILURES:
                size //= 2
            else:
                del items[:size]
                size = max(1, min(2 * size, len(items)))
        self._drop(items, self._queue.cause)

    def _append(self, items: list[Item]) -> None:
        """Commit one group and acknowledge it; a loss before it is noted with it."""
        sync = self._patience() <= 0
        walls = [item.t_wall_ns for item in items if type(item) is Message]
        noted: list[Item] = (
            [] if self._loss is None else [FileGap(self._loss.gap(walls[0] if walls else None))]
        )
        outcome = self._writer.append([*noted, *items], sync=sync)
        if walls:
            self._loss, self._last_written_ns = None, walls[-1]
        if sync:
            self._unsynced_since = None
        elif self._unsynced_since is None:
            self._unsynced_since = time.monotonic()
        if outcome.refused:
            self._drop(outcome.refused, "no session file can hold them")
        self.size = self._writer.size
        self.committed = MappingProxyType({**self.committed, **outcome.committed})
        self._notify(self._on_commit, self.committed)

    def _is_at_limit(self) -> bool:
        """Whether file and log are as large as they may be; before that, and on a small disk, the log is folded in."""
        with contextlib.suppress(OSError):
            size, log_size = self._writer.sizes
            disk = os.statvfs(self._path.parent)
            is_small = log_size > _SMALL_LOG and log_size > disk.f_bavail * disk.f_frsize
            if is_small or size + log_size >= self._size_limit:
                self._writer.make_room()
                return sum(self._writer.sizes) >= self._size_limit
        return False

    def _tend(self) -> None:
        """Nothing to write: let the disk have what it has not yet, and see that the file is still there."""
        if self._patience() <= 0 or not self._writer.in_place:
            self._insist(self._sync)

    def _sync(self) -> None:
        self._writer.sync()
        self._unsynced_since = None

    def _finish(self) -> None:
        """Write how it ended; a full disk gets back the room that was held for it."""
        if not self._insist(self._write_end):
            self._lock.give_room()
            self._insist(self._write_end)

    def _write_end(self) -> None:
        counts = {name: each.messages for name, each in self.committed.items()}
        end = {"wall_ns": time.time_ns(), "text": self._last_words(), "messages": counts}
        items: list[Item] = [] if self._loss is None else [FileGap(self._loss.gap(None))]
        self._writer.append([*items, Fact("ended", msgspec.Raw(msgspec.json.encode(end)))], sync=True)
        self._loss = None

    def _stop_at_limit(self) -> None:
        limit = f"{self._size_limit / 1e6:,.1f} MB"
        self._ending = f"The recording of {self._path.name} reached its size limit of {limit} and stopped"
        cause = f"{self._ending}. Record into a new file, or with a larger limit."
        self._queue.close()
        left = self._queue.take(len(self._queue))
        self._drop(left, cause)
        if self._loss is None:
            now = time.time_ns()
            self._insist(lambda: self._append([FileGap(Gap(0, self._last_written_ns, now, None, cause))]))

    # Failing and recovering

    def _insist(self, write: Callable[[], None]) -> bool:
        """Try until it works. False = given up, because the recorder was stopped and the last try failed too."""
        while True:
            last = self._queue.closed
            try:
                self._check_place()
                write()
            except _FAILURES as error:
                self._interrupt(error)
                if last:
                    return False
                self._queue.wait_closed(RETRY_S)
                if self.status.state is RecorderState.DISK_FULL:
                    self._writer.make_room()
            else:
                self._resume()
                return True

    def _check_place(self) -> None:
        if self._writer.in_place:
            return
        self._interrupt(FileRemoved())
        if self._queue.closed:  # the last chance to keep what is in the removed file
            self._path.parent.mkdir(parents=True, exist_ok=True)
        self._writer.restore()
        self._lock.renew()

    def _interrupt(self, error: Exception) -> None:
        status = diagnose(error, self._path)
        if self._outage is None:
            self._outage = (time.time_ns(), self._queue.losses, self.lost)
        if status.state != self.status.state:
            self._queue.cause = status.state.lower()
            log.warning("%s", status.text)
            self._enter(status)

    def _resume(self) -> None:
        """Writing works again: say so, and leave one gap record of the outage."""
        if self._outage is None:
            return
        (since, losses, lost), self._outage = self._outage, None
        if (self._queue.losses, self.lost) == (losses, lost):  # else a record says what is missing
            now = time.time_ns()
            cause = f"{self._queue.cause}: nothing is missing, the messages waited in memory"
            self._queue.put_other(FileGap(Gap(0, since, since, now, cause, 0)))
        self._queue.cause = self._queue.SLOW
        self._enter(RecorderStatus(RecorderState.RECORDING, f"Recording {self._path.name} again."))

    def _drop(self, items: Iterable[Item], cause: str) -> None:
        """Count messages that cannot be written, and keep their account until it can be."""
        for item in items:
            if type(item) is Message:
                self.lost += 1
                if self._loss is None:
                    self._loss = Loss(self._last_written_ns, item.t_wall_ns, cause)
                self._loss.add(item)

    # Saying

    def _last_words(self) -> str:
        messages = sum(each.messages for each in self.committed.values())
        text = f"{self._ending}: {messages:,} messages, {self.size / 1e6:,.1f} MB."
        lost = self._queue.lost + self.lost
        return text + (f" {lost:,} messages could not be kept." if lost else "")

    def _enter(self, status: RecorderStatus) -> None:
        self.status = status
        self._notify(self._on_state, status)

    def _notify(self, listener: Callable[[_News], None] | None, news: _News) -> None:
        if listener is None:
            return
        try:
            listener(news)
        except Exception:  # a listener's mistake must not end the recording
            log.exception("A listener of the recorder of %s failed", self._path.name)
