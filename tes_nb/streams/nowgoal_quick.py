"""TES ticks in the whole normal form → rows, at little more than the price of decoding them.

An object, or an array of them, that has all fields of the normal form and no others goes this way. The types
below prove all that `json_guard` checks, but for keys that come twice. Those a count of colons rules out:
each key has one, and a colon inside a text makes the count too high. Whatever is not certain (a league that
was not met before, too) goes the careful way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

import msgspec

from tes_nb.model import Batch, Doubles, Same
from tes_nb.streams.nowgoal_reading import MAX_RECORDS
from tes_nb.streams.nowgoal_ticks import LATEST_MS, LEAGUES, NS_PER_MS, TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tes_nb.model import Values

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


class Ticks(Batch):
    """Rows of `ticks` as msgspec gives them: columns are made of those of many messages at once."""

    __slots__ = ()

    @classmethod
    def columns(cls, items: list[Any]) -> Sequence[Values]:
        """Return the columns of `ticks`."""
        return (*_common(items), _ABSENT, _ABSENT, _ABSENT)


class Props(Batch):
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
    types, leagues = TYPES, LEAGUES.known
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


def quick_rows(payload: bytes) -> Batch | None:
    """Return the rows of `ticks` for JSON in the normal form; `None` = it is not, read it carefully."""
    several = payload.startswith(b"[")
    if not several and not payload.startswith(b"{"):
        return None
    try:
        ticks = _TICKS.decode(payload) if several else [_TICK.decode(payload)]
    except (msgspec.MsgspecError, ValueError):
        return _quick_props(payload, several=several)
    return Ticks(ticks) if _certain(payload, ticks, _TICK_KEYS) else None


def _quick_props(payload: bytes, *, several: bool) -> Batch | None:
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
        and LEAGUES.known.keys() >= {tick.market.league for tick in ticks}
    )
