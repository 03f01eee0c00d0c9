"""When something is sent to a view: everything at first and when asked, then what is new, if anybody looks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from tes_nb.views.presence import Presence

REPEATED_AT_S = (0.4, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""When everything is sent again while no browser could answer: the first may have come before its listener."""
HEARTBEAT_S = 3.0


class Sent(NamedTuple):
    """One message to the browser."""

    content: dict[str, Any]
    buffers: Sequence[bytes] = ()


Send = Callable[[dict[str, Any], list[bytes]], None]


class Content(Protocol):
    """What a view shows, turned into messages. All is called on the clock's thread."""

    def check(self) -> None:
        """Look at what is new, also while nobody watches."""

    def everything(self) -> list[Sent]:
        """Return all there is: the browser knows nothing, or has missed something."""

    def news(self) -> list[Sent]:
        """Return what came since the last call of `everything` or `news`."""

    def state(self) -> dict[str, Any]:
        """Return what changed beside the data since it was last told, all of it after `everything`."""

    def fallback(self) -> str:
        """Return the same as small static HTML; called on any thread, changes nothing."""


class Push:
    """One view's traffic. `step` runs on the clock's thread, `ask_all` on any."""

    def __init__(
        self,
        content: Content,
        send: Send,
        presence: Presence,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """send: (content, buffers) → the browser. clock: seconds."""
        self.content = content
        self.ended = False
        self._browser = send
        self._presence = presence
        self._clock = clock
        self._all_due = True
        self._made = self._last_sent = clock()
        self._repeats = list(REPEATED_AT_S)

    def ask_all(self) -> None:
        """Send everything at the next step."""
        self._all_due = True

    def step(self) -> bool:
        """Send what is new, if anybody looks; False when the view has ended."""
        if self.ended:
            return False
        self.content.check()
        if not self._presence.watched:
            return True
        now = self._clock()
        self._plan(now)
        # unset before anything is read: what is asked for meanwhile is sent again
        asked, self._all_due = self._all_due, False
        messages = self.content.everything() if asked else self.content.news()
        state = self.content.state()
        if state or (not messages and now - self._last_sent >= HEARTBEAT_S):
            messages = [*messages, Sent({"type": "state", "state": state})]
        for content, buffers in messages:
            self._last_sent = now
            self._browser(content, list(buffers))
        return True

    def _plan(self, now: float) -> None:
        """Until a browser has spoken, send all again now and then."""
        if self._presence.confirmed:
            self._repeats.clear()
        elif self._repeats and now - self._made >= self._repeats[0]:
            self._repeats.pop(0)
            self._all_due = True
