"""NowGoal in a session: `tes.NOWGOAL`, `tes.SIMULATED`, and what their feed can do beyond others.

Matches with names, channels, steam, and the loss ledger.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd

from tes_nb._version import __version__
from tes_nb.analysis.ledger import NUMBER
from tes_nb.analysis.markets import check_market
from tes_nb.analysis.steam import DEFAULTS, SteamSettings, detect_all
from tes_nb.errors import ArgumentError, DecodeError, SessionError
from tes_nb.model import Message, Opcode, Stream
from tes_nb.session.extras import Extras, Watch
from tes_nb.session.feed import Feed
from tes_nb.session.nowgoal.kick_off import MatchFilter, opening_rows, rows_at_kick_off
from tes_nb.session.nowgoal.loss import LossLedger, ReceivedNumbers
from tes_nb.session.nowgoal.match import Match, MatchMarks, chosen_match
from tes_nb.session.nowgoal.names import NAMES, MatchNames, MatchNow
from tes_nb.session.nowgoal.stand_in import HINT, NowGoalStandIn, NowGoalStandIns, simulated_names
from tes_nb.session.nowgoal.steam import SteamWatch
from tes_nb.session.source import SIMULATED_NOTE, Source, wire_names
from tes_nb.streams.nowgoal.stream import QUERY_ENDPOINT
from tes_nb.views.source import Lookup
from tes_nb.wire.inflate import inflate

if TYPE_CHECKING:
    from tes_nb.session.origin import Origin
    from tes_nb.session.state import FeedState
    from tes_nb.session.table_view import TableView
    from tes_nb.views.annotations import Notes
    from tes_nb.views.chart import Chart

VERDICT_S = 3.0
"""A watch waits so long to learn whether the connection comes about."""
MATCH = "match_id"
KICK_OFF = "kick_off"


class NowGoalFeed(Feed):
    """NowGoal: `s.watch(…)` makes it, or a recording; `ng.odds`, `ng.scores`, `ng.ticks` … are its tables."""

    scores: TableView
    games: TableView
    odds: TableView
    ticks: TableView
    raw: TableView

    def __init__(self, stream: Stream, origin: Origin) -> None:
        super().__init__(stream, origin)
        self._names = MatchNames()
        self.stand_in: NowGoalStandIn | None = None
        """The stand-in the data come from, for faults and its ledger; `None` = they come from the real feed."""
        self._stand_in_is_ours = False
        self._received: ReceivedNumbers | None = None
        """What came of a stand-in's messages, for the ledger."""
        self._subscriber = ""
        self._channels: tuple[str, ...] = ()
        self._set_channels: Callable[[Sequence[str]], tuple[str, ...]] | None = None

    @property
    def latest(self) -> Any:
        """The last data message as text, inflated; `None` = none yet."""
        self.origin.check()
        message = self.store.latest
        return None if message is None else _text(message)

    walk_filters = ("inplay", "before_kick_off")

    def walk_filter(self, options: Mapping[str, Any]) -> MatchFilter | None:
        """Return what chooses rows by how their match stands; see `MatchFilter`."""
        return MatchFilter(**options) if options else None

    def as_of(
        self, t: Any, table: str | None = None, *, across_gaps: bool = False, tz: str | None = None
    ) -> pd.DataFrame:
        """The same as `Feed.as_of`; "kick_off" gives each match's rows from before its own kick-off (odds, scores).

        A match kicks off when the first row that says it is played is received; one that was not seen to kick off has
        no rows then.
        """
        if not isinstance(t, str) or t != KICK_OFF:
            return super().as_of(t, table, across_gaps=across_gaps, tz=tz)
        self.origin.check()
        name = self._table_name(table)
        key = list(self.stream.table(name).key)
        if MATCH not in key:
            raise ArgumentError(
                f"The table '{name}' has no matches that kick off: as_of({KICK_OFF!r}, 'odds')."
            )
        rows, scores = self.frame(name, tz=tz), self.frame("scores", tz=tz)
        return rows_at_kick_off(rows, scores, self.origin.gaps(), key, across_gaps=across_gaps)

    def closing(self, *, across_gaps: bool = False) -> pd.DataFrame:
        """Return the closing prices: the last row of odds before kick-off of each match, company and market.

        Index `time` (when it was received) and the columns of the table odds, with `kick_off` and names beside them.
        Prices from before a gap that began before kick-off are left out (`.attrs["left_out"]` counts them), unless
        across_gaps=True. Matches that were not seen to kick off have none.
        """
        rows = self.as_of(KICK_OFF, "odds", across_gaps=across_gaps)
        return self._with_names(rows)

    def opening(self) -> pd.DataFrame:
        """Return the first price seen of each match, company and market, and whether it is the opening one.

        `opening` is True, False, or NA where it cannot be known: the feed sends changes only, see `opening_rows`.
        """
        rows = opening_rows(self.frame("odds"), self.frame("scores"), self.origin.gaps())
        return self._with_names(rows)

    def matches(self) -> pd.DataFrame:
        """Return the newest row of each football match, its id as index, with names where they are known.

        See `set_names`. The column `time` is when the row was received.
        """
        rows = self.frame("scores").dropna(subset=["match_id"])
        latest = rows[~rows["match_id"].duplicated(keep="last")].reset_index()
        latest = latest.drop(columns=["sent_at", "seq", "conn", "source", "channel"])
        return self._with_names(latest, place=1).set_index("match_id")

    def set_names(self, names: pd.DataFrame) -> None:
        """Set which teams play: columns `match_id`, `home_team`, `away_team`, and optionally `league`.

        Names that were set before stay for other matches. Raises `ArgumentError` when a column is missing.
        """
        self._names.add(names)

    def lookup(self, table: str) -> Lookup | None:
        """The names, for a live table of matches."""
        if MATCH not in self.stream.table(table).key:
            return None
        return self._names.lookup(
            MATCH, self._find_names, MatchNow(self.store.tables["odds"], self.store.tables["scores"])
        )

    def _with_names(self, rows: pd.DataFrame, *, place: int | None = None) -> pd.DataFrame:
        """Return the rows with three columns of names, NA where they are not known."""
        self._find_names(set(rows["match_id"].dropna()))
        names = self._names.of(rows["match_id"]).set_axis(rows.index)
        at = len(rows.columns) if place is None else place
        result = rows.copy(deep=False)
        for offset, name in enumerate(NAMES):
            result.insert(at + offset, name, names[name].astype("str"))
        return result

    def match(self, words: str) -> Match:
        """Return one match by its id or a part of its teams' names: `ng.match("Rovers").plot(market="1x2")`.

        Raises `ArgumentError` where none fits, or several, with those that there are.
        """
        match_ids = list(dict.fromkeys(self.frame("scores")["match_id"].dropna().astype("str")))
        self._find_names(set(match_ids))
        match_id = chosen_match(self._names, words, match_ids)
        return Match(self, match_id, self._names.title(match_id) or match_id)

    def plot(
        self,
        columns: Sequence[str] | str | None = None,
        *,
        match: str | None = None,
        market: str | Sequence[str] | None = None,
        **options: Any,
    ) -> Chart:
        """Return a live chart: as `Feed.plot`, or the prices of one match with its goals and steam marked.

        match: its id, or a part of its teams' names; `None` = a table as it is. market: as in `Match.plot`.
        Raises `ArgumentError` for a match or a market that there is not.
        """
        for one_market in market if isinstance(market, list | tuple | set | frozenset) else (market,):
            if one_market is not None:
                check_market(one_market)
        if match is None:
            if market is not None:
                options = {"table": "odds", **options}
                options["where"] = {**(options.get("where") or {}), "market": market}
            return super().plot(columns, **options)
        one = self.match(match)
        where = {"match_id": one.id, **({} if market is None else {"market": market})}
        options = {"table": "odds", **options}
        options["where"] = {**(options.get("where") or {}), **where}
        return super().plot(columns, notes=MatchMarks(self).notes(one.id), **options)

    def subject_notes(self) -> Notes | None:
        """Goals and steam of each match, beside what else a chart notes."""
        return MatchMarks(self).notes()

    def steam(
        self,
        settings: SteamSettings = DEFAULTS,
        *,
        last: Any = None,
        all: bool = False,  # noqa: A002 - the word of the field
    ) -> pd.DataFrame:
        """Return the steam: ticks, received and derived from odds, that are rapid moves, with velocity and rule.

        all: every tick, with `steam` saying which are.

        No tick is derived across a change of the line, a gap or a refresh. settings: see
        `tes_nb.analysis.steam.DEFAULTS.table()`. last: "10min", seconds; `None` = all that is held.
        """
        odds = self._with_names(self.frame("odds", last=last))
        scores = self.frame("scores", last=last)
        ticks = self.frame("ticks", last=last)
        judged = detect_all(ticks, odds, gaps=self.gaps, scores=scores, settings=settings)
        return judged if all else judged[judged["steam"]]

    def opened(self, watch: Watch) -> None:
        """Take what the collector answered to a watch; called by the session."""
        self._channels, self._set_channels = watch.channels, watch.set_channels
        if watch.stand_in is not None and self._received is None:
            self.stand_in, self._received = watch.stand_in, ReceivedNumbers()
            self._stand_in_is_ours = watch.simulated
            self._subscriber = parse_qs(urlsplit(watch.address or "").query).get("subscriber", [""])[0]
            self.origin.listeners.on_message(self._received.append)
        if watch.fresh:
            self._wait_for_verdict()

    def _wait_for_verdict(self) -> None:
        """Wait a little for the first state; say in the caller's cell what keeps the real feed away."""
        deadline = time.monotonic() + VERDICT_S
        while time.monotonic() < deadline:
            state = self.store.state
            if state is not None and state.state != "CONNECTING":
                break
            time.sleep(0.02)
        trouble = self.trouble
        if trouble is not None:
            print(trouble)  # noqa: T201 - said once, in the cell that asked

    @property
    def simulated(self) -> bool:
        """Whether the data are made up by a stand-in."""
        return self._stand_in_is_ours or bool(self._received)

    @property
    def state(self) -> FeedState:
        """How the feed is doing, for example "OPEN · 2 reconnects · token 38 s · 0 undecoded"."""
        state = super().state
        return replace(state, note=SIMULATED_NOTE) if self.simulated else state

    @property
    def channels(self) -> tuple[str, ...]:
        """What is asked for, in the wire's names. Set it to change that on the open connection."""
        return self._channels

    @channels.setter
    def channels(self, names: Sequence[str]) -> None:
        self._check_more()
        if self._set_channels is None:
            raise SessionError(f"The feed '{self.source}' is not watched; call s.watch() first.")
        self._channels = self._set_channels(wire_names(self.stream, names))

    async def subscribe(self, names: Sequence[str]) -> None:
        """Ask for exactly these channels, now and after each reconnect; the same as setting `channels`."""
        channels = wire_names(self.stream, names)
        await super().subscribe(channels)
        self._channels = channels

    def _find_names(self, match_ids: set[str]) -> None:
        """Add the names of simulated matches, also where no stand-in runs any more; of real ones nobody tells."""
        newest = self.store.latest
        lacking = [one for one in match_ids if one.isdecimal() and len(one) < 20 and self._names.lacks({one})]
        if lacking and newest is not None and NUMBER in _text(newest):
            self._names.add(pd.DataFrame(simulated_names(lacking)))

    def on_steam(
        self, callback: Callable[[pd.DataFrame], object], settings: SteamSettings = DEFAULTS
    ) -> Callable[[], None]:
        """Call `callback(frame)` with each new steam tick, on the background thread; return what ends it.

        The frame has the columns of `ng.steam()`. What the callback raises is raised by your next call here.
        """
        self._check_more()
        listeners = self.origin.listeners
        watch = SteamWatch(self.store, callback, settings, self._with_names, listeners.run)
        off_messages = self.on_message(watch.on_message)

        def off() -> None:
            watch.end()
            off_messages()

        return off

    def ledger(self) -> LossLedger:
        """Return the account of a simulated feed: sent, received, gaps with causes, unexplained, doubled.

        Raises `SessionError` for the real feed, which numbers nothing.
        """
        if self.origin.refusal:
            raise SessionError(self.origin.refusal)
        if self.stand_in is None or self._received is None:
            raise SessionError(
                f"The feed '{self.source}' is not simulated, and the real feed keeps no account of what it sent. {HINT}"
            )
        subscriber = self._subscriber
        if not subscriber:  # how a stand-in calls a client of ours that does not name itself
            names = self.stand_in.ledger()["subscribers"]
            subscriber = next((name for name in names if name.endswith(f"tes_nb/{__version__}")), "")
        received = len(self._received)  # before it is asked what was sent: the feed goes on meanwhile
        return self._received.against(self.stand_in.sent_at(subscriber), self.store.gaps, received)

    @property
    def trouble(self) -> str | None:
        """What keeps the real feed from coming, and what to do about it; `None` = nothing."""
        if self._stand_in_is_ours or self.look().word not in ("WAITING", "FAILED"):
            return None
        return f"{self.source}: {self.state}. It goes on trying. {HINT}"

    def __repr__(self) -> str:
        text = super().__repr__()
        return text if self.trouble is None else f"{text}\n{HINT}"


