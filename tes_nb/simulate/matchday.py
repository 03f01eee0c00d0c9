"""The match day: football, basketball and ticks side by side, one match after the other, without end.

Pure simulation: a seed and a set of options give the same changes every time; no clock is read.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count
from operator import attrgetter

from tes_nb.simulate import world
from tes_nb.simulate.basketball import Basketball, TickGame
from tes_nb.simulate.football import Football
from tes_nb.simulate.options import Options
from tes_nb.simulate.world import Body, Change, Fixture, GamePrice, GameScore, Move, Price, Score, chance

LEAD_IN_S = 95 * 60.0
"""Matches have been starting for so long when the day begins, so that every phase of a match is on show."""
PAUSE_S = 5 * 60.0
REMEMBERED = 1000
"""So many matches, beyond those that can be on at a time, stay in the roster; older ones are forgotten."""


class MatchDay:
    """What happens, in time order, and how things stand."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._scores: dict[tuple[str, str], Body] = {}
        self._roster: dict[str, Fixture] = {}
        self._changes = heapq.merge(*self._pitches(), key=attrgetter("at"))
        self._next = self._skip_lead_in()

    def until(self, at: float) -> list[Change]:
        """Return what happens up to and including the instant `at` (simulated seconds), and remember it."""
        changes = []
        while self._next is not None and self._next.at <= at:
            self._remember(self._next)
            changes.append(self._next)
            self._next = next(self._changes, None)
        return changes

    @property
    def next_at(self) -> float | None:
        """When the next change happens; `None` = never (no matches and no games were asked for)."""
        return None if self._next is None else self._next.at

    def standing(self, channel: str) -> list[Body]:
        """Return the latest snapshot of each match or game on `channel`, oldest match first."""
        return [body for (on_channel, _), body in self._scores.items() if on_channel == channel]

    def roster(self) -> list[Fixture]:
        """Return the fixtures of every match and game that was sent so far."""
        return list(self._roster.values())

    def _skip_lead_in(self) -> Change | None:
        for change in self._changes:
            if change.at > 0:
                return change
            self._remember(change)
        return None

    def _remember(self, change: Change) -> None:
        subject = _subject(change.body)
        self._scores[change.channel, subject] = change.body
        if subject not in self._roster:
            fixture = change.body.fixture if isinstance(change.body, Move) else world.fixture(subject)
            self._roster[subject] = fixture
            self._forget()

    def _forget(self) -> None:
        """Drop the oldest matches, which are over, so that an endless day does not fill the memory."""
        limit = REMEMBERED + self._options.matches + 2 * self._options.games
        while len(self._roster) > limit:
            oldest = next(iter(self._roster))
            del self._roster[oldest]
            for key in [key for key in self._scores if key[1] == oldest]:
                del self._scores[key]

    def _pitches(self) -> list[Iterator[Change]]:
        options = self._options
        football = [self._football(slot) for slot in range(options.matches)]
        basketball = [self._basketball(slot) for slot in range(options.games)]
        return football + basketball + [self._ticks(slot) for slot in range(options.games)]

    def _football(self, slot: int) -> Iterator[Change]:
        begin = chance(self._options.seed, "football", slot).uniform(-LEAD_IN_S, 0)
        for index in count(slot, self._options.matches):
            match = Football(
                world.football(index),
                chance(self._options.seed, "football match", index),
                kickoff=begin,
                companies=self._options.companies,
            )
            yield from match.play()
            begin = match.now + 3 * PAUSE_S

    def _basketball(self, slot: int) -> Iterator[Change]:
        begin = chance(self._options.seed, "basketball", slot).uniform(-LEAD_IN_S, 0)
        for index in count(slot, self._options.games):
            rng = chance(self._options.seed, "basketball game", index)
            game = Basketball(world.basketball(index), rng, tip_off=begin)
            yield from game.play()
            begin = game.now + 2 * PAUSE_S

    def _ticks(self, slot: int) -> Iterator[Change]:
        begin = 0.0
        for index in count(slot, self._options.games):
            rng = chance(self._options.seed, "ticks", index)
            ticks = TickGame(world.basketball(index, world.FIRST_TICK_GAME), rng, start=begin)
            yield from ticks.play()
            begin = ticks.now


def _subject(body: Body) -> str:
    """Return the id of a snapshot's match or game."""
    match body:
        case Score() | Price():
            return body.match_id
        case GameScore() | GamePrice():
            return body.game_id
        case Move():
            return body.fixture.match_id
