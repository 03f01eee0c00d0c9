"""Random faults from a seed: which, and when. Pure.

Only faults that a good reader survives without losing a message in silence: each either ends the connection
(a gap), refuses one, adds something unreadable without a number, or lets the world stand still.

Readers wait twice as long after each lost connection, up to a minute, and begin anew only after half a minute
of good service. Faults that struck by the clock alone would soon meet nobody, so what ends or refuses a
connection keeps to bouts (`MOST_IN_A_BOUT`) with `CALM_S` of service between them, and waits for its victim.
"""

from __future__ import annotations

from tes_nb.simulate.chance import chance
from tes_nb.simulate.faults import Fault

SERVED_S = 1.0
"""Somebody must have been served for so long since the last cut before the next one."""
CALM_S = 32.0
"""After so much service without a break readers begin anew with short waits, and a new bout may begin."""
MOST_IN_A_BOUT = 3
"""Cuts and refusals in one bout: waits of about 1, 2 and 4 s."""

CUTS: tuple[tuple[float, Fault], ...] = (
    (3, Fault("reset")),
    (2, Fault("reset", which="newest")),
    (2, Fault("close", code=1001)),
    (1, Fault("close", code=1011)),
    (1, Fault("close", code=4000)),
    (1, Fault("flap", up=0.5, down=1.0, times=2)),
    (2, Fault("silence", seconds=2.0)),
)
"""(weight, fault) that ends connections."""
REFUSALS: tuple[tuple[float, Fault], ...] = (
    (2, Fault("token_dashes")),
    (1, Fault("token_html")),
    (1, Fault("token_empty")),
    (1, Fault("token_expired")),
    (1, Fault("token_status", status=503)),
    (1, Fault("handshake", status=401)),
    (1, Fault("handshake", status=503)),
    (1, Fault("accept_then_close", code=1000)),
    (1, Fault("refuse_second", seconds=10.0)),
)
"""(weight, fault) that waits until the next token or handshake is asked for."""
NUISANCES: tuple[tuple[float, Fault], ...] = (
    (2, Fault("only_ok", seconds=2.0)),
    (2, Fault("half_frame")),
    (1, Fault("bomb", size=16 << 20)),
    (1, Fault("twice_deflated")),
    (1, Fault("trailing_junk")),
    (1, Fault("bad_crc")),
    (1, Fault("preset_dictionary")),
    (1, Fault("random_bytes")),
    (1, Fault("gzip_members")),
    (2, Fault("refresh")),
    (2, Fault("sister_form", times=5)),
)
"""(weight, fault) that leaves the connection as it is."""


class Plan:
    """Deals out faults, always in the same order for one seed; readers decide when each one's turn comes."""

    def __init__(self, seed: int, every: float) -> None:
        """`every` is the mean wait in seconds between two faults, a tenth of it the shortest."""
        self._every = every
        self._rng = chance(seed, "faults")
        self._in_bout = 0

    def wait(self) -> float:
        """Return the seconds until the next fault is due."""
        return max(self._rng.expovariate(1 / self._every), self._every / 10)

    def next(self, served_s: float | None, waiting: bool) -> Fault | None:
        """Return the fault whose turn it is; `None` = nobody would meet it.

        served_s: for how long somebody has been served without a break; `None` = nobody is.
        waiting: whether a refusal has not met anybody yet.
        """
        if served_s is None:
            return None
        if served_s >= CALM_S:
            self._in_bout = 0
        choices = list(NUISANCES)
        if served_s >= SERVED_S and self._in_bout < MOST_IN_A_BOUT:
            choices += CUTS if waiting else CUTS + REFUSALS
        weights = [weight for weight, _ in choices]
        chosen = self._rng.choices(choices, weights)[0]
        if chosen not in NUISANCES:
            self._in_bout += chosen[1].times or 1
        return chosen[1]
