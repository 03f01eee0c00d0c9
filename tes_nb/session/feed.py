"""A feed: one source of a session, as frames, messages, plots and files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from tes_nb.errors import SessionError, counted
from tes_nb.model import Message, Stream
from tes_nb.session.feed_outputs import FeedOutputs
from tes_nb.session.frames import gaps_frame, marks_frame, undecoded_frame
from tes_nb.session.origin import Origin
from tes_nb.session.state import FeedState
from tes_nb.session.table_view import TableView
from tes_nb.session.waiting import wait_async, wait_blocking
from tes_nb.store.memory.frames import describe
from tes_nb.store.memory.frames import frame as frame_of
from tes_nb.store.memory.recent import RecentMessages
from tes_nb.store.memory.tables import StreamStore
from tes_nb.views.html import feed_html, table_html

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from tes_nb.store.session.tables import SourceSummary
    from tes_nb.views.annotations import Notes
    from tes_nb.views.build import Bounds
    from tes_nb.views.chart import Chart
    from tes_nb.views.controls import Steering
    from tes_nb.views.inspector import Inspector
    from tes_nb.views.source import Lookup
    from tes_nb.views.table import LiveCards, LiveTable
    from tes_nb.wire.events import Mark

USUAL = "usual"
"""A chart's window where the user names none."""


