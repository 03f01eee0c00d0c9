"""A football match as a process in simulated time: goals are Poisson, prices follow the score and the clock.

The expected goals that are still to come shrink with the time left; the 1x2 prices are the Poisson
probabilities of the final score with a bookmaker's margin, handicap and total follow from the same
numbers. A slow random mood moves the prices between goals, and now and then money comes in: three quick
moves in one direction, which is what the steam rules look for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from random import Random

from tes_nb.simulate.world import (
    FINISHED,
    FIRST_HALF,
    FOOTBALL_ODDS,
    FOOTBALL_SCORES,
    HALF_TIME,
    NOT_STARTED,
    SECOND_HALF,
    Change,
    Fixture,
    Price,
    Score,
)

HALF_S = 45 * 60.0
BREAK_S = 15 * 60.0
PRE_MATCH_S = 10 * 60.0
"""Prices are quoted so long before the kick-off."""
MATCH_S = 2 * HALF_S
GOALS = (1.5, 1.2)
"""Expected goals of average teams, home and away, in 90 minutes."""
PER_MATCH = {"yellow": 3.6, "red": 0.2, "corner": 10.0}
DRIFT_EVERY_S = 6.0
STEAM_EVERY_S = 900.0
REPEAT_EVERY_S = 20.0
"""A match in play is sent so often though nothing happened, as on the real feed."""
MOST_GOALS = 10
"""More goals than that in the time left are as good as impossible."""


class Football:
    """One match; `play` yields what happens, in time order."""

    def __init__(self, fixture: Fixture, rng: Random, *, kickoff: float, companies: tuple[int, ...]) -> None:
        self.now = kickoff - PRE_MATCH_S
        self._id = fixture.match_id
        self._rng = rng
        self._companies = companies
        self._kickoff = kickoff
        self._half_at: float | None = None
        self._state = NOT_STARTED
        self._goals = [0, 0]
        self._half_goals: tuple[int, int] | None = None
        self._tally = {"red": [0, 0], "yellow": [0, 0], "corner": [0, 0]}
        self._strength = [mean * math.exp(rng.gauss(0, 0.25)) for mean in GOALS]
        self._mood = 0.0
        self._last_prices: dict[int, Price] = {}

    def play(self) -> Iterator[Change]:
        """Yield the match from the first prices to the final whistle."""
        yield self._score()
        yield from self._prices()
        yield from self._until(self._kickoff, ("drift", "steam"))
        yield from self._half(FIRST_HALF)
        self._state, self._half_goals = HALF_TIME, (self._goals[0], self._goals[1])
        yield self._score()
        yield from self._until(self.now + BREAK_S, ("drift",))
        yield from self._half(SECOND_HALF)
        self._state = FINISHED
        yield self._score()

    def _half(self, state: int) -> Iterator[Change]:
        self._state, self._half_at = state, self.now
        yield self._score()
        stoppage = self._rng.uniform(30, 300)
        yield from self._until(self.now + HALF_S + stoppage, ("goal", *PER_MATCH, "drift", "steam", "again"))

    def _until(self, end: float, kinds: tuple[str, ...]) -> Iterator[Change]:
        """Let the given kinds of things happen, each a Poisson process, until `end`."""
        happen: dict[str, Callable[[], Iterator[Change]]] = {
            "goal": self._goal,
            "drift": self._drift,
            "steam": self._steam,
            "again": lambda: iter((self._score(),)),
        }
        rates = [self._rate(kind) for kind in kinds]
        while (after := self._rng.expovariate(sum(rates))) < end - self.now:
            self.now += after
            kind = self._rng.choices(kinds, rates)[0]
            yield from happen[kind]() if kind in happen else self._count(kind)
        self.now = max(self.now, end)

    def _rate(self, kind: str) -> float:
        """Events of that kind per simulated second."""
        every = {"drift": DRIFT_EVERY_S, "steam": STEAM_EVERY_S, "again": REPEAT_EVERY_S}.get(kind)
        if every is not None:
            return 1 / every
        return (sum(self._strength) if kind == "goal" else PER_MATCH[kind]) / MATCH_S

    def _goal(self) -> Iterator[Change]:
        self._goals[self._rng.choices((0, 1), self._strength)[0]] += 1
        yield self._score()
        yield from self._prices()

    def _count(self, kind: str) -> Iterator[Change]:
        self._tally[kind][self._rng.randrange(2)] += 1
        yield self._score()

    def _drift(self) -> Iterator[Change]:
        self._mood = 0.98 * self._mood + self._rng.gauss(0, 0.003)
        yield from self._prices(self._rng.choices((1, 2, 3), (0.1, 0.1, 0.8))[0])

    def _steam(self) -> Iterator[Change]:
        step = self._rng.choice((-1, 1)) * self._rng.uniform(0.05, 0.09)
        for _ in range(3):
            self._mood += step
            yield from self._prices()
            self.now += self._rng.uniform(0.2, 0.5)

    def _score(self) -> Change:
        half = self._half_goals or (None, None)
        red, yellow, corner = ((pair[0], pair[1]) for pair in self._tally.values())
        score = Score(
            match_id=self._id,
            state=self._state,
            home=self._goals[0],
            away=self._goals[1],
            half_home=half[0],
            half_away=half[1],
            red=red,
            yellow=yellow,
            corners=corner,
            kickoff_at=self._kickoff,
            half_at=self._half_at,
        )
        return Change(self.now, FOOTBALL_SCORES, score)

    def _prices(self, markets: int = 3) -> Iterator[Change]:
        """Quote every bookmaker's first `markets` markets where they differ from the last quoted ones."""
        to_come = self._to_come()
        for company in self._companies:
            price = self._quote(company, to_come, markets)
            if price != self._last_prices.get(company):
                self._last_prices[company] = price
                yield Change(self.now, FOOTBALL_ODDS.format(company=company), price)

    def _to_come(self) -> tuple[float, float]:
        """Goals still expected of home and away."""
        played = {NOT_STARTED: 0.0, HALF_TIME: HALF_S}.get(self._state)
        if played is None:
            before = HALF_S if self._state == SECOND_HALF else 0.0
            played = before + min(self.now - (self._half_at or self.now), HALF_S)
        left = max(1 - played / MATCH_S, 0.01)
        home, away = self._strength
        return home * left * math.exp(self._mood), away * left * math.exp(-self._mood)

    def _quote(self, company: int, to_come: tuple[float, float], markets: int) -> Price:
        margin = 1.04 + (company % 7) / 200
        lead = to_come[0] - to_come[1]
        handicap = _quarter(-lead)
        covered = _logistic(1.6 * (lead + handicap))
        goals, rest = sum(self._goals), sum(to_come)
        total = max(goals + _quarter(rest), goals + 0.5)
        over = 1 - math.exp(-rest) if total == goals + 0.5 else _logistic(1.2 * (goals + rest - total))
        return Price(
            match_id=self._id,
            company=company,
            handicap=handicap,
            handicap_hk=(_hong_kong(covered, margin), _hong_kong(1 - covered, margin)),
            decimal=_three_way(to_come, self._goals[0] - self._goals[1], margin),
            total=total,
            total_hk=(_hong_kong(over, margin), _hong_kong(1 - over, margin)),
            markets=markets,
        )


