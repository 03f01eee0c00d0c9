"""TES ticks in the whole normal form → rows, at nearly the price of decoding them.

An object, or an array of them, that has all fields of the normal form and no others goes this way. The types
below prove all that `json_guard` checks, but for keys that come twice. Those a count of colons rules out:
each key has one, and a colon inside a text makes the count too high. Whatever is not certain (a league that
was not met before, too) goes the careful way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from tes_nb.streams.nowgoal_reading import MAX_RECORDS
from tes_nb.streams.nowgoal_ticks import LATEST_MS, LEAGUES, NS_PER_MS, TYPES

if TYPE_CHECKING:
    from tes_nb.model import Row

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class _Market(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    home_team: _Text
    away_team: _Text
    league: _Text


class _Tick(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """The normal form, whole."""

    game_id: _Text
    bookmaker_id: _Text
    odds_type: str
    old_value: float
    new_value: float
    timestamp: Annotated[int, msgspec.Meta(ge=0, le=LATEST_MS)]
    market: _Market


class _Prop(_Tick, rename="camel", forbid_unknown_fields=True, gc=False):
    """The normal form of a player's prop."""

    player_id: _Text
    player_name: _Text
    stat_type: _Text


_TICK_KEYS: Final = 10
_PROP_KEYS: Final = 13
_TICK: Final = msgspec.json.Decoder(_Tick)
_TICKS: Final = msgspec.json.Decoder(list[_Tick])
_PROP: Final = msgspec.json.Decoder(_Prop)
_PROPS: Final = msgspec.json.Decoder(list[_Prop])
_PROP_TYPES: Final = {word: kind for word, kind in TYPES.items() if kind == "player_prop"}
_MAIN_TYPES: Final = {word: kind for word, kind in TYPES.items() if kind != "player_prop"}


def quick_rows(payload: bytes) -> list[Row] | None:
    """Return the rows of `ticks` for JSON in the normal form; `None` = it is not, read it carefully."""
    several = payload.startswith(b"[")
    if not several and not payload.startswith(b"{"):
        return None
    try:
        return _rows(_TICKS.decode(payload) if several else [_TICK.decode(payload)], payload)
    except (msgspec.MsgspecError, ValueError, KeyError):
        pass
    try:
        return _prop_rows(_PROPS.decode(payload) if several else [_PROP.decode(payload)], payload)
    except (msgspec.MsgspecError, ValueError, KeyError):
        return None


def _rows(ticks: list[_Tick], payload: bytes) -> list[Row] | None:
    if payload.count(b":") != _TICK_KEYS * len(ticks) or len(ticks) > MAX_RECORDS:
        return None
    types, leagues = _MAIN_TYPES, LEAGUES.known
    return [
        (
            None,
            tick.game_id,
            tick.bookmaker_id,
            types[tick.odds_type],
            tick.old_value,
            tick.new_value,
            tick.timestamp * NS_PER_MS,
            (market := tick.market).home_team,
            market.away_team,
            leagues[market.league],
            None,
            None,
            None,
        )
        for tick in ticks
    ]


def _prop_rows(ticks: list[_Prop], payload: bytes) -> list[Row] | None:
    if payload.count(b":") != _PROP_KEYS * len(ticks) or len(ticks) > MAX_RECORDS:
        return None
    return [
        (
            None,
            tick.game_id,
            tick.bookmaker_id,
            _PROP_TYPES[tick.odds_type],
            tick.old_value,
            tick.new_value,
            tick.timestamp * NS_PER_MS,
            tick.market.home_team,
            tick.market.away_team,
            LEAGUES.known[tick.market.league],
            tick.player_id,
            tick.player_name,
            tick.stat_type,
        )
        for tick in ticks
    ]
