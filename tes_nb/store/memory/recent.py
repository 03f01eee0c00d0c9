"""The newest messages of a source, as they came: what an inspector shows."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from tes_nb.errors import DecodeError
from tes_nb.model import Decoded, Direction, Message, Opcode, Stream
from tes_nb.wire.events import StateChange, decode_event

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT = 2_000
LIMIT_BYTES = 16 * 2**20
LIMIT_STATES = 200


class RecentMessage(NamedTuple):
    """A message and its number among those of its source, counted from 1."""

    number: int
    message: Message


class RecentMessages:
    """Keeps the newest messages of one source: at most 2,000, and at most 16 MiB of them. Any thread."""

    def __init__(
        self, name: str, stream: Stream, *, limit: int = LIMIT, limit_bytes: int = LIMIT_BYTES
    ) -> None:
        """name: the source's."""
        self.name = name
        self.stream = stream
        self._decoder = stream.decoder()
        self._decoding = threading.Lock()
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._messages: deque[Message] = deque()
        self._states: deque[StateChange] = deque(maxlen=LIMIT_STATES)
        self._bytes = 0
        self._count = 0

    def append(self, message: Message) -> None:
        """Keep a message; of our own events only changes of state."""
        if message.opcode == Opcode.EVENT or message.direction == Direction.OUT:
            with self._decoding:
                self._decoder.note(message)
        if message.opcode == Opcode.EVENT:
            with contextlib.suppress(DecodeError):  # the store counts it
                event = decode_event(message.payload)
                if isinstance(event, StateChange):
                    with self._lock:
                        self._states.append(event)
            return
        with self._lock:
            self._count += 1
            self._messages.append(message)
            self._bytes += len(message.payload)
            while len(self._messages) > self._limit or (
                self._bytes > self._limit_bytes and len(self._messages) > 1
            ):
                self._bytes -= len(self._messages.popleft().payload)

    def since(self, number: int) -> list[RecentMessage]:
        """Return the messages after `number` that are still there, oldest first; 0 = all."""
        with self._lock:
            fresh = min(self._count - number, len(self._messages))
            if fresh <= 0:
                return []
            messages = islice(self._messages, len(self._messages) - fresh, None)
            return [
                RecentMessage(one, message) for one, message in enumerate(messages, self._count - fresh + 1)
            ]

    def decode(self, message: Message) -> Decoded:
        """Return what a message of this source says, with what its connection asked for; raises as `Stream.decode`."""
        with self._decoding:
            return self._decoder.decode(message)

    def find(self, number: int) -> Message | None:
        """Return a message; `None` = it is no longer kept."""
        with self._lock:
            place = number - self._count + len(self._messages) - 1
            return self._messages[place] if 0 <= place < len(self._messages) else None

    @property
    def states(self) -> Sequence[StateChange]:
        """The newest changes of state, oldest first."""
        with self._lock:
            return tuple(self._states)
