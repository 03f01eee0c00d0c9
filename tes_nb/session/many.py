"""Many recordings as one data set: `tes.open_many("sessions/*.tes").frame("odds", engine="polars")`.

Nothing is held: each file is opened when it is read, one after the other, and closed again. A file that cannot be read
is named, by `info()` and by a warning, and is no error for the others (docs/decisions/0033).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from tes_nb.analysis.steam import DEFAULTS, SteamSettings
from tes_nb.errors import ArgumentError, SessionError, TesError, counted, meant
from tes_nb.session.dask_frames import RecordingSegment, lazy_frame, ranges_of, result_of
from tes_nb.session.engines import Engine, arrow_together, batches_together, handed_to, need_engine, together
from tes_nb.session.frames import in_time
from tes_nb.session.open import Paths, RecordingFile, members_of
from tes_nb.session.per_session import PerSession, RecordedTables, SessionCells, SessionSteam, SessionTicks
from tes_nb.store.memory.columns import Columns
from tes_nb.store.memory.frames import frame as frame_of

if TYPE_CHECKING:
    from tes_nb.model import Message
    from tes_nb.session.events import WalkEvent
    from tes_nb.session.feed import Feed
    from tes_nb.session.recorded import RecordedSession
    from tes_nb.store.export.export import ExportResult, TableExport

_BAR_AFTER_S = 1.0


def open_many(paths: Paths, *, streams: Mapping[str, str] | None = None, redact: bool = True) -> RecordingSet:
    """Return recordings as one set: a glob, a folder (its .tes and .har files), a file, or a list of those.

    Nothing is read yet. streams and redact are for HAR files, as in `tes.open`. Raises `SessionError` where there is
    no such file at all.
    """
    return RecordingSet(members_of(paths, streams, redact))


class RecordingSet:
    """What `tes.open_many()` gives: recordings that are opened when they are read."""

    def __init__(self, members: Sequence[RecordingFile]) -> None:
        self.members = tuple(members)

    @property
    def sessions(self) -> dict[str, Path]:
        """Session → file, in the order of the set."""
        return {member.session: member.path for member in self.members}

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, session: str) -> RecordedSession:
        """Open one; close it, or use it as a context manager. Raises `SessionError`."""
        for member in self.members:
            if member.session == session:
                return member.open()
        there = [member.session for member in self.members]
        raise SessionError(f"The set has no session '{session}'.{meant(session, there)} info() lists them.")

    def __repr__(self) -> str:
        names = [member.session for member in self.members]
        more = f", … {names[-1]}" if len(names) > 5 else ""
        return f"<{counted(len(names), 'recording')}: {', '.join(names[:5])}{more}>"

    def info(self, *, progress: bool = True) -> pd.DataFrame:
        """Return a row for each file, by `session`, without reading messages.

        Columns: state (whole, damaged, being recorded, empty, unreadable), began, duration (s), messages, bytes (of
        payloads), gaps, feeds, path, and text: how the recording ended and what is damaged, or why it cannot be read.
        Damage is what opening shows; more may turn up when a file is read.
        """
        rows = [_about(member) for member in self._bar(progress)]
        frame = pd.DataFrame(rows).set_index("session")
        frame["began"] = pd.to_datetime(frame["began"], utc=True).astype("datetime64[ns, UTC]")
        whole = dict.fromkeys(["messages", "bytes", "gaps"], "Int64")
        text = dict.fromkeys(["state", "feeds", "path", "text"], "str")
        return frame.astype({"duration": "float64", **whole, **text})

    def frame(
        self,
        table: str,
        *,
        engine: Engine = "pandas",
        start: Any = None,
        end: Any = None,
        progress: bool = True,
    ) -> Any:
        """Return a table of all recordings that have it, session after session, each in the order of time.

        table: the name of a table ("odds"), of a feed ("metrics": its main table), or of both ("feed.odds"). The
        column `session` comes first; the rest is as in `Feed.frame`. start, end: as there.
        engine: "pandas" a DataFrame; "arrow" a table, in which `time` is a column; "polars" and "duckdb" (a relation)
        the same; "dask" a lazy `dask.dataframe` with a partition for each recording, read by the workers of the current
        client (`tes-nb[cluster]`), with categories in the order in which they occur.
        Raises `SessionError` where no recording has the table, `ExportError` where a package is missing.
        """
        need_engine(engine)
        within = {"start": start, "end": end}
        if engine == "dask":
            return self._dask_frame(table, within, progress=progress)
        read = partial(_frame if engine == "pandas" else _arrow, name=table, within=within)
        pieces = [
            (member.session, piece)
            for member, rec in self._opened(progress)
            if (piece := read(rec)) is not None
        ]
        if not pieces:
            raise self._lacks(table)
        if engine == "pandas":
            _same_table(table, {name: (each.attrs["stream"], each.attrs["table"]) for name, each in pieces})
            return together(pieces)
        about = {name: each.schema.metadata for name, each in pieces}
        _same_table(table, {name: (each[b"stream"], each[b"table"]) for name, each in about.items()})
        return handed_to(engine, arrow_together(pieces))

    def map(
        self,
        function: Callable[[RecordedSession], pd.DataFrame | None],
        *,
        engine: Literal["pandas", "dask"] = "pandas",
        meta: pd.DataFrame | None = None,
        progress: bool = True,
    ) -> Any:
        """Return what a function makes of each recording, as one frame with the column `session`.

            many.map(lambda rec: rec.feed.steam())

        A recording stays in one piece, so that nothing is split between workers. function: takes the open recording and
        returns a DataFrame, or `None` for none. engine="dask": lazily, a partition for each recording; the workers
        import the function or get it sent. meta: an empty frame as the function returns it, for Dask; `None` = that of
        the first recording which has one. What the function raises comes as it is, with the session's name.
        """
        need_engine(engine)
        if engine == "dask":
            segments = [RecordingSegment(member) for member, _ in self._opened(progress)]
            for segment in segments if meta is None else ():
                with segment.member.open() as rec:
                    meta = result_of(function, segment.member, rec)
                if meta is not None:
                    break
            if meta is None:
                raise SessionError("The function returned None for every recording that can be read.")
            return lazy_frame(function, segments, meta)
        if engine != "pandas":
            raise ArgumentError(f"engine={engine!r} is not known here: give 'pandas' or 'dask'.")
        pieces = [
            (member.session, piece)
            for member, rec in self._opened(progress)
            if (piece := result_of(function, member, rec)) is not None
        ]
        if not pieces:
            raise SessionError("The function returned None for every recording that can be read.")
        return together(pieces)

    def per_session(
        self,
        function: PerSession,
        *,
        engine: Literal["pandas", "dask"] = "pandas",
        meta: pd.DataFrame | None = None,
        progress: bool = True,
    ) -> Any:
        """Return what a function makes of the tables of each recording; the rest is as in `map`."""
        return self.map(partial(_of_tables, function=function), engine=engine, meta=meta, progress=progress)

    def ticks(self, *, progress: bool = True) -> pd.DataFrame:
        """Return the ticks derived from the table odds of each recording, with `session`: see `ticks_from_odds`."""
        ticks: pd.DataFrame = self.per_session(SessionTicks(), progress=progress)
        return ticks

    def steam(self, settings: SteamSettings = DEFAULTS, *, progress: bool = True) -> pd.DataFrame:
        """Return every tick of each recording, received and derived, and whether it is steam: `ng.steam(all=True)`."""
        judged: pd.DataFrame = self.per_session(SessionSteam(settings), progress=progress)
        return judged

    def cells(
        self, table: str = "metrics", columns: Sequence[str] | None = None, *, progress: bool = True
    ) -> pd.DataFrame:
        """Return what the gauges of a table were while each cell ran: a row per session, cell, subject and column.

        Columns: session, number, wall_s, the key of the table, column, samples (how many), median, p95, peak, mean.
        columns: names, `None` = all gauges. See `tes_nb.session.per_session`.
        """
        function = SessionCells(table, None if columns is None else tuple(columns))
        cells: pd.DataFrame = self.per_session(function, progress=progress)
        return cells

    def walk(
        self,
        feeds: Sequence[str] | str | None = None,
        *,
        tables: Sequence[str] | str | None = None,
        **options: Any,
    ) -> Iterator[tuple[str, WalkEvent]]:
        """Yield (session, event), session after session, each in the order received, in flat memory.

        feeds, tables and options are those of `RecordedSession.walk`. Recordings that have none of the feeds, tables or
        columns are passed over; raises `ArgumentError` or `SessionError` where that is so of all.
        """
        refusal: TesError | None = None
        accepted = False
        for member, rec in self._opened(progress=False):
            chosen = _those(feeds, list(rec.feeds))
            inside = [one for name, one in rec.feeds.items() if chosen is None or name in chosen]
            try:
                wanted = _those(tables, [name for feed in inside for name in feed.tables])
                events = rec.walk(chosen, tables=wanted, **options)
            except (ArgumentError, SessionError) as error:
                refusal = error
                continue
            accepted = True
            yield from ((member.session, event) for event in events)
        if refusal is not None and not accepted:
            raise refusal

    def to_parquet(self, folder: str | Path, *, progress: bool = True) -> ExportResult:
        """Write all tables as Parquet: `stream=…/table=…/session=…/date=…/part-0.parquet`, in flat memory.

        `pd.read_parquet(folder/"stream=…"/"table=odds")`, and polars, DuckDB or Dask likewise, read a table of
        all sessions, with the columns `session` and `date`. All appear together at the end; see
        `RecordedSession.to_parquet`. Raises `ExportError`.
        """
        from tes_nb.store.export.parquet import write_parquet  # noqa: PLC0415 - an extra

        exports = [one for member, rec in self._opened(progress) for one in _exports(member, rec)]
        return write_parquet(folder, exports, progress=progress)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Let polars, DuckDB and others read all messages as they came, session after session, in flat memory.

        Columns: time, session, and the others of `RecordedSession.__arrow_c_stream__`; `frame` gives tables.
        """
        from tes_nb.store.memory.arrow import message_batches, need_pyarrow, stream_capsule  # noqa: PLC0415 - an extra

        need_pyarrow()
        pieces = (
            (member.session, message_batches(rec.recorded_messages()))
            for member, rec in self._opened(progress=False)
        )
        return stream_capsule(batches_together(pieces, message_batches([]).schema), requested_schema)

    # How it is read ------------------------------------------------------------------------------------------

    def _bar(self, progress: bool) -> Iterator[RecordingFile]:
        """Give the members; a bar shows how far it is where it takes longer than a second."""
        from tqdm.auto import tqdm  # noqa: PLC0415 - it loads the notebook's widgets

        bar = tqdm(self.members, desc="recordings", unit="", disable=not progress, delay=_BAR_AFTER_S)
        yield from bar

    def _opened(self, progress: bool) -> Iterator[tuple[RecordingFile, RecordedSession]]:
        """Give each recording, open; one warning at the end names what could not be read, as a whole or in part."""
        unreadable: list[str] = []
        damaged: list[str] = []
        for member in self._bar(progress):
            try:
                recording = member.open()
            except TesError as error:
                unreadable.append(f"{member.session}: {error}")
                continue
            with recording:
                yield member, recording
                damaged += [f"{member.session}: {sentence}" for sentence in recording.damage]
        count = len(self.members)
        if len(unreadable) == count:
            raise SessionError(f"No recording of the set can be read. {' '.join(unreadable)}")
        texts = []
        if unreadable:
            texts = [f"{len(unreadable)} of {count} recordings cannot be read and are left out.", *unreadable]
        if damaged:
            texts += ["What can be read of damaged recordings is there, and the rest is missing.", *damaged]
        if texts:
            warnings.warn(" ".join(texts), stacklevel=3)

    def _lacks(self, table: str) -> SessionError:
        there: set[str] = set()
        for member in self.members:
            try:
                with member.open() as rec:
                    there.update(rec.feeds, *(feed.tables for feed in rec.feeds.values()))
            except TesError:
                continue
        names = ", ".join(sorted(there)) or "nothing that this version knows"
        return SessionError(f"No recording has '{table}'; there are {names}.{meant(table, there)}")

    # On a cluster --------------------------------------------------------------------------------------------

    def _dask_frame(self, table: str, within: Mapping[str, Any], *, progress: bool) -> Any:
        tables: dict[str, tuple[str, str]] = {}
        segments: list[RecordingSegment] = []
        meta = None
        for member, rec in self._opened(progress):
            feed, name = _table_of(rec, table)
            if feed is None:
                continue
            tables[member.session] = feed.stream.name, name
            ranges = [within] if any(each is not None for each in within.values()) else ranges_of(feed, name)
            segments += [RecordingSegment(member, each) for each in ranges]
            if meta is None:
                meta = frame_of(Columns(feed.stream.table(name), stream=feed.stream.name))
        if meta is None:
            raise self._lacks(table)
        _same_table(table, tables)
        return lazy_frame(partial(_frame, name=table), segments, meta)


