"""What a live view leaves in a saved notebook for those who run none of our JavaScript: nbconvert, GitHub, a reader.

Small HTML with everything in it: a line chart as SVG, and the last values as a table, which also stands where
pictures are taken out. All text is untrusted and stays text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape

import numpy as np
import pandas as pd

from tes_nb.model import Column, Table
from tes_nb.views.cards import table_html
from tes_nb.views.palette import colour
from tes_nb.views.series import Line, lines

ROWS = 2_000
"""The newest rows of a table that a picture is drawn of."""
POINTS = 120
"""Points of a line: with twelve lines a picture stays under 30 kB."""
MOST_LINES = 12
MOST_ROWS = 20
WIDTH, PANEL, LEFT = 640, 110, 8
DIGITS = 6


def static_view(kind: str, title: str, inside: str) -> str:
    """Return the HTML of a view that no longer moves, and says so."""
    told = f"{escape(title)} ({escape(kind)}), as it was when it was displayed. Run its cell to see it live."
    return f'<figure style="margin:0"><figcaption style="font-size:12px">{told}</figcaption>{inside}</figure>'


def chart(frame: pd.DataFrame, table: Table, columns: Sequence[Column]) -> str:
    """Return a panel per unit and the last values. Lines are split by the table's key."""
    drawn = [line for line in lines(frame.iloc[-ROWS:], table, columns) if len(_finite(line))]
    if not drawn:
        return "<p>There were no data yet.</p>"
    shown, more = drawn[:MOST_LINES], len(drawn) - MOST_LINES
    units = dict.fromkeys(line.unit for line in shown)
    panels = "".join(
        _panel(unit, [(place, line) for place, line in enumerate(shown) if line.unit == unit])
        for unit in units
    )
    rows = [(line.name, *_figures(line), line.unit) for line in shown]
    if more > 0:
        rows.append((f"… and {more} more lines", "", "", "", ""))
    return panels + table_html("", ("line", "last", "least", "most", "unit"), rows)


def newest_rows(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table with its first rows."""
    if not rows:
        return "<p>There were no data yet.</p>"
    caption = "" if len(rows) <= MOST_ROWS else f"the first {MOST_ROWS} of {len(rows):,} rows"
    return table_html(caption, tuple(names), [[_text(cell) for cell in row] for row in rows[:MOST_ROWS]])


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return _number(cell) if isinstance(cell, float) else str(cell)[:200]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.{DIGITS}g}"


def _finite(line: Line) -> np.ndarray:
    numbers: np.ndarray = line.values  # noqa: PD011 - of a line, not of a frame
    finite: np.ndarray = numbers[np.isfinite(numbers)]
    return finite


def _figures(line: Line) -> tuple[str, str, str]:
    known = _finite(line)
    return _number(known[-1]), _number(known.min()), _number(known.max())


def _panel(unit: str, drawn: Sequence[tuple[int, Line]]) -> str:
    """One SVG: every line of a unit on one scale."""
    times = np.concatenate([line.time for _, line in drawn]).astype("int64")
    known = np.concatenate([_finite(line) for _, line in drawn])
    across = _scale(int(times.min()), int(times.max()), LEFT, WIDTH - LEFT)
    up = _scale(float(known.min()), float(known.max()), PANEL - 16, 14)
    paths = "".join(_path(line, colour(place), across, up) for place, line in drawn)
    ends = [
        str(np.datetime64(int(at), "ns").astype("datetime64[s]"))[11:] for at in (times.min(), times.max())
    ]
    words = _word(LEFT, 11, f"{_number(known.max())} {unit}") + _word(
        LEFT, PANEL - 18, f"{_number(known.min())}"
    )
    words += _word(LEFT, PANEL - 3, f"{ends[0]} UTC") + _word(WIDTH - LEFT, PANEL - 3, ends[1], "end")
    style = 'style="max-width:100%;display:block" xmlns="http://www.w3.org/2000/svg"'
    return f'<svg role="img" viewBox="0 0 {WIDTH} {PANEL}" width="{WIDTH}" {style}>{paths}{words}</svg>'


def _path(line: Line, stroke: str, across: Callable[[float], float], up: Callable[[float], float]) -> str:
    step = -(-len(line.values) // POINTS)
    told: list[str] = []
    pen = "M"
    numbers = line.values[::step]  # noqa: PD011 - of a line, not of a frame
    for at, value in zip(line.time[::step].astype("int64"), numbers, strict=True):
        if not np.isfinite(value):
            pen = "M"  # a gap stays open
            continue
        told.append(f"{pen}{across(float(at)):.1f} {up(float(value)):.1f}")
        pen = "L"
    name = f"<title>{escape(line.name)}</title>"
    return f'<path d="{"".join(told)}" fill="none" stroke="{stroke}" stroke-width="1.5">{name}</path>'


def _word(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="10" fill="#767676">{escape(text)}</text>'


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    span = high - low
    if not span:
        return lambda _value: (start + end) / 2
    return lambda value: start + (value - low) / span * (end - start)


def joined(parts: Iterable[str]) -> str:
    """Return several parts under each other."""
    return "".join(f"<div>{part}</div>" for part in parts)
