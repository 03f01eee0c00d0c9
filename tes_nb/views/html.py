"""The static face of sessions, feeds and views: small HTML that also reads well in a dead notebook.

Tables, and a line chart as SVG; the last values of a chart stand in a table too, which stays where pictures are
taken out. All text is untrusted and stays text.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from tes_nb.errors import counted
from tes_nb.model import Column, Table
from tes_nb.views.lines import MIB, PlotLine, colour, lines
from tes_nb.views.zone import zone

if TYPE_CHECKING:
    from collections.abc import Mapping


MAX_VALUES = 60
MAX_TEXT = 200

_STYLE = "border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums"
_CELL = "padding:2px 10px;text-align:left;border-bottom:1px solid rgba(128,128,128,.3);overflow-wrap:anywhere"


class FeedLike(Protocol):
    """What a feed shows."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> Any: ...
    @property
    def rows(self) -> int: ...
    @property
    def messages(self) -> int: ...
    @property
    def latest(self) -> Any: ...


class SessionLike(Protocol):
    """What a session shows."""

    @property
    def feeds(self) -> Mapping[str, FeedLike]: ...
    @property
    def running(self) -> bool: ...
    @property
    def url(self) -> str: ...


def feed_html(feed: FeedLike) -> str:
    """Return a feed's state and its last values."""
    amounts = f"{counted(feed.rows, 'row')} · {counted(feed.messages, 'message')}"
    caption = f"{escape(feed.name)}: {escape(str(feed.state))} · {amounts}"
    values = list(islice(_flatten(feed.latest), MAX_VALUES))
    if not values:
        return f"<p>{caption}<br>No data yet.</p>"
    return table_html(caption, ("field", "last value"), values)


