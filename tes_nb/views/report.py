"""One self-contained HTML file with a session's plots and last rows; it opens without a network."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import plotly.io
from plotly.offline import get_plotlyjs

from tes_nb._version import __version__
from tes_nb.errors import ExportError
from tes_nb.model import Stream
from tes_nb.store.paths import user_path

LAST_ROWS = 8

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; padding: 0 1rem; color: #222; }}
table {{ border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto; }}
th, td {{ padding: 3px 10px; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }}
h2 {{ margin-top: 2.5rem; }} .quiet {{ color: #555; }}
</style>
<script>{plotly}</script></head>
<body><h1>{title}</h1><p class="quiet">{subtitle}</p>
{sections}
</body></html>
"""


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


def write_report(path: str | Path, feeds: Sequence[ReportedFeed], *, title: str) -> Path:
    """Write the report and return its path. Raises `ExportError` with what to do when it cannot be written."""
    target = user_path(path)
    if not target.name:
        raise ExportError(f"The report '{path}' could not be written: it is a folder. Choose another path.")
    sections = "".join(_section(feed) for feed in feeds if len(feed.frame()))
    page = _PAGE.format(
        title=escape(title),
        subtitle=escape(
            f"Written {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC by tes_nb {__version__}. Times are UTC."
        ),
        plotly=get_plotlyjs(),
        sections=sections or "<p>No data had come when this was written.</p>",
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


def _section(feed: ReportedFeed) -> str:
    figure = plotly.io.to_html(
        feed.figure(), include_plotlyjs=False, full_html=False, config={"displaylogo": False}
    )
    counts = ", ".join(f"{name}: {len(feed.frame(name))} rows" for name in feed.tables)
    newest = feed.frame().tail(LAST_ROWS)
    return (
        f"<h2>{escape(feed.name)}</h2><p>{escape(feed.stream.doc)}</p>"
        f'<p class="quiet">{escape(str(feed.state))} · {escape(counts)}</p>{figure}'
        f"<details><summary>The newest rows</summary>{newest.to_html(escape=True, na_rep='')}</details>"
    )
