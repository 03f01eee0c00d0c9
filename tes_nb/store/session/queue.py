"""The bounded queue between the collector's loop and the writer thread, and the account of what it could not hold."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tes_nb.model import Message
from tes_nb.store.session.schema import FileGap, Item
from tes_nb.wire.events import Gap

_OVERHEAD = 250
"""Bytes a waiting message takes beside its payload."""


@dataclass(slots=True)
class Loss:
    """Messages that could not be kept, one after the other."""

    last_seen_ns: int | None
    first_ns: int
    cause: str
    sources: Counter[str] = field(default_factory=Counter)
    last_ns: int = 0

    def add(self, message: Message) -> None:
        """One more was dropped."""
        self.sources[message.source] += 1
        self.last_ns = message.t_wall_ns

    def gap(self, back_at_ns: int | None) -> Gap:
        """Return the one record of this hole. `None` = no message was kept after it."""
        total = self.sources.total()
        parts = ", ".join(f"{name} {count:,}" for name, count in sorted(self.sources.items()))
        cause = f"{self.cause}: {total:,} messages could not be kept ({parts})"
        if back_at_ns is None and self.last_ns:
            cause += f", the last of {datetime.fromtimestamp(self.last_ns // 10**9, UTC):%H:%M:%S} UTC"
        return Gap(0, self.last_seen_ns, self.first_ns, back_at_ns, cause, total)


class MessageQueue:
    """Thread-safe. What does not fit is dropped, counted, and described by a `Gap` in its very place.

    After an overflow it takes messages again once it is half empty, so that a slow disk makes a few long holes
    and not one for each message.
    """

    SLOW = "the disk is slower than the messages come"

    def __init__(self, *, messages: int, size: int) -> None:
        self._most_messages, self._most_bytes = messages, size
        self._items: list[Item] = []
        self._bytes = 0
        self._loss: Loss | None = None
        self._last_taken_ns: int | None = None
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._idle = False
        self.cause = self.SLOW
        """Why a loss that begins now happens."""
        self.closed = False
        self.sealed = False
        """Whether nothing comes any more; what is there waits for the disk as long as that takes."""
        self.lost = 0
        """Messages dropped since the beginning."""
        self.accepted = 0
        self.losses = 0
        """How many times it overflowed."""

    def put(self, message: Message) -> bool:
        """Take a message; False = it was dropped. Never waits for the disk."""
        with self._lock:
            size = self._bytes + len(message.payload) + _OVERHEAD
            if self.sealed or not self._has_room(size):
                self._lose(message)
                return False
            if self._loss is not None:
                self._items.append(FileGap(self._loss.gap(message.t_wall_ns)))
                self._loss = None
            self._items.append(message)
            self._bytes = size
            self.accepted += 1
            if self._idle:
                self._changed.notify()
        return True

    def _has_room(self, size: int) -> bool:
        if self._loss is None:
            return size <= self._most_bytes and len(self._items) < self._most_messages
        return size * 2 <= self._most_bytes and len(self._items) * 2 < self._most_messages

    def _lose(self, message: Message) -> None:
        self.lost += 1
        if self.sealed:
            return
        if self._loss is None:
            self._loss = Loss(self._last_seen_ns(), message.t_wall_ns, self.cause)
            self.losses += 1
        self._loss.add(message)

    def _last_seen_ns(self) -> int | None:
        last = next((item for item in reversed(self._items) if type(item) is Message), None)
        return self._last_taken_ns if last is None else last.t_wall_ns

    def put_other(self, item: Item) -> bool:
        """Take what is no message; there is always room for it. False = closed."""
        with self._changed:
            if not self.closed:
                self._items.append(item)
                self._changed.notify()
            return not self.closed

    def wait(self, seconds: float) -> None:
        """Return when there is something to take, when the queue is closed, or after so long."""
        with self._changed:
            self._idle = True
            if not (self._items or self.closed or self.sealed):
                self._changed.wait(seconds)
            self._idle = False

    def wait_closed(self, seconds: float) -> None:
        """Return when the queue is closed, or after so long."""
        with self._changed:
            self._changed.wait_for(lambda: self.closed, seconds)

    def take(self, most: int) -> list[Item]:
        """Return the oldest items, at most so many; [] when there are none."""
        with self._changed:
            taken = self._items[:most]
            del self._items[:most]
            messages = [item for item in taken if type(item) is Message]
            self._bytes -= sum(len(message.payload) for message in messages) + _OVERHEAD * len(messages)
            if messages:
                self._last_taken_ns = messages[-1].t_wall_ns
        return taken

    def seal(self) -> None:
        """Nothing comes any more; an open loss becomes the last item."""
        with self._changed:
            if not (self.sealed or self.closed) and self._loss is not None:
                self._items.append(FileGap(self._loss.gap(None)))
            self.sealed = True
            self._changed.notify_all()

    def close(self) -> None:
        """Take nothing any more, and give up what the disk does not take at once."""
        self.seal()
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._items)
