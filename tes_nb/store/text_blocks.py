"""Text of a column made once for many frames: making it costs more than all else in a frame of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from tes_nb.store.cells import Cells

BLOCK = 65_536
"""Rows of a block: so many at most are made anew at the end of each frame."""
_KEPT_BYTES = 32 * BLOCK
"""A block of longer texts is not kept: the memory of a table must not grow with the looking at it."""

_ARROW = pd.StringDtype(na_value=float("nan")).storage == "pyarrow"
"""Without pyarrow pieces cannot be joined without a copy, so that keeping them gains nothing."""


def text_array(cells: Cells) -> Any:
    """Return the cells as what a DataFrame's column of dtype `str` is made of."""
    if cells.kept is None or len(cells) < BLOCK or not _ARROW:
        return _made(cells)
    first, last = -(-cells.start // BLOCK), (cells.start + len(cells)) // BLOCK
    pieces = [_block(cells, number) for number in range(first, last)]
    head = cells.slice(0, first * BLOCK - cells.start)
    tail = cells.slice(max(last, first) * BLOCK - cells.start, len(cells))
    pieces = [_made(head), *pieces, _made(tail)]
    return type(pieces[0])._concat_same_type(pieces)  # noqa: SLF001 - of pandas' interface for arrays


def _block(cells: Cells, number: int) -> Any:
    assert cells.kept is not None, "only cells of a growing column have blocks"
    array = cells.kept.get(number)
    if array is None:
        low = number * BLOCK - cells.start
        array = _made(cells.slice(low, low + BLOCK))
        if array.nbytes <= _KEPT_BYTES:
            cells.kept[number] = array
    return array


def _made(cells: Cells) -> Any:
    words, places = cells.compact()
    return pd.array(words, dtype="str").take(places, allow_fill=True)
