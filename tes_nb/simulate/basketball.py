"""A basketball game as a process in simulated time: baskets are Poisson, the handicap follows the score."""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random

from tes_nb.simulate.world import (
    BASKETBALL_ODDS,
    BASKETBALL_SCORES,
    FINISHED,
    NOT_STARTED,
    TICKS,
    Change,
    Fixture,
    GamePrice,
    GameScore,
    Move,
)

MOVE_EVERY_S = 4.0
GAME_S = 2.5 * 3600
BURST_SHARE = 0.004
LARGE_SHARE = 0.001
PLAYERS = (("007", "Simulated Guard", "points"), ("023", "Simulated Centre", "rebounds"))
"""Ids with leading zeros: they are text."""


class TickGame:
    """One game's ticks; `play` yields them in time order."""

    def __init__(self, fixture: Fixture, rng: Random, *, start: float) -> None:
        self.now = start
        self._fixture = fixture
        self._rng = rng
        self._end = start + GAME_S
        self._prices: dict[tuple[str, int], float] = {
            ("moneyline", -1): rng.uniform(1.5, 2.8),
            ("spread", -1): 1.91,
            ("total", -1): 1.91,
            ("player_prop", 0): 1.87,
            ("player_prop", 1): 1.87,
        }
        self._kinds = tuple(self._prices)

    def play(self) -> Iterator[Change]:
        """Yield the ticks of the whole game."""
        while (after := self._rng.expovariate(1 / MOVE_EVERY_S)) < self._end - self.now:
            self.now += after
            kind = self._kinds[self._rng.randrange(len(self._kinds))]
            dice = self._rng.random()
            if dice < BURST_SHARE:
                yield from self._burst(kind)
            elif dice < BURST_SHARE + LARGE_SHARE:
                yield from self._move(kind, self._rng.choice((-1, 1)) * self._rng.uniform(0.12, 0.2))
            else:
                yield from self._move(kind, self._rng.gauss(0, 0.004))
        self.now = self._end

    def _burst(self, kind: tuple[str, int]) -> Iterator[Change]:
        direction = self._rng.choice((-1, 1))
        for _ in range(4):
            yield from self._move(kind, direction * self._rng.uniform(0.055, 0.08))
            self.now += self._rng.uniform(0.1, 0.25)

    def _move(self, kind: tuple[str, int], share: float) -> Iterator[Change]:
        old = round(self._prices[kind], 3)
        if not 1.05 < old * (1 + share) < 20:
            share = -share
        new = round(old * (1 + share), 3)
        self._prices[kind] = new
        player = None if kind[1] < 0 else PLAYERS[kind[1]]
        if new != old:
            yield Change(self.now, TICKS, Move(self._fixture, kind[0], old, new, player))


QUARTER_S = 12 * 60.0
OVERTIME_S = 5 * 60.0
BREAK_S = 2 * 60.0
HALF_TIME_S = 15 * 60.0
PRE_GAME_S = 5 * 60.0
BASKET_EVERY_S = 26.0
DRIFT_EVERY_S = 8.0
QUARTERS = 4
MOST_PARTS = 7
"""Four quarters and the three overtimes for which the wire has room; a tie then stays one."""


class Basketball:
    """One game; `play` yields what happens, in time order."""

    def __init__(self, fixture: Fixture, rng: Random, *, tip_off: float) -> None:
        self.now = tip_off - PRE_GAME_S
        self._id = fixture.match_id
        self._rng = rng
        self._tip_off = tip_off
        self._edge = rng.gauss(0, 0.04)
        """How much likelier than one half the home side scores the next basket."""
        self._mood = 0.0
        self._parts: list[list[int]] = []
        self._part_ends = tip_off + QUARTER_S
        self._last_price: GamePrice | None = None

    def play(self) -> Iterator[Change]:
        """Yield the game from the first price to the final buzzer."""
        yield self._score(NOT_STARTED)
        yield from self._price()
        self.now = self._tip_off
        while len(self._parts) < QUARTERS or (self._lead() == 0 and len(self._parts) < MOST_PARTS):
            yield from self._part()
        yield self._score(FINISHED)

    def _part(self) -> Iterator[Change]:
        length = QUARTER_S if len(self._parts) < QUARTERS else OVERTIME_S
        self._parts.append([0, 0])
        self._part_ends = self.now + length
        yield self._score(len(self._parts))
        rates = (1 / BASKET_EVERY_S, 1 / DRIFT_EVERY_S)
        while (after := self._rng.expovariate(sum(rates))) < self._part_ends - self.now:
            self.now += after
            yield from self._rng.choices((self._basket, self._drift), rates)[0]()
        self.now = self._part_ends
        yield self._score(len(self._parts))
        self.now += HALF_TIME_S if len(self._parts) == QUARTERS // 2 else BREAK_S

    def _basket(self) -> Iterator[Change]:
        side = 0 if self._rng.random() < 0.5 + self._edge else 1
        self._parts[-1][side] += self._rng.choices((1, 2, 3), (0.25, 0.5, 0.25))[0]
        yield self._score(len(self._parts))
        yield from self._price()

    def _drift(self) -> Iterator[Change]:
        self._mood = 0.95 * self._mood + self._rng.gauss(0, 0.02)
        yield from self._price()

    def _lead(self) -> int:
        return sum(home - away for home, away in self._parts)

    def _score(self, state: int) -> Change:
        ends = self._part_ends if state != FINISHED else self.now
        remaining = QUARTER_S if state == NOT_STARTED else max(ends - self.now, 0)
        parts = tuple((home, away) for home, away in self._parts)
        return Change(self.now, BASKETBALL_SCORES, GameScore(self._id, state, round(remaining), parts))

    def _price(self) -> Iterator[Change]:
        left = max(QUARTERS - len(self._parts), 0) * QUARTER_S + max(self._part_ends - self.now, 0)
        margin = self._lead() + 4 * self._edge * left / BASKET_EVERY_S
        line = round(-margin - 0.5) + 0.5
        covered = 1 / (1 + math.exp(-0.15 * (margin + line) - self._mood))
        price = GamePrice(self._id, line, (_hong_kong(covered), _hong_kong(1 - covered)))
        if price != self._last_price:
            self._last_price = price
            yield Change(self.now, BASKETBALL_ODDS, price)


def _hong_kong(probability: float) -> float:
    return round(1 / (probability * 1.05) - 1, 2)
