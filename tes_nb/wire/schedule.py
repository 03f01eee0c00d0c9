"""When each message of a recording is due: pure, the clock is handed in.

Recorded time is the monotonic clock of the recording, in nanoseconds; `now` is the player's own clock, in seconds.
"""

from __future__ import annotations

import math

NS = 1_000_000_000


class Schedule:
    """Maps recorded time to the player's clock. It begins paused, at the recording's first message."""

    def __init__(self, first_ns: int, last_ns: int, *, speed: float = 1.0, now: float = 0.0) -> None:
        """first_ns, last_ns: recorded time of the first and the last message. speed: see `set_speed`."""
        self.first_ns = first_ns
        self.end_ns = last_ns + 1
        """Just after the last message."""
        self.speed = _checked(speed)
        self.paused = True
        self._at_ns = first_ns
        self._since = now

    def position(self, now: float) -> int:
        """Return the recorded time that has come by `now`; never beyond the end."""
        if self.paused or math.isinf(self.speed):
            return self._at_ns
        played = self._at_ns + int((now - self._since) * self.speed * NS)
        return min(max(played, self._at_ns), self.end_ns)

    def due(self, recorded_ns: int) -> float | None:
        """Return when a message of that recorded time is due; `None` = not while it is paused."""
        if recorded_ns < self._at_ns:
            return self._since
        if self.paused:
            return None
        return self._since if math.isinf(self.speed) else self._since + self._ahead_s(recorded_ns)

    def _ahead_s(self, recorded_ns: int) -> float:
        return (recorded_ns - self._at_ns) / NS / self.speed

    def pause(self, now: float) -> None:
        """Hold the position."""
        self._hold(now)
        self.paused = True

    def resume(self, now: float) -> None:
        """Go on from the position."""
        if self.paused:
            self.paused, self._since = False, now

    def set_speed(self, speed: float, now: float) -> None:
        """Play `speed` recorded seconds a second from now on, `math.inf` = as fast as it goes.

        Raises ValueError for what is not above 0.
        """
        checked = _checked(speed)
        self._hold(now)
        self.speed = checked

    def seek(self, recorded_ns: int, now: float) -> None:
        """Move the position, at most to the ends; everything before it is due at once."""
        self._at_ns = min(max(recorded_ns, self.first_ns), self.end_ns)
        self._since = now

    def reached(self, recorded_ns: int) -> None:
        """Note that a message of that time was played: at infinite speed that is the position."""
        if math.isinf(self.speed):
            self._at_ns = max(self._at_ns, recorded_ns + 1)

    def _hold(self, now: float) -> None:
        self._at_ns = self.position(now)
        self._since = now


def _checked(speed: float) -> float:
    if not speed > 0:
        raise ValueError(
            f"speed must be above 0, not {speed!r}; 1 is as recorded, 20 is twenty times as fast."
        )
    return float(speed)
