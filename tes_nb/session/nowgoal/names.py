"""Who plays in a match, and when its price last came: what live tables of matches show beside their own columns."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from tes_nb.errors import ArgumentError
from tes_nb.model import Column
from tes_nb.views.source import Lookup, plain_rows

if TYPE_CHECKING:
    from tes_nb.store.memory.columns import Columns

NAMES = ("home_team", "away_team", "league")
COLUMNS = (
    Column("home_team", "str", "", "label", "Who plays at home; NA if not set (set_names)."),
    Column("away_team", "str", "", "label", "Who plays away."),
    Column("league", "str", "", "label", "Where they play."),
    Column("match", "str", "", "label", "Who plays whom; the match's id where nobody has said."),
    Column("score", "str", "", "label", "Goals so far, the home side's first."),
    Column("last_price", "datetime64[ns, UTC]", "ago", "time", "When a price of the match came last."),
)
UNKNOWN: tuple[str | None, ...] = (None,) * len(NAMES)
LOOK_EVERY_S = 5.0
"""Between two looks for names that are not set, while a live table waits for them."""
AGES_EVERY_S = 2.0


class MatchNames:
    """The names that are known. `version` rises with each change."""

    def __init__(self) -> None:
        self._frame: pd.DataFrame | None = None
        self._by_id: dict[str, tuple[str | None, ...]] = {}
        self._looked_at = float("-inf")
        self.version = 0

    def add(self, names: pd.DataFrame) -> None:
        """Take a frame with `match_id`, `home_team`, `away_team`, optionally `league`; others stay.

        Raises `ArgumentError` when a column is missing.
        """
        missing = [name for name in ("match_id", *NAMES[:2]) if name not in names.columns]
        if missing:
            raise ArgumentError(
                f"Names need the columns match_id, home_team and away_team; the frame lacks {', '.join(missing)}."
            )
        names = names.reindex(columns=["match_id", *NAMES]).astype(dict.fromkeys(("match_id", *NAMES), "str"))
        both = names if self._frame is None else pd.concat([self._frame.reset_index(), names])
        self._frame = both.drop_duplicates("match_id", keep="last").set_index("match_id")
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

    def title(self, match_id: str | None) -> str | None:
        """Return "home v away"; the id where that is not known."""
        home, away, _ = self._by_id.get(match_id or "", UNKNOWN)
        return match_id if home is None or away is None else f"{home} v {away}"

    def search(self, words: str, match_ids: Sequence[str]) -> list[str]:
        """Return the id that is `words`, else those in whose title they occur in this order: "Rovers v Athletic"."""
        if words in match_ids:
            return [words]
        pattern = re.compile(".*".join(map(re.escape, words.split())), re.IGNORECASE)
        return [one for one in match_ids if pattern.search(self.title(one) or "")]

    def lookup(self, by: str, find_names: Callable[[set[str]], None], match_now: MatchNow) -> Lookup:
        """Return the columns for a live table. find_names: finds out names that are not known, where it can."""

        def find(match_ids: Sequence[Any]) -> list[tuple[Any, ...]]:
            matches = {one for one in match_ids if one is not None}
            if self.lacks(matches) and time.monotonic() - self._looked_at > LOOK_EVERY_S:
                self._looked_at = time.monotonic()
                find_names(matches)
            now = zip(match_ids, match_now.cells(match_ids), strict=True)
            return [(*self._by_id.get(one, UNKNOWN), self.title(one), *cells) for one, cells in now]

        return Lookup(
            COLUMNS, by, find, lambda: self.version + match_now.version(), lambda cells: cells[len(NAMES)]
        )


class MatchNow:
    """When a price of each match came last, and its score."""

    def __init__(self, odds: Columns, scores: Columns) -> None:
        self._prices, self._scores = _Newest(odds), _Newest(scores, "home_goals", "away_goals")
        self._version = 0
        self._versioned_at = float("-inf")

    def cells(self, match_ids: Sequence[Any]) -> list[tuple[str | None, float | None]]:
        """Return for each match its score, "2:1", and the Unix seconds of its last price; `None` = not known."""
        prices, scores = self._prices.rows(), self._scores.rows()
        cells = []
        for one in match_ids:
            (price_at,), (_, *goals) = prices.get(one, (None,)), scores.get(one, (None, None))
            cells.append((None if None in goals else ":".join(f"{goal:g}" for goal in goals), price_at))
        return cells

    def version(self) -> int:
        """Return a number that rises with what comes, every two seconds at most: all rows are sent again then."""
        now = time.monotonic()
        if now - self._versioned_at > AGES_EVERY_S and (self._prices.is_behind or self._scores.is_behind):
            self._version, self._versioned_at = self._version + 1, now
        return self._version


class _Newest:
    """The newest row of each match: its time in Unix seconds, and some of its columns."""

    def __init__(self, columns: Columns, *names: str) -> None:
        self._columns = columns
        self._names = ("match_id", *names)
        self._cursor = 0
        self._rows: dict[Any, tuple[Any, ...]] = {}

    @property
    def is_behind(self) -> bool:
        """Whether rows have come since the last look."""
        return self._columns.total > self._cursor

    def rows(self) -> dict[Any, tuple[Any, ...]]:
        if self._cursor < self._columns.cleared:
            self._rows.clear()
        fresh = self._columns.since(self._cursor, self._names)
        self._cursor = fresh.cursor
        rows = plain_rows(fresh.columns, self._names)
        self._rows.update(
            (row[0], (at, *row[1:])) for at, row in zip((fresh.time / 1e9).tolist(), rows, strict=True)
        )
        return self._rows