def _text(message: Message) -> str:
    try:
        payload = message.payload if message.opcode == Opcode.TEXT else inflate(message.payload)
    except DecodeError:
        payload = message.payload
    return payload.decode(errors="replace")


NOWGOAL: Source[NowGoalFeed] = Source(
    stream="nowgoal", name="nowgoal", query_path=urlsplit(QUERY_ENDPOINT.path).path
)
"""NowGoal's own endpoint, or the one in the environment (`TES_NOWGOAL_URL`, `TES_NOWGOAL_TOKEN_URL`,
`TES_NOWGOAL_TOKEN`). The form of the site's own page takes the token in the query."""

SIMULATED: Source[NowGoalFeed] = Source(stream="nowgoal", name="simulated", simulated=True)
"""A stand-in for NowGoal that the session starts and ends: every team, goal and price is made up.

`s.watch(tes.SIMULATED, …)` takes the options of `tes-nb simulate`: `speed=50`, `faults=["random:every=3"]` and others.
Channels are "scores", "odds", "basketball_scores", "basketball_odds" or names of the wire; `None` = football scores
and odds.
"""

EXTRAS = Extras(
    feed=NowGoalFeed,
    source=NOWGOAL,
    names=("'nowgoal'", "tes.NOWGOAL", "tes.SIMULATED"),
    stand_ins=NowGoalStandIns(),
    opened=NowGoalFeed.opened,
)
