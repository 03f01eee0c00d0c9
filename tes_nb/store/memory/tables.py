"""What one feed holds in memory: its stream's tables, and what came that is no row; a recording's in pieces."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tes_nb.errors import DecodeError
from tes_nb.model import Decoded, Direction, Kind, Message, Opcode, Stream
from tes_nb.model.message import FLAG_DUPLICATE
from tes_nb.store.memory.columns import DEFAULT_CAP, Columns
from tes_nb.wire.events import Event, Gap, Mark, Playback, StateChange, decode_event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tes_nb.model import Row
    from tes_nb.store.memory.cells import Snapshot


MAX_UNDECODED = 1000
MAX_UNDECODED_BYTES = 8 * 2**20
MAX_EVENTS = 100_000
SEARCHED_GAPS = 100
"""So many of the newest gaps are looked at for one that is still open."""


@dataclass(frozen=True, slots=True)
class Undecoded:
    """A message that could not be read, as it came."""

    message: Message
    reason: str
    """One of a few fixed words, for counting."""
    sentence: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Everything that is counted, at one moment."""

    messages: int
    """All that were received; sent ones, duplicates and our own events are not among them."""
    kinds: Mapping[str, int]
    """`Kind` → messages; their sum is `messages`."""
    decode_errors: Mapping[str, int]
    """Reason → messages; their sum is `kinds["undecoded"]`."""
    duplicates: int
    """Messages that came twice during a renewal and were left out."""
    notes: int
    """Things that could not be read in otherwise readable messages."""


class StreamStore:
    """The tables of one stream, filled from one thread and read from any."""

    def __init__(self, stream: Stream, *, cap: int = DEFAULT_CAP) -> None:
        """Keep at most `cap` rows in each table."""
        self.stream = stream
        self.tables: dict[str, Columns] = {
            table.name: Columns(table, stream=stream.name, cap=cap) for table in stream.tables
        }
        self.latest: Message | None = None
        """The last message that was data."""
        self.newest_ns: int | None = None
        """When the last message of any kind was received: Unix ns, UTC. `None` = none yet."""
        self.state: StateChange | None = None
        """The upstream reader's last state."""
        self.playback: Playback | None = None
        """How a replay goes on; `None` = this is none."""
        self._lock = threading.RLock()
        self.version = 0
        """Rises with everything that is received."""
        self._begin()

    def _begin(self) -> None:
        """Nothing is held yet."""
        self._decoder = self.stream.decoder()
        self._memory: dict[str, Any] = {}
        self._kinds: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._duplicates = 0
        self._note_count = 0
        self._undecoded: deque[Undecoded] = deque(maxlen=MAX_UNDECODED)
        self._undecoded_bytes = 0
        self._gaps: deque[Gap] = deque(maxlen=MAX_EVENTS)
        self._marks: deque[Mark] = deque(maxlen=MAX_EVENTS)

    # Filling: one thread.

    def receive(self, message: Message) -> Decoded | None:
        """Decode a message and keep what it says; `None` for what is not decoded. Never raises for bad input.

        Our own events go where they belong, sent messages and duplicates are left out, and what cannot be
        decoded is kept raw and counted. What it returns has the rows that `stream.fold` derives, too.
        """
        if message.opcode == Opcode.EVENT:
            try:
                self.add_event(decode_event(message.payload))
            except DecodeError as error:
                self.add_undecoded(message, error.reason, str(error))
            self.note(message)
            return None
        if message.direction == Direction.OUT:
            self.note(message)
            return None
        if message.flags & FLAG_DUPLICATE:
            with self._lock:
                self._duplicates += 1
            return None
        try:
            decoded = self._decoder.decode(message)
            self.add(message, decoded)
        except DecodeError as error:
            self.add_undecoded(message, error.reason, str(error))
        except Exception as error:  # noqa: BLE001 - a stream's mistake must not end the feed; it is counted
            self.add_undecoded(
                message,
                f"bug: {type(error).__name__}",
                f"The decoder of '{self.stream.name}' failed: {error!r}.",
            )
        else:
            return None if decoded.kind == Kind.UNDECODED else decoded
        return None

    def note(self, message: Message) -> None:
        """Let the decoder know what we sent, or an event of ours; nothing is counted or stored."""
        self._decoder.note(message)

    def add(self, message: Message, decoded: Decoded) -> None:
        """Distribute the rows of a message, those that `stream.fold` derives included, to their tables.

        An UNDECODED message is kept raw and counted, and may have rows that say so. Raises `DecodeError`
        when it has none, what `stream.fold` raises, and KeyError for rows of a table that the stream has not;
        no row of the message is stored then.
        """
        unreadable = decoded.kind == Kind.UNDECODED
        if unreadable and not decoded.rows:
            raise DecodeError("The decoder calls this message undecoded.", reason="undecoded")
        if self.stream.fold is not None and not unreadable:
            decoded.rows = {**decoded.rows, **self.stream.fold(self._memory, message, decoded)}
        for table, rows in [(self.tables[name], rows) for name, rows in decoded.rows.items()]:
            table.append(
                rows,
                time_ns=message.t_wall_ns,
                sent_at_ns=decoded.sent_at_ns,
                seq=message.seq,
                conn=message.conn,
                source=message.source,
            )
        if unreadable:
            self.add_undecoded(message, decoded.reason or "undecoded", " ".join(decoded.notes[:1]))
            return
        with self._lock:
            if decoded.kind == Kind.DATA:
                self.latest = message
            self._note_count += len(decoded.notes)
            self._count(message, decoded.kind)

    def add_undecoded(self, message: Message, reason: str, sentence: str) -> None:
        """Keep a message that could not be read, and count it under `reason`."""
        with self._lock:
            if len(self._undecoded) == MAX_UNDECODED:
                self._forget_undecoded()
            self._undecoded.append(Undecoded(message, reason, sentence))
            self._undecoded_bytes += len(message.payload)
            while self._undecoded_bytes > MAX_UNDECODED_BYTES:
                self._forget_undecoded()
            self._errors[reason] += 1
            self._count(message, Kind.UNDECODED)

    def _forget_undecoded(self) -> None:
        self._undecoded_bytes -= len(self._undecoded.popleft().message.payload)

    def add_event(self, event: Event) -> None:
        """Keep one of our own events. A gap that was open is replaced when it comes again, closed."""
        with self._lock:
            if isinstance(event, Gap):
                self._add_gap(event)
            elif isinstance(event, Mark):
                self._marks.append(event)
            elif isinstance(event, Playback):
                self._follow(event)
            elif isinstance(event, StateChange):
                self.state = event
            self.version += 1

    def withdraw(self, gap: Gap) -> None:
        """Take back a gap that turned out to be none."""
        with self._lock:
            if gap in self._gaps:
                self._gaps.remove(gap)
            self.version += 1

    def _follow(self, playback: Playback) -> None:
        """A replay that went back sends everything again: what was held counts no longer."""
        if playback.round != (0 if self.playback is None else self.playback.round):
            for table in self.tables.values():
                table.clear()
            self.latest = self.newest_ns = self.state = None
            self._begin()
        self.playback = playback

    def _add_gap(self, gap: Gap) -> None:
        for back in range(1, min(len(self._gaps), SEARCHED_GAPS) + 1):
            other = self._gaps[-back]
            if other.back_at_ns is None and (other.conn, other.lost_at_ns) == (gap.conn, gap.lost_at_ns):
                self._gaps[-back] = gap
                return
        self._gaps.append(gap)

    def _count(self, message: Message, kind: Kind) -> None:
        self._kinds[kind] += 1
        self.newest_ns = message.t_wall_ns
        self.version += 1

    # Reading: any thread.

    @property
    def main(self) -> Columns:
        """The table that `feed.frame()` gives."""
        return self.tables[self.stream.main]

    @property
    def gaps(self) -> list[Gap]:
        """The gaps, oldest first; the last may still be open (`back_at_ns` is None)."""
        with self._lock:
            return list(self._gaps)

    @property
    def marks(self) -> list[Mark]:
        """The marks, oldest first."""
        with self._lock:
            return list(self._marks)

    @property
    def undecoded(self) -> list[Undecoded]:
        """The newest messages that could not be read: at most 1000, and at most 8 MiB of them."""
        with self._lock:
            return list(self._undecoded)

    def counts(self) -> Counts:
        """Return all counters."""
        with self._lock:
            return Counts(
                messages=self._kinds.total(),
                kinds=dict(self._kinds),
                decode_errors=dict(self._errors),
                duplicates=self._duplicates,
                notes=self._note_count,
            )


