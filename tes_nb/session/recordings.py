"""A recording in progress, as a notebook sees it. The collector writes it, so a stuck cell loses nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tes_nb.collector.discovery import RunningCollector, running
from tes_nb.errors import SessionError, TesError
from tes_nb.model.control import ListRecordings, RecordingFigures, RecordingStatus, StopRecording
from tes_nb.model.operation import Call, Operation, R
from tes_nb.net.control_client import ControlClient
from tes_nb.net.logs import note
from tes_nb.net.loop import background
from tes_nb.session.owner import Owned, Owner
from tes_nb.session.waiting import wait_blocking

if TYPE_CHECKING:
    from tes_nb.session.feed import Feed
    from tes_nb.session.recorded import RecordedSession
    from tes_nb.store.export.csv_text import Formulas
    from tes_nb.store.export.export import ExportResult


class Recording(Owned):
    """What `s.record()` gives: a context manager with live counters. `stop()` may be called twice."""

    def __init__(self, call: Call, status: RecordingStatus) -> None:
        self._call = call
        self._owner = Owner()
        self._figures: RecordingFigures = status
        self._keep = status.keep
        self._ended: str | None = None
        self.path = Path(status.path)
        """The session file."""

    def _refresh(self) -> RecordingFigures:
        self._owner.check()
        if self._ended is None:
            for status in self._call(ListRecordings()):
                if status.path == str(self.path):
                    self._figures = status
        return self._figures

    @property
    def state(self) -> str:
        """RECORDING, DISK FULL, READ-ONLY, FILE REMOVED, WRITE ERROR or STOPPED."""
        return "STOPPED" if self._ended is not None else self._refresh().state

    @property
    def text(self) -> str:
        """The sentence that belongs to the state."""
        return self._ended if self._ended is not None else self._refresh().text

    @property
    def messages(self) -> int:
        """Messages that are safely in the file."""
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
        return self._ended is None

    def stop(self) -> str:
        """Write what waits, close the file, and return the sentence that says how it ended."""
        self._owner.check()
        if self._ended is None:
            end = self._call(StopRecording(path=str(self.path)))
            self._figures, self._ended = end, end.ended
        return self._ended

    def open(self) -> RecordedSession:
        """Open what has been recorded so far."""
        from tes_nb.session.open import open_session  # noqa: PLC0415

        return open_session(self.path)

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
        size = f"{figures.messages:,} messages, {figures.bytes / 1e6:,.1f} MB"
        kept = ", kept" if self.kept and self._ended is None else ""
        return f"<recording {self.path.name}: {state}, {size}{lost}{kept}>"

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


ANSWER_S = 3.0


def recordings() -> list[Recording]:
    """Return every recording of this user that runs now, also those that outlived their kernel (`keep=True`).

    Each can be looked at, opened and stopped like the one that `s.record()` gave. A collector that does not answer
    within 3 s is left out, with a line in the log.
    """
    recordings = []
    for collector in running():
        call = partial(_call_alone, collector)
        try:
            running_now = call(ListRecordings())
        except TesError as error:
            note(logging.WARNING, f"recordings: collector {collector.pid} does not answer: {error}")
            continue
        recordings += [Recording(call, status) for status in running_now]
    return recordings


def _call_alone(collector: RunningCollector, operation: Operation[R]) -> R:
    """Call one operation over a connection of its own, since few are called."""

    async def call() -> R:
        url = f"ws://127.0.0.1:{collector.status_port}/ws/control"
        client = ControlClient(url, collector.token, start_id=collector.start_id)
        await client.start()
        try:
            # ending a recording waits for the disk
            patience = ANSWER_S * (4 if isinstance(operation, StopRecording) else 1)
            return await client.call(operation, timeout_s=patience)
        finally:
            await client.stop()

    return background().run(call(), timeout=ANSWER_S * 5)


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
