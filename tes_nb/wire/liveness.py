"""What one open connection has shown so far: whether it is healthy, stale, or silent."""

from __future__ import annotations

from tes_nb.model import Kind
from tes_nb.wire.profile import Profile

NEVER = float("inf")


class Liveness:
    """The facts about the present connection. Only data proves that a stream is alive.

    Whether a moment has come is asked with the very sum that `due_at` gives: `now - a >= b` may still be
    false at `now == a + b`, and a shell that is told to come then would come for ever.
    """

    def __init__(self, profile: Profile, period_s: float, heartbeat_s: float | None) -> None:
        self._profile = profile
        self._stale_s = profile.stale_s(period_s)
        self._quiet_s = profile.quiet_s(period_s)
        self._heartbeat_s = heartbeat_s
        self._opened_at = 0.0
        self._last_message = 0.0
        self._last_data = 0.0
        self._heartbeat_at = NEVER
        self.has_data = False
        self.greeted = False
        self.stale = False
        """No data for three periods."""

    def opened(self, now: float) -> None:
        """Forget the connection before; a new one begins."""
        self._opened_at = self._last_message = self._last_data = now
        self._heartbeat_at = NEVER if self._heartbeat_s is None else now + self._heartbeat_s
        self.has_data = self.greeted = self.stale = False

    def received(self, kind: Kind, now: float) -> None:
        """A message of that kind came over the connection."""
        self._last_message = now
        if kind is Kind.DATA:
            self.has_data = True
        elif kind is Kind.GREETING:
            self.greeted = True

    def data(self, now: float) -> bool:
        """Data came, pushed or polled; return whether that ends a stale time."""
        was_stale, self.stale = self.stale, False
        self._last_data = now
        return was_stale

    def look(self, now: float) -> bool:
        """Return whether the connection has become stale with this look at the clock."""
        if self.stale or now < self._last_data + self._stale_s:
            return False
        self.stale = True
        return True

    def heartbeat_due(self, now: float) -> bool:
        """Return whether a heartbeat is due, once for each."""
        if self._heartbeat_s is None or now < self._heartbeat_at:
            return False
        self._heartbeat_at = max(self._heartbeat_at + self._heartbeat_s, now)
        return True

    def healthy(self, now: float) -> bool:
        """Long enough up, and with data: the next loss is a new story, not the old one going on."""
        return self.has_data and now >= self._opened_at + self._profile.healthy_s

    def dead(self, now: float) -> bool:
        """No message of any kind for too long."""
        return now >= self._last_message + self._profile.watchdog_s

    def only_greeted(self, now: float) -> bool:
        """The peer said hello and then nothing that counts."""
        return self.greeted and not self.has_data and now >= self._opened_at + self._quiet_s

    def due_at(self) -> float:
        """When something about the connection may change by time alone."""
        stale_at = NEVER if self.stale else self._last_data + self._stale_s
        return min(self._heartbeat_at, self._last_message + self._profile.watchdog_s, stale_at)

    def held(self, by: float) -> None:
        """The process stood still for so many seconds: that was no silence of the peer."""
        self._opened_at += by
        self._last_message += by
        self._last_data += by
