"""Where a feed's messages come from: a collector that goes on, a recording, or a collector that replays one.

`Feed` asks each of them the same questions; what one of them cannot do is a sentence of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from tes_nb.errors import ArgumentError
from tes_nb.model import Kind, Message, Opcode, Stream
from tes_nb.model.owner import Owner
from tes_nb.session.listeners import Listeners
from tes_nb.session.state import FeedState, RelayGap
from tes_nb.store.memory.columns import DEFAULT_CAP
from tes_nb.store.memory.recent import RecentMessages
from tes_nb.store.memory.tables import UNBOUNDED, StreamStore, pieces, pieces_together
from tes_nb.store.memory.timespec import instant_ns, span_ns
from tes_nb.store.session.rows import ASIDES, STATES
from tes_nb.views.clock import clock
from tes_nb.wire.events import Gap, Mark

if TYPE_CHECKING:
    from tes_nb.store.export.export import TableExport
    from tes_nb.store.memory.cells import Snapshot
    from tes_nb.store.memory.columns import Columns
    from tes_nb.store.session.reader import SessionFile
    from tes_nb.store.session.tables import SourceSummary

RECENT = 500
RECENT_BYTES = 4 * 2**20
"""So many of its newest messages a feed keeps as they came."""
LIVE_WINDOW = "5min"
FIRST_LOOK_NS = 10_000_000_000
TURN = 64
"""So many messages are read between two turns of the caller's loop."""
AFTER_NS = 1
"""`SessionFile.messages` leaves its end out; frames count theirs in."""


class Origin(Protocol):
    """One source: what came of it, how it is doing, and what cannot be done with it."""

    source: str
    """What it is called."""
    listeners: Listeners
    """Who is called with each message to come; closed when none can come any more."""
    refusal: str
    """Why nothing more can be waited or asked for, a sentence; "" = it can."""
    window: str | None
    """How much time a chart shows at first; `None` = all there is."""

    @property
    def elsewhere(self) -> bool:
        """Whether this is a forked child, in which it has a state and nothing else."""

    @property
    def store(self) -> StreamStore:
        """The rows of everything that came."""

    @property
    def recent(self) -> RecentMessages:
        """The newest messages as they came."""

    def check(self) -> None:
        """Raise what went wrong in the background."""

    def state(self) -> FeedState:
        """How it is doing."""

    def look(self) -> FeedState:
        """The same for views, which show what has ended on purpose as CLOSED."""

    def now_ns(self) -> int | None:
        """What `last=` counts back from, Unix ns; `None` = the newest row."""

    def rows(self, table: str, *, start: Any, end: Any, last: Any, tz: str | None) -> Columns:
        """Return the rows of a table, at least those of the range; the range is as in `Feed.frame`."""

    def gaps(self) -> list[Gap]:
        """Holes in what came."""

    def marks(self) -> list[Mark]:
        """What was marked."""

    def pieces(self, table: str) -> Iterator[Snapshot]:
        """Yield all rows of a table in pieces, for a file."""

    def exports(self) -> Iterator[TableExport]:
        """Yield all tables, for the files of a folder."""

    def summary(self) -> SourceSummary | None:
        """What is known of the whole source without a look at its messages; `None` = it is in the store."""

    def messages(self) -> AsyncIterator[Message]:
        """Yield messages in the caller's own loop: those to come, or all of a recording."""

    async def subscribe(self, names: Sequence[str]) -> None:
        """Ask the peer for these parts or channels only."""


