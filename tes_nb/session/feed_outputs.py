"""What comes out of a feed beside frames: a walk through its events, and files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tes_nb.errors import ExportError, SessionError, meant
from tes_nb.model import Stream
from tes_nb.model.owner import Owned
from tes_nb.session.asof import moment_ns, newest_before, newest_rows
from tes_nb.session.origin import Origin
from tes_nb.store.memory.frames import frame as frame_of
from tes_nb.store.memory.frames import selected
from tes_nb.store.paths import user_path

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa  # type: ignore[import-untyped] # it has no stubs

    from tes_nb.session.events import WalkEvent
    from tes_nb.session.walk import RowFilter
    from tes_nb.store.export.csv_text import Formulas


class FeedOutputs(Owned):
    """Needs a stream and an origin."""

    stream: Stream
    origin: Origin
    walk_filters: tuple[str, ...] = ()
    """Names beyond columns by which a walk over the feed can choose rows."""
    cell_costs: Callable[[], pd.DataFrame] | None = None
    """Gives what the executed cells cost; `None` = they are not measured."""

    def walk(
        self,
        *,
        tables: Sequence[str] | str | None = None,
        start: Any = None,
        end: Any = None,
        last: Any = None,
        delay: Any = None,
        live: bool = False,
        **choose: Any,
    ) -> Iterator[WalkEvent]:
        """Yield what came, step by step: data with rows, gaps, states, marks; see `tes_nb.session.events`.

        tables: names, `None` = all. start, end, last: as in `frame()`; both ends are included. delay: "250ms", as a
        client so far away would see it: `event.at_ns` is later by that, among marks and cells that are not.
        live=True: from now on, until the session stops or `end`. choose: a column and its value, or several
        (`match_id=["7", "8"]`): rows of tables without that column are left out; feeds of matches also take
        `inplay=True` and `before_kick_off="10min"`. Raises `ArgumentError` for what makes no sense, `SessionError`
        where there is nothing to walk over.
        """
        from tes_nb.session.live_walk import begin_walk  # noqa: PLC0415 - only when somebody walks

        self.origin.check()
        return begin_walk(
            {self.origin.source: self},
            [self.origin.source],
            tables=tables,
            start=start,
            end=end,
            last=last,
            delay=delay,
            live=live,
            **choose,
        )

    def walk_filter(self, options: Mapping[str, Any]) -> RowFilter | None:
        """Return what chooses rows by `walk_filters`; `None` = every row is wanted. Raises `ArgumentError`."""
        del options
        return None

    def as_of(
        self, t: Any, table: str | None = None, *, across_gaps: bool = False, tz: str | None = None
    ) -> pd.DataFrame:
        """Return how a table (`None` = the main one) stood at a moment: the newest row of each key by then.

        t: a time, the name of a mark, a cell ("cell 12", or its row of `s.cells()`): its end. What came before a gap
        that had begun by then is left out, and counted in `.attrs["left_out"]`, since it is not known whether it still
        held; across_gaps=True gives it. Raises `ArgumentError` for what is no moment.
        """
        self.origin.check()
        return self._standing(self._moment(t), self._table_name(table), across_gaps=across_gaps, tz=tz)

    def _moment(self, t: Any) -> int:
        cells = None if self.cell_costs is None else self.cell_costs()
        return moment_ns(t, self.origin.marks(), cells)

    def _standing(self, at_ns: int, name: str, *, across_gaps: bool, tz: str | None = None) -> pd.DataFrame:
        table = self.stream.table(name)
        rows = self._rows_until(name, at_ns, tz)
        newest = None
        if table.complete:  # the newest message may list no subject; it has rows in another table
            others = [self._rows_until(one.name, at_ns, tz) for one in self.stream.tables if not one.complete]
            newest = newest_before([rows, *others])
        gaps = self.origin.gaps()
        return newest_rows(rows, table, at_ns, gaps, across_gaps=across_gaps, newest_seq=newest)

    def _rows_until(self, table: str, at_ns: int, tz: str | None) -> pd.DataFrame:
        return frame_of(self.origin.rows(table, start=None, end=at_ns, last=None, tz=None), end=at_ns, tz=tz)

    def _table_name(self, table: str | None) -> str:
        name = self.stream.main if table is None else table
        names = [one.name for one in self.stream.tables]
        if name not in names:
            raise SessionError(
                f"The feed '{self.origin.source}' has no table '{name}'; it has {', '.join(names)}."
                f"{meant(name, names)}"
            )
        return name

    def to_arrow(
        self, table: str | None = None, *, start: Any = None, end: Any = None, last: Any = None
    ) -> pa.Table:
        """Return a table (`None` = the main one) as an Arrow table: `time` is its first column, absent is null.

        start, end, last: as in `frame()`. Numbers and times are the feed's own memory, categories are dictionaries,
        fields have `unit` and `doc` in their metadata. Raises `ExportError` without pyarrow
        (`pip install "tes-nb[parquet]"`).
        """
        from tes_nb.store.memory.arrow import arrow_table, need_pyarrow  # noqa: PLC0415 - an extra

        need_pyarrow()
        self.origin.check()
        rows = self.origin.rows(self._table_name(table), start=start, end=end, last=last, tz=None)
        chosen, _ = selected(rows, start, end, last=last, now_ns=self.origin.now_ns())
        return arrow_table(chosen)

    def to_polars(
        self, table: str | None = None, *, start: Any = None, end: Any = None, last: Any = None
    ) -> pl.DataFrame:
        """Return the same as a polars DataFrame. Raises `ExportError` where polars is not installed."""
        try:
            import polars as pl  # noqa: PLC0415 - not ours to require
        except ImportError as error:
            raise ExportError("polars is not installed: run 'pip install polars'.") from error
        frame: pl.DataFrame = pl.from_arrow(self.to_arrow(table, start=start, end=end, last=last))  # type: ignore[assignment]
        return frame

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Let polars, DuckDB and others read the main table; see `to_arrow`."""
        from tes_nb.store.memory.arrow import stream_capsule  # noqa: PLC0415 - an extra

        return stream_capsule(self.to_arrow(), requested_schema)

    def to_csv(
        self, path: str | Path, *, table: str | None = None, formulas: Formulas = "neutralise"
    ) -> Path:
        """Write all there is of a table (`None` = the main one) to one CSV file; return its path.

        Live, that is what memory holds; a recording is written whole, in flat memory. formulas="neutralise" puts a '
        before text that a spreadsheet would run; "keep" writes it as it is.
        """
        from tes_nb.store.export.export import write_csv  # noqa: PLC0415 - only when somebody exports

        self.origin.check()
        name = self._table_name(table)
        write_csv(path, self.stream.table(name), self.origin.pieces(name), formulas=formulas)
        return user_path(path)

    export = to_csv

    def to_parquet(self, path: str | Path, *, table: str | None = None) -> Path:
        """Write the same to one Parquet file (needs pyarrow: `pip install "tes-nb[parquet]"`); return its path."""
        from tes_nb.store.export.parquet import write_parquet_file  # noqa: PLC0415 - only when somebody exports

        self.origin.check()
        name = self._table_name(table)
        write_parquet_file(path, self.stream.table(name), self.origin.pieces(name), stream=self.stream.name)
        return user_path(path)
