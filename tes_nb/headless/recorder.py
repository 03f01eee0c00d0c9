"""`tes-nb record`: a collector that records, without a kernel. It decodes nothing, and may go on for weeks.

It is one process: a message is on the recorder's queue in the turn of the loop in which it came, and a new file begins
between two messages (decisions/0038).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tes_nb.collector.app import Collector
from tes_nb.collector.child import SWITCH_INTERVAL_S
from tes_nb.collector.lifetime import first_of, watch_signals
from tes_nb.collector.logs import log_to_stderr, logger
from tes_nb.collector.options import CollectorOptions, Limits, check_platform, default_auth, default_token
from tes_nb.collector.recordings import on_disk
from tes_nb.collector.series import Series, Tidied
from tes_nb.errors import SessionError
from tes_nb.headless.lines import FinishedFiles, Seen, StatusLines
from tes_nb.model.control import (
    DISK_S,
    ListRecordings,
    RecordingEnd,
    RecordingFigures,
    StartRecording,
    StopRecording,
)
from tes_nb.session.source import Source, wire_names
from tes_nb.session.start import peer_upstreams
from tes_nb.store.session.files import remove
from tes_nb.store.session.lock import owner_of
from tes_nb.store.session.packed import zstd
from tes_nb.store.session.recorder import replacing
from tes_nb.store.session.schema import new_session_path, session_dir
from tes_nb.streams import get

if TYPE_CHECKING:
    from tes_nb.store.session.lock import WriterLock

REACH_S = 5.0
"""A TES has so long to answer at the beginning. Once it was read it may go and come back."""
FEED_REACH_S = 10.0
"""The same for an external feed, which gives a token first."""
LOOK_S = 0.25
TIDY_EVERY_S = 60.0
RETRY_S = 10.0
RELAY_BYTES = 8 * 2**20
"""For the page and for who attaches; no kernel comes back here to read on."""
NO_LIMIT = 2**62
"""Bytes: a recording of weeks that fills the disk says so and goes on; it does not end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRequest:
    """What the command line asked for."""

    path: Path | None = None
    """A file; with rotation what its files are called. `None` = a new name."""
    seconds: float = float("inf")
    peer: str = ""
    """A TES to read; "" = this machine."""
    workers: str | None = None
    watch: tuple[str, ...] = ()
    """External feeds."""
    channels: tuple[str, ...] = ()
    rotate_bytes: int | None = None
    rotate_ns: int | None = None
    """A new file at each multiple of so long since 1970, UTC: a day ends at midnight."""
    compress: bool = False
    keep_ns: int | None = None
    overwrite: bool = False
    json: bool = False
    every_s: float = 60.0


def _series_of(request: RecordRequest) -> Series | None:
    """Return what the files are called; `None` = there is one file. Raises `SessionError`."""
    if request.rotate_bytes is None and request.rotate_ns is None:
        if request.compress or request.keep_ns is not None:
            raise SessionError("--compress and --keep are for finished files: give --rotate, too.")
        return None
    if request.overwrite:
        raise SessionError(
            "With --rotate each file has a new name, and none is overwritten: leave --overwrite out."
        )
    if request.compress:
        zstd()
    name = (request.watch or ("peer" if request.peer else "tes",))[0]
    path = session_dir() / name if request.path is None else request.path
    if "{" in path.name:
        raise SessionError(
            "With --rotate each file's name has its time already: leave {date} and {time} out."
        )
    path = new_session_path(path)
    return Series(path.parent, path.stem, compress=request.compress, keep_ns=request.keep_ns)


def _sources(names: tuple[str, ...]) -> list[Source[Any]]:
    if not names:
        return []
    from tes_nb.session.watching import source_of  # noqa: PLC0415 - it loads pandas

    return [source_of(name).with_environment() for name in names]


async def record_until_end(request: RecordRequest) -> None:
    """Record until a signal, the end of the time, or a request to end the recording.

    Raises `TesError` where it cannot begin or ends by itself, KeyboardInterrupt after SIGINT.
    """
    check_platform()
    recorder = HeadlessRecorder(request)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    ended = watch_signals(signal.SIGINT, signal.SIGTERM)
    await recorder.begin()  # what goes wrong here is one sentence, and no log
    log_to_stderr()
    logging.getLogger().setLevel(logging.WARNING)
    try:
        reason = await first_of(ended, recorder.go_on(), _time_is_over(request.seconds))
    finally:
        await recorder.end()
    if reason == signal.SIGINT.name:
        raise KeyboardInterrupt
    if reason not in (signal.SIGTERM.name, ""):
        raise SessionError(reason)


