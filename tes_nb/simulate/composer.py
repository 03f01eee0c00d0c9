"""Composes the messages: which shape, which spelling, which compression, all drawn from the seed.

Pure: the time and the number are arguments.
"""

from __future__ import annotations

from collections.abc import Sequence

from tes_nb.simulate import frames, records
from tes_nb.simulate.chance import chance
from tes_nb.simulate.frames import Frame
from tes_nb.simulate.junk import members
from tes_nb.simulate.options import Options
from tes_nb.simulate.records import Instant
from tes_nb.simulate.words import (
    FOOTBALL_ODDS,
    FOOTBALL_SCORES,
    TICKS,
    Body,
    Change,
    GamePrice,
    GameScore,
    Move,
    Price,
    Score,
)


class Composer:
    """Turns what happened on one channel into one message."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._rng = chance(options.seed, "frames")

    def changes(
        self, channel: str, changes: Sequence[Change], number: int, told: Instant, *, sister: bool = False
    ) -> str:
        """Return the text of the message that tells these changes; `sister` = in the sister-site form."""
        moves = [(change.at, change.body) for change in changes if isinstance(change.body, Move)]
        if moves:
            return self._ticks(moves, number, told)
        bodies = [change.body for change in changes]
        return self.standing(channel, bodies, number, told, sister=sister)

    def standing(
        self,
        channel: str,
        bodies: Sequence[Body],
        number: int,
        told: Instant,
        *,
        refresh: int = 0,
        sister: bool = False,
    ) -> str:
        """Return the text of the message that tells these snapshots; `refresh` is the flag it carries."""
        sister = channel == FOOTBALL_SCORES and (sister or self._options.sister_site)
        lines = [_record(body, told, sister=sister) for body in bodies]
        xml = frames.document(channel, lines, number, refresh)
        return frames.wrapped(channel, xml, number, self._shape(channel))

    def encode(self, text: str, *, in_members: bool = False) -> Frame:
        """Return the message as it travels; `in_members` = as 1,000 gzip members."""
        if in_members:
            return Frame(text=False, payload=members(text.encode()))
        return frames.encode(text, self._pick(self._options.compression, frames.COMPRESSIONS))

    def _ticks(self, moves: Sequence[tuple[float, Move]], number: int, told: Instant) -> str:
        """Ticks carry the time of the wall clock at which they happened, whatever the speed."""
        speed = self._options.speed
        lags = [0.0 if speed is None else (told.simulated_s - at) / speed for at, _ in moves]
        bodies = [move for _, move in moves]
        ticks = [
            records.tick(move, round((told.wall_s - lag) * 1000))
            for move, lag in zip(bodies, lags, strict=True)
        ]
        return frames.ticks_document(ticks, number, self._shape(TICKS), self._rng)

    def _shape(self, channel: str) -> str:
        """Draw a shape; the odds of another company than 8 need one that names the channel."""
        shape = self._pick(self._options.shape, frames.SHAPES)
        bare = shape in {"xml", "json"} and channel.startswith("ch_goal")
        return "envelope" if bare and channel != FOOTBALL_ODDS.format(company=8) else shape

    def _pick(self, chosen: str, among: Sequence[str]) -> str:
        return among[self._rng.randrange(len(among))] if chosen == "mixed" else chosen


def _record(body: Body, told: Instant, *, sister: bool) -> str:
    match body:
        case Score():
            return records.sister_score(body, told) if sister else records.football_score(body, told)
        case Price():
            return records.football_odds(body)
        case GameScore():
            return records.basketball_score(body)
        case GamePrice():
            return records.basketball_odds(body)
        case Move():
            raise AssertionError("ticks are no records")
