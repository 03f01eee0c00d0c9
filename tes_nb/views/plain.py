"""Cells of a table as JSON that a browser reads: absent is null, times are Unix seconds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

MAX_TEXT = 1_000
"""Characters of a text that travel; a longer one ends in an ellipsis and its length."""


def plain_rows(columns: Mapping[str, npt.NDArray[Any]], names: Sequence[str]) -> list[list[Any]]:
    """Return the rows, values in the order of `names`. columns: as `Columns.since` gives them."""
    plain = [_plain_column(columns[name]) for name in names]
    return [list(row) for row in zip(*plain, strict=True)]


def _plain_column(cells: npt.NDArray[Any]) -> list[Any]:
    if cells.dtype.kind == "M":
        times: list[Any] = (cells.astype("M8[ns]").astype(np.int64) / 1e9).tolist()
        return [
            None if absent else time for time, absent in zip(times, np.isnat(cells).tolist(), strict=True)
        ]
    if cells.dtype.kind == "f":
        return [_plain_float(value) for value in cells.tolist()]
    if cells.dtype.kind == "O":
        return [None if value is None else shortened(str(value)) for value in cells.tolist()]
    others: list[Any] = cells.tolist()
    return others


def _plain_float(value: float) -> float | str | None:
    """JSON knows no infinities; whole numbers stay as they are, a browser shows 5.0 as 5."""
    if math.isfinite(value):
        return value
    return None if math.isnan(value) else ("∞" if value > 0 else "-∞")


def shortened(text: str, most: int = MAX_TEXT) -> str:
    """Return at most about `most` characters, with the length where some are left out."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def column_specs(columns: Sequence[Any]) -> list[dict[str, str]]:
    """Return `Column`s as the browser takes them."""
    return [
        {"name": one.name, "dtype": one.dtype, "unit": one.unit, "kind": one.kind, "doc": one.doc}
        for one in columns
    ]
