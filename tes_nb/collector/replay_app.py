"""The collector of a replay: it serves a recording on the paths where its streams are live otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import math
from pathlib import Path
from typing import Any, NoReturn

from tes_nb.collector.app import KERNEL, Collector
from tes_nb.collector.channel import Channel
from tes_nb.collector.kernel_ops import KernelDesk
from tes_nb.collector.options import Options, Replay
from tes_nb.collector.pages import Shown
from tes_nb.collector.player import Player
from tes_nb.collector.replay_channel import ReplayChannel
from tes_nb.collector.server import Bound
from tes_nb.errors import CollectorError, SessionError
from tes_nb.model import Message
from tes_nb.store.session.reader import SessionFile
from tes_nb.streams import NAMES, all_streams, get

REFUSED = ("cost", "mark", "scale", "watch", "unwatch", "subscribe", "record", "stop")
"""What makes sense for something live alone."""


class ReplayCollector(Collector):
    """Plays one session file. What it serves was recorded; it samples and reads nothing."""

    channels: dict[str, Channel]

    def __init__(self, options: Options) -> None:
        """Raises `SessionError` for what is no session file."""
        if options.replay is None:
            raise CollectorError("A replay needs the recording that it plays.")
        self.replay: Replay = options.replay
        self.file = SessionFile.open(Path(self.replay.path))
        self._carried = {one.name: one.stream for one in self.file.sources.values()}
        super().__init__(options)
        self.channels = self._recorded_channels()
        speed = math.inf if self.replay.speed is None else self.replay.speed
        self.player = Player(self.file, self.hub, self, speed=speed, loop=self.replay.loop)
        self._playing: asyncio.Task[None] | None = None

    def _recorded_channels(self) -> dict[str, Channel]:
        """The first source of each stream that listens on TES's ports, by the source's name."""
        found: dict[str, Channel] = {}
        for stream in all_streams():
            source = next((name for name, carried in self._carried.items() if carried == stream.name), None)
            if source is not None and stream.producer is not None:
                found[source] = ReplayChannel(stream, stream.producer, self.hub)
        return found

    def _shown(self) -> list[Shown]:
        """What the page shows: the usual streams, and after them every other source of the recording."""
        usual = super()._shown()
        known = {one.source for one in usual}
        others = [
            Shown(one.name, get(one.stream), made_here=False, origin=one.url)
            for one in self.file.sources.values()
            if one.name not in known and one.stream in NAMES
        ]
        return [*usual[:-1], *others, usual[-1]]

    # What the player hands on --------------------------------------------------------------------------------

    def take(self, message: Message, *, skipped: bool) -> None:
        """Send a message to the clients of the plain endpoints."""
        channel = self.channels.get(message.source)
        if isinstance(channel, ReplayChannel):
            channel.take(message, skipped=skipped)

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
        desk = KernelDesk(self.hub, self.observer, self.guard)

        async def kernel(args: dict[str, Any]) -> None:
            """Only where a widget's page is may be told; what the kernel does now is no part of a recording."""
            if "origin" in args:
                await desk.kernel({"origin": args["origin"]})

        async def refused(args: dict[str, Any]) -> NoReturn:
            del args
            raise SessionError(
                f"This is a replay of {self.file.path.name}: there is nothing to mark, scale, watch or record. "
                "tes.start() or tes.attach() starts a live session."
            )

        for name in REFUSED:
            self.control.register(name, refused)
        self.control.register("kernel", kernel)
        self.control.register("replay", self._operate)

    async def _operate(self, args: dict[str, Any]) -> dict[str, Any]:
        """`do`: "pause", "resume", or nothing; `speed` (0 = as fast as it goes); `seek_ns` (Unix) or `seek_share`."""
        player = self.player
        if "speed" in args:
            speed = _number(args["speed"], "speed")
            player.set_speed(speed or math.inf)
        if "seek_ns" in args:
            player.seek(self._mono_of(int(_number(args["seek_ns"], "seek_ns"))))
        if "seek_share" in args:
            first, end = player.schedule.first_ns, player.schedule.end_ns
            player.seek(first + round(_number(args["seek_share"], "seek_share") * (end - first)))
        act = {"pause": player.pause, "resume": player.resume, None: _nothing}.get(args.get("do"))
        if act is None:
            raise ValueError("'do' must be 'pause' or 'resume'.")
        act()
        return self._told()

    def _mono_of(self, wall_ns: int) -> int:
        """The recorded monotonic time of the first message received then or later; the end when there is none."""
        message = next(self.file.messages(start_ns=wall_ns), None)
        return self.player.schedule.end_ns if message is None else message.t_mono_ns

    def _told(self) -> dict[str, Any]:
        player, schedule = self.player, self.player.schedule
        length = schedule.end_ns - schedule.first_ns
        return {
            "word": player.word,
            "speed": 0.0 if math.isinf(schedule.speed) else schedule.speed,
            "at_ns": player.wall_ns,
            "share": 1.0 if player.ended else (player.position - schedule.first_ns) / length,
            "settled": player.settled,
            "loop": player.loop,
            "sources": {
                source: {"round": topic.round, "seq": player.newest.get(source, 0)}
                for source, topic in self.hub.topics.items()
            },
            "damage": list(self.file.damage),
        }


def _nothing() -> None:
    """Only tell."""


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"'{name}' must be a number.")
    return value
