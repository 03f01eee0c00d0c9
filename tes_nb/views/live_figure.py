"""A plotly figure that goes on while it is shown: new values twice a second at most, in one update."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import pandas as pd
import plotly.graph_objects as go

from tes_nb.errors import SessionError
from tes_nb.model import Table
from tes_nb.views.clock import RepaintClock, clock
from tes_nb.views.figure import table_figure
from tes_nb.views.series import drawn_columns, lines

UPDATE_S = 0.5
"""plotly redraws the whole figure at each update; more often costs a browser more than anybody sees."""


class Updater:
    """Keeps one figure up to date. Steps on the repaint clock's thread; ends with the widget, or with its feed."""

    def __init__(
        self,
        figure: go.FigureWidget,
        frame: Callable[[], pd.DataFrame],
        version: Callable[[], int | None],
        table: Table,
        columns: Iterable[str] | None,
    ) -> None:
        """frame: → the rows to draw. version: → a number that rises with what comes, `None` = the feed has ended."""
        self._figure = figure
        self._frame = frame
        self._version = version
        self._table = table
        self._columns = None if columns is None else list(columns)
        self._drawn_at = time.monotonic()
        self._seen: int | None = None

    def step(self) -> bool:
        """Draw what is new, if it is time to; False = nothing can change any more."""
        if self._figure.comm is None:
            return False
        if time.monotonic() - self._drawn_at < UPDATE_S:
            return True
        version = self._version()
        if version is None or version != self._seen:
            self._seen, self._drawn_at = version, time.monotonic()
            self._draw()
        return version is not None

    def _draw(self) -> None:
        frame = self._frame()
        drawn = list(lines(frame, self._table, drawn_columns(frame, self._table, self._columns)))
        traces = self._figure.data
        if [line.name for line in drawn] != [trace.name for trace in traces]:
            self._draw_anew(frame)
            return
        with self._figure.batch_update():
            for trace, line in zip(traces, drawn, strict=True):
                trace.update(x=line.time, y=line.values)

    def _draw_anew(self, frame: pd.DataFrame) -> None:
        """Other lines than before: a worker has come, or the first data."""
        new = table_figure(
            frame, self._table, columns=self._columns, title=self._figure.layout.title.text or ""
        )
        self._figure.data = ()
        self._figure.layout = new.layout
        self._figure.add_traces(list(new.data))


def live_figure(
    frame: Callable[[], pd.DataFrame],
    version: Callable[[], int | None],
    table: Table,
    *,
    columns: Iterable[str] | None = None,
    title: str = "",
    repaint: RepaintClock = clock,
) -> go.FigureWidget:
    """Return a FigureWidget that goes on by itself. frame, version: see `Updater`.

    Raises `SessionError` where plotly cannot make widgets.
    """
    try:
        figure = go.FigureWidget(table_figure(frame(), table, columns=columns, title=title))
    except ImportError as error:
        raise SessionError(
            f"A live figure needs plotly's widget, which cannot be loaded ({error}): pip install anywidget."
        ) from error
    updater = Updater(figure, frame, version, table, columns)
    figure._tes_updater = updater  # noqa: SLF001 - the clock holds no views; this one lives with its figure
    repaint.add(updater)
    return figure
