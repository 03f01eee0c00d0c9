"""A plotly figure of a table: a panel per unit, one colour per line, gaps left open."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tes_nb.errors import SessionError
from tes_nb.model import Table
from tes_nb.views.annotations import Beside, annotate, plain
from tes_nb.views.clock import RepaintClock, clock
from tes_nb.views.lines import Line, drawn_columns, lines

SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#7F7F7F")


def colour(index: int) -> str:
    """Return the colour of the n-th series; they repeat after eight."""
    return SERIES[index % len(SERIES)]


PANEL_HEIGHT = 190
MARGIN_HEIGHT = 130
NOTHING_BESIDE = Beside()
UNIT_WORDS = {"": "count", "1/s": "per second"}


def table_figure(
    frame: pd.DataFrame,
    table: Table,
    *,
    columns: Iterable[str] | None = None,
    title: str = "",
    beside: Beside = NOTHING_BESIDE,
) -> go.Figure:
    """Return the figure, with what happened `beside` its lines. An empty frame gives a figure that says so."""
    drawn = list(lines(frame, table, drawn_columns(frame, table, columns)))
    if not drawn:
        return _empty(title)
    units = list(dict.fromkeys(line.unit for line in drawn))
    figure = make_subplots(
        rows=len(units), cols=1, shared_xaxes=True, vertical_spacing=0.25 / (len(units) + 4)
    )
    for index, line in enumerate(drawn):
        figure.add_trace(_trace(line, colour(index)), row=units.index(line.unit) + 1, col=1)
    for row, unit in enumerate(units, start=1):
        figure.update_yaxes(title_text=UNIT_WORDS.get(unit, unit), rangemode="tozero", row=row, col=1)
        if unit == "bytes":
            figure.update_yaxes(tickformat=".3~s", ticksuffix="B", row=row, col=1)
    figure.update_layout(
        title=plain(title),
        height=MARGIN_HEIGHT + PANEL_HEIGHT * len(units),
        hovermode="x unified",
        template="plotly_white",
        margin={"l": 80, "r": 20, "t": 50, "b": 40},
        legend={"font": {"size": 11}},
    )
    figure.update_xaxes(title_text="time (UTC)", row=len(units), col=1)
    annotate(figure, beside, range_of(drawn))
    return figure


def range_of(drawn: Iterable[Line]) -> list[pd.Timestamp]:
    """Return the first and last time of each line that has any."""
    ends = [pd.Timestamp(line.time[place]) for line in drawn if len(line.time) for place in (0, -1)]
    return [one if one.tz is not None else one.tz_localize("UTC") for one in ends]


def _trace(line: Line, line_colour: str) -> go.Scatter:
    return go.Scatter(
        x=line.time,
        y=line.values,
        name=plain(line.name),
        mode="lines" if len(line.values) > 1 else "markers",
        line={"color": line_colour, "width": 1.5},
        connectgaps=False,
        hovertemplate="%{y:.6~g} " + line.unit,
    )


def _empty(title: str) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(title=plain(title), template="plotly_white", height=MARGIN_HEIGHT + PANEL_HEIGHT)
    figure.add_annotation(text="No data to draw yet.", showarrow=False, font={"size": 16})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


UPDATE_S = 0.5
"""plotly redraws the whole figure at each update; more often costs a browser more than anybody sees."""


@dataclass(frozen=True, slots=True)
class FigureContent:
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

    def __init__(self, figure: go.FigureWidget, drawn: FigureContent) -> None:
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


def live_figure(drawn: FigureContent, *, repaint: RepaintClock = clock) -> go.FigureWidget:
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
