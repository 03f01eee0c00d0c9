"""Read a session file: lazily, while it is still being recorded, and as far as possible when it is damaged."""

from __future__ import annotations

import contextlib
import heapq
import logging
import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from tes_nb.errors import SessionError
from tes_nb.store.session import tables
from tes_nb.store.session.connect import connect, refuse_other_formats, refuse_what_is_no_file
from tes_nb.store.session.damage import examine, hides_commits
from tes_nb.store.session.lock import owner_of
from tes_nb.store.session.reach import PASSING
from tes_nb.store.session.rows import HIGHEST, LOWEST, Row, Want, bites_by_id, bites_by_time, to_message
from tes_nb.store.session.salvage import Salvaged, salvage
from tes_nb.store.session.summary import summarise
from tes_nb.store.session.tables import RecordedGap, RecordedMark, RecordedSource, SessionInfo
from tes_nb.store.session.writer import wal_path

if TYPE_CHECKING:
    from types import TracebackType

    from tes_nb.model import Message
    from tes_nb.wire.events import ClockJump, StateChange


log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")


class SessionFile:
    """A session open for reading. Safe to use from several threads. Made by `SessionFile.open`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._guard = threading.RLock()
        self._cleanup = contextlib.ExitStack()
        self._broken: dict[str, set[int]] = {}
        """Source → ids of the messages whose checksum does not fit."""
        self._damage: list[str] = []
        self._salvaged: Salvaged | None = None
        self._closed = False
        with contextlib.ExitStack() as undo:
            undo.callback(self._cleanup.close)
            self._connection = self._connect()
            undo.pop_all()

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a session file, also one that is being recorded, or that is damaged (see `damage`).

        Raises `SessionError`, a sentence with what to do, for what is no session: another program's file, a
        newer format, an empty file, a folder, a file of which nothing can be read.
        """
        path = Path(path)
        refuse_what_is_no_file(path)
        return cls(path)

    def close(self) -> None:
        """Close the file. Idempotent; reading afterwards raises `SessionError`."""
        with self._guard:
            self._closed = True
            self._cleanup.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What is in it

    @property
    def sources(self) -> dict[str, RecordedSource]:
        """The sources by name, in the order in which they appeared."""
        return self._ask(tables.read_sources)

    @property
    def gaps(self) -> tuple[RecordedGap, ...]:
        """What was not received or could not be written, by the time it began."""
        return self._ask(lambda connection: tuple(tables.read_gaps(connection)))

    @property
    def marks(self) -> tuple[RecordedMark, ...]:
        """The marks by their time."""
        return self._ask(lambda connection: tuple(tables.read_marks(connection)))

    @property
    def clock_jumps(self) -> tuple[ClockJump, ...]:
        """Where the wall clock jumped against the monotonic clock."""
        return self._ask(lambda connection: tuple(tables.read_clock_jumps(connection)))

    def states(self, source: str) -> tuple[StateChange, ...]:
        """Return the state changes of a source's connections. Raises `SessionError` for an unknown source."""
        (wanted,) = self._wanted(source)
        return self._ask(lambda connection: tuple(tables.read_states(connection, wanted.id)))

    def connections(self, source: str) -> tuple[int, ...]:
        """Return the numbers of a source's upstream connections (0 = the collector's own samplers)."""
        (wanted,) = self._wanted(source)
        return self._ask(lambda connection: tables.read_connections(connection, wanted.id))

    @property
    def recording_pid(self) -> int | None:
        """The process that records this session now (0 = it does not say which); `None` = nobody does."""
        return owner_of(self.path)

    @property
    def damage(self) -> tuple[str, ...]:
        """What is known to be damaged, a sentence each; grows while damaged parts are read. () = nothing."""
        broken = (
            f"{name}: {len(ids):,} messages were left out because some of their bytes have changed."
            for name, ids in sorted(self._broken.items())
        )
        return (*self._damage, *broken)

    def lost(self, source: str) -> int:
        """Return how many messages of a source are known to be lost to damage, as far as the file was read."""
        salvaged = None if self._salvaged is None else self._salvaged.missing.get(source)
        return len(self._broken.get(source, ())) + (0 if salvaged is None else salvaged.messages)

    @property
    def whole(self) -> bool:
        """Whether, as far as the file was read, certainly no message is missing."""
        return not self._broken and (self._salvaged is None or self._salvaged.whole)

    def examine(self) -> None:
        """Look at every page of the file now instead of when it is read. A gigabyte takes some seconds."""
        self._ask(examine)

    def info(self) -> SessionInfo:
        """Return the session in figures, without reading its messages."""
        return self._ask(
            lambda connection: summarise(connection, self.path, owner=self.recording_pid, damage=self.damage)
        )

    def span(self, source: str | None = None) -> tuple[int, int] | None:
        """Return the Unix ns of the first and the last message, of one source or of all; `None` = no message."""
        wanted = {each.id for each in self._wanted(source)}
        sums = [each for number, each in self._ask(tables.read_sums).items() if number in wanted]
        if not sums:
            return None
        return min(each.min_wall_ns for each in sums), max(each.max_wall_ns for each in sums)

    def mono_span(self) -> tuple[int, int] | None:
        """Return the recorded monotonic ns of the first and the last message; `None` = no message."""
        sums = self._ask(tables.read_sums).values()
        if not sums:
            return None
        return min(each.first_mono_ns for each in sums), max(each.last_mono_ns for each in sums)

    def messages(
        self,
        source: str | Collection[str] | None = None,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        conn: int | None = None,
        among: str = "",
    ) -> Iterator[Message]:
        """Yield messages in monotonic order, across sources too, reading only the range that is asked for.

        `start_ns` (inclusive) and `end_ns` (exclusive) are receive times in Unix ns; `None` = from the beginning,
        to the end as it is when reading comes there. `source`: one, some, or `None` = all. `among`: only those that
        one of the conditions `rows.STATES` and `rows.ASIDES` names. Memory stays flat.
        Raises `SessionError` for a source that is not there.
        """
        want = Want(
            start_ns=LOWEST if start_ns is None else start_ns,
            end_ns=HIGHEST if end_ns is None else end_ns,
            conn=conn,
            among=among,
        )
        each = [self._keyed(wanted.name, want) for wanted in self._wanted(source)]
        return (message for _, _, message in (each[0] if len(each) == 1 else heapq.merge(*each)))

    # How it is read

    def _wanted(self, source: str | Collection[str] | None) -> list[RecordedSource]:
        sources = self.sources
        names = list(sources) if source is None else [source] if isinstance(source, str) else list(source)
        for name in names:
            if name not in sources:
                there = ", ".join(sources) or "none"
                raise SessionError(f"{self.path.name} has no source '{name}'; it has {there}.")
        return [sources[name] for name in names]

    def _keyed(self, name: str, want: Want) -> Iterator[tuple[int, int, Message]]:
        """The messages of a source with what orders them: monotonic time, then arrival."""
        for source_id, rows in self._bites(name, want):
            for row in rows:
                message = to_message(name, source_id, row)
                if message is None:
                    self._broken.setdefault(name, set()).add(row[0])
                else:
                    yield message.t_mono_ns, row[0], message

    def _bites(self, name: str, want: Want) -> Iterator[tuple[int, list[Row]]]:
        """Rows by the bite; where the file turns out to be damaged, reading goes on in a salvaged copy."""
        after = (LOWEST, LOWEST)
        while source := self.sources.get(name):
            try:
                for rows in self._raw_bites(source, want, after):
                    yield source.id, rows
                    last = next((row for row in reversed(rows) if to_message(name, source.id, row)), None)
                    after = after if last is None else (last[4], last[0])
                    _require_intact_end(last, rows)
            except sqlite3.DatabaseError as error:
                self._switch(error)
            else:
                return

    def _raw_bites(self, source: RecordedSource, want: Want, after: tuple[int, int]) -> Iterator[list[Row]]:
        runs = [want]
        if want.start_ns != LOWEST or want.end_ns != HIGHEST:
            runs = self._ask(lambda connection: tables.ranges(connection, source.id, want))
        if not source.ordered and runs:
            run = replace(want, first_id=runs[0].first_id, last_id=runs[-1].last_id)
            yield from bites_by_time(self._connection, self._guard, source.id, run, after)
            return
        for run in runs:
            rest = replace(run, first_id=max(run.first_id, after[1] + 1))
            yield from bites_by_id(self._connection, self._guard, source.id, rest)

    def _ask(self, read: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        with self._guard:
            try:
                return read(self._connection)
            except sqlite3.DatabaseError as error:
                self._switch(error)
                return read(self._connection)

    # When it is damaged

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = connect(self.path, self._cleanup)
        except sqlite3.DatabaseError as error:
            self._explain_what_is_not_damage(error)
            return self._connect_salvaged(str(error))
        if self.recording_pid is None and hides_commits(wal_path(self.path)):
            return self._connect_salvaged("its write-ahead log has changed bytes before its end")
        return connection

    def _switch(self, error: sqlite3.DatabaseError) -> None:
        """Go on with a salvaged copy. Raises `SessionError` when that is no way out."""
        with self._guard:
            self._explain_what_is_not_damage(error)
            if self._salvaged is not None:
                raise SessionError(
                    f"{self.path.name} cannot be read, not even its salvaged copy: {error}."
                ) from error
            self._connection = self._connect_salvaged(str(error))

    def _explain_what_is_not_damage(self, error: sqlite3.DatabaseError) -> None:
        if self._closed:
            raise SessionError(f"{self.path.name} was closed: open it again.") from error
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in PASSING:
            raise SessionError(
                f"{self.path.name} cannot be read now ({error}): try again in a moment."
            ) from error
        if self.recording_pid == os.getpid():
            raise SessionError(
                f"{self.path.name} cannot be read while this process records it ({error}): stop the recording first."
            ) from error

    def _connect_salvaged(self, why: str) -> sqlite3.Connection:
        refuse_other_formats(self.path)
        folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="tes_nb-")))
        copy = folder / self.path.name
        try:
            salvaged = salvage(self.path, copy)
        except sqlite3.DatabaseError as error:
            self._explain_what_is_not_damage(error)
            raise SessionError(
                f"{self.path.name} is damaged ({why}), and what can be read of it finds no place ({error}): "
                f"make room in {folder.parent}."
            ) from error
        if salvaged is None:
            raise SessionError(
                f"{self.path.name} is no session, or is damaged beyond reading ({why}): no message was found in it."
            )
        log.warning("%s is damaged (%s): reading what can be salvaged.", self.path, why)
        self._salvaged = salvaged
        self._broken.clear()  # they are among those that are missing
        self._damage += describe(self.path, why, salvaged)
        return connect(copy, self._cleanup)


