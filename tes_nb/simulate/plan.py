"""Random faults from a seed: which, and when. Pure.

Only faults that a good reader survives without losing a message in silence: each either ends the connection
(a gap), refuses one, adds something unreadable without a number, or lets the world stand still.
"""

from __future__ import annotations

from collections.abc import Iterator

from tes_nb.simulate.chance import chance
from tes_nb.simulate.faults import Fault

CHOICES: tuple[tuple[float, Fault], ...] = (
    (3, Fault("reset")),
    (2, Fault("reset", which="newest")),
    (2, Fault("close", code=1001)),
    (1, Fault("close", code=1011)),
    (1, Fault("close", code=4000)),
    (1, Fault("flap", up=0.5, down=1.0, times=2)),
    (2, Fault("silence", seconds=2.0)),
    (2, Fault("only_ok", seconds=2.0)),
    (2, Fault("token_dashes")),
    (1, Fault("token_html")),
    (1, Fault("token_empty")),
    (1, Fault("token_expired")),
    (1, Fault("token_status", status=503)),
    (1, Fault("handshake", status=401)),
    (1, Fault("handshake", status=503)),
    (1, Fault("accept_then_close", code=1000)),
    (1, Fault("refuse_second", seconds=10.0)),
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
"""(weight, fault)."""


def plan(seed: int, every: float) -> Iterator[tuple[float, Fault]]:
    """Yield (seconds to wait, fault) without end; `every` is the mean wait, a tenth of it the shortest."""
    rng = chance(seed, "faults")
    weights = [weight for weight, _ in CHOICES]
    while True:
        wait = max(rng.expovariate(1 / every), every / 10)
        yield wait, rng.choices(CHOICES, weights)[0][1]
