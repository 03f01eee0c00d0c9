"""Where every message is stamped, kept for readers that come back, and handed to listeners.

A source is a log (decisions/0002). Relays read it at their own pace: one that has read everything gets each record in
the same turn of the loop; one that lags reads the log when it can, and nothing piles up for it elsewhere. A record's
place in the log is the message's number, but for replays, whose messages keep the numbers they were recorded with.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from tes_nb.collector.logs import logger
from tes_nb.model import Direction, Message, Opcode
from tes_nb.wire.events import ClockJump, Event, Gap, StateChange, decode_event, encode_event
from tes_nb.wire.record import pack, seq_of, unpack

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

CLOCK_JUMP_NS = 1_000_000_000
LEAST_BYTES = 256 * 1024
"""A log that had to shrink keeps so much."""
PROBE_BYTES = 2**20
"""After so much in a log it is looked whether memory is short, where the process has a limit."""
HEADROOM_BYTES = 4 * 2**20
"""So much must be left: a library that meets the end of the memory itself gives its connection up."""


def memory_is_short() -> bool:
    """Whether this process is about to meet its own limit (`RLIMIT_AS`); False where it has none."""
    if resource is None or resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        return False
    try:
        bytearray(HEADROOM_BYTES)
    except MemoryError:
        return True
    return False


class LogReader(Protocol):
    """A reader of a source's log."""

    @property
    def sent(self) -> int:
        """The place of the last record that it was sent."""

    def appended(self) -> None:
        """Called in the turn of the loop in which a record was appended."""

    def skip_to(self, place: int) -> None:
        """Called when what was appended up to there counts no longer."""


Listener = Callable[[Message], None]


