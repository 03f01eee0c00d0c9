"""Who plays: names by match id, told by the user or looked up, for frames and for live tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from tes_nb.errors import ArgumentError
from tes_nb.model import Column
from tes_nb.views.known import Known

NAMES = ("home_team", "away_team", "league")
COLUMNS = (
    Column("home_team", "str", "", "label", "Who plays at home; NA if nobody has told (set_names)."),
    Column("away_team", "str", "", "label", "Who plays away."),
    Column("league", "str", "", "label", "Where they play."),
)
UNKNOWN: tuple[str | None, ...] = (None,) * len(NAMES)
ASK_EVERY_S = 5.0
"""Between two looks for names that nobody has told, while a live table waits for them."""


class MatchNames:
    """The names that are known. `version` rises with each change."""

    def __init__(self) -> None:
        self._frame: pd.DataFrame | None = None
        self._by_id: dict[str, tuple[str | None, ...]] = {}
        self._asked_at = float("-inf")
        self.version = 0

    def tell(self, names: pd.DataFrame) -> None:
        """Take a frame with `match_id`, `home_team`, `away_team`, optionally `league`; others stay.

        Raises `ArgumentError` when a column is missing.
        """
        missing = [name for name in ("match_id", *NAMES[:2]) if name not in names.columns]
        if missing:
            raise ArgumentError(
                f"Names need the columns match_id, home_team and away_team; the frame lacks {', '.join(missing)}."
            )
        told = names.reindex(columns=["match_id", *NAMES]).astype(dict.fromkeys(("match_id", *NAMES), "str"))
        known = told if self._frame is None else pd.concat([self._frame.reset_index(), told])
        self._frame = known.drop_duplicates("match_id", keep="last").set_index("match_id")
        cells = self._frame.astype(object).where(self._frame.notna(), None)
        self._by_id = dict(zip(cells.index, cells.itertuples(index=False, name=None), strict=True))
        self.version += 1

    def lacks(self, match_ids: set[str]) -> bool:
        """Whether any of them has no name yet."""
        return not match_ids <= self._by_id.keys()

    def of(self, match_ids: pd.Series) -> pd.DataFrame:
        """Return the three columns for these ids, NA where nothing is known."""
        names = pd.DataFrame(columns=list(NAMES), dtype="str") if self._frame is None else self._frame
        return names.reindex(match_ids)

    def known(self, by: str, look_up: Callable[[set[str]], None]) -> Known:
        """Return the columns for a live table. look_up: finds out names that are not known, where it can."""

        def find(match_ids: Sequence[Any]) -> list[tuple[str | None, ...]]:
            wanted = {one for one in match_ids if one is not None}
            if self.lacks(wanted) and time.monotonic() - self._asked_at > ASK_EVERY_S:
                self._asked_at = time.monotonic()
                look_up(wanted)
            return [self._by_id.get(one, UNKNOWN) for one in match_ids]

        return Known(COLUMNS, by, find, lambda: self.version)
