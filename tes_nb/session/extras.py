"""What a stream adds to its feeds and to `s.watch`: named by the stream (`Stream.extras`), loaded when one is read.

A stream without extras has plain feeds. One with extras has a package of its own beside this module, so that nothing
else of a session knows which streams there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from tes_nb.model import Stream
from tes_nb.session.feed import Feed
from tes_nb.session.source import Source


class StandIn(Protocol):
    """A server on this machine that sends made-up data, in a process of its own."""

    @property
    def url(self) -> str:
        """Its WebSocket."""

    @property
    def token_url(self) -> str:
        """Where its tokens come from."""

    def stop(self) -> None:
        """End it."""


class StandIns(Protocol):
    """Starts and finds the stand-ins of a stream."""

    def option_names(self) -> Sequence[str]:
        """Return the names of a stand-in's options."""

    def options(self, named: Mapping[str, Any]) -> Any:
        """Return a stand-in's options, comparable. Raises `ArgumentError` for a wrong one."""

    def start(self, options: Any) -> StandIn:
        """Start one and return it when it listens."""

    def at(self, url: str) -> Any:
        """Return one that runs elsewhere, by the address of its WebSocket."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What a session hands to a feed that it begins to read at run time."""

    channels: tuple[str, ...]
    """What is asked for, in the wire's names."""
    set_channels: Callable[[Sequence[str]], tuple[str, ...]]
    """Asks for others; returns what is asked for then."""
    address: str | None
    """The WebSocket; `None` = the stream's own."""
    stand_in: Any
    """What sends made-up data there; `None` = it is not on this machine."""
    simulated: bool
    """Whether the session has started the stand-in."""
    fresh: bool
    """Whether nothing was read before."""


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What a stream has beyond others."""

    feed: type[Feed] = Feed
    """Its feeds' class; it adds methods, and works with every origin."""
    source: Source[Any] | None = None
    """What its name stands for in `s.watch`; `None` = a source at the stream's own endpoint."""
    names: tuple[str, ...] = ()
    """How a user may name its sources, for sentences; () = by the stream's name."""
    stand_ins: StandIns | None = None
    """`None` = there is no stand-in for it."""
    opened: Callable[[Any, Watch], None] | None = None
    """Called with a feed and what the collector answered to a watch; `None` = not called."""


PLAIN = Extras()


def extras_of(stream: Stream) -> Extras:
    """Return what a stream has beyond others."""
    if not stream.extras:
        return PLAIN
    module, _, name = stream.extras.partition(":")
    extras: Extras = getattr(import_module(module), name)
    return extras
