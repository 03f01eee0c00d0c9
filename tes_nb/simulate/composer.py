"""Composes the messages: which shape, which spelling, which compression, all drawn from the seed.

Pure: the time and the number are arguments.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from tes_nb.analysis.ledger import NUMBER
from tes_nb.simulate import encoding
from tes_nb.simulate.encoding import Frame, Instant
from tes_nb.simulate.fault_runner import members
from tes_nb.simulate.options import Options
from tes_nb.simulate.world import (
    FOOTBALL_SCORES,
    TICKS,
    Body,
    Change,
    GamePrice,
    GameScore,
    Move,
    Price,
    Score,
    chance,
)

# Simulating a match day and composing its messages takes several times as long as a reader needs for them, so
# that a feed "as fast as possible" measures the stand-in. `MessageLoop` leaves the numbering, the compression and the
# framing; the content of its messages repeats itself, their times included.

REMEMBERED = 10_000
"""Matches whose kick-off is remembered, the newest."""
_PLACE = "\0"
"""Stands where the number was, for a moment: no message has it in its text."""


class Template(NamedTuple):
    """A message without its number."""

    channel: str
    pieces: tuple[str, ...]
    """The text around each place where the number stands: an envelope has it twice."""

    def text(self, number: int) -> str:
        """Return the message with that number."""
        return str(number).join(self.pieces)


class MessageLoop:
    """The first messages as they were composed, over and over (the option `reel`)."""

    def __init__(self, size: int) -> None:
        """`size` is in messages; 0 = it takes none and never repeats."""
        self._size = size
        self._templates: list[Template] = []

    @property
    def full(self) -> bool:
        """Whether it can repeat them."""
        return len(self._templates) == self._size > 0

    def append(self, channel: str, text: str, number: int) -> None:
        """Keep a composed message, if there is room."""
        if len(self._templates) < self._size:
            marked = re.sub(rf"({NUMBER}\W{{1,6}}){number}\b", rf"\g<1>{_PLACE}", text)
            self._templates.append(Template(channel, tuple(marked.split(_PLACE))))

    def repeat(self) -> Iterator[Template]:
        """Yield its messages, again and again."""
        return itertools.cycle(self._templates)


class Composer:
    """Turns what happened on one channel into one message."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._rng = chance(options.seed, "frames")
        self._kick_offs: dict[str, datetime] = {}
        """Match → its kick-off, as its first message had it."""

    def changes(
        self, channel: str, changes: Sequence[Change], number: int, instant: Instant, *, sister: bool = False
    ) -> str:
        """Return the text of the message with these changes; `sister` = in the sister-site form."""
        moves = [(change.at, change.body) for change in changes if isinstance(change.body, Move)]
        if moves:
            return self._ticks(moves, number, instant)
        bodies = [change.body for change in changes]
        return self.standing(channel, bodies, number, instant, sister=sister)

    def standing(
        self,
        channel: str,
        bodies: Sequence[Body],
        number: int,
        instant: Instant,
        *,
        refresh: int = 0,
        sister: bool = False,
    ) -> str:
        """Return the text of the message with these snapshots; `refresh` is the flag it carries."""
        sister = channel == FOOTBALL_SCORES and (sister or self._options.sister_site)
        lines = [self._record(body, instant, sister=sister) for body in bodies]
        xml = encoding.document(channel, lines, number, refresh)
        return encoding.wrapped(channel, xml, number, self._shape(channel))

    def encode(self, text: str, *, in_members: bool = False) -> Frame:
        """Return the message as it travels; `in_members` = as 1,000 gzip members."""
        if in_members:
            return Frame(text=False, payload=members(text.encode()))
        return encoding.encode(text, self._pick(self._options.compression, encoding.COMPRESSIONS))

    def _ticks(self, moves: Sequence[tuple[float, Move]], number: int, instant: Instant) -> str:
        """Ticks carry the time of the wall clock at which they happened, whatever the speed."""
        speed = self._options.speed
        lags = [0.0 if speed is None else (instant.simulated_s - at) / speed for at, _ in moves]
        bodies = [move for _, move in moves]
        ticks = [
            encoding.tick(move, round((instant.wall_s - lag) * 1000))
            for move, lag in zip(bodies, lags, strict=True)
        ]
        return encoding.ticks_document(ticks, number, self._shape(TICKS), self._rng)

    def _record(self, body: Body, instant: Instant, *, sister: bool) -> str:
        match body:
            case Score():
                record = encoding.sister_score if sister else encoding.football_score
                return record(body, instant, self._kick_off(body, instant))
            case Price():
                return encoding.football_odds(body)
            case GameScore():
                return encoding.basketball_score(body)
            case GamePrice():
                return encoding.basketball_odds(body)
            case Move():
                raise AssertionError("ticks are no records")

    def _kick_off(self, score: Score, instant: Instant) -> datetime:
        """Return what the first message of the match said: a kick-off is one time in all of them."""
        kick_off = self._kick_offs.get(score.match_id)
        if kick_off is None:
            if len(self._kick_offs) >= REMEMBERED:
                del self._kick_offs[next(iter(self._kick_offs))]
            kick_off = instant.kick_off(score.kickoff_at, self._options.speed)
            self._kick_offs[score.match_id] = kick_off
        return kick_off

    def _shape(self, channel: str) -> str:
        """Draw a shape; the odds of several companies need one that names the channel."""
        shape = self._pick(self._options.shape, encoding.SHAPES)
        bare = shape in {"xml", "json"} and channel.startswith("ch_goal")
        return "envelope" if bare and self._options.companies != (8,) else shape

    def _pick(self, chosen: str, among: Sequence[str]) -> str:
        return among[self._rng.randrange(len(among))] if chosen == "mixed" else chosen