class LiveOrigin:
    """A source of a collector. `append` is what its reader calls with each message."""

    refusal = ""
    window: str | None = LIVE_WINDOW

    def __init__(
        self,
        stream: Stream,
        source: str,
        *,
        row_cap: int = DEFAULT_CAP,
        owner: Owner | None = None,
        trouble: Callable[[], str | None] = lambda: None,
        ended: Callable[[], bool] = lambda: False,
        connected: Callable[[], bool] = lambda: True,
        check: Callable[[], None] = lambda: None,
        subscribe: Callable[[str, Sequence[str]], Awaitable[Any]] | None = None,
        silent_s: Callable[[], float | None] = lambda: None,
    ) -> None:
        """trouble: what is wrong between us and the collector. ended: whether that is for good.

        silent_s: for how long the collector has missed its beats on every stream; `None` = it has not.
        connected: whether a connection to the collector ever stood. check: raises what went wrong in the session.
        """
        self.source = source
        self._owner = owner or Owner()
        self._store = StreamStore(stream, cap=row_cap)
        self._recent = RecentMessages(source, stream, limit=RECENT, limit_bytes=RECENT_BYTES)
        self.listeners = Listeners()
        self._trouble = trouble
        self.note_relay = RelayGap(self.store, trouble, ended).note
        """Called with each state of the relay."""
        self._check = check
        self._subscribe = subscribe
        self._connected = connected
        self._collector_silent_s = silent_s
        self._began = time.monotonic()
        self._message_at = 0.0
        """When a message came last, with rows or without, seconds of the monotonic clock; 0 = none yet."""

    @property
    def elsewhere(self) -> bool:
        """Whether this is a forked child."""
        return self._owner.elsewhere

    @property
    def store(self) -> StreamStore:
        """The rows of everything that came. Raises `SessionError` in a forked child."""
        self._owner.check()
        return self._store

    @property
    def recent(self) -> RecentMessages:
        """The newest messages as they came. Raises `SessionError` in a forked child."""
        self._owner.check()
        return self._recent

    def append(self, message: Message) -> None:
        """Append one message of the relay. Called on the background thread, in the order of the source."""
        self._recent.append(message)
        state = self._store.state
        decoded = self._store.receive(message)
        if message.opcode != Opcode.EVENT:
            self._message_at = time.monotonic()
        elif self._store.state is not state:
            clock.wake()  # views say it now, not with the next repaint
        self.listeners.publish(message, decoded)

    def check(self) -> None:
        """Raise what went wrong in the background, or in a function of the user's own; in a forked child always."""
        self._owner.check()
        self._check()
        self.listeners.raise_pending()

    def look(self) -> FeedState:
        """How it is doing."""
        if self.elsewhere:
            return FeedState("CLOSED", f"CLOSED: {self._owner.sentence}", 0, 0, 0)
        closed = self.listeners.closed
        regular = self.store.stream.period_s < float("inf")
        own = self.store.state is None
        since = self._message_at or (self._began if own and regular else 0.0)
        state = FeedState.of(
            upstream=self.store.state,
            relay=None if closed else self._trouble(),
            closed=closed,
            silent_s=time.monotonic() - since if since else None,
            new=not self._connected() or (regular and not self._message_at),
            period_s=self.store.stream.period_s,
            undecoded=self.store.counts().kinds.get(Kind.UNDECODED, 0),
            gaps=len(self.store.gaps),
        )
        if state.word == "OPEN" and not regular and (silent_s := self._collector_silent_s()) is not None:
            text = f"STALE: the collector has sent nothing on any stream for {silent_s:.0f} s"
            return replace(state, word="STALE", text=text)
        return state

    @property
    def beat(self) -> tuple[float, float] | None:
        """Seconds since a message of what the collector makes itself, and its period; `None` = it is not such."""
        period_s = self._store.stream.period_s
        if not self._message_at or self._store.state is not None or period_s == float("inf"):
            return None
        return time.monotonic() - self._message_at, period_s

    def state(self) -> FeedState:
        """The same; first it raises what went wrong in the background."""
        if not self.elsewhere:
            self.check()
        return self.look()

    def now_ns(self) -> int | None:
        """Now, while it goes on."""
        return None if self.listeners.closed else time.time_ns()

    def rows(self, table: str, **_range: Any) -> Columns:
        """Return what memory holds of a table."""
        return self.store.tables[table]

    def gaps(self) -> list[Gap]:
        """Holes in what was received."""
        return self.store.gaps

    def marks(self) -> list[Mark]:
        """What was marked."""
        return self.store.marks

    def pieces(self, table: str) -> Iterator[Snapshot]:
        """Yield what memory holds of a table now."""
        return iter([self.store.tables[table].snapshot()])

    def exports(self) -> Iterator[TableExport]:
        """Yield what memory holds of all tables."""
        from tes_nb.store.export.export import exports  # noqa: PLC0415

        return iter(exports(self.store, self.source))

    def summary(self) -> None:
        """Nothing is known but what is in memory."""

    def messages(self) -> AsyncIterator[Message]:
        """Yield each message from now on."""
        return self.listeners.iterate()

    async def subscribe(self, names: Sequence[str]) -> None:
        """Ask the peer; asked again after each reconnect."""
        if self._subscribe is not None:
            await self._subscribe(self.source, names)


