"""A plotly figure that goes on while it is shown: new values twice a second at most, in one update."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from tes_nb.errors import SessionError
from tes_nb.model import Table
from tes_nb.views.annotations import Beside, annotate, plain
from tes_nb.views.clock import RepaintClock, clock
from tes_nb.views.figure import range_of, table_figure
from tes_nb.views.series import drawn_columns, lines

UPDATE_S = 0.5
"""plotly redraws the whole figure at each update; more often costs a browser more than anybody sees."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a figure shows."""

    frame: Callable[[], pd.DataFrame]
    """→ the rows to draw."""
    version: Callable[[], int | None]
    """→ a number that rises with what comes; `None` = the feed has ended."""
    table: Table
    columns: Sequence[str] | None = None
    """`None` = every gauge and counter that has values."""
    title: str = ""
    beside: Callable[[], Beside] = Beside
    """→ marks, executed cells and held times."""

    def figure(self) -> go.Figure:
        """Draw it as it is now."""
        return table_figure(
            self.frame(), self.table, columns=self.columns, title=self.title, beside=self.beside()
        )


class Updater:
    """Keeps one figure up to date. Steps on the repaint clock's thread; ends with the widget, or with its feed."""

    def __init__(self, figure: go.FigureWidget, drawn: Drawn) -> None:
        self._figure = figure
        self._drawn = drawn
        self._drawn_at = time.monotonic()
        self._seen: int | None = None

    def step(self) -> bool:
        """Draw what is new, if it is time to; False = nothing can change any more."""
        if self._figure.comm is None:
            return False
        if time.monotonic() - self._drawn_at < UPDATE_S:
            return True
        version = self._drawn.version()
        if version is None or version != self._seen:
            self._seen, self._drawn_at = version, time.monotonic()
            self._draw()
        return version is not None

    def _draw(self) -> None:
        frame, table = self._drawn.frame(), self._drawn.table
        drawn = list(lines(frame, table, drawn_columns(frame, table, self._drawn.columns)))
        traces = self._figure.data
        if [plain(line.name) for line in drawn] != [trace.name for trace in traces]:
            self._draw_anew()
            return
        with self._figure.batch_update():
            for trace, line in zip(traces, drawn, strict=True):
                trace.update(x=line.time, y=line.values)
            annotate(self._figure, self._drawn.beside(), range_of(drawn))

    def _draw_anew(self) -> None:
        """Other lines than before: a worker has come, or the first data."""
        new = self._drawn.figure()
        self._figure.data = ()
        self._figure.layout = new.layout
        self._figure.add_traces(list(new.data))


def live_figure(drawn: Drawn, *, repaint: RepaintClock = clock) -> go.FigureWidget:
    """Return a FigureWidget that goes on by itself. Raises `SessionError` where plotly cannot make widgets."""
    try:
        figure = go.FigureWidget(drawn.figure())
    except ImportError as error:
        raise SessionError(
            f"A live figure needs plotly's widget, which cannot be loaded ({error}): pip install anywidget."
        ) from error
    updater = Updater(figure, drawn)
    figure._tes_updater = updater  # noqa: SLF001 - the clock holds no views; this one lives with its figure
    repaint.add(updater)
    return figure