UNBOUNDED = 2**40
"""A recording is read whole when it is asked for whole."""
PIECE_ROWS = 16_384


class _EmptyTable(Columns):
    """A table that keeps no rows."""

    def append(self, rows: Sequence[Row], **stamp: Any) -> None:
        """Keep nothing."""


def pieces(stream: Stream, table: str, messages: Iterable[Message]) -> Iterator[Snapshot]:
    """Decode the messages once for one table; let go of its rows as soon as there are enough for a piece."""
    return (piece for _, piece in pieces_together(stream, messages, [table]))


def pieces_together(
    stream: Stream, messages: Iterable[Message], tables: Collection[str] | None = None
) -> Iterator[tuple[str, Snapshot]]:
    """Decode the messages once for several tables (`None` = all); yield (table, piece).

    Each table's pieces come in their order; the last of each, which may be empty, at the end.
    """
    names = [one.name for one in stream.tables if tables is None or one.name in tables]
    store = _store_of(stream, names)
    for message in messages:
        store.receive(message)
        for name in names:
            if store.tables[name].received >= PIECE_ROWS:
                yield name, store.tables[name].snapshot()
                store.tables[name] = _unbounded(stream, name)
    for name in names:
        yield name, store.tables[name].snapshot()


def count_undecoded(stream: Stream, messages: Iterable[Message]) -> int:
    """Decode the messages, keep nothing, and return how many did not decode."""
    store = rowless_store(stream)
    for message in messages:
        store.receive(message)
    return store.counts().kinds.get(Kind.UNDECODED, 0)


def rowless_store(stream: Stream) -> StreamStore:
    """Return a store that keeps no rows: what it says of each message is all that is wanted."""
    return _store_of(stream, ())


def _store_of(stream: Stream, names: Collection[str]) -> StreamStore:
    """Return a store that keeps the rows of these tables only."""
    store = StreamStore(stream)
    store.tables = {
        one.name: _unbounded(stream, one.name) if one.name in names else _EmptyTable(one)
        for one in stream.tables
    }
    return store


def _unbounded(stream: Stream, table: str) -> Columns:
    return Columns(stream.table(table), stream=stream.name, cap=UNBOUNDED)
