"""Who may do what: exact Host, exact Origin, the token, and how many wrong tokens are accepted a minute."""

from __future__ import annotations

import hmac
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from enum import Enum
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.hdrs import METH_OPTIONS

from tes_nb.model.operation import TOKEN_HEADER


def json_answer(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return `value` as JSON without spaces."""
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        content_type="application/json",
        charset="utf-8",
        headers=headers,
    )


def sentence(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a refusal: `{"error": text}`, kept by no cache."""
    return json_answer(
        {"error": text}, status=status, headers={"Cache-Control": "no-store", **(headers or {})}
    )


OWN_AGENT = "tes_nb/"
OWN_PATHS = ("/api/streams", "/api/views", "/api/controls", "/api/track", "/static/")
"""What only the page asks for."""
TES_PORTS = (3000, 3002, 3003, 3004, 3005)
"""Where TES's own pages live; their origins are always allowed."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self' ws://127.0.0.1:* ws://localhost:*; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


class Access(Enum):
    """What a route asks for. Every route has one; a route without a decision is not served."""

    SHELL = "shell"
    """The page's own files: open under `auth="all"` too, since they reveal nothing."""
    OPEN = "open"
    """Anyone on this machine with a right Host and Origin (and the token, under `auth="all"`)."""
    STREAM = "stream"
    """The same for a WebSocket that browsers read: under `auth="all"` one shows the token in its first message."""
    TOKEN = "token"  # noqa: S105 - not a password
    """The token header."""
    FIRST_MESSAGE = "first message"
    """A WebSocket whose first message must carry the token, since browsers cannot send the header."""


class Guard:
    """Decides for each request. Holds the token and never shows it."""

    def __init__(
        self,
        token: str,
        *,
        auth_all: bool,
        failures_per_minute: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token = token.encode()
        self._auth_all = auth_all
        self._failures: deque[float] = deque(maxlen=max(1, failures_per_minute))
        self._now = now
        self.hosts: set[str] = set()
        self.origins = {f"http://{name}:{port}" for name in ("localhost", "127.0.0.1") for port in TES_PORTS}

    def __repr__(self) -> str:
        return f"Guard({len(self.hosts)} hosts, {len(self.origins)} origins)"

    def allow_ports(self, ports: Iterable[int], *, hosts: Iterable[str] = ()) -> None:
        """Allow our own addresses as Host and Origin."""
        for port in ports:
            for name in ("127.0.0.1", "localhost", "[::1]"):
                self.hosts.add(f"{name}:{port}")
                self.origins.add(f"http://{name}:{port}")
        self.hosts.update(hosts)

    def is_token(self, text: str | bytes | None) -> bool:
        """Compare in constant time; bytes, since non-ASCII text would raise."""
        if text is None:
            return False
        # surrogates: aiohttp puts them where a header is not UTF-8, JSON where somebody wrote \ud800
        raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        return hmac.compare_digest(raw, self._token)

    def has_token(self, request: web.Request) -> bool:
        """Whether the request carries exactly one right token."""
        tokens = request.headers.getall(TOKEN_HEADER, [])
        return len(tokens) == 1 and self.is_token(tokens[0])

    def must_show(self, request: web.Request) -> bool:
        """Whether a socket that was let in has yet to show the token: a browser's, under `auth="all"`."""
        return self._auth_all and not self.has_token(request)

    def refuse(self, request: web.Request, access: Access) -> web.Response | None:
        """Return the refusal, or `None` when the request may go on."""
        refusal = self._refuse_address(request)
        if refusal is not None or request.method == METH_OPTIONS:
            return refusal
        closed = self._auth_all and access in (Access.OPEN, Access.STREAM)
        if not (access is Access.TOKEN or closed) or self.has_token(request):
            return None
        tried = TOKEN_HEADER in request.headers
        if access is Access.STREAM and "Origin" in request.headers and not tried:
            return None  # a browser: `Sockets.may_read` waits for its first message
        # No token at all is no guess: it is refused, but does not use up the tries of somebody who mistypes.
        return self.failed() if tried else self.missing()

    def _refuse_address(self, request: web.Request) -> web.Response | None:
        """Return the refusal of a wrong Host or Origin."""
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1:
            return sentence(400, "The request must have exactly one Host header.")
        if hosts[0] not in self.hosts:
            return sentence(
                421,
                "This server answers only under its own loopback addresses and the names in TES_ALLOWED_HOSTS "
                "and TES_PUBLIC_URL.",
            )
        origins = request.headers.getall("Origin", [])
        if len(origins) > 1 or (origins and origins[0] not in self.origins):
            return sentence(
                403, "This origin is not allowed; add it with origins=[…] when starting the collector."
            )
        return None

    def missing(self) -> web.Response:
        """Ask for the token."""
        return sentence(401, f"This needs the header {TOKEN_HEADER} with the collector's token.")

    def failed(self) -> web.Response:
        """Count a wrong token: 401, or 429 when there were too many within a minute.

        The right token is never refused, however many wrong ones came before it.
        """
        now = self._now()
        recent = len(self._failures) == self._failures.maxlen and now - self._failures[0] < 60
        if recent:
            wait = max(1, round(60 - (now - self._failures[0])))
            return sentence(429, "Too many wrong tokens; wait a minute.", {"Retry-After": str(wait)})
        self._failures.append(now)
        return sentence(401, f"The header {TOKEN_HEADER} does not hold this collector's token, exactly once.")


def is_own(request: web.Request) -> bool:
    """Whether tes_nb itself asks, a kernel or the page; its polls are left out of the HTTP figures."""
    return request.path.startswith(OWN_PATHS) or request.headers.get("User-Agent", "").startswith(OWN_AGENT)
