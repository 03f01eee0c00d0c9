"""Plotly figures of a table, as it is or going on by itself: a panel per quantity and unit, gaps left open; reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tes_nb.model import Table
from tes_nb.views.annotations import PANEL, Beside, annotate, plain
from tes_nb.views.lines import PlotLine, colour, dash, lines, plotted_columns
from tes_nb.views.zone import WallClock

PANEL_HEIGHT = 190
MARGIN_HEIGHT = 130
NOTHING_BESIDE = Beside()
UNIT_WORDS = {"1/s": "per second"}
TITLE_NAMES = 3
LEGEND_ROW, MOST_LEGEND_ROWS, QUIET_CHARACTERS, QUIET_HEIGHT = 20, 10, 38, 34
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
TIME_AXIS = {"automargin": True, "autotickangles": [0, 90], "ticklabelstandoff": 4}
LEGEND = {
    "orientation": "h",
    "font": {"size": 11},
    "x": 0,
    "xref": "paper",
    "y": 0,
    "yref": "container",
    "yanchor": "bottom",
}
"""Below the panels: beside them it takes their width in a narrow window."""
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
    plotted, quiet = drawn_lines(frame, table, columns)
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
    rows = max(sum((line.panel, line.unit) == panel for line in plotted) for panel in panels)
    quiet_height = QUIET_HEIGHT if quiet else 0
    figure.update_layout(
        title=heading(title, quiet),
        height=MARGIN_HEIGHT
        + PANEL_HEIGHT * len(panels)
        + LEGEND_ROW * min(rows, MOST_LEGEND_ROWS)
        + quiet_height,
        hovermode="x unified",
        margin={"l": 70, "r": 20, "t": 60 + quiet_height, "b": 40},
        legend=LEGEND,
        **LOOK,
    )
    figure.update_xaxes(**AXIS, **TIME_AXIS)
    figure.update_yaxes(**AXIS)
    figure.update_xaxes(title_text=wall.axis, showticklabels=True, row=len(panels), col=1)
    annotate(figure, beside, range_of(plotted), wall)
    return figure


def drawn_lines(
    frame: pd.DataFrame, table: Table, columns: Iterable[str] | None
) -> tuple[list[PlotLine], list[str]]:
    """Return the lines to draw, and what those are called that are left out since they are 0 all along.

    None is left out where columns were chosen, or where there is nothing else.
    """
    every = list(lines(frame, table, plotted_columns(frame, table, columns)))
    numbers = [line.values for line in every]  # noqa: PD011 - of a line, not of a frame
    is_quiet = [(some == 0).any() and not np.nan_to_num(some).any() for some in numbers]
    if columns is not None or all(is_quiet):
        return every, []
    parts = list(zip(every, is_quiet, strict=True))
    return [line for line, quiet in parts if not quiet], [line.title for line, quiet in parts if quiet]


def heading(title: str, quiet: Sequence[str] = ()) -> dict[str, object]:
    """Return a figure's title; quiet: the lines that are not drawn, named in at most two lines below it."""
    words = wrap(
        f"{len(quiet)} more, all 0: {', '.join(quiet)}", QUIET_CHARACTERS, max_lines=2, placeholder=" …"
    )
    below = {"text": "<br>".join(map(plain, words)), "font": {"size": 10}}
    more = {"subtitle": below} if quiet else {}
    place = {"x": 0, "xref": "paper", "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 12}}
    return {"text": plain(title), "font": {"size": 14}, **place, **more}


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
    figure.update_layout(title=heading(title), height=MARGIN_HEIGHT + PANEL_HEIGHT, **LOOK)
    figure.add_annotation(text="No data to draw yet.", showarrow=False, font={"size": 16})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


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
