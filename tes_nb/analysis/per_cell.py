"""What a session's numbers were while each cell of the notebook ran."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tes_nb.analysis.differences import STATISTICS, measures

SUMMARY = ("median", "p95", "peak", "mean")
"""What is said of each column, beside how many values there are."""


def per_cell(cells: pd.DataFrame, rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return a row per cell, subject and column: number, wall_s, the key's columns, column, samples, and the summary.

    cells: as `s.cells()` gives them. rows: a frame of a table, whose index is the time; `.attrs["key"]` names the
    columns that tell its subjects apart. columns: of `rows`, numbers. samples: how many values there are in the time
    of the cell, both ends included; cells without any have no row. median, p95, peak and mean are in the column's
    unit. The index `time` is when the cell began.

    >>> times = pd.to_datetime([0, 1, 2, 3], unit="s", utc=True).rename("time")
    >>> rows = pd.DataFrame({"load": [1.0, 5.0, 3.0, 9.0]}, index=times)
    >>> cells = pd.DataFrame({"number": [7], "start": times[:1], "wall_s": [2.5]})
    >>> per_cell(cells, rows, ["load"])[["number", "column", "samples", "median", "peak"]].to_dict("records")
    [{'number': 7, 'column': 'load', 'samples': 3, 'median': 3.0, 'peak': 5.0}]
    """
    key = [name for name in rows.attrs.get("key", ()) if name in rows]
    lines = [line for subject, each in _subjects(rows, key) for line in _lines(cells, each, subject, columns)]
    names = ["time", "number", "wall_s", *key, "column", "samples", *SUMMARY]
    frame = pd.DataFrame(lines, columns=names)
    numbers = dict.fromkeys(("wall_s", *SUMMARY), "float64")
    texts = dict.fromkeys((*key, "column"), "str")
    frame = frame.astype({**texts, **numbers, "number": "int64", "samples": "int64"})
    frame["time"] = pd.to_datetime(frame["time"].astype("int64"), unit="ns", utc=True).astype(
        "datetime64[ns, UTC]"
    )
    return frame.sort_values(["time", "number"], kind="stable").set_index("time")


def _subjects(rows: pd.DataFrame, key: list[str]) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    if not key:
        yield (), rows
        return
    for subject, each in rows.groupby(key, observed=True, sort=True):
        yield tuple(map(str, subject if isinstance(subject, tuple) else (subject,))), each


def _lines(
    cells: pd.DataFrame, rows: pd.DataFrame, subject: tuple[Any, ...], columns: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    times = pd.DatetimeIndex(rows.index).as_unit("ns").asi8
    series = [(name, rows[name].to_numpy(dtype=np.float64, na_value=np.nan)) for name in columns]
    for cell in cells.itertuples():
        start = pd.Timestamp(cell.start).as_unit("ns").value  # type: ignore[arg-type] # a frame's own time
        seconds = float(cell.wall_s)  # type: ignore[arg-type] # a number
        low, high = (
            np.searchsorted(times, start),
            np.searchsorted(times, start + round(seconds * 1e9), "right"),
        )
        for name, numbers in series:
            values = numbers[low:high]
            values = values[~np.isnan(values)]
            if len(values):
                found = dict(zip(STATISTICS, measures(values, 1.0).tolist(), strict=True))
                summary = [found["median"], found["p95"], found["peak"], found["area"]]
                yield start, cell.number, seconds, *subject, name, len(values), *summary
