"""What a plotly figure shows beside its lines: marks, executed cells, times in which the kernel was held."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from tes_nb.wire.events import Gap, StateChange

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from tes_nb.store.memory.tables import StreamStore
    from tes_nb.views.alerts import Alert
    from tes_nb.wire.events import Mark


MOST = 300
"""Notes of one sort that travel: the newest."""
MAX_TEXT = 300

Notes = Callable[[], Mapping[str, Sequence[Mapping[str, Any]]]]


class SentState:
    """Remembers what the browser was told, so that only changes travel."""

    def __init__(self, store: StreamStore, notes: Notes | None) -> None:
        self._store = store
        self._notes = notes
        self._sent: dict[str, Any] = {}
        self._broken: set[int] = set()

    def forget(self) -> None:
        """Tell everything again: another browser listens."""
        self._sent.clear()

    def changes(
        self, upstream: Mapping[str, Any] | None, alerts: Sequence[Alert], sentence: str
    ) -> dict[str, Any]:
        """Return the parts that differ from what was told before."""
        now = {
            "upstream": upstream,
            "gaps": [_gap(gap) for gap in self._store.gaps[-MOST:]],
            "marks": [
                {"t": mark.at_ns / 1e9, "label": mark.label[:MAX_TEXT]} for mark in self._store.marks[-MOST:]
            ],
            "alerts": [{"t": alert.time, "text": alert.text} for alert in alerts],
            "sentence": sentence,
        }
        for name, spans in (self._notes() if self._notes is not None else {}).items():
            now[name] = [_span(span) for span in spans[-MOST:]]
        changed = {name: part for name, part in now.items() if self._sent.get(name, _EMPTY.get(name)) != part}
        self._sent.update(changed)
        return changed

    def all_breaks(self) -> list[float]:
        """Return where gaps began, in Unix seconds: every line is broken there."""
        gaps = self._store.gaps
        self._broken = {gap.lost_at_ns for gap in gaps}
        return [_began(gap) for gap in gaps]

    def new_breaks(self) -> list[float]:
        """Return the beginnings of gaps since the last time."""
        new = [gap for gap in self._store.gaps if gap.lost_at_ns not in self._broken]
        self._broken.update(gap.lost_at_ns for gap in new)
        return [_began(gap) for gap in new]


_EMPTY: dict[str, Any] = {
    "upstream": None,
    "gaps": [],
    "marks": [],
    "alerts": [],
    "sentence": "",
    "cells": [],
    "held": [],
}


def upstream_info(state: StateChange | tuple[str, str] | None) -> dict[str, Any] | None:
    """Return a reader's state as it travels; `None` = nothing is known of it."""
    if state is None:
        return None
    if isinstance(state, StateChange):
        return {"word": state.state, "text": state.text[:MAX_TEXT], "since": state.at_ns / 1e9}
    word, text = state
    return {"word": word, "text": text[:MAX_TEXT]}


def _began(gap: Gap) -> float:
    """Just after the last thing that was seen."""
    return (gap.lost_at_ns if gap.last_seen_ns is None else gap.last_seen_ns) / 1e9 + 0.001


def _gap(gap: Gap) -> dict[str, Any]:
    back = None if gap.back_at_ns is None else gap.back_at_ns / 1e9
    return {"start": _began(gap), "end": back, "label": gap.cause[:MAX_TEXT]}


def _span(span: Mapping[str, Any]) -> dict[str, Any]:
    label = span.get("label")
    return {
        "start": span["start"],
        "end": span.get("end"),
        "label": None if label is None else str(label)[:MAX_TEXT],
    }


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
            _mark_line(mark, low, high, shapes, texts)
        for span in beside.spans.get("cells", ())[-MOST:]:
            _shade(span, low, high, shapes, texts, colour=CELL_COLOUR, top=0.02)
        for span in beside.spans.get("held", ())[-MOST:]:
            _shade(span, low, high, shapes, texts, colour=HELD_COLOUR, top=1.0)
    figure.layout.shapes = shapes
    figure.layout.annotations = texts


def _mark_line(
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


def _shade(
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
