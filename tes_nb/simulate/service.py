"""The parts of one stand-in, made once and shared by its routes."""

from __future__ import annotations

import base64
import hmac
import math
import secrets
import time
from typing import Any

import msgspec
from aiohttp import web

from tes_nb.simulate.connections import Connections
from tes_nb.simulate.fault_runner import FaultRunner
from tes_nb.simulate.faults import ActiveFaults, Fault
from tes_nb.simulate.options import Options
from tes_nb.simulate.pump import Pump

# Pure: times are arguments, in Unix seconds of the server's own clock.

ORIGIN = "https://live.nowgoal26.com"
HEADERS = {"Origin": ORIGIN, "Referer": f"{ORIGIN}/basketball", "Accept": "*/*"}
"""What the site's own page sends when it asks for a token."""

ISSUED_AT = "simulatedAt"
"""A claim of our own: when the token was issued, to the fraction of a second."""
WHOLE_SECONDS_FROM = 10.0

BODIES: dict[str, str] = {
    "token_dashes": "-" * 5,
    "token_empty": "",
    "token_blank": " \r\n\t",
    "token_html": "<!DOCTYPE html><html><body><h1>Simulated maintenance</h1></body></html>",
    "token_megabyte": "x" * (1 << 20),
    "token_json": '{"simulated": true, "message": "no token in here"}',
    "token_null": "null",
    "token_garbage": "simulated.garbage.token",
}


def _part(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


_HEADER = _part(b'{"alg":"HS256","typ":"JWT"}')


class Tokens:
    """Issues tokens and checks them. The key is the server's secret and never leaves this object."""

    def __init__(self, key: bytes, life_s: float) -> None:
        """Take a key of at least 32 bytes and the life of a token in seconds."""
        self._key = key
        self._life_s = life_s
        self._issued = 0

    def issue(self, now: float) -> str:
        """Return a new token that expires `life_s` after `now`."""
        self._issued += 1
        # Real tokens have whole seconds; lives that are counted in tenths are for tests.
        since = float(math.floor(now)) if self._life_s >= WHOLE_SECONDS_FROM else now
        claims = {"iat": since, "exp": since + self._life_s, "jti": str(self._issued), ISSUED_AT: now}
        signed = b".".join((_HEADER, _part(msgspec.json.encode(claims))))
        return b".".join((signed, self._signature(signed))).decode()

    def claims(self, token: str, now: float) -> dict[str, Any] | str:
        """Return the claims of a token that is ours and valid at `now`, else the reason why it is refused."""
        signed, _, signature = token.encode().rpartition(b".")
        if not hmac.compare_digest(signature, self._signature(signed)):
            return "not a token of this server"
        text = signed.partition(b".")[2]
        # The times are judged by the server's own clock, which a test may have moved.
        claims: dict[str, Any] = msgspec.json.decode(base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4)))
        return "expired" if claims["exp"] <= now else claims

    def _signature(self, signed: bytes) -> bytes:
        return _part(hmac.digest(self._key, signed, "sha256"))

    def body(self, fault: Fault | None, now: float) -> str:
        """Return what the token endpoint answers: a token, or what the fault puts in its place."""
        if fault is None or fault.fault in {"token_drip", "token_hang"}:
            return self.issue(now)
        if fault.fault == "token_expired":
            return self.issue(now - self._life_s - 60)
        if fault.fault == "token_two_parts":
            return self.issue(now).rpartition(".")[0]
        if fault.fault == "token_dashes" and fault.size:
            return "-" * fault.size
        return BODIES.get(fault.fault, "")


def missing_header(headers: dict[str, str]) -> str | None:
    """Return which documented header is absent or different, as "Name: value"; `None` = all are there."""
    lower = {name.lower(): value for name, value in headers.items()}
    wrong = (f"{name}: {value}" for name, value in HEADERS.items() if lower.get(name.lower()) != value)
    return next(wrong, None)


LABEL = "X-Simulated-Data"
"""The header that every answer carries."""
GREETING = "stand-in for NowGoal by tes_nb: every team, goal and price is made up"
CLIENT_MESSAGE_LIMIT = 64 << 10


class Service:
    """What the routes share."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.connections = Connections(options.ledger_limit)
        self.faults = ActiveFaults()
        self.pump = Pump(options, self.connections, self.faults)
        self.fault_runner = FaultRunner(self.connections, self.faults, options.seed, self.pump.refresh)
        self.tokens = Tokens(secrets.token_bytes(32), options.token_life_s)

    def now(self) -> float:
        """Return the server's own wall clock: Unix seconds, skewed on request."""
        return time.time() + self.options.clock_skew_s


def refusal(fault: Fault, status: int) -> web.Response:
    """Return the answer of a fault that refuses: its own status, else `status`."""
    headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    return web.Response(status=fault.status or status, headers=headers, text="This is a simulated refusal.\n")
