"""When to try again, and how: delays that grow, and two tables for close codes and HTTP statuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

_MOST_DOUBLINGS = 32  # beyond every sensible cap; keeps 2**n small


class Backoff:
    """Delays that double from `first_s` up to `cap_s`; each is half fixed, half random.

    The fixed half keeps the number of tries bounded (full jitter can give several zeros in a row), the random half
    keeps many readers of one peer from coming back together.
    """

    def __init__(self, first_s: float, cap_s: float, random: Callable[[], float]) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._random = random
        self._doublings = 0

    @property
    def cap_s(self) -> float:
        """The longest delay, in seconds."""
        return self._cap_s

    def next(self) -> float:
        """Return the delay before the next try, in seconds, and lengthen the one after it."""
        whole = min(self._cap_s, self._first_s * 2.0**self._doublings)
        self._doublings = min(self._doublings + 1, _MOST_DOUBLINGS)
        return whole / 2 + self._random() * whole / 2

    def rest(self) -> float:
        """Return a delay of at least the cap, in seconds: for a peer that keeps saying no."""
        return self._cap_s * (1 + 0.1 * self._random())

    def reset(self) -> None:
        """Start again from the first delay."""
        self._doublings = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """How to go on. Every verdict ends in another try: none is final, only some are slow."""

    meaning: str
    """For people, without a full stop."""
    slow: bool = False
    """Wait at least half of the backoff's cap: trying again soon would make it worse."""
    fresh_token: bool = False
    """Our credentials were refused: one immediate try with new ones, if there are any, then the backoff."""
    missing: bool = False
    """There is no such stream under this path: try the next alias; five in a row are a visible failure."""
    pollable: bool = True
    """Whether the peer's HTTP half may answer although its WebSocket does not."""


BACKOFF = Verdict("the connection was lost")
UNREACHABLE = Verdict("the peer cannot be reached", pollable=False)
NOT_ALLOWED = Verdict("no valid credentials could be had", pollable=False)
NO_DATA = Verdict("the peer greets under this path but sends no data")

CLOSE_CODES: Mapping[int, Verdict] = {
    1000: Verdict("closed normally"),  # old peers close with 1000 when they call us idle: reconnect, not done
    1001: Verdict("the peer goes away"),
    1002: Verdict("the peer calls our frames wrong", slow=True),
    1003: Verdict("the peer does not take this kind of data", slow=True),
    1005: Verdict("closed without a code"),
    1006: Verdict("closed without a close frame"),
    1007: Verdict("the peer calls our text wrong", slow=True),
    1008: Verdict("the peer refuses us by its policy", fresh_token=True),
    1009: Verdict("a message was too big"),
    1010: Verdict("the peer lacks an extension", slow=True),
    1011: Verdict("the peer failed inside"),
    1012: Verdict("the peer restarts"),
    1013: Verdict("the peer asks to come back later", slow=True),
    1014: Verdict("a gateway got a wrong answer"),
    1015: Verdict("TLS failed", pollable=False),
    3000: Verdict("the peer wants credentials", fresh_token=True),
    3003: Verdict("the peer forbids this", fresh_token=True),
    3008: Verdict("the peer's time ran out"),
    4401: Verdict("the peer wants credentials", fresh_token=True),
    4403: Verdict("the peer forbids this", fresh_token=True),
    4429: Verdict("the peer finds us too frequent", slow=True),
}

_NO_SUCH_STREAM = Verdict("there is no such stream under this path", missing=True)
_REFUSED = Verdict("the peer refuses our credentials", fresh_token=True, pollable=False)
_LATER = Verdict("the peer asks to come back later", pollable=False)
STATUSES: Mapping[int, Verdict] = {
    400: _NO_SUCH_STREAM,
    401: _REFUSED,
    403: _REFUSED,
    404: _NO_SUCH_STREAM,
    405: _NO_SUCH_STREAM,
    407: Verdict("a proxy wants credentials", pollable=False),
    410: _NO_SUCH_STREAM,
    426: _NO_SUCH_STREAM,
    429: _LATER,
    501: _NO_SUCH_STREAM,
    503: _LATER,
}


def close_verdict(code: int) -> Verdict:
    """Return what to do after a connection ended with `code` (1006 = without a close frame)."""
    return CLOSE_CODES.get(code, BACKOFF)


def status_verdict(status: int) -> Verdict:
    """Return what to do after a handshake was answered with this HTTP status."""
    page_instead = 200 <= status < 300  # an ordinary page where the upgrade should be
    return STATUSES.get(status, _NO_SUCH_STREAM if page_instead else BACKOFF)
