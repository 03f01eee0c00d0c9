"""What the server sent, for the loss ledger: nine bytes a message, and who had asked for what when.

A *logical subscriber* is one reader over all its connections: while a renewal has two of them open, both
carry the same numbered broadcast, and the ledger expects each message once. It is known by the header
`X-Simulated-Subscriber` or the query field `subscriber`, else by its address and `User-Agent`.

Expected from a subscriber is what was broadcast on the channels that its open connections asked for, and,
while it has none, on those that were in force before: what it misses then must lie in a gap of its own.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Subscriber:
    """The channels of one logical subscriber over time."""

    history: list[tuple[int, frozenset[str]]] = field(default_factory=list)
    """(first number for which they hold, channels), oldest first; () before the first request."""
    channels_of: dict[int, frozenset[str]] = field(default_factory=dict)
    """Open connection → the channels it asked for."""

    def hold(self, number: int) -> None:
        """Note what is in force from `number` on."""
        if not self.channels_of:
            return
        channels = frozenset[str]().union(*self.channels_of.values())
        if not self.history or self.history[-1][1] != channels:
            self.history.append((number, channels))


class SentLog:
    """Numbers every message, counted from 1, and remembers its channel."""

    def __init__(self, limit: int) -> None:
        """Remember at most the last `limit` messages."""
        self.last = 0
        """The number of the last message; 0 = none yet."""
        self._limit = limit
        self._names: list[str] = []
        self._index: dict[str, int] = {}
        self._channels = bytearray()
        self._times = array("q")
        self._subscribers: dict[str, Subscriber] = {}

    @property
    def first(self) -> int:
        """The lowest number that is still remembered."""
        return self.last - len(self._channels) + 1

    def number(self, channel: str, at_ns: int = 0) -> int:
        """Return the number of the next message, which goes out on `channel` at that time (Unix ns)."""
        if channel not in self._index:
            self._index[channel] = len(self._names)
            self._names.append(channel)
        self._channels.append(self._index[channel])
        self._times.append(at_ns)
        if len(self._channels) > self._limit + self._limit // 10:
            surplus = len(self._channels) - self._limit
            del self._channels[:surplus], self._times[:surplus]
        self.last += 1
        return self.last

    def set_channels(self, subscriber: str, connection: int, channels: Iterable[str]) -> None:
        """Note that a connection asked for these channels; they hold from the next message on."""
        entry = self._subscribers.setdefault(subscriber, Subscriber())
        entry.channels_of[connection] = frozenset(channels)
        entry.hold(self.last + 1)

    def remove_connection(self, subscriber: str, connection: int) -> None:
        """Note that a connection ended."""
        entry = self._subscribers.get(subscriber)
        if entry is not None and entry.channels_of.pop(connection, None) is not None:
            entry.hold(self.last + 1)

    def subscribers(self) -> list[str]:
        """Return the names of the logical subscribers there have been."""
        return list(self._subscribers)

    def since(self, subscriber: str) -> int | None:
        """Return the first number that was for the subscriber; `None` = it never asked for anything."""
        entry = self._subscribers.get(subscriber)
        return entry.history[0][0] if entry is not None and entry.history else None

    def channels(self, subscriber: str) -> list[str]:
        """Return the channels in force for the subscriber."""
        entry = self._subscribers.get(subscriber)
        return sorted(entry.history[-1][1]) if entry is not None and entry.history else []

    def expected(self, subscriber: str, start: int = 1, end: int | None = None) -> list[int]:
        """Return the numbers of `start` to `end` (`None` = the last) that were for the subscriber."""
        entry = self._subscribers.get(subscriber)
        history = [] if entry is None else entry.history
        ends = [number - 1 for number, _ in history[1:]] + [self.last]
        numbers: list[int] = []
        for (since, channels), until in zip(history, ends, strict=False):
            low, high = max(since, start, self.first), min(until, self._end(end))
            numbers += self._on(channels, low, high)
        return numbers

    def sent_at_ns(self, numbers: Sequence[int]) -> list[int]:
        """Return when these messages were sent: Unix ns. They must be among those that are remembered."""
        return [self._times[number - self.first] for number in numbers]

    def on_channels(self, channels: Iterable[str], start: int = 1, end: int | None = None) -> list[int]:
        """Return the numbers of `start` to `end` (`None` = the last) that went out on these channels."""
        low = max(start, self.first)
        return list(self._on(frozenset(channels), low, self._end(end)))

    def _end(self, end: int | None) -> int:
        return self.last if end is None else min(end, self.last)

    def _on(self, channels: frozenset[str], low: int, high: int) -> Iterator[int]:
        codes = {self._index[name] for name in channels if name in self._index}
        for number in range(low, high + 1):
            if self._channels[number - self.first] in codes:
                yield number