def session_html(session: SessionLike, head: str) -> str:
    """Return a session's feeds with their states and counts. head: what it is, in a line."""
    caption = f"{escape(head)}, {escape(session.url)}"
    rows = [
        (feed.name, str(feed.state), str(feed.rows), str(feed.messages)) for feed in session.feeds.values()
    ]
    return table_html(caption, ("feed", "state", "rows", "messages"), rows)


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flatten(inner, f"{path}.{name}" if path else str(name))
    elif value is not None or path:
        text = value if isinstance(value, str) else json.dumps(value)
        yield path, text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def table_html(caption: str, head: tuple[str, ...], rows: list[Any]) -> str:
    """Everything in the rows is untrusted text and stays text."""
    cells = "".join(f'<th style="{_CELL}">{escape(word)}</th>' for word in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{escape(str(cell))}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    return (
        f'<table style="{_STYLE}"><caption style="text-align:left;font-weight:600">{caption}</caption>'
        f"<thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
    )


ROWS = 2_000
"""The newest rows of a table that a picture is drawn of."""
POINTS = 120
"""Points of a line: with twelve lines a picture stays under 30 kB."""
MOST_LINES = 12
MOST_ROWS = 20
WIDTH, PANEL, LEFT = 640, 110, 8
DIGITS = 6


def static_view(kind: str, title: str, inside: str, *, over: bool = False) -> str:
    """Return the HTML of a view that does not move, and says so. over: nothing new can come."""
    when = f"as it was at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    more = "Its session has ended." if over else "Run its cell to see it live."
    caption = f"{escape(title)} ({escape(kind)}), {when}. {more}"
    return (
        f'<figure style="margin:0"><figcaption style="font-size:12px">{caption}</figcaption>{inside}</figure>'
    )


def state_html(state: Mapping[str, Any] | None) -> str:
    """Return how a view's feed was doing, as a line; state: {word, text}, `None` = nobody knows."""
    if state is None:
        return ""
    text = str(state["text"])
    words = text if text.startswith(str(state["word"])) else f"{state['word']}: {text}"
    return f'<div style="font-size:12px">{escape(words)}</div>'


def chart(frame: pd.DataFrame, table: Table, columns: Sequence[Column]) -> str:
    """Return a panel per unit and the last values. Lines are split by the table's key."""
    some = [line for line in lines(frame.iloc[-ROWS:], table, columns) if len(_finite(line))]
    if not some:
        return "<p>There were no data yet.</p>"
    plotted = [line for line in some if _finite(line).any()] or some
    chosen, more = plotted[:MOST_LINES], len(plotted) - MOST_LINES
    panels = "".join(
        _panel(*panel, [line for line in chosen if (line.panel, line.unit) == panel])
        for panel in dict.fromkeys((line.panel, line.unit) for line in chosen)
    )
    rows = []
    for line in chosen:
        values = _finite(line)
        name = ", ".join(filter(None, (line.panel, line.title)))
        rows.append(
            (name, *(amount(one, line.unit) for one in (values[-1], values.min(), values.max())), line.name)
        )
    if more > 0:
        rows.append((f"… and {more} more lines", "", "", "", ""))
    return panels + table_html("", ("line", "last", "least", "most", "column"), rows)


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


UNIT_ENDING = re.compile(r" (?:mb|s|ms|percent|pct|bytes)$")


def is_time(column: Column) -> bool:
    """Whether its cells are times."""
    return column.kind == "time" or column.dtype.startswith("datetime64")


def picture_head(column: Column) -> str:
    """Return what the head of a table says of a column: what people call it, and its unit or its time zone."""
    words, unit = column.name.replace("_", " "), picture_unit(column)
    head = column.heading or (UNIT_ENDING.sub("", words) if column.unit else words)
    return f"{head} [{unit}]" if unit and not head.startswith(unit) else head


def picture_unit(column: Column) -> str:
    """Return the unit of what `picture_cell` makes: of times their zone, of sizes MB; "" = it has none."""
    if is_time(column):
        return zone.here
    return "MB" if column.unit == "bytes" else column.unit.replace(MIB, "MB")


def picture_cell(value: object, column: Column) -> object:
    """Return a cell below such a head. value: as views send it, times in Unix seconds."""
    if isinstance(value, int | float | np.number) and is_time(column):
        return f"{pd.Timestamp(float(value), unit='s', tz='UTC').tz_convert(zone.here):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, int | float | np.number) and (column.unit == "bytes" or column.unit.startswith(MIB)):
        return round(float(value) * (2**20 if column.unit.startswith(MIB) else 1) / 1e6, 3)
    if isinstance(value, float) and value.is_integer() and column.dtype.lower().startswith("int"):
        return int(value)  # a pid is no amount: without commas
    return value


PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def amount(value: object, unit: str) -> str:
    """Return a cell for people, as the live views write it: "312 MB", "12.5 %", "Rovers". Sizes are of 1000."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return str(value)[:MAX_TEXT]
    number = float(value)
    if not unit.startswith("bytes"):
        return f"{number:,.4g} {'%' if unit == 'percent' else unit}".rstrip()
    size, prefix = next((pair for pair in PREFIXES if abs(number) >= pair[0]), (1.0, ""))
    return f"{number / size:.3g} {prefix}{unit.replace('bytes', 'B')}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.{DIGITS}g}"


def _finite(line: PlotLine) -> np.ndarray:
    finite: np.ndarray = line.values[np.isfinite(line.values)]  # noqa: PD011 - of a line, not of a frame
    return finite


def _panel(panel: str, unit: str, plotted: Sequence[PlotLine]) -> str:
    """One SVG: every line of a panel on one scale."""
    times = np.concatenate([line.time for line in plotted]).astype("int64")
    values = np.concatenate([_finite(line) for line in plotted])
    first, last, low, high = int(times.min()), int(times.max()), float(values.min()), float(values.max())
    across = _scale(first, last, LEFT, WIDTH - LEFT)
    up = _scale(low, high, PANEL - 16, 14)
    paths = "".join(_path(line, colour(line.colour), across, up) for line in plotted)
    start, end = (f"{pd.Timestamp(at, tz='UTC').tz_convert(zone.here):%H:%M:%S}" for at in (first, last))
    words = (
        _word(LEFT, 11, amount(high, unit))
        + _word(WIDTH - LEFT, 11, panel or ", ".join(line.title for line in plotted)[:60], "end")
        + _word(LEFT, PANEL - 18, amount(low, unit))
        + _word(LEFT, PANEL - 3, f"{start} {zone.here}")
        + _word(WIDTH - LEFT, PANEL - 3, end, "end")
    )
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {PANEL}" width="{WIDTH}">{paths}{words}</svg>'
    # as an image: notebooks that are not trusted take <svg> out, and leave images that carry their data
    data = base64.b64encode(svg.encode()).decode()
    names = escape(", ".join(line.name for line in plotted))
    return f'<img alt="{names}" style="max-width:100%;display:block" src="data:image/svg+xml;base64,{data}">'


def _path(line: PlotLine, stroke: str, across: Callable[[float], float], up: Callable[[float], float]) -> str:
    step = -(-len(line.values) // POINTS)
    points: list[str] = []
    pen = "M"
    numbers = line.values[::step]  # noqa: PD011 - of a line, not of a frame
    for at, value in zip(line.time[::step].astype("int64"), numbers, strict=True):
        if not np.isfinite(value):
            pen = "M"  # a gap stays open
            continue
        points.append(f"{pen}{across(float(at)):.1f} {up(float(value)):.1f}")
        pen = "L"
    name = f"<title>{escape(line.name)}</title>"
    return f'<path d="{"".join(points)}" fill="none" stroke="{stroke}" stroke-width="1.5">{name}</path>'


def _word(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="10" fill="#767676">{escape(text)}</text>'


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    span = high - low
    if not span:
        return lambda _value: (start + end) / 2
    return lambda value: start + (value - low) / span * (end - start)
