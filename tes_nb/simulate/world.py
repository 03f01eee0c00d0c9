"""What happens on a simulated match day: immutable snapshots, each belonging to a channel and an instant.

All times are simulated seconds since the start of the match day (negative before it). Prices are as they
travel: `decimal` ones include the stake, `hk` (Hong Kong) ones do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import NamedTuple

FOOTBALL = (
    "United", "City", "Rovers", "Athletic", "Wanderers", "Albion", "Rangers", "Town",
    "Harbour", "Orient", "Villa", "County", "Forest", "Palace", "Argyle", "Thistle",
)  # fmt: skip
BASKETBALL = ("Hawks", "Bears", "Comets", "Pilots", "Wolves", "Sailors", "Miners", "Foxes", "Kings", "Otters")
FOOTBALL_LEAGUE = "Simulated League"
BASKETBALL_LEAGUES = ("NBA", "WNCAAB", "EuroLeague")
"""Real names, because the steam settings go by them; the teams carry the label."""

FIRST_MATCH = 9_000_001
FIRST_GAME = 8_000_001
FIRST_TICK_GAME = 7_000_001


class Fixture(NamedTuple):
    """One row of the roster."""

    match_id: str
    home_team: str
    away_team: str
    league: str


def _pair(names: tuple[str, ...], index: int) -> tuple[str, str]:
    home = index % len(names)
    away = (home + 1 + (index // len(names)) % (len(names) - 1)) % len(names)
    return f"Simulated {names[home]}", f"Simulated {names[away]}"


def football(index: int) -> Fixture:
    """Return the fixture of the match with that running number, counted from 0."""
    home, away = _pair(FOOTBALL, index)
    return Fixture(str(FIRST_MATCH + index), home, away, FOOTBALL_LEAGUE)


def basketball(index: int, first: int = FIRST_GAME) -> Fixture:
    """Return the fixture of the game with that running number; `first` is the id of number 0."""
    home, away = _pair(BASKETBALL, index)
    return Fixture(str(first + index), home, away, BASKETBALL_LEAGUES[index % len(BASKETBALL_LEAGUES)])


def fixture(match_id: str) -> Fixture:
    """Return who plays in a football match or a basketball game; every day of every seed has the same pairs."""
    number = int(match_id)
    return football(number - FIRST_MATCH) if number >= FIRST_MATCH else basketball(number - FIRST_GAME)


def chance(*seed: object) -> Random:
    """Return a generator that gives the same numbers for the same words and numbers, on every machine."""
    return Random("/".join(map(str, seed)))  # noqa: S311 - a simulation wants repeatable numbers, not secrets


FOOTBALL_SCORES = "change_xml"
FOOTBALL_ODDS = "ch_goal{company}_xml"
BASKETBALL_SCORES = "nba_change_xml"
BASKETBALL_ODDS = "ch_nbaGoal8_xml"
TICKS = "tes_ticks_xml"
"""TES's own ticks have no channel on NowGoal; the stand-in gives them this one."""

NOT_STARTED, FIRST_HALF, HALF_TIME, SECOND_HALF, FINISHED = 0, 1, 2, 3, -1


@dataclass(frozen=True, slots=True)
class Score:
    """A football match as `change_xml` carries it."""

    match_id: str
    state: int
    home: int
    away: int
    half_home: int | None
    """`None` before half-time."""
    half_away: int | None
    red: tuple[int, int]
    yellow: tuple[int, int]
    corners: tuple[int, int]
    kickoff_at: float
    half_at: float | None
    """Start of the current half; `None` before the first."""


@dataclass(frozen=True, slots=True)
class Price:
    """The three football markets of one bookmaker as `ch_goal8_xml` carries them."""

    match_id: str
    company: int
    handicap: float
    """The Asian line, negative where the home side is the favourite."""
    handicap_hk: tuple[float, float]
    decimal: tuple[float, float, float]
    """Home, draw, away."""
    total: float
    total_hk: tuple[float, float]
    """Over, under."""
    markets: int
    """How many of the three markets are sent (a row may stop after any of them)."""


@dataclass(frozen=True, slots=True)
class GameScore:
    """A basketball game as `nba_change_xml` carries it."""

    game_id: str
    state: int
    """The quarter, 5 and up in overtime; 0 not started, -1 finished."""
    remaining_s: int
    parts: tuple[tuple[int, int], ...]
    """Points home and away of each part begun, overtimes after the four quarters."""


@dataclass(frozen=True, slots=True)
class GamePrice:
    """The handicap of a basketball game as `ch_nbaGoal8_xml` carries it."""

    game_id: str
    line: float
    hk: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Move:
    """One TES tick: a single price moved."""

    fixture: Fixture
    odds_type: str
    """moneyline, spread, total or player_prop."""
    old: float
    new: float
    player: tuple[str, str, str] | None = None
    """Player id, name and statistic of a player prop."""


Body = Score | Price | GameScore | GamePrice | Move


class Change(NamedTuple):
    """Something that happens at a simulated instant and is sent on a channel."""

    at: float
    channel: str
    body: Body
