"""What is computed of one recording as a whole: ticks, steam, and summaries of cells.

The same functions run on one machine and on the workers of a cluster, over session files and over Parquet, so that
the results are equal. A recording is in one piece here: no match, company or cell is split between workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from tes_nb.analysis.differences import STATISTICS, measures
from tes_nb.analysis.odds import ticks_from_odds
from tes_nb.analysis.steam import DEFAULTS, SteamSettings, detect_all
from tes_nb.session.engines import unified
from tes_nb.session.frames import gaps_frame
from tes_nb.store.memory.columns import Columns
from tes_nb.store.memory.frames import frame as frame_of
from tes_nb.streams import NAMES, get

if TYPE_CHECKING:
    from tes_nb.session.recorded import RecordedSession


class TablesOfSession(Protocol):
    """The tables of one session, wherever they are read from."""

    def frame(self, table: str) -> pd.DataFrame | None:
        """Return a table of all feeds that have it, in the order of time; `None` = no feed has."""

    def gaps(self) -> pd.DataFrame:
        """Return the gaps of all feeds, with `source`."""


PerSession = Callable[[TablesOfSession], pd.DataFrame | None]
"""What makes a frame of a session; `None` = it has nothing of the kind."""


@dataclass(frozen=True, slots=True)
class RecordedTables:
    """The tables of an open recording."""

    rec: RecordedSession

    def frame(self, table: str) -> pd.DataFrame | None:
        """Read a table."""
        frames = [feed.frame(table) for feed in self.rec.feeds.values() if table in feed.tables]
        return None if not frames else in_order(frames)

    def gaps(self) -> pd.DataFrame:
        """Return what the file says of gaps."""
        feeds = self.rec.feeds.values()
        frames = [gaps_frame(feed.origin.gaps()).assign(source=feed.source) for feed in feeds]
        return pd.concat(frames) if frames else gaps_frame([]).assign(source="")


class EmptyTables:
    """A session without rows, whose frames give Dask the columns."""

    def frame(self, table: str) -> pd.DataFrame | None:
        """Return a table without rows, as its stream describes it."""
        for stream in map(get, NAMES):
            if table in {each.name for each in stream.tables}:
                return frame_of(Columns(stream.table(table), stream=stream.name))
        return None

    def gaps(self) -> pd.DataFrame:
        """Return none."""
        return gaps_frame([]).assign(source="")


def in_order(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return frames of one table as one, by time; those of the same time in the order given."""
    if len(frames) == 1:
        return frames[0]
    return unified(frames).sort_index(kind="stable")


@dataclass(frozen=True, slots=True)
class SessionTicks:
    """Ticks derived from the table odds, as `analysis.odds.ticks_from_odds` does; none across a gap or a refresh."""

    def __call__(self, session: TablesOfSession) -> pd.DataFrame | None:
        """Return the ticks of a session."""
        return _by_source(
            session, lambda odds, scores, _ticks, gaps: ticks_from_odds(odds, gaps, scores), ("odds",)
        )


@dataclass(frozen=True, slots=True)
class SessionSteam:
    """Every tick, received and derived, and whether it is steam: as `ng.steam(all=True)`."""

    settings: SteamSettings = DEFAULTS

    def __call__(self, session: TablesOfSession) -> pd.DataFrame | None:
        """Return the ticks of a session, judged."""
        return _by_source(
            session,
            lambda odds, scores, ticks, gaps: detect_all(
                ticks, odds, gaps=gaps, scores=scores, settings=self.settings
            ),
            ("odds", "ticks"),
        )


@dataclass(frozen=True, slots=True)
class SessionCells:
    """What the numbers of a table were while each cell ran: see `analysis.per_cell.per_cell`."""

    table: str
    columns: tuple[str, ...] | None = None
    """`None` = all gauges of the table."""

    def __call__(self, session: TablesOfSession) -> pd.DataFrame | None:
        """Return the summaries of a session; `None` where no cells were measured, or the table is not there."""
        cells, rows = session.frame("cells"), session.frame(self.table)
        if cells is None or rows is None:
            return None
        described = get(rows.attrs["stream"]).table(rows.attrs["table"]).columns
        gauges = tuple(one.name for one in described if one.kind == "gauge" and one.dtype != "boolean")
        return per_cell(cells, rows, self.columns or gauges)


