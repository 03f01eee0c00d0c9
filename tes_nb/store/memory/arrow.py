"""Arrow's view of tables: the memory of columns as it is, so that polars, DuckDB and Parquet need no frame between.

    dtype               Arrow                                        costs
    float64, int64      the same memory; NaN is null                 a look for NaN
    Int64, boolean      the same memory, its mask as bits
    datetime64          timestamp[ns, UTC], the same memory
    category            dictionary<int32, string>                    the places widened
    str                 string                                       a copy

The time is a column, `time`, the first. Fields carry `unit` and `doc` in their metadata. Needs pyarrow.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from tes_nb.errors import ExportError
from tes_nb.model import Direction, Message, Opcode
from tes_nb.model.table import BASE_COLUMNS
from tes_nb.store.memory.cells import Cells

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped] # it has no stubs

    from tes_nb.model import Dtype, Table
    from tes_nb.store.memory.cells import Array, Snapshot


MESSAGES = 2048
"""Messages of a batch."""
FEW = 1000
"""So many words are given with however few rows."""


def need_pyarrow(what: str = "Arrow") -> None:
    """Raise `ExportError`, which says what to do, where pyarrow is not installed."""
    if importlib.util.find_spec("pyarrow") is None:
        raise ExportError(
            f"{what} needs pyarrow, which is not installed: run 'pip install \"tes-nb[parquet]\"', or export to CSV."
        )


def arrow_type(dtype: Dtype) -> Any:
    """Return what a column of this dtype is in Arrow."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    kinds = {
        "float64": pa.float64(),
        "int64": pa.int64(),
        "Int64": pa.int64(),
        "boolean": pa.bool_(),
        "str": pa.string(),
        "category": pa.dictionary(pa.int32(), pa.string()),
        "datetime64[ns, UTC]": pa.timestamp("ns", "UTC"),
    }
    return kinds[dtype]


def arrow_schema(table: Table, stream: str = "") -> pa.Schema:
    """Return the schema of a table's rows: `time`, `sent_at`, `seq`, `conn`, `source`, then its own columns."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    fields = [
        pa.field(one.name, arrow_type(one.dtype), metadata={"unit": one.unit, "doc": one.doc})
        for one in (*BASE_COLUMNS, *table.columns)
    ]
    return pa.schema(fields, metadata={"stream": stream, "table": table.name, "doc": table.doc})


def arrow_table(rows: Snapshot) -> pa.Table:
    """Return rows as an Arrow table in the order of their times, its columns those of `arrow_schema`."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    schema, columns = arrow_schema(rows.table, rows.stream), arrow_arrays(rows, spare_words=True)
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def arrow_arrays(rows: Snapshot, *, spare_words: bool = False) -> dict[str, Any]:
    """Return each column as an array, `time` among them, in the order of the times.

    spare_words: dictionaries may have words that do not occur, which saves a search for those that do.
    """
    rows = rows.by_time()
    time = Cells("datetime64[ns, UTC]", rows.time)
    return {name: arrow_array(cells, spare_words) for name, cells in {"time": time, **rows.cells}.items()}


def arrow_array(cells: Cells, spare_words: bool = False) -> Any:
    """Return cells as an array; numbers and times share their memory."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    if cells.words is not None:
        few = spare_words and len(cells.words) < max(len(cells), FEW)
        words, places = (list(cells.words), cells.values) if few else cells.compact()
        low, high = (int(places.min()), int(places.max())) if len(places) else (0, 0)
        alike = low == high == 0 or high < 0  # memory that is never written to costs nothing
        wide = np.zeros(len(places), np.int32) if alike else places.astype(np.int32)
        index = _array(pa.int32(), wide, places < 0 if low < 0 else None)
        named = pa.DictionaryArray.from_arrays(index, pa.array(words, pa.string()))
        return named if cells.dtype == "category" else named.cast(pa.string())
    absent = None if cells.dtype == "int64" else cells.mask if cells.mask is not None else cells.absent()
    return _array(arrow_type(cells.dtype), cells.values, absent)


def _array(kind: Any, values: Array, absent: Array | None) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    missing = 0 if absent is None else int(np.count_nonzero(absent))
    valid = None
    if absent is not None and missing:
        valid = pa.py_buffer(np.packbits(~absent, bitorder="little"))
    count = len(values)
    if values.dtype == np.bool_:
        values = np.packbits(values, bitorder="little")
    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(kind, count, [valid, data], missing)


def message_batches(messages: Iterable[Message]) -> pa.RecordBatchReader:
    """Return messages as a stream of batches, as they came: in flat memory, however many there are."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    word = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema(
        [
            ("time", pa.timestamp("ns", "UTC")),
            ("source", word),
            ("seq", pa.int64()),
            ("conn", pa.int64()),
            ("direction", word),
            ("opcode", word),
            ("size", pa.int64()),
            ("payload", pa.binary()),
        ]
    )

    def batches() -> Iterator[pa.RecordBatch]:
        for some in batched(messages, MESSAGES):
            rows = [
                (
                    one.t_wall_ns,
                    one.source,
                    one.seq,
                    one.conn,
                    Direction(one.direction).name.lower(),
                    Opcode(one.opcode).name.lower(),
                    len(one.payload),
                    one.payload,
                )
                for one in some
            ]
            columns = zip(schema, zip(*rows, strict=True), strict=True)
            yield pa.record_batch([pa.array(cells, field.type) for field, cells in columns], schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def batched(items: Iterable[Message], count: int) -> Iterator[list[Message]]:
    """Yield lists of so many."""
    rest = iter(items)
    while some := list(islice(rest, count)):
        yield some


def stream_capsule(table: pa.Table | pa.RecordBatchReader, requested_schema: object | None) -> object:
    """Return what `__arrow_c_stream__` must. Raises `ExportError` for a schema that the table cannot have."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    try:
        return table.__arrow_c_stream__(requested_schema)
    except (pa.ArrowException, ValueError, TypeError, NotImplementedError) as error:
        there = ", ".join(f"{field.name}: {field.type}" for field in table.schema)
        raise ExportError(
            f"The rows cannot be given in the schema that was asked for ({error}); they have {there}."
        ) from error
