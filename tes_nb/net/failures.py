"""What a try to connect or to poll may meet: foreign exceptions become a plain `Failure`, redirects are followed.

There is one loop that follows redirects, for WebSocket handshakes, polls and token sources: at most five, our headers
reach no other origin, and TLS is never left. It stands here and not beside the HTTP client, since the kernel's
readers need it and should not have to import aiohttp.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import msgspec
from websockets.exceptions import (
    InvalidHeader,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)

from tes_nb.wire.lifecycle import Failure

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 5
_LONGEST_TEXT = 200
_NO_SOCKET_THERE = frozenset({200, 204, 404, 405, 501})
"""What web servers that are no TES and no feed say to a handshake."""
T = TypeVar("T")


def failure_of(error: BaseException, patience_s: float) -> Failure | None:
    """Return what went wrong; `None` = this is no failure of the network but a bug, to be raised.

    `patience_s` is how long was waited, in seconds.
    """
    failure: Failure | None = None
    match error:
        case TimeoutError():
            failure = Failure("timeout", f"no answer within {patience_s:g} s")
        case InvalidStatus():
            failure = status_failure(error.response.status_code, error.response.headers)
            if failure.status in _NO_SOCKET_THERE:
                server = plain(error.response.headers.get("Server", ""))
                failure = msgspec.structs.replace(failure, advice=_advice(server))
        case ssl.SSLError() | ssl.CertificateError():
            reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or "TLS failed"
            failure = Failure("tls", f"the certificate or TLS was not accepted: {plain(str(reason))}")
        case socket.gaierror() | UnicodeError():
            failure = Failure("dns", "the host name was not found")
        case InvalidMessage() if isinstance(error.__cause__, EOFError | OSError):
            failure = Failure("protocol", "the connection was closed during the handshake")
        case InvalidURI():
            failure = Failure("protocol", "the address is not one of a WebSocket")
        case InvalidHeader():
            # Without the value: the header may be one of ours, with a token in it.
            failure = Failure(
                "protocol", f"the handshake has an invalid or missing header {plain(error.name)}"
            )
        case WebSocketException():
            quoted = error.__cause__ if isinstance(error, InvalidMessage) and error.__cause__ else error
            sentence = f"the answer is no WebSocket handshake: {plain(str(quoted))}"
            failure = Failure("protocol", sentence, advice=_advice(""))
        case OSError() | EOFError():
            failure = _os_failure(error)
    return failure


def status_failure(status: int, headers: Mapping[str, str]) -> Failure:
    """Return the failure that an HTTP status stands for."""
    phrases = {entry.value: entry.phrase for entry in HTTPStatus}
    sentence = f"HTTP {status} {phrases.get(status, '')}".rstrip()
    return Failure("status", sentence, status, retry_after_s(headers))


def _advice(server: str) -> str:
    """What to say where another program seems to answer."""
    who = f" ({server})" if server else ""
    return f"; a program{who} answers that has no WebSocket there: check host and port"


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds the peer asks to wait; a date counts from its own `Date`, not our clock."""
    try:
        text = headers.get("Retry-After", "").strip()
        if text.isascii() and text.isdecimal():
            return float(text[:12])
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("Date", ""))
    except (TypeError, ValueError, LookupError):  # LookupError: the header stands there twice
        return None
    return max(wait.total_seconds(), 0.0)


@dataclass(frozen=True, slots=True)
class Redirect:
    """A peer wants us elsewhere."""

    location: str


async def follow(
    url: str,
    headers: Mapping[str, str],
    attempt: Callable[[str, Mapping[str, str]], Awaitable[T | Redirect]],
    *,
    same_scheme: bool = False,
) -> T | Failure:
    """Return what `attempt` gives that is no redirect, or why no redirect is followed any further."""
    for _ in range(MOST_REDIRECTS + 1):
        result = await attempt(url, headers)
        if not isinstance(result, Redirect):
            return result
        hop = redirect(url, result.location, headers)
        if isinstance(hop, Failure):
            return hop
        if same_scheme and urlsplit(hop[0]).scheme != urlsplit(url).scheme:
            return Failure("redirect", "the peer redirects to another scheme, which is refused")
        url, headers = hop
    return Failure("redirect", f"the peer redirects more than {MOST_REDIRECTS} times")


def redirect(url: str, location: str, headers: Mapping[str, str]) -> tuple[str, Mapping[str, str]] | Failure:
    """Return where to go on and with which headers: ours reach no other origin, and TLS is never left."""
    old = urlsplit(url)
    try:
        new = urlsplit(
            urljoin(url.replace("ws", "http", 1) if old.scheme.startswith("ws") else url, location)
        )
        is_address = bool(new.hostname) and "@" not in new.netloc and new.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        is_address = False
    secure = {"http": False, "https": True, "ws": False, "wss": True}.get(new.scheme) if is_address else None
    if secure is None:
        return Failure("redirect", "the peer redirects to something that is no address")
    if old.scheme in ("wss", "https") and not secure:
        return Failure("redirect", "the peer redirects from TLS to a plain connection, which is refused")
    kind = "ws" if old.scheme.startswith("ws") else "http"
    goal = new._replace(scheme=kind + "s" if secure else kind, fragment="")
    same = (goal.scheme, goal.hostname, goal.port) == (old.scheme, old.hostname, old.port)
    return goal.geturl(), headers if same else {}


def unsendable(headers: Mapping[str, str]) -> Failure | None:
    """Return the failure of headers that would break out of their line; `None` = they can be sent."""
    for name, value in headers.items():
        if not (name.isascii() and value.isascii() and (name + value).isprintable()):
            return Failure("auth", f"the header {plain(name)} cannot be sent: it is not printable ASCII")
    return None


def plain(text: str) -> str:
    """Return a peer's text on one line, without control characters, cut to a readable length."""
    one_line = "".join(char if char.isprintable() else " " for char in text[: 4 * _LONGEST_TEXT])
    return " ".join(one_line.split())[:_LONGEST_TEXT]


def _os_failure(error: BaseException) -> Failure:
    # A name with several addresses fails with one error for all of them, which keeps no errno but the text.
    text = str(error)
    if isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in text:
        return Failure("refused", "connection refused")
    if isinstance(error, ConnectionResetError | BrokenPipeError | EOFError):
        return Failure("network", "connection reset")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return Failure("network", "this process has no file descriptors left")
    reason = getattr(error, "strerror", None) or text or type(error).__name__
    return Failure("network", plain(str(reason)).lower())