async def _time_is_over(seconds: float) -> str:
    while seconds > 0:
        await asyncio.sleep(min(seconds, 3600.0))
        seconds -= 3600.0
    return ""


class HeadlessRecorder:
    """A collector, its recording, and the files that it leaves."""

    def __init__(self, request: RecordRequest) -> None:
        """Check what can be checked. Raises `TesError`."""
        self._request = request
        self._watched = _sources(request.watch)
        self._series = _series_of(request)
        self._path = new_session_path(request.path) if self._series is None else self._series.new_path()
        self._peer, upstreams = peer_upstreams(request.peer, request.workers) if request.peer else ("", ())
        self._collector = Collector(
            CollectorOptions(
                token=default_token(),
                auth=default_auth(),
                produce=not request.peer,
                upstreams=upstreams,
                limits=Limits(relay_bytes=RELAY_BYTES),
            )
        )
        self._seen: defaultdict[str, Seen] = defaultdict(Seen)
        self._collector.hub.listeners.append(lambda message: self._seen[message.source].note(message))
        self._lock: WriterLock | None = None
        self._finished = FinishedFiles()
        self._tidied = Tidied()
        self._tidying: asyncio.Future[Tidied] | None = None
        self._tidy_at = 0.0
        self._ends: set[asyncio.Task[None]] = set()
        self._former = set[str]()
        """The file before, which may wait for the disk."""
        self._rotation: asyncio.Task[bool] | None = None
        self._working = True
        self._since = time.monotonic()
        self._before: dict[str, int] = {}
        self._lines = StatusLines(as_json=request.json)

    # Beginning -----------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Record first and then read, so that what a peer says at the beginning is in the file, too.

        Raises `TesError`, and leaves no file, or the one that was to be replaced, where the file cannot be made or
        nothing answers.
        """
        request, facts = self._request, None
        if self._series is not None:
            self._series.folder.mkdir(parents=True, exist_ok=True)
            self._lock, facts = self._series.lock(), self._series.facts(self._path)
        operation = StartRecording(
            path=str(self._path),
            size_limit=None if self._series is None else NO_LIMIT,
            overwrite=request.overwrite,
        )
        recordings = self._collector.recordings
        path = self._path.resolve() if self._path.exists() else self._path
        # one that somebody writes is refused, and stays where it is
        is_aside = request.overwrite and self._path.exists() and owner_of(path) is None
        try:
            with replacing(path) if is_aside else contextlib.nullcontext():
                await recordings.record(operation, facts)
                try:
                    await self._read()
                except BaseException:
                    await self._collector.stop()
                    remove(path)
                    raise
        except BaseException:
            self._release()
            raise
        how = "" if request.seconds < float("inf") else "; Ctrl-C ends it"
        self._lines.say(f"Recording into {self._path}{how}.")

    async def _read(self) -> None:
        """Begin to read, and wait for it. Raises `SessionError` where nothing answers."""
        collector = self._collector
        await collector.start()
        if self._peer:
            names = [one.source for one in collector.options.upstreams]
            await self._reach(names, self._peer, "check the address, and that a TES runs there.", REACH_S)
        for source in self._watched:
            channels = wire_names(get(source.stream), self._request.channels) or None
            reply = await collector.watches.watch(source.request(channels))
            _, address = collector.watches.about(reply.source) or ("", source.name)
            advice = "check the address, and where its tokens come from."
            await self._reach([reply.source], str(address), advice, FEED_REACH_S)

    async def _reach(self, names: list[str], where: str, advice: str, patience_s: float) -> None:
        until = time.monotonic() + patience_s
        while not any(self._seen[name].is_open for name in names):
            if time.monotonic() > until:
                states = [(name, self._seen[name].state) for name in names]
                why = "; ".join(f"{name} {state.text if state else 'CONNECTING'}" for name, state in states)
                raise SessionError(f"Nothing answers at {where} ({why}): {advice}")
            await asyncio.sleep(0.05)

    # Going on ------------------------------------------------------------------------------------------------

    async def go_on(self) -> str:
        """Rotate, tidy and say how it is, until the recording ends; return why, "" = it was ended on request."""
        began_ns, rotate_at = time.time_ns(), 0.0
        while True:
            await asyncio.sleep(LOOK_S)
            running = {one.path: one for one in await self._collector.recordings.recordings(ListRecordings())}
            status = running.pop(str(self._path), None)
            if status is None or status.state == "STOPPED":
                return "" if status is None else status.text
            former = (running[path] for path in self._former & running.keys())  # a page may have begun others
            waiting = next((one for one in former if one.state != "STOPPED"), None)
            now = time.monotonic()
            if now >= rotate_at and waiting is None and self._is_full(status, began_ns):
                # whole, also where a signal comes meanwhile: else the file that was being made would be nobody's
                self._rotation = asyncio.create_task(self._rotate(), name="begins the next file")
                rotated = await asyncio.shield(self._rotation)
                began_ns, rotate_at = (time.time_ns(), now) if rotated else (began_ns, now + RETRY_S)
            self._tidy()
            if now - self._since >= self._request.every_s:
                self._lines.status(self._facts(status, waiting))
                self._tidied = Tidied(trouble=self._tidied.trouble)

    def _is_full(self, status: RecordingFigures, began_ns: int) -> bool:
        """Whether another file is due. While a disk is full nothing is begun: what waits goes on in this one."""
        request = self._request
        if self._series is None or status.state != "RECORDING":
            return False
        if request.rotate_bytes is not None and status.bytes >= request.rotate_bytes:
            return True
        every = request.rotate_ns
        return every is not None and time.time_ns() // every != began_ns // every

    async def _rotate(self) -> bool:
        """Go on in another file. False = it cannot be made now."""
        assert self._series is not None
        target = self._series.new_path()
        try:
            end = await self._collector.recordings.hand_over(self._path, target, self._series.facts(target))
        except SessionError as error:
            logger.warning("Recording goes on in %s: %s", self._path.name, error)
            return False
        self._former = {str(self._path)}
        task = asyncio.create_task(self._take(end), name="end of a file")
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)
        self._path = target
        return True

    async def _take(self, end: asyncio.Task[RecordingEnd]) -> None:
        """Add a finished file to the totals, and look after it."""
        self._finished.add(await asyncio.shield(end))
        self._tidy_at = 0.0

    def _tidy(self) -> None:
        """Begin to look after finished files, or take what became of it."""
        if self._tidying is not None and self._tidying.done():
            future, self._tidying = self._tidying, None
            done = future.result()
            for sentence in done.trouble:
                if sentence not in self._tidied.trouble:
                    logger.warning("%s", sentence)
            self._tidied.compressed += done.compressed
            self._tidied.removed += done.removed
            self._tidied.trouble = done.trouble
        series = self._series
        if series is not None and self._tidying is None and time.monotonic() >= self._tidy_at:
            self._tidy_at = time.monotonic() + TIDY_EVERY_S
            self._tidying = on_disk(lambda: series.tidy(lambda: self._working), "looks after finished files")

    def _facts(self, status: RecordingFigures, waiting: RecordingFigures | None) -> dict[str, Any]:
        """Return the next status line: what is counted is counted since the beginning, a rate since the last line."""
        worst = status if waiting is None else waiting
        now = time.monotonic()
        feeds = {
            name: seen.facts(self._before.get(name, 0), now - self._since)
            for name, seen in self._seen.items()
        }
        self._since = now
        self._before = {name: seen.messages for name, seen in self._seen.items()}
        return {
            "time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "file": status.path,
            "state": worst.state,
            "text": worst.text,
            "bytes": status.bytes,
            "messages": status.messages,
            "waiting": status.waiting + (waiting.waiting if waiting else 0),
            "lost": self._finished.lost + status.lost,
            "rate": round(sum(each["rate"] for each in feeds.values()), 1),
            "gaps": sum(each["gaps"] for each in feeds.values()),
            "feeds": feeds,
            "files": self._finished.files + 1,
            "total_messages": self._finished.messages + status.messages,
            "compressed": self._tidied.compressed,
            "removed": self._tidied.removed,
            "trouble": self._tidied.trouble,
        }

    # Ending --------------------------------------------------------------------------------------------------

    async def end(self) -> None:
        """Write what waits, close the file, and say how it ended. What is not compressed yet is left so."""
        self._working = False
        if self._rotation is not None:
            await asyncio.wait({self._rotation}, timeout=DISK_S)
        await self._collector.stop()
        if self._ends:
            await asyncio.wait(self._ends, timeout=DISK_S)
        if self._tidying is not None:
            await asyncio.wait({self._tidying}, timeout=DISK_S)
        end = await self._collector.recordings.stop(StopRecording(path=str(self._path)))
        self._release()
        facts = self._facts(end, None)
        self._lines.end(facts, self._series is not None)

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
