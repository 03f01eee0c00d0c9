"""TES ticks in any spelling → rows, with a fault for each thing that is missing or cannot be read.

    {"gameId": "007", "bookmakerId": "nowgoal-ws", "oddsType": "moneyline",
     "oldValue": 1.85, "newValue": 1.92, "timestamp": 1767225600000,
     "market": {"homeTeam": "Duke", "awayTeam": "UNC", "league": "ncaab"}}
    {"oddsChange": {"id": "007", "type": "ml", "old": 1.85, "new": 1.92, "time": 1767225600000, …}}
    <oddsChange gameId="007" type="prop" old="1.85" new="1.92" time="1767225600000">
      <market home="Duke" away="UNC" league="ncaab"/><player id="23" name="A. Player" stat="points"/>
    </oddsChange>

All parts of the normal form are expected (those of the player for props only); the bookmaker alone has a
default.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

import msgspec

from tes_nb.model import Doubles, RowBatch, Same
from tes_nb.streams.nowgoal.fields import LINES, NAN, FieldCache, UnreadableError, quote
from tes_nb.streams.nowgoal.records import MAX_RECORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tes_nb.model import Row, Values
    from tes_nb.streams.nowgoal.records import Reading


Fields = Mapping[str, Any]
Report = Callable[[str, str], object]

BOOKMAKER: Final = "nowgoal-ws"
"""Who quotes where the message does not say."""

TYPES: Final = {
    "moneyline": "moneyline",
    "ml": "moneyline",
    "spread": "spread",
    "line": "spread",
    "total": "total",
    "overunder": "total",
    "ou": "total",
    "player_prop": "player_prop",
    "prop": "player_prop",
}
"""Words for the kind of odds → ours."""

LEAGUE_NAMES: Final = {
    "wncaab": "WNCAAB",
    "ncaab": "WNCAAB",
    "nba": "NBA",
    "euroleague": "EuroLeague",
    "euro": "EuroLeague",
}
"""Leagues in lower-case letters → their names; others keep the lower-case letters."""

WRAPPERS: Final = ("oddsChange", "odds", "change")
"""Keys under which JSON may put a tick, or several."""

NS_PER_MS: Final = 1_000_000
LATEST_MS: Final = (2**63 - 1) // NS_PER_MS
"""The last millisecond that a column can hold."""

_CERTAIN: Final = frozenset({"gameId", "oddsType", "oldValue", "newValue", "old", "new"})
_FLAT: Final = frozenset({"homeTeam", "awayTeam", "league"})
"""Parts of the market; some peers put them beside the other fields."""
_POSSIBLE: Final = frozenset({"id", "type", "time", "timestamp"})


def _league(text: str) -> str:
    letters = "".join(filter(str.isalpha, text.lower()))
    if not letters:
        raise UnreadableError(text)
    return LEAGUE_NAMES.get(letters, letters)


LEAGUES: Final[FieldCache[str]] = FieldCache("a league", _league, empty="", longest=200)
"""Any spelling of a league → its one name; never asked for ""."""


def is_tick(fields: Fields, *, certainly: bool = False) -> bool:
    """Whether a JSON object is a tick, however incomplete; `certainly` = whatever else is in it."""
    return not _CERTAIN.isdisjoint(fields) or (not certainly and len(_POSSIBLE.intersection(fields)) > 1)


def read_ticks(ticks: Sequence[Fields], reading: Reading) -> None:
    """Read ticks in any spelling into `ticks`."""
    reading.admit(len(ticks))
    rows = (tick_row(fields, reading) for fields in ticks)
    reading.add("ticks", [row for row in rows if row is not None])


def tick_row(fields: Fields, reading: Reading) -> Row | None:
    """Return the row of one tick; `None` = nothing of it is readable."""
    game = fields.get("gameId", fields.get("id"))

    def report(reason: str, what: str) -> None:
        reading.fault(reason, f"Tick of game {quote(game)}: {what}.")

    reader = _FieldReader(report)
    flat = not _FLAT.isdisjoint(fields)
    market = reader.part(fields, "market", expected=not flat) or (fields if flat else {})
    player = reader.part(fields, "player", expected=False)
    kind = reader.value(_type, (fields, "oddsType"), (fields, "type"))
    prop = kind == "player_prop"
    values = (
        reader.value(_identity, (fields, "gameId"), (fields, "id")),
        reader.value(_identity, (fields, "bookmakerId"), expected=False),
        kind,
        reader.value(_number, (fields, "oldValue"), (fields, "old")),
        reader.value(_number, (fields, "newValue"), (fields, "new")),
        reader.value(_instant, (fields, "timestamp"), (fields, "time")),
        reader.value(_identity, (market, "homeTeam"), (market, "home"), expected=bool(market)),
        reader.value(_identity, (market, "awayTeam"), (market, "away"), expected=bool(market)),
        reader.value(_league_of, (market, "league"), expected=bool(market)),
        reader.value(_identity, (fields, "playerId"), (player, "id"), expected=prop),
        reader.value(_identity, (fields, "playerName"), (player, "name"), expected=prop),
        reader.value(_identity, (fields, "statType"), (player, "stat"), expected=prop),
    )
    if all(value is None for value in values):
        return None
    game_id, bookmaker, _, old, new, *rest = values
    old, new = (NAN if value is None else value for value in (old, new))
    return (reading.channel, game_id, bookmaker or BOOKMAKER, kind, old, new, *rest)


class _FieldReader:
    """Reads values out of mappings under any of their names, and reports what is missing or unreadable."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def part(self, fields: Fields, name: str, *, expected: bool) -> Fields:
        """Return an inner object; an empty one when it is missing or none."""
        inner = fields.get(name)
        if isinstance(inner, Mapping) and inner:
            return inner
        if inner:
            self._report("unreadable field", f"{name} is {quote(inner)}")
        elif expected:
            self._report("missing field", f"it has no {name}")
        return {}

    def value(self, read: Callable[[Any], Any], *places: tuple[Fields, str], expected: bool = True) -> Any:
        """Return the value in the first place that has one; `None` = there is none, or it cannot be read."""
        for fields, name in places:
            value = fields.get(name)
            if value is None or value == "":
                continue
            try:
                return read(value)
            except UnreadableError:
                self._report("unreadable field", f"{name} is {quote(value)}")
                return None
        if expected:
            self._report("missing field", f"it has no {places[0][1]}")
        return None


