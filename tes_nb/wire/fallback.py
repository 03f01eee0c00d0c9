"""When to poll over HTTP because a WebSocket pushes nothing: beside an open socket or without one."""

from __future__ import annotations

from collections.abc import Callable

from tes_nb.wire.backoff import Backoff
from tes_nb.wire.profile import Profile


class Fallback:
    """Decides when a poll is due. Polls that fail back off like connections do."""

    def __init__(self, profile: Profile, period_s: float, random: Callable[[], float]) -> None:
        self.quiet_s = profile.quiet_s(period_s)
        self._every_s = profile.poll_every_s
        self._backoff = Backoff(profile.backoff_first_s, profile.backoff_cap_s, random)
        self._last_push = 0.0
        self._next_at = 0.0
        self._in_flight = False
        self._at_once = False
        self.working = False
        """The last poll brought data, and no push came since."""
        self.conn = 0
        """The connection number of this run of polling; 0 = none is going on."""

    def begin(self, now: float) -> None:
        """The reader starts: silence counts from here."""
        self._last_push = self._next_at = now

    def hurry(self) -> None:
        """The peer has no such WebSocket: do not wait for it to fall silent."""
        self._at_once = True

    def pushed(self, now: float) -> None:
        """Data came over the WebSocket: polling has nothing to add."""
        self._last_push = now
        self._at_once = self.working = False
        self.conn = 0

    def held(self, by: float) -> None:
        """The whole process stood still for so many seconds: that was no silence of the peer."""
        self._last_push += by

    def due_at(self) -> float:
        """When the next poll is due; infinity while one is under way."""
        if self._in_flight:
            return float("inf")
        return self._next_at if self._at_once else max(self._next_at, self._last_push + self.quiet_s)

    def begun(self, now: float) -> None:
        """A poll was sent; the next one keeps the grid, however long this one takes."""
        self._in_flight = True
        self._next_at = max(self._next_at + self._every_s, now)

    def ended(self, *, ok: bool, now: float) -> None:
        """A poll came back."""
        self._in_flight = False
        pushes_again = not self._at_once and now - self._last_push < self.quiet_s
        self.working = ok and not pushes_again
        if ok:
            self._backoff.reset()
        else:
            self._next_at = now + self._backoff.next()
            self.conn = 0
