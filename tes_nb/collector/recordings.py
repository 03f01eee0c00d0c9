"""The recordings that a collector writes: begun, listed and ended over the control socket."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tes_nb.collector.hub import Hub
from tes_nb.collector.logs import logger
from tes_nb.collector.observer import Observer
from tes_nb.errors import SessionError
from tes_nb.model import Message
from tes_nb.model.control import (
    DISK_S,
    ListRecordings,
    PathText,
    RecordingEnd,
    RecordingStatus,
    StartRecording,
    StopRecording,
)
from tes_nb.model.operation import phrase
from tes_nb.store.session.files import remove
from tes_nb.store.session.recorder import Recorder
from tes_nb.store.session.recorder_loop import RecorderState
from tes_nb.store.session.schema import session_path


class Peaks:
    """Memory and CPU of the observed process, and memory of its children, since it was made."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._looked_ns = time.monotonic_ns()
        self.highest: dict[str, float] = {}
        """`rss` and `children_rss` in bytes, `cpu_percent` of one core, uncapped: 250 = two and a half cores."""

    def look(self) -> bool:
        """Take in what was sampled since the last look. Returns whether anything rose."""
        before = dict(self.highest)
        since, self._looked_ns = self._looked_ns, time.monotonic_ns()
        span = self._observer.span(since, self._looked_ns)
        if span is not None:
            self._raise("rss", span.rss_peak)
            self._raise("children_rss", span.children_rss_peak)
        process = self._observer.process.latest
        if process.alive:
            self._raise("rss", process.rss)
            self._raise("cpu_percent", round(process.cpu_cores * 100, 1))
        return self.highest != before

    def _raise(self, name: str, value: float) -> None:
        self.highest[name] = max(self.highest.get(name, 0), value)


LOOK_S = 0.5
MOST_ENDS = 64
NOTE_EVERY = 10
"""Peaks that rose are written down after so many looks."""
Result = TypeVar("Result")
About = Callable[[str], tuple[str, str | None]]
"""Source → (its stream's name, the URL it is read from or `None`)."""


@dataclass(frozen=True, slots=True)
class _Running:
    """A recorder and what it wants."""

    recorder: Recorder
    sources: frozenset[str] | None
    """`None` = all, also those that begin later."""
    keep: bool
    """Whether it goes on when the collector's parent ends."""
    peaks: Peaks

    def wants(self, source: str) -> bool:
        return self.sources is None or source in self.sources

    def note_peaks(self) -> None:
        """Write down how high things were so far: a killed collector leaves that, too."""
        if self.peaks.highest:
            self.recorder.set_fact("peaks", self.peaks.highest)


class _Opening:
    """A recorder that is being made on a thread of its own, since the disk may hang."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settled = False

    def settle(self) -> bool:
        """Whether this call is the first: the thread's, that the file is there, or the loop's, that it was too late."""
        with self._lock:
            first, self._settled = not self._settled, True
        return first


def on_disk(call: Callable[[], Result], name: str) -> asyncio.Future[Result]:
    """Carry out what touches a user's disk on a thread that is not waited for when the process ends."""
    future: concurrent.futures.Future[Result] = concurrent.futures.Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
            future.set_exception(error)

    threading.Thread(target=run, name=f"tes_nb {name}", daemon=True).start()
    return asyncio.wrap_future(future)


