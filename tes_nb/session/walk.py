"""`walk()`: what came, step by step, in plain Python; the same loop over a recording and over a running session.

    for event in rec.walk(tables=["odds"], match_id="3018359"):
        for row in event.rows.get("odds", ()):
            print(event.time, row.market, row.home)

A recording is merged over its sources in the order of their receive times and read as it goes: memory stays flat.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

from tes_nb.errors import ArgumentError
from tes_nb.model import Decoded, Direction, Kind, Message, Opcode, Stream
from tes_nb.model.message import FLAG_DUPLICATE
from tes_nb.session.events import (
    CellEvent,
    DamageEvent,
    DataEvent,
    FaultEvent,
    GapEvent,
    MarkEvent,
    StateEvent,
    WalkEvent,
    row_maker,
)
from tes_nb.store.memory.tables import StreamStore, rowless_store
from tes_nb.store.memory.timespec import instant_ns, span_ns
from tes_nb.streams.kernel import KERNEL
from tes_nb.wire.events import Gap, Mark, StateChange, decode_event

if TYPE_CHECKING:
    from tes_nb.session.origin import Origin
    from tes_nb.store.session.reader import SessionFile

LATEST = 2**63 - 1


class RowFilter(Protocol):
    """Chooses rows by what was learnt from earlier ones, such as whether a match is in play."""

    def learn(self, rows: Mapping[str, Sequence[Any]], at_ns: int) -> None:
        """Take note of all rows of a message."""

    def chosen(self, table: str, rows: Iterable[Any], at_ns: int) -> list[Any]:
        """Return the rows that are wanted."""


class Walkable(Protocol):
    """A feed, as far as a walk needs it."""

    stream: Stream
    origin: Origin
    walk_filters: tuple[str, ...]

    def walk_filter(self, options: Mapping[str, Any]) -> RowFilter | None:
        """Return what chooses rows by `walk_filters`; `None` = every row is wanted. Raises `ArgumentError`."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a walk is to yield, checked."""

    data: frozenset[str]
    """The feeds whose data are wanted."""
    tables: frozenset[str] | None
    keys: Mapping[str, frozenset[Any]]
    """Column → the values that are wanted."""
    filters: Mapping[str, Any]
    """What only some feeds know to filter by."""
    low_ns: int
    high_ns: int
    """Both included, as seen with the delay."""
    delay_ns: int

    @classmethod
    def of(
        cls,
        feeds: Mapping[str, Walkable],
        data: Collection[str],
        *,
        tables: Sequence[str] | str | None,
        start: Any,
        end: Any,
        last: Any,
        delay: Any,
        options: Mapping[str, Any],
    ) -> Wanted:
        """Check what a user asks for. Raises `ArgumentError`, a sentence that says what there is."""
        names = None if tables is None else frozenset([tables] if isinstance(tables, str) else tables)
        chosen = [feed for name, feed in feeds.items() if name in data]
        there = {table.name for feed in chosen for table in feed.stream.tables}
        if names is not None and not names <= there:
            unknown = ", ".join(sorted(names - there))
            raise ArgumentError(f"There is no table {unknown}; there are {', '.join(sorted(there))}.")
        columns = {
            column.name
            for feed in chosen
            for table in feed.stream.tables
            if names is None or table.name in names
            for column in table.columns
        }
        own = {name for feed in chosen for name in feed.walk_filters}
        keys, filters = {}, {}
        for name, value in options.items():
            if name in own:
                filters[name] = value
            elif name in columns:
                several = isinstance(value, list | tuple | set | frozenset)
                keys[name] = frozenset(value if several else [value])
            else:
                more = f", and {', '.join(sorted(own))}" if own else ""
                raise ArgumentError(
                    f"walk() cannot choose by {name}=: no table that is wanted has such a column. "
                    f"There are {', '.join(sorted(columns))}{more}."
                )
        low = -LATEST if start is None else instant_ns(start, name="start")
        high = LATEST if end is None else instant_ns(end, name="end")
        if last is not None:
            if start is not None or end is not None:
                raise ArgumentError(
                    "last= cannot go together with start= or end=: give the one or the others."
                )
            newest = [now for feed in feeds.values() if (now := feed.origin.now_ns()) is not None]
            low = max(newest, default=0) - span_ns(last, name="last")
        if low > high:
            raise ArgumentError(f"start={start!r} is later than end={end!r}: swap them.")
        delay_ns = span_ns(delay, name="delay") if delay else 0
        return cls(frozenset(data), names, keys, filters, low, high, delay_ns)


