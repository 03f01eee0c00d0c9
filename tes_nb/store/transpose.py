"""The rows of several messages, column by column."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from tes_nb.model import Batch, Doubles, Same

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tes_nb.model import Row, Values


def transposed(groups: Sequence[Sequence[Row]], width: int) -> tuple[Sequence[Values], Sequence[int]]:
    """Return the values of each column, and the places of the rows that had another number of values."""
    kind = type(groups[0])
    if issubclass(kind, Batch) and len(set(map(type, groups))) == 1:
        return _columns_of(kind, list(chain.from_iterable([group.items for group in groups])), width)  # type: ignore[attr-defined]
    rows = list(chain.from_iterable(groups))
    columns = _zipped(rows, width)
    if columns is not None:
        return columns, ()
    odd = [place for place, row in enumerate(rows) if len(row) != width]
    return _zipped([row for row in rows if len(row) == width], width) or [], odd


def tail(column: Values, count: int) -> Values:
    """Return the last `count` values."""
    if isinstance(column, Same):
        return column
    return (column.plain() if isinstance(column, Doubles) else column)[-count:]


def _zipped(rows: list[Row], width: int) -> list[tuple[Any, ...]] | None:
    """Return the rows' values column by column; `None` when a row has another width."""
    try:
        columns = list(zip(*rows, strict=True))
    except ValueError:
        return None
    return columns if len(columns) == width else None


def _columns_of(kind: type[Batch], items: list[Any], width: int) -> tuple[Sequence[Values], Sequence[int]]:
    try:
        columns = kind.columns(items)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a stream's mistake must not end the feed; its rows are counted as refused
        columns = ()
    if len(columns) == width and {_length(column, len(items)) for column in columns} <= {len(items)}:
        return columns, ()
    return [], range(len(items))


def _length(column: Values, count: int) -> int:
    if isinstance(column, Same):
        return count
    return len(column.data) // 8 if isinstance(column, Doubles) else len(column)
