"""How things stood at a moment: the newest row of each key, and nothing from before a gap."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tes_nb.errors import ArgumentError
from tes_nb.model import Table
from tes_nb.store.memory.timespec import instant_ns
from tes_nb.wire.events import Gap, Mark

CELL = re.compile(r"\s*(?:cell\s*|in\s*\[)(\d+)\]?\s*", re.IGNORECASE)


def moment_ns(value: Any, marks: Iterable[Mark], cells: pd.DataFrame | None) -> int:
    """Return a moment in Unix ns: of a time, a mark by its name, or the end of a cell ("cell 12", or its row).

    cells: as `s.cells()` gives them; `None` = none were measured. Raises `ArgumentError` for what is none of these,
    and for a name that several marks have.
    """
    if isinstance(value, pd.Series) and {"start", "wall_s"} <= set(value.index):
        return _end_of(value)
    if not isinstance(value, str):
        return instant_ns(value, name="t")
    named = sorted({mark.at_ns for mark in marks if mark.label == value})
    if len(named) > 1:
        times = ", ".join(str(pd.Timestamp(at_ns, unit="ns", tz="UTC")) for at_ns in named[:5])
        raise ArgumentError(f"There are {len(named)} marks '{value}': give the time of one ({times}).")
    if named:
        return named[0]
    number = CELL.fullmatch(value)
    if number is None:
        return instant_ns(value, name="t")
    rows = None if cells is None else cells[cells["number"] == int(number[1])]
    if rows is None or rows.empty:
        raise ArgumentError(
            f"No cell with the number {number[1]} was measured: s.cells() lists those that were."
        )
    return _end_of(rows.iloc[-1])


def _end_of(cell: pd.Series) -> int:
    end: int = (cell["start"] + pd.Timedelta(cell["wall_s"], unit="s")).as_unit("ns").value
    return end


def newest_rows(
    rows: pd.DataFrame,
    table: Table,
    at_ns: int,
    gaps: Iterable[Gap],
    *,
    across_gaps: bool = False,
    newest_seq: int | None = None,
) -> pd.DataFrame:
    """Return the newest row of each key; `rows` are those up to `at_ns`, in the order of time.

    Rows from before the last gap that had begun by then are left out unless `across_gaps`: it is not known whether they
    still held. Where each message lists every subject, those of the newest message alone are given; `newest_seq` is
    its number where it listed no subject (`None` = it is among the rows). `.attrs["as_of"]` has the
    moment, `.attrs["left_out"]` how many rows were.
    """
    attrs = {**rows.attrs, "as_of": pd.Timestamp(at_ns, unit="ns", tz="UTC"), "left_out": 0}
    if table.complete and len(rows):
        last = int(rows["seq"].iloc[-1]) if newest_seq is None else newest_seq
        rows = rows[(rows["seq"] == last).to_numpy()]
    key = [name for name in table.key if name in rows.columns]
    if key:
        rows = rows[rows[key].notna().any(axis=1).to_numpy()]
        rows = rows[~rows.duplicated(key, keep="last").to_numpy()]
    else:
        rows = rows.iloc[-1:]
    if not across_gaps:
        valid = pd.DatetimeIndex(rows.index).as_unit("ns").asi8 > last_loss(gaps, at_ns)
        attrs["left_out"] = int(np.count_nonzero(~valid))
        rows = rows[valid]
    rows.attrs = attrs
    return rows


def last_loss(gaps: Iterable[Gap], at_ns: int) -> int:
    """Return when the last gap that had begun before a moment began, in Unix ns: what came by then may not hold."""
    return max((gap.began_ns for gap in gaps if gap.began_ns < at_ns), default=-(2**63))


def newest_before(frames: Sequence[pd.DataFrame]) -> int | None:
    """Return the number of the newest message with rows in any of these frames; `None` = there is none."""
    return max((int(frame["seq"].max()) for frame in frames if len(frame)), default=None)
