"""From what a user types to the URLs of a stream: ws, wss, http, https, with or without a path, host:port."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from urllib.parse import urlsplit, urlunsplit

from tes_nb.errors import ArgumentError
from tes_nb.model import Stream

STATUS_PORT = 3002
WORKERS_PORT = 3003
WORKTREES: Mapping[str, int] = {"tes-repo": 0, "tmux-sentinel": 2}
"""Worktree → how much is added to both ports."""
_SCHEMES = {"http": False, "ws": False, "https": True, "wss": True}
_PORT_SHIFT = {("status", "workers"): 1, ("workers", "status"): -1}
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Target:
    """Where a reader finds one stream."""

    ws: tuple[str, ...]
    """Candidate WebSocket URLs: what was given or is usual first, then aliases."""
    poll: str | None = None
    """The HTTP URL with the same content; `None` = there is none."""

    def __repr__(self) -> str:
        """Without queries: a token may be in one."""
        poll = None if self.poll is None else without_query(self.poll)
        return f"Target(ws={tuple(map(without_query, self.ws))!r}, poll={poll!r})"


@dataclass(frozen=True, slots=True)
class _Place:
    """A URL taken apart, with the part of its path that belongs to a stream split off."""

    host: str
    """As it stands in a URL: IPv6 in brackets."""
    port: int | None
    secure: bool
    websocket: bool
    prefix: str
    """What stands before a stream's own path, for example behind a proxy; "" = nothing."""
    own_path: str = ""
    """The path of `owner`, exactly as given; "" = the URL names no stream."""
    owner: Stream | None = None
    query: str = ""

    def url(self, scheme: str, path: str, query: str = "") -> str:
        netloc = self.host if self.port is None else f"{self.host}:{self.port}"
        secure = scheme + "s" if self.secure else scheme
        return urlunsplit((secure, netloc, self.prefix + path, query, ""))


def resolve(
    stream: Stream,
    base_url: str | None,
    *,
    workers: str | None = None,
    siblings: Iterable[Stream] = (),
) -> Target:
    """Return where `stream` is to be read.

    `base_url` is a TES of any make (`http://localhost:3002`, `localhost:3004`, `https://host/prefix`), or the
    URL of one of its streams; `None` = the full URL in the stream's endpoint. Streams of the workers port
    are found at `workers`, else at the port after the status port, else (no port given) at the same address.
    `siblings` are the streams whose paths may stand in `base_url` too. A WebSocket URL with a path that no
    stream knows is taken as it is. Raises `ArgumentError` for what is no such URL.
    """
    endpoint = stream.endpoint
    if base_url is None:
        if endpoint.port != "none":
            raise ArgumentError(
                f"Say where the stream '{stream.name}' is, for example http://localhost:3002."
            )
        return Target(ws=(endpoint.path, *endpoint.aliases), poll=endpoint.poll)
    apart = endpoint.port == "workers" and workers is not None
    address = workers if apart and workers is not None else base_url
    place = _parse(address, (stream, *siblings))
    if place.owner is None and place.websocket and place.prefix:
        return Target(ws=(place.url("ws", "", place.query),))
    place = _at_port_of(stream, place, "workers" if apart else "status")
    return Target(
        ws=tuple(place.url("ws", path, place.query) for path in _paths(stream, place)),
        poll=None if endpoint.poll is None else place.url("http", endpoint.poll, place.query),
    )


def default_ports(worktree: str | None, environ: Mapping[str, str]) -> tuple[int, int]:
    """Return (status port, workers port) of a TES on this machine.

    `BUN_PORT` and `WORKER_API_PORT` in `environ` each name one port and count before the worktree's; what is
    not set is the usual port. Only where both would be the same, the workers port is the next one.
    Raises `ArgumentError` for an unknown worktree or what is no port.
    """
    if worktree is not None and worktree not in WORKTREES:
        raise ArgumentError(f"There is no worktree '{worktree}' here; there are {', '.join(WORKTREES)}.")
    offset = WORKTREES.get(worktree or "", 0)
    status = _port_from(environ, "BUN_PORT") or STATUS_PORT + offset
    usual = WORKERS_PORT + offset
    return status, _port_from(environ, "WORKER_API_PORT") or (usual if usual != status else status + 1)


def is_loopback(host: str) -> bool:
    """Whether that host is this machine: such a URL never goes through a proxy and is never compressed."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def without_query(url: str) -> str:
    """Return the URL as it may be shown: without query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


def _parse(url: str, streams: tuple[Stream, ...]) -> _Place:
    text = url.strip()
    parts = urlsplit(text if "://" in text else f"http://{text}")
    hint = "give http://host:port, ws://host:port/path, or host:port"
    try:
        port = parts.port
    except ValueError:
        raise ArgumentError(f"'{without_query(text)}' has no valid port: {hint}.") from None
    if parts.scheme not in _SCHEMES or not parts.hostname or any(mark in parts.netloc for mark in " \\"):
        raise ArgumentError(f"'{without_query(text)}' is no address of a TES: {hint}.")
    if "@" in parts.netloc:
        raise ArgumentError("An address must not hold a user name or a password, since addresses are shown.")
    place = _Place(
        host=f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname,
        port=port,
        secure=_SCHEMES[parts.scheme],
        websocket=parts.scheme.startswith("ws"),
        prefix=parts.path.rstrip("/"),
        query=parts.query,
    )
    return _split_off_own_path(place, streams)


def _split_off_own_path(place: _Place, streams: tuple[Stream, ...]) -> _Place:
    """Find the stream whose path the URL ends with; the longest such path counts."""
    matches = [
        (len(path), index, stream, path)
        for index, stream in enumerate(streams)
        for path in _all_paths(stream)
        if place.prefix.endswith(path)
    ]
    if not matches:
        return place
    length, _, owner, path = max(matches, key=lambda entry: (entry[0], -entry[1]))
    return replace(place, prefix=place.prefix[:-length], own_path=path, owner=owner)


def _all_paths(stream: Stream) -> Iterator[str]:
    endpoint = stream.endpoint
    paths = (endpoint.path, *endpoint.aliases, endpoint.poll)
    return (path for path in paths if path is not None and path.startswith("/"))


def _at_port_of(stream: Stream, place: _Place, role: str) -> _Place:
    """Move from the port that the URL names to the one the stream listens on."""
    if place.owner is not None:
        role = place.owner.endpoint.port
    shift = _PORT_SHIFT.get((role, stream.endpoint.port), 0)
    if place.port is None or shift == 0:
        return place
    port = place.port + shift
    if not 0 < port <= _HIGHEST_PORT:
        raise ArgumentError(f"The stream '{stream.name}' would be at port {port}; give workers=URL.")
    return replace(place, port=port)


def _paths(stream: Stream, place: _Place) -> list[str]:
    """The stream's WebSocket paths, the given one first."""
    paths = [path for path in (stream.endpoint.path, *stream.endpoint.aliases) if path.startswith("/")]
    if place.owner is stream and place.own_path in paths:
        paths.sort(key=lambda path: path != place.own_path)
    return paths


def _port_from(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:6]) <= _HIGHEST_PORT):
        raise ArgumentError(f"The environment variable {name} must be a port from 1 to {_HIGHEST_PORT}.")
    return int(text)
