"""Steam: rapid moves of a price, in a frame of ticks (`detect`) or tick by tick (`SteamDetector`).

Ticks are judged per key (`KEY`, and `FINER_KEY` where a frame has those columns) in time order:

- LARGE_SINGLE: velocity of at least 10 %;
- MULTI_RAPID: among the key's ticks with a timestamp above now - window, this one included, at least the set
  number have a velocity of at least the threshold, and the steam index is at least 1.5.

The thresholds are in `DEFAULTS.table()`; the arithmetic is in `steam_rules`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tes_nb.analysis import steam_rules as rules
from tes_nb.analysis.odds import Gaps, ticks_from_odds
from tes_nb.analysis.steam_detector import SteamDetector, TickVerdict
from tes_nb.analysis.steam_rules import (
    DEFAULTS,
    LARGE_SINGLE,
    MULTI_RAPID,
    Bools,
    Floats,
    Ints,
    Setting,
    SteamSettings,
)
from tes_nb.errors import TesError

__all__ = [
    "DEFAULTS",
    "FINER_KEY",
    "KEY",
    "Setting",
    "SteamDetector",
    "SteamSettings",
    "TickVerdict",
    "detect",
    "detect_all",
]

KEY = ("game_id", "bookmaker_id", "odds_type")
FINER_KEY = ("market", "side", "line")
"""Columns that only derived ticks have; where a frame has them they belong to the key, NA being a value."""
REQUIRED = ("game_id", "odds_type", "old_value", "new_value", "timestamp")
LARGEST_KEY = 1 << 62
"""Combined keys are numbered anew before they might leave 64 bits."""
RULES = pd.Index([LARGE_SINGLE, MULTI_RAPID])


def detect(ticks: pd.DataFrame, settings: SteamSettings = DEFAULTS) -> pd.DataFrame:
    """Return the ticks with `velocity`, `steam_index`, `rule`, `steam`, in the order and index of the input.

    `ticks` has the columns of the table ticks; `timestamp` is a time (UTC) or Unix milliseconds, `volume` and
    `league` are optional. Ticks may be in any order: each is judged by those before it in time, those of the
    same time in the order of the frame. `rule` is NA where there is no steam. A tick without a price or a time has no
    index and is in no window; one without a game or an odds type is judged alone.

    Raises `TesError` when a column is missing.

    >>> ticks = pd.DataFrame({
    ...     "game_id": "7", "bookmaker_id": "8", "odds_type": "spread", "league": "NBA",
    ...     "timestamp": [0, 400, 900], "old_value": [1.90, 1.99, 2.08], "new_value": [1.99, 2.08, 2.09],
    ... })
    >>> detect(ticks)[["velocity", "steam_index", "rule", "steam"]].round(3)
       velocity  steam_index         rule  steam
    0     0.047        3.316          NaN  False
    1     0.045        3.241  MULTI_RAPID   True
    2     0.005        2.273  MULTI_RAPID   True
    """
    missing = [name for name in REQUIRED if name not in ticks.columns]
    if missing:
        raise TesError(
            f"Steam needs the columns {', '.join(REQUIRED)}; the frame lacks {', '.join(missing)}."
        )
    velocity = rules.velocities(rules.numbers(ticks["old_value"]), rules.numbers(ticks["new_value"]))
    times, timed = rules.unix_ns_of(ticks["timestamp"])
    judged = np.flatnonzero(timed & ~np.isnan(velocity))
    keys = _keys(ticks)
    order = judged[_time_order(keys[judged], times[judged])]
    indices, rapid = _windows(ticks, settings, order, velocity=velocity, keys=keys, times=times)
    large = velocity >= settings.large
    codes = np.where(large, 0, np.where(rapid, 1, -1)).astype(np.int8)
    result = ticks.copy(deep=False)
    result["velocity"] = velocity
    result["steam_index"] = indices
    result["rule"] = pd.Categorical.from_codes(codes, categories=RULES)
    result["steam"] = large | rapid
    return result


def detect_all(
    ticks: pd.DataFrame | None,
    odds: pd.DataFrame | None,
    *,
    gaps: Gaps = None,
    scores: pd.DataFrame | None = None,
    settings: SteamSettings = DEFAULTS,
) -> pd.DataFrame:
    """Return `detect` of the ticks as received and of those derived from odds, in time order.

    `None` = there are none. `gaps` are those of the feed, `scores` its table; no tick is derived across a gap
    or a refresh.
    """
    derived = None if odds is None else ticks_from_odds(odds, gaps, scores)
    both = [frame for frame in (ticks, derived) if frame is not None and len(frame)]
    if not both:
        frames = [frame for frame in (ticks, derived) if frame is not None]
        both = frames[-1:] or [pd.DataFrame({name: pd.Series(dtype="object") for name in REQUIRED})]
    return detect(pd.concat(both).sort_index(kind="stable"), settings)


def _windows(
    ticks: pd.DataFrame, settings: SteamSettings, order: Ints, *, velocity: Floats, keys: Ints, times: Ints
) -> tuple[Floats, Bools]:
    """Return the steam index of each tick and whether MULTI_RAPID holds; `order` sorts by key and time."""
    which, distinct = _settings_of(ticks, settings)
    which, velocity = which[order], velocity[order]
    window_ns = np.array([one.window_ms * rules.NS_PER_MS for one in distinct], dtype=np.int64)
    low = _bounds(keys[order], times[order], window_ns[which])
    high = np.arange(1, len(order) + 1)
    mean = window_sums(velocity, low, high) / (high - low)
    share: Any = 0.0
    if "volume" in ticks.columns:
        volume = window_sums(rules.volumes(ticks["volume"])[order], low, high)
        share = np.minimum(volume / (high - low) / rules.FULL_VOLUME, 1.0)
    weight = np.array([one.volume_weight for one in distinct])[which]
    index = rules.index(mean, share, weight)
    moves = np.array([one.moves for one in distinct], dtype=np.int64)[which]
    reached = _reached(velocity, low, which, distinct)
    indices, rapid = np.full(len(ticks), np.nan), np.zeros(len(ticks), dtype=np.bool_)
    indices[order] = index
    rapid[order] = rules.is_rapid(index, reached, moves, settings.least_index)
    return indices, rapid


def window_sums(values: Floats, low: Ints, high: Ints) -> Floats:
    """Return the sum of `values[low[i]:high[i]]` for each i; the values are not negative.

    A window is put together from spans of 1, 2, 4, … values, as the binary digits of its length say. Differences
    of one running sum would be fewer additions, but a small window behind large values would be lost in their
    rounding, and one value of 1e300 would spoil all that follow.
    """
    sums = np.zeros(len(low))
    at, lengths = low.copy(), high - low
    longest = lengths.max(initial=0)
    spans, span = values, 1
    while span <= longest:
        concerned = np.flatnonzero(lengths & span)
        sums[concerned] += spans[at[concerned]]
        at[concerned] += span
        spans = spans[:-span] + spans[span:]
        span *= 2
    return sums


def _bounds(keys: Ints, times: Ints, window_ns: Ints) -> Ints:
    """Return where the window of each tick begins, in ticks sorted by key and time."""
    longest = window_ns.max(initial=0)
    # Steps longer than the longest window, and those to the next key, are all cut to one: differences within
    # a window stay exact, everything else is at least a window away, and one search serves all keys.
    steps = np.minimum(np.diff(times, prepend=times[:1]), longest)
    steps[np.flatnonzero(np.diff(keys, prepend=keys[:1]))] = longest
    clock = np.cumsum(steps)
    return np.searchsorted(clock, clock - window_ns, side="right").astype(np.int64)


def _reached(velocity: Floats, low: Ints, which: Ints, distinct: list[Setting]) -> Ints:
    """Return for each tick how many moves in its window reach its own threshold."""
    reached = np.zeros(len(velocity), dtype=np.int64)
    running = np.zeros(len(velocity) + 1, dtype=np.int64)
    for threshold in {one.threshold for one in distinct}:
        np.cumsum(velocity >= threshold, out=running[1:])
        concerned = np.array([one.threshold == threshold for one in distinct])
        own = np.flatnonzero(concerned[which])
        reached[own] = running[own + 1] - running[low[own]]
    return reached


def _time_order(keys: Ints, times: Ints) -> Ints:
    """Return the stable order by key, then time."""
    if len(times) and (times[1:] >= times[:-1]).all():
        small = keys.astype(np.uint16) if keys.max() < 1 << 16 else keys
        return np.argsort(small, kind="stable")
    return np.lexsort((times, keys))


def _keys(ticks: pd.DataFrame) -> Ints:
    """Return a number for each tick, equal where the key is."""
    keys = np.zeros(len(ticks), dtype=np.int64)
    alone = np.zeros(len(ticks), dtype=np.bool_)
    size = 1
    for name in (*KEY, *FINER_KEY):
        if name not in ticks.columns:
            continue
        codes, count = _codes(ticks[name], rules.DEFAULT_BOOKMAKER if name == "bookmaker_id" else None)
        if name in KEY:
            alone |= codes < 0
        if size * (count + 1) > LARGEST_KEY:
            keys, values = pd.factorize(keys)
            size = len(values)
        keys = keys * (count + 1) + (codes + 1)
        size *= count + 1
    keys = pd.factorize(keys)[0]
    unknown = np.flatnonzero(alone)
    keys[unknown] = len(ticks) + np.arange(len(unknown))
    return keys


def _codes(cells: pd.Series, default: str | None) -> tuple[Ints, int]:
    """Return a number from 0 for each cell, -1 for NA, and how many there are; `default` stands for NA."""
    if default is not None and cells.isna().any():
        cells = cells.astype(object).fillna(default)
    if isinstance(cells.dtype, pd.CategoricalDtype):
        return cells.cat.codes.to_numpy().astype(np.int64), len(cells.cat.categories)
    codes, values = pd.factorize(cells)
    return codes.astype(np.int64), len(values)


def _settings_of(ticks: pd.DataFrame, settings: SteamSettings) -> tuple[Ints, list[Setting]]:
    """Return the number of each tick's setting, and the settings by number."""
    kinds, kind_count = _codes(ticks["odds_type"], None)
    pairs = kinds + 1
    leagues: Any = None
    if "league" in ticks.columns:
        leagues, _ = _codes(ticks["league"], None)
        pairs = pairs + (leagues + 1) * (kind_count + 1)
    numbers, _ = pd.factorize(pairs)
    first = np.flatnonzero(~pd.Series(numbers).duplicated().to_numpy())
    league_cells = None if leagues is None else ticks["league"]
    chosen = [
        settings.of_tick(None if league_cells is None else league_cells.iloc[at], ticks["odds_type"].iloc[at])
        for at in first
    ]
    distinct = list(dict.fromkeys(chosen))
    table = np.array([distinct.index(setting) for setting in chosen], dtype=np.int64)
    return table[numbers], distinct
