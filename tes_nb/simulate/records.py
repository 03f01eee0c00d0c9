"""From snapshots to records: the fields of NowGoal's XML and the attributes of TES's ticks, as text.

A match's own times are told as if it had always run at the speed 1, counted back from the instant of the
message: so a reader's "minute" is right at every speed, and at the speed 1 the times do not move.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from tes_nb.simulate.words import GamePrice, GameScore, Move, Price, Score

MARKET_FIELDS = (5, 9, 13)
"""Where a football odds record may stop: after the handicap, the 1x2 or the total."""
FLAGS = ("1", "0", "0", "0", "3", "3", "3", "", "", "", "")
ODDS_ID = {"handicap": 17_000_000, "1x2": 156_000_000, "total": 20_000_000}
LEAGUE_WORDS = {"NBA": "nba", "WNCAAB": "ncaab", "EuroLeague": "Euro"}
"""The leagues as peers spell them; readers bring them to one spelling."""


class Instant(NamedTuple):
    """When a record is told: the same instant on both clocks."""

    wall_s: float
    """Unix seconds."""
    simulated_s: float

    def wall(self, simulated_s: float) -> datetime:
        """Return the time of day at which something simulated happened."""
        return datetime.fromtimestamp(self.wall_s - (self.simulated_s - simulated_s), tz=UTC)


def football_score(score: Score, told: Instant) -> str:
    """Return the record of `change_xml`; a match that has not started stops after its kick-off."""
    half_at = None if score.half_at is None else told.wall(score.half_at)
    fields = [
        *_score_head(score),
        *_pair(score.yellow),
        _stamp(told.wall(score.kickoff_at)),
        "" if half_at is None else _stamp(half_at),
    ]
    if half_at is not None:
        fields += ["", "", "", "", *_pair(score.corners), "1", ""]
    return "^".join(fields)


def sister_score(score: Score, told: Instant) -> str:
    """Return the same record in the older sister-site form, whose months count from 0."""
    kickoff = told.wall(score.kickoff_at)
    half = "" if score.half_at is None else told.wall(score.half_at)
    if isinstance(half, datetime):
        parts = (half.year, half.month - 1, half.day, half.hour, half.minute, half.second)
        half = ",".join(str(part) for part in parts)
    fields = [
        *_score_head(score),
        *(f"{kickoff:%H:%M}", half, "Simulated", "1"),
        *_pair(score.yellow),
        *(f"{kickoff:%m-%d}", ""),
        *_pair(score.corners),
        "1",
    ]
    return "^".join(fields)


def _score_head(score: Score) -> list[str]:
    """Return fields 0-7, which both forms share."""
    half = ["" if goals is None else str(goals) for goals in (score.half_home, score.half_away)]
    return [score.match_id, str(score.state), str(score.home), str(score.away), *half, *_pair(score.red)]


def football_odds(price: Price) -> str:
    """Return the record of `ch_goal8_xml`."""
    number = int(price.match_id) % 1_000_000 * 100 + price.company
    fields = [
        price.match_id,
        *(str(ODDS_ID["handicap"] + number), _line(price.handicap), *_prices(price.handicap_hk)),
        *(str(ODDS_ID["1x2"] + number), *_prices(price.decimal)),
        *(str(ODDS_ID["total"] + number), _line(price.total), *_prices(price.total_hk)),
    ]
    told = fields[: MARKET_FIELDS[price.markets - 1]]
    return ",".join(told if price.markets < len(MARKET_FIELDS) else [*told, *FLAGS])


def basketball_score(score: GameScore) -> str:
    """Return the record of `nba_change_xml`."""
    quarters = [_pair(part) for part in score.parts[:4]]
    overtimes = [_pair(part) for part in score.parts[4:7]]
    home, away = (sum(part[side] for part in score.parts) for side in (0, 1))
    fields = [
        *(score.game_id, str(score.state), f"{score.remaining_s // 60:02d}:{score.remaining_s % 60:02d}"),
        *(str(home), str(away)),
        *_filled(quarters, 4),
        *(str(len(overtimes)), "Simulated", "4"),
        *_filled(overtimes, 3),
        *("", "", ""),
    ]
    return "^".join(fields)


def basketball_odds(price: GamePrice) -> str:
    """Return the record of `ch_nbaGoal8_xml`."""
    return ",".join([price.game_id, _line(price.line), *_prices(price.hk)])


def tick(move: Move, at_ms: int) -> dict[str, Any]:
    """Return a TES tick with the names of its JSON form; the league is spelled as peers spell it."""
    fixture = move.fixture
    fields: dict[str, Any] = {
        "gameId": fixture.match_id,
        "oddsType": move.odds_type,
        "oldValue": move.old,
        "newValue": move.new,
        "timestamp": at_ms,
        "market": {
            "homeTeam": fixture.home_team,
            "awayTeam": fixture.away_team,
            "league": LEAGUE_WORDS.get(fixture.league, fixture.league),
        },
    }
    if move.player is not None:
        fields |= dict(zip(("playerId", "playerName", "statType"), move.player, strict=True))
    return fields


def _pair(numbers: tuple[int, int]) -> tuple[str, str]:
    return str(numbers[0]), str(numbers[1])


def _filled(pairs: list[tuple[str, str]], count: int) -> list[str]:
    return [text for pair in pairs + [("", "")] * (count - len(pairs)) for text in pair]


def _prices(prices: tuple[float, ...]) -> list[str]:
    return [f"{price:.2f}" for price in prices]


def _line(value: float) -> str:
    return f"{value:g}"


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"
