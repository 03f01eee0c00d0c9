"""`%%tes_observe`: what a cell cost, and what the streams did meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pandas as pd

from tes_nb.errors import SessionError
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


FEED, COLUMNS = "metrics", ("memory_rss", "cpu_percent")
LEAST_CHART_S = 5.0
"""The chart shows at least this much before the cell's end."""


class CellReport:
    """What `%%tes_observe` shows: the cell's row of `s.cells()`, messages per stream, and a small chart."""

    def __init__(self, cell: pd.Series, counts: pd.DataFrame, figure: Any) -> None:
        self.cell = cell
        """Its row of `s.cells()`."""
        self.costs = _costs(cell)
        """A row each for CPU time and peak memory, in words: of the kernel, of its children, of both together."""
        self.counts = counts
        """A row per stream: messages, per_second."""
        self.figure = figure
        """A plotly figure of the observed process meanwhile; `None` = nothing came that could be drawn."""

    def _head(self) -> str:
        return f"cell {self.cell['number']}: {self.cell['outcome']}, took {_seconds(self.cell['wall_s'])}"

    def __repr__(self) -> str:
        costs = " · ".join(
            f"{what}: " + ", ".join(f"{who} {value}" for who, value in zip(WHO, values, strict=True))
            for what, *values in self.costs
        )
        streams = " · ".join(f"{name} {count}" for name, count in self.counts["messages"].items())
        return f"<{self._head()} · {costs} · messages: {streams}>"

    def _html(self) -> str:
        cost = table_html(self._head(), ("", *WHO), self.costs)
        rows = [(name, count, f"{rate:.1f}") for name, count, rate in self.counts.itertuples(name=None)]
        streams = table_html("Messages meanwhile", ("stream", "messages", "per second"), rows)
        return f'<div style="display:flex;gap:2em;flex-wrap:wrap">{cost}{streams}</div>'

    def _ipython_display_(self) -> None:
        from IPython.display import display  # noqa: PLC0415 - there is a shell

        display({"text/plain": repr(self), "text/html": self._html()}, raw=True)  # type: ignore[no-untyped-call]
        if self.figure is not None:
            display(self.figure)  # type: ignore[no-untyped-call]


COST_S = 10.0
"""A busy machine may take a while to say what a cell cost."""
WHO = ("kernel", "children", "together")


def _costs(cell: pd.Series) -> list[tuple[str, str, str, str]]:
    """What the cell cost, in words: peaks together are those of one moment, so they may be less than the sum."""
    cpu, children_cpu = cell["cpu_s"], cell["children_cpu_s"]
    return [
        ("CPU time", _seconds(cpu), _seconds(children_cpu), _seconds(cpu + children_cpu)),
        ("peak memory", _size(cell["rss_peak"]), _size(cell["children_peak"]), _size(cell["total_peak"])),
    ]


def _seconds(value: float) -> str:
    return "not known" if pd.isna(value) else f"{value:.3f} s"


def _size(value: float) -> str:
    return "not known" if pd.isna(value) else f"{value / 2**20:,.1f} MiB"


def observe(shell: Any, session: Session, code: str) -> tuple[CellReport, Any]:
    """Run the cell; return what it cost, and IPython's result, which has what it raised."""
    before = {name: feed.messages for name, feed in session.feeds.items()}
    results = []

    def run() -> Any:
        results.append(run_cell(shell, code))
        return results[0]

    cell = _cost(session, session.measure_cell(run))
    seconds = max(float(cell["wall_s"]), 1e-9)
    rows = []
    for name, feed in session.feeds.items():
        messages = feed.messages - before.get(name, 0)
        rows.append((name, messages, messages / seconds))
    counts = pd.DataFrame(rows, columns=["stream", "messages", "per_second"]).set_index("stream")
    return CellReport(cell, counts, _figure(session, seconds)), results[0]


def _cost(session: Session, number: int) -> pd.Series:
    """Return what a cell cost, when the collector has said it."""
    deadline = time.monotonic() + COST_S
    while (own := session.cells().query("number == @number")).empty:
        if time.monotonic() > deadline:
            raise SessionError(
                f"Cell {number} has run, and the collector has not said within {COST_S:g} s what it cost: "
                "s.cells() has it when it comes."
            )
        time.sleep(0.05)
    return own.iloc[-1]


def _figure(session: Session, seconds: float) -> Any:
    """The observed process during the cell; `None` = the session does not show it."""
    feed = session.feeds.get(FEED)
    if feed is None:
        return None
    return feed.figure(COLUMNS, last=max(seconds, LEAST_CHART_S) + 1)
