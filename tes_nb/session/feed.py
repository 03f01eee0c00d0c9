"""A feed: one source of a session, as frames, messages, plots and files."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tes_nb.errors import SessionError
from tes_nb.model import Kind, Message, Opcode, Stream
from tes_nb.session.frames import gaps_frame, marks_frame, undecoded_frame
from tes_nb.session.listeners import Listeners
from tes_nb.session.state import FeedState
from tes_nb.session.table_view import TableView
from tes_nb.session.waiting import wait_async, wait_blocking
from tes_nb.store.memory.columns import DEFAULT_CAP
from tes_nb.store.memory.frames import describe
from tes_nb.store.memory.frames import frame as frame_of
from tes_nb.store.memory.recent import RecentMessages
from tes_nb.store.memory.tables import StreamStore
from tes_nb.views.html import feed_html

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from tes_nb.store.export.csv_text import Formulas
    from tes_nb.views.annotations import Notes
    from tes_nb.views.build import Bounds
    from tes_nb.views.chart import Chart
    from tes_nb.views.inspector import Inspector
    from tes_nb.views.rows import Lookup
    from tes_nb.views.table import LiveCards, LiveTable
    from tes_nb.wire.events import Mark

RECENT = 500
RECENT_BYTES = 4 * 2**20
"""So many of its newest messages a feed keeps as they came."""


class Feed:
    """One source: `feed.frame()` is what has come so far, `feed.state` how it is doing.

    Made by a session (`s.metrics`), never by hand. All methods may be called from any thread and while a loop runs.
    """

    def __init__(
        self,
        stream: Stream,
        source: str,
        *,
        live: bool = True,
        row_cap: int = DEFAULT_CAP,
        relay_state: Callable[[], str | None] = lambda: None,
        check: Callable[[], None] = lambda: None,
        subscribe: Callable[[str, Sequence[str]], Awaitable[Any]] | None = None,
    ) -> None:
        self.stream = stream
        self.source = source
        self.live = live
        self.store = StreamStore(stream, cap=row_cap)
        self.recent = RecentMessages(source, stream, limit=RECENT, limit_bytes=RECENT_BYTES)
        """The newest messages as they came, for inspectors."""
        self._listeners = Listeners()
        self._relay_state = relay_state
        self._check = check
        self._subscribe = subscribe
        self._last_data_mono = 0.0
        self._closed = False
        self.url = ""
        """The page that shows the same while the kernel is held; "" = there is none."""
        self.notes: Notes | None = None
        """Executed cells and held times, for charts; `None` = nobody tells."""
        self.on_origin: Callable[[str], None] | None = None
        """Called with the `location.origin` of a browser that shows a view of the feed; `None` = nobody asks."""

    # What comes in -------------------------------------------------------------------------------------------

    def append(self, message: Message) -> None:
        """Append one message of the relay. Called on the background thread, in the order of the source."""
        self.recent.append(message)
        decoded = self.store.receive(message)
        if decoded is not None and decoded.kind is Kind.DATA:
            self._last_data_mono = time.monotonic()
        if message.opcode != Opcode.EVENT:
            self._listeners.publish(message)

    def close(self) -> None:
        """End iterations; frames stay."""
        self._closed = True
        self._listeners.close()

    # What a user reads ---------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The source's name."""
        return self.source

    @property
    def state(self) -> FeedState:
        """How the feed is doing; `str()` of it is one line."""
        self._raise_pending()
        return self.look()

    def look(self) -> FeedState:
        """The state for views: leaves errors of the user's own functions to the user's next call."""
        return FeedState.of(
            upstream=self.store.state,
            relay=None if self._closed else self._relay_state(),
            closed=self._closed or not self.live,
            silent_s=time.monotonic() - self._last_data_mono if self._last_data_mono else None,
            period_s=self.stream.period_s,
            undecoded=self.store.counts().kinds.get(Kind.UNDECODED, 0),
            gaps=len(self.store.gaps),
        )

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
        self._raise_pending()
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
        return self.store.marks

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
        self._raise_pending()
        return frame_of(
            self.store.tables[self._table_name(table)],
            start=start,
            end=end,
            last=last,
            tz=tz,
            copy=copy,
            gaps=self.store.gaps if gaps else None,
            now_ns=self._now_ns(),
        )

    def _now_ns(self) -> int | None:
        """What `last` counts back from, Unix ns; `None` = the newest row."""
        return time.time_ns() if self.live and not self._closed else None

    def _table_name(self, table: str | None) -> str:
        name = self.stream.main if table is None else table
        if name not in self.tables:
            raise SessionError(
                f"The feed '{self.source}' has no table '{name}'; it has {', '.join(self.tables)}."
            )
        return name

    def figure(
        self,
        columns: Iterable[str] | None = None,
        *,
        table: str | None = None,
        last: Any = None,
        live: bool = False,
    ) -> go.Figure:
        """Return a plotly figure: a panel per unit, counters as rates, gaps as gaps.

        columns: names to draw; `None` = every gauge and counter that has values. live=True gives a FigureWidget
        that goes on by itself, twice a second at most; `plot()` costs the browser far less.
        """
        from tes_nb.views.build import feed_figure  # noqa: PLC0415 - plotly only when somebody draws

        return feed_figure(self, self._table_name(table), columns=columns, last=last, live=live)

    def plot(
        self,
        columns: Sequence[str] | str | None = None,
        *,
        table: str | None = None,
        window: str | float | None = "5min",
        by: Sequence[str] | None = None,
        alert: Bounds | None = None,
    ) -> Chart:
        """Return a live chart that keeps moving while a cell computes; display it.

        columns: names to draw; `None` = the usual ones. window: time shown at first, `None` = all. by: columns
        that split lines, `None` = the table's key. alert: {column: above} or {column: (below, above)}, drawn as
        lines; `chart.alerts` lists what passed them.
        """
        from tes_nb.views.build import live_chart  # noqa: PLC0415 - widgets only when somebody draws

        chosen = [columns] if isinstance(columns, str) else columns
        return live_chart(
            self,
            self._table_name(table),
            columns=chosen,
            window=window,
            by=by,
            alert=alert,
        )

    def view(self) -> Chart | LiveCards | LiveTable:
        """Return the usual view of the feed: a chart, cards or a table of its main table; display it."""
        if self.stream.view == "cards":
            return self.cards()
        return self.table() if self.stream.view == "table" else self.plot()

    def table(self, name: str | None = None) -> LiveTable:
        """Return a live table of the newest row of each key, such as each worker; display it.

        name: a table with a key, `None` = the main one. Rows change in place; sort, filter and scroll stay.
        """
        from tes_nb.views.build import live_table  # noqa: PLC0415

        return live_table(self, self._table_name(name))

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
        self._raise_pending()
        return wait_blocking(self, rows, seconds, timeout)

    async def wait_async(
        self,
        rows: int | None = None,
        seconds: float | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - it raises our sentence
    ) -> int:
        """The same in async code; the caller's loop goes on."""
        self._raise_pending()
        return await wait_async(self, rows, seconds, timeout)

    @property
    def closed(self) -> bool:
        """Whether nothing more can come."""
        return self._closed

    def __aiter__(self) -> AsyncIterator[Message]:
        """Yield each message from now on, in the caller's own loop."""
        self._raise_pending()
        return self._listeners.iterate()

    def on_message(self, callback: Callable[[Message], object]) -> Callable[[], None]:
        """Call `callback(message)` for each message, on the background thread; return the function that ends it.

        What it raises is raised by your next call on this feed or session.
        """
        self._raise_pending()
        return self._listeners.on_message(callback)

    @property
    def dropped_messages(self) -> int:
        """Messages that slow `async for` loops missed."""
        return self._listeners.dropped

    async def subscribe(self, names: Sequence[str]) -> None:
        """Ask the peer for these parts or channels only; asked again after each reconnect."""
        self._raise_pending()
        if self._subscribe is None or self.stream.subscription is None:
            raise SessionError(
                f"The feed '{self.source}' has nothing to choose from: it always sends everything."
            )
        await self._subscribe(self.source, list(names))

    def _raise_pending(self) -> None:
        self._check()
        self._listeners.raise_pending()

    # Files ---------------------------------------------------------------------------------------------------

    def to_csv(
        self, path: str | Path, *, table: str | None = None, formulas: Formulas = "neutralise"
    ) -> Path:
        """Write what memory holds of a table (`None` = the main one) to one CSV file; return its path.

        formulas="neutralise" puts a ' before text that a spreadsheet would run; "keep" writes it as it is.
        """
        from tes_nb.store.export.export import CHUNK_ROWS, write_csv  # noqa: PLC0415 - only when somebody exports

        self._raise_pending()
        rows = self.store.tables[self._table_name(table)].snapshot()
        write_csv(path, rows.table, rows.chunks(CHUNK_ROWS), formulas=formulas)
        return Path(path)

    export = to_csv

    def to_parquet(self, path: str | Path, *, table: str | None = None) -> Path:
        """Write the same to one Parquet file (needs pyarrow: `pip install "tes-nb[parquet]"`); return its path."""
        from tes_nb.store.export.export import CHUNK_ROWS  # noqa: PLC0415 - only when somebody exports
        from tes_nb.store.export.parquet import write_parquet_file  # noqa: PLC0415

        self._raise_pending()
        rows = self.store.tables[self._table_name(table)].snapshot()
        write_parquet_file(path, rows.table, rows.chunks(CHUNK_ROWS))
        return Path(path)

    def __repr__(self) -> str:
        state = self.state
        return f"<{self.source}: {state} · {self.rows} rows · {self.messages} messages>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        del include, exclude
        return {"text/plain": repr(self), "text/html": feed_html(self)}
