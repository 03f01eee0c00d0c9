"""Ticks for the tests of steam, and the rules of steam once more, as plainly as they can be written."""

import math
from collections import deque

import numpy as np
import pandas as pd

SETTINGS = {
    ("WNCAAB", True): (0.03, 1500, 2),
    ("WNCAAB", False): (0.025, 2000, 2),
    ("NBA", True): (0.05, 1000, 3),
    ("NBA", False): (0.04, 1500, 2),
}
OTHER = (0.03, 1500, 2)


def tick(at_ms, old, new, **fields):
    """One tick of NBA main bets unless told otherwise."""
    basis = {"game_id": "7", "bookmaker_id": "8", "odds_type": "spread", "league": "NBA"}
    return basis | {"timestamp": at_ms, "old_value": old, "new_value": new} | fields


def frame(*ticks):
    return pd.DataFrame(list(ticks))


def plain_steam(ticks):
    """Yield (velocity, index, rule) of each row: the rules over rows in time order, per game, company and type."""
    windows = {}
    for row in ticks.itertuples():
        old, new = row.old_value, row.new_value
        velocity = (1.0 if new else 0.0) if old == 0 else abs(new - old) / abs(old)
        threshold, window_ms, moves = SETTINGS.get((row.league, row.odds_type == "player_prop"), OTHER)
        window = windows.setdefault((row.game_id, row.bookmaker_id, row.odds_type), deque())
        window.append((row.timestamp, velocity, row.volume))
        while window[0][0] <= row.timestamp - 2000:
            window.popleft()
        inside = [(v, volume) for at, v, volume in window if at > row.timestamp - window_ms]
        mean = math.fsum(v for v, _ in inside) / len(inside)
        mean_volume = math.fsum(volume for _, volume in inside) / len(inside)
        index = 0.7 * mean * 100 + 0.3 * min(mean_volume / 10000, 1) * 0.5 * 10
        enough = sum(v >= threshold for v, _ in inside) >= moves and index >= 1.5
        yield velocity, index, "LARGE_SINGLE" if velocity >= 0.1 else "MULTI_RAPID" if enough else None


def random_ticks(count, seed, keys=60, step_ms=40):
    """Ticks in time order, many of them on the edges: equal times, exact windows, round velocities, zeros."""
    rng = np.random.default_rng(seed)
    times = 1_700_000_000_000 + np.cumsum(rng.choice([0, 0, 10, 20, 50, 100, 2 * step_ms], count))
    old = rng.choice(
        [0.0, 1.0, 1.25, 1.5, 1.85, 2.0, 4.0, 10.0, -3.5], count, p=[0.02, *[0.12] * 5, 0.14, 0.12, 0.12]
    )
    change = rng.choice(
        [0, 0.025, 0.03, 0.04, 0.05, 0.1, 0.5], count, p=[0.3, 0.15, 0.15, 0.15, 0.15, 0.07, 0.03]
    )
    new = np.where(rng.random(count) < 0.6, old * (1 + change), old * (1 + rng.normal(0, 0.03, count)))
    new = np.where((old == 0) & (rng.random(count) < 0.5), 1.0, new)
    game = rng.integers(0, keys, count)
    kinds = np.array(["moneyline", "spread", "total", "player_prop"])[rng.integers(0, 4, count)]
    return pd.DataFrame(
        {
            "game_id": pd.Series(game.astype(str), dtype="str"),
            "bookmaker_id": pd.Series(np.array(["8", "nowgoal-ws"])[rng.integers(0, 2, count)], dtype="str"),
            "odds_type": pd.Categorical(kinds),
            "league": pd.Categorical(np.array(["NBA", "WNCAAB", "EuroLeague", "serie a"])[game % 4]),
            "old_value": old,
            "new_value": new,
            "timestamp": times,
            "volume": rng.choice([0.0, 100.0, 2500.5, 1e6, 1 / 3], count),
        }
    )
