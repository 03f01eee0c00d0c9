"""A plotly figure of a table: a panel per unit, one colour per line, gaps left open."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tes_nb.model import Table
from tes_nb.views.annotations import Beside, annotate, plain
from tes_nb.views.palette import colour
from tes_nb.views.series import Line, drawn_columns, lines

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
