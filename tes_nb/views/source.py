"""What views are made of: a source with its stream and rows, its newest messages, and what goes on around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from tes_nb.model import Column, Table
from tes_nb.store.memory.frames import frame as frame_of
from tes_nb.streams.browser_json import json_float, json_text

if TYPE_CHECKING:
    from tes_nb.model import Stream
    from tes_nb.store.memory.recent import RecentMessages
    from tes_nb.store.memory.tables import StreamStore
    from tes_nb.views.annotations import Notes
    from tes_nb.views.controls import Steering
    from tes_nb.wire.events import Mark


def plain_rows(columns: Mapping[str, npt.NDArray[Any]], names: Sequence[str]) -> list[list[Any]]:
    """Return the rows, values in the order of `names`. columns: as `Columns.since` gives them."""
    plain = [_plain_column(columns[name]) for name in names]
    return [list(row) for row in zip(*plain, strict=True)]


def _plain_column(cells: npt.NDArray[Any]) -> list[Any]:
    if cells.dtype.kind == "M":
        times: list[Any] = (cells.astype("M8[ns]").astype(np.int64) / 1e9).tolist()
        return [None if gone else time for time, gone in zip(times, np.isnat(cells).tolist(), strict=True)]
    if cells.dtype.kind == "f":
        return [json_float(value) for value in cells.tolist()]
    if cells.dtype.kind == "O":
        return [None if value is None else json_text(str(value)) for value in cells.tolist()]
    others: list[Any] = cells.tolist()
    return others


@dataclass(frozen=True, slots=True)
class Lookup:
    """More columns for each row, looked up by one of its own."""

    columns: tuple[Column, ...]
    by: str
    """The column of the table by whose value they are looked up."""
    find: Callable[[Sequence[Any]], Sequence[Sequence[Any]]]
    """Values of `by`, all of them → the cells of each, `None` where there is nothing. Called at each repaint."""
    version: Callable[[], int]
    """A number that changes when there is something else to find: then all rows are sent again."""
    name: Callable[[Sequence[Any]], str | None] | None = None
    """The cells of one → what people call it in charts; `None` = it is called by its own column."""

    def insert(self, table: Table, own: Sequence[Any], more: Sequence[Any]) -> list[Any]:
        """Return what belongs to the table's own columns with `more` behind the column by which it is looked up."""
        at = table.names.index(self.by) + 1
        return [*own[:at], *more, *own[at:]]

    def join(self, table: Table, rows: Sequence[list[Any]]) -> list[list[Any]]:
        """Return the rows with the cells of these columns."""
        at = table.names.index(self.by)
        cells = self.find([row[at] for row in rows])
        return [self.insert(table, row, more) for row, more in zip(rows, cells, strict=True)]


class RowlessMessages:
    """Counts the looks at which messages had come, and no row of a table in them: its feed is alive all the same."""

    def __init__(self, store: StreamStore, table: Table) -> None:
        self._store = store
        self._rows = store.tables[table.name]
        self._before = (0, 0)
        self._count = 0

    def count(self) -> int:
        """Look, and return the count; 0 = it never was so."""
        messages, rows = self._store.counts().messages, self._rows.total
        if messages > self._before[0] and rows == self._before[1]:
            self._count += 1
        self._before = (messages, rows)
        return self._count


def all_columns(table: Table, lookup: Lookup | None) -> Sequence[Column]:
    """Return the columns of a live table's rows, in their order: its own, those looked up, how far something moved."""
    own = (*table.columns, *(move.column for move in table.moves))
    return own if lookup is None else lookup.insert(table, own, lookup.columns)


def moved(table: Table, opening: Sequence[Any], row: Sequence[Any]) -> list[float | None]:
    """Return how far a row is from the first one of its subject, for each of the table's moves."""
    return [
        next(
            (
                round(row[place] - opening[place], 6)
                for place in map(table.names.index, move.of)
                if isinstance(row[place], int | float) and isinstance(opening[place], int | float)
            ),
            None,
        )
        for move in table.moves
    ]


