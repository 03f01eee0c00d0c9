"""`tes.cluster_frame("sessions/*.tes", "odds")`: a table of many recordings, read and analysed by a Dask cluster.

    with tes.cluster_frame("sessions/", "odds", scheduler="tcp://host:8786") as frame:
        frame.steam().compute()

Files are read in segments of their time; Parquet, as `many.to_parquet(folder)` wrote it, by dataset:

    <folder or URL>/stream=metrics/table=metrics/session=friday/date=2026-03-01/part-0.parquet

What needs the whole of a session is computed session by session, so that the result is that of one machine
(docs/decisions/0040).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, unquote

import pandas as pd

from tes_nb.analysis.steam import DEFAULTS, SteamSettings
from tes_nb.errors import SessionError, counted, meant
from tes_nb.session.dask_frames import from_pieces
from tes_nb.session.engines import need_engine, unified, with_session
from tes_nb.session.many import RecordingSet, open_many
from tes_nb.session.per_session import (
    EmptyTables,
    PerSession,
    SessionCells,
    SessionSteam,
    SessionTicks,
    in_order,
)
from tes_nb.session.schedulers import SchedulerConnection, connection
from tes_nb.store.memory.timespec import instant_ns

if TYPE_CHECKING:
    from distributed import Client

    from tes_nb.session.open import Paths


GAPS = "gaps"
"""The table of gaps of all feeds, in the stream "session"."""


@dataclass(frozen=True, slots=True)
class Lake:
    """A folder of Parquet datasets. It is sent to the workers of a cluster as it is."""

    url: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """What fsspec needs to open it, such as keys; see its `storage_options`."""

    def system(self) -> tuple[Any, str]:
        """Return the file system and the path there. Raises `SessionError` where fsspec cannot open the URL."""
        import fsspec  # noqa: PLC0415 - comes with dask

        try:
            system, path = fsspec.core.url_to_fs(self.url, **self.options)
        except (ImportError, ValueError, OSError) as error:
            raise SessionError(f"'{self.url}' cannot be opened: {error}") from error
        return system, path.rstrip("/")

    def dataset(self, table: str) -> str:
        """Return the path of a table's dataset. Raises `SessionError` where there is none, or there are several."""
        system, path = self.system()
        try:
            datasets = sorted(system.glob(f"{path}/stream=*/table={quote(table, safe='')}"))
            if len(datasets) == 1:
                return str(datasets[0])
            there = {unquote(one.rpartition("table=")[2]) for one in system.glob(f"{path}/stream=*/table=*")}
        except OSError as error:
            raise SessionError(f"'{self.url}' cannot be listed ({error}): check the address.") from error
        if not there:
            raise SessionError(
                f"There is no Parquet of sessions at '{self.url}': write it with open_many(…).to_parquet(folder)."
            )
        if datasets:
            raise SessionError(
                f"Several streams of '{self.url}' have a table '{table}': make a folder of each."
            )
        raise SessionError(
            f"'{self.url}' has no table '{table}'; there are {', '.join(sorted(there))}.{meant(table, there)}"
        )

    def sessions(self, table: str) -> list[str]:
        """Return the names of the sessions that have a table, in the order of their names."""
        system, _ = self.system()
        folders = system.glob(f"{self.dataset(table)}/session=*")
        if not folders:
            raise SessionError(
                f"'{self.url}' is of one recording, without sessions: write it with open_many(…).to_parquet(folder)."
            )
        return sorted(unquote(one.rpartition("session=")[2]) for one in folders)


