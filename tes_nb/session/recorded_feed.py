"""One source of a recording: what a live feed offers, read from the file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pandas as pd

from tes_nb.errors import ArgumentError, SessionError
from tes_nb.model import Kind, Message, Stream
from tes_nb.session.feed import RECENT, RECENT_BYTES, Feed
from tes_nb.session.state import FeedState
from tes_nb.store.memory.frames import frame as frame_of
from tes_nb.store.memory.recent import RecentMessages
from tes_nb.store.memory.tables import UNBOUNDED, StreamStore, pieces, pieces_together
from tes_nb.store.memory.timespec import instant_ns, span_ns
from tes_nb.store.session.reader import SessionFile
from tes_nb.views.html import table_html
from tes_nb.wire.events import Mark

if TYPE_CHECKING:
    from tes_nb.store.export.csv_text import Formulas
    from tes_nb.store.export.export import TableExport
    from tes_nb.store.session.tables import SourceSummary
    from tes_nb.views.build import Bounds
    from tes_nb.views.chart import Chart
    from tes_nb.wire.events import Gap

FIRST_LOOK_NS = 10_000_000_000
AFTER_NS = 1
"""`messages` leaves its end out; frames count theirs in."""


class RecordedFeed(Feed):
    """One source of a recording. Frames of a range read only that range of the file."""

    def __init__(self, stream: Stream, source: str, file: SessionFile) -> None:
        super().__init__(stream, source, live=False)
        del self.store, self.recent  # read from the file on first use, see below
        self._file = file
        self._closed = True

    # What a user reads ---------------------------------------------------------------------------------------

    @cached_property
    def store(self) -> StreamStore:  # type: ignore[override] # read on first use instead of being filled live
        """Everything of this source, decoded on first use."""
        store = self._read(None, None)
        for gap in self._file_gaps(own=False):
            store.add_event(gap)
        return store

    @cached_property
    def recent(self) -> RecentMessages:  # type: ignore[override] # likewise
        """The newest messages of the recording."""
        recent = RecentMessages(self.source, self.stream, limit=RECENT, limit_bytes=RECENT_BYTES)
        for message in self._newest_messages():
            recent.append(message)
        return recent

    def _newest_messages(self) -> list[Message]:
        """At least as many as a live feed keeps, where there are so many, without reading all of a long recording."""
        span, messages, back_ns = self._file.span(self.source), list[Message](), FIRST_LOOK_NS
        while span is not None and len(messages) < RECENT:
            start = span[1] - back_ns
            messages = list(self._file.messages(self.source, start_ns=start))
            if start <= span[0]:
                break
            back_ns *= 4
        return messages

    @property
    def state(self) -> FeedState:
        """Always RECORDED; beside it, what is known of gaps and undecoded messages. Reads the whole source."""
        undecoded = self.store.counts().kinds.get(Kind.UNDECODED, 0)
        return FeedState("RECORDED", "RECORDED", 0, undecoded, len(self.store.gaps))

    def look(self) -> FeedState:
        """The state for views: they show what has ended on purpose as CLOSED, with its text."""
        return FeedState("CLOSED", f"recorded in {self._file.path.name}", 0, 0, 0)

    def mark_list(self) -> list[Mark]:
        """From the file's own table: no message is read for them."""
        return [Mark(one.label, one.at_ns) for one in self._file.marks if one.source == self.source]

    def _read(self, start_ns: int | None, end_ns: int | None) -> StreamStore:
        store = StreamStore(self.stream, cap=UNBOUNDED)
        for message in self._file.messages(self.source, start_ns=start_ns, end_ns=end_ns):
            store.receive(message)
        return store

    def _file_gaps(self, *, own: bool = True) -> list[Gap]:
        """The gaps that touch this source; without its own: those in which nothing could be written."""
        wanted = (None, self.source) if own else (None,)
        return [one.gap for one in self._file.gaps if one.source in wanted]

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
        """The same as live; `last` counts back from the newest message of the recording."""
        name = self._table_name(table)
        low, high = self._range(start, end, last, tz)
        whole = (low is None and high is None) or "store" in self.__dict__
        # a table of comparisons depends on all that came before
        since = None if name in self.stream.folded else low
        store = self.store if whole else self._read(since, high)
        return frame_of(
            store.tables[name],
            start=low if last is not None else start,
            end=end,
            tz=tz,
            copy=copy,
            gaps=self._file_gaps() if gaps else None,
        )

    def _range(self, start: Any, end: Any, last: Any, tz: str | None) -> tuple[int | None, int | None]:
        if last is not None and (start is not None or end is not None):
            raise ArgumentError("last= cannot go together with start= or end=: give the one or the others.")
        low = None if start is None else instant_ns(start, name="start", tz=tz)
        high = None if end is None else instant_ns(end, name="end", tz=tz) + AFTER_NS
        span = self._file.span()
        if last is not None and span is not None:
            low = span[1] - span_ns(last, name="last")
        return low, high

    def plot(
        self,
        columns: Sequence[str] | str | None = None,
        *,
        table: str | None = None,
        window: str | float | None = None,
        by: Sequence[str] | None = None,
        alert: Bounds | None = None,
    ) -> Chart:
        """Return the chart of a live feed, of all that was recorded unless a window is given; see `Feed.plot`."""
        return super().plot(columns, table=table, window=window, by=by, alert=alert)

    # What makes no sense -------------------------------------------------------------------------------------

    def _over(self) -> NoReturn:
        name = self._file.path.name
        raise SessionError(
            f"The feed '{self.source}' is a recording ({name}): nothing more comes. Its rows are in .frame(); "
            f"tes.replay('{name}') plays it as if it were live."
        )

    def wait(
        self, rows: int | None = None, seconds: float | None = None, timeout: float | None = None
    ) -> int:
        """Raise `SessionError`: nothing more comes."""
        del rows, seconds, timeout
        self._over()

    async def wait_async(
        self,
        rows: int | None = None,
        seconds: float | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as live
    ) -> int:
        """Raise `SessionError`: nothing more comes."""
        del rows, seconds, timeout
        self._over()

    def __aiter__(self) -> AsyncIterator[Message]:
        """Raise `SessionError`: nothing more comes."""
        self._over()

    def on_message(self, callback: Callable[[Message], object]) -> Callable[[], None]:
        """Raise `SessionError`: nothing more comes."""
        del callback
        self._over()

    async def subscribe(self, names: Sequence[str]) -> None:
        """Raise `SessionError`: nobody is there to be asked."""
        del names
        self._over()

    # Files ---------------------------------------------------------------------------------------------------

    def to_csv(
        self, path: str | Path, *, table: str | None = None, formulas: Formulas = "neutralise"
    ) -> Path:
        """Write all that was recorded of a table (`None` = the main one) to one CSV file, in flat memory."""
        from tes_nb.store.export.export import write_csv  # noqa: PLC0415 - only when somebody exports

        name = self._table_name(table)
        rows = pieces(self.stream, name, self._file.messages(self.source))
        write_csv(path, self.stream.table(name), rows, formulas=formulas)
        return Path(path)

    export = to_csv

    def to_parquet(self, path: str | Path, *, table: str | None = None) -> Path:
        """Write the same to one Parquet file (needs pyarrow: `pip install "tes-nb[parquet]"`); return its path."""
        from tes_nb.store.export.parquet import write_parquet_file  # noqa: PLC0415 - only when somebody exports

        name = self._table_name(table)
        rows = pieces(self.stream, name, self._file.messages(self.source))
        write_parquet_file(path, self.stream.table(name), rows)
        return Path(path)

    def exports(self) -> Iterator[TableExport]:
        """Give the tables with their rows in pieces, decoded once for all: memory stays flat, however long it is."""
        from tes_nb.store.export.export import TableExport  # noqa: PLC0415

        together = pieces_together(self.stream, self._file.messages(self.source))
        for table in self.stream.tables:
            stem = (
                self.source
                if table.name in {self.stream.main, self.source}
                else f"{self.source}_{table.name}"
            )
            yield TableExport(stem, self.stream.name, table, (), gaps=self._file_gaps(), together=together)

    # How it shows: without reading the messages --------------------------------------------------------------

    def _summary(self) -> SourceSummary:
        return self._file.info().sources[self.source]

    def __repr__(self) -> str:
        told = self._summary()
        gaps = f", {told.gaps} gaps" if told.gaps else ""
        return f"<{self.source}: RECORDED · {told.messages:,} messages in {told.duration_s:,.1f} s{gaps}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        del include, exclude
        told = self._summary()
        rows = [
            ("messages", f"{told.messages:,}"),
            ("per second", f"{told.per_second:,.1f}"),
            ("from", _moment(told.first_ns)),
            ("to", _moment(told.last_ns)),
            ("gaps", str(told.gaps)),
            ("tables", ", ".join(self.tables)),
        ]
        html = table_html(f"{self.source}: recorded", ("", ""), rows)
        return {"text/plain": repr(self), "text/html": html}


def _moment(ns: int | None) -> str:
    return "-" if ns is None else str(pd.Timestamp(ns, tz="UTC"))