class Recordings:
    """Starts and stops recorders. Messages reach them in the turn of the loop in which they are stamped."""

    def __init__(self, hub: Hub, about: About, new_peaks: Callable[[], Peaks]) -> None:
        self._hub = hub
        self._about = about
        self._new_peaks = new_peaks
        self._watch: asyncio.Task[None] | None = None
        self._running: dict[str, _Running] = {}
        self._named: dict[str, set[str]] = {}
        self._ends: dict[str, tuple[_Running, asyncio.Task[RecordingEnd]]] = {}
        """Path → what has ended, and how: for those that did not end it themselves, or were interrupted."""

    @property
    def keeps(self) -> bool:
        """Whether a recording that goes on wants to outlive the collector's parent."""
        return any(
            one.keep and one.recorder.state is not RecorderState.STOPPED for one in self._running.values()
        )

    @property
    def running(self) -> int:
        """How many recordings run."""
        return len(self._running)

    async def record(
        self, operation: StartRecording, facts: Mapping[str, Any] | None = None
    ) -> RecordingStatus:
        """Begin a recording. facts: are noted in the file."""
        path = session_path(None) if operation.path is None else _absolute(operation.path)
        sources = None if operation.sources is None else frozenset(operation.sources)
        topics = self._hub.topics
        if sources is not None and not (sources and sources <= topics.keys()):
            raise ValueError(f"'sources' must name some of: {', '.join(sorted(topics))}.")
        make = partial(
            Recorder, path, size_limit=operation.size_limit, overwrite=operation.overwrite, facts=facts
        )
        recorder = await self._open(path, make)
        if self._watch is None:
            self._watch = asyncio.create_task(self._watch_peaks(), name="peaks of recordings")
        if self._append not in self._hub.listeners:
            self._hub.listeners.append(self._append)
        return self._begin(path, _Running(recorder, sources, operation.keep, self._new_peaks()))

    def _begin(self, path: Path, running: _Running) -> RecordingStatus:
        """Give it what comes from now on, and first what a reader needs at the beginning."""
        name = str(path)
        self._ends.pop(name, None)
        self._running[name], self._named[name] = running, set()
        for source in filter(running.wants, tuple(self._hub.topics)):
            self._hub.repeat_request(source)
            self._hub.repeat_gap(source)
        return _status(name, running)

    async def hand_over(
        self, path: Path, target: Path, facts: Mapping[str, Any]
    ) -> asyncio.Task[RecordingEnd]:
        """Let a recording go on in another file, between two messages: each is in one of both (decision 0038).

        What waits for the first file is written there, however long that takes, before anything is in the second one.
        Returns what says how the first one ended. Raises `SessionError`, and changes nothing, where the file cannot be
        made, or the recording has ended.
        """
        before = self._running.get(str(path))
        if before is not None:
            make = partial(
                Recorder, target, size_limit=before.recorder.size_limit, facts=facts, after=before.recorder
            )
            recorder = await self._open(target, make)
            if self._running.get(str(path)) is before:
                before.peaks.look()
                before.note_peaks()
                before.recorder.seal()
                del self._running[str(path)], self._named[str(path)]
                self._begin(target, _Running(recorder, before.sources, before.keep, self._new_peaks()))
                return self._end_later(str(path), before, before.recorder.await_end)
            await on_disk(recorder.stop, f"ends {target.name}")
            remove(target)
        raise SessionError(f"The recording of {path.name} has ended, and does not go on in {target.name}.")

    async def _open(self, path: Path, make: Callable[..., Recorder]) -> Recorder:
        """Make the file, and wait for the disk as long as it may take; after that nothing is left of it.

        Refuses a file that is there, unless it may be replaced, and one that is being written in any case.
        """
        opening = _Opening()
        made = on_disk(lambda: make(wanted=opening.settle), f"opens {path.name}")
        try:
            await asyncio.wait({made}, timeout=DISK_S)
        except asyncio.CancelledError:
            opening.settle()
            raise
        if not made.done() and opening.settle():
            made.add_done_callback(lambda late: late.cancelled() or late.exception())  # it was said already
            raise SessionError(
                f"The disk of {path.parent} has not answered within {DISK_S:g} s: nothing is recorded, and what "
                "comes of it is removed when it answers. Record to another disk, or try again."
            )
        return await made

    def _append(self, message: Message) -> None:
        for path, one in self._running.items():
            if one.wants(message.source):
                if message.source not in self._named[path]:
                    self._name(path, one.recorder, message.source)
                one.recorder.put(message)

    def _name(self, path: str, recorder: Recorder, source: str) -> None:
        stream, url = self._about(source)
        recorder.add_source(source, stream=stream, url=url)
        self._named[path].add(source)

    async def recordings(self, operation: ListRecordings) -> list[RecordingStatus]:
        """Return every recording that runs."""
        del operation
        ending = {
            path: one
            for path, (one, _) in self._ends.items()
            if one.recorder.state is not RecorderState.STOPPED
        }
        return [_status(path, one) for path, one in {**ending, **self._running}.items()]

    async def stop(self, operation: StopRecording) -> RecordingEnd:
        """End the recording of `path`, or the only one there is; what waits is written first.

        One that has ended already says again how.
        """
        path = self._only() if operation.path is None else str(_absolute(operation.path))
        running = self._running.pop(path, None)  # no more messages from here on
        if running is None and path in self._ends:
            running, end = self._ends[path]
            if not (end.done() and end.exception()):
                return await asyncio.shield(end)
        if running is None:
            names = ", ".join(self._running) or "none"
            raise SessionError(f"Nothing is recorded into {path}; recordings that run: {names}.")
        running.peaks.look()
        running.note_peaks()
        return await asyncio.shield(self._end_later(path, running, running.recorder.stop))

    def _end_later(
        self, path: str, running: _Running, ending: Callable[[], object]
    ) -> asyncio.Task[RecordingEnd]:
        """End it on a thread, and keep how it ended for later calls; of those handed over only the newest."""
        end = asyncio.create_task(self._end(path, running, ending), name="end of a recording")
        self._ends[path] = running, end
        for old in [path for path, (_, task) in self._ends.items() if task.done()][:-MOST_ENDS]:
            del self._ends[old]
        return end

    async def _end(self, path: str, running: _Running, ending: Callable[[], object]) -> RecordingEnd:
        await on_disk(ending, f"ends {Path(path).name}")
        return RecordingEnd(**_figures(path, running.recorder), ended=running.recorder.text)

    async def _watch_peaks(self) -> None:
        rose: set[str] = set()
        for turn in itertools.count(1):
            await asyncio.sleep(LOOK_S)
            rose |= {path for path, one in self._running.items() if one.peaks.look()}
            if turn % NOTE_EVERY == 0:
                for path in rose & self._running.keys():
                    self._running[path].note_peaks()
                rose.clear()

    def _only(self) -> str:
        """The path of the recording that runs, where none is named."""
        if len(self._running) != 1:
            names = ", ".join(self._running) or "none"
            raise SessionError(f"Which recording is to end? Those that run: {names}.")
        return next(iter(self._running))

    async def close(self, *, but: Collection[str] = ()) -> None:
        """End all recordings."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None  # recordings that are kept have no observed process any more
        late = [
            on_disk(one.recorder.stop, f"ends {Path(path).name} now")
            for path, (one, end) in self._ends.items()
            if not end.done()
        ]
        ends = [self.stop(StopRecording(path=path)) for path in self._running if path not in but]
        for error in await asyncio.gather(*late, *ends, return_exceptions=True):
            if isinstance(error, SessionError):
                logger.warning("%s", error)
            elif isinstance(error, BaseException):
                raise error

    def outliving(self) -> list[str]:
        """The paths of the recordings that outlive the parent."""
        return [path for path, one in self._running.items() if one.keep]


def _status(path: str, running: _Running) -> RecordingStatus:
    return RecordingStatus(**_figures(path, running.recorder), keep=running.keep)


def _absolute(text: str) -> Path:
    if not Path(text).is_absolute():
        raise ValueError(f"'path' must be {phrase(PathText)}.")
    return Path(text)


def _figures(path: str, recorder: Recorder) -> dict[str, Any]:
    return {
        "path": path,
        "state": str(recorder.state),
        "text": recorder.text,
        "messages": recorder.messages,
        "waiting": recorder.waiting,
        "lost": recorder.lost,
        "bytes": recorder.size,
        "committed": {source: done.seq for source, done in recorder.committed.items()},
    }
