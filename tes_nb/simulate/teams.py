"""Names that say what they are: every team is called "Simulated …"."""

from __future__ import annotations

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