def _about(member: RecordingFile) -> dict[str, Any]:
    """Return a row of `info()`."""
    row: dict[str, Any] = {"session": member.session, "state": "unreadable", "began": None, "duration": None}
    row |= dict.fromkeys(["messages", "bytes", "gaps"]) | {"feeds": "", "path": str(member.path)}
    try:
        with member.open() as rec:
            info = rec.info(decode=False)
            going_on = rec.being_recorded
    except TesError as error:
        return row | {"text": str(error)}
    state = "empty" if not info.messages else "whole"
    row["state"] = "damaged" if info.damage else "being recorded" if going_on else state
    row |= {
        "began": info.began_ns,
        "duration": info.duration_s,
        "messages": info.messages,
        "bytes": info.bytes,
    }
    return row | {
        "gaps": info.gaps,
        "feeds": ", ".join(info.sources),
        "text": " ".join([info.ending, *info.damage]),
    }


def _of_tables(rec: RecordedSession, *, function: PerSession) -> pd.DataFrame | None:
    return function(RecordedTables(rec))


def _those(wanted: Sequence[str] | str | None, there: Sequence[str]) -> list[str] | None:
    """Return what is wanted and there; all that is wanted where nothing is, which `walk` refuses in a sentence."""
    if wanted is None:
        return None
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    return [name for name in names if name in there] or names