@dataclass(frozen=True, slots=True)
class LakeTables:
    """The tables of one session of a lake."""

    lake: Lake
    session: str

    def frame(self, table: str) -> pd.DataFrame | None:
        """Read all days and feeds of a table."""
        from pyarrow import parquet  # type: ignore[import-untyped] # noqa: PLC0415 - an extra

        system, _ = self.lake.system()
        try:
            folder = f"{self.lake.dataset(table)}/session={quote(self.session, safe='')}"
        except SessionError:
            return None
        files = sorted(system.glob(f"{folder}/date=*/*.parquet"))
        frames = [
            parquet.read_table(file, filesystem=system, partitioning=None).to_pandas() for file in files
        ]
        return in_order([each for each in frames if len(each)] or frames[:1]) if frames else None

    def gaps(self) -> pd.DataFrame:
        """Return the gaps that were written beside the tables. Raises `SessionError` where none could be."""
        gaps = self.frame(GAPS)
        if gaps is None:
            raise SessionError(
                f"'{self.lake.url}' has no gaps of '{self.session}': an older version wrote it. Write it again, so "
                "that no tick is derived across a gap."
            )
        return gaps


def lake_of(data: Any, options: Mapping[str, Any] | None) -> Lake | None:
    """Return the lake that an address, or a folder with `stream=…` in it, names; `None` = those are recordings."""
    if isinstance(data, str) and "://" in data:
        return Lake(data, dict(options or {}))
    if isinstance(data, str | Path) and any(Path(data).expanduser().glob("stream=*")):
        return Lake(str(Path(data).expanduser().absolute()), dict(options or {}))
    return None


PARTITIONS = ("stream", "table", "date")
"""What folders of Parquet say and frames of one machine have not."""


