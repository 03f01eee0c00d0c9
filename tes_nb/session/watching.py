"""Feeds that a session begins to read at run time, and the stand-ins that it starts for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tes_nb.errors import ArgumentError, SessionError, meant
from tes_nb.model import Stream
from tes_nb.model.control import SubscribeSource, UnwatchSource
from tes_nb.model.operation import Call
from tes_nb.session.backend import uninterrupted
from tes_nb.session.extras import Extras, StandIn, Watch, extras_of
from tes_nb.session.feed import Feed
from tes_nb.session.source import SIMULATED_NOTE, Source, wire_names
from tes_nb.streams import all_streams, get

_ENDPOINT = ("url", "token_url", "auth", "token", "name")


class Watching:
    """Begins and ends watches."""

    def __init__(
        self,
        feeds: Mapping[str, Feed],
        call: Call,
        open_feed: Callable[[str, Stream, int], Feed],
        close_feed: Callable[[str], None],
    ) -> None:
        """Take the session's feeds and what it does: ask the collector, begin and end to read a source."""
        self._feeds = feeds
        self._call = call
        self._open_feed = open_feed
        self._close_feed = close_feed
        self._watches: dict[str, list[int]] = {}
        """Source → the collector's numbers for what was asked for."""
        self._stand_ins: dict[str, tuple[StandIn, Any]] = {}
        """Source → the stand-in that this session started, and its options."""

    def watch(
        self, what: str | Source[Any] | None, channels: Sequence[str] | None, options: dict[str, Any]
    ) -> Feed:
        """Read an external feed. Raises `ArgumentError` or `CollectorError` with a sentence."""
        source = source_of(what)
        stream = get(source.stream)
        extras = extras_of(stream)
        names = None if channels is None else wire_names(stream, channels)
        stand_in: Any = None
        simulated = source.simulated
        if simulated:
            source, stand_in = self._simulated(source, extras, options)
        else:
            _check_options(options, _ENDPOINT)
            source = source.with_endpoint(**options).with_environment()
            if source.is_local and extras.stand_ins is not None:
                stand_in = extras.stand_ins.at(source.url or "")
        reply = self._call(source.request(names, note=SIMULATED_NOTE if simulated else None))
        name = reply.source
        feed = self._feeds.get(name)
        fresh = feed is None or feed.closed
        if feed is None or fresh:
            feed = self._open_feed(name, stream, reply.after)
        self._watches.setdefault(name, []).append(reply.watch)
        if extras.opened is not None:
            watch = Watch(
                channels=tuple(reply.channels),
                set_channels=lambda names: tuple(
                    self._call(SubscribeSource(source=name, names=list(names))).channels
                ),
                address=source.url,
                stand_in=stand_in,
                simulated=simulated,
                fresh=fresh,
            )
            extras.opened(feed, watch)
        return feed

    def unwatch(self, feed: Feed) -> None:
        """End a feed that `watch` began; its frames stay."""
        if feed.closed or feed.source not in self._watches:
            raise SessionError(f"The feed '{feed.source}' is not watched; there is nothing to end.")
        for number in self._watches.pop(feed.source):
            self._call(UnwatchSource(watch=number))
        self._close_feed(feed.source)
        stand_in = self._stand_ins.pop(feed.source, None)
        if stand_in is not None:
            stand_in[0].stop()

    def stop(self) -> None:
        """End the stand-ins."""
        while self._stand_ins:
            self._stand_ins.popitem()[1][0].stop()

    def _simulated(
        self, source: Source[Any], extras: Extras, named: dict[str, Any]
    ) -> tuple[Source[Any], StandIn]:
        stand_ins = extras.stand_ins
        if stand_ins is None:
            raise ArgumentError(f"There is no stand-in for '{source.stream}', so it cannot be simulated.")
        _check_options(named, stand_ins.option_names())
        options = stand_ins.options(named)
        running = self._stand_ins.get(source.name)
        if running is not None and named and running[1] != options:
            raise SessionError(
                f"The feed '{source.name}' runs already with other options; end it with s.unwatch(s.{source.name})."
            )
        if running is None:
            # never left half begun by an interrupt: a child without an owner would go on until the kernel ends
            child = uninterrupted(lambda: stand_ins.start(options), undo=lambda late: late.stop())
            self._stand_ins[source.name] = running = (child, options)
        child = running[0]
        url = f"{child.url}?subscriber=notebook"
        return source.with_endpoint(url=url, token_url=child.token_url), child


def _check_options(options: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raise `ArgumentError` for an option that is none of these."""
    unknown = [name for name in options if name not in names]
    if unknown:
        raise ArgumentError(
            f"watch() does not know {', '.join(unknown)}; here it takes {', '.join(names)}.{meant(unknown[0], names)}"
        )


def source_of(what: str | Source[Any] | None) -> Source[Any]:
    """Return what a user's word for an external feed stands for. Raises `ArgumentError` for what is none."""
    if isinstance(what, Source):
        return what
    external = {
        stream.name: stream
        for stream in all_streams()
        if stream.endpoint.port == "none" and stream.endpoint.path
    }
    name = next(iter(external)) if what is None else what
    if name not in external:
        ways = [one for each in external.values() for one in extras_of(each).names or (f"'{each.name}'",)]
        listed = " or ".join(filter(None, (", ".join(ways[:-1]), ways[-1])))
        raise ArgumentError(
            f"'{name}' cannot be watched; use {listed}. TES streams come with tes.start() and tes.attach()."
        )
    return extras_of(external[name]).source or Source(stream=name, name=name)
