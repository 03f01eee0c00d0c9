"""Exported CSV files back into frames equal to those they came from.

frames = read_folder("friday")            # {"metrics": DataFrame, …}: dtypes, times, units, text as it was
pd.read_csv("friday/metrics.csv", **read_csv_options(table))     # the same without the rule for text
"""

from __future__ import annotations

import datetime as dt
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tes_nb.errors import ArgumentError, counted
from tes_nb.model.table import BASE_COLUMNS
from tes_nb.store.export import csv_text, datapackage
from tes_nb.store.memory.cells import Cells
from tes_nb.store.memory.frames import pandas_array
from tes_nb.store.paths import user_path

if TYPE_CHECKING:
    import os

    from tes_nb.model import Dtype, Table
    from tes_nb.store.export.datapackage import Resource

_TIME: Dtype = "datetime64[ns, UTC]"
_EXACT = {} if pd.__version__ >= "3.1" else {"float_precision": "round_trip"}
"""Older parsers of pandas may miss the last bit of a number without it."""
_QUOTED_FIELD = re.compile(rb'"[^"]*+(?:""[^"]*+)*+"')


def read_csv_options(table: Table) -> dict[str, Any]:
    """Return the options with which `pandas.read_csv` restores a file of `table`: index, times, dtypes, NA.

    `read_folder` does more: it undoes `formulas="neutralise"`, tells the empty text from an absent one (pandas by
    itself reads both as NaN), gives category columns their dtype (they are read as str here, since pandas takes a
    category "007" for the number 7), and time columns theirs where there is not a single time to judge by.
    """
    dtypes = {column.name: column.dtype for column in (*BASE_COLUMNS, *table.columns)}
    times = [name for name, dtype in dtypes.items() if dtype == _TIME]
    return {"index_col": "time", "parse_dates": times, **_options(dtypes)}


def _options(dtypes: dict[str, Dtype]) -> dict[str, Any]:
    read_as = {
        name: "str" if dtype == "category" else dtype for name, dtype in dtypes.items() if dtype != _TIME
    }
    return {"dtype": read_as, "keep_default_na": False, "na_values": [""], **_EXACT}


class Frames(dict[str, "pd.DataFrame"]):
    """The tables of an export, a frame each. Shows what there is, not the rows."""

    def __repr__(self) -> str:
        width = max(map(len, self), default=0)
        rows = [
            f"  {name:{width}}  {counted(len(frame), 'row')}, {counted(frame.shape[1], 'column')}"
            for name, frame in self.items()
        ]
        return "\n".join([f"<{counted(len(self), 'table')}, a frame each>", *rows])


def read_folder(folder: str | os.PathLike[str]) -> Frames:
    """Return a frame for each table that `write_folder` wrote into `folder`, by file name without ".csv".

    The frames equal those that `frame` gave, `.attrs` included, whatever `formulas=` they were written with. Raises
    `ArgumentError` for another folder, and where a file is missing or was changed so that it no longer fits
    `datapackage.json`.
    """
    folder = user_path(folder, ArgumentError)
    description = datapackage.load(folder)
    neutralised = description.formulas == "neutralise"
    return Frames(
        {
            Path(entry.path).stem: _read(folder / entry.path, entry, neutralised=neutralised)
            for entry in description.resources
        }
    )


def _read(path: Path, entry: Resource, *, neutralised: bool) -> pd.DataFrame:
    dtypes = {field.name: field.dtype for field in entry.schema.fields}
    try:
        data, placeholders = _Placeholders.put_into(path.read_bytes())
        read: pd.DataFrame = pd.read_csv(io.BytesIO(data), index_col=False, **_options(dtypes))
        typed = {
            name: _typed(read[name], dtype, placeholders, neutralised=neutralised)
            for name, dtype in dtypes.items()
        }
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise ArgumentError(
            f"'{path}' is not what {datapackage.FILE_NAME} says ({error}): export again."
        ) from error
    index = pd.DatetimeIndex(typed.pop("time"), name="time")
    frame = pd.DataFrame(typed, index=index)
    units = {field.name: field.unit for field in entry.schema.fields if field.unit}
    frame.attrs.update({"stream": entry.stream, "table": entry.table, "units": units})
    if entry.key:
        frame.attrs["key"] = entry.key
    return frame if index.is_monotonic_increasing else frame.sort_index(kind="stable")


@dataclass(frozen=True, slots=True)
class _Placeholders:
    """What stands for the empty text and for NUL while pandas reads.

    By itself it takes `""` for absent and, before 3.1, ends a text at NUL.
    """

    empty: str
    nul: str

    @classmethod
    def put_into(cls, data: bytes) -> tuple[bytes, _Placeholders]:
        """Return a file with words that do not occur in it, and those words."""
        placeholders = cls(_word_outside(data, "\ue000"), _word_outside(data, "\ue001"))
        if b'""' in data:
            empty = placeholders.empty.encode()
            data = _QUOTED_FIELD.sub(lambda field: empty if field[0] == b'""' else field[0], data)
        return data.replace(b"\0", placeholders.nul.encode()), placeholders

    def undo(self, text: str) -> str:
        return "" if text == self.empty else text.replace(self.nul, "\0")


def _word_outside(data: bytes, sign: str) -> str:
    word = sign
    while word.encode() in data:
        word += sign
    return word


def _typed(column: pd.Series, dtype: Dtype, placeholders: _Placeholders, *, neutralised: bool) -> Any:
    """Return the column's cells without an index, for that may repeat."""
    if dtype == _TIME:
        return pd.to_datetime(column, utc=True, format="ISO8601").astype(_TIME).array
    if dtype not in {"str", "category"}:
        return column.array
    places, distinct = pd.factorize(column)
    texts = [placeholders.undo(text) for text in distinct]
    if neutralised:
        texts = [csv_text.restore(text) for text in texts]
    return pandas_array(Cells(dtype, places, None, texts), dt.UTC).copy()
