"""Which external feed to watch, and where: what `s.watch` takes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar
from urllib.parse import urlsplit

from tes_nb.errors import ArgumentError
from tes_nb.model import Stream
from tes_nb.model.control import WatchSource
from tes_nb.net.endpoints import is_loopback, without_query
from tes_nb.streams import get

if TYPE_CHECKING:
    from tes_nb.session.feed import Feed

Auth = Literal["header", "query"]

SIMULATED_NOTE = "simulated data"
"""The note beside data that are made up."""
FeedT = TypeVar("FeedT", bound="Feed")


@dataclass(frozen=True, kw_only=True)
class Source(Generic[FeedT]):
    """A feed outside, and how to get at it. Immutable; what is `None` comes from the environment, else is usual.

    The environment variables of a stream are `TES_<STREAM>_URL`, `TES_<STREAM>_TOKEN_URL` and `TES_<STREAM>_TOKEN`.
    A type checker learns from `FeedT` which feed it gives.
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
    query_path: str = ""
    """Addresses with this path take the token in the query; "" = none does unless `auth` says so."""
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
    ) -> Self:
        """Return the same source at another place; `None` leaves a thing as it is.

        auth: "header" (`Authorization: Bearer …`) or "query" (`?channels=…&&token=…`). token: one of your own.
        Raises `ArgumentError` for what is no address.
        """
        _check(url, ("ws", "wss"), "a WebSocket, such as wss://host/ws")
        _check(token_url, ("http", "https"), "a token source, such as https://host/token")
        if auth not in (None, "header", "query"):
            raise ArgumentError(f"auth must be 'header' or 'query', not {auth!r}.")
        changes: dict[str, Any] = {
            "url": url,
            "token_url": token_url,
            "auth": auth,
            "token": token,
            "name": name,
        }
        return replace(self, **{key: value for key, value in changes.items() if value is not None})

    def with_environment(self, environ: Mapping[str, str] = os.environ) -> Self:
        """Return the same source with what it lacks taken from environment variables."""

        def lacking(field_name: str) -> str | None:
            value = environ.get(f"TES_{self.stream.upper()}_{field_name.upper()}", "").strip()
            return value or None if getattr(self, field_name) is None else None

        whole = self.with_endpoint(url=lacking("url"), token_url=lacking("token_url"), token=lacking("token"))
        path = "" if whole.url is None else urlsplit(whole.url).path
        if whole.auth is None and self.query_path and path == self.query_path:
            return replace(whole, auth="query")
        return whole

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return self.url is not None and is_loopback(urlsplit(self.url).hostname or "")

    def request(self, channels: Sequence[str] | None, *, note: str | None = None) -> WatchSource:
        """Return what a collector is asked to watch. channels: the wire's names; `None` = the usual ones."""
        return WatchSource(
            stream=self.stream,
            source=self.name,
            url=self.url,
            token_url=self.token_url,
            auth=self.auth,
            token=self.token,
            channels=None if channels is None else list(channels),
            note=note,
        )

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


def wire_names(stream: Stream, names: Sequence[str]) -> tuple[str, ...]:
    """Return the wire's names of channels. Raises `ArgumentError` for what is none."""
    listed = (names,) if isinstance(names, str) else tuple(names)
    if stream.resolve_names is None:
        return listed
    try:
        return stream.resolve_names(listed)
    except ValueError as error:
        raise ArgumentError(str(error)) from error
