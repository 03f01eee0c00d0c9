"""What a live chart is told by the session around it: the page, the state, executed cells, held times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from tes_nb.errors import ArgumentError
from tes_nb.store.memory.frames import frame as frame_of
from tes_nb.store.memory.timespec import span_ns

if TYPE_CHECKING:
    from tes_nb.session.feed import Feed
    from tes_nb.store.memory.tables import StreamStore
    from tes_nb.views.alerts import Limit
    from tes_nb.views.chart import Chart, ChartOptions

KERNEL = "kernel"
"""The source of what a kernel reports of itself: executed cells, held times, gauges."""
Bounds = Mapping[str, float | tuple[float | None, float | None]]
"""Column → above which an alert is told, or (below, above)."""


class KernelNotes:
    """Executed cells and held times as spans, built anew only when there are new ones."""

    def __init__(self, kernel: StreamStore) -> None:
        self._kernel = kernel
        self._version = -1
        self._spans: dict[str, list[dict[str, Any]]] = {}

    def __call__(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Return {"cells": […], "held": […]}: start, end (Unix seconds), label."""
        version = self._kernel.version
        if version != self._version:
            self._version = version
            self._spans = {"cells": self._cells(), "held": self._held()}
        return self._spans

    def _cells(self) -> list[dict[str, Any]]:
        cells = frame_of(self._kernel.tables["cells"])
        return [
            _span(start, seconds, f"[{number}]" if pd.isna(line) else f"[{number}] {line}")
            for start, seconds, number, line in zip(
                cells["start"], cells["wall_s"], cells["number"], cells["first_line"], strict=True
            )
        ]

    def _held(self) -> list[dict[str, Any]]:
        held = frame_of(self._kernel.tables["held"])
        return [
            _span(start, seconds, f"kernel held {seconds:.1f} s")
            for start, seconds in zip(held["start"], held["seconds"], strict=True)
        ]


def _span(start: pd.Timestamp, seconds: float, label: str) -> dict[str, Any]:
    began = start.value / 1e9
    return {"start": began, "end": began + seconds, "label": label}


def live_chart(
    feed: Feed,
    table: str,
    *,
    columns: Sequence[str] | None,
    window: str | float | None,
    by: Sequence[str] | None,
    alert: Bounds | None,
) -> Chart:
    """Return the widget. Raises `SessionError` for columns without numbers or a front end that was not built."""
    from tes_nb.views.chart import Chart  # noqa: PLC0415 - widgets only when somebody draws

    return Chart(feed, table, chart_options(feed, table, columns=columns, window=window, by=by, alert=alert))


def chart_options(
    feed: Feed,
    table: str,
    *,
    columns: Sequence[str] | None = None,
    window: str | float | None = "5min",
    by: Sequence[str] | None = None,
    alert: Bounds | None = None,
) -> ChartOptions:
    """Return what a chart of a feed is told; see `Feed.plot`."""
    from tes_nb.views.chart import ChartOptions  # noqa: PLC0415

    usual = feed.stream.table(table).plot or None
    return ChartOptions(
        columns=usual if columns is None else columns,
        window_s=None if window is None else span_ns(window, name="window") / 1e9,
        by=by,
        limits=tuple(_limit(column, bound) for column, bound in (alert or {}).items()),
        url=feed.url,
        upstream=lambda: ((state := feed.look()).word, str(state)),
        notes=feed.notes,
        on_origin=feed.on_origin,
    )


def _limit(column: str, bound: float | tuple[float | None, float | None]) -> Limit:
    from tes_nb.views.alerts import Limit  # noqa: PLC0415

    below, above = bound if isinstance(bound, tuple) and len(bound) == 2 else (None, bound)
    given = [one for one in (below, above) if one is not None]
    numbers = [one for one in given if isinstance(one, int | float) and not isinstance(one, bool)]
    if not given or len(numbers) < len(given) or not all(map(math.isfinite, numbers)):
        raise ArgumentError(f"alert={{'{column}': …}} takes a number, or (below, above), not {bound!r}.")
    return Limit(column, below=below, above=above)
