"""Plotly figures of a table, as it is or going on by itself: a panel per quantity and unit, gaps left open; reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tes_nb.errors import SessionError
from tes_nb.model import Table
from tes_nb.views.annotations import PANEL, Beside, annotate, plain
from tes_nb.views.clock import RepaintClock, clock
from tes_nb.views.lines import PlotLine, colour, dash, lines, plotted_columns
from tes_nb.views.zone import WallClock

PANEL_HEIGHT = 190
MARGIN_HEIGHT = 130
NOTHING_BESIDE = Beside()
UNIT_WORDS = {"1/s": "per second"}
TITLE_NAMES = 3
LOOK = {
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"color": "#7a7a7a"},
    "hoverlabel": {"bgcolor": "#ffffff", "font": {"color": "#1f2328"}},
    "template": "none",
    "autosize": True,
    "uirevision": "tes_nb",
}
"""Read on light and dark ground alike: the page's own shines through. uirevision: a zoom outlives new data."""
AXIS = {"gridcolor": "rgba(128,128,128,0.25)", "linecolor": "rgba(128,128,128,0.5)", "zeroline": False}


def table_figure(
    frame: pd.DataFrame,
    table: Table,
    *,
    columns: Iterable[str] | None = None,
    title: str = "",
    beside: Beside = NOTHING_BESIDE,
) -> go.Figure:
    """Return the figure, with what happened `beside` its lines. An empty frame gives a figure that says so."""
    plotted = list(lines(frame, table, plotted_columns(frame, table, columns)))
    if not plotted:
        return _empty(title)
    wall = WallClock(range_of(plotted))
    panels = list(dict.fromkeys((line.panel, line.unit) for line in plotted))
    words = [
        _panel_title(panel, [line for line in plotted if (line.panel, line.unit) == panel])
        for panel in panels
    ]
    gap = {"shared_xaxes": True, "vertical_spacing": 0.3 / (len(panels) + 4)}
    figure = make_subplots(rows=len(panels), cols=1, subplot_titles=words, **gap)
    figure.update_annotations(name=PANEL, x=0, xanchor="left", font={"size": 13})
    for line in plotted:
        place = panels.index((line.panel, line.unit))
        figure.add_trace(_trace(line, wall, words[place]), row=place + 1, col=1)
    for row, (_, unit) in enumerate(panels, start=1):
        mode = "tozero" if unit else "nonnegative" if _least(plotted, panels[row - 1]) >= 0 else "normal"
        figure.update_yaxes(title_text=UNIT_WORDS.get(unit, unit), rangemode=mode, row=row, col=1)
        if unit == "bytes":
            figure.update_yaxes(tickformat=".3~s", ticksuffix="B", row=row, col=1)
    figure.update_layout(
        title=plain(title),
        height=MARGIN_HEIGHT + PANEL_HEIGHT * len(panels),
        hovermode="x unified",
        margin={"l": 80, "r": 20, "t": 70, "b": 50},
        legend={"font": {"size": 11}},
        **LOOK,
    )
    figure.update_xaxes(**AXIS)
    figure.update_yaxes(**AXIS)
    figure.update_xaxes(title_text=wall.axis, showticklabels=True, row=len(panels), col=1)
    annotate(figure, beside, range_of(plotted), wall)
    return figure


def _least(plotted: Iterable[PlotLine], panel: tuple[str, str]) -> float:
    """The least value of a panel, 0 where there is none."""
    values = np.concatenate([line.values for line in plotted if (line.panel, line.unit) == panel])  # noqa: PD011
    finite = values[np.isfinite(values)]
    return float(finite.min()) if len(finite) else 0.0


def _panel_title(panel: tuple[str, str], plotted: Sequence[PlotLine]) -> str:
    """What is measured; where no column says that, what the lines are called."""
    names = list(dict.fromkeys(line.title for line in plotted))
    more = f", {len(names) - TITLE_NAMES} more" if len(names) > TITLE_NAMES else ""
    measured = panel[0] if any(line.measured for line in plotted) else ""
    return plain(measured or ", ".join(name[:40] for name in names[:TITLE_NAMES]) + more)


