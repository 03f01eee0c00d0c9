"""`%%tes_observe`: what a cell cost, and what the streams did meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pandas as pd

from tes_nb.views.html import table_html

if TYPE_CHECKING:
    from tes_nb.session.session import Session


def run_cell(shell: Any, code: str) -> Any:
    """Run the code in the user's namespace, top-level `await` included; return IPython's result of it.

    What the code raises is not shown here: `result.raise_error()` raises it where the magic's own cell shows it.
    """
    with _quiet(shell):
        return shell.run_cell(code, store_history=False)


@contextmanager
def _quiet(shell: Any) -> Iterator[None]:
    """A traceback is shown once, by the cell that has the magic."""
    showtraceback = shell.showtraceback
    shell.showtraceback = lambda *_args, **_options: None
    try:
        yield
    finally:
        shell.showtraceback = showtraceback


BYTES = ("rss_peak", "rss_mean", "children_rss_peak")
FEED, COLUMNS = "metrics", ("memory_rss", "cpu_percent")
LEAST_CHART_S = 5.0
"""The chart shows at least this much before the cell's end."""


class CellReport:
    """What `%%tes_observe` shows: the cell's row of `s.cells()`, messages per stream, and a small chart."""

    def __init__(self, cell: pd.Series, counts: pd.DataFrame, figure: Any) -> None:
        self.cell = cell
        """Its row of `s.cells()`."""
        self.counts = counts
        """A row per stream: messages, per_second."""
        self.figure = figure
        """A plotly figure of the observed process meanwhile; `None` = nothing came that could be drawn."""

    def __repr__(self) -> str:
        cost = " · ".join(f"{name} {value}" for name, value in _readable(self.cell))
        streams = " · ".join(f"{name} {row.messages}" for name, row in self.counts.iterrows())
        return f"<cell {self.cell['number']}: {cost}; messages: {streams}>"

    def _html(self) -> str:
        cost = table_html("What the cell cost", ("figure", "value"), _readable(self.cell))
        rows = [(name, row.messages, f"{row.per_second:.1f}") for name, row in self.counts.iterrows()]
        streams = table_html("Messages meanwhile", ("stream", "messages", "per second"), rows)
        return f'<div style="display:flex;gap:2em;flex-wrap:wrap">{cost}{streams}</div>'

    def _ipython_display_(self) -> None:
        from IPython.display import display  # noqa: PLC0415 - there is a shell

        display({"text/plain": repr(self), "text/html": self._html()}, raw=True)  # type: ignore[no-untyped-call]
        if self.figure is not None:
            display(self.figure)  # type: ignore[no-untyped-call]


def _readable(cell: pd.Series) -> list[tuple[str, str]]:
    """The figures of a cell in words that fit their size."""
    rows = []
    for name, value in zip(map(str, cell.index), cell, strict=True):
        if pd.isna(value) or name in ("number", "first_line"):
            continue
        if name in BYTES:
            rows.append((name, f"{value / 2**20:,.1f} MiB"))
        elif name.endswith("_s"):
            rows.append((name, f"{value:.3f} s"))
        else:
            rows.append((name, str(value)))
    return rows


def observe(shell: Any, session: Session, code: str) -> CellReport | None:
    """Run the cell and return what it cost. What the cell raises is raised after that was shown."""
    before = {name: feed.messages for name, feed in session.feeds.items()}
    began = time.monotonic()
    result = run_cell(shell, code)
    report = _report(session, before, time.monotonic() - began)
    if not result.success:
        report._ipython_display_()  # the cell ends with its error, so it gives no result
        result.raise_error()
    return report


def _report(session: Session, before: Mapping[str, int], seconds: float) -> CellReport:
    rows = []
    for name, feed in session.feeds.items():
        messages = feed.messages - before.get(name, 0)
        rows.append((name, messages, messages / max(seconds, 1e-9)))
    counts = pd.DataFrame(rows, columns=["stream", "messages", "per_second"]).set_index("stream")
    return CellReport(session.cells().iloc[-1], counts, _figure(session, seconds))


def _figure(session: Session, seconds: float) -> Any:
    """The observed process during the cell; `None` = the session does not show it."""
    feed = session.feeds.get(FEED)
    if feed is None:
        return None
    return feed.figure(COLUMNS, last=max(seconds, LEAST_CHART_S) + 1)
