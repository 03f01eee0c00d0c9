"""How a feed is doing, in one word and one line."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tes_nb.errors import counted
from tes_nb.model.stream import STALE_PERIODS
from tes_nb.wire.events import Gap, StateChange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tes_nb.net.relay_client import RelayReader
    from tes_nb.store.memory.tables import StreamStore
    from tes_nb.wire.lifecycle import ReaderState


@dataclass(frozen=True, slots=True, repr=False)
class FeedState:
    """The state's word and what a user should know beside it."""

    word: str
    """OPEN, POLLING, STALE, CONNECTING, WAITING, FAILED, LOST or CLOSED."""
    text: str
    reconnects: int
    undecoded: int
    gaps: int
    token_s: float | None = None
    """So long the connection's token is good; `None` = it has none, or does not say."""
    note: str = ""
    """What must be said beside the data; "" = nothing."""

    def __str__(self) -> str:
        parts = [self.text]  # an upstream's own text counts its reconnects already
        if self.note:
            parts.append(self.note)
        if self.reconnects and "reconnect" not in self.text:
            parts.append(counted(self.reconnects, "reconnect"))
        if self.gaps:
            parts.append(counted(self.gaps, "gap"))
        if self.token_s is not None:
            parts.append(f"token {self.token_s:.0f} s")
        if self.undecoded or self.token_s is not None:
            parts.append(f"{self.undecoded} undecoded")
        return " · ".join(parts)

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        """A state equals its word, so that `feed.state == "OPEN"` reads well."""
        if isinstance(other, str):
            return other in (self.word, str(self))
        return NotImplemented if not isinstance(other, FeedState) else str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    @classmethod
    def of(
        cls,
        *,
        upstream: StateChange | None,
        relay: str | None,
        closed: bool,
        silent_s: float | None,
        period_s: float,
        undecoded: int,
        gaps: int,
        new: bool = False,
    ) -> FeedState:
        """Judge. relay: what is wrong between us and the collector; silent_s: since the last message, with rows or not.

        new: no connection to the collector stood yet, or no message has come of what it makes itself.
        """
        word, text = _judge(upstream, relay, closed, silent_s, period_s)
        if new and word == "OPEN" and upstream is None:
            word = text = "CONNECTING"
        reconnects = 0 if upstream is None else upstream.reconnects
        token_s = _token_left(upstream) if word in ("OPEN", "STALE") else None
        return cls(word, text, reconnects, undecoded, gaps, token_s)


def _token_left(upstream: StateChange | None) -> float | None:
    if upstream is None or upstream.token_until_ns is None or upstream.state != "OPEN":
        return None
    return max(0.0, (upstream.token_until_ns - time.time_ns()) / 1e9)


def _judge(
    upstream: StateChange | None, relay: str | None, closed: bool, silent_s: float | None, period_s: float
) -> tuple[str, str]:
    if closed:
        return "CLOSED", "CLOSED"
    if relay is not None:
        return "LOST", f"LOST: {relay}"
    if upstream is not None and upstream.state not in ("OPEN", "POLLING"):
        return upstream.state, _with_countdown(upstream)
    if silent_s is not None and silent_s > STALE_PERIODS * period_s:
        return "STALE", f"STALE: nothing for {silent_s:.0f} s"
    if upstream is None:
        return "OPEN", "OPEN"
    return upstream.state, upstream.text


def silence(beats: Iterable[tuple[float, float] | None]) -> float | None:
    """Return for how many seconds a collector has been silent; `None` = it is not, or has no beats to judge by.

    beats: of each stream that it makes itself, seconds since a message came and its period; three may be missing.
    """
    present = [beat for beat in beats if beat is not None]
    if not present or any(silent_s <= STALE_PERIODS * period_s for silent_s, period_s in present):
        return None
    return min(silent_s for silent_s, _ in present)


def _with_countdown(upstream: StateChange) -> str:
    """The text was written when the wait began; say how long it still is."""
    if upstream.retry_at_ns is None or ": " not in upstream.text:
        return upstream.text
    left = max(0.0, (upstream.retry_at_ns - time.time_ns()) / 1e9)
    return f"{upstream.state} {left:.1f} s: {upstream.text.split(': ', 1)[1]}"


def relay_trouble(reader: RelayReader, alive: bool) -> str:
    """Say what is wrong between a feed and its collector. alive: whether that runs."""
    if reader.is_replaced:
        return reader.state.reason
    if alive:
        return "no connection to the collector, trying again"
    return "the collector has ended; run tes.start() again"


class RelayGap:
    """The gap of a feed whose collector is not heard.

    It is open from when the relay was lost: at once when the collector has ended, else after three periods, and only
    where the upstream has none open. When the relay is there again it brings what came meanwhile: then there was no
    gap, or the relay has a record of what it had to drop (decisions/0017).
    """

    def __init__(
        self, store: StreamStore, trouble: Callable[[], str | None], ended: Callable[[], bool]
    ) -> None:
        """trouble: what is wrong between us and the collector. ended: whether that is for good."""
        self._store, self._trouble, self._ended = store, trouble, ended
        self._lost: tuple[int, float] | None = None
        """When the relay was lost, Unix ns and monotonic seconds; `None` = it is heard, or never was."""
        self._gap: Gap | None = None

    def note(self, relay: ReaderState) -> None:
        """Note the relay's state, which comes with each try to connect. Called on the background thread."""
        if relay.word == "OPEN":
            if self._gap is not None:
                self._store.withdraw(self._gap)
            self._lost = self._gap = None
            return
        ended = self._ended()
        if relay.word == "CLOSED" or self._gap is not None or not (relay.conn or ended):
            return
        if self._lost is None:
            self._lost = time.time_ns(), time.monotonic()
        lost_at_ns, lost_at_s = self._lost
        is_long = time.monotonic() - lost_at_s >= STALE_PERIODS * self._store.stream.period_s
        if (ended or is_long) and not any(gap.back_at_ns is None for gap in self._store.gaps[-1:]):
            cause = (self._trouble() or "").partition(";")[0] if ended else "no connection to the collector"
            conn = 0 if self._store.state is None else self._store.state.conn
            self._gap = Gap(conn, self._store.newest_ns, lost_at_ns, None, cause)
            self._store.add_event(self._gap)