def range_of(plotted: Iterable[PlotLine]) -> list[pd.Timestamp]:
    """Return the first and last time of each line that has any."""
    return [pd.Timestamp(line.time[at], tz="UTC") for line in plotted if len(line.time) for at in (0, -1)]


def _trace(line: PlotLine, wall: WallClock, title: str) -> go.Scatter:
    return go.Scatter(
        x=wall.of(line.time),
        y=line.values,
        name=plain(line.title),
        meta=line.name,
        legendgroup=title,
        legendgrouptitle={"text": title},
        mode="lines" if len(line.values) > 1 else "markers",
        line={"color": colour(line.colour), "dash": dash(line), "width": 1.75},
        connectgaps=False,
        hovertemplate=f"%{{y:.6~g}} {plain(line.unit)}<extra>{plain(f'{line.title} ({line.name})')}</extra>",
    )


def _empty(title: str) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(title=plain(title), height=MARGIN_HEIGHT + PANEL_HEIGHT, **LOOK)
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

    def live_figure(self) -> go.Figure:
        """The same for a widget."""
        figure = self.figure()
        for trace in figure.data:
            trace.x = as_text(trace.x)
        return figure


def as_text(times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.str_]:
    """Return times as a widget may have them: it sends `datetime64` as bare nanoseconds."""
    return np.datetime_as_string(times, unit="ms")


class Updater:
    """Keeps one figure up to date. Steps on the repaint clock's thread; ends with the widget, or with its feed."""

    def __init__(self, figure: go.FigureWidget, content: FigureContent) -> None:
        self._figure = figure
        self._content = content
        self._updated_at = time.monotonic()
        self._version: int | None = None

    def step(self) -> bool:
        """Draw what is new, if it is time to; False = nothing can change any more."""
        if self._figure.comm is None:
            return False
        if time.monotonic() - self._updated_at < UPDATE_S:
            return True
        version = self._content.version()
        if version is None or version != self._version:
            self._version, self._updated_at = version, time.monotonic()
            self._update()
        return version is not None

    def _update(self) -> None:
        content = self._content
        frame = content.frame()
        plotted = list(lines(frame, content.table, plotted_columns(frame, content.table, content.columns)))
        traces = self._figure.data
        if [line.name for line in plotted] != [trace.meta for trace in traces]:
            # other lines than before: a worker has come, or the first data
            new = content.live_figure()
            _keep_zoom(self._figure, new)
            self._figure.data = ()
            # to replace the layout would send a width of null, which plotly takes for 700 pixels, for good
            self._figure.update_layout(new.layout.to_plotly_json())
            self._figure.add_traces(list(new.data))
            return
        wall = WallClock(range_of(plotted))
        with self._figure.batch_update():
            for trace, line in zip(traces, plotted, strict=True):
                trace.update(x=as_text(wall.of(line.time)), y=line.values)
            annotate(self._figure, content.beside(), range_of(plotted), wall)


def _keep_zoom(old: go.Figure, new: go.Figure) -> None:
    """Let the new figure show the stretch of time that somebody has chosen in the old one."""
    for before, after in zip(old.select_xaxes(), new.select_xaxes(), strict=False):
        if before.range is not None and before.autorange is not True:
            after.range = before.range


def live_figure(content: FigureContent, *, repaint: RepaintClock = clock) -> go.FigureWidget:
    """Return a FigureWidget that goes on by itself. Raises `SessionError` where plotly cannot make widgets."""
    try:
        figure = go.FigureWidget(content.live_figure())
    except ImportError as error:
        raise SessionError(
            f"A live figure needs plotly's widget, which cannot be loaded ({error}): pip install anywidget."
        ) from error
    figure._config = {**figure._config, "responsive": True}  # noqa: SLF001 - plotly's widget has no other way
    updater = Updater(figure, content)
    figure._tes_updater = updater  # noqa: SLF001 - the clock holds no views; this one lives with its figure
    repaint.add(updater)
    return figure
