"""Plays a recording into the hub: each message when it is due, in the order in which it was received.

What a seek delivers, why going back begins a round, and how a loop goes on in time: docs/decisions/0011.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from tes_nb.collector.hub import Hub, Topic
from tes_nb.errors import DecodeError
from tes_nb.model import Direction, Message, Opcode
from tes_nb.wire.events import Event, Gap, Playback, StateChange, decode_event, encode_event
from tes_nb.wire.record import pack
from tes_nb.wire.schedule import Schedule

if TYPE_CHECKING:
    from tes_nb.store.session.reader import SessionFile


LEAST_PAUSE_NS = 1_000_000
_TIMES = (
    "at_ns",
    "last_seen_ns",
    "lost_at_ns",
    "back_at_ns",
    "retry_at_ns",
    "token_until_ns",
    "channels_mono_ns",
)


class Rounds:
    """Shifts what is played. The first round is as recorded; payloads never change, except our own events' times."""

    def __init__(self, duration_ns: int, messages: int) -> None:
        """duration_ns: from the first to the last message. Between two rounds lies what lies between two messages."""
        self.number = 0
        """The round, from 0."""
        pause = max(duration_ns // max(messages - 1, 1), LEAST_PAUSE_NS)
        self._length_ns = duration_ns + pause
        self._first: dict[str, int] = {}
        self._last: dict[str, int] = {}

    def turn(self) -> bool:
        """Begin the next round; False = there is nothing to play."""
        self.number += 1
        return bool(self._first)

    def restart(self) -> None:
        """Begin with the first round again."""
        self.number = 0

    def shifted(self, message: Message) -> Message:
        """Return the message as it is in this round."""
        if self.number == 0:
            self._first.setdefault(message.source, message.seq)
            self._last[message.source] = message.seq
            return message
        by_ns = self.number * self._length_ns
        numbers = self._last[message.source] - self._first[message.source] + 1
        return msgspec.structs.replace(
            message,
            payload=_event_shifted(message.payload, by_ns)
            if message.opcode == Opcode.EVENT
            else message.payload,
            t_wall_ns=message.t_wall_ns + by_ns,
            t_mono_ns=message.t_mono_ns + by_ns,
            seq=message.seq + self.number * numbers,
        )


def _event_shifted(payload: bytes, by_ns: int) -> bytes:
    try:
        event: Event = decode_event(payload)
    except DecodeError:
        return payload
    times = {name: getattr(event, name, None) for name in _TIMES}
    moved = {name: at + by_ns for name, at in times.items() if at is not None}
    return encode_event(msgspec.structs.replace(event, **moved))


READ_AHEAD = 512
"""Messages that are read from the file at a time, off the loop."""
MAX_TURN_S = 0.005
"""Without pauses for this long, others get a turn of the loop."""
STALL_S = 60.0
"""So long the replay waits for a relay reader that does not read before it goes on without it."""
FULL_CHECK_S = 0.01


class Endpoints(Protocol):
    """Who else gets what is played, beside the relays."""

    def on_message(self, message: Message, *, skipped: bool) -> None:
        """Take a message; skipped: it is only passed over on the way to another position."""

    def settle(self) -> None:
        """The position is reached: what was passed over last is what holds now."""


class Player:
    """One recording on its way into the hub. All methods belong to the collector's loop."""

    def __init__(
        self, file: SessionFile, hub: Hub, endpoints: Endpoints, *, speed: float = 1.0, loop: bool = False
    ) -> None:
        """speed: recorded seconds a second, `math.inf` = as fast as it goes. It begins paused."""
        first, last = file.mono_span() or (0, 0)
        self.schedule = Schedule(first, last, speed=speed)
        self.loop = loop
        self.at_end = False
        self.began_ns, self.ended_ns = file.span() or (0, 0)
        """The receive times of the first and the last message."""
        self.wall_ns = self.began_ns
        """The receive time of the newest message that was played."""
        self._newest_mono_ns = first
        """The same by the recorded monotonic clock."""
        self.newest: dict[str, int] = {}
        """Source → the number of its newest message that was played."""
        self._file = file
        self._hub = hub
        self._endpoints = endpoints
        self._rounds = Rounds(last - first, file.info().messages)
        self._changed = asyncio.Event()
        self._back = 0
        """Counted up when it went back."""
        self._skip_until = -math.inf
        self._idle = asyncio.Event()
        for source in file.sources:
            hub.topic(source)

    # What a user does ----------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Hold the position."""
        self.schedule.pause(_now())
        self._announce()

    def resume(self) -> None:
        """Go on; from the beginning when it has come to the end."""
        if self.at_end:
            self.seek(self.schedule.first_ns)
        self.schedule.resume(_now())
        self._announce()

    def set_speed(self, speed: float) -> None:
        """Play at this speed from now on."""
        self.schedule.set_speed(speed, _now())
        self._announce()

    def seek(self, recorded_ns: int) -> None:
        """Go to a recorded time: what lies between is delivered at once; going back, all from the beginning."""
        now = _now()
        back = recorded_ns < self.position or self._rounds.number > 0
        if self.at_end and not back:
            return  # it is there already
        self.schedule.seek(recorded_ns, now)
        self._skip_until = recorded_ns
        self._idle.clear()
        self.at_end = False
        if back:
            self._back += 1
            self._rounds.restart()
            self.newest.clear()
            self.wall_ns, self._newest_mono_ns = self.began_ns, self.schedule.first_ns
            for topic in self._hub.topics.values():
                topic.rewind()
        self._announce()

    @property
    def position(self) -> int:
        """The recorded monotonic time that has come."""
        return self.schedule.position(_now())

    @property
    def place_ns(self) -> int:
        """The moment of the recording that has come, Unix time: in a silence later than the newest message."""
        return min(self.wall_ns + max(0, self.position - self._newest_mono_ns), self.ended_ns)

    @property
    def settled(self) -> bool:
        """Whether everything that was due has been played."""
        return self._idle.is_set()

    # How it plays --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Play until cancelled."""
        self._announce()
        while True:
            back = self._back
            played_out = await self._play(back)
            if not played_out:
                continue
            if self.loop and self._rounds.turn():
                self.schedule.seek(self.schedule.first_ns, _now())
                continue
            self.at_end = True
            self._settle()
            self._announce()
            while back == self._back and self.at_end:
                await self._wait(None)

    async def _play(self, back: int) -> bool:
        """Play to the end, unless it goes back meanwhile: then False."""
        # the holes of the recording itself, by the time they began
        own = [one.gap for one in self._file.gaps if one.source is None]
        gaps = iter(sorted(own, key=lambda gap: gap.lost_at_ns))
        due = next(gaps, None)
        turn_began = _now()
        async for message in self._messages():
            if not await self._until_due(message, back):
                return False
            while due is not None and due.lost_at_ns <= message.t_wall_ns:
                self._publish_gap(due)
                due = next(gaps, None)
            topic = self._hub.topic(message.source)
            await self._until_room(topic, len(message.payload))
            if back != self._back:
                return False
            self._publish(message)
            if _now() - turn_began > MAX_TURN_S:
                await asyncio.sleep(0)
                turn_began = _now()
        for gap in itertools.chain([] if due is None else [due], gaps):
            self._publish_gap(gap)
        return back == self._back

    async def _until_due(self, message: Message, back: int) -> bool:
        """Wait until the message is due; False = it went back meanwhile."""
        while back == self._back:
            due, now = self.schedule.due(message.t_mono_ns), _now()
            if due is not None and due <= now:
                return True
            self._settle()
            await self._wait(None if due is None else due - now)
        return False

    def _settle(self) -> None:
        """All that was due is played."""
        if not self._idle.is_set():
            self._idle.set()
            self._endpoints.settle()

    async def _wait(self, seconds: float | None) -> None:
        """Wait, at most until something is changed."""
        self._changed.clear()
        try:
            async with asyncio.timeout(
                seconds
            ):  # wait_for may swallow a cancellation that comes with the change
                await self._changed.wait()
        except TimeoutError:
            return

    async def _until_room(self, topic: Topic, size: int) -> None:
        """Wait while the log would drop what a connected reader has not got yet."""
        for _ in range(int(STALL_S / FULL_CHECK_S)):
            if not topic.presses(size):
                return
            await asyncio.sleep(FULL_CHECK_S)

    async def _messages(self) -> AsyncIterator[Message]:
        """The file's messages in order, read ahead off the loop; memory stays flat."""
        reading = self._file.messages()
        ahead = asyncio.create_task(asyncio.to_thread(_some, reading))
        try:
            while batch := await ahead:
                ahead = asyncio.create_task(asyncio.to_thread(_some, reading))
                for message in batch:
                    yield message
        finally:
            await asyncio.gather(ahead, return_exceptions=True)

    def _publish(self, message: Message) -> None:
        self.schedule.reached(message.t_mono_ns)
        self.wall_ns, self._newest_mono_ns = message.t_wall_ns, message.t_mono_ns
        shifted = self._rounds.shifted(message)
        self._hub.publish(shifted)
        self.newest[shifted.source] = shifted.seq
        if shifted.opcode == Opcode.EVENT and b'"state"' in shifted.payload:
            self._keep_state(shifted)
        self._endpoints.on_message(shifted, skipped=message.t_mono_ns < self._skip_until)

    def _keep_state(self, message: Message) -> None:
        with contextlib.suppress(DecodeError):
            if isinstance(decode_event(message.payload), StateChange):
                self._hub.topic(message.source).state = pack(message)

    def _publish_gap(self, gap: Gap) -> None:
        """A hole of the recording itself touches every source; none of them numbered it."""
        if self._rounds.number == 0:
            for source in self._file.sources:
                self._hub.publish(_unnumbered(source, encode_event(gap), gap.lost_at_ns))

    # How it goes on --------------------------------------------------------------------------------------------

    @property
    def word(self) -> Literal["PLAYING", "PAUSED", "ENDED"]:
        """PLAYING, PAUSED or ENDED."""
        return "ENDED" if self.at_end else "PAUSED" if self.schedule.paused else "PLAYING"

    def _announce(self) -> None:
        """Send every reader how the replay goes on, also those that come later."""
        self._changed.set()
        speed = 0.0 if math.isinf(self.schedule.speed) else self.schedule.speed
        for source, topic in self._hub.topics.items():
            playback = Playback(word=self.word, speed=speed, round=topic.round, at_ns=self.wall_ns)
            message = _unnumbered(source, encode_event(playback), self.wall_ns)
            topic.greeting = pack(message)
            self._hub.publish(message)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _some(reading: Iterator[Message]) -> list[Message]:
    return list(itertools.islice(reading, READ_AHEAD))


def _unnumbered(source: str, payload: bytes, at_ns: int) -> Message:
    return Message(source, Direction.IN, Opcode.EVENT, payload, at_ns, 0, 0, 0)
