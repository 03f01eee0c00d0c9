"""When to ping a peer, and when to give it up: decided from what arrives, without a clock of its own.

Three things are told apart that a plain ping timeout mixes up. A link that died brings nothing. A slow link
brings the rest of a big frame, behind which the pong has to wait: while that goes on, nobody is given up. A
half-open link brings messages while ours vanish: the pong stays out although whole messages arrive.
"""

from __future__ import annotations

from typing import Literal

from tes_nb.wire.profile import Profile

NEVER = float("inf")


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
