"""A recording in progress, as a notebook sees it. The collector writes it, so a stuck cell loses nothing."""

from __future__ import annotations

import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from html import escape
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from tes_nb.collector.discovery import RunningCollector, running
from tes_nb.collector.lifetime import is_same_process
from tes_nb.errors import CollectorError, SessionError, TesError, counted
from tes_nb.model.control import (
    ListRecordings,
    RecordingFigures,
    RecordingStatus,
    StartRecording,
    StopRecording,
)
from tes_nb.model.operation import Call, Operation, R
from tes_nb.model.owner import Owned, Owner
from tes_nb.net.control_client import ControlClient
from tes_nb.net.loop import background
from tes_nb.session.backend import Backend, uninterrupted
from tes_nb.session.waiting import wait_blocking
from tes_nb.store.session.files import remove as remove_session
from tes_nb.store.session.reader import SessionFile
from tes_nb.store.session.schema import new_session_path

if TYPE_CHECKING:
    from tes_nb.session.feed import Feed
    from tes_nb.session.recorded import RecordedSession
    from tes_nb.store.export.csv_text import Formulas
    from tes_nb.store.export.export import ExportResult


class CollectorEnded(CollectorError):
    """The process that was asked has ended."""

    def __init__(self) -> None:
        super().__init__(
            "The collector has ended (was it killed, or had it no memory left?): what it acknowledged is in the files "
            "of its recordings, and tes.open() reads them. For a new one: s.stop(), then tes.start()."
        )


