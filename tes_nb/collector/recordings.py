"""The recordings that a collector writes: begun, told of and ended over the control socket."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tes_nb.collector.hub import Hub
from tes_nb.collector.observer import Observer
from tes_nb.errors import SessionError
from tes_nb.model import Message
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
NOTE_EVERY = 10
"""Peaks that rose are written down after so many looks."""
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


class RecordingDesk:
    """Starts and stops recorders. Messages reach them in the turn of the loop in which they are stamped."""

    def __init__(self, hub: Hub, about: About, new_peaks: Callable[[], Peaks]) -> None:
        self._hub = hub
        self._about = about
        self._new_peaks = new_peaks
        self._watch: asyncio.Task[None] | None = None
        self._running: dict[str, _Running] = {}
        self._named: dict[str, set[str]] = {}

    @property
    def keeps(self) -> bool:
        """Whether a recording that goes on wants to outlive the collector's parent."""
        return any(
            one.keep and one.recorder.state is not RecorderState.STOPPED for one in self._running.values()
        )

    async def record(self, args: dict[str, Any]) -> dict[str, Any]:
        """Begin: optional `path` (absolute, else a new name), `sources`, `size_limit` in bytes, `keep`."""
        path = session_path(None) if args.get("path") is None else _path(args)
        sources = args.get("sources")
        if sources is not None:
            self._check_sources(sources)
        limit = args.get("size_limit")
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit <= 0):
            raise ValueError("'size_limit' must be a number of bytes.")
        recorder = Recorder(path, size_limit=limit)  # refuses a file that is there or being written
        wanted = None if sources is None else frozenset(sources)
        keep = bool(args.get("keep", False))
        self._running[str(path)] = _Running(recorder, wanted, keep, self._new_peaks())
        if self._watch is None:
            self._watch = asyncio.create_task(self._watch_peaks(), name="peaks of recordings")
        self._named[str(path)] = set()
        if self._take not in self._hub.listeners:
            self._hub.listeners.append(self._take)
        return self._told(str(path))

    def _check_sources(self, sources: Any) -> None:
        known = set(self._hub.topics)
        if not isinstance(sources, list) or not sources or not set(map(str, sources)) <= known:
            raise ValueError(f"'sources' must name some of: {', '.join(sorted(known))}.")

    def _take(self, message: Message) -> None:
        for path, one in self._running.items():
            if one.wants(message.source):
                if message.source not in self._named[path]:
                    self._name(path, one.recorder, message.source)
                one.recorder.put(message)

    def _name(self, path: str, recorder: Recorder, source: str) -> None:
        stream, url = self._about(source)
        recorder.add_source(source, stream=stream, url=url)
        self._named[path].add(source)

    async def recordings(self, args: dict[str, Any]) -> list[dict[str, Any]]:
        """Tell of every recording that runs."""
        del args
        return [self._told(path) for path in self._running]

    async def stop(self, args: dict[str, Any]) -> dict[str, Any]:
        """End the recording of `path`, or the only one there is; what waits is written first."""
        path = self._only() if args.get("path") is None else str(_path(args))
        if path not in self._running:
            names = ", ".join(self._running) or "none"
            raise SessionError(f"Nothing is recorded into {path}; recordings that run: {names}.")
        running = self._running.pop(path)  # no more messages from here on
        recorder = running.recorder
        running.peaks.look()
        running.note_peaks()
        await asyncio.to_thread(recorder.stop)
        return {**_figures(path, recorder), "ended": recorder.text}

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
        """The path of the recording that runs, where nobody says which."""
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
            self._watch = None  # what is kept has nobody to look at any more
        for path in [path for path in self._running if path not in but]:
            await self.stop({"path": path})

    def kept(self) -> list[str]:
        """The paths of the recordings that outlive the parent."""
        return [path for path, one in self._running.items() if one.keep]

    def _told(self, path: str) -> dict[str, Any]:
        return {**_figures(path, self._running[path].recorder), "keep": self._running[path].keep}


def _path(args: dict[str, Any]) -> Path:
    text = args.get("path")
    if not isinstance(text, str) or not Path(text).is_absolute():
        raise ValueError("'path' must be an absolute path.")
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