def cluster_frame(
    data: Paths | RecordingSet,
    table: str,
    *,
    scheduler: str | Client | None = None,
    start: Any = None,
    end: Any = None,
    storage_options: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> ClusterFrame:
    """Return a table of many sessions as a lazy frame of a Dask cluster.

    data: recordings, as for `tes.open_many`, or the set itself; or Parquet that `open_many(…).to_parquet` wrote, a
    folder or any address that fsspec reads ("s3://bucket/lake", with its storage_options). table, start, end: as in
    `RecordingSet.frame`; of Parquet the name of a table.
    scheduler: its address or a client; `None` = `tes.options.scheduler`, else the current client's, else a cluster on
    this machine, which `close()` ends. Its workers must see the data under the same address, and have tes_nb.
    Raises `SessionError` where nothing is to be read or nobody answers, `ExportError` without `tes-nb[cluster]`.
    """
    need_engine("dask")
    lake = None if isinstance(data, RecordingSet) else lake_of(data, storage_options)
    if lake is not None:
        link, lazy = connection(scheduler), None
        try:
            lazy = _of_lake(lake, table, start, end)
        finally:
            if lazy is None:
                link.close()
        return ClusterFrame(lazy, link, LakeSessions(lake, table), table, progress=progress)
    many = data if isinstance(data, RecordingSet) else open_many(data)
    lazy = many.frame(table, engine="dask", start=start, end=end, progress=progress)
    return ClusterFrame(lazy, connection(scheduler), RecordingSessions(many), table, progress=progress)


class ClusterFrame:
    """A lazy table of many sessions: `dask` is its dask.dataframe, `compute()` gives the frame of one machine."""

    def __init__(
        self,
        lazy: Any,
        link: SchedulerConnection,
        sessions: RecordingSessions | LakeSessions,
        what: str,
        *,
        progress: bool,
    ) -> None:
        self.dask = lazy
        """The dask.dataframe; its categories are in the order of occurrence."""
        self._link = link
        self._sessions = sessions
        self._what = what
        self._progress = progress

    @property
    def client(self) -> Client:
        """The client of the scheduler that computes."""
        return self._link.client

    def compute(self, *, progress: bool | None = None) -> pd.DataFrame:
        """Compute it on the cluster and return it as a DataFrame, equal to what one machine makes.

        Sessions follow each other, each in the order of time, and words of categories are sorted. progress: a bar
        where it takes more than a second; `None` = as it was asked for at first. Raises `SessionError` where the
        scheduler is gone.
        """
        bar = self._progress if progress is None else progress
        frames = self._link.results(self.dask, progress=bar)
        return unified([each for each in frames if len(each)] or frames[:1])

    def ticks(self) -> ClusterFrame:
        """Return the ticks derived from odds, of each session: as `RecordingSet.ticks`."""
        return self._per_session(SessionTicks(), "ticks")

    def steam(self, settings: SteamSettings = DEFAULTS) -> ClusterFrame:
        """Return every tick, received and derived, and whether it is steam: as `RecordingSet.steam`."""
        return self._per_session(SessionSteam(settings), "steam")

    def cells(self, table: str = "metrics", columns: Sequence[str] | None = None) -> ClusterFrame:
        """Return what the numbers of a table were while each cell ran: as `RecordingSet.cells`."""
        function = SessionCells(table, None if columns is None else tuple(columns))
        return self._per_session(function, f"cells of {table}")

    def _per_session(self, function: PerSession, what: str) -> ClusterFrame:
        meta = function(EmptyTables())
        if meta is None:
            raise SessionError(f"There are no {what}: no stream that this version knows has such a table.")
        lazy = self._sessions.map(function, meta.head(0))
        return ClusterFrame(lazy, self._link, self._sessions, what, progress=self._progress)

    def close(self) -> None:
        """End the cluster, if this started one, and its client. May be called twice."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        where = getattr(self.client.scheduler, "address", "a scheduler that is gone")
        return f"<{self._what}, {counted(self.dask.npartitions, 'partition')}, on {where}>"


@dataclass(frozen=True, slots=True)
class RecordingSessions:
    """The sessions of a set of recordings."""

    many: RecordingSet

    def map(self, function: PerSession, meta: pd.DataFrame) -> Any:
        """Return a lazy frame with a partition for each recording."""
        return self.many.per_session(function, engine="dask", meta=meta)


@dataclass(frozen=True, slots=True)
class LakeSessions:
    """The sessions of Parquet datasets."""

    lake: Lake
    table: str

    def map(self, function: PerSession, meta: pd.DataFrame) -> Any:
        """Return a lazy frame with a partition for each session."""
        empty = with_session(meta, "")
        read: Callable[[str], pd.DataFrame] = partial(
            _of_session, lake=self.lake, function=function, empty=empty
        )
        return from_pieces(read, self.lake.sessions(self.table), empty)


def _of_session(session: str, *, lake: Lake, function: PerSession, empty: pd.DataFrame) -> pd.DataFrame:
    """Compute what is made of one session, on a worker."""
    result = function(LakeTables(lake, session))
    return empty if result is None else with_session(result, session)


def _of_lake(lake: Lake, table: str, start: Any, end: Any) -> Any:
    import dask  # noqa: PLC0415 - an extra
    from dask import dataframe as dd  # noqa: PLC0415 - an extra

    lake.sessions(table)  # a sentence where there are none
    system, _ = lake.system()
    address = system.unstrip_protocol(lake.dataset(table))
    with dask.config.set({"dataframe.convert-string": False}):  # text is pandas' own, as on one machine
        lazy = dd.read_parquet(address, storage_options=dict(lake.options) or None, calculate_divisions=False)
    low, high = (
        None if moment is None else pd.Timestamp(instant_ns(moment, name=name), unit="ns", tz="UTC")
        for name, moment in (("start", start), ("end", end))
    )
    return lazy.map_partitions(_as_on_one_machine, start=low, end=high)


def _as_on_one_machine(
    rows: pd.DataFrame, start: pd.Timestamp | None, end: pd.Timestamp | None
) -> pd.DataFrame:
    """Return rows of Parquet with the columns of `RecordingSet.frame`, in that order."""
    rest = [name for name in rows.columns if name not in {"session", *PARTITIONS}]
    chosen = rows[["session", *rest]].copy(deep=False)
    for moment, after in ((start, True), (end, False)):
        if moment is not None:
            chosen = chosen[chosen.index >= moment if after else chosen.index <= moment].copy(deep=False)
    for name, dtype in chosen.dtypes.items():
        if isinstance(dtype, pd.CategoricalDtype):  # the words that occur, sorted, as in every frame
            chosen[name] = chosen[name].cat.set_categories(sorted(chosen[name].dropna().unique()))
    chosen["session"] = chosen["session"].astype("str").astype("category")
    return chosen