def _identity(value: Any) -> str:
    """Read text that names something; a whole number stands for its digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise UnreadableError(str(type(value)))


def _type(value: Any) -> str:
    kind = TYPES.get(value.strip().lower()) if isinstance(value, str) else None
    if kind is None:
        raise UnreadableError(str(type(value)))
    return kind


def _league_of(value: Any) -> str:
    if not isinstance(value, str):
        raise UnreadableError(str(type(value)))
    return LEAGUES[value]


def _number(value: Any) -> float:
    if isinstance(value, str):
        return LINES[value.strip()]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UnreadableError(str(type(value)))
    return float(value)


def _instant(value: Any) -> int:
    """Read Unix milliseconds, as a number or its text, into nanoseconds."""
    milliseconds = _number(value)
    if not 0 <= milliseconds <= LATEST_MS:
        raise UnreadableError("outside the years that a column can hold")
    return round(milliseconds) * NS_PER_MS


# An object, or an array of them, that has all fields of the normal form and no others goes this way. The types
# below prove all that `json_guard` checks, but for keys that come twice. Those a count of colons rules out:
# each key has one, and a colon inside a text makes the count too high (decisions/0007). Whatever is not certain
# (a league that was not met before, too) goes the careful way. The rows stay msgspec's objects until a table
# makes columns of many (decisions/0013).

_Text = Annotated[str, msgspec.Meta(min_length=1)]
MainType: TypeAlias = Literal["moneyline", "ml", "spread", "line", "total", "overunder", "ou"]
PropType: TypeAlias = Literal["player_prop", "prop"]
"""Together the words of `TYPES`. msgspec gives the same object each time: a look-up need not hash it again."""


class _Market(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    home_team: _Text
    away_team: _Text
    league: _Text


class _Tick(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """The normal form, whole."""

    game_id: _Text
    bookmaker_id: _Text
    odds_type: MainType
    old_value: float
    new_value: float
    timestamp: Annotated[float, msgspec.Meta(ge=0, le=LATEST_MS)]
    market: _Market


class _Prop(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """The normal form of a player's prop."""

    game_id: _Text
    bookmaker_id: _Text
    odds_type: PropType
    old_value: float
    new_value: float
    timestamp: Annotated[float, msgspec.Meta(ge=0, le=LATEST_MS)]
    market: _Market
    player_id: _Text
    player_name: _Text
    stat_type: _Text