def _require_intact_end(last: Row | None, rows: list[Row]) -> None:
    """The next bite begins behind the last row of this one, so that its id must be right."""
    if last is not rows[-1]:
        raise sqlite3.DatabaseError("the bytes of a row have changed, perhaps those of its id")


def _utc(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%d %H:%M:%S} UTC"


def describe(path: Path, why: str, salvaged: Salvaged) -> list[str]:
    """Return what happened to a damaged file, a sentence each."""
    readable = sum(salvaged.messages.values())
    sentences = [f"{path.name} is damaged ({why.rstrip('.')}): {readable:,} messages can be read."]
    for name, lost in sorted(salvaged.missing.items()):
        end = "the end" if lost.before_ns is None else _utc(lost.before_ns)
        when = f" between {_utc(lost.after_ns)} and {end}" if lost.after_ns else ""
        sentences.append(f"{name}: {lost.messages:,} messages are lost{when}.")
    if not salvaged.complete:
        sentences.append("How many there were before cannot be told any more.")
    elif not salvaged.missing:
        sentences.append("No message is missing.")
    return sentences


ALL, SOME, NONE = 0, 3, 1


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a check."""

    exit_code: int
    """0 = every message is readable, 3 = some are, 1 = none is."""
    sentences: tuple[str, ...]
    messages: int = 0
    """How many are readable."""


def check(path: str | os.PathLike[str]) -> Report:
    """Read everything in a session file and say what is damaged. Never raises for a bad file."""
    path = Path(path)
    try:
        with SessionFile.open(path) as session:
            session.examine()
            return _read_through(session)
    except SessionError as error:
        return Report(NONE, (str(error),))
    except (OSError, sqlite3.Error) as error:
        return Report(NONE, (f"{path} cannot be read ({error}): check the disk it lies on.",))


def _read_through(session: SessionFile) -> Report:
    readable = {name: sum(1 for _ in session.messages(name)) for name in session.sources}
    info = session.info()
    lost = {
        name: each.messages - readable.get(name, 0)
        for name, each in info.sources.items()
        if each.messages > readable.get(name, 0)
    }
    total = sum(readable.values())
    sentences = list(session.damage)
    sentences += [
        f"{name}: {count:,} of {info.sources[name].messages:,} are missing." for name, count in lost.items()
    ]
    if not sentences:
        text = f"{session.path.name} is whole: {total:,} messages of {len(readable)} sources. {info.ending}"
        return Report(ALL, (text,), total)
    if session.whole and not lost:
        return Report(ALL, tuple(sentences), total)
    return Report(SOME if total else NONE, tuple(sentences), total)