def _by_source(
    session: TablesOfSession, judge: Callable[..., pd.DataFrame], needed: Sequence[str]
) -> pd.DataFrame | None:
    """Return what is made of odds, scores, ticks and gaps of each feed, feed after feed by name."""
    tables = [session.frame(name) for name in ("odds", "scores", "ticks")]
    odds, _, ticks = tables
    if odds is None or ticks is None:
        return None
    gaps = session.gaps()
    sources = sorted({str(name) for each in (odds, ticks)[: len(needed)] for name in each["source"].unique()})
    if len(sources) < 2:
        return judge(*tables, gaps if not sources else gaps[gaps["source"] == sources[0]])
    parts = []
    for source in sources:
        rows = [None if each is None else each[each["source"] == source] for each in tables]
        parts.append(judge(*rows, gaps[gaps["source"] == source]))
    return unified(parts).sort_index(kind="stable")


SUMMARY = ("median", "p95", "peak", "mean")
"""What is said of each column, beside how many values there are."""


def per_cell(cells: pd.DataFrame, rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return a row per cell, subject and column: number, wall_s, the key's columns, column, samples, and the summary.

    cells: as `s.cells()` gives them. rows: a frame of a table, whose index is the time; `.attrs["key"]` names the
    columns that distinguish its subjects. columns: of `rows`, numbers. samples: how many values there are in the time
    of the cell, both ends included; cells without any have no row. median, p95, peak and mean are in the column's
    unit. The index `time` is when the cell began.

    >>> times = pd.to_datetime([0, 1, 2, 3], unit="s", utc=True).rename("time")
    >>> rows = pd.DataFrame({"load": [1.0, 5.0, 3.0, 9.0]}, index=times)
    >>> cells = pd.DataFrame({"number": [7], "start": times[:1], "wall_s": [2.5]})
    >>> per_cell(cells, rows, ["load"])[["number", "column", "samples", "median", "peak"]].to_dict("records")
    [{'number': 7, 'column': 'load', 'samples': 3, 'median': 3.0, 'peak': 5.0}]
    """
    key = [name for name in rows.attrs.get("key", ()) if name in rows]
    lines = [line for subject, each in _subjects(rows, key) for line in _lines(cells, each, subject, columns)]
    names = ["time", "number", "wall_s", *key, "column", "samples", *SUMMARY]
    frame = pd.DataFrame(lines, columns=names)
    numbers = dict.fromkeys(("wall_s", *SUMMARY), "float64")
    texts = dict.fromkeys((*key, "column"), "str")
    frame = frame.astype({**texts, **numbers, "number": "int64", "samples": "int64"})
    frame["time"] = pd.to_datetime(frame["time"].astype("int64"), unit="ns", utc=True).astype(
        "datetime64[ns, UTC]"
    )
    return frame.sort_values(["time", "number"], kind="stable").set_index("time")


def _subjects(rows: pd.DataFrame, key: list[str]) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    if not key:
        yield (), rows
        return
    for subject, each in rows.groupby(key, observed=True, sort=True):
        yield tuple(map(str, subject if isinstance(subject, tuple) else (subject,))), each


def _lines(
    cells: pd.DataFrame, rows: pd.DataFrame, subject: tuple[Any, ...], columns: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    times = pd.DatetimeIndex(rows.index).as_unit("ns").asi8
    series = [(name, rows[name].to_numpy(dtype=np.float64, na_value=np.nan)) for name in columns]
    for cell in cells.itertuples():
        start = pd.Timestamp(cell.start).as_unit("ns").value  # type: ignore[arg-type] # a frame's own time
        seconds = float(cell.wall_s)  # type: ignore[arg-type] # a number
        low, high = (
            np.searchsorted(times, start),
            np.searchsorted(times, start + round(seconds * 1e9), "right"),
        )
        for name, numbers in series:
            values = numbers[low:high]
            values = values[~np.isnan(values)]
            if len(values):
                measured = dict(zip(STATISTICS, measures(values, 1.0).tolist(), strict=True))
                summary = [measured["median"], measured["p95"], measured["peak"], measured["area"]]
                yield start, cell.number, seconds, *subject, name, len(values), *summary
