"""One match of a feed: its score, its prices with goals and steam on their time line, its ticks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from tes_nb.errors import ArgumentError, TesError

if TYPE_CHECKING:
    from tes_nb.model import Stream
    from tes_nb.session.nowgoal.names import MatchNames
    from tes_nb.views.annotations import Notes
    from tes_nb.views.chart import Chart

LOOK_EVERY_S = 3.0
"""Goals and steam are looked for again so often, at most, while a chart of matches is drawn."""
RUN = pd.Timedelta("30s")
"""Steam of one price that goes on within so long is one run, and has one mark: where it began."""
MOST_NAMED = 8
GOALS = ["home_goals", "away_goals"]


def chosen_match(names: MatchNames, words: str, match_ids: Sequence[str]) -> str:
    """Return the one match that is meant by an id or a part of its teams' names. Raises `ArgumentError` else."""
    matches = names.search(str(words), match_ids)
    if len(matches) == 1:
        return matches[0]
    listed = (
        ", ".join(f"{names.title(one)} ({one})" for one in (matches or match_ids)[:MOST_NAMED]) or "none yet"
    )
    if matches:
        raise ArgumentError(
            f"{len(matches)} matches fit {words!r}: {listed}. Say more of the name, or the id."
        )
    raise ArgumentError(f"No match fits {words!r}. There are {listed}; ng.matches() lists all.")


def goal_rows(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in which a match's score is another than in its row before."""
    whole = scores.dropna(subset=["match_id", *GOALS])
    before = whole.groupby("match_id", observed=True)[GOALS].shift()
    changed = whole[GOALS].ne(before).fillna(value=False).any(axis=1)
    return whole[before.notna().all(axis=1) & changed]


class MatchSource(Protocol):
    """What a match takes of its feed."""

    notes: Notes | None
    stream: Stream

    def frame(self, table: str) -> pd.DataFrame: ...

    @property
    def steam(self) -> Callable[..., pd.DataFrame]: ...
    @property
    def plot(self) -> Callable[..., Chart]: ...


class Match:
    """One match: `ng.match("Rovers")`. Its frames are those of the feed, with its rows alone."""

    def __init__(self, feed: MatchSource, match_id: str, title: str) -> None:
        self._feed = feed
        self.id = match_id
        self.title = title

    @property
    def scores(self) -> pd.DataFrame:
        """Every row of the match's score, state and minute."""
        return self._rows("scores", "match_id")

    @property
    def prices(self) -> pd.DataFrame:
        """Every row of its prices: market, company, line, prices."""
        return self._rows("odds", "match_id")

    @property
    def ticks(self) -> pd.DataFrame:
        """Its ticks as received."""
        return self._rows("ticks", "game_id")

    @property
    def goals(self) -> pd.DataFrame:
        """The rows in which the score changed."""
        return goal_rows(self.scores)

    def steam(self, **options: Any) -> pd.DataFrame:
        """Return its steam; options: those of `ng.steam()`."""
        steam = self._feed.steam(**options)
        return steam[steam["game_id"].astype("str") == self.id]

    def plot(self, market: str | Sequence[str] | None = None, **options: Any) -> Chart:
        """Return a live chart of its prices, a panel each market; goals and steam are marked. Display it.

        market: "1x2", "asian_handicap", "over_under", or several; `None` = all. options: those of `Feed.plot`.
        """
        return self._feed.plot(match=self.id, market=market, **options)

    def _rows(self, table: str, column: str) -> pd.DataFrame:
        rows = self._feed.frame(table)
        return rows[rows[column].astype("str") == self.id]

    def __repr__(self) -> str:
        scores = self.scores
        if not len(scores):
            return f"<{self.title}: no score yet>"
        now = scores.iloc[-1]
        score = f"{now['home_goals']}:{now['away_goals']}, {now['state_word']}"
        minute = "" if pd.isna(now["minute"]) else f", minute {now['minute']}"
        return f"<{self.title}: {score}{minute}; {len(self.prices)} prices, {len(self.goals)} goals seen>"


class MatchMarks:
    """Goals and steam of each match as marks of charts, looked for anew every few seconds."""

    def __init__(self, feed: MatchSource) -> None:
        self._feed = feed
        self._looked_at = float("-inf")
        self._marks: list[dict[str, Any]] = []

    def notes(self, match_id: str | None = None) -> Notes:
        """Return what a chart notes: the marks, of one match or (`None`) each with its match, and held times."""

        def notes() -> Mapping[str, Sequence[Mapping[str, Any]]]:
            others = {} if self._feed.notes is None else self._feed.notes()
            marks = [mark for mark in self.marks() if match_id in (None, mark["subject"])]
            return {"held": others.get("held", ()), "marks": marks}

        return notes

    def marks(self) -> list[dict[str, Any]]:
        """Return {"t": Unix seconds, "label", "subject": match id}, the oldest first; steam with "value" and "part"."""
        if time.monotonic() - self._looked_at > LOOK_EVERY_S:
            with contextlib.suppress(TesError):  # what the user's own functions raised comes in the next call
                self._marks = sorted([*self._goals(), *self._steam()], key=lambda mark: float(mark["t"]))
            self._looked_at = time.monotonic()
        return self._marks

    def _goals(self) -> Iterator[dict[str, Any]]:
        goals = goal_rows(self._feed.frame("scores"))
        for at, match_id, home, away in goals[["match_id", *GOALS]].itertuples():
            yield {"t": at.value / 1e9, "label": f"goal {home}:{away}", "subject": str(match_id)}

    def _steam(self) -> Iterator[dict[str, Any]]:
        columns = ["game_id", "market", "side", "old_value", "new_value"]
        steam = self._feed.steam().reindex(columns=columns)
        odds = self._feed.stream.table("odds")
        words = dict(next(column.words for column in odds.columns if column.name == odds.panel_by))
        ran = steam.index.to_series().groupby([steam[name].fillna("") for name in columns[:3]]).diff()
        steam = steam[~(ran < RUN).to_numpy()]
        for at, match_id, market, side, old, new in steam.itertuples():
            what = " ".join(str(word) for word in (market, side) if not pd.isna(word))
            label = f"steam {what} {old:g} → {new:g}"
            mark = {"t": at.value / 1e9, "label": label, "subject": str(match_id)}
            # a point where the price went to, in the panel of its market
            is_price = not pd.isna(market) and not pd.isna(new)
            yield {**mark, "value": float(new), "part": words.get(market, market)} if is_price else mark