class FeedWalk:
    """Turns the messages of one feed into events."""

    def __init__(self, name: str, stream: Stream, wanted: Wanted, row_filter: RowFilter | None) -> None:
        self.name = name
        self._filter = row_filter
        self._tables = {
            table.name: (row_maker(table), _key_test(table.names, wanted.keys))
            for table in stream.tables
            if name in wanted.data
            and (wanted.tables is None or table.name in wanted.tables)
            and wanted.keys.keys() <= set(table.names)
        }

    def events(self, message: Message, decoded: Decoded | None, store: StreamStore) -> Iterator[WalkEvent]:
        """Yield what a message says; `decoded` is what the store made of it."""
        if decoded is not None:
            if decoded.kind is Kind.DATA:
                yield from self._data(message, decoded.rows)
        elif message.opcode == Opcode.EVENT:
            yield from self._own(message)
        elif message.direction == Direction.IN and not message.flags & FLAG_DUPLICATE:
            yield from self._fault(message, store)

    def _data(self, message: Message, groups: Mapping[str, Sequence[Any]]) -> Iterator[WalkEvent]:
        at_ns = message.t_wall_ns
        if self._filter is not None:
            self._filter.learn(groups, at_ns)
        if self.name == KERNEL and "cells" in groups:
            for cell in groups["cells"]:
                yield CellEvent(self.name, at_ns, _CELL(cell))
            groups = {table: rows for table, rows in groups.items() if table != "cells"}
        rows: dict[str, Sequence[Any]] = {}
        for table, group in groups.items():
            make, test = self._tables.get(table, _NONE)
            if make is None:
                continue
            chosen: Iterable[Any] = group if test is None else filter(test, group)
            named = list(map(make, chosen))
            if self._filter is not None:
                named = self._filter.chosen(table, named, at_ns)
            if named:
                rows[table] = named
        if rows:
            yield DataEvent(self.name, at_ns, message, rows)

    def _own(self, message: Message) -> Iterator[WalkEvent]:
        event = decode_event(message.payload)
        if isinstance(event, Gap):
            yield GapEvent(self.name, message.t_wall_ns, event)
        elif isinstance(event, StateChange):
            yield StateEvent(self.name, message.t_wall_ns, event)
        elif isinstance(event, Mark):
            yield MarkEvent("", event.at_ns, event.label)

    def _fault(self, message: Message, store: StreamStore) -> Iterator[WalkEvent]:
        one = next((one for one in reversed(store.undecoded) if one.message == message), None)
        if one is not None:
            yield FaultEvent(self.name, message.t_wall_ns, message, one.reason, one.sentence)


def _cell_maker() -> Callable[[Any], Any]:
    from tes_nb.streams import get  # noqa: PLC0415 - its tables are described there

    return row_maker(get(KERNEL).table("cells"))


_CELL = _cell_maker()
_NONE = (None, None)


def _key_test(
    names: Sequence[str], keys: Mapping[str, frozenset[Any]]
) -> Callable[[Sequence[Any]], bool] | None:
    places = [(names.index(name), values) for name, values in keys.items() if name in names]
    if len(places) == 1:
        place, values = places[0]
        return lambda row: row[place] in values
    return (lambda row: all(row[place] in values for place, values in places)) if places else None


def walks_of(feeds: Mapping[str, Walkable], wanted: Wanted) -> dict[str, FeedWalk]:
    """Return what turns messages into events, one for each feed."""
    return {
        name: FeedWalk(name, feed.stream, wanted, feed.walk_filter(wanted.filters))
        for name, feed in feeds.items()
    }


