"""What a NowGoal feed can do beyond others: matches with names, channels, steam, and the loss ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd

from tes_nb._version import __version__
from tes_nb.analysis.steam import DEFAULTS, SteamSettings, detect_all
from tes_nb.errors import ArgumentError, DecodeError, SessionError, TesError
from tes_nb.model import Column, Direction, Message, Opcode
from tes_nb.model.message import FLAG_DUPLICATE
from tes_nb.session.feed import Feed
from tes_nb.session.nowgoal.loss import LossLedger, Received
from tes_nb.session.nowgoal.steam import SteamWatch
from tes_nb.session.recorded_feed import RecordedFeed
from tes_nb.session.source import HINT
from tes_nb.simulate import ChildServer, StandInClient
from tes_nb.streams.nowgoal.stream import resolve
from tes_nb.views.rows import Lookup
from tes_nb.wire.inflate import inflate

if TYPE_CHECKING:
    from tes_nb.model.control import SubscribeResult, WatchResult
    from tes_nb.session.state import FeedState
    from tes_nb.session.table_view import TableView


NAMES = ("home_team", "away_team", "league")
COLUMNS = (
    Column("home_team", "str", "", "label", "Who plays at home; NA if nobody has told (set_names)."),
    Column("away_team", "str", "", "label", "Who plays away."),
    Column("league", "str", "", "label", "Where they play."),
)
UNKNOWN: tuple[str | None, ...] = (None,) * len(NAMES)
ASK_EVERY_S = 5.0
"""Between two looks for names that nobody has told, while a live table waits for them."""


class MatchNames:
    """The names that are known. `version` rises with each change."""

    def __init__(self) -> None:
        self._frame: pd.DataFrame | None = None
        self._by_id: dict[str, tuple[str | None, ...]] = {}
        self._asked_at = float("-inf")
        self.version = 0

    def tell(self, names: pd.DataFrame) -> None:
        """Take a frame with `match_id`, `home_team`, `away_team`, optionally `league`; others stay.

        Raises `ArgumentError` when a column is missing.
        """
        missing = [name for name in ("match_id", *NAMES[:2]) if name not in names.columns]
        if missing:
            raise ArgumentError(
                f"Names need the columns match_id, home_team and away_team; the frame lacks {', '.join(missing)}."
            )
        told = names.reindex(columns=["match_id", *NAMES]).astype(dict.fromkeys(("match_id", *NAMES), "str"))
        known = told if self._frame is None else pd.concat([self._frame.reset_index(), told])
        self._frame = known.drop_duplicates("match_id", keep="last").set_index("match_id")
        cells = self._frame.astype(object).where(self._frame.notna(), None)
        self._by_id = dict(zip(cells.index, cells.itertuples(index=False, name=None), strict=True))
        self.version += 1

    def lacks(self, match_ids: set[str]) -> bool:
        """Whether any of them has no name yet."""
        return not match_ids <= self._by_id.keys()

    def of(self, match_ids: pd.Series) -> pd.DataFrame:
        """Return the three columns for these ids, NA where nothing is known."""
        names = pd.DataFrame(columns=list(NAMES), dtype="str") if self._frame is None else self._frame
        return names.reindex(match_ids)

    def known(self, by: str, look_up: Callable[[set[str]], None]) -> Lookup:
        """Return the columns for a live table. look_up: finds out names that are not known, where it can."""

        def find(match_ids: Sequence[Any]) -> list[tuple[str | None, ...]]:
            wanted = {one for one in match_ids if one is not None}
            if self.lacks(wanted) and time.monotonic() - self._asked_at > ASK_EVERY_S:
                self._asked_at = time.monotonic()
                look_up(wanted)
            return [self._by_id.get(one, UNKNOWN) for one in match_ids]

        return Lookup(COLUMNS, by, find, lambda: self.version)


MATCH = "match_id"
SIMULATED = "simulated data"


class NowGoalMethods(Feed):
    """What live and recorded feeds of NowGoal have in common."""

    scores: TableView
    games: TableView
    odds: TableView
    ticks: TableView
    raw: TableView

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._names = MatchNames()

    @property
    def latest(self) -> Any:
        """The last data message as text, inflated; `None` = none yet."""
        self._raise_pending()
        message = self.store.latest
        return None if message is None else _text(message)

    def matches(self) -> pd.DataFrame:
        """Return the newest row of each football match, its id as index, with names where they are known.

        See `set_names`. The column `time` is when the row was received.
        """
        rows = self.frame("scores").dropna(subset=["match_id"])
        latest = rows[~rows["match_id"].duplicated(keep="last")].reset_index()
        latest = latest.drop(columns=["sent_at", "seq", "conn", "source", "channel"])
        return self._named(latest, place=1).set_index("match_id")

    def set_names(self, names: pd.DataFrame) -> None:
        """Tell which teams play: columns `match_id`, `home_team`, `away_team`, and optionally `league`.

        Names that were set before stay for other matches. Raises `ArgumentError` when a column is missing.
        """
        self._names.tell(names)

    def lookup(self, table: str) -> Lookup | None:
        """The names, for a live table of matches."""
        if MATCH not in self.stream.table(table).key:
            return None
        return self._names.known(MATCH, self._look_up)

    def _named(self, rows: pd.DataFrame, *, place: int | None = None) -> pd.DataFrame:
        """Return the rows with three columns of names, NA where they are not known."""
        self._look_up(set(rows["match_id"].dropna()))
        found = self._names.of(rows["match_id"]).set_axis(rows.index)
        at = len(rows.columns) if place is None else place
        result = rows.copy(deep=False)
        for offset, name in enumerate(NAMES):
            result.insert(at + offset, name, found[name].astype("str"))
        return result

    def _look_up(self, match_ids: set[str]) -> None:
        """Find out names that are not known, where somebody can be asked."""

    def steam(self, settings: SteamSettings = DEFAULTS, *, last: Any = None) -> pd.DataFrame:
        """Return all ticks, received and derived from odds, with velocity, steam_index, rule and steam.

        No tick is derived across a change of the line, a gap or a refresh. settings: see
        `tes_nb.analysis.steam.DEFAULTS.table()`. last: "10min", seconds; `None` = all that is held.
        """
        odds = self._named(self.frame("odds", last=last))
        scores = self.frame("scores", last=last)
        ticks = self.frame("ticks", last=last)
        return detect_all(ticks, odds, gaps=self.gaps, scores=scores, settings=settings)


class RecordedNowGoalFeed(NowGoalMethods, RecordedFeed):
    """NowGoal as it was recorded."""


class NowGoalFeed(NowGoalMethods):
    """NowGoal, live. `s.watch(…)` makes it; `ng.odds`, `ng.scores`, `ng.ticks` … are its tables."""

    stand_in: StandInClient | None = None
    """The stand-in the data come from, for faults and its ledger; `None` = they come from the real feed."""
    watches: tuple[int, ...] = ()
    """The collector's numbers for what was asked for."""
    _channels: tuple[str, ...] = ()
    _set_channels: Callable[[str, Sequence[str]], SubscribeResult] | None = None
    _subscriber = ""
    _received: Received | None = None

    def opened(
        self,
        result: WatchResult,
        stand_in: StandInClient | None,
        address: str | None,
        ask: Callable[[str, Sequence[str]], SubscribeResult],
    ) -> None:
        """Take what the collector answered to a watch; called by the session."""
        self.watches = (*self.watches, result.watch)
        self._channels = tuple(result.channels)
        self._set_channels = ask
        if stand_in is not None and self._received is None:
            self.stand_in, self._received = stand_in, Received()
            self._subscriber = parse_qs(urlsplit(address or "").query).get("subscriber", [""])[0]

    def append(self, message: Message) -> None:
        """Append one message of the relay."""
        data = message.direction == Direction.IN and message.opcode != Opcode.EVENT
        if self._received is not None and data and not message.flags & FLAG_DUPLICATE:
            self._received.append(message)
        super().append(message)

    @property
    def simulated(self) -> bool:
        """Whether the data are made up by a stand-in."""
        return isinstance(self.stand_in, ChildServer) or bool(self._received)

    @property
    def state(self) -> FeedState:
        """How the feed is doing, for example "OPEN · 2 reconnects · token 38 s · 0 undecoded"."""
        state = super().state
        return replace(state, note=SIMULATED) if self.simulated else state

    @property
    def channels(self) -> tuple[str, ...]:
        """What is asked for, in the wire's names. Set it to change that on the open connection."""
        return self._channels

    @channels.setter
    def channels(self, names: Sequence[str]) -> None:
        self._raise_pending()
        if self._set_channels is None:
            raise SessionError(f"The feed '{self.source}' is not watched; call s.watch() first.")
        self._channels = tuple(self._set_channels(self.source, wire_names(names)).channels)

    async def subscribe(self, names: Sequence[str]) -> None:
        """Ask for exactly these channels, now and after each reconnect; the same as setting `channels`."""
        wanted = wire_names(names)
        await super().subscribe(wanted)
        self._channels = wanted

    def _look_up(self, match_ids: set[str]) -> None:
        if self.stand_in is None or not self._names.lacks(match_ids):
            return
        try:
            self.set_names(pd.DataFrame(self.stand_in.roster()))
        except TesError:
            return  # it has ended: names stay unknown

    def on_steam(
        self, callback: Callable[[pd.DataFrame], object], settings: SteamSettings = DEFAULTS
    ) -> Callable[[], None]:
        """Call `callback(frame)` with each new steam tick, on the background thread; return what ends it.

        The frame has the columns of `ng.steam()`. What the callback raises is raised by your next call here.
        """
        watch = SteamWatch(self.store, callback, settings, self._named)
        return self.on_message(watch.on_message)

    def ledger(self) -> LossLedger:
        """Return the account of a simulated feed: sent, received, gaps with causes, unexplained, doubled.

        Raises `SessionError` for the real feed, which numbers nothing.
        """
        if self.stand_in is None or self._received is None:
            raise SessionError(
                f"The feed '{self.source}' is not simulated, and the real feed keeps no account of what it sent. {HINT}"
            )
        subscriber = self._subscriber or self._usual_subscriber(self.stand_in.ledger())
        received = len(self._received)  # before it is asked what was sent: the feed goes on meanwhile
        return self._received.against(self.stand_in.sent_at(subscriber), self.store.gaps, received)

    @staticmethod
    def _usual_subscriber(account: Mapping[str, Any]) -> str:
        """How a stand-in calls a client of ours that does not name itself."""
        return next((name for name in account["subscribers"] if name.endswith(f"tes_nb/{__version__}")), "")

    @property
    def trouble(self) -> str | None:
        """What keeps the real feed from coming, and what to do about it; `None` = nothing."""
        state = self.state
        if isinstance(self.stand_in, ChildServer) or state.word not in ("WAITING", "FAILED"):
            return None
        return f"{self.source}: {state}. It goes on trying. {HINT}"

    def __repr__(self) -> str:
        text = super().__repr__()
        return text if self.trouble is None else f"{text}\n{HINT}"


LIVE_FEEDS: Mapping[str, type[Feed]] = {"nowgoal": NowGoalFeed}
RECORDED_FEEDS: Mapping[str, type[RecordedFeed]] = {"nowgoal": RecordedNowGoalFeed}
"""Streams whose feeds can do more than others."""


def wire_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the wire's names of channels. Raises `ArgumentError` for what is none."""
    given = [names] if isinstance(names, str) else list(names)
    try:
        return resolve(given)
    except ValueError as error:
        raise ArgumentError(str(error)) from error


def _text(message: Message) -> str:
    try:
        payload = message.payload if message.opcode == Opcode.TEXT else inflate(message.payload)
    except DecodeError:
        payload = message.payload
    return payload.decode(errors="replace")
