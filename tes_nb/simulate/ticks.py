"""One game as TES ticks: small moves all the time, now and then a burst of steam or one large move."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tes_nb.simulate.teams import Fixture
from tes_nb.simulate.words import TICKS, Change, Move

MOVE_EVERY_S = 4.0
GAME_S = 2.5 * 3600
BURST_SHARE = 0.004
LARGE_SHARE = 0.001
PLAYERS = (("007", "Simulated Guard", "points"), ("023", "Simulated Centre", "rebounds"))
"""Ids with leading zeros: they are text."""


class Ticks:
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
