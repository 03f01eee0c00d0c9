"""The times and limits of a reader, in one place, so that tests can run everything at a tenth of the time."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from tes_nb.model.stream import STALE_PERIODS


@dataclass(frozen=True, slots=True)
class Profile:
    """How patient a reader is. Everything that ends in `_s` is seconds on the monotonic clock."""

    open_timeout_s: float = 5.0
    """One connection attempt, from the name look-up to the end of the handshake, redirects included."""
    authorize_timeout_s: float = 15.0
    """What an authorize hook may take before each attempt."""
    ping_interval_s: float | None = 10.0
    """`None` = never ping, and never give a silent connection up."""
    pong_timeout_s: float = 5.0
    close_timeout_s: float = 1.0
    backoff_first_s: float = 1.0
    backoff_cap_s: float = 60.0
    healthy_s: float = 30.0
    """A connection that stayed up so long and delivered data starts the backoff anew."""
    watchdog_s: float = 57.0
    """No message of any kind for so long: reconnect. With closing (1 s) and the first backoff (1 s) a peer
    that only answers pings is left within a minute."""
    silent_push_s: float = 2.5
    """No push for so long (or for `silent_push_periods`, if that is longer): poll as well."""
    silent_push_periods: float = 2.5
    """Less than `stale_periods`, so that a stream that is polled in time has no hole."""
    poll_every_s: float = 1.0
    stale_periods: float = STALE_PERIODS
    missing_tries: int = 5
    """So many handshakes in a row answered "there is no such thing here" are a visible failure."""
    renew_ahead_s: float = 5.0
    """So long before its token expires a connection is renewed; at the earliest in the middle of its life."""
    renew_every_s: float = 1.0
    """Never more often than that, whatever a token says about its life."""
    renew_linger_s: float = 0.25
    """The old connection is kept for so long after both have brought the same message."""
    renew_hold_s: float = 2.0
    """What the new connection brings waits so long for the old one to bring the same."""
    renew_settled_s: float = 1.0
    """A peer has taken notice of a subscription after that time: silence on both connections is calm then."""
    renew_last_s: float = 1.0
    """A peer that refuses a second connection until so long before the expiry loses the first one."""
    longest_retry_after_s: float = 3600.0
    """A peer may ask us to stay away for no longer than that."""
    tick_s: float = 1.0
    """The shell gives the state machine a tick at least so often."""
    held_s: float = 1.5
    """A clock later than `tick_s` by more than this was held: a suspended machine, a stopped process."""
    wake_pong_s: float = 3.0
    """After such a hold the peer has so long to answer a ping."""

    def scaled(self, factor: float) -> Profile:
        """Return the profile with every time multiplied by `factor`."""
        times = {
            field.name: value * factor
            for field in dataclasses.fields(self)
            if field.name.endswith("_s") and (value := getattr(self, field.name)) is not None
        }
        return dataclasses.replace(self, **times)

    def quiet_s(self, period_s: float) -> float:
        """How long a stream with that period may push nothing before it is polled as well."""
        return max(self.silent_push_s, self.silent_push_periods * period_s)

    def stale_s(self, period_s: float) -> float:
        """How long a stream with that period may give no data before it is called stale."""
        return self.stale_periods * period_s


PROFILE = Profile()
