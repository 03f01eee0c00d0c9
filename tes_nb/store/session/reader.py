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
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tes_nb.errors import SessionError
from tes_nb.store.session.connect import connect, refuse_other_formats, refuse_what_is_no_file
from tes_nb.store.session.damage import compare_with_log, examine, hides_commits, log_is_cut
from tes_nb.store.session.files import save_copy, wal_path
from tes_nb.store.session.lock import owner_of
from tes_nb.store.session.packed import is_packed, unpack
from tes_nb.store.session.reach import DAMAGE, PASSING
from tes_nb.store.session.rows import (
    HIGHEST,
    LOWEST,
    STATES,
    Row,
    Tally,
    Want,
    chunks_by_id,
    chunks_by_time,
    to_message,
)
from tes_nb.store.session.salvage import Salvaged, describe, salvage
from tes_nb.store.session.small_tables import snapshot, stored_sums
from tes_nb.store.session.summary import summarise
from tes_nb.store.session.tables import (
    RecordedGap,
    RecordedMark,
    RecordedSource,
    SessionInfo,
    SessionTables,
)

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
        self._place = path
        """Where SQLite reads it: of a compressed file a temporary copy."""
        self._guard = threading.RLock()
        self._cleanup = contextlib.ExitStack()
        self._broken: dict[str, set[int]] = {}
        """Source → ids of the messages whose checksum does not fit."""
        self._damage: list[str] = []
        self._salvaged: Salvaged | None = None
        self.lacks_log = False
        """Whether its write-ahead log is missing or cut off, and with it acknowledged messages."""
        self._closed = False
        with contextlib.ExitStack() as undo:
            undo.callback(self._cleanup.close)
            if is_packed(path):
                folder = self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="tes_nb-"))
                self._place = Path(folder) / path.stem
                self._damage += filter(None, [unpack(path, self._place)])
            self._connection = self._connect()
            self._tables = SessionTables(self._connection)
            undo.pop_all()

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a session file, also one that is being recorded, compressed, or damaged (see `damage`).

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
        return self._ask(SessionTables.sources)

    @property
    def gaps(self) -> tuple[RecordedGap, ...]:
        """What was not received or could not be written, by the time it began."""
        return tuple(self._ask(SessionTables.gaps))

    @property
    def marks(self) -> tuple[RecordedMark, ...]:
        """The marks by their time."""
        return tuple(self._ask(SessionTables.marks))

    @property
    def facts(self) -> dict[str, Any]:
        """What was noted about the recording and its host."""
        return self._ask(SessionTables.facts)

    @property
    def clock_jumps(self) -> tuple[ClockJump, ...]:
        """Where the wall clock jumped against the monotonic clock."""
        return tuple(self._ask(SessionTables.clock_jumps))

    def states(self, source: str) -> tuple[StateChange, ...]:
        """Return the state changes of a source's connections. Raises `SessionError` for an unknown source."""
        (wanted,) = self._wanted(source)
        return tuple(self._ask(lambda tables: tables.states(wanted.id)))

    def connections(self, source: str) -> tuple[int, ...]:
        """Return the numbers of a source's upstream connections (0 = the collector's own samplers)."""
        (wanted,) = self._wanted(source)
        return tuple(self._ask(lambda tables: tables.connections(wanted.id)))

    @property
    def recording_pid(self) -> int | None:
        """The process that records this session now (0 = it does not say which); `None` = nobody does."""
        return owner_of(self._place)

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
        return not self._broken and not self.lacks_log and (self._salvaged is None or self._salvaged.whole)

    def examine(self) -> None:
        """Look at every page of the file now instead of when it is read. A gigabyte takes some seconds."""
        with self._guard:
            if self._salvaged is not None:
                return  # every page of it was looked at
            try:
                notes = examine(self._tables)
            except DAMAGE as error:
                self._switch(error)
            else:
                self._damage += [note for note in notes if note not in self._damage]

    def info(self) -> SessionInfo:
        """Return the session in figures, without reading its messages."""
        return self._ask(
            lambda tables: summarise(
                tables,
                self.path,
                file_bytes=self._size(),
                owner=self.recording_pid,
                damage=self.damage,
            )
        )

    def save_as(self, path: Path) -> Path:
        """Write all that was recorded until now into a new session file, and return its path.

        Of a damaged session it is what can be read. Raises `SessionError` where it cannot be written, or where there
        is a file.
        """
        with self._guard:
            if self._closed:
                raise SessionError(f"{self.path.name} was closed: open it again.")
            return save_copy(self._connection, path, running=self.recording_pid is not None)

    def _size(self) -> int:
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (page_size,) = self._connection.execute("PRAGMA page_size").fetchone()
        return int(pages) * int(page_size)

    def span(self, source: str | None = None) -> tuple[int, int] | None:
        """Return the Unix ns of the first and the last message, of one source or of all; `None` = no message."""
        wanted = {each.id for each in self._wanted(source)}
        sums = [each for number, each in self._ask(SessionTables.sums).items() if number in wanted]
        if not sums:
            return None
        return min(each.min_wall_ns for each in sums), max(each.max_wall_ns for each in sums)

    def mono_span(self) -> tuple[int, int] | None:
        """Return the recorded monotonic ns of the first and the last message; `None` = no message."""
        sums = self._ask(SessionTables.sums).values()
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
        for source_id, rows in self._chunks(name, want):
            for row in rows:
                message = to_message(name, source_id, row)
                if message is None:
                    self._broken.setdefault(name, set()).add(row[0])
                elif want.start_ns <= message.t_wall_ns < want.end_ns:
                    yield message.t_mono_ns, row[0], message

    def _chunks(self, name: str, want: Want) -> Iterator[tuple[int, list[Row]]]:
        """Rows in chunks; where the file turns out to be damaged, reading goes on in a salvaged copy."""
        after = (LOWEST, LOWEST)
        while source := self.sources.get(name):
            connection = self._connection
            try:
                for rows in self._raw_chunks(source, want, after):
                    yield source.id, rows
                    last = next((row for row in reversed(rows) if to_message(name, source.id, row)), None)
                    after = after if last is None else (last[4], last[0])
                    _require_intact_end(last, rows)
            except DAMAGE as error:
                if self._connection is connection:  # else another source's reading has found damage already
                    self._switch(error)
            else:
                return

    def _raw_chunks(self, source: RecordedSource, want: Want, after: tuple[int, int]) -> Iterator[list[Row]]:
        runs = [want]
        if want.among == STATES:
            self._ask(lambda tables: tables.rows("state_changes"))  # whose ids the condition takes
        if want.start_ns != LOWEST or want.end_ns != HIGHEST:
            runs = self._ask(lambda tables: tables.ranges(source.id, want))
        if not source.ordered and runs:
            runs = [replace(want, first_id=runs[0].first_id, last_id=runs[-1].last_id)]
        for run in runs:
            tally = self._tally(source, run)
            if source.ordered:
                rest = replace(run, first_id=max(run.first_id, after[1] + 1))
                chunks = chunks_by_id(self._connection, self._guard, source.id, rest)
            else:
                chunks = chunks_by_time(self._connection, self._guard, source.id, run, after)
            for rows in chunks:
                if tally is not None:
                    tally.add([row[0] for row in rows])
                yield rows
            if tally is not None:
                tally.finish()

    def _tally(self, source: RecordedSource, run: Want) -> Tally | None:
        """What knows whether every row is met; `None` = not every row is read, or a salvaged copy is."""
        recorded = self.recording_pid is not None
        if not run.every and run.among != STATES:
            return None
        tally = self._ask(lambda tables: tables.tally(source.id, run, recorded=recorded))
        return tally if self._salvaged is None else None

    def _ask(self, read: Callable[[SessionTables], _Answer]) -> _Answer:
        """Read small tables, all as they are at one moment."""
        with self._guard:
            try:
                with snapshot(self._connection):
                    return read(self._tables)
            except DAMAGE as error:
                self._switch(error)
                return read(self._tables)

    # When it is damaged

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = connect(self._place, self._cleanup)
            tables = SessionTables(connection)
            if stored_sums(connection) is None:
                with snapshot(connection):
                    compare_with_log(tables)
            if self.recording_pid is not None:
                return connection
            real = self._place.resolve()
            if hides_commits(real):
                return self._connect_salvaged("its write-ahead log has changed bytes before its end")
            if log_is_cut(connection, real) and "ended" not in tables.facts():
                self.lacks_log = True
                self._damage.append(_lacks_log_text(self._place))
        except DAMAGE as error:
            self._explain_what_is_not_damage(error)
            return self._connect_salvaged(str(error))
        return connection

    def _switch(self, error: Exception) -> None:
        """Go on with a salvaged copy. Raises `SessionError` when that is no way out."""
        with self._guard:
            self._explain_what_is_not_damage(error)
            if self._salvaged is not None:
                raise SessionError(
                    f"{self.path.name} cannot be read, not even its salvaged copy: {error}."
                ) from error
            self._connection = self._connect_salvaged(str(error))
            self._tables = SessionTables(self._connection)

    def _explain_what_is_not_damage(self, error: Exception) -> None:
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
        refuse_other_formats(self._place)
        folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="tes_nb-")))
        copy = folder / self._place.name
        try:
            salvaged = salvage(self._place, copy)
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


def _lacks_log_text(path: Path) -> str:
    return (
        f"{path.name} was copied while it was recorded, or its write-ahead log was lost: {wal_path(path).name} is "
        "missing or cut off, and with it messages that the recorder had acknowledged. Put the log beside it; to copy a "
        f"session, tes.copy('{path.name}', 'COPY.tes') or the recording's save_as() takes all of it."
    )
