"""What is computed of one recording as a whole: ticks, steam, and summaries of cells.

The same functions run on one machine and on the workers of a cluster, over session files and over Parquet, so that
the results are equal. A recording is in one piece here: no match, company or cell is split between workers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pandas as pd

from tes_nb.analysis.odds import ticks_from_odds
from tes_nb.analysis.per_cell import per_cell
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
    """A session without rows, whose frames tell Dask the columns of what is to come."""

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
