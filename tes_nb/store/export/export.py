"""CSV files of tables: one a table, whole or not at all, in constant memory (docs/decisions/0008).

    write_csv("metrics.csv", table, store.main.snapshot().chunks(CHUNK_ROWS))
    write_folder("friday", exports(metrics_store) + exports(workers_store))

Rows stand in the order in which they were received. `tes_nb.store.export.restore` reads the files back with all
dtypes; the one line that restores the times alone, with pandas and nothing else, is

    pd.read_csv("metrics.csv", index_col="time", parse_dates=["time", "sent_at"])
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, get_args

from tes_nb.errors import ArgumentError
from tes_nb.model import Column, Table
from tes_nb.store.export import csv_text, datapackage
from tes_nb.store.export.csv_text import Formulas
from tes_nb.store.export.staging import staged
from tes_nb.store.memory.columns import Columns
from tes_nb.store.paths import user_path

if TYPE_CHECKING:
    import os

    from tes_nb.store.export.staging import StagedFile
    from tes_nb.store.memory.cells import Snapshot
    from tes_nb.store.memory.tables import StreamStore
    from tes_nb.wire.events import Gap, Mark


CHUNK_ROWS = 4096
"""Rows that are text in memory at a time."""

Progress: TypeAlias = Callable[[int, int | None], None]
"""Called as `progress(rows written so far, rows in all or None)`; what it raises ends the export."""


@dataclass(frozen=True, slots=True)
class TableExport:
    """A table to be written."""

    stem: str
    """The file's name without ".csv"."""
    stream: str
    table: Table
    chunks: Iterable[Snapshot]
    """The rows, in pieces that fit into memory; gone through once."""
    rows: int | None = None
    """How many there will be, for the progress bar; `None` = unknown."""
    dropped: int = 0
    """How many older rows memory had to drop."""
    gaps: Sequence[Gap] = ()
    session: str = ""
    """Which recording it is of, where those of several go into one folder of Parquet; "" = there is one alone."""
    together: Iterator[tuple[str, Snapshot]] | None = None
    """(table, piece) of all tables that have this same iterator, read once for all of them; `None` = `chunks`."""

    def pieces(self) -> Iterator[tuple[str, Snapshot]]:
        """Give (table, rows), of other tables too where they are read together."""
        if self.together is not None:
            return self.together
        return ((self.table.name, chunk) for chunk in self.chunks)


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was written."""

    folder: Path
    rows: dict[str, int]
    """File or dataset folder, relative to `folder` → rows, in the order written; a description is not among them."""
    dropped: int
    """Rows that could not be written because memory had dropped them before."""
    description: str = ""
    """The name of the file that describes the others; "" = there is none."""

    def __str__(self) -> str:
        """Return one sentence for the user."""
        names = ", ".join(f"{name} ({rows:,} rows)" for name, rows in self.rows.items()) or "no tables"
        described = f" and {self.description}" if self.description else ""
        lost = f" {self.dropped:,} older rows were no longer in memory." if self.dropped else ""
        return f"Wrote {names}{described} to '{self.folder}'.{lost}"

    __repr__ = __str__


def exports(store: StreamStore, name: str | None = None) -> list[TableExport]:
    """Return what memory holds of a stream, ready for `write_folder`.

    The main table's file is called after `name` (`None` = the stream), the others after both names.
    """
    prefix = name or store.stream.name
    result = []
    for table, columns in store.tables.items():
        rows = columns.snapshot()
        result.append(
            TableExport(
                stem=prefix if table in {store.stream.main, prefix} else f"{prefix}_{table}",
                stream=store.stream.name,
                table=rows.table,
                chunks=[rows],
                rows=len(rows),
                dropped=columns.dropped,
                gaps=store.gaps,
            )
        )
    return result


def write_csv(
    path: str | os.PathLike[str],
    table: Table,
    chunks: Iterable[Snapshot],
    *,
    formulas: Formulas = "neutralise",
    progress: Progress | bool | None = None,
    rows: int | None = None,
) -> int:
    """Write one file and return how many rows it has. The header is there even without any.

    `time` is the first column; all times are ISO 8601 with nine digits and Z; numbers come back exactly; what
    is absent is empty. `formulas="neutralise"` puts an apostrophe before text that a spreadsheet might run
    (`tes_nb.store.export.csv_text` has the rule), "keep" leaves text alone. `progress=True` shows a bar, for which
    `rows` says how many there will be.

    The file appears under its name when it is complete. Raises `ExportError` where it cannot be written, and
    leaves nothing behind then, nor when it is interrupted.
    """
    _check(formulas)
    path = user_path(path)
    with staged(path.parent) as staging, reporting(progress, rows) as report:
        alone = TableExport(path.stem, "", table, chunks)
        return _write_rows({table.name: staging.open(path.name)}, [alone], formulas, report)[table.name]


def write_folder(
    folder: str | os.PathLike[str],
    tables: Iterable[TableExport],
    *,
    formulas: Formulas = "neutralise",
    progress: Progress | bool | None = None,
    created_ns: int | None = None,
) -> ExportResult:
    """Write one CSV file per table, as `write_csv` does, and `datapackage.json`, which describes them.

    Files of the same names are replaced, and what an older export wrote there goes: the files that its description
    names, unless they were changed. Others in the folder stay. All appear together at the end, the description
    last; until then, and when the export fails or is interrupted, the folder is as it was.
    `created_ns` (Unix ns) is the time it bears; `None` = now. Raises `ExportError`.
    """
    _check(formulas)
    folder = user_path(folder)
    todo = list(tables)
    written: dict[str, int] = {}
    resources = []
    with staged(folder) as staging, reporting(progress, total_rows(todo)) as report:
        for group in grouped(zip(_stems(todo), todo, strict=True)):
            files = {table.table.name: staging.open(f"{stem}.csv") for stem, table in group}
            before = sum(written.values())
            rows = _write_rows(files, [one for _, one in group], formulas, lambda done: report(before + done))  # noqa: B023
            staging.finish()
            for stem, table in group:
                count, size = rows[table.table.name], files[table.table.name].size
                written[f"{stem}.csv"] = count
                info = datapackage.resource(
                    stem,
                    table.stream,
                    table.table,
                    rows=count,
                    size=size,
                    dropped=table.dropped,
                    gaps=table.gaps,
                )
                resources.append(info)
        for name in datapackage.files_in(folder) - set(written):
            staging.remove(name)
        made = time.time_ns() if created_ns is None else created_ns
        staging.open(datapackage.FILE_NAME).write(
            datapackage.dump(datapackage.describe(resources, formulas, made))
        )
    return ExportResult(folder, written, sum(table.dropped for table in todo), datapackage.FILE_NAME)


def _check(formulas: Formulas) -> None:
    if formulas not in get_args(Formulas):
        raise ArgumentError(f"formulas={formulas!r} is not known: give 'neutralise' or 'keep'.")


def grouped(tables: Iterable[tuple[str, TableExport]]) -> Iterator[list[tuple[str, TableExport]]]:
    """Yield tables (each with its name) that are read together as one list, others alone."""
    group: list[tuple[str, TableExport]] = []
    for name, table in tables:
        if group and (table.together is None or table.together is not group[-1][1].together):
            yield group
            group = []
        group.append((name, table))
    if group:
        yield group


def _write_rows(
    files: Mapping[str, StagedFile],
    tables: Sequence[TableExport],
    formulas: Formulas,
    report: Callable[[int], None],
) -> dict[str, int]:
    """Write headers and rows of tables that are read together; return how many rows each has."""
    for table in tables:
        files[table.table.name].write(csv_text.header(table.table))
    rows = dict.fromkeys(files, 0)
    for name, chunk in tables[0].pieces():
        for piece in chunk.chunks(CHUNK_ROWS) if name in files else ():
            files[name].write(csv_text.lines(piece, formulas))
            rows[name] += len(piece)
            report(sum(rows.values()))
    return rows


def total_rows(tables: Iterable[TableExport]) -> int | None:
    """Return how many rows there will be; `None` = unknown."""
    counts = [table.rows for table in tables]
    return None if None in counts else sum(count or 0 for count in counts)


@contextlib.contextmanager
def reporting(
    progress: Progress | bool | None, total: int | None, *, what: str = "CSV"
) -> Iterator[Callable[[int], None]]:
    """Give a function that takes the number of rows written so far."""
    if callable(progress):
        yield lambda done: progress(done, total)
    elif progress:
        from tqdm.auto import tqdm  # noqa: PLC0415 - it loads the notebook's widgets

        with tqdm(total=total, unit=" rows", unit_scale=True, desc=what) as bar:

            def advance(done: int) -> None:
                bar.update(done - bar.n)

            yield advance
    else:
        yield lambda _done: None


def _stems(tables: Sequence[TableExport]) -> list[str]:
    """Return file names without ".csv": safe on every system and no two alike, whatever their streams."""
    stems: list[str] = []
    for table in tables:
        plain = re.sub(r"[^\w.-]", "_", table.stem, flags=re.ASCII).lstrip(".")[:100] or "table"
        if re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", plain, flags=re.IGNORECASE):
            plain = f"_{plain}"
        stem, number = plain, 1
        while stem.lower() in {other.lower() for other in stems}:
            number += 1
            stem = f"{plain}_{number}"
        stems.append(stem)
    return stems


MARKS = Table(
    "marks",
    "What was marked on the time line; a mark stands once, though every source carries it.",
    (Column("label", "str", "", "text", "What the user called it."),),
)


def marks_export(marks: Iterable[Mark], session: str = "") -> TableExport:
    """Return the marks, which are in the order of time, ready to be written; session as in `TableExport`."""
    columns = Columns(MARKS, stream="session")
    for mark in marks:
        columns.append([(mark.label,)], time_ns=mark.at_ns)
    rows = columns.snapshot()
    return TableExport(MARKS.name, columns.stream, MARKS, [rows], len(rows), session=session)


GAPS = Table(
    "gaps",
    "Holes in what was received; `time` is when the connection was lost, `source` whose it was.",
    (
        Column(
            "last_seen", "datetime64[ns, UTC]", "", "time", "When the last message before it was received."
        ),
        Column("lost_at", "datetime64[ns, UTC]", "", "time", "When the connection was lost."),
        Column("back_at", "datetime64[ns, UTC]", "", "time", "When messages came again; NA = they have not."),
        Column("cause", "str", "", "text", "Why."),
        Column("missing", "Int64", "", "gauge", "How many messages are missing; NA = nobody can know."),
    ),
)


def gaps_export(gaps: Mapping[str, Iterable[Gap]], session: str) -> TableExport:
    """Return the gaps of each source, ready to be written; session as in `TableExport`."""
    columns = Columns(GAPS, stream="session")
    named = [(gap, source) for source, each in gaps.items() for gap in each]
    for gap, source in sorted(named, key=lambda one: one[0].lost_at_ns):
        row = gap.last_seen_ns, gap.lost_at_ns, gap.back_at_ns, gap.cause, gap.missing
        columns.append([row], time_ns=gap.lost_at_ns, conn=gap.conn, source=source)
    rows = columns.snapshot()
    return TableExport(GAPS.name, columns.stream, GAPS, [rows], len(rows), session=session)