class Recording(Owned):
    """What `s.record()` gives: a context manager with live counters. `stop()` may be called twice.

    It knows when it was ended elsewhere, such as from the page: then it is STOPPED, too.
    """

    def __init__(self, call: Call, status: RecordingStatus) -> None:
        self._call = call
        self._owner = Owner()
        self._figures: RecordingFigures = status
        self._keep = status.keep
        self._ended: str | None = None
        self._stopping = threading.Lock()
        self.path = Path(status.path)
        """The session file."""

    def _refresh(self) -> RecordingFigures:
        self._owner.check()
        if self._ended is None:
            try:
                status = next(
                    (one for one in self._call(ListRecordings()) if one.path == str(self.path)), None
                )
            except (SessionError, CollectorEnded) as error:
                self._ended = f"{self.path.name} has ended. {error}"
                self._count_in_file()
                return self._figures
            if status is not None:
                self._figures = status
            if status is None or status.state == "STOPPED":  # ended elsewhere, or by itself at its size limit
                try:
                    self._end()
                except CollectorError as error:  # it is not in the list: that it has ended is certain
                    self._ended = self._ended or f"{self.path.name} has ended. {error}"
        return self._figures

    def _end(self) -> None:
        """End it, or return how it ended where it was ended before."""
        with self._stopping:
            if self._ended is None:
                try:
                    end = self._call(StopRecording(path=str(self.path)))
                except (SessionError, CollectorEnded) as error:
                    self._ended = f"{self.path.name} has ended. {error}"
                    self._count_in_file()
                    if isinstance(error, CollectorEnded):
                        raise  # once: a block is not to end as if all had been recorded
                else:
                    self._figures, self._ended = end, end.ended

    def _count_in_file(self) -> None:
        """Take the figures from the file: who counted them is gone."""
        with suppress(SessionError, OSError), SessionFile.open(self.path) as file:
            info = file.info()
            self._figures = msgspec.structs.replace(
                self._figures, messages=info.messages, bytes=info.file_bytes, waiting=0
            )

    @property
    def state(self) -> str:
        """RECORDING, DISK FULL, READ-ONLY, FILE REMOVED, WRITE ERROR or STOPPED."""
        state = self._refresh().state
        return state if self._ended is None else "STOPPED"

    @property
    def text(self) -> str:
        """The sentence that belongs to the state."""
        text = self._refresh().text
        return text if self._ended is None else self._ended

    @property
    def messages(self) -> int:
        """Messages that are safely in the file; where its collector was killed, those that can be read there."""
        return self._refresh().messages

    @property
    def lost(self) -> int:
        """Messages that could not be kept; the file's gaps say when."""
        return self._refresh().lost

    @property
    def committed(self) -> dict[str, int]:
        """Source → the number of its newest message that is safely in the file."""
        return self._refresh().committed

    @property
    def kept(self) -> bool:
        """Whether it goes on when its kernel restarts or dies (`s.record(keep=True)`)."""
        return self._keep

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        if not self._owner.elsewhere:
            self._refresh()
        return self._ended is None

    def stop(self) -> str:
        """Write what waits, close the file, and return the sentence that says how it ended."""
        self._owner.check()
        if self._ended is None:
            uninterrupted(self._end)
        return self.text

    def discard(self, *, remove: bool) -> None:
        """End it. remove: with its file, which is not needed."""
        self.stop()
        if remove:
            remove_session(self.path)

    def open(self) -> RecordedSession:
        """Open what has been recorded so far."""
        from tes_nb.session.open import open_session  # noqa: PLC0415

        return open_session(self.path)

    def save_as(self, path: str | Path) -> Path:
        """Write a copy of all that is safely in the file now, while it goes on; see `RecordedSession.save_as`."""
        with self.open() as recorded:
            return recorded.save_as(path)

    def wait(
        self, *, messages: int | None = None, seconds: float | None = None, timeout: float | None = None
    ) -> int:
        """Wait until so many more messages are safely in the file, or so many seconds; return the messages that came.

        A bar shows how far it is. Raises `SessionError` when the recording ends meanwhile, or `timeout` seconds
        were not enough.
        """
        return wait_blocking(_Filling(self), messages, seconds, timeout, unit="messages")

    # What comes out --------------------------------------------------------------------------------------------

    def to_csv(
        self, folder: str | Path, *, formulas: Formulas = "neutralise", progress: bool = True
    ) -> ExportResult:
        """Write the whole recording so far, one CSV per table; see `RecordedSession.to_csv`."""
        with self.open() as recorded:
            return recorded.to_csv(folder, formulas=formulas, progress=progress)

    export = to_csv

    def to_parquet(self, folder: str | Path, *, progress: bool = True) -> ExportResult:
        """Write the same as Parquet datasets (needs pyarrow: `pip install "tes-nb[parquet]"`)."""
        with self.open() as recorded:
            return recorded.to_parquet(folder, progress=progress)

    def to_har(self, path: str | Path, *, redact: bool = True) -> int:
        """Write what was on the wire so far as a HAR file; see `RecordedSession.to_har`."""
        with self.open() as recorded:
            return recorded.to_har(path, redact=redact)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._owner.elsewhere:  # a forked child that leaves the block ends nothing
            self.stop()

    def __repr__(self) -> str:
        try:
            figures = self._refresh()
        except TesError as error:
            return f"<recording {self.path.name}: {error}>"
        state = "STOPPED" if self._ended is not None else figures.state
        lost = f", {figures.lost:,} lost" if figures.lost else ""
        size = f"{counted(figures.messages, 'message')}, {figures.bytes / 1e6:,.1f} MB"
        keep = ", kept" if self.kept and self._ended is None else ""
        return f"<recording {self.path.name}: {state}, {size}{lost}{keep}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """How far it is, now: display it again for later figures, or `wait()` with a bar."""
        del include, exclude
        rows = "".join(
            f"<tr><td>{escape(source)}</td><td>{seq:,}</td></tr>" for source, seq in self.committed.items()
        )
        table = f"<table><tr><th>source</th><th>safe up to message</th></tr>{rows}</table>" if rows else ""
        head = f"<p>{escape(repr(self)[1:-1])}<br>{escape(self.text)}</p>"
        return {"text/plain": repr(self), "text/html": head + table}


class _Filling:
    """A recording as something that can be waited for."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self.name = recording.path.name

    @property
    def rows(self) -> int:
        return self._recording.messages

    @property
    def closed(self) -> bool:
        return self._recording.state == "STOPPED"


def copy_session(recording: Recording | RecordedSession | str | Path, path: str | Path) -> Path:
    """Write a copy of a session that is whole, also of one that is being recorded; return its path.

    Copying the file alone would leave out what is in its write-ahead log. Of a damaged session the copy has what can be
    read. path: as in `s.record()`. Raises `SessionError` where it cannot be written, or where there is a file.
    """
    from tes_nb.session.open import open_session  # noqa: PLC0415

    if not isinstance(recording, str | Path):
        return recording.save_as(path)
    with open_session(recording) as session:
        return session.save_as(path)


ANSWER_S = 3.0


