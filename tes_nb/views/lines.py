"""From a frame to the lines of a picture: what is numeric, split by label, thinned out, with its unit and colour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tes_nb.errors import SessionError
from tes_nb.model import Column, Table

NUMERIC_KINDS = ("gauge", "counter")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#7F7F7F")
MAX_POINTS = 20_000
"""Points a line may have; longer ones are thinned out, each piece keeping its smallest and largest value."""


@dataclass(frozen=True, slots=True)
class PlotLine:
    """One line of a figure."""

    name: str
    unit: str
    time: np.ndarray
    """datetime64[ns], UTC."""
    values: np.ndarray
    """float64; NaN breaks the line."""


def colour(index: int) -> str:
    """Return the colour of the n-th line; they repeat after eight."""
    return COLOURS[index % len(COLOURS)]


def numeric_columns(table: Table, names: object, *, but: Sequence[str] = ()) -> list[Column]:
    """Return the columns of these names, `None` = every gauge and counter, in both cases without those in `but`.

    Raises `SessionError` naming what there is when one has no numbers.
    """
    numeric = {
        column.name: column
        for column in table.columns
        if column.kind in NUMERIC_KINDS and column.name not in but
    }
    if names is None:
        return list(numeric.values())
    chosen = names_of(names)
    for name in chosen:
        if name not in numeric:
            raise SessionError(f"'{name}' cannot be drawn; columns with numbers are {', '.join(numeric)}.")
    return [numeric[name] for name in chosen]


def plotted_columns(frame: pd.DataFrame, table: Table, names: Iterable[str] | None) -> list[Column]:
    """Return the columns to draw of a frame: those named, or the usual ones that have values."""
    columns = numeric_columns(table, names)
    if names is not None:
        return columns
    usual = [column for column in columns if not table.plot or column.name in table.plot]
    return [column for column in usual if column.name in frame and frame[column.name].notna().any()]


def names_of(chosen: object) -> list[str]:
    """Return the names that were chosen, at least one. Raises `SessionError` for what is no list of names."""
    if isinstance(chosen, str):
        return [chosen]
    names = list(chosen) if isinstance(chosen, Iterable) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise SessionError(
            f"columns must be a name or a list of names, not {chosen!r}; None draws what is usual."
        )
    return names


def lines(frame: pd.DataFrame, table: Table, columns: Iterable[Column]) -> Iterator[PlotLine]:
    """Yield a line per column, and per label where the table has a key. Counters become rates per second."""
    parts = frame.groupby(list(table.key), observed=True, sort=True) if table.key else [((), frame)]
    for label, part in parts:
        time = part.index.to_numpy(dtype="datetime64[ns]")
        for column in columns:
            values = part[column.name].to_numpy(dtype="float64", na_value=np.nan)
            unit = column.unit
            if column.kind == "counter":
                values, unit = rate(time, values), f"{column.unit or '1'}/s"
            yield PlotLine(" ".join([*map(str, label), column.name]), unit, *thin(time, values))


def rate(time: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the growth per second between points; a counter that fell was restarted: NaN there."""
    if len(values) < 2:
        return np.full(len(values), np.nan)
    seconds = np.diff(time).astype("float64") / 1e9
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = np.diff(values) / seconds
    growth[(growth < 0) | ~np.isfinite(growth)] = np.nan
    return np.concatenate([[np.nan], growth])


def thin(time: np.ndarray, values: np.ndarray, most: int = MAX_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Keep each piece's smallest and largest value, in order, so that no spike disappears."""
    if len(values) <= most:
        return time, values
    pieces = most // 2
    size = -(-len(values) // pieces)
    padded = np.full(pieces * size, np.nan)
    padded[: len(values)] = values
    grid = padded.reshape(pieces, size)
    empty = np.isnan(grid).all(axis=1)
    low = np.where(empty, 0, np.argmin(np.where(np.isnan(grid), np.inf, grid), axis=1))
    high = np.where(empty, 0, np.argmax(np.where(np.isnan(grid), -np.inf, grid), axis=1))
    base = np.arange(pieces) * size
    keep = np.unique(np.concatenate([base + low, base + high]))
    keep = keep[keep < len(values)]
    return time[keep], values[keep]
