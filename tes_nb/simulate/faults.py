"""Faults on demand: what each is called, its parameters, and which are in force.

Pure: the time is an argument. What a fault does is done where it belongs: tokens, handshakes, connections
and messages in `fault_runner`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from tes_nb.errors import TesError
from tes_nb.simulate.world import chance

Place = Literal["token", "handshake", "connection", "message", "plan"]
Which = Literal["all", "oldest", "newest"]

STATES = ("only_ok", "refuse_second", "sister_form", "flap", "random")
"""In force until cleared, unless `times` or `seconds` says otherwise; all others happen once."""

FAULTS: dict[str, tuple[Place, str]] = {
    "token_dashes": ("token", "dashes instead of a token"),
    "token_empty": ("token", "an empty body"),
    "token_blank": ("token", "white space"),
    "token_html": ("token", "an HTML page"),
    "token_megabyte": ("token", "1 MB of letters"),
    "token_json": ("token", "a JSON object without a token"),
    "token_null": ("token", "the word null"),
    "token_expired": ("token", "a token that expired a minute ago"),
    "token_garbage": ("token", "three parts with dots that are no JWT"),
    "token_two_parts": ("token", "a token cut before its signature"),
    "token_status": ("token", "the answer `status` (503), with Retry-After if given"),
    "token_hang": ("token", "no answer for `seconds` (60)"),
    "token_drip": ("token", "a true token at 10 bytes a second"),
    "handshake": ("handshake", "the answer `status` (401) instead of 101, with Retry-After if given"),
    "accept_then_close": ("handshake", "the connection is accepted and closed at once with `code` (1000)"),
    "refuse_second": ("handshake", "the answer `status` (409) while the same subscriber has a connection"),
    "silence": ("connection", "nothing is sent, pings are answered; after `seconds` the connection is cut"),
    "blackhole": ("connection", "nothing is sent or read, pings stay unanswered; cut after `seconds`"),
    "only_ok": ("connection", "the world stands still, only keepalives come"),
    "reset": ("connection", "a TCP reset in the middle of a frame"),
    "close": ("connection", "closed with `code` (1001)"),
    "flap": ("connection", "`up` seconds (2) of service, then `down` seconds (2) of resets, and again"),
    "half_frame": ("message", "a deflated message cut in half"),
    "bomb": ("message", "`size` bytes of spaces (64 MiB) deflated in `form` (zlib, gzip, raw)"),
    "twice_deflated": ("message", "a deflated message deflated again"),
    "trailing_junk": ("message", "bytes after the end of a deflated message"),
    "bad_crc": ("message", "a gzip message with a wrong check sum"),
    "preset_dictionary": ("message", "a zlib message that needs a dictionary nobody has"),
    "gzip_members": ("message", "a good message in 1,000 gzip members"),
    "xml_entity": ("message", "XML with a DOCTYPE and nested entities"),
    "json_deep": ("message", "JSON 100,000 lists deep"),
    "not_utf8": ("message", "a deflated message that is no UTF-8"),
    "random_bytes": ("message", "`size` random bytes (200)"),
    "refresh": ("message", "`refresh` other than 0: everything is sent again"),
    "sister_form": ("message", "football scores in the older sister-site form"),
    "random": (
        "plan",
        "one of the above every `every` seconds (3) in the mean, while somebody reads, from the seed",
    ),
}

Positive = Annotated[float, msgspec.Meta(gt=0)]


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One fault as it is posted: `{"fault": "reset"}`. What is left out has the value in `FAULTS`."""

    fault: str
    times: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    """How often it happens; `None` = once, or until cleared for a state (`STATES`) or with `seconds`."""
    seconds: Positive | None = None
    """How long it is in force (or lasts); `None` = no bound."""
    which: Which = "all"
    """The connections that a connection fault hits."""
    status: Annotated[int, msgspec.Meta(ge=300, le=599)] | None = None
    retry_after: Positive | None = None
    """Seconds, sent as `Retry-After`."""
    code: Annotated[int, msgspec.Meta(ge=1000, le=4999)] | None = None
    up: Positive = 2.0
    down: Positive = 2.0
    every: Positive = 3.0
    size: Annotated[int, msgspec.Meta(ge=1, le=1 << 30)] | None = None
    form: Literal["zlib", "gzip", "raw"] = "zlib"

    @property
    def place(self) -> Place:
        """Where the fault happens."""
        return FAULTS[self.fault][0]


