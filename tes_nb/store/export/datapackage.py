"""`datapackage.json`: what the CSV files beside it hold, in the form of Data Package 2.0 (datapackage.org).

Standard words are used where there are any; ours stand beside them: for a field `unit`, `dtype` and `kind`;
for a file `stream`, `table`, `key`, `rows`, `dropped` (rows that memory had to drop before) and `gaps`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from tes_nb._version import __version__
from tes_nb.errors import ArgumentError
from tes_nb.model import ColumnKind, Dtype
from tes_nb.model.table import BASE_COLUMNS
from tes_nb.store.export.csv_text import Formulas, iso_times

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tes_nb.model import Table
    from tes_nb.wire.events import Gap

FILE_NAME = "datapackage.json"
_PROFILE = "https://datapackage.org/profiles/2.0/datapackage.json"
_LARGEST = 64 * 2**20

_TYPES: dict[Dtype, str] = {
    "float64": "number",
    "int64": "integer",
    "Int64": "integer",
    "boolean": "boolean",
    "str": "string",
    "category": "string",
    "datetime64[ns, UTC]": "datetime",
}
_EMPTY = (
    'The empty text is "", an absent value nothing between the commas: tes_nb.read_csv(folder) tells them apart, '
    "pandas.read_csv reads both as NaN."
)
_RULES: dict[Formulas, str] = {
    "neutralise": (
        "An apostrophe stands before text that a spreadsheet might run, and before one that begins with an "
        "apostrophe; NUL is \N{SYMBOL FOR NULL}0, and \N{SYMBOL FOR NULL} is \N{SYMBOL FOR NULL}1. "
        f"tes_nb.read_csv(folder) undoes it. {_EMPTY}"
    ),
    "keep": f"Text stands as it was received: a spreadsheet may run it. {_EMPTY}",
}


class FieldDescriptor(msgspec.Struct, omit_defaults=True):
    """A column."""

    name: str
    type: str
    dtype: Dtype
    description: str
    kind: ColumnKind
    unit: str = ""
    format: str = "default"


class Schema(msgspec.Struct, rename="camel"):
    """A file's columns, and how an absent value stands there."""

    fields: list[FieldDescriptor]
    missing_values: list[str] = msgspec.field(default_factory=lambda: [""])


class GapDescriptor(msgspec.Struct):
    """A hole in what was received, with times in ISO 8601."""

    conn: int
    last_seen: str | None
    lost_at: str
    back_at: str | None
    cause: str
    missing: int | None = None


class Resource(msgspec.Struct):
    """A file."""

    name: str
    path: str
    description: str
    stream: str
    table: str
    rows: int
    bytes: int
    schema: Schema
    key: list[str] = []
    dropped: int = 0
    gaps: list[GapDescriptor] = []
    type: Literal["table"] = "table"
    format: Literal["csv"] = "csv"
    mediatype: str = "text/csv"
    encoding: Literal["utf-8"] = "utf-8"


class Package(msgspec.Struct):
    """The whole description."""

    profile: str = msgspec.field(name="$schema")
    name: str
    created: str
    tes_nb: str
    """The version that wrote it."""
    formulas: Formulas
    rule: str
    """How text was written, in words."""
    resources: list[Resource]


def describe(resources: list[Resource], formulas: Formulas, created_ns: int) -> Package:
    """Return the description of an export made at `created_ns` (Unix ns)."""
    return Package(
        profile=_PROFILE,
        name="tes-nb-export",
        created=iso_times(np.array([created_ns]))[0],
        tes_nb=__version__,
        formulas=formulas,
        rule=_RULES[formulas],
        resources=resources,
    )


def resource(
    name: str, stream: str, table: Table, *, rows: int, size: int, dropped: int, gaps: Sequence[Gap]
) -> Resource:
    """Return the description of one file."""
    return Resource(
        name=name.lower(),
        path=f"{name}.csv",
        description=table.doc,
        stream=stream,
        table=table.name,
        rows=rows,
        bytes=size,
        schema=Schema(
            [
                FieldDescriptor(one.name, _TYPES[one.dtype], one.dtype, one.doc, one.kind, one.unit)
                for one in (*BASE_COLUMNS, *table.columns)
            ]
        ),
        key=list(table.key),
        dropped=dropped,
        gaps=[_gap(gap) for gap in gaps],
    )


def _gap(gap: Gap) -> GapDescriptor:
    last, lost, back = (
        None if moment is None else iso_times(np.array([moment]))[0]
        for moment in (gap.last_seen_ns, gap.lost_at_ns, gap.back_at_ns)
    )
    assert lost is not None  # `lost_at_ns` is always known
    return GapDescriptor(gap.conn, last, lost, back, gap.cause, gap.missing)


def dump(description: Package) -> str:
    """Return the file's text."""
    return msgspec.json.format(msgspec.json.encode(description), indent=1).decode() + "\n"


def files_in(folder: Path) -> set[str]:
    """Return the names of the files that an export wrote into `folder` and nobody has changed since."""
    try:
        described = load(folder).resources
    except ArgumentError:
        return set()
    return {
        entry.path
        for entry in described
        if (folder / entry.path).is_file() and (folder / entry.path).stat().st_size == entry.bytes
    }


def load(folder: Path) -> Package:
    """Return the description in `folder`. Raises `ArgumentError` where there is none that we understand."""
    path = folder / FILE_NAME
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
    except OSError as error:
        raise ArgumentError(
            f"'{folder}' is no folder of exported tables: its {FILE_NAME} cannot be read ({error.strerror}). "
            "Give a folder that to_csv() wrote."
        ) from error
    try:
        if len(text) > _LARGEST:
            raise msgspec.ValidationError("it is larger than 64 MiB")
        package = msgspec.json.decode(text, type=Package)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ArgumentError(
            f"'{path}' was not written by tes_nb, or by another version of it: {error}. "
            "Read the CSV files with pandas.read_csv instead."
        ) from error
    for name in (entry.path for entry in package.resources):
        plain = name == name.strip() and not name.startswith(".") and name.endswith(".csv")
        if not plain or set(name) & set("/\\:\0"):
            raise ArgumentError(f"'{path}' names a file outside its folder, {name!r}: do not trust it.")
    return package
