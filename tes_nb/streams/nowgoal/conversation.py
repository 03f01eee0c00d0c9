"""What the connection asked for that a message came on: where a row comes from when the message does not say.

A message may name its channel. If it does not, the channel is the one of its kind that this connection asked
for: by a text it was sent, in its address, or by what the reader says of itself. One of several, or none, is
nobody's knowledge, and the row has none. Only where nothing at all is known of the connection is the usual channel
of the kind taken (decisions/0016).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Final

from tes_nb.errors import DecodeError
from tes_nb.model import Decoded, Direction, Message, Opcode
from tes_nb.streams.nowgoal.channels import USUAL, Family, family_of, request_channels
from tes_nb.wire.events import StateChange, Subscription, decode_event

MOST_REQUESTS: Final = 1000
"""Requests that are remembered of a connection, the newest."""
MOST_CONNECTIONS: Final = 1000

Channels = tuple[str, ...]


class Conversation:
    """What is known of one connection at one moment, and what was said of it."""

    __slots__ = ("_remarks", "channels")

    def __init__(self, channels: Channels | None, remarks: set[str] | None) -> None:
        """channels: those asked for; `None` = nobody says. remarks: those made so far; `None` = make none."""
        self.channels = channels
        self._remarks = remarks

    def channel_of(self, family: Family) -> tuple[str | None, str | None]:
        """Return the channel of what names none, or `None` and a sentence that says why there is none."""
        if self.channels is None:
            return USUAL[family], None
        channels = [channel for channel in self.channels if family_of(channel) == family]
        if len(channels) == 1:
            return channels[0], None
        if channels:
            why = f"{len(channels)} channels of {family} were asked for ({', '.join(channels)})"
        else:
            why = f"no channel of {family} was asked for"
        return None, f"Records of {family} name no channel, and {why}: which one they belong to is not known."

    def only(self, *families: Family) -> Family | None:
        """Return the one of the families that was asked for; `None` = none, several, or nobody says."""
        if self.channels is None:
            return None
        families_here = {family_of(channel) for channel in self.channels}.intersection(families)
        return families_here.pop() if len(families_here) == 1 else None

    def is_new(self, remark: str) -> bool:
        """Whether this remark is to be made: it was not made before. Takes note of it."""
        if self._remarks is None or remark in self._remarks:
            return False
        self._remarks.add(remark)
        return True


UNKNOWN: Final = Conversation(None, None)
"""Of a message that stands alone nothing is known, and nothing is remarked."""


class Requests:
    """What was asked for, and since when, on the monotonic clock: the newest state may come before older messages."""

    def __init__(self) -> None:
        self._since_ns: list[int] = []
        self._channels: list[Channels] = []

    def add(self, since_ns: int, channels: Channels) -> None:
        """Note a request."""
        place = bisect_right(self._since_ns, since_ns)
        if place and self._channels[place - 1] == channels:
            return
        if place and self._since_ns[place - 1] == since_ns:
            self._channels[place - 1] = channels
            return
        self._since_ns.insert(place, since_ns)
        self._channels.insert(place, channels)
        del self._since_ns[:-MOST_REQUESTS], self._channels[:-MOST_REQUESTS]

    def at(self, time_ns: int) -> tuple[int, Channels] | None:
        """Return since when which channels were asked for at that time; `None` = nobody says."""
        place = bisect_right(self._since_ns, time_ns)
        return (self._since_ns[place - 1], self._channels[place - 1]) if place else None


class SubscriptionDecoder:
    """Decodes the messages of one feed, knowing what its connections asked for."""

    def __init__(self, decode: Callable[[Message, Conversation], Decoded]) -> None:
        self._decode = decode
        self._reader = Requests()
        """What the reader of the feed asks for on each of its connections."""
        self._requests: dict[int, Requests] = {}
        """The same of single connections."""
        self._remarks: dict[int, set[str]] = {}
        self._current: dict[int, Conversation] = {}
        self._current_since_ns = 0
        """What is current holds from then on."""

    def note(self, message: Message) -> None:
        """Take note of what we sent, or of an event of ours."""
        if message.opcode == Opcode.EVENT:
            self._note_event(message)
        elif (
            message.direction == Direction.OUT and (channels := request_channels(message.payload)) is not None
        ):
            self._add(self._of(message.conn), message.t_mono_ns, channels)

    def _note_event(self, message: Message) -> None:
        try:
            event = decode_event(message.payload)
        except DecodeError:
            return
        if isinstance(event, Subscription):
            self._requests.pop(event.conn, None)
            self._add(self._of(event.conn), message.t_mono_ns, event.channels)
        elif isinstance(event, StateChange) and event.channels is not None:
            since = message.t_mono_ns if event.channels_mono_ns is None else event.channels_mono_ns
            self._add(self._reader, since, event.channels)

    def _of(self, conn: int) -> Requests:
        if conn not in self._requests and len(self._requests) >= MOST_CONNECTIONS:
            del self._requests[next(iter(self._requests))]
        return self._requests.setdefault(conn, Requests())

    def _add(self, requests: Requests, since_ns: int, channels: Channels) -> None:
        requests.add(since_ns, channels)
        self._current.clear()
        self._current_since_ns = max(self._current_since_ns, since_ns)

    def decode(self, message: Message) -> Decoded:
        """Return the rows of a received message. Raises nothing."""
        conversation = self._current.get(message.conn)
        if conversation is None or message.t_mono_ns < self._current_since_ns:
            conversation = self._conversation(message)
        return self._decode(message, conversation)

    def _conversation(self, message: Message) -> Conversation:
        conn, time_ns = message.conn, message.t_mono_ns
        if conn not in self._remarks and len(self._remarks) >= MOST_CONNECTIONS:
            del self._remarks[next(iter(self._remarks))]
        own = self._requests[conn].at(time_ns) if conn in self._requests else None
        newest = max(filter(None, (self._reader.at(time_ns), own)), default=None)
        channels = None if newest is None else newest[1]
        conversation = Conversation(channels, self._remarks.setdefault(conn, set()))
        if time_ns >= self._current_since_ns:
            self._current[conn] = conversation
        return conversation