class Feed(FeedOutputs):
    """One source: `feed.frame()` is what has come so far, `feed.state` how it is doing.

    Made by a session (`s.metrics`), never by hand. All methods may be called from any thread and while a loop runs.
    """

    def __init__(self, stream: Stream, origin: Origin) -> None:
        self.stream = stream
        self.origin = origin
        """Where its messages come from: a collector, a recording or a replay."""
        self.url = ""
        """The page that shows the same while the kernel is held; "" = there is none."""
        self.notes: Notes | None = None
        """Executed cells and held times, for charts; `None` = they are not reported."""
        self.ask: Callable[[Any], Any] | None = None
        """Lets the collector carry out an operation; `None` = there is none."""
        self.steers: Callable[[], Steering | None] = lambda: None
        """Gives how buttons in its views reach the collector; `None` = they do not."""
        self.on_origin: Callable[[str], None] | None = None
        """Called with the `location.origin` of a browser that shows a view of the feed; `None` = not called."""

    @property
    def source(self) -> str:
        """The source's name."""
        return self.origin.source

    name = source

    @property
    def steering(self) -> Steering | None:
        """How the buttons of its rows reach the collector; `None` = there is no collector to ask."""
        return self.steers()

    @property
    def store(self) -> StreamStore:
        """The rows of everything that came."""
        return self.origin.store

    @property
    def recent(self) -> RecentMessages:
        """The newest messages as they came, for inspectors."""
        return self.origin.recent

    @property
    def closed(self) -> bool:
        """Whether nothing more can come."""
        return self.origin.listeners.closed

    def close(self) -> None:
        """End iterations; frames stay."""
        self.origin.listeners.close()

    # What a user reads ---------------------------------------------------------------------------------------

    @property
    def state(self) -> FeedState:
        """How the feed is doing; `str()` of it is one line."""
        return self.origin.state()

    def look(self) -> FeedState:
        """The state for views: leaves errors of the user's own functions to the user's next call."""
        return self.origin.look()

    @property
    def tables(self) -> list[str]:
        """The names of the feed's tables."""
        return [table.name for table in self.stream.tables]

    @property
    def columns(self) -> pd.DataFrame:
        """The main table's columns: name, dtype, unit, doc."""
        return describe(self.stream.table(self.stream.main))

    @property
    def rows(self) -> int:
        """Rows received in the main table, dropped ones included."""
        return self.store.main.total - self.store.main.cleared

    @property
    def messages(self) -> int:
        """Messages received."""
        return self.store.counts().messages

    @property
    def latest(self) -> Any:
        """The last data message in wire form; `None` = none yet."""
        self.origin.check()
        message = self.store.latest
        return None if message is None else message.json()

    @property
    def errors(self) -> pd.DataFrame:
        """The newest messages that did not decode: time, reason, sentence, size, first bytes."""
        return undecoded_frame(self.store.undecoded)

    @property
    def gaps(self) -> pd.DataFrame:
        """Holes in what was received: conn, last_seen, lost_at, back_at, cause, missing."""
        return gaps_frame(self.store.gaps)

    @property
    def marks(self) -> pd.DataFrame:
        """What was marked: time, label."""
        return marks_frame(self.mark_list())

    def mark_list(self) -> list[Mark]:
        """What was marked, for views."""
        return self.origin.marks()

    def frame(
        self,
        table: str | None = None,
        *,
        start: Any = None,
        end: Any = None,
        last: Any = None,
        tz: str | None = None,
        copy: bool = True,
        gaps: bool = False,
    ) -> pd.DataFrame:
        """Return a table as a DataFrame, its index `time` in UTC (or `tz`), units in `.attrs["units"]`.

        table: a name of `feed.tables`; `None` = the main one. start, end: anything `pd.Timestamp` takes, naive
        is UTC. last: "10min", a Timedelta or seconds; counts back from now when live, else from the newest row.
        copy=False gives a read-only frame at once. gaps=True puts a row of NA into each gap.
        """
        self.origin.check()
        within = {"start": start, "end": end, "last": last, "tz": tz}
        return frame_of(
            self.origin.rows(self._table_name(table), **within),
            **within,
            copy=copy,
            gaps=self.origin.gaps() if gaps else None,
            now_ns=self.origin.now_ns(),
        )

    def figure(
        self,
        columns: Iterable[str] | None = None,
        *,
        table: str | None = None,
        last: Any = None,
        live: bool = False,
        where: Mapping[str, Any] | None = None,
    ) -> go.Figure:
        """Return a plotly figure: a panel per quantity and unit, counters as rates, gaps as gaps.

        columns: names to draw; `None` = every gauge and counter that has values. live=True gives a FigureWidget
        that goes on by itself, twice a second at most; `plot()` costs the browser far less. where: as in `plot`.
        Times are in `tes.options.tz`, else in UTC; the axis says so.
        """
        from tes_nb.views.build import feed_figure  # noqa: PLC0415 - plotly only when somebody draws

        return feed_figure(self, self._table_name(table), columns=columns, last=last, live=live, where=where)

    def plot(
        self,
        columns: Sequence[str] | str | None = None,
        *,
        table: str | None = None,
        window: str | float | None = USUAL,
        by: Sequence[str] | str | None = None,
        alert: Bounds | None = None,
        where: Mapping[str, Any] | None = None,
        notes: Notes | None = None,
    ) -> Chart:
        """Return a live chart that keeps moving while a cell computes; display it.

        columns: names to draw; `None` = the usual ones. window: time shown at first, `None` = all, "usual" = five
        minutes, and all of a recording. by: columns that split lines, or one; `None` = the table's key. alert:
        {column: above} or {column: (below, above)}, drawn as lines; `chart.alerts` lists what passed them.
        where: {column: value or list of values} of the rows to draw, `None` = all. notes: what is marked beside the
        lines, `None` = what the session notes.
        """
        from tes_nb.views.build import live_chart  # noqa: PLC0415 - widgets only when somebody draws

        chosen = [columns] if isinstance(columns, str) else columns
        return live_chart(
            self,
            self._table_name(table),
            columns=chosen,
            window=self.origin.window if window == USUAL else window,
            by=by,
            alert=alert,
            where=where,
            notes=notes,
        )

    def subject_notes(self) -> Notes | None:
        """What charts note beside the lines of each subject, such as goals of a match; `None` = nothing."""
        return self.notes

    def view(self) -> Chart | LiveCards | LiveTable:
        """Return the usual view of the feed: a chart, cards or a table of its main table; display it."""
        if self.stream.view == "cards":
            return self.cards()
        return self.table() if self.stream.view == "table" else self.plot()

    def table(self, name: str | None = None, *, where: Mapping[str, Any] | None = None) -> LiveTable:
        """Return a live table of the newest row of each key, such as each worker; display it.

        name: a table with a key, `None` = the main one. Rows change in place; sort, filter and scroll stay.
        where: {column: value or list of values} of the rows to show, `None` = all.
        """
        from tes_nb.views.build import live_table  # noqa: PLC0415

        return live_table(self, self._table_name(name), where)

    def lookup(self, table: str) -> Lookup | None:
        """Columns that a live table shows beside its own, such as names; `None` = there are none."""
        del table
        return None

    def cards(self, table: str | None = None) -> LiveCards:
        """Return live cards: the newest values of a table with one subject, with small trends; display them."""
        from tes_nb.views.build import live_cards  # noqa: PLC0415

        return live_cards(self, self._table_name(table))

    def inspector(self) -> Inspector:
        """Return a live list of messages and connections, as DevTools' Messages tab shows them; display it."""
        from tes_nb.views.build import live_inspector  # noqa: PLC0415

        return live_inspector([self], self.source)

    if not TYPE_CHECKING:  # what is no table is a mistake, and a type checker should find it

        def __getattr__(self, name: str) -> TableView:
            """Give a table by its name: `feed.odds`."""
            stream = self.__dict__.get("stream")
            if stream is None or name not in {table.name for table in stream.tables}:
                raise AttributeError(f"'{type(self).__name__}' has no attribute or table '{name}'")
            return TableView(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.tables})

    # Waiting and listening -----------------------------------------------------------------------------------

    def wait(
        self, rows: int | None = None, seconds: float | None = None, timeout: float | None = None
    ) -> int:
        """Wait, with a progress bar, for so many more rows or seconds; return the rows that came.

        With both, whichever comes first. Raises `SessionError` when `timeout` seconds pass without them, or
        when the feed closes meanwhile.
        """
        self._check_more()
        return wait_blocking(self, rows, seconds, timeout)

    async def wait_async(
        self,
        rows: int | None = None,
        seconds: float | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - it raises our sentence
    ) -> int:
        """The same in async code; the caller's loop goes on."""
        self._check_more()
        return await wait_async(self, rows, seconds, timeout)

    def __aiter__(self) -> AsyncIterator[Message]:
        """Yield each message in the caller's own loop: from now on, or all of a recording."""
        self.origin.check()
        return self.origin.messages()

    def on_message(self, callback: Callable[[Message], object]) -> Callable[[], None]:
        """Call `callback(message)` for each message, on the background thread; return the function that ends it.

        What it raises is raised by your next call on this feed or session.
        """
        self._check_more()
        return self.origin.listeners.on_message(callback)

    @property
    def dropped_messages(self) -> int:
        """Messages that slow `async for` loops missed."""
        return self.origin.listeners.dropped

    async def subscribe(self, names: Sequence[str]) -> None:
        """Ask the peer for these parts or channels only; asked again after each reconnect."""
        self._check_more()
        if self.stream.subscription is None:
            raise SessionError(
                f"The feed '{self.source}' has nothing to choose from: it always sends everything."
            )
        await self.origin.subscribe(list(names))

    def _check_more(self) -> None:
        """Raise what is pending, and `SessionError` where nothing more comes."""
        self.origin.check()
        if self.origin.refusal:
            raise SessionError(self.origin.refusal)

    # How it shows --------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        summary = self.origin.summary()
        if summary is None:
            state = self.state
            if self.origin.elsewhere:
                return f"<{self.source}: {state}>"
            amounts = f"{counted(self.rows, 'row')} · {counted(self.messages, 'message')}"
            return f"<{self.source}: {state} · {amounts}>"
        gaps = f", {counted(summary.gaps, 'gap')}" if summary.gaps else ""
        amounts = f"{counted(summary.messages, 'message')} in {summary.duration_s:,.1f} s"
        return f"<{self.source}: RECORDED · {amounts}{gaps}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        del include, exclude
        summary = self.origin.summary()
        if self.origin.elsewhere:
            return {"text/plain": repr(self)}
        html = feed_html(self) if summary is None else summary_html(self.source, summary, self.tables)
        return {"text/plain": repr(self), "text/html": html}


def summary_html(source: str, summary: SourceSummary, tables: list[str]) -> str:
    """Return a recorded source in figures."""
    rows = [
        ("messages", f"{summary.messages:,}"),
        ("per second", f"{summary.per_second:,.1f}"),
        ("from", _moment(summary.first_ns)),
        ("to", _moment(summary.last_ns)),
        ("gaps", str(summary.gaps)),
        ("tables", ", ".join(tables)),
    ]
    return table_html(f"{source}: recorded", ("", ""), rows)


def _moment(ns: int | None) -> str:
    return "-" if ns is None else str(pd.Timestamp(ns, tz="UTC"))