def recordings() -> list[Recording]:
    """Return every recording of this user that runs now, also those that outlived their kernel (`keep=True`).

    Each can be looked at, opened and stopped like the one that `s.record()` gave. Where a collector does not answer
    within 3 s, its recordings are missing and a warning says so; raises `CollectorError` when there are no others.
    """
    recordings = []
    silent: list[str] = []
    for collector in running():
        call = partial(_call_alone, collector)
        try:
            recordings += [Recording(call, status) for status in call(ListRecordings())]
        except CollectorEnded:
            continue
        except TesError as error:
            silent.append(f"that of process {collector.pid} ({error})")
    if silent:
        text = f"Collectors that could not be asked for their recordings: {', '.join(silent)}. Try again."
        if not recordings:
            raise CollectorError(text)
        warnings.warn(text, stacklevel=2)
    return recordings


def _call_alone(collector: RunningCollector, operation: Operation[R]) -> R:
    """Call one operation over a connection of its own, since few are called."""
    if not is_same_process(collector.pid, collector.created):
        raise CollectorEnded

    async def call() -> R:
        url = f"ws://127.0.0.1:{collector.status_port}/ws/control"
        client = ControlClient(url, collector.token, start_id=collector.start_id)
        await client.start()
        try:
            return await client.call(operation, timeout_s=patience_s)
        finally:
            await client.stop()

    # ending a recording waits for the disk
    patience_s = operation.patience_s if isinstance(operation, StopRecording) else ANSWER_S
    return background().run(call(), timeout=patience_s + ANSWER_S)


class Recordable(ABC):
    """A session whose collector can record."""

    feeds: Mapping[str, Feed]
    _backend: Backend
    _recording_turn: threading.Lock
    """A recording begins only after one that an interrupt left to end has ended."""
    _keeps = False
    """Whether a recording was asked to outlive this process."""

    @abstractmethod
    def _call(self, operation: Operation[R]) -> R:
        """Let the collector carry out an operation."""

    @abstractmethod
    def _check_present(self, what: str) -> None:
        """Raise `SessionError` where the session shows what was, and not what is."""

    def record(
        self,
        path: str | Path | None = None,
        streams: Sequence[str] | None = None,
        *,
        sources: Sequence[str] | None = None,
        size_limit: int | None = None,
        keep: bool = False,
        overwrite: bool = False,
    ) -> Recording:
        """Record every message, raw and crash-safe, until the recording is stopped; also `with s.record(…):`.

        path: a file, or a name in the session folder (`TES_SESSION_DIR`, default `sessions/`); `{date}` and `{time}` in
        it are those of now in UTC, as in "night-{date}"; `None` = a new name. Any other folder must be there.
        streams: what the feeds carry, for example ["metrics", "workers"]; sources: names of `s.feeds`; `None` = all,
        also those that begin later.
        size_limit: bytes; `None` = most of what is free.
        keep: what is read from peers and feeds is recorded on when this kernel restarts or dies, for 24 h at most;
        `tes.recordings()` finds it again. `s.stop()` ends it all the same.
        overwrite: a session file of that name is replaced, once the new one is there; another file never is.
        An interrupt leaves no recording behind, and no file. Raises `CollectorError` when the file exists or cannot
        be written, `SessionError` where `keep` cannot be had.
        """
        self._check_present("record()")
        if keep and not self._backend.outlives:
            raise SessionError(
                'keep=True needs a collector that can outlive the kernel: start without isolation="thread".'
            )
        target, chosen = str(new_session_path(path)), chosen_sources(self.feeds, streams, sources)
        operation = StartRecording(
            path=target, sources=chosen, size_limit=size_limit, keep=keep, overwrite=overwrite
        )

        def begin() -> Recording:
            recording = Recording(self._call, self._call(operation))
            self._keeps |= keep
            return recording

        # what an interrupt left would meet the next try as a file that is there already (decisions/0022)
        return uninterrupted(
            begin, undo=lambda late: late.discard(remove=not overwrite), turn=self._recording_turn
        )

    def recordings(self) -> list[Recording]:
        """Return the recordings of this session that run now, also those that a page began."""
        return [Recording(self._call, status) for status in self._call(ListRecordings())]


def chosen_sources(
    feeds: Mapping[str, Feed], streams: Sequence[str] | None, sources: Sequence[str] | None
) -> list[str] | None:
    """Return the sources to record, by what they carry and by name; `None` = all, those that come later, too."""
    if streams is None:
        return None if sources is None else list(sources)
    names = [streams] if isinstance(streams, str) else list(streams)
    carried = {feed.stream.name for feed in feeds.values()}
    for name in names:
        if name not in carried:
            raise SessionError(f"No feed carries a stream '{name}'; there are {', '.join(sorted(carried))}.")
    by_stream = [source for source, feed in feeds.items() if feed.stream.name in names]
    return by_stream + list(sources or ())