def parse(text: str) -> Fault:
    """Return the fault in words, as on the command line: `reset`, `handshake:status=429,retry_after=30`.

    Raises `TesError` for a name, an option or a value that does not exist.
    """
    name, _, rest = text.partition(":")
    fields: dict[str, Any] = {"fault": name.strip()}
    for item in filter(None, rest.split(",")):
        key, equals, value = item.partition("=")
        if not equals:
            raise TesError(f"The fault {text!r} has {item!r} where key=value belongs, as in reset:times=3.")
        fields[key.strip()] = value.strip()
    return check(fields)


def check(item: Any) -> Fault:
    """Return the fault in a mapping of texts or JSON values. Raises `TesError` that says what is wrong."""
    try:
        fault = msgspec.convert(item, Fault, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise TesError(f"This is no fault: {error}. GET /faults lists what there is.") from error
    if fault.fault not in FAULTS:
        raise TesError(f"There is no fault {fault.fault!r}; there are {', '.join(FAULTS)}.")
    if fault.code in {1004, 1005, 1006, 1015} or (fault.code or 1000) in range(1016, 3000):
        raise TesError(
            f"No server can send the close code {fault.code}; use 1000-1003, 1007-1014 or 3000-4999."
        )
    return fault


class ActiveFaults:
    """The faults in force."""

    def __init__(self, faults: Sequence[Fault] = (), now: float = 0.0) -> None:
        self.counts: Counter[str] = Counter()
        """How often each fault struck."""
        self._active: dict[str, tuple[Fault, float, float]] = {}
        for fault in faults:
            self.post(fault, now)

    def post(self, fault: Fault, now: float) -> None:
        """Put a fault in force at the time `now` (seconds); one of the same name is replaced."""
        lasting = fault.seconds is not None and fault.fault not in LASTING
        once = 1 if fault.fault not in STATES and not lasting else math.inf
        ends = now + (fault.seconds or math.inf) if lasting else math.inf
        self._active[fault.fault] = (fault, fault.times or once, ends)

    def peek(self, name: str, now: float) -> Fault | None:
        """Return the fault of that name if it is in force, without using it up."""
        entry = self._active.get(name)
        if entry is None or now >= entry[2]:
            self._active.pop(name, None)
            return None
        return entry[0]

    def use(self, name: str, now: float) -> Fault | None:
        """Return the fault of that name if it is in force, and count it once."""
        fault = self.peek(name, now)
        if fault is not None:
            _, left, ends = self._active.pop(name)
            self.counts[name] += 1
            if left > 1:
                self._active[name] = (fault, left - 1, ends)
        return fault

    def use_any(self, place: Place, now: float) -> Fault | None:
        """Return the first fault in force at that place, and count it once."""
        names = [name for name in self._active if FAULTS[name][0] == place]
        return next((fault for name in names if (fault := self.use(name, now))), None)

    def refuses(self, now: float) -> bool:
        """Return whether a fault waits for the next token or handshake."""
        return any(fault.place in ("token", "handshake") for fault in self.active(now))

    def clear(self) -> None:
        """End every fault; the counts stay."""
        self._active.clear()

    def active(self, now: float) -> list[Fault]:
        """Return the faults in force."""
        return [fault for name in list(self._active) if (fault := self.peek(name, now))]


LASTING = ("silence", "blackhole", "token_hang")
"""Faults whose `seconds` say how long one occurrence lasts, not how long they are in force."""


# Only faults that a good reader survives without losing a message in silence: each either ends the connection
# (a gap), refuses one, adds something unreadable without a number, or lets the world stand still.
#
# Readers wait twice as long after each lost connection, up to a minute, and begin anew only after half a minute
# of good service. Faults that struck by the clock alone would soon meet nobody, so what ends or refuses a
# connection keeps to bouts (`MOST_IN_A_BOUT`) with `CALM_S` of service between them, and waits for its victim.

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
