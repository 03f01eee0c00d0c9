"""What counts as steam, by league and kind of bet: a table that users can read and change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import pandas as pd

from tes_nb.errors import TesError

BetKind = Literal["prop", "main"]
"""prop: a bet on a player. main: everything else."""

OTHER = "other"
"""The league word for every league that has no row of its own."""
LEAGUE_WORDS = {"ncaab": "wncaab", "euro": "euroleague"}
PROPS = frozenset({"player_prop", "prop"})


@dataclass(frozen=True, slots=True)
class Setting:
    """What MULTI_RAPID asks of one league and kind."""

    threshold: float
    """A move counts from this velocity on; 0.03 = 3 %."""
    window_ms: int
    """Moves within so many milliseconds belong together; one exactly that old no longer does."""
    moves: int
    """So many moves must reach the threshold."""
    volume_weight: float = 0.5

    def __post_init__(self) -> None:
        if not (self.threshold >= 0 and self.window_ms > 0 and self.moves > 0):
            raise TesError(
                f"{self} makes no sense: the threshold is at least 0, window and moves are above 0."
            )


@dataclass(frozen=True)
class SteamSettings:
    """All settings. Immutable: `changed` and `replace` return new ones.

    >>> DEFAULTS.of("WNCAAB", "prop").window_ms
    1500
    >>> DEFAULTS.changed("nba", "main", threshold=0.05).of("NBA", "main").threshold
    0.05
    """

    rows: Mapping[tuple[str, BetKind], Setting]
    """(league in lower-case letters, kind) → setting; the league "other" is for all that have no row."""
    large: float = 0.10
    """A single move of at least this velocity is steam by itself: LARGE_SINGLE."""
    least_index: float = 1.5
    """MULTI_RAPID asks for at least this steam index."""
    _found: dict[tuple[Any, bool], Setting] = field(default_factory=dict, repr=False, compare=False)

    def of(self, league: Any, kind: BetKind) -> Setting:
        """Return the setting for a league as frames spell it (NA or unknown = other) and a kind."""
        return self.rows.get((normal_league(league), kind)) or self.rows[OTHER, kind]

    def of_tick(self, league: Any, odds_type: Any) -> Setting:
        """Return the setting for a tick's league and odds type."""
        known = (league if isinstance(league, str) else None, odds_type in PROPS)
        if known not in self._found:
            self._found[known] = self.of(league, "prop" if known[1] else "main")
        return self._found[known]

    @cached_property
    def longest_window_ms(self) -> int:
        """The longest window of all rows: nothing older is ever looked at."""
        return max(setting.window_ms for setting in self.rows.values())

    def changed(self, league: str, kind: BetKind, **changes: Any) -> SteamSettings:
        """Return settings in which one league and kind differ in the named fields of `Setting`.

        A league that had no row gets one, begun from that of `other`.
        """
        key = (normal_league(league), kind)
        return SteamSettings(
            rows={**self.rows, key: replace(self.of(league, kind), **changes)},
            large=self.large,
            least_index=self.least_index,
        )

    def table(self) -> pd.DataFrame:
        """Return the settings as a frame: one row per league and kind."""
        rows = [
            (league, kind, one.threshold, one.window_ms, one.moves, one.volume_weight)
            for (league, kind), one in self.rows.items()
        ]
        columns = ["league", "kind", "threshold", "window_ms", "moves", "volume_weight"]
        return pd.DataFrame(rows, columns=columns).set_index(["league", "kind"])


def normal_league(league: Any) -> str:
    """Return the league in lower-case letters only, synonyms as one word; "other" for what is no text."""
    if not isinstance(league, str):
        return OTHER
    letters = "".join(letter for letter in league.lower() if letter.isalpha())
    return LEAGUE_WORDS.get(letters, letters) or OTHER


DEFAULTS = SteamSettings(
    rows={
        ("wncaab", "prop"): Setting(threshold=0.03, window_ms=1500, moves=2),
        ("wncaab", "main"): Setting(threshold=0.025, window_ms=2000, moves=2),
        ("nba", "prop"): Setting(threshold=0.05, window_ms=1000, moves=3),
        ("nba", "main"): Setting(threshold=0.04, window_ms=1500, moves=2),
        (OTHER, "prop"): Setting(threshold=0.03, window_ms=1500, moves=2),
        (OTHER, "main"): Setting(threshold=0.03, window_ms=1500, moves=2),
    }
)
"""The defaults of TES."""