class ReplayOrigin(LiveOrigin):
    """A source of a collector that replays a recording, with the recording's own times."""

    def __init__(
        self, stream: Stream, source: str, *, newest_ns: Callable[[], int | None], **options: Any
    ) -> None:
        """newest_ns: the receive time of the newest message of any source, Unix ns; `None` = none was played yet."""
        super().__init__(stream, source, **options)
        self._newest_ns = newest_ns

    def now_ns(self) -> int | None:
        """Where the replay is."""
        return self._newest_ns()

    def look(self) -> FeedState:
        """How the replay is doing, then what was recorded of the upstream."""
        state = super().look()
        playback = None if self.elsewhere else self.store.playback
        if playback is None or state.word in ("LOST", "CLOSED"):
            return state
        speed = "as fast as it goes" if playback.speed == 0 else f"{playback.speed:g} x"
        if playback.word == "PLAYING":
            if state.word == "CONNECTING":  # it plays, and nothing of this source has come in it yet
                state = replace(state, word="OPEN", text="OPEN")
            return replace(state, note=f"replay, {speed}")
        text = {"PAUSED": "PAUSED", "ENDED": "ENDED: the recording was played to its end"}[playback.word]
        return replace(state, word=playback.word, text=text, token_s=None, note="replay")


class RecordedOrigin:
    """A source of a session file. Nothing is read before it is asked for; a range reads that range only."""

    elsewhere = False
    window: str | None = None

    def __init__(self, stream: Stream, source: str, file: SessionFile) -> None:
        self.source = source
        self.listeners = Listeners()
        self.listeners.close()
        self.refusal = (
            f"The feed '{source}' is a recording ({file.path.name}): nothing more comes. Its rows are in "
            f".frame(); tes.replay('{file.path.name}') plays it as if it were live."
        )
        self._stream = stream
        self.file = file
        """Where it is read from."""

    @cached_property
    def store(self) -> StreamStore:
        """Everything of this source, decoded on first use."""
        store = self._read(None, None)
        for one in self.file.gaps:
            if one.source is None:  # its own are in its messages
                store.add_event(one.gap)
        return store

    def _read(self, start_ns: int | None, end_ns: int | None) -> StreamStore:
        store = StreamStore(self._stream, cap=UNBOUNDED)
        if start_ns is not None and self._stream.feed_decoder is not None:
            for message in self.requests(start_ns):
                store.note(message)
        for message in self.file.messages(self.source, start_ns=start_ns, end_ns=end_ns):
            store.receive(message)
        return store

    def requests(self, start_ns: int) -> Iterator[Message]:
        """What may say what was asked for before a time: the states, else all that no peer sent (decisions/0016)."""
        states = list(self.file.messages(self.source, among=STATES))
        if any(b'"channels":[' in message.payload for message in states):
            return iter(states)
        return self.file.messages(self.source, end_ns=start_ns, among=ASIDES)

    @cached_property
    def recent(self) -> RecentMessages:
        """The newest messages of the recording."""
        recent = RecentMessages(self.source, self._stream, limit=RECENT, limit_bytes=RECENT_BYTES)
        for message in self._newest_messages():
            recent.append(message)
        return recent

    def _newest_messages(self) -> list[Message]:
        """At least `RECENT`, where there are so many, without reading all of a long recording."""
        span, messages, back_ns = self.file.span(self.source), list[Message](), FIRST_LOOK_NS
        while span is not None and len(messages) < RECENT:
            start = span[1] - back_ns
            messages = list(self.file.messages(self.source, start_ns=start))
            if start <= span[0]:
                break
            back_ns *= 4
        return messages

    def check(self) -> None:
        """Nothing goes on in the background."""

    def state(self) -> FeedState:
        """Always RECORDED; beside it gaps and undecoded messages. Reads the whole source."""
        undecoded = self.store.counts().kinds.get(Kind.UNDECODED, 0)
        return FeedState("RECORDED", "RECORDED", 0, undecoded, len(self.store.gaps))

    def look(self) -> FeedState:
        """CLOSED, and where it is recorded; reads nothing."""
        return FeedState("CLOSED", f"recorded in {self.file.path.name}", 0, 0, 0)

    def now_ns(self) -> int | None:
        """The time of the recording's newest message, of any source."""
        span = self.file.span()
        return None if span is None else span[1]

    def rows(self, table: str, *, start: Any, end: Any, last: Any, tz: str | None) -> Columns:
        """Read the range, or everything where that has been read or all is wanted."""
        if last is not None and (start is not None or end is not None):
            raise ArgumentError("last= cannot go together with start= or end=: give the one or the others.")
        low = None if start is None else instant_ns(start, name="start", tz=tz)
        high = None if end is None else instant_ns(end, name="end", tz=tz) + AFTER_NS
        now_ns = self.now_ns()
        if last is not None and now_ns is not None:
            low = now_ns - span_ns(last, name="last")
        if "store" in self.__dict__ or (low is None and high is None):
            return self.store.tables[table]
        # a table of comparisons depends on all that came before
        return self._read(None if table in self._stream.folded else low, high).tables[table]

    def gaps(self) -> list[Gap]:
        """The gaps that touch this source, also those in which nothing could be written."""
        return [one.gap for one in self.file.gaps if one.source in (None, self.source)]

    def marks(self) -> list[Mark]:
        """From the file's own table: no message is read for them."""
        return [Mark(one.label, one.at_ns) for one in self.file.marks if one.source == self.source]

    def pieces(self, table: str) -> Iterator[Snapshot]:
        """Yield all that was recorded of a table, in flat memory."""
        return iter(pieces(self._stream, table, self.file.messages(self.source)))

    def exports(self) -> Iterator[TableExport]:
        """Yield the tables, decoded once for all: memory stays flat, however long it is."""
        from tes_nb.store.export.export import TableExport  # noqa: PLC0415 - only when somebody exports

        together = pieces_together(self._stream, self.file.messages(self.source))
        for table in self._stream.tables:
            alone = table.name in {self._stream.main, self.source}
            stem = self.source if alone else f"{self.source}_{table.name}"
            yield TableExport(stem, self._stream.name, table, (), gaps=self.gaps(), together=together)

    async def messages(self) -> AsyncIterator[Message]:
        """Yield all that was recorded, our own events left out as live; other tasks go on meanwhile."""
        for number, message in enumerate(self.file.messages(self.source)):
            if message.opcode != Opcode.EVENT:
                yield message
            if number % TURN == 0:
                await asyncio.sleep(0)

    def summary(self) -> SourceSummary:
        """What the file says of the source."""
        return self.file.info().sources[self.source]

    async def subscribe(self, names: Sequence[str]) -> None:
        """There is no peer to ask, see `refusal`."""
