"""The collector of a replay: it serves a recording on the paths where its streams are live otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import math
from pathlib import Path
from typing import Any, NoReturn

import msgspec
from aiohttp import web

from tes_nb.collector.app import Collector
from tes_nb.collector.http.guard import Access, json_answer
from tes_nb.collector.http.pages import PageSource
from tes_nb.collector.http.server import Bound
from tes_nb.collector.hub import Hub
from tes_nb.collector.kernel_source import KernelSource
from tes_nb.collector.options import CollectorOptions, ReplayOptions
from tes_nb.collector.produced import Channel, Client, binary_frame, text_frame
from tes_nb.collector.replay.player import Player
from tes_nb.errors import CollectorError, SessionError
from tes_nb.model import Direction, Kind, Message, Observation, Opcode, Producer, Stream
from tes_nb.model.control import (
    GetCost,
    KernelReport,
    PutMark,
    ScaleWorkers,
    StartRecording,
    StopRecording,
    SubscribeSource,
    UnwatchSource,
    WatchSource,
)
from tes_nb.model.message import FLAG_DUPLICATE
from tes_nb.model.operation import Operation
from tes_nb.model.view_control import (
    ControlStates,
    GetTrack,
    ReplayPlace,
    ReplayStatus,
    ReplayTrack,
    SteerReplay,
    TrackGap,
    TrackMark,
)
from tes_nb.model.work_control import GetStack, ObservePool, TakeSnapshot
from tes_nb.store.session.reader import SessionFile
from tes_nb.streams import NAMES, all_streams, get
from tes_nb.streams.kernel import KERNEL


def _nothing_observed() -> Observation:
    raise web.HTTPServiceUnavailable(reason="A replay observes nothing.")


class ReplayChannel(Channel):
    """Sends clients the payloads as they were recorded; only parts that a client chose are made anew."""

    def __init__(self, stream: Stream, producer: Producer, hub: Hub) -> None:
        super().__init__(stream, producer, hub, _nothing_observed)
        self._latest: Message | None = None
        self._pending = False

    def on_message(self, message: Message, *, skipped: bool) -> None:
        """Send a message to all clients; skipped: keep it as the newest and send nothing."""
        data = message.direction == Direction.IN and message.opcode != Opcode.EVENT
        if not data or message.flags & FLAG_DUPLICATE or self.stream.classify(message) is not Kind.DATA:
            return
        self._latest, self._pending = message, skipped
        if not skipped:
            self._send(message)

    def settle(self) -> None:
        """Send what was skipped over last."""
        if self._pending and self._latest is not None:
            self._pending = False
            self._send(self._latest)

    def _send(self, message: Message) -> None:
        for client in tuple(self.clients):
            client.write(self._frame(message, client))

    def _frame(self, message: Message, client: Client) -> bytes:
        if client.parts and self.producer.select is not None:
            try:
                return text_frame(self.encode(message.json(), client.parts))
            except (msgspec.DecodeError, KeyError, TypeError):
                pass  # a peer's own form, which has no such parts
        frame = text_frame if message.opcode == Opcode.TEXT else binary_frame
        return frame(message.payload)

    def current(self) -> dict[str, Any]:
        """Return the newest message. 503 when none has been played yet, or none that is an object."""
        newest = None if self._latest is None else _parsed(self._latest)
        if not isinstance(newest, dict):
            raise web.HTTPServiceUnavailable(reason="The replay has played no message of this stream yet.")
        return newest

    def touch(self) -> None:
        """Nothing changes by itself."""

    def join(self, client: Client) -> None:
        """Greet a client with the newest message, then send it every one."""
        self.clients.add(client)
        if self._latest is not None:
            client.write(self._frame(self._latest, client))


def _parsed(message: Message) -> Any:
    try:
        return message.json()
    except msgspec.DecodeError:
        return None


MOST_ON_TRACK = 1000
"""Marks, and gaps: the last ones."""
REFUSED: tuple[type[Operation[Any]], ...] = (
    GetCost,
    PutMark,
    ScaleWorkers,
    GetStack,
    ObservePool,
    TakeSnapshot,
    WatchSource,
    UnwatchSource,
    SubscribeSource,
    StartRecording,
    StopRecording,
)
"""What makes sense for something live alone."""


class ReplayCollector(Collector):
    """Plays one session file. What it serves was recorded; it samples and reads nothing."""

    channels: dict[str, Channel]

    def __init__(self, options: CollectorOptions) -> None:
        """Raises `SessionError` for what is no session file."""
        if options.replay is None:
            raise CollectorError("A replay needs the recording that it plays.")
        self.replay: ReplayOptions = options.replay
        self.file = SessionFile.open(Path(self.replay.path))
        self._carried = {one.name: one.stream for one in self.file.sources.values()}
        super().__init__(options)
        self.channels = self._recorded_channels()
        speed = math.inf if self.replay.speed is None else self.replay.speed
        self.player = Player(self.file, self.hub, self, speed=speed, loop=self.replay.loop)
        self._playing: asyncio.Task[None] | None = None

    def _recorded_channels(self) -> dict[str, Channel]:
        """The first source of each stream that listens on TES's ports, by the source's name."""
        channels: dict[str, Channel] = {}
        for stream in all_streams():
            source = next((name for name, carried in self._carried.items() if carried == stream.name), None)
            if source is not None and stream.producer is not None:
                channels[source] = ReplayChannel(stream, stream.producer, self.hub)
        return channels

    def _page_sources(self) -> list[PageSource]:
        """What the page shows: the usual streams, and after them every other source of the recording."""
        usual = super()._page_sources()
        names = {one.source for one in usual}
        others = [
            PageSource(one.name, get(one.stream), is_produced=False, origin=one.url)
            for one in self.file.sources.values()
            if one.name not in names and one.stream in NAMES
        ]
        return [*usual[:-1], *others, usual[-1]]

    # What the player hands on --------------------------------------------------------------------------------

    def on_message(self, message: Message, *, skipped: bool) -> None:
        """Send a message to the clients of the plain endpoints."""
        channel = self.channels.get(message.source)
        if isinstance(channel, ReplayChannel):
            channel.on_message(message, skipped=skipped)

    def settle(self) -> None:
        """The position is reached."""
        for channel in self.channels.values():
            if isinstance(channel, ReplayChannel):
                channel.settle()

    # Life ----------------------------------------------------------------------------------------------------

    async def _begin(self, bound: Bound) -> None:
        await self._serve(bound)
        self._playing = asyncio.create_task(self.player.run(), name="replay")
        if self.replay.playing:
            self.player.resume()
        self.announce(self.ports)

    async def stop(self) -> None:
        """End everything; the file is only read, so nothing can be lost."""
        if self._playing is not None:
            self._playing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._playing
        await super().stop()
        self.file.close()

    # Routes --------------------------------------------------------------------------------------------------

    def _fill_tables(self) -> None:
        super()._fill_tables()
        self.hub.topic(KERNEL)
        kernel_source = KernelSource(self.hub, self.observer, self.guard)

        async def kernel(report: KernelReport) -> None:
            """Take in only where a widget's page is; what the kernel does now is no part of a recording."""
            if report.origin is not None:
                kernel_source.allow_origin(report.origin)

        async def refused(operation: Operation[Any]) -> NoReturn:
            del operation
            raise SessionError(self._refusal())

        async def track(request: web.Request) -> web.Response:
            del request
            return json_answer(self._track())

        async def track_operation(operation: GetTrack) -> ReplayTrack:
            del operation
            return self._track()

        for operation in REFUSED:
            self.control.register(operation, refused)
        self.control.register(KernelReport, kernel)
        self.control.register(SteerReplay, self._steer)
        self.control.register(GetTrack, track_operation)
        self.tables["status"].get("/api/track", track, Access.OPEN)

    def _refusal(self) -> str:
        return (
            f"This is a replay of {self.file.path.name}: there is nothing to mark, scale, watch or record. "
            "tes.start() or tes.attach() starts a live session."
        )

    def _control_states(self) -> ControlStates:
        why = self._refusal()
        return ControlStates(mark=why, record=why, stop=why, scale=why, replay=self._status())

    def _track(self) -> ReplayTrack:
        """Each mark once, though it stands in every source."""
        labels = {mark.at_ns: mark.label for mark in self.file.marks}
        gaps = [
            TrackGap(one.source, gap.last_seen_ns or gap.lost_at_ns, gap.back_at_ns, gap.cause)
            for one in self.file.gaps[-MOST_ON_TRACK:]
            for gap in [one.gap]
        ]
        return ReplayTrack(
            [TrackMark(at, label) for at, label in sorted(labels.items())[-MOST_ON_TRACK:]],
            sorted(gaps, key=lambda gap: gap.from_ns),
        )

    async def _steer(self, operation: SteerReplay) -> ReplayStatus:
        player = self.player
        if operation.speed is not None:
            player.set_speed(operation.speed or math.inf)
        if operation.seek_ns is not None:
            player.seek(self._mono_of(operation.seek_ns))
        if operation.seek_share is not None:
            first, end = player.schedule.first_ns, player.schedule.end_ns
            player.seek(first + round(operation.seek_share * (end - first)))
        if operation.do == "pause":
            player.pause()
        elif operation.do == "resume":
            player.resume()
        return self._status()

    def _mono_of(self, wall_ns: int) -> int:
        """The recorded monotonic time of the first message received then or later; the end when there is none."""
        message = next(self.file.messages(start_ns=wall_ns), None)
        return self.player.schedule.end_ns if message is None else message.t_mono_ns

    def _status(self) -> ReplayStatus:
        player, schedule = self.player, self.player.schedule
        length = schedule.end_ns - schedule.first_ns
        return ReplayStatus(
            word=player.word,
            speed=0.0 if math.isinf(schedule.speed) else schedule.speed,
            at_ns=player.wall_ns,
            share=1.0 if player.at_end else (player.position - schedule.first_ns) / length,
            settled=player.settled,
            loop=player.loop,
            sources={
                source: ReplayPlace(topic.round, player.newest.get(source, 0))
                for source, topic in self.hub.topics.items()
            },
            damage=list(self.file.damage),
            name=self.file.path.name,
            place_ns=player.place_ns,
            began_ns=player.began_ns,
            ended_ns=player.ended_ns,
        )