class Ticks(RowBatch):
    """Rows of `ticks` as msgspec gives them: columns are made of those of many messages at once."""

    __slots__ = ()

    @classmethod
    def columns(cls, items: list[Any]) -> Sequence[Values]:
        """Return the columns of `ticks`."""
        return (*_common(items), _ABSENT, _ABSENT, _ABSENT)


class Props(RowBatch):
    """The same with players."""

    __slots__ = ()

    @classmethod
    def columns(cls, items: list[Any]) -> Sequence[Values]:
        """Return the columns of `ticks`."""
        return (
            *_common(items),
            [prop.player_id for prop in items],
            [prop.player_name for prop in items],
            [prop.stat_type for prop in items],
        )


_ABSENT: Final = Same(None)


def _common(ticks: list[Any]) -> Sequence[Values]:
    markets = [tick.market for tick in ticks]
    types, leagues = TYPES, LEAGUES.values
    return (
        _ABSENT,  # the channel: JSON of this form names none
        [tick.game_id for tick in ticks],
        [tick.bookmaker_id for tick in ticks],
        [types[tick.odds_type] for tick in ticks],
        Doubles.of([tick.old_value for tick in ticks]),
        Doubles.of([tick.new_value for tick in ticks]),
        Doubles.of([tick.timestamp for tick in ticks], NS_PER_MS),
        [market.home_team for market in markets],
        [market.away_team for market in markets],
        [leagues[market.league] for market in markets],
    )


_TICK_KEYS: Final = 10
_PROP_KEYS: Final = 13
_TICK: Final = msgspec.json.Decoder(_Tick)
_TICKS: Final = msgspec.json.Decoder(list[_Tick])
_PROP: Final = msgspec.json.Decoder(_Prop)
_PROPS: Final = msgspec.json.Decoder(list[_Prop])


def quick_rows(payload: bytes) -> RowBatch | None:
    """Return the rows of `ticks` for JSON in the normal form; `None` = it is not, read it carefully."""
    several = payload.startswith(b"[")
    if not several and not payload.startswith(b"{"):
        return None
    try:
        ticks = _TICKS.decode(payload) if several else [_TICK.decode(payload)]
    except (msgspec.MsgspecError, ValueError):
        return _quick_props(payload, several=several)
    return Ticks(ticks) if _certain(payload, ticks, _TICK_KEYS) else None


def _quick_props(payload: bytes, *, several: bool) -> RowBatch | None:
    try:
        props = _PROPS.decode(payload) if several else [_PROP.decode(payload)]
    except (msgspec.MsgspecError, ValueError):
        return None
    return Props(props) if _certain(payload, props, _PROP_KEYS) else None


def _certain(payload: bytes, ticks: list[Any], keys: int) -> bool:
    """Whether no key comes twice, and all leagues are known: they stay so until the columns are made."""
    return (
        payload.count(b":") == keys * len(ticks)
        and len(ticks) <= MAX_RECORDS
        and LEAGUES.values.keys() >= {tick.market.league for tick in ticks}
    )
