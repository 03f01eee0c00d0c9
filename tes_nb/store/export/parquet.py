"""Parquet files of tables: a dataset per stream and table, partitioned by UTC date, in constant memory.

    write_parquet("friday", exports(metrics_store) + exports(workers_store))
    pd.read_parquet("friday/stream=metrics/table=metrics")

Frames come back with their dtypes, their index `time`, and units and docs in the fields' metadata. A table without
rows has one file without rows, under the date of the export. What an export wrote is recognised again by its place
and by the stream and the table in its footer, and gives way to the next export into the same folder.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import numpy as np

from tes_nb.errors import ExportError
from tes_nb.store.export.export import ExportResult, TableExport, grouped, reporting, total_rows
from tes_nb.store.export.staging import staged, staged_folders
from tes_nb.store.memory.arrow import arrow_arrays, need_pyarrow
from tes_nb.store.memory.columns import Columns
from tes_nb.store.memory.frames import frame
from tes_nb.store.paths import explained, user_path

if TYPE_CHECKING:
    import os

    import pyarrow as pa  # type: ignore[import-untyped] # it has no stubs
    from pyarrow import parquet

    from tes_nb.model import Table
    from tes_nb.store.export.export import Progress
    from tes_nb.store.memory.cells import Snapshot

_ROWS = 65_536
"""Rows of a row group, and the most that wait in memory."""
COMPRESSION = "zstd"
_DAY_NS = 86_400 * 10**9
_DATASETS = "stream=*/table=*"


def write_parquet(
    folder: str | os.PathLike[str], tables: Iterable[TableExport], *, progress: Progress | bool | None = None
) -> ExportResult:
    """Write each table as a dataset `stream=…/table=…/date=YYYY-MM-DD/part-0.parquet` under `folder`.

    Tables of several recordings have `session=…` between table and date.

    What an older export wrote there goes, so that the folder holds this one alone; all other files stay. All
    appear together at the end; until then, and when the export fails or is interrupted, the folder is as it was.
    Raises `ExportError`, also when pyarrow is not installed.
    """
    need_pyarrow("Parquet")
    folder = user_path(folder)
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise ExportError(
            f"Nothing was written to {str(folder)!r}: pyarrow takes no path that is not UTF-8; export to another "
            "folder, or to CSV."
        ) from error
    todo = list(tables)
    names = [_dataset_name(one) for one in todo]
    written: Counter[str] = Counter()
    parts: Counter[str] = Counter()
    with (
        staged_folders(folder, _DATASETS, is_ours=_is_ours) as temporary,
        reporting(progress, total_rows(todo), what="Parquet") as report,
    ):
        for group in grouped(zip(names, todo, strict=True)):
            with explained(folder), contextlib.ExitStack() as open_ones:
                datasets = {
                    table.table.name: open_ones.enter_context(
                        contextlib.closing(
                            _Dataset(temporary / name, _schema(table.table, table.stream), part=parts[name])
                        )
                    )
                    for name, table in group
                }
                for table_name, chunk in group[0][1].pieces():
                    if table_name in datasets:
                        datasets[table_name].add(chunk)
                        report(written.total() + sum(one.rows for one in datasets.values()))
            for name, table in group:
                written[name] += datasets[table.table.name].rows
                parts[name] += 1
        for name, table in zip(names, todo, strict=True):
            if not written[name]:
                with explained(folder):
                    _write_nothing(temporary / name, _schema(table.table, table.stream))
    return ExportResult(folder, dict(written), sum(table.dropped for table in todo))


def _dataset_name(one: TableExport) -> str:
    session = f"/session={quote(one.session, safe='')}" if one.session else ""
    return f"stream={quote(one.stream, safe='')}/table={quote(one.table.name, safe='')}{session}"


def write_parquet_file(
    path: str | os.PathLike[str], table: Table, chunks: Iterable[Snapshot], *, stream: str = ""
) -> int:
    """Write one table to one file and return how many rows it has.

    The file appears under its name when it is complete. Raises `ExportError`, also when pyarrow is not installed.
    """
    need_pyarrow("Parquet")
    from pyarrow import parquet  # noqa: PLC0415 - an extra

    path, rows = user_path(path), 0
    with staged(path.parent) as staging:
        file = staging.open(path.name)
        with (
            explained(path),
            parquet.ParquetWriter(file.binary, _schema(table, stream), compression=COMPRESSION) as writer,
        ):
            for group in _groups(chunks, writer.schema):
                writer.write_table(group)
                rows += group.num_rows
    return rows


def _groups(chunks: Iterable[Snapshot], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the rows in groups of `_ROWS`, but for the last one."""
    waiting: list[pa.Table] = []
    for chunk in chunks:
        for piece in chunk.chunks(_ROWS):
            waiting.append(_as_arrow(piece, schema))
            if sum(each.num_rows for each in waiting) >= _ROWS:
                yield _together(waiting)
                waiting = []
    if waiting:
        yield _together(waiting)


