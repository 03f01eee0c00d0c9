"""What several pieces of a table become: one frame, or a table of Arrow, polars or DuckDB (docs/decisions/0033)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, Literal, TypeAlias, get_args

import pandas as pd

from tes_nb.errors import ArgumentError, ExportError
from tes_nb.store.memory.arrow import need_pyarrow

Engine: TypeAlias = Literal["pandas", "arrow", "polars", "duckdb", "dask"]


def with_session(frame: pd.DataFrame, session: str) -> pd.DataFrame:
    """Return a frame with the column `session` before the others."""
    frame = frame.copy(deep=False)
    words = pd.Index([session] if len(frame) else [], dtype="str")
    column = pd.Categorical.from_codes([0] * len(frame), categories=words)
    frame.insert(0, "session", pd.Series(column, index=frame.index))
    return frame


def together(pieces: Sequence[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """Return frames of sessions as one; words of categories are those of all, sorted."""
    result = unified([with_session(piece, session) for session, piece in pieces])
    result.attrs = dict(pieces[0][1].attrs)
    return result


def unified(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return frames with the same columns one after the other; words of categories are those of all, sorted."""
    frames = [frame.copy(deep=False) for frame in frames]
    for column, dtype in frames[0].dtypes.items():
        kinds = [frame.dtypes.get(column) for frame in frames]
        if not all(isinstance(kind, pd.CategoricalDtype) for kind in kinds):
            continue
        columns = [frame[column] for frame in frames]
        words = columns[0].cat.categories
        if any(kind != dtype for kind in kinds):
            words = pd.api.types.union_categoricals(columns, sort_categories=True).categories
        if words.empty:  # as of a table without rows; what reads Parquet makes objects of them
            words = pd.Index([], dtype="str")
        for frame in frames:
            if frame[column].dtype != pd.CategoricalDtype(words):
                frame[column] = frame[column].cat.set_categories(words)
    return pd.concat(frames)


def arrow_together(pieces: Sequence[tuple[str, Any]]) -> Any:
    """Return Arrow tables of sessions as one, `session` behind `time`."""
    import pyarrow as pa  # type: ignore[import-untyped] # noqa: PLC0415 - an extra

    tables = [
        piece.add_column(1, "session", _arrow_words(session, piece.num_rows)) for session, piece in pieces
    ]
    return pa.concat_tables(tables).unify_dictionaries()


def batches_together(pieces: Iterable[tuple[str, Iterable[Any]]], schema: Any) -> Any:
    """Return batches of sessions, all of this schema, as one Arrow stream, `session` behind `time`."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    whole = schema.insert(1, pa.field("session", pa.dictionary(pa.int32(), pa.string())))
    batches = (
        pa.RecordBatch.from_arrays(
            [batch.column(0), _arrow_words(session, batch.num_rows), *batch.columns[1:]], schema=whole
        )
        for session, each in pieces
        for batch in each
    )
    return pa.RecordBatchReader.from_batches(whole, batches)


def _arrow_words(word: str, count: int) -> Any:
    """Return a column with one word in all rows."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([word], pa.string()))


def need_engine(engine: Engine) -> None:
    """Raise `ArgumentError` for what is no engine, `ExportError` where its package is missing."""
    if engine not in get_args(Engine):
        raise ArgumentError(f"engine={engine!r} is not known: give one of {', '.join(get_args(Engine))}.")
    if engine == "pandas":
        return
    need_pyarrow(f"engine={engine!r}")
    module, package = {"dask": ("dask.dataframe", '"tes-nb[cluster]"'), "arrow": ("pyarrow", "pyarrow")}.get(
        engine, (engine, engine)
    )
    try:
        import_module(module)
    except ImportError as error:
        raise ExportError(
            f"engine={engine!r} needs {module} ({error}): run 'pip install {package}'."
        ) from error


def handed_to(engine: Engine, table: Any) -> Any:
    """Return an Arrow table as what an engine has."""
    if engine == "polars":
        import polars as pl  # noqa: PLC0415 - not ours to require

        return pl.from_arrow(table)
    if engine == "duckdb":
        import duckdb  # noqa: PLC0415 - not ours to require

        return duckdb.from_arrow(table)
    return table
