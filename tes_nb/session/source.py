"""Which external feed to watch, and where: `tes.NOWGOAL`, `tes.SIMULATED`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from tes_nb.errors import ArgumentError
from tes_nb.net.endpoints import is_loopback, without_query
from tes_nb.streams import get
from tes_nb.streams.nowgoal.stream import QUERY_ENDPOINT

Auth = Literal["header", "query"]

HINT = "For simulated data instead: s.watch(tes.SIMULATED, speed=50)"
"""What to do without a token of one's own."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A feed outside, and how to get at it. Immutable; what is `None` comes from the environment, else is usual.

    The environment variables of NowGoal are `TES_NOWGOAL_URL`, `TES_NOWGOAL_TOKEN_URL` and
    `TES_NOWGOAL_TOKEN`, those of another stream are named in the same way.
    """

    stream: str
    """The stream that travels there."""
    name: str
    """What a session calls the feed."""
    url: str | None = None
    """The WebSocket."""
    token_url: str | None = None
    """Where a fresh token comes from before each connection."""
    auth: Auth | None = None
    """How a token is presented: as a bearer header, or in the query of the WebSocket's URL."""
    token: str | None = field(default=None, repr=False)
    """A token that is used as it is, for every connection; `None` = they are fetched."""
    simulated: bool = False
    """Whether the data are made up, by a stand-in on this machine."""

    def with_endpoint(
        self,
        *,
        url: str | None = None,
        token_url: str | None = None,
        auth: Auth | None = None,
        token: str | None = None,
        name: str | None = None,
    ) -> Source:
        """Return the same source at another place; `None` leaves a thing as it is.

        auth: "header" (`Authorization: Bearer …`) or "query" (`?channels=…&&token=…`). token: one of your own.
        Raises `ArgumentError` for what is no address.
        """
        _check(url, ("ws", "wss"), "a WebSocket, such as wss://host/ws")
        _check(token_url, ("http", "https"), "a token source, such as https://host/token")
        if auth not in (None, "header", "query"):
            raise ArgumentError(f"auth must be 'header' or 'query', not {auth!r}.")
        given: dict[str, Any] = {
            "url": url,
            "token_url": token_url,
            "auth": auth,
            "token": token,
            "name": name,
        }
        return replace(self, **{key: value for key, value in given.items() if value is not None})

    def with_environment(self, environ: Mapping[str, str] = os.environ) -> Source:
        """Return the same source with what it lacks taken from environment variables."""

        def lacking(field_name: str) -> str | None:
            value = environ.get(f"TES_{self.stream.upper()}_{field_name.upper()}", "").strip()
            return value or None if getattr(self, field_name) is None else None

        found = self.with_endpoint(url=lacking("url"), token_url=lacking("token_url"), token=lacking("token"))
        path = "" if found.url is None else urlsplit(found.url).path
        if found.auth is None and path == urlsplit(QUERY_ENDPOINT.path).path:
            return replace(found, auth="query")  # the form of the site's own page
        return found

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return self.url is not None and is_loopback(urlsplit(self.url).hostname or "")

    def __repr__(self) -> str:
        """Without queries and the token."""
        if self.simulated:
            return f"<source '{self.name}': simulated {self.stream} data, made up on this machine>"
        endpoint = get(self.stream).endpoint
        opens = "with a token of your own"
        if self.token is None and endpoint.token is not None:
            opens = f"tokens from {without_query(self.token_url or endpoint.token.url)}"
        return f"<source '{self.name}': {self.stream} at {without_query(self.url or endpoint.path)}, {opens}>"


def _check(url: str | None, schemes: tuple[str, ...], example: str) -> None:
    if url is None:
        return
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname:
        raise ArgumentError(f"'{without_query(url)}' is not the address of {example}.")
    if "@" in parts.netloc:
        raise ArgumentError("An address must not hold a user name or a password, since addresses are shown.")


NOWGOAL = Source(stream="nowgoal", name="nowgoal")
"""NowGoal's own endpoint, or the one in the environment."""

SIMULATED = Source(stream="nowgoal", name="simulated", simulated=True)
"""A stand-in for NowGoal that the session starts and ends: every team, goal and price is made up."""
