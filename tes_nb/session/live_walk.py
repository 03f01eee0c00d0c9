"""Where a walk begins; and `walk(live=True)`: a recording's events, from a running session as they come."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tes_nb.errors import ArgumentError, SessionError
from tes_nb.session.events import DamageEvent, MarkEvent, WalkEvent
from tes_nb.session.origin import RecordedOrigin
from tes_nb.session.walk import LATEST, Wanted, walk_recorded, walks_of
from tes_nb.streams.kernel import KERNEL

if TYPE_CHECKING:
    from tes_nb.model import Decoded, Message
    from tes_nb.session.walk import Walkable

LAG = 50_000
"""So many messages a loop may lie behind; then the oldest are dropped, and it is said."""
LOOK_EVERY_S = 0.2
MARKS = 1000


def begin_walk(
    feeds: Mapping[str, Walkable],
    data: Collection[str],
    *,
    tables: Sequence[str] | str | None = None,
    start: Any = None,
    end: Any = None,
    last: Any = None,
    delay: Any = None,
    live: bool = False,
    **choose: Any,
) -> Iterator[WalkEvent]:
    """Check what is wanted, and return the iterator of `Feed.walk`. data: the feeds whose rows are wanted."""
    wanted = Wanted.of(
        feeds, data, tables=tables, start=start, end=end, last=last, delay=delay, options=choose
    )
    origins = [feed.origin for feed in feeds.values()]
    if live:
        refusal = next((origin.refusal for origin in origins if origin.refusal), "")
        if refusal:
            raise SessionError(f"{refusal} walk() without live=True goes through it.")
        return LiveWalk(feeds, wanted).events()
    recorded = [origin for origin in origins if isinstance(origin, RecordedOrigin)]
    if len(recorded) < len(origins):
        raise SessionError(
            "A running session keeps rows and no messages to walk over: walk(live=True) begins now; "
            "rec = s.record(), then rec.open().walk(), goes through what came since."
        )
    return walk_recorded(recorded[0].file, feeds, wanted) if recorded else iter(())


class LiveWalk:
    """What comes from now on. Feeds put their messages in on the background thread; the loop takes events out."""

    def __init__(self, feeds: Mapping[str, Walkable], wanted: Wanted) -> None:
        if wanted.low_ns != -LATEST:
            raise ArgumentError(
                "A live walk begins now: leave start= and last= out. s.record() keeps what comes, and its "
                ".open().walk(last=…) goes through that."
            )
        self._feeds = feeds
        self._wanted = wanted
        self._walks = walks_of(feeds, wanted)
        self._waiting: deque[tuple[Message, Decoded | None]] = deque()
        self._wake = threading.Event()
        self._lost = 0
        self._marks: deque[tuple[str, int]] = deque(maxlen=MARKS)

    def events(self) -> Iterator[WalkEvent]:
        """Yield until the session stops, or the wanted end has come."""
        offs = [feed.origin.listeners.follow(self._put) for feed in self._feeds.values()]
        later: deque[WalkEvent] = deque()
        try:
            while self._goes_on() or self._waiting or later:
                now = time.time_ns()
                while later and later[0].at_ns <= now:
                    yield later.popleft()
                until_next = (later[0].at_ns - now) / 1e9 if later else LOOK_EVERY_S
                for event in self._new(min(until_next, LOOK_EVERY_S)):
                    if self._wanted.delay_ns and not event.local and event.source != KERNEL:
                        event.at_ns += self._wanted.delay_ns
                        later.append(event)
                    elif event.at_ns <= self._wanted.high_ns:
                        yield event
                while later and later[-1].at_ns > self._wanted.high_ns:
                    later.pop()
        finally:
            for off in offs:
                off()

    def _put(self, message: Message, decoded: Decoded | None) -> None:
        """Called on the background thread."""
        if len(self._waiting) >= LAG:
            self._waiting.popleft()
            self._lost += 1
        self._waiting.append((message, decoded))
        self._wake.set()

    def _goes_on(self) -> bool:
        closed = all(feed.origin.listeners.closed for feed in self._feeds.values())
        return not closed and time.time_ns() <= self._wanted.high_ns

    def _new(self, patience_s: float) -> Iterator[WalkEvent]:
        """Yield what has come; wait for it at most so long. Raises what went wrong in the background."""
        if not self._waiting:
            self._wake.wait(patience_s)
        self._wake.clear()
        for feed in self._feeds.values():
            feed.origin.check()
        if self._lost:
            lost, self._lost = self._lost, 0
            sentence = f"This loop lay more than {LAG:,} messages behind: {lost:,} were dropped."
            yield DamageEvent("", time.time_ns(), lost, sentence)
        for _ in range(len(self._waiting)):
            message, decoded = self._waiting.popleft()
            store = self._feeds[message.source].origin.store
            for event in self._walks[message.source].events(message, decoded, store):
                if not isinstance(event, MarkEvent) or self._is_new(event):
                    yield event

    def _is_new(self, mark: MarkEvent) -> bool:
        one = (mark.label, mark.at_ns)
        if one in self._marks:
            return False
        self._marks.append(one)
        return True