def _together(tables: list[pa.Table]) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    return pa.concat_tables(tables).unify_dictionaries() if len(tables) > 1 else tables[0]


def _as_arrow(rows: Snapshot, schema: pa.Schema) -> pa.Table:
    """Return rows as pandas would store them, from the memory of their columns."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    columns = arrow_arrays(rows)
    arrays = [
        columns[field.name]
        if columns[field.name].type == field.type
        else columns[field.name].cast(field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


@dataclass(slots=True)
class _Dataset:
    """The files of one table while they are written; at most one day is open, except where times jump."""

    folder: Path
    schema: pa.Schema
    part: int = 0
    """Several sources of one stream share a dataset; the column `source` tells them apart."""
    rows: int = 0
    _writers: dict[str, parquet.ParquetWriter] = field(default_factory=dict)
    _waiting: dict[str, list[pa.Table]] = field(default_factory=dict)

    def add(self, chunk: Snapshot) -> None:
        days = chunk.time // _DAY_NS
        cuts = np.flatnonzero(np.diff(days)) + 1
        for low, high in zip([0, *cuts.tolist()], [*cuts.tolist(), len(chunk)], strict=True):
            if high > low:
                self._add_day(_day(int(days[low])), chunk.slice(low, high))
        self.rows += len(chunk)

    def _add_day(self, day: str, rows: Snapshot) -> None:
        for piece in rows.chunks(_ROWS):
            waiting = self._waiting.setdefault(day, [])
            waiting.append(_as_arrow(piece, self.schema))
            if sum(each.num_rows for each in waiting) >= _ROWS:
                self._flush(day)
        for other in [other for other in self._waiting if other != day]:
            self._flush(other)

    def _flush(self, day: str) -> None:
        from pyarrow import parquet  # noqa: PLC0415 - an extra

        rows = _together(self._waiting.pop(day))
        if day not in self._writers:
            place = self.folder / f"date={day}"
            place.mkdir(parents=True, exist_ok=True)
            self._writers[day] = parquet.ParquetWriter(
                place / f"part-{self.part}.parquet", self.schema, compression=COMPRESSION
            )
        self._writers[day].write_table(rows)

    def close(self) -> None:
        try:
            for day in list(self._waiting):
                self._flush(day)
        finally:
            for writer in self._writers.values():
                writer.close()


def _write_nothing(folder: Path, schema: pa.Schema) -> None:
    """Write a dataset without rows. Under a date all the same: a reader finds the column `date` in every dataset."""
    from pyarrow import parquet  # noqa: PLC0415 - an extra

    place = folder / f"date={_day(time.time_ns() // _DAY_NS)}"
    place.mkdir(parents=True, exist_ok=True)
    parquet.write_table(schema.empty_table(), place / "part-0.parquet")


def _day(number: int) -> str:
    return str(np.datetime64(number, "D"))


def _is_ours(file: Path) -> bool:
    """Whether an export wrote this file of a dataset: no other program puts this stream and table there."""
    if not (
        file.name.startswith("part-") and file.suffix == ".parquet" and file.parent.name.startswith("date=")
    ):
        return False
    import pyarrow as pa  # noqa: PLC0415 - an extra
    from pyarrow import parquet  # noqa: PLC0415 - an extra

    try:
        attributes = json.loads((parquet.read_schema(file).metadata or {})[b"pandas"])["attributes"]
        stream, table = attributes["stream"], attributes["table"]
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        return False
    above = [one for one in file.parents if not one.name.startswith(("date=", "session="))]
    names = [unquote(one.name.partition("=")[2]) for one in (above[1], above[0])]
    return names == [stream, table]


def _schema(table: Table, stream: str) -> pa.Schema:
    """The schema of pandas, with each column's unit and doc, and wide enough for the words of all chunks."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    plain = pa.Schema.from_pandas(frame(Columns(table, stream=stream)))
    about = {column.name: {"unit": column.unit, "doc": column.doc} for column in table.columns}
    fields = []
    for each in plain:
        kind = pa.dictionary(pa.int32(), pa.string()) if pa.types.is_dictionary(each.type) else each.type
        fields.append(pa.field(each.name, kind, metadata=about.get(each.name)))
    return pa.schema(fields, metadata=plain.metadata)
