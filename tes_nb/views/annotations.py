"""What stands beside the lines of a live chart and of a plotly figure.

Marks, executed cells, times in which the kernel was held; in a live chart also gaps and its upstream's state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from tes_nb.store.memory.tables import StreamStore
    from tes_nb.views.zone import WallClock
    from tes_nb.wire.events import Gap, Mark

MOST = 300
"""Notes of one sort that travel: the newest."""
MAX_TEXT = 300

Notes = Callable[[], Mapping[str, Sequence[Mapping[str, Any]]]]
"""→ {"cells": [{start, end, label}], "held": […], "marks": [{t, label, subject}]}.

Unix seconds; `end` is None while it lasts."""
Upstream = Callable[[], tuple[str, str] | None]
"""→ (word, text) of a feed's state."""


class Annotations:
    """Gaps, marks and spans of a store as they travel to the browser of a live chart."""

    def __init__(self, store: StreamStore, notes: Notes | None) -> None:
        self._store = store
        self._notes = notes
        self._broken: set[int] = set()

    def state(self) -> dict[str, Any]:
        """Return the newest of each sort."""
        marks = self._store.marks[-MOST:]
        spans = dict({} if self._notes is None else self._notes())
        more = spans.pop("marks", ())[-MOST:]
        return {
            "gaps": [_gap(gap) for gap in self._store.gaps[-MOST:]],
            "marks": [
                *({"t": mark.at_ns / 1e9, "label": mark.label[:MAX_TEXT]} for mark in marks),
                *({**mark, "label": str(mark["label"])[:MAX_TEXT]} for mark in more),
            ],
            **{name: [_span(span) for span in some[-MOST:]] for name, some in spans.items()},
        }

    def all_breaks(self) -> list[float]:
        """Return where gaps began, in Unix seconds: every line is broken there."""
        self._broken.clear()
        return self.new_breaks()

    def new_breaks(self) -> list[float]:
        """Return the beginnings of gaps since the last time."""
        new = [gap for gap in self._store.gaps if gap.lost_at_ns not in self._broken]
        self._broken.update(gap.lost_at_ns for gap in new)
        return [_began(gap) for gap in new]


def upstream_info(store: StreamStore, upstream: Upstream | None) -> dict[str, Any] | None:
    """Return the state of a store's reader as it travels, as `upstream` or else the store has it; `None` = unknown."""
    if upstream is not None:
        state = upstream()
        return None if state is None else {"word": state[0], "text": state[1][:MAX_TEXT]}
    change = store.state
    if change is None:
        return None
    return {"word": change.state, "text": change.text[:MAX_TEXT], "since": change.at_ns / 1e9}


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
        **({"place": str(span["place"])[:MAX_TEXT]} if "place" in span else {}),
    }


LABEL_CHARACTERS = 40
LABEL_SHARE = 0.03
"""What a character takes of the width of a narrow figure."""
HOVER_ONLY = "·"
MARK_LINES, LINE_PX = 3, 12
MARK_COLOUR = "#8d60e2"
CELL_COLOUR = "#75808c"
HELD_COLOUR = "#df3d48"
"""Words of these colours can be read on light and on dark ground."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What happened on the time line. Times are Unix seconds in `spans`, nanoseconds in `marks`."""

    marks: Sequence[Mark] = ()
    spans: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """"cells" and "held": {start, end, label} each."""


def plain(text: str) -> str:
    """Return text for plotly, which would take tags in it for formatting."""
    return escape(text, quote=False)


PANEL = "panel"
"""The name of annotations that are titles of panels: they stay."""


