"""The report: one file that begins with what it cost, and opens without a network."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import pandas as pd
import plotly.io
from plotly.offline import get_plotlyjs

from tes_nb._version import __version__
from tes_nb.errors import ExportError
from tes_nb.model import Column, Stream, Table
from tes_nb.model.table import BASE_COLUMNS
from tes_nb.store.paths import user_path
from tes_nb.views.html import picture_cell, picture_head
from tes_nb.views.lines import plotted_columns
from tes_nb.views.zone import zone

LAST_ROWS = 8

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; --fg: #1f2328; --quiet: #57606a; --ground: #fff; --line: #d0d7de; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --fg: #e6edf3; --quiet: #9aa7b4; --ground: #0d1117; --line: #343c46; }}
}}
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 1200px; padding: 0 1rem;
  color: var(--fg); background: var(--ground); }}
dl {{ display: grid; grid-template-columns: repeat(3, 1fr); gap: 10px; margin: 1rem 0; }}
dl div {{ border: 1px solid var(--line); border-radius: 6px; padding: 8px 12px; min-width: 0; }}
dt {{ color: var(--quiet); font-size: 13px; }}
dd {{ margin: 0; font-size: 19px; font-weight: 600; overflow-wrap: anywhere; }}
dd small {{ display: block; font-size: 13px; font-weight: 400; color: var(--quiet); }}
@media (max-width: 800px) {{ dl {{ grid-template-columns: repeat(2, 1fr); }} }}
@media (max-width: 480px) {{ dl {{ grid-template-columns: 1fr; }} }}
table {{ border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto; }}
th, td {{ padding: 3px 10px; text-align: right; border: 0; border-bottom: 1px solid var(--line); white-space: nowrap; }}
h2 {{ margin: 2rem 0 0.3rem; }} .quiet {{ color: var(--quiet); }} p {{ margin: 0.3rem 0; }}
</style>
<script>{plotly}</script></head>
<body><h1>{title}</h1><p class="quiet">{subtitle}</p>
{sections}
</body></html>
"""


@dataclass(frozen=True, slots=True)
class CostFigure:
    """A figure at the top of a report."""

    title: str
    value: str
    note: str = ""


class ReportedFeed(Protocol):
    """What a report takes from a feed."""

    stream: Stream

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> Any: ...
    @property
    def tables(self) -> list[str]: ...
    def frame(self, table: str | None = None) -> pd.DataFrame: ...
    def figure(self, columns: Any = None, *, table: str | None = None) -> Any: ...


def write_report(
    path: str | Path,
    feeds: Sequence[ReportedFeed],
    *,
    title: str,
    facts: Sequence[CostFigure] = (),
    cells: tuple[pd.DataFrame, Table] | None = None,
) -> Path:
    """Write the report and return its path. Raises `ExportError` with what to do when it cannot be written.

    facts: what it cost, at the top. cells: what each executed cell cost, and that table's description; `None` =
    nobody measured.
    """
    sections = "".join(_section(feed) for feed in feeds if len(feed.frame()))
    return write_page(
        path, title, _cost(facts, cells) + (sections or "<p>No data had come when this was written.</p>")
    )


def write_page(path: str | Path, title: str, sections: str) -> Path:
    """Write one self-contained page of these sections (HTML); return its path. Raises `ExportError`."""
    target = user_path(path)
    if not target.name:
        raise ExportError(f"The report '{path}' could not be written: it is a folder. Choose another path.")
    page = _PAGE.format(
        title=escape(title),
        subtitle=escape(
            f"Written {datetime.now(UTC).astimezone(ZoneInfo(zone.here)):%Y-%m-%d %H:%M:%S} by tes_nb {__version__}. "
            f"Times are {zone.here}."
        ),
        plotly=get_plotlyjs(),
        sections=sections,
    )
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(page, encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise ExportError(
            f"The report {target} could not be written: {error.strerror}. Choose another path."
        ) from error
    return target


def figure_html(figure: Any) -> str:
    """Return a figure as a part of a page, as wide as that."""
    config = {"displaylogo": False, "responsive": True}
    html: str = plotly.io.to_html(figure, include_plotlyjs=False, full_html=False, config=config)
    return html


def _cost(facts: Sequence[CostFigure], cells: tuple[pd.DataFrame, Table] | None) -> str:
    """What it cost: a box for each fact, and the cells."""
    boxes = "".join(
        f"<div><dt>{escape(fact.title)}</dt><dd>{escape(fact.value)}<small>{escape(fact.note)}</small></dd></div>"
        for fact in facts
    )
    listed = "" if cells is None else f"<h2>Cells</h2>{_table(*cells)}"
    return (f"<h2>What it cost</h2><dl>{boxes}</dl>" if boxes else "") + listed


def _table(frame: pd.DataFrame, table: Table) -> str:
    """A table as views show it: titles, units and the zone in its head, the columns' names on hover."""
    by_name = {column.name: column for column in (*BASE_COLUMNS, *table.columns)}
    shown = frame.reset_index()
    named = [by_name.get(str(name), Column(str(name), "str", "", "label", "")) for name in shown]
    heads = "".join(
        f'<th title="{escape(": ".join(filter(None, (one.name, one.doc))))}">{escape(picture_head(one))}</th>'
        for one in named
    )
    rows = "".join(
        "<tr>"
        + "".join(f"<td>{escape(_cell(value, one))}</td>" for value, one in zip(row, named, strict=True))
        + "</tr>"
        for row in shown.itertuples(index=False, name=None)
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(value: Any, column: Column) -> str:
    if pd.isna(value):
        return ""
    if isinstance(value, pd.Timestamp):
        value = value.timestamp()
    cell = picture_cell(value, column)
    if not isinstance(cell, float):
        return str(cell)
    return f"{cell:,.0f}" if abs(cell) >= 10_000 else f"{cell:.4g}"


def _section(feed: ReportedFeed) -> str:
    rows = feed.frame()
    usual = plotted_columns(rows, feed.stream.table(feed.stream.main), None)
    chosen = [column.name for column in usual if rows[column.name].fillna(0).ne(0).any()]
    # what has nothing but zeros would be an empty panel
    drawn = figure_html(feed.figure(chosen)) if chosen else ""
    counts = ", ".join(
        f"{name}: {len(feed.frame(name))} rows" for name in feed.tables if len(feed.frame(name))
    )
    newest = rows.tail(LAST_ROWS).dropna(axis="columns", how="all")
    return (
        f"<h2>{escape(feed.name)}</h2><p>{escape(feed.stream.doc)}</p>"
        f'<p class="quiet">{escape(str(feed.state))} · {escape(counts)}</p>{drawn}'
        f"<details><summary>The newest rows</summary>"
        f"{_table(newest, feed.stream.table(feed.stream.main))}</details>"
    )
