"""Cells as CSV text: times with nine digits and Z, numbers that come back exactly, text no spreadsheet runs (0008).

The rule for text (`formulas="neutralise"`), which `restore` undoes:

1. A *place* is the start of a text, and what follows any of `, ; | TAB CR LF` in it: some spreadsheets begin
   a new cell there.
2. One apostrophe is put in at each place where, after any spaces, quotes and invisible characters, one of
   `= + - @ TAB CR LF NUL` (or its full-width form) comes, and at each place where an apostrophe stands already.
   To read a text back, take one apostrophe away at each place that has one.
3. NUL is written as `␀0`, and `␀` itself as `␀1`: no file holds a NUL byte.

Numbers, times and flags are no text: -1 stays -1. `formulas="keep"` writes text as it is. Either way the empty
text is `""` and an absent one is nothing at all between the commas, which `restore.py` tells apart; a spreadsheet,
and `pandas.read_csv` by itself, show both as an empty cell. (Until 0.1.0 "neutralise" wrote the empty text as a
lone apostrophe, which it never writes now: rule 2 reads it back all the same.)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import numpy as np

from tes_nb.model.table import BASE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tes_nb.model import Table
    from tes_nb.store.memory.cells import Array, Cells, Snapshot

Formulas = Literal["neutralise", "keep"]

_PLACE = r"(?:\A|(?<=[,;|\t\r\n]))"
_SKIPPED = r"[\s\x00-\x1f\x7f\"'\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]"
_RUN = r"[=+\-@\t\r\n\0\uff1d\uff0b\uff0d\uff20]"
# lazy: a greedy run of TABs would be walked again from each of them
_NEEDS_APOSTROPHE = re.compile(rf"{_PLACE}(?='|{_SKIPPED}*?{_RUN})")
_HAS_APOSTROPHE = re.compile(rf"{_PLACE}'")
_NUL_SIGN = "\N{SYMBOL FOR NULL}"
_NUL_CODE = re.compile(f"{_NUL_SIGN}([01])")
_WANTS_QUOTES = re.compile(r'[,;|"\t\r\n]|\A\s|\s\Z')


def neutralise(text: str) -> str:
    """Return `text` so that no spreadsheet runs it; `restore` gives it back."""
    text = _NEEDS_APOSTROPHE.sub("'", text)
    if "\0" in text or _NUL_SIGN in text:
        text = text.replace(_NUL_SIGN, f"{_NUL_SIGN}1").replace("\0", f"{_NUL_SIGN}0")
    return text


def restore(text: str) -> str:
    """Return what `neutralise` was given."""
    if _NUL_SIGN in text:
        text = _NUL_CODE.sub(lambda code: "\0" if code[1] == "0" else _NUL_SIGN, text)
    return _HAS_APOSTROPHE.sub("", text)


def quoted(text: str) -> str:
    """Return one CSV field; the empty text in quotes, so that it differs from an absent one."""
    if text and not _WANTS_QUOTES.search(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def header(table: Table) -> str:
    """Return the first line of a table's file, with its line end."""
    names = [column.name for column in (*BASE_COLUMNS, *table.columns)]
    return ",".join(map(quoted, names)) + "\n"


def lines(rows: Snapshot, formulas: Formulas) -> str:
    """Return the rows as lines, in the order received."""
    if not len(rows):
        return ""
    columns: list[Iterable[str]] = [iso_times(rows.time)]
    columns += [fields(cells, formulas) for cells in rows.cells.values()]
    return "\n".join(map(",".join, zip(*columns, strict=True))) + "\n"


def iso_times(ns: Array) -> list[str]:
    """Return Unix ns as ISO 8601 with nine digits and Z; "" for NaT."""
    stamps: list[str] = np.datetime_as_string(ns.view("M8[ns]"), unit="ns", timezone="UTC").tolist()
    return stamps


def fields(cells: Cells, formulas: Formulas) -> list[str]:
    """Return the cells as CSV fields; "" for absent ones."""
    if cells.words is not None:
        words, places = cells.compact()
        guard: Callable[[str], str] = neutralise if formulas == "neutralise" else str
        quoted_words = [*(quoted(guard(word)) for word in words), ""]
        return [quoted_words[place] for place in places.tolist()]
    if cells.dtype == "datetime64[ns, UTC]":
        texts = iso_times(cells.values)
    else:
        texts = list(map(repr, cells.values.tolist()))
    for place in np.flatnonzero(cells.absent()).tolist():
        texts[place] = ""
    if cells.dtype == "float64":
        for place in np.flatnonzero(np.isinf(cells.values)).tolist():
            texts[place] = "INF" if cells.values[place] > 0 else "-INF"
    return texts
