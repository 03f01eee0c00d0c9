"""Fresh tokens for each connection: an authorize hook that asks a token source over HTTP.

A token is never logged or shown. Every way in which none can be had is one sentence that begins with
"no token" and a fixed word or two, such as "no token (dashes): …"; it shows in the reader's state.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import aiohttp

from tes_nb._version import __version__
from tes_nb.errors import AuthenticationError
from tes_nb.model import TokenSource
from tes_nb.net.endpoints import is_loopback
from tes_nb.net.failures import MOST_REDIRECTS, REDIRECTS, failure_of, redirect
from tes_nb.net.loop import now
from tes_nb.wire.jwt import MAX_BODY, Token, read_token
from tes_nb.wire.lifecycle import Failure

_SHORTEST_SECRET = 6


@dataclass(frozen=True, slots=True)
class Credentials:
    """Headers and a query that open the door. Never shown: both may hold a token."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with the handshake and with polls, to the host that was asked for and to no other."""
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Added to the WebSocket URL."""
    raw_query: str = field(default="", repr=False)
    """The same as it is to travel, for peers that want it spelt in their own way."""
    channels: tuple[str, ...] | None = None
    """The channels that the query asks for, so that they are not asked for again; `None` = it asks for none."""
    renew_at_s: float | None = None
    """When the next ones are due, on the room's monotonic clock; `None` = never, or nobody knows."""
    expires_at_s: float | None = None
    """When these stop to open doors, on the same clock."""

    def url(self, url: str) -> str:
        """Return `url` with the query added."""
        parts = urlsplit(url)
        query = "&".join(filter(None, (parts.query, urlencode(self.query, safe=","), self.raw_query)))
        return url if query == parts.query else urlunsplit(parts._replace(query=query))

    def redact(self, text: str) -> str:
        """Return `text` without our secrets: a peer may quote them back at us."""
        for value in (*self.headers.values(), *self.query.values()):
            for word in value.split():
                if len(word) >= _SHORTEST_SECRET:
                    text = text.replace(word, "…")
        return text


AuthorizeHook = Callable[[], Awaitable[Credentials]]
"""Called before each attempt; raises `AuthenticationError`, whose sentence shows in the reader's state."""

NO_CREDENTIALS = Credentials()


DEADLINE_S = 10.0
"""For all of a fetch: names, TLS, redirects, and a body that drips."""
_CHUNK = 16 * 1024


class TokenAuthorizer:
    """Awaited before each connection (`Reader(authorize=…)`): fetches a token and makes `Credentials` of it."""

    def __init__(
        self,
        source: TokenSource,
        *,
        fixed: str | None = None,
        channels: Callable[[], Sequence[str] | None] = lambda: None,
        ahead_s: float = 5.0,
        deadline_s: float = DEADLINE_S,
        dice: Callable[[], float] = random.random,
        clock: Callable[[], float] = now,
    ) -> None:
        """Ask `source`, or use the `fixed` token that the user has.

        `channels` are those that a query asks for; `None` = it asks for none. Credentials are to be renewed
        `ahead_s` before its token expires.
        """
        self._source = source
        self._fixed = None if fixed is None else Token(fixed, fetched_at_s=clock(), lifetime_s=None)
        self._channels = channels
        self._ahead_s = ahead_s
        self._deadline_s = deadline_s
        self._dice = dice
        self._clock = clock
        self._tls: ssl.SSLContext | None = None

    async def __call__(self) -> Credentials:
        """Return what opens the next connection. Raises `AuthenticationError`."""
        token = self._fixed if self._fixed is not None else await self.fetch()
        lifetime = token.remaining_s(self._clock())
        expires = None if lifetime is None else self._clock() + lifetime
        renew = token.due_s(self._ahead_s)
        if self._source.auth == "header":
            headers = {"Authorization": f"Bearer {token.reveal()}"}
            return Credentials(headers=headers, renew_at_s=renew, expires_at_s=expires)
        channels = tuple(self._channels() or ())
        query = self._source.query.removeprefix("?").format(
            channels=quote(",".join(channels), safe=","), token=quote(token.reveal(), safe="")
        )
        return Credentials(raw_query=query, channels=channels or None, renew_at_s=renew, expires_at_s=expires)

    async def fetch(self) -> Token:
        """Ask for one token. Raises `AuthenticationError`, whose `reason` says what came instead."""
        try:
            async with asyncio.timeout(self._deadline_s), self._client() as client:
                return await self._follow(client)
        except aiohttp.ClientConnectorError as error:
            raise _unreachable(failure_of(error.os_error, self._deadline_s)) from None
        except aiohttp.ClientError as error:
            raise _no_token("broken answer", f"the token source broke off: {type(error).__name__}") from None
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            raise _unreachable(failure_of(error, self._deadline_s)) from None

    def _client(self) -> aiohttp.ClientSession:
        """Return a client for one fetch: certificates are verified, nothing is kept, nothing is inflated."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return aiohttp.ClientSession(
            headers={"User-Agent": f"tes_nb/{__version__}", "Accept-Encoding": "identity"},
            auto_decompress=False,
            trust_env=not is_loopback(urlsplit(self._source.url).hostname or ""),
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=1, ssl=self._tls),
        )

    async def _follow(self, client: aiohttp.ClientSession) -> Token:
        url, headers = self._url(), self._source.headers
        for _ in range(MOST_REDIRECTS + 1):
            async with client.get(url, headers=headers, allow_redirects=False) as response:
                if response.status not in REDIRECTS or "Location" not in response.headers:
                    return await self._token(response)
                url, headers = _hop(url, response.headers["Location"], headers)
        raise _no_token("redirect", f"the token source redirects more than {MOST_REDIRECTS} times")

    def _url(self) -> str:
        """The address with a random number in it, so that no cache answers."""
        if self._source.nonce is None:
            return self._source.url
        parts = urlsplit(self._source.url)
        nonce = urlencode({self._source.nonce: f"{self._dice():.16f}"})
        return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, nonce)))))

    async def _token(self, response: aiohttp.ClientResponse) -> Token:
        if response.status != HTTPStatus.OK:
            phrase = f"http {response.status}"
            raise _no_token(phrase, f"the token source answers {phrase} instead of one")
        body = await _body(response)
        try:
            return read_token(
                body, fetched_at_s=self._clock(), server_date_s=_date(response.headers.get("Date", ""))
            )
        except AuthenticationError as error:
            why = str(error).partition(":")[0]
            raise _no_token(error.reason, why[:1].lower() + why[1:]) from None


def _hop(url: str, location: str, headers: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """Return where a redirect leads. The scheme stays, and our headers stay at their origin."""
    hop = redirect(url, location, headers)
    if isinstance(hop, Failure):
        raise _no_token("redirect", hop.sentence.replace("the peer", "the token source"))
    if urlsplit(hop[0]).scheme != urlsplit(url).scheme:
        raise _no_token("redirect", "the token source redirects to another scheme, which is refused")
    return hop


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Return the body, of a long one no more than is needed to see that it is too long."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > MAX_BODY:
            response.close()
            break
    return bytes(body[: MAX_BODY + 1])


def _date(text: str) -> float | None:
    """Return a `Date` header as Unix seconds; `None` = it is missing or none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None


def _unreachable(failure: Failure | None) -> AuthenticationError:
    if failure is None:
        return _no_token("unreachable", "the token source's address is not one of HTTP")
    return _no_token(
        "timeout" if failure.kind == "timeout" else "unreachable", f"the token source: {failure.sentence}"
    )


def _no_token(reason: str, why: str) -> AuthenticationError:
    return AuthenticationError(f"no token ({reason}): {why}.", reason=reason)