def walk_recorded(file: SessionFile, feeds: Mapping[str, Walkable], wanted: Wanted) -> Iterator[WalkEvent]:
    """Yield what was recorded. A damaged file goes on behind the damage, and says what is missing there."""
    events: Iterator[WalkEvent] = _Reading(file, feeds, wanted, walks_of(feeds, wanted)).events()
    if wanted.delay_ns:
        events = delayed(events, wanted.delay_ns)
    low, high = wanted.low_ns, wanted.high_ns
    return events if (low, high) == (-LATEST, LATEST) else (e for e in events if low <= e.at_ns <= high)


@dataclass(slots=True)
class _Reading:
    file: SessionFile
    feeds: Mapping[str, Walkable]
    wanted: Wanted
    walks: Mapping[str, FeedWalk]
    _next_seq: dict[str, int] = field(default_factory=dict)
    _holes: Counter[str] = field(default_factory=Counter)
    _marks: set[tuple[str, int]] = field(default_factory=set)

    def events(self) -> Iterator[WalkEvent]:
        stores = {name: rowless_store(feed.stream) for name, feed in self.feeds.items()}
        gaps = deque(one.gap for one in self.file.gaps if one.source is None)
        for message in self._merged(stores):
            name = message.source
            missing = message.seq - self._next_seq.get(name, message.seq)
            if missing > 0 and self.file.damage:
                yield self._hole(message, missing)
            self._next_seq[name] = message.seq + 1
            while gaps and gaps[0].lost_at_ns <= message.t_wall_ns:
                gap = gaps.popleft()
                yield GapEvent("", gap.lost_at_ns, gap)
            store = stores[name]
            for event in self.walks[name].events(message, store.receive(message), store):
                if event.__class__ is not MarkEvent or self._is_new(event):
                    yield event
        for gap in gaps:
            yield GapEvent("", gap.lost_at_ns, gap)
        yield from self._at_end()

    def _merged(self, stores: Mapping[str, StreamStore]) -> Iterator[Message]:
        """Each source from where it must be read so that what is wanted is whole."""
        low, high = self.wanted.low_ns, self.wanted.high_ns
        since = None if low == -LATEST else low - self.wanted.delay_ns
        until = None if high == LATEST else high + 1
        each = []
        for name, feed in self.feeds.items():
            # what compares messages, or is chosen by earlier ones, needs the beginning
            whole = self.wanted.filters or feed.stream.fold is not None
            begin = None if whole else since
            if begin is not None and feed.stream.feed_decoder is not None:
                for message in feed.origin.requests(begin):  # type: ignore[attr-defined] # of a recording
                    stores[name].note(message)
            each.append(self.file.messages(name, start_ns=begin, end_ns=until))
        return each[0] if len(each) == 1 else heapq.merge(*each, key=attrgetter("t_mono_ns"))

    def _hole(self, message: Message, missing: int) -> DamageEvent:
        self._holes[message.source] += missing
        sentence = f"{message.source}: {missing:,} messages are missing here, because {self.file.path.name} is damaged."
        return DamageEvent(message.source, message.t_wall_ns, missing, sentence)

    def _at_end(self) -> Iterator[WalkEvent]:
        """Say what is missing before the first and behind the last message that could be read."""
        if not self.file.damage or (self.wanted.low_ns, self.wanted.high_ns) != (-LATEST, LATEST):
            return
        span = self.file.span() or (0, 0)
        for name in self.feeds:
            missing = self.file.lost(name) - self._holes[name]
            if missing > 0:
                sentence = f"{name}: {missing:,} more messages of {self.file.path.name} cannot be read."
                yield DamageEvent(name, span[1], missing, sentence)

    def _is_new(self, mark: Any) -> bool:
        one = (mark.label, mark.at_ns)
        new = one not in self._marks
        self._marks.add(one)
        return new


def delayed(events: Iterable[WalkEvent], delay_ns: int) -> Iterator[WalkEvent]:
    """Let what came over a network come later, among what happened on the spot."""
    waiting: deque[WalkEvent] = deque()
    for event in events:
        while waiting and waiting[0].at_ns <= event.at_ns:
            yield waiting.popleft()
        if event.local or event.source == KERNEL:
            yield event
        else:
            event.at_ns += delay_ns
            waiting.append(event)
    yield from waiting
