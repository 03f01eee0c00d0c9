"""Which rows of a table a view shows: `where={"match_id": "9000001", "market": ["1x2", "over_under"]}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tes_nb.errors import ArgumentError

if TYPE_CHECKING:
    import pandas as pd

    from tes_nb.model import Table

MAX_VALUE = 60
_WORDS = (str, int, float, bool)


class Where:
    """A choice of rows: for each column the values that it may have. An absent value is `None`."""

    def __init__(self, table: Table, choice: Mapping[str, Any]) -> None:
        """Raises `ArgumentError` for a column that there is not, and for what is no value."""
        if not isinstance(choice, Mapping) or not choice:
            raise ArgumentError(
                f'where= takes columns and the values that they may have, as {{"{table.names[0]}": …}}, '
                f"not {choice!r}."
            )
        dtypes = {column.name: column.dtype for column in table.columns}
        self._wanted: dict[str, tuple[Any, ...]] = {}
        for name, values in choice.items():
            if name not in dtypes:
                raise ArgumentError(
                    f"There is no column {name!r} to choose rows by; there are {', '.join(dtypes)}."
                )
            listed = tuple(values) if isinstance(values, list | tuple | set | frozenset) else (values,)
            if not listed or not all(value is None or isinstance(value, _WORDS) for value in listed):
                raise ArgumentError(
                    f"where={{'{name}': …}} takes a text, a number, None, or a list of these, not {values!r}."
                )
            text = dtypes[name] in ("str", "category")
            self._wanted[name] = tuple(str(one) if text and one is not None else one for one in listed)

    @property
    def names(self) -> list[str]:
        """The columns that it looks at."""
        return list(self._wanted)

    @property
    def text(self) -> str:
        """The choice in words."""
        return " · ".join(
            f"{name} = {', '.join(_shown(value) for value in values)}"
            for name, values in self._wanted.items()
        )

    def mask(self, columns: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
        """Return which rows are chosen. columns: as `Columns.since` gives them."""
        masks = [_is_one_of(columns[name], values) for name, values in self._wanted.items()]
        chosen: npt.NDArray[np.bool_] = np.logical_and.reduce(masks)
        return chosen

    def rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the chosen rows of a frame, and those that stand for gaps."""
        chosen = frame["seq"].isna()
        within = np.ones(len(frame), bool)
        for name, values in self._wanted.items():
            one = frame[name].isin([value for value in values if value is not None])
            within &= (one | frame[name].isna() if None in values else one).to_numpy(bool)
        return frame[chosen.to_numpy(bool) | within]


class Drawn(Where):
    """The rows that charts draw where nobody has chosen: all but those of `Table.undrawn`."""

    def __init__(self, table: Table, undrawn: tuple[str, tuple[str, ...]]) -> None:
        super().__init__(table, dict([undrawn]))

    def mask(self, columns: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
        """Return which rows are drawn."""
        return ~super().mask(columns)

    def rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows that are drawn, and those that stand for gaps."""
        (name, values), *_ = self._wanted.items()
        return frame[~frame[name].isin(values).to_numpy(bool)]


def drawn_by(table: Table, choice: Where | None) -> Where | None:
    """Return the choice of rows that a chart draws; `None` = all rows."""
    return Drawn(table, table.undrawn) if choice is None and table.undrawn is not None else choice


def chosen_by(table: Table, choice: Mapping[str, Any] | None) -> Where | None:
    """Return the choice of `where=`; `None` = all rows."""
    return None if choice is None else Where(table, choice)


def _shown(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 1]}…"


def _is_one_of(cells: npt.NDArray[Any], values: tuple[Any, ...]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(len(cells), bool)
    for value in values:
        if value is None:
            mask |= np.array([cell is None or cell != cell for cell in cells.tolist()], bool)  # noqa: PLR0124 - NaN
        else:
            mask |= np.asarray(cells == value, bool)
    return mask