def _table_of(rec: RecordedSession, name: str) -> tuple[Feed | None, str]:
    """Return the feed and the table that a name means; (`None`, "") = this recording has none such."""
    source, _, table = name.rpartition(".")
    if name not in rec.feeds and not any(
        table in feed.tables and source in {"", feed.name} for feed in rec.feeds.values()
    ):
        return None, ""
    feed, table_name = rec.feed_and_table(name)
    return feed, table_name or feed.stream.main


def _frame(rec: RecordedSession, name: str, within: Mapping[str, Any]) -> pd.DataFrame | None:
    feed, table = _table_of(rec, name)
    return None if feed is None else feed.frame(table, **within)


def _arrow(rec: RecordedSession, name: str, within: Mapping[str, Any]) -> Any:
    feed, table = _table_of(rec, name)
    return None if feed is None else feed.to_arrow(table, **within)


def _same_table(name: str, tables: Mapping[str, tuple[Any, Any]]) -> None:
    """Raise `SessionError` where a name means different tables."""
    if len(set(tables.values())) > 1:
        first, other = next((a, b) for a in tables for b in tables if tables[a] != tables[b])
        raise SessionError(
            f"'{name}' is not the same in '{first}' and '{other}': the feeds of this name carry different streams. "
            "Make a set of each kind."
        )


def _exports(member: RecordingFile, rec: RecordedSession) -> Iterator[TableExport]:
    """Give a recording's tables for a file; it is opened again when they are written, one source at a time."""
    from tes_nb.store.export.export import TableExport, gaps_export, marks_export  # noqa: PLC0415 - rarely
    from tes_nb.store.memory.tables import pieces_together  # noqa: PLC0415

    def messages(source: str) -> Iterator[Message]:
        with member.open() as again:
            yield from again.recorded_messages(source)

    for feed in rec.feeds.values():
        rows = pieces_together(feed.stream, messages(feed.source))
        for table in feed.stream.tables:
            stem = f"{feed.source}_{table.name}"
            yield TableExport(stem, feed.stream.name, table, (), together=rows, session=member.session)
    marks = in_time(mark for feed in rec.feeds.values() for mark in feed.mark_list())
    yield marks_export(marks, member.session)
    yield gaps_export({feed.source: feed.origin.gaps() for feed in rec.feeds.values()}, member.session)
