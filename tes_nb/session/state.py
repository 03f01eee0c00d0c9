"""How a feed is doing, in one word and one line."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tes_nb.model.stream import STALE_PERIODS
from tes_nb.wire.events import StateChange


@dataclass(frozen=True, slots=True)
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
    """What everybody must know who looks at the data; "" = nothing."""

    def __str__(self) -> str:
        parts = [self.text]  # an upstream's own text counts its reconnects already
        if self.note:
            parts.append(self.note)
        if self.reconnects and "reconnect" not in self.text:
            parts.append(_counted(self.reconnects, "reconnect"))
        if self.gaps:
            parts.append(_counted(self.gaps, "gap"))
        if self.token_s is not None:
            parts.append(f"token {self.token_s:.0f} s")
        if self.undecoded or self.token_s is not None:
            parts.append(f"{self.undecoded} undecoded")
        return " · ".join(parts)

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
    ) -> FeedState:
        """Judge. relay: what is wrong between us and the collector; silent_s: `None` = no data yet."""
        word, text = _judge(upstream, relay, closed, silent_s, period_s)
        reconnects = 0 if upstream is None else upstream.reconnects
        token_s = _token_left(upstream) if word in ("OPEN", "STALE") else None
        return cls(word, text, reconnects, undecoded, gaps, token_s)


def _token_left(upstream: StateChange | None) -> float | None:
    if upstream is None or upstream.token_until_ns is None or upstream.state != "OPEN":
        return None
    return max(0.0, (upstream.token_until_ns - time.time_ns()) / 1e9)


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


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


def _with_countdown(upstream: StateChange) -> str:
    """The text was written when the wait began; say how long it still is."""
    if upstream.retry_at_ns is None or ": " not in upstream.text:
        return upstream.text
    left = max(0.0, (upstream.retry_at_ns - time.time_ns()) / 1e9)
    return f"{upstream.state} {left:.1f} s: {upstream.text.split(': ', 1)[1]}"
