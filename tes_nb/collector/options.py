"""The options of a collector, given when it starts: one JSON object, on the first line of its standard input."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Mapping
from typing import Literal

import msgspec

from tes_nb.errors import ArgumentError, CollectorError, no_posix


class Limits(msgspec.Struct, frozen=True):
    """How much of the collector's resources one client may use. All sizes in bytes, all times in seconds."""

    clients: int = 64
    """Open WebSocket connections without the token; the owner's connections have as many again."""
    client_message: int = 64 * 1024
    send_buffer: int = 2**20
    """A client that has more than this unsent is cut off."""
    request_timeout: float = 4.0
    """A connection that has not sent a whole request by then is cut: before the first one, or after the last."""
    relay_bytes: int = 64 * 2**20
    """What a relay keeps per source for readers that come back."""
    auth_failures_per_minute: int = 10
    max_workers: int = 16


class Upstream(msgspec.Struct, frozen=True):
    """A peer's stream that this collector reads."""

    source: str
    stream: str
    url: str
    """As the user gave it: with or without a scheme or path."""
    workers_url: str | None = None
    """Where the peer's workers port is, if the user said so."""
    token_url: str | None = None
    """Where tokens come from, if not from where the stream says."""
    auth: Literal["header", "query"] | None = None
    """How a token is presented; `None` = as the stream says."""
    token: str | None = None
    """A token that the user has; `None` = one is fetched for each connection."""
    channels: tuple[str, ...] | None = None
    """What is asked for; `None` = what is usual, or whatever the peer sends by itself."""

    def __repr__(self) -> str:
        """Without the token, and without queries, in which there may be one."""
        return f"Upstream({self.source!r}, {self.stream!r}, {self.url.partition('?')[0]!r})"


class ReplayOptions(msgspec.Struct, frozen=True):
    """A recording that a collector serves instead of what it sees."""

    path: str
    """The session file, absolute."""
    speed: float | None = 1.0
    """Recorded seconds a second; `None` = as fast as it goes."""
    loop: bool = False
    """Begin again at the end; the time line goes on."""
    playing: bool = True
    """False = it waits at the beginning until `resume`."""


class CollectorOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a collector needs to know. The token is left out of its `repr`."""

    token: str
    observed_pid: int | None = None
    """Whose memory and CPU the streams show; `None` = the collector's own."""
    parent_pid: int | None = None
    """Whose death ends the collector; `None` = nobody's (`tes-nb serve`)."""
    parent_created: float | None = None
    """The parent's create time (`lifetime.create_time`), so that a re-used pid is recognised."""
    status_port: int = 0
    workers_port: int = 0
    ports_required: bool = False
    """True = a taken port is an error; False = free ports are taken instead, and said."""
    period_s: float = 0.5
    """The metrics stream's period."""
    worker_pids: tuple[int, ...] = ()
    stack_folder: str = ""
    """Where the observed process writes its stack when it is asked; "" = it does not."""
    observe: tuple[str, ...] = ()
    """Addresses of Dask schedulers to list from the start."""
    cluster: int | None = None
    """Workers of a Dask cluster beside the collector; `None` = there is none until somebody asks."""
    origins: tuple[str, ...] = ()
    """Origins allowed beside the usual ones."""
    hosts: tuple[str, ...] = ()
    """Host names allowed beside the loopback ones (`TES_ALLOWED_HOSTS`)."""
    auth: Literal["open", "all"] = "open"
    """"all" = the open list needs the token, too."""
    produce: bool = True
    """False = an attached collector: it reads peers and serves relays, no streams of its own."""
    upstreams: tuple[Upstream, ...] = ()
    replay: ReplayOptions | None = None
    """The recording to serve; `None` = this machine, or peers."""
    keep_s: float = 24 * 3600
    """How long recordings with `keep` go on without the parent."""
    limits: Limits = Limits()

    def __repr__(self) -> str:
        return f"CollectorOptions(observed_pid={self.observed_pid}, ports={self.status_port}/{self.workers_port})"


def check_platform() -> None:
    """Raise `CollectorError` where no collector can run."""
    if not (hasattr(os, "getuid") and hasattr(os, "waitid")):
        raise CollectorError(no_posix("A collector"))


SHORTEST_TOKEN = 16


def default_token(environ: Mapping[str, str] = os.environ) -> str:
    """Return `TES_DEV_TOKEN` if it is set, else a new random one (192 bits).

    Raises `ArgumentError` for a token that could not travel in a header; warns of one that can be guessed.
    """
    token = environ.get("TES_DEV_TOKEN", "").strip()
    if not all("!" <= character <= "~" for character in token):
        raise ArgumentError(
            "TES_DEV_TOKEN has characters that cannot travel in a header: use letters, digits and punctuation "
            "of ASCII, or unset it."
        )
    if 0 < len(token) < SHORTEST_TOKEN:
        warnings.warn(
            f"TES_DEV_TOKEN has {len(token)} characters, and can be guessed by other programs of this machine: "
            f"give it at least {SHORTEST_TOKEN} random ones, or unset it.",
            stacklevel=2,
        )
    return token or secrets.token_urlsafe(24)


def default_auth(environ: Mapping[str, str] = os.environ) -> Literal["open", "all"]:
    """Return "all" under JupyterHub, where other users' processes share the loopback address."""
    return "all" if any(name.startswith("JUPYTERHUB_") for name in environ) else "open"
