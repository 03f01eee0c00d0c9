"""Everything that can be chosen about the stand-in service."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tes_nb.errors import TesError
from tes_nb.simulate.faults import Fault

Compression = Literal["zlib", "gzip", "raw", "text", "binary", "mixed"]
"""How a message travels: deflate with a zlib, a gzip or no header, or not compressed as text or binary."""
Shape = Literal["xml", "envelope", "array", "json", "mixed"]
"""What is around it: bare XML, XML in a JSON object, in an array of objects, or (ticks) plain JSON."""

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Options:
    """What `serve`, `start_child` and `tes-nb simulate` take. Times are seconds of the wall clock."""

    host: str = "127.0.0.1"
    """One of the loopback names: simulated data must not be taken for the real feed by another machine."""
    port: int = 0
    """0 = any free one."""
    speed: float | None = 1.0
    """Simulated seconds per second; `None` = as fast as possible, bounded by `rate`."""
    rate: float = 10_000.0
    """At most so many data messages a second, at any speed."""
    reel: int = 0
    """At full speed, send the first so many messages over and over, with new numbers; 0 = simulate on."""
    seed: int = 1
    """The same seed gives the same matches, goals and prices."""
    matches: int = 8
    """Football matches at a time."""
    games: int = 3
    """Basketball games at a time; each also has a TES ticks feed of its own."""
    companies: tuple[int, ...] = (8,)
    """Bookmakers that quote football, each on the channel `ch_goal<id>_xml`; () = none does."""
    compression: Compression = "mixed"
    shape: Shape = "mixed"
    sister_site: bool = False
    """Football scores in the older sister-site form."""
    token_life_s: float = 60.0
    close_code_at_expiry: int = 1008
    """How a connection ends whose token expires while it is open."""
    clock_skew_s: float = 0.0
    """How far this server's own clock (the `Date` header, `iat`, `exp`) is ahead of this machine's."""
    strict_headers: bool = True
    """Refuse a token to a request without the headers that the site's own page sends."""
    keepalive_s: float = 10.0
    """The text `ok` is sent so often."""
    send_buffer: int = 1 << 20
    """Bytes that may wait for one client; beyond it the feed waits 2 s and then cuts that client off."""
    ledger_limit: int = 10_000_000
    """Messages the ledger remembers; `first` in `/ledger` says from which number on it knows."""
    faults: tuple[Fault, ...] = field(default=())
    """In force from the start; more can be posted to `/faults` at any time."""

    def __post_init__(self) -> None:
        self._check("host", self.host in LOOPBACK, f"one of {', '.join(LOOPBACK)}")
        self._check("speed", self.speed is None or self.speed > 0, "above 0, or None for as fast as possible")
        for name in ("rate", "token_life_s", "keepalive_s", "send_buffer", "ledger_limit"):
            self._check(name, getattr(self, name) > 0, "above 0")
        self._check("reel", self.reel >= 0, "0 or a number of messages")
        for name in ("matches", "games"):
            self._check(name, 0 <= getattr(self, name) <= 1000, "between 0 and 1000")

    def _check(self, name: str, fine: bool, rule: str) -> None:
        if not fine:
            raise TesError(f"The stand-in's option {name} is {getattr(self, name)!r}; it must be {rule}.")