class TableSource(Protocol):
    """What a chart or a table shows: a feed, or anything with a stream and its store."""

    @property
    def name(self) -> str:
        """What the view is called."""

    @property
    def stream(self) -> Stream:
        """What travels."""

    @property
    def store(self) -> StreamStore:
        """Its rows so far, and those to come."""


class ViewState(Protocol):
    """How a source is doing; `str()` of it is a line."""

    @property
    def word(self) -> str:
        """One word, such as OPEN."""


class ViewSource(TableSource, Protocol):
    """A source with everything that its views show: what a feed is to `views.build`."""

    @property
    def url(self) -> str:
        """The page that shows the same while the kernel is held; "" = there is none."""

    @property
    def recent(self) -> RecentMessages:
        """The newest messages as they came."""

    @property
    def notes(self) -> Notes | None:
        """Executed cells and held times; `None` = nobody reports them."""

    @property
    def on_origin(self) -> Callable[[str], None] | None:
        """Called with the `location.origin` of a browser that shows a view; `None` = nobody asks."""

    @property
    def steering(self) -> Steering | None:
        """How the buttons of its rows reach the collector; `None` = they have nobody to ask."""

    @property
    def closed(self) -> bool:
        """Whether nothing more can come."""

    def look(self) -> ViewState:
        """How it is doing, without raising what went wrong elsewhere."""

    def lookup(self, table: str) -> Lookup | None:
        """Columns that a live table shows beside its own, such as names; `None` = there are none."""

    def subject_notes(self) -> Notes | None:
        """What charts note beside the lines of each subject, such as goals of a match; `None` = nothing."""

    def mark_list(self) -> list[Mark]:
        """What was marked."""

    def frame(self, table: str | None = None, *, last: Any = None, gaps: bool = False) -> pd.DataFrame:
        """A table's rows, as `Feed.frame` gives them."""


class KernelNotes:
    """Executed cells and held times as spans, built anew only when there are new ones."""

    def __init__(self, kernel: Callable[[], StreamStore]) -> None:
        """kernel: gives the rows of the source `kernel`; asked when something is drawn."""
        self._kernel = kernel
        self._version = -1
        self._spans: dict[str, list[dict[str, Any]]] = {}

    def __call__(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Return {"cells": […], "held": […]}: start, end (Unix seconds; `None` = it still runs), label."""
        kernel = self._kernel()
        version = kernel.version
        if version != self._version:
            self._version = version
            self._spans = {"cells": _cells(kernel), "held": _held(kernel)}
        return self._spans


def _cells(kernel: StreamStore) -> list[dict[str, Any]]:
    cells = frame_of(kernel.tables["cells"])
    spans = [
        _span(
            start, seconds, " ".join([f"[{number}]", *(word for word in (line, place) if not pd.isna(word))])
        )
        for start, seconds, number, line, place in zip(
            *(cells[name] for name in ("start", "wall_s", "number", "first_line", "place")), strict=True
        )
    ]
    activity, names = kernel.tables["activity"], ("cell", "since")
    newest = plain_rows(activity.since(activity.total - 1, names).columns, names)[-1:]
    spans += [
        {"start": since, "end": None, "label": f"[{cell:g}]"} for cell, since in newest if cell is not None
    ]
    return spans


def _held(kernel: StreamStore) -> list[dict[str, Any]]:
    held = frame_of(kernel.tables["held"])
    return [
        _span(start, seconds, f"kernel held {seconds:.1f} s")
        if pd.isna(place)
        else {**_span(start, seconds, f"kernel held {seconds:.1f} s in {place}"), "place": place}
        for start, seconds, place in zip(held["start"], held["seconds"], held["place"], strict=True)
    ]


def _span(start: pd.Timestamp, seconds: float, label: str) -> dict[str, Any]:
    began = start.value / 1e9
    return {"start": began, "end": began + seconds, "label": label}
