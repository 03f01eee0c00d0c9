"""From a frame to the lines of a picture: what is numeric, split by label, thinned out, with its unit and colour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tes_nb.errors import SessionError, meant
from tes_nb.model import Column, Table
from tes_nb.views.subjects import LABEL_BETWEEN, Subjects, base_name, colour_places, line_title

MIB = "MiB"
"""Streams have sizes in it, views read MB in all cases (10⁶ bytes)."""

NUMERIC_KINDS = ("gauge", "counter")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#7F7F7F")
MAX_POINTS = 20_000
"""Points a line may have; longer ones are thinned out, each piece keeping its smallest and largest value."""


DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True, slots=True)
class PlotLine:
    """One line of a figure."""

    name: str
    """Exact: whom it is about, and the column's name."""
    unit: str
    time: np.ndarray
    """datetime64[ns], UTC."""
    values: np.ndarray
    """float64; NaN breaks the line."""
    title: str = ""
    """What people call it."""
    panel: str = ""
    """What its panel is called; lines of one panel and unit share it. "" = the names of its lines."""
    measured: bool = False
    """Whether the column says what it measures, so that its panel has a name."""
    colour: int = 0
    """The number of its colour."""
    dash: int = 0
    """The number of its dash."""


def colour(index: int) -> str:
    """Return the colour of that number; they repeat after eight."""
    return COLOURS[index % len(COLOURS)]


def dash(line: PlotLine) -> str:
    """Return how a line is dashed: the ninth colour is the first one, dashed, as in live charts."""
    return DASHES[(line.dash + line.colour // len(COLOURS)) % len(DASHES)]


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
            raise SessionError(
                f"'{name}' cannot be drawn; columns with numbers are {', '.join(numeric)}.{meant(name, numeric)}"
            )
    return [numeric[name] for name in chosen]


def plotted_columns(frame: pd.DataFrame, table: Table, names: Iterable[str] | None) -> list[Column]:
    """Return the columns to draw of a frame: those named, or the usual ones that have values."""
    columns = numeric_columns(table, names)
    if names is not None:
        return columns
    by_name = {column.name: column for column in columns}
    usual = [by_name[name] for name in table.plot if name in by_name] if table.plot else columns
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
    """Yield a line per column, and per subject where the table has a key. Counters become rates per second.

    Names, panels and colours are those of a live chart (docs/decisions/0028).
    """
    chosen, subjects = list(columns), Subjects(table)
    by = [name for name in subjects.by if name in frame]
    parts = list(frame.groupby(by, observed=True, sort=True) if by else [((), frame)])
    firsts = [_first(part, subjects.names) for _, part in parts]
    described = subjects.describe(firsts) if by else [{"label": "", "subject": "", "part": "", "unit": None}]
    names = list(dict.fromkeys(one["subject"] for one in described))
    places = colour_places(table)
    for one, (_, part) in zip(described, parts, strict=True):
        time = part.index.to_numpy(dtype="datetime64[ns]")
        for column in chosen:
            values = part[column.name].to_numpy(dtype="float64", na_value=np.nan)
            unit = column.unit if one["unit"] is None else one["unit"]
            if one["unit"] is None and unit.startswith(MIB):  # sizes read MB in all views
                values, unit = values * 2**20, unit.replace(MIB, "bytes")
            if column.kind == "counter":
                values, unit = rate(time, values), f"{unit or '1'}/s"
            alone = len({other.name for other in chosen if other.quantity == column.quantity}) == 1
            part_of = one["part"] or (
                base_name(one["subject"]) if one["unit"] is not None and not unit else ""
            )
            panel = ", ".join(filter(None, (column.quantity, part_of)))
            look = (
                (names.index(one["subject"]), chosen.index(column) if len(chosen) > 1 else 0)
                if len(names) > 1
                else (places.get(column.name, 0), 0)
            )
            yield PlotLine(
                " ".join(filter(None, (one["label"].replace(LABEL_BETWEEN, " "), column.name))),
                unit,
                *thin(time, values),
                line_title(one["subject"], column, alone=alone),
                panel,
                bool(column.quantity),
                *look,
            )


def _first(part: pd.DataFrame, names: Sequence[str]) -> dict[str, object]:
    """The first row of a part, as far as people know a subject by it."""
    row = part.iloc[0] if len(part) else None
    return {name: None if row is None or pd.isna(row[name]) else row[name] for name in names}


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