class Log:
    """The newest records of one source, bounded by bytes. Wherever in it one reads, a record costs the same."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.first = 1
        """The place of the oldest record; places are counted from 1."""
        self.size = 0
        self._records: list[bytes] = []
        self._gone = 0
        """So many at the front of the list are dropped already; they go when they are half of it."""

    def __len__(self) -> int:
        return len(self._records) - self._gone

    @property
    def last(self) -> int:
        """The newest record's place; 0 = none yet."""
        return self.first + len(self) - 1

    @property
    def oldest(self) -> bytes:
        """The oldest record; there must be one."""
        return self._records[self._gone]

    def append(self, record: bytes) -> None:
        """Add the next record; drop the oldest ones beyond the bound."""
        self._records.append(record)
        self.size += len(record)
        if self.size > self.max_bytes:
            self._drop()

    def _drop(self) -> None:
        while self.size > self.max_bytes and len(self) > 1:
            self.size -= len(self.oldest)
            self._records[self._gone] = b""
            self._gone += 1
            self.first += 1
        if self._gone * 2 > len(self._records):
            del self._records[: self._gone]
            self._gone = 0

    def shrink(self) -> None:
        """Let go of the older half, for good: there is not as much memory as was thought."""
        self.max_bytes = max(self.size // 2, LEAST_BYTES)
        self._drop()

    def clear(self) -> None:
        """Let go of all records; places go on."""
        self.first = self.last + 1
        self._records.clear()
        self._gone = self.size = 0

    def after(self, place: int, most: int = 256) -> list[bytes]:
        """Return up to `most` records that follow that place."""
        start = max(place + 1 - self.first, 0) + self._gone
        return self._records[start : start + most]

    def newest_first(self) -> Iterator[bytes]:
        """Yield all records, the newest first."""
        return itertools.islice(reversed(self._records), len(self))


class Topic:
    """One source: its log, and who reads it."""

    def __init__(
        self, source: str, max_bytes: int, listeners: list[Listener], shrink: Callable[[], None]
    ) -> None:
        """listeners: called with every message of every topic; the hub's own list.

        shrink: makes room where memory is short.
        """
        self.source = source
        self._shrink = shrink
        self._listeners = listeners
        self.log = Log(max_bytes)
        self.readers: set[LogReader] = set()
        self.state: bytes | None = None
        """The newest state record, for readers that come after it left the log."""
        self.gap: Gap | None = None
        """The gap that is open; `None` = none is."""
        self.greeting: bytes | None = None
        """A record that every reader gets first; `None` = there is none."""
        self.round = 0
        """How often everything was taken back (`rewind`)."""
        self._began = 0
        self._placed = True
        self._unprobed = 0

    def append(self, message: Message) -> None:
        """Keep the message, and hand it to the readers and the listeners."""
        try:
            record = pack(message)
            self.log.append(record)
        except MemoryError:
            self._shrink()
            record = pack(message)
            self.log.append(record)
        self._unprobed += len(record)
        if self._unprobed > PROBE_BYTES:
            self._unprobed = 0
            if memory_is_short():
                self._shrink()
        self._placed = self._placed and message.seq == self.log.last
        for reader in self.readers:
            reader.appended()
        for listener in self._listeners:
            listener(message)

    def place_after(self, seq: int, round_: int | None = None) -> int:
        """Return the place of the last record that a reader has who has read up to number `seq`.

        round_: the round that it knows of; `None` = it knows of none. One of another round has nothing.
        """
        if seq == 0 or (round_ or 0) != self.round:
            return self._began
        if self._placed:
            return min(seq, self.log.last)
        return self._last_up_to(seq)

    def _last_up_to(self, seq: int) -> int:
        for back, record in enumerate(self.log.newest_first()):
            if 0 < seq_of(record) <= seq:
                return self.log.last - back
        return self._began

    def presses(self, size: int) -> bool:
        """Whether another record of that size would cost a connected reader one that it has not got yet."""
        full = self.log.size + size > self.log.max_bytes
        return full and any(reader.sent < self.log.first for reader in self.readers)

    def rewind(self) -> None:
        """Take back everything: readers get what is appended from now on, as if it were the beginning."""
        self.log.clear()
        self.state = None
        self.round += 1
        self._began = self.log.last
        for reader in tuple(self.readers):
            reader.skip_to(self._began)


class Hub:
    """All sources. Everything happens on the collector's loop; nothing here waits."""

    def __init__(
        self,
        relay_bytes: int,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        mono_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._relay_bytes = relay_bytes
        self._wall_ns = wall_ns
        self._mono_ns = mono_ns
        self._offset = wall_ns() - mono_ns()
        self.topics: dict[str, Topic] = {}
        self.listeners: list[Listener] = []

    def topic(self, source: str) -> Topic:
        """Return the source's topic, made on first use."""
        if source not in self.topics:
            self.topics[source] = Topic(source, self._relay_bytes, self.listeners, self.shrink)
        return self.topics[source]

    def shrink(self) -> None:
        """Let go of half of what is kept for readers that come back: better than a connection that ends."""
        for topic in self.topics.values():
            topic.log.shrink()
        self._relay_bytes = min(
            self._relay_bytes,
            max((topic.log.max_bytes for topic in self.topics.values()), default=LEAST_BYTES),
        )
        logger.warning("There is no memory left: what is kept for readers that come back was cut to a half.")

    def stamp(self, message: Message) -> Message:
        """Give a message its time and number, keep it, and hand it on. The only place where this is done."""
        wall, mono = self._wall_ns(), self._mono_ns()
        self._watch_clock(wall, mono)
        topic = self.topic(message.source)
        stamped = Message(
            message.source,
            message.direction,
            message.opcode,
            message.payload,
            wall,
            mono,
            message.conn,
            topic.log.last + 1,
            message.flags,
        )
        topic.append(stamped)
        return stamped

    def add(
        self,
        source: str,
        payload: bytes,
        *,
        opcode: int = Opcode.TEXT,
        direction: int = Direction.IN,
        conn: int = 0,
        flags: int = 0,
    ) -> Message:
        """Make a message of a payload, and stamp it."""
        return self.stamp(Message(source, direction, opcode, payload, 0, 0, conn, 0, flags))

    def event(self, source: str, event: Event, *, conn: int = 0) -> Message:
        """Publish an event of ours in the source's log."""
        message = self.add(source, encode_event(event), opcode=Opcode.EVENT, conn=conn)
        if isinstance(event, StateChange):
            self.topic(source).state = pack(message)
        elif isinstance(event, Gap):
            self.topic(source).gap = event if event.back_at_ns is None else None
        return message

    def repeat_request(self, source: str) -> None:
        """Say once more in the source's log what its reader asks for, so that who reads on from here knows it."""
        state = self.topic(source).state
        if state is None:
            return
        message = unpack(source, state)
        event = decode_event(message.payload)
        if isinstance(event, StateChange) and event.channels is not None:
            self.event(source, event, conn=message.conn)

    def repeat_gap(self, source: str) -> None:
        """Say once more that a gap is open, if one is: who reads on from here has its record, whatever happens."""
        gap = self.topic(source).gap
        if gap is not None:
            self.event(source, gap, conn=gap.conn)

    def publish(self, message: Message) -> None:
        """Keep a message that has its time and number already, and hand it on."""
        self.topic(message.source).append(message)

    def _watch_clock(self, wall: int, mono: int) -> None:
        """Write one record into every source when the wall clock moved by more than a second."""
        moved = wall - mono - self._offset
        if abs(moved) < CLOCK_JUMP_NS:
            return
        self._offset += moved
        payload = encode_event(ClockJump(at_ns=wall, by_ns=moved))
        for source, topic in tuple(self.topics.items()):
            topic.append(
                Message(source, Direction.IN, Opcode.EVENT, payload, wall, mono, 0, topic.log.last + 1)
            )
