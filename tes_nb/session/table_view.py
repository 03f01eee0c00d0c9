"""One table of a feed, as `feed.odds` gives it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tes_nb.store.memory.frames import describe
from tes_nb.store.memory.frames import frame as frame_of
from tes_nb.views.html import table_html
from tes_nb.views.source import TableSource

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from tes_nb.store.export.csv_text import Formulas
    from tes_nb.views.chart import Chart
    from tes_nb.views.table import LiveCards, LiveTable

NEWEST_ROWS = 10


class TableOwner(TableSource, Protocol):
    """What a feed does with each of its tables; the arguments are those of `Feed`."""

    def frame(self, *args: Any, **options: Any) -> pd.DataFrame: ...
    def figure(self, *args: Any, **options: Any) -> go.Figure: ...
    def plot(self, *args: Any, **options: Any) -> Chart: ...
    def table(self, *args: Any, **options: Any) -> LiveTable: ...
    def cards(self, *args: Any, **options: Any) -> LiveCards: ...
    def to_csv(self, *args: Any, **options: Any) -> Path: ...
    def to_parquet(self, *args: Any, **options: Any) -> Path: ...
    def to_arrow(self, *args: Any, **options: Any) -> Any: ...
    def to_polars(self, *args: Any, **options: Any) -> Any: ...
    def as_of(self, *args: Any, **options: Any) -> pd.DataFrame: ...


class TableView:
    """A table that grows while you look: `frame()` is what it holds now."""

    def __init__(self, feed: TableOwner, name: str) -> None:
        self._feed = feed
        self.name = name

    def frame(self, **options: Any) -> pd.DataFrame:
        """Return the table as a DataFrame; `options` are those of `Feed.frame`: start, end, last, tz, copy, gaps."""
        return self._feed.frame(self.name, **options)

    def figure(
        self,
        columns: Iterable[str] | None = None,
        *,
        last: Any = None,
        live: bool = False,
        where: Mapping[str, Any] | None = None,
    ) -> go.Figure:
        """Return a plotly figure of the table; live=True gives one that goes on by itself. where: as in `plot`."""
        return self._feed.figure(columns, table=self.name, last=last, live=live, where=where)

    def plot(self, columns: Sequence[str] | str | None = None, **options: Any) -> Chart:
        """Return a live chart of the table; `options` are those of `Feed.plot`: window, by, alert, where."""
        return self._feed.plot(columns, table=self.name, **options)

    def table(self, *, where: Mapping[str, Any] | None = None) -> LiveTable:
        """Return a live table of the newest row of each key. where: as in `Feed.table`."""
        return self._feed.table(self.name, where=where)

    def cards(self) -> LiveCards:
        """Return live cards of the newest values."""
        return self._feed.cards(self.name)

    def to_csv(self, path: str | Path, *, formulas: Formulas = "neutralise") -> Path:
        """Write what memory holds of the table to one CSV file; return its path."""
        return self._feed.to_csv(path, table=self.name, formulas=formulas)

    export = to_csv

    def to_parquet(self, path: str | Path) -> Path:
        """Write the same to one Parquet file (needs pyarrow: `pip install "tes-nb[parquet]"`); return its path."""
        return self._feed.to_parquet(path, table=self.name)

    def to_arrow(self, **options: Any) -> Any:
        """Return the table as an Arrow table; `options` are those of `Feed.to_arrow`: start, end, last."""
        return self._feed.to_arrow(self.name, **options)

    def to_polars(self, **options: Any) -> Any:
        """Return the table as a polars DataFrame; `options` are those of `Feed.to_polars`: start, end, last."""
        return self._feed.to_polars(self.name, **options)

    def as_of(self, t: Any, **options: Any) -> pd.DataFrame:
        """Return how the table stood at a moment; `options` are those of `Feed.as_of`: across_gaps, tz."""
        return self._feed.as_of(t, self.name, **options)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Let polars, DuckDB and others read the table."""
        from tes_nb.store.memory.arrow import stream_capsule  # noqa: PLC0415 - an extra

        return stream_capsule(self.to_arrow(), requested_schema)

    @property
    def columns(self) -> pd.DataFrame:
        """The columns: name, dtype, unit, doc."""
        return describe(self._feed.stream.table(self.name))

    @property
    def rows(self) -> int:
        """Rows received, dropped ones included."""
        return self._feed.store.tables[self.name].total

    def __len__(self) -> int:
        """Return how many rows are held."""
        return len(self._feed.store.tables[self.name])

    def __repr__(self) -> str:
        doc = self._feed.stream.table(self.name).doc
        return f"<{self._feed.name}.{self.name}: {len(self)} rows. {doc}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        del include, exclude
        rows = self._feed.store.tables[self.name].snapshot()
        newest = frame_of(rows.slice(max(len(rows) - NEWEST_ROWS, 0), len(rows))).reset_index()
        head = tuple(map(str, newest.columns))
        html = table_html(escape(repr(self)[1:-1]), head, newest.astype("str").to_numpy().tolist())
        return {"text/plain": repr(self), "text/html": html}
