"""Whether a connection is healthy, stale, silent or dead, and when to poll or to ping. Pure: `now` is an argument.

Three cases are distinguished that a plain ping timeout mixes up. A link that died brings nothing. A slow link
brings the rest of a big frame, behind which the pong has to wait: while that goes on, nobody is given up. A
half-open link brings messages while ours vanish: the pong stays out although whole messages arrive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tes_nb.model import Kind
from tes_nb.wire.profile import Profile
from tes_nb.wire.retry import Backoff

NEVER = float("inf")


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
        """Data came over the WebSocket. While it is polled, the second push in time ends that.

        One alone proves nothing: there are peers that push once, when they are connected, and then fall silent.
        """
        again, self._last_push = now - self._last_push < self.quiet_s, now
        if again or not (self.conn or self._at_once):
            self._at_once = self.working = False
            self.conn = 0

    def held(self, by: float) -> None:
        """The whole process stood still for so many seconds: that was no silence of the peer."""
        self._last_push += by

    def due_at(self) -> float:
        """When the next poll is due; infinity while one is under way."""
        if self._in_flight:
            return NEVER
        polls = self._at_once or self.working
        return self._next_at if polls else max(self._next_at, self._last_push + self.quiet_s)

    def begun(self, now: float) -> None:
        """A poll was sent; the next one keeps the grid, however long this one takes."""
        self._in_flight = True
        self._next_at = max(self._next_at + self._every_s, now)

    def ended(self, *, ok: bool, now: float) -> None:
        """A poll came back."""
        self._in_flight = False
        self.working = ok and self.conn > 0  # 0 = it pushes again
        if ok:
            self._backoff.reset()
        else:
            self._next_at = now + self._backoff.next()
            self.conn = 0


class Liveness:
    """The facts about the present connection. Only data proves that a stream is alive.

    Whether a moment has come is computed from the same sum that `due_at` returns: `now - a >= b` may still be
    false at `now == a + b`, and a shell that wakes up then would wake up again and again.
    """

    def __init__(self, profile: Profile, period_s: float, heartbeat_s: float | None) -> None:
        self._profile = profile
        self.stale_s = profile.stale_s(period_s)
        self._quiet_s = profile.quiet_s(period_s)
        self._heartbeat_s = heartbeat_s
        self._opened_at = 0.0
        self._last_message = 0.0
        self._last_data = 0.0
        self._heartbeat_at = NEVER
        self._last_sign = NEVER
        self.has_data = False
        self.greeted = False
        self.stale = False
        """No data for three periods."""

    def begin(self, now: float) -> None:
        """The reader starts: silence counts from here."""
        self._last_sign = now

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
        elif kind is Kind.KEEPALIVE:  # by which a peer says, unasked, that there is nothing to say
            self._last_sign = now
        elif kind is Kind.GREETING:
            self.greeted = True

    def data(self, now: float) -> bool:
        """Data came, pushed or polled; return whether that ends a stale time."""
        was_stale, self.stale = self.stale, False
        self._last_data = self._last_sign = now
        return was_stale

    def silent_at(self) -> float:
        """When neither data nor a keepalive have come for three periods, over whatever connection: a hole."""
        return self._last_sign + self.stale_s

    def look(self, now: float) -> bool:
        """Return whether the connection has become stale with this look at the clock."""
        if self.stale or now < self._last_data + self.stale_s:
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
        """Long enough up, and with data: the next loss starts the backoff anew."""
        return self.has_data and now >= self._opened_at + self._profile.healthy_s

    def dead(self, now: float) -> bool:
        """No message of any kind for too long."""
        return now >= self._last_message + self._profile.watchdog_s

    def only_greeted(self, now: float) -> bool:
        """The peer said hello and then nothing that counts."""
        return self.greeted and not self.has_data and now >= self._opened_at + self._quiet_s

    def due_at(self) -> float:
        """When something about the connection may change by time alone."""
        stale_at = NEVER if self.stale else self._last_data + self.stale_s
        return min(self._heartbeat_at, self._last_message + self._profile.watchdog_s, stale_at)

    def held(self, by: float) -> None:
        """The process stood still for so many seconds: that was no silence of the peer."""
        self._opened_at += by
        self._last_message += by
        self._last_data += by
        self._last_sign += by


class Keepalive:
    """The pings of one connection. All times are seconds on one monotonic clock, handed in as `now`."""

    def __init__(self, profile: Profile, now: float, handshake_s: float) -> None:
        """`handshake_s`, how long the handshake took, stands for the round trip until a pong was timed."""
        self._profile = profile
        self._round_trip_s = handshake_s
        self._looked_at = now
        self._ping_at: float | None = None  # the ping that waits for its pong
        self._allowance_s = 0.0
        self._next_ping = now + self._interval_s()
        self._last_byte = now
        self._first_message: float | None = None  # the first whole one since that ping

    def bytes_arrived(self, now: float) -> None:
        """Something came, be it a part of a frame."""
        self._last_byte = now

    def message_arrived(self) -> None:
        """The bytes that came last completed a message."""
        if self._first_message is None:
            self._first_message = self._last_byte

    def ponged(self, now: float) -> None:
        """The peer answered the ping that waits."""
        if self._ping_at is None:
            return
        # A slow fall: a few lucky round trips must not hide that the link is slow.
        self._round_trip_s = max(now - self._ping_at, 0.95 * self._round_trip_s)
        self._next_ping = self._ping_at + self._interval_s()
        self._ping_at = None

    def look(self, now: float) -> Literal["wait", "ping", "dead"]:
        """Return what is to be done now. To be called at `due_at()`, and at least every `tick_s`."""
        held = now - self._looked_at > self._profile.tick_s + self._profile.held_s
        self._looked_at = now
        if held:  # we stood still, so the peer's silence proves nothing: ask it, and give it a moment
            return self._ping(now, self._patience_s(self._profile.wake_pong_s))
        if self._ping_at is not None:
            return "dead" if now >= self._deadline() else "wait"
        return self._ping(now, self._pong_patience_s()) if now >= self._next_ping else "wait"

    def due_at(self) -> float:
        """When `look` is wanted at the latest."""
        due = self._next_ping if self._ping_at is None else self._deadline()
        return min(due, self._looked_at + self._profile.tick_s)

    def _ping(self, now: float, allowance_s: float) -> Literal["ping"]:
        self._ping_at, self._allowance_s, self._first_message = now, allowance_s, None
        return "ping"

    def _deadline(self) -> float:
        """When the ping that waits counts as unanswered."""
        if self._ping_at is None:
            return NEVER
        if self._first_message is None:  # a frame that began before the ping may still be coming in
            return max(self._ping_at, self._last_byte) + self._allowance_s
        behind_a_frame = self._first_message - self._ping_at > self._allowance_s
        return (self._first_message if behind_a_frame else self._ping_at) + self._allowance_s

    def _patience_s(self, usual_s: float) -> float:
        """The patience for a pong: more on a link with long round trips, at most twice the profile's."""
        return min(max(2 * self._round_trip_s, usual_s), 2 * self._profile.pong_timeout_s)

    def _pong_patience_s(self) -> float:
        return self._patience_s(self._profile.pong_timeout_s)

    def _interval_s(self) -> float:
        """What patience adds is taken from the interval, so that a dead link is noticed equally soon."""
        if self._profile.ping_interval_s is None:
            return NEVER
        spare = self._profile.ping_interval_s + self._profile.pong_timeout_s - self._pong_patience_s()
        return max(spare, self._profile.ping_interval_s / 10)