def annotate(
    figure: go.Figure,
    beside: Beside,
    times: Iterable[pd.Timestamp],
    wall: WallClock | None = None,
    *,
    above: bool = False,
) -> None:
    """Draw what lies in the range of `times` (UTC) over all panels; what was drawn before gives way.

    wall: how the figure shows times; `None` = in UTC. above: marks are named above the panels, not in them.
    """
    ends = list(times)
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = []
    if ends:
        low, high = min(ends), max(ends)
        pairs += [_mark_line(mark) for mark in beside.marks[-MOST:] if low <= _moment(mark.at_ns) <= high]
        for name in ("cells", "held"):
            for span in beside.spans.get(name, ())[-MOST:]:
                start = _moment(int(span["start"] * 1e9))
                end = high if span["end"] is None else _moment(int(span["end"] * 1e9))
                if end >= low and start <= high:
                    shade = _cell_shade if name == "cells" else _held_shade
                    pairs.append(shade(max(start, low), min(end, high), str(span["label"] or "")))
    if wall is not None:
        for shape, text in pairs:
            shape |= {at: wall.moment(shape[at].value) for at in ("x0", "x1")}
            text["x"] = wall.moment(text["x"].value)
    if ends:
        _part_labels([text for _, text in pairs], (max(ends) - min(ends)) * LABEL_SHARE, above=above)
    titles = [title for title in figure.layout.annotations if title.name == PANEL]
    figure.layout.shapes = [shape for shape, _ in pairs]
    figure.layout.annotations = [*titles, *(text for _, text in pairs)]


def _part_labels(texts: Iterable[dict[str, Any]], character: pd.Timedelta, *, above: bool) -> None:
    """Labels that would lie over each other in a narrow window: a mark goes a line on, others are told on hover alone.

    character: what one takes of the time axis there.
    """
    ends: dict[tuple[float, int], pd.Timestamp] = {}
    for text in sorted(texts, key=lambda one: one["x"]):
        high = text["y"]
        free = (
            line
            for line in range(MARK_LINES if high == 1.0 else 1)
            if ends.get((high, line), text["x"]) <= text["x"]
        )
        line = next(free, None)
        if line is None:
            text["text"] = HOVER_ONLY
            continue
        ends[high, line] = text["x"] + character * (len(text["text"]) + 1)
        if high == 1.0 and above:
            text |= {"yanchor": "bottom", "yshift": LINE_PX * line}
        elif high == 1.0:
            text["yshift"] = -4 - LINE_PX * line


def _moment(ns: int) -> pd.Timestamp:
    return pd.Timestamp(ns, tz="UTC")


def _mark_line(mark: Mark) -> tuple[dict[str, Any], dict[str, Any]]:
    at = _moment(mark.at_ns)
    line = {"color": MARK_COLOUR, "width": 1, "dash": "dash"}
    shape = {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "xref": "x", "yref": "paper", "line": line}
    return shape, _text(at, 1.0, mark.label, mark.label, MARK_COLOUR) | {"yanchor": "top"}


def _cell_shade(start: pd.Timestamp, end: pd.Timestamp, label: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A stripe at the bottom with the cell's number, and its first line on hover."""
    text = _text(start, 0.02, label.split(" ", 1)[0], label, CELL_COLOUR)
    return _rectangle(start, end, 0.02, CELL_COLOUR, 0.6), text


def _held_shade(start: pd.Timestamp, end: pd.Timestamp, label: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A band over everything."""
    return _rectangle(start, end, 1.0, HELD_COLOUR, 0.15), _text(start, 0.9, label, label, HELD_COLOUR)


def _rectangle(
    start: pd.Timestamp, end: pd.Timestamp, top: float, colour: str, opacity: float
) -> dict[str, Any]:
    place = {"x0": start, "x1": end, "y0": 0, "y1": top, "xref": "x", "yref": "paper"}
    look = {"fillcolor": colour, "opacity": opacity, "line": {"width": 0}, "layer": "below"}
    return {"type": "rect", **place, **look}


def _text(at: pd.Timestamp, y: float, text: str, hover: str, colour: str) -> dict[str, Any]:
    label = text if len(text) <= LABEL_CHARACTERS else text[: LABEL_CHARACTERS - 1] + "…"
    return {
        "x": at,
        "y": y,
        "xref": "x",
        "yref": "paper",
        "yanchor": "bottom",
        "xanchor": "left",
        "showarrow": False,
        "text": plain(label),
        "hovertext": plain(hover[:MAX_TEXT]),
        "font": {"size": 10, "color": colour},
    }
