"""Fresh tokens for each connection: an authorize hook that asks a token source over HTTP.

A token is never logged or shown. Every way in which none can be had is one sentence that begins with
"no token" and a fixed word or two, such as "no token (dashes): …"; it shows in the reader's state.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import quote, unquote, urlencode, urlsplit, urlunsplit

from tes_nb.errors import AuthenticationError
from tes_nb.model import TokenSource
from tes_nb.net.failures import retry_after_s
from tes_nb.net.http import HttpClient
from tes_nb.net.loop import now
from tes_nb.wire.jwt import MAX_BODY, Token, read_token, without_secrets
from tes_nb.wire.lifecycle import Failure


@dataclass(frozen=True, slots=True)
class Credentials:
    """Headers and a query by which a peer accepts a connection. Never shown: both may hold a token."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with the handshake and with polls, to the host that was asked for and to no other."""
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Added to the WebSocket URL."""
    raw_query: str = field(default="", repr=False)
    """The same as it is to travel, for peers that want it spelt in their own way."""
    channels: tuple[str, ...] | None = None
    """The channels that the query asks for, so that they are not asked for again; `None` = it asks for none."""
    renew_at_s: float | None = None
    """When the next ones are due, on the room's monotonic clock; `None` = never, or not known."""
    expires_at_s: float | None = None
    """When these expire, on the same clock."""

    def url(self, url: str) -> str:
        """Return `url` with the query added."""
        parts = urlsplit(url)
        query = "&".join(filter(None, (parts.query, urlencode(self.query, safe=","), self.raw_query)))
        return url if query == parts.query else urlunsplit(parts._replace(query=query))

    def redact(self, text: str, *queries: str) -> str:
        """Return `text` without our secrets: a peer may quote them back at us, whole or in pieces.

        queries: those of the addresses that these credentials are used for.
        """
        values = [*self.headers.values(), *self.query.values()]
        for query in (self.raw_query, *queries):
            for parameter in query.split("&"):
                value = parameter.partition("=")[2]
                values += (value, unquote(value))
        public = {",".join(self.channels or ()), *(self.channels or ())}
        return without_secrets(
            text, [word for value in values for word in value.split() if word not in public]
        )


AuthorizeHook = Callable[[], Awaitable[Credentials]]
"""Called before each attempt; raises `AuthenticationError`, whose sentence shows in the reader's state."""

NO_CREDENTIALS = Credentials()


DEADLINE_S = 10.0
"""For all of a fetch."""


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
        if self._tls is None:
            self._tls = ssl.create_default_context()
        client = HttpClient(
            urlsplit(self._source.url).hostname or "",
            deadline_s=self._deadline_s,
            max_bytes=MAX_BODY,
            same_scheme=True,
            tls=self._tls,
        )
        async with client:
            reply = await client.get(self._url(), self._source.headers)
        if isinstance(reply, Failure):
            raise _unreachable(reply)
        if reply.status != HTTPStatus.OK:
            phrase = f"http {reply.status}"
            wait = retry_after_s(reply.headers)
            raise _no_token(phrase, f"the token source answers {phrase} instead of one", wait)
        try:
            date = _date(reply.headers.get("Date", ""))
            return read_token(reply.body, fetched_at_s=self._clock(), server_date_s=date)
        except AuthenticationError as error:
            why = str(error).partition(":")[0]
            raise _no_token(error.reason, why[:1].lower() + why[1:]) from None

    def _url(self) -> str:
        """The address with a random number in it, so that no cache answers."""
        if self._source.nonce is None:
            return self._source.url
        parts = urlsplit(self._source.url)
        nonce = urlencode({self._source.nonce: f"{self._dice():.16f}"})
        return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, nonce)))))


def _date(text: str) -> float | None:
    """Return a `Date` header as Unix seconds; `None` = it is missing or none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None


def _unreachable(failure: Failure) -> AuthenticationError:
    if failure.kind == "redirect":
        return _no_token("redirect", failure.sentence.replace("the peer", "the token source"))
    if failure.kind == "protocol":
        return _no_token("broken answer", f"the token source broke off: {failure.sentence}")
    if failure.kind == "poll":
        return _no_token("unreachable", f"the token source's {failure.sentence.removeprefix('the ')}")
    reason = "timeout" if failure.kind == "timeout" else "unreachable"
    return _no_token(reason, f"the token source: {failure.sentence}")


def _no_token(reason: str, why: str, wait_s: float | None = None) -> AuthenticationError:
    return AuthenticationError(f"no token ({reason}): {why}.", reason=reason, retry_after_s=wait_s)