def outcome(to_come: tuple[float, float], lead: int) -> tuple[float, float, float]:
    """Return the probabilities of home win, draw and away win.

    `to_come` are the goals expected of both sides in the time left, `lead` is the home side's lead now.
    """
    home, away = _poisson(to_come[0]), _poisson(to_come[1])
    draw = sum(p * away[n + lead] for n, p in enumerate(home) if 0 <= n + lead < MOST_GOALS)
    win = sum(p * sum(away[: max(n + lead, 0)]) for n, p in enumerate(home))
    whole = sum(home) * sum(away)
    return win / whole, draw / whole, max(1 - (win + draw) / whole, 0.0)


def _poisson(mean: float) -> list[float]:
    share = math.exp(-mean)
    shares = []
    for n in range(MOST_GOALS):
        shares.append(share)
        share *= mean / (n + 1)
    return shares


def _three_way(to_come: tuple[float, float], lead: int, margin: float) -> tuple[float, float, float]:
    home, draw, away = outcome(to_come, lead)
    return _decimal(home, margin), _decimal(draw, margin), _decimal(away, margin)


def _decimal(probability: float, margin: float) -> float:
    return round(min(max(1 / max(probability * margin, 1e-3), 1.01), 101.0), 2)


def _hong_kong(probability: float, margin: float) -> float:
    return round(_decimal(probability, margin) - 1, 2)


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def _quarter(value: float) -> float:
    """Round to the quarter goals in which lines are quoted; never a negative zero."""
    return round(value * 4) / 4 + 0.0
