"""Feeds that a session begins to read at run time, and the stand-ins that it starts for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tes_nb.errors import ArgumentError, SessionError
from tes_nb.model import Stream
from tes_nb.model.control import SubscribeResult, SubscribeSource, UnwatchSource, WatchResult, WatchSource
from tes_nb.model.operation import Call
from tes_nb.session.backend import uninterrupted
from tes_nb.session.feed import Feed
from tes_nb.session.nowgoal.feed import LIVE_FEEDS, NowGoalFeed, wire_names
from tes_nb.session.nowgoal.feed import SIMULATED as SIMULATED_DATA
from tes_nb.session.source import NOWGOAL, Source
from tes_nb.simulate import ChildServer, Options, StandInClient, start_child
from tes_nb.simulate.faults import parse
from tes_nb.streams import NAMES, get

VERDICT_S = 3.0
"""A watch waits so long to learn whether the connection comes about."""
_ENDPOINT = ("url", "token_url", "auth", "token", "name")


class Watching:
    """Begins and ends watches."""

    def __init__(
        self,
        feeds: Mapping[str, Feed],
        call: Call,
        open_feed: Callable[[str, Stream, type[Feed], int], Feed],
        close_feed: Callable[[str], None],
    ) -> None:
        """Take the session's feeds and what it does: ask the collector, begin and end to read a source."""
        self._feeds = feeds
        self._call = call
        self._open_feed = open_feed
        self._close_feed = close_feed
        self._stand_ins: dict[str, tuple[ChildServer, Options]] = {}

    def watch(self, what: str | Source, channels: Sequence[str] | None, options: dict[str, Any]) -> Feed:
        """Read an external feed. Raises `ArgumentError` or `CollectorError` with a sentence."""
        source = _source(what)
        names = None if channels is None else list(_names_of(source, channels))
        stand_in: StandInClient | None = None
        simulated = source.simulated
        if simulated:
            source, stand_in = self._simulated(source, options)
        else:
            _check_known(options, _ENDPOINT)
            source = source.with_endpoint(**options).with_environment()
            if source.is_local:
                stand_in = StandInClient(_http_of(source.url or ""))
        result = self._call(
            WatchSource(
                stream=source.stream,
                source=source.name,
                url=source.url,
                token_url=source.token_url,
                auth=source.auth,
                token=source.token,
                channels=names,
                note=SIMULATED_DATA if simulated else None,
            )
        )
        return self._feed(source, stand_in, result)

    def _feed(self, source: Source, stand_in: StandInClient | None, result: WatchResult) -> Feed:
        name = result.source
        feed = self._feeds.get(name)
        fresh = feed is None or feed.closed
        if feed is None or fresh:
            make = LIVE_FEEDS.get(source.stream, Feed)
            feed = self._open_feed(name, get(source.stream), make, result.after)
        if isinstance(feed, NowGoalFeed):
            feed.opened(result, stand_in, source.url, self._subscribe)
            if fresh:
                _wait_for_verdict(feed)
        return feed

    def _subscribe(self, source: str, names: Sequence[str]) -> SubscribeResult:
        return self._call(SubscribeSource(source=source, names=list(names)))

    def unwatch(self, feed: Feed) -> None:
        """End a feed that `watch` began; its frames stay."""
        watches = feed.watches if isinstance(feed, NowGoalFeed) else ()
        if feed.closed or not watches:
            raise SessionError(f"The feed '{feed.source}' is not watched; there is nothing to end.")
        for number in watches:
            self._call(UnwatchSource(watch=number))
        self._close_feed(feed.source)
        stand_in = self._stand_ins.pop(feed.source, None)
        if stand_in is not None:
            stand_in[0].stop()

    def stop(self) -> None:
        """End the stand-ins."""
        while self._stand_ins:
            self._stand_ins.popitem()[1][0].stop()

    # Simulated feeds -----------------------------------------------------------------------------------------

    def _simulated(self, source: Source, given: dict[str, Any]) -> tuple[Source, ChildServer]:
        options = _simulate_options(given)
        running = self._stand_ins.get(source.name)
        if running is not None and given and running[1] != options:
            raise SessionError(
                f"The feed '{source.name}' runs already with other options; end it with s.unwatch(s.{source.name})."
            )
        if running is None:
            # never left half begun by an interrupt: a child without an owner would go on until the kernel ends
            child = uninterrupted(lambda: start_child(options), undo=ChildServer.stop)
            self._stand_ins[source.name] = running = (child, options)
        child = running[0]
        url = f"{child.url}?subscriber=notebook"
        return source.with_endpoint(url=url, token_url=child.token_url), child


def _source(what: str | Source) -> Source:
    if isinstance(what, Source):
        return what
    if what == NOWGOAL.stream:
        return NOWGOAL
    if what not in NAMES or get(what).endpoint.port != "none" or not get(what).endpoint.path:
        raise ArgumentError(
            f"'{what}' cannot be watched; use 'nowgoal', tes.NOWGOAL or tes.SIMULATED. TES streams come with "
            "tes.start() and tes.attach()."
        )
    return Source(stream=what, name=what)


def _names_of(source: Source, channels: Sequence[str]) -> Sequence[str]:
    return wire_names(channels) if source.stream == NOWGOAL.stream else channels


def _check_known(options: Mapping[str, Any], known: Sequence[str]) -> None:
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ArgumentError(f"watch() does not know {', '.join(unknown)}; here it takes {', '.join(known)}.")


def _simulate_options(given: Mapping[str, Any]) -> Options:
    """Return the stand-in's options; faults may be given in words."""
    _check_known(given, list(Options.__dataclass_fields__))
    faults = [parse(one) if isinstance(one, str) else one for one in given.get("faults", ())]
    try:
        return msgspec.convert({**given, "faults": msgspec.to_builtins(faults)}, Options)
    except msgspec.ValidationError as error:
        raise ArgumentError(f"An option of the simulated feed is wrong: {error}.") from error


def _http_of(url: str) -> str:
    """Return where a stand-in with that WebSocket answers over HTTP."""
    scheme, _, rest = url.partition("://")
    return f"http{'s' if scheme == 'wss' else ''}://{rest.partition('/')[0]}"


def _wait_for_verdict(feed: NowGoalFeed) -> None:
    """Wait a little for the first state; say in the caller's cell what keeps the real feed away."""
    deadline = time.monotonic() + VERDICT_S
    while time.monotonic() < deadline:
        state = feed.store.state
        if state is not None and state.state != "CONNECTING":
            break
        time.sleep(0.02)
    if feed.trouble is not None:
        print(feed.trouble)  # noqa: T201 - said once, in the cell that asked
