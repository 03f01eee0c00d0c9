"""What a plotly figure shows beside its lines: marks, executed cells, times in which the kernel was held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from tes_nb.views.notes import MAX_TEXT, MOST

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from tes_nb.wire.events import Mark

LABEL_CHARACTERS = 40
MARK_COLOUR = "#8250df"
CELL_COLOUR = "#57606a"
HELD_COLOUR = "#cf222e"


@dataclass(frozen=True, slots=True)
class Beside:
    """What happened on the time line. Times are Unix seconds in `spans`, nanoseconds in `marks`."""

    marks: Sequence[Mark] = ()
    spans: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """"cells" and "held": {start, end, label} each."""


def plain(text: str) -> str:
    """Return text for plotly, which would take tags in it for formatting."""
    return escape(text, quote=False)


def annotate(figure: go.Figure, beside: Beside, times: Iterable[pd.Timestamp]) -> None:
    """Draw what lies in the range of `times` over all panels; what was drawn before gives way."""
    drawn = list(times)
    shapes: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = []
    if drawn:
        low, high = min(drawn), max(drawn)
        for mark in beside.marks[-MOST:]:
            _mark(mark, low, high, shapes, texts)
        for span in beside.spans.get("cells", ())[-MOST:]:
            _span(span, low, high, shapes, texts, colour=CELL_COLOUR, top=0.02)
        for span in beside.spans.get("held", ())[-MOST:]:
            _span(span, low, high, shapes, texts, colour=HELD_COLOUR, top=1.0)
    figure.layout.shapes = shapes
    figure.layout.annotations = texts


def _mark(
    mark: Mark,
    low: pd.Timestamp,
    high: pd.Timestamp,
    shapes: list[dict[str, Any]],
    texts: list[dict[str, Any]],
) -> None:
    at = pd.Timestamp(mark.at_ns, tz="UTC")
    if low <= at <= high:
        line = {"color": MARK_COLOUR, "width": 1, "dash": "dash"}
        shapes.append(
            {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "xref": "x", "yref": "paper", "line": line}
        )
        texts.append(_text(at, 1.0, mark.label, mark.label, MARK_COLOUR, yanchor="bottom"))


def _span(
    span: Mapping[str, Any],
    low: pd.Timestamp,
    high: pd.Timestamp,
    shapes: list[dict[str, Any]],
    texts: list[dict[str, Any]],
    *,
    colour: str,
    top: float,
) -> None:
    start = pd.Timestamp(int(span["start"] * 1e9), tz="UTC")
    end = pd.Timestamp(int((span["end"] or span["start"]) * 1e9), tz="UTC")
    if end < low or start > high:
        return
    label = str(span["label"] or "")
    begins = max(start, low)
    ends = {"x0": begins, "x1": min(end, high), "y0": 0, "y1": top, "xref": "x", "yref": "paper"}
    shapes.append(
        {
            "type": "rect",
            **ends,
            "fillcolor": colour,
            "opacity": 0.15 if top == 1 else 0.6,
            "line": {"width": 0},
            "layer": "below",
        }
    )
    number = (
        label.split(" ", 1)[0] if top < 1 else label
    )  # a cell shows its number, and its first line on hover
    texts.append(_text(begins, 0.02 if top < 1 else 0.9, number, label, colour, yanchor="bottom"))


def _text(at: pd.Timestamp, y: float, text: str, hover: str, colour: str, *, yanchor: str) -> dict[str, Any]:
    shown = text if len(text) <= LABEL_CHARACTERS else text[: LABEL_CHARACTERS - 1] + "…"
    return {
        "x": at,
        "y": y,
        "xref": "x",
        "yref": "paper",
        "yanchor": yanchor,
        "xanchor": "left",
        "showarrow": False,
        "text": plain(shown),
        "hovertext": plain(hover[:MAX_TEXT]),
        "font": {"size": 10, "color": colour},
    }
