"""Lanes over time: what workers, jobs, cells and feeds were doing, each state by colour and by pattern."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from tes_nb.views.annotations import MAX_TEXT, PANEL, Beside, annotate, plain
from tes_nb.views.figure import AXIS, LEGEND, LOOK, TIME_AXIS, heading
from tes_nb.views.zone import WallClock

LANE_HEIGHT = 38
NAME_PX, BAR = 12, 0.42
"""A lane's name stands above its bars: beside them it takes their width in a narrow window."""
MOST_LANES = 200
MOST_SPANS = 20_000
"""The newest of all lanes together."""
LOOKS = {
    "idle": ("#afb8c1", ""),
    "working": ("#1a7f37", "/"),
    "pause": ("#bf8700", "|"),
    "error": ("#cf222e", "x"),
    "terminated": ("#57606a", "."),
    "open": ("#0969da", ""),
    "gap": ("#bc4c00", "-"),
}
"""State → colour and pattern: who sees no colours reads the pattern."""
_OTHER = ("#8250df", "+")


@dataclass(frozen=True, slots=True)
class LaneSpan:
    """A time in which something was in one state."""

    lane: str
    start: pd.Timestamp
    """UTC, as `end`."""
    end: pd.Timestamp
    state: str
    text: str = ""
    """What a reader sees beside the state, on hover."""


def state_spans(
    lane: str, changes: Iterable[tuple[pd.Timestamp, str | None, str]], until: pd.Timestamp
) -> list[LaneSpan]:
    """Return the spans between changes of state: (when, the state from then on, text); `None` = it is gone."""
    spans: list[LaneSpan] = []
    before: tuple[pd.Timestamp, str | None, str] | None = None
    for change in changes:
        if before is not None and before[1] is not None:
            spans.append(LaneSpan(lane, before[0], change[0], before[1], before[2]))
        before = change
    if before is not None and before[1] is not None:
        spans.append(LaneSpan(lane, before[0], max(until, before[0]), before[1], before[2]))
    return spans


def timeline_figure(spans: Sequence[LaneSpan], *, beside: Beside, title: str = "") -> go.Figure:
    """Return the lanes in their order, with marks and held times across. Without spans a figure that says so."""
    figure = go.Figure()
    ends = [time for span in spans for time in (span.start, span.end)]
    wall = WallClock(ends)
    drawn = sorted(spans, key=lambda span: span.end)[-MOST_SPANS:]
    names = list(dict.fromkeys(span.lane for span in spans))[:MOST_LANES]
    labels = {name: plain(name[:MAX_TEXT]) for name in names}
    drawn = [span for span in drawn if span.lane in labels]
    for state in dict.fromkeys(span.state for span in drawn):
        colour, pattern = LOOKS.get(state, _OTHER)
        some = [span for span in drawn if span.state == state]
        figure.add_trace(
            go.Bar(
                name=plain(state),
                orientation="h",
                y=[labels[span.lane] for span in some],
                base=[wall.moment(span.start.value) for span in some],
                offset=-BAR,
                width=BAR,
                x=[max(1.0, (span.end - span.start).total_seconds() * 1000) for span in some],
                marker={
                    "color": colour,
                    "pattern": {"shape": pattern, "fillmode": "overlay", "size": 6, "solidity": 0.3},
                    "line": {"width": 0},
                },
                text=None,
                hovertext=[_hover(span) for span in some],
                hoverinfo="text",
            )
        )
    figure.update_layout(
        title=heading(title),
        barmode="overlay",
        height=180 + LANE_HEIGHT * max(len(names), 3),
        margin={"l": 10, "r": 20, "t": 90, "b": 40},
        legend=LEGEND,
        **LOOK,
    )
    figure.update_xaxes(type="date", title_text=wall.axis, nticks=6, **AXIS, **TIME_AXIS)
    figure.update_yaxes(
        **AXIS | {"showgrid": False},
        showticklabels=False,
        categoryorder="array",
        categoryarray=[labels[name] for name in reversed(names)],
    )
    for label in labels.values():
        place = {"x": 0, "xref": "paper", "xanchor": "left", "y": label, "yshift": NAME_PX}
        figure.add_annotation(text=label, name=PANEL, showarrow=False, **place)
    annotate(figure, beside, [time for span in drawn for time in (span.start, span.end)], wall, above=True)
    if not drawn:
        figure.add_annotation(
            text="Nothing has happened yet.", showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper"
        )
    return figure


def _hover(span: LaneSpan) -> str:
    seconds = (span.end - span.start).total_seconds()
    words = [f"<b>{plain(span.lane[:MAX_TEXT])}</b>", f"{plain(span.state)}, {seconds:.3g} s"]
    return "<br>".join([*words, *([plain(span.text[:MAX_TEXT])] if span.text else [])])
