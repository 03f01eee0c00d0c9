"""What `tes.compare` gives: what differs, what does not, what cannot be told, and whether a limit is exceeded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tes_nb.analysis.differences import FEWEST, NONE, STATISTICS, STRAY, Finding, Floats, Lasting, differences
from tes_nb.errors import ArgumentError, SessionError
from tes_nb.model import Column

if TYPE_CHECKING:
    import plotly.graph_objects as go

COLUMNS = (
    "feed",
    "table",
    "column",
    "subject",
    "statistic",
    "a",
    "b",
    "difference",
    "percent",
    "low",
    "high",
    "word",
    "unit",
)
PEAK = "peak (without stray values)"
FIGURES = 6
NAMED = 5
_RULE = re.compile(r"\s*(\w+)\s+(median|p95|peak|area)\s+(\d+(?:\.\d+)?)\s*%\s*")


@dataclass(frozen=True, slots=True)
class Pair:
    """One column of one subject in both, on even steps of elapsed time; NaN where nothing came or a gap was."""

    feed: str
    table: str
    column: Column
    subject: str
    a: Floats
    b: Floats

    def __str__(self) -> str:
        return f"{self.column.name} {self.subject}".strip()

    @property
    def amounts(self) -> tuple[int, int]:
        """How many values `a` and `b` have."""
        return int(np.count_nonzero(~np.isnan(self.a))), int(np.count_nonzero(~np.isnan(self.b)))

    def lack(self, step_s: float) -> str:
        """Return how much there is, and how much is needed, as words; step_s: the distance of values, seconds."""
        more, less = (self.a, self.b) if self.amounts[0] >= self.amounts[1] else (self.b, self.a)
        places, fewer = np.flatnonzero(~np.isnan(more)), np.flatnonzero(~np.isnan(less))
        usual = float(np.median(np.diff(places))) if len(places) > 1 else 1.0
        seconds = step_s * (fewer[-1] - fewer[0] + usual)
        needed = seconds * FEWEST / len(fewer)
        return f"{len(fewer)} values in {seconds:,.1f} s, and {FEWEST} in about {needed:,.1f} s are needed"


@dataclass(frozen=True, slots=True)
class CellPair:
    """A cell that ran once in both, and the columns while it ran; none = it was too short to tell."""

    number: int
    seconds: float
    """How much of it was compared: as long as the shorter run took."""
    pairs: Sequence[Pair]


class Comparison:
    """What `tes.compare` gives: `frame`, `unmatched`, `plot()`, `report(path)`."""

    def __init__(self, names: tuple[str, str], series: Sequence[Pair], **about: Any) -> None:
        self._names = names
        self._series = series
        self.step_s: float = about["step_s"]
        """The distance of the values that were compared, in seconds."""
        self.seconds: float = about["seconds"]
        """How much of both was compared: as much as the shorter one has."""
        self.left_out_s: float = about["left_out_s"]
        """How much of that lies in a gap of either, and was left out of both."""
        self.lasts_s: tuple[float, float] = about["lasts_s"]
        """How long `a` and `b` last, in seconds."""
        self._one_sided = [one for one in series if bool(one.amounts[0]) != bool(one.amounts[1])]
        self._short = [one for one in series if 0 < min(one.amounts) < FEWEST]
        self.unmatched: list[str] = [*about["unmatched"], *self._without_values()]
        """What has no counterpart, or several, a sentence each."""
        self.cells: pd.DataFrame = about["cells"]
        """What cells that ran once in both have cost; one run is one value, without an interval."""
        self._cell_pairs: Sequence[CellPair] = about["cell_pairs"]
        self.unmatched += self._short_cells()
        self._began: tuple[int, int] = about["began"]
        least = about["least"]
        self._peaks: list[tuple[Pair, Finding]] = []
        """What is judged without stray values."""
        judged = self._judged(self._series, self.seconds - self.left_out_s, least, len(self._series))
        self.frame = pd.DataFrame([self._row(*one) for one in judged], columns=COLUMNS)
        """A row per feed, table, column, subject and statistic: a, b, difference, percent, low, high, word, unit."""
        self._peaks = [one for one in judged if one[1].statistic == "peak"]
        questions = sum(len(cell.pairs) for cell in self._cell_pairs)
        rows = [
            (cell.number, *self._row(*one))
            for cell in self._cell_pairs
            for one in self._judged(cell.pairs, cell.seconds, least, questions)
        ]
        self.by_cell = pd.DataFrame(rows, columns=["number", *COLUMNS])
        """The same while each cell ran that ran once in both and long enough, by `number`; aligned on its beginning."""

    @staticmethod
    def _judged(
        series: Sequence[Pair], seconds: float, least: float, questions: int
    ) -> list[tuple[Pair, Finding]]:
        """Return how each statistic of each column differs; intervals are wide enough for all questions together."""
        findings = []
        for one in series:
            a, b = (cells[~np.isnan(cells)] for cells in (one.a, one.b))
            if len(a) and len(b):
                intervals = max(questions, 1) * len(STATISTICS)
                findings += [
                    (one, each)
                    for each in differences(a, b, questions=intervals, least=least, seconds=seconds)
                ]
        return findings

    def _short_cells(self) -> list[str]:
        short = [str(cell.number) for cell in self._cell_pairs if not cell.pairs]
        if not short:
            return []
        named = ", ".join(short[:NAMED]) + (", …" if len(short) > NAMED else "")
        seconds = FEWEST * self.step_s
        what = f"Cells {named} ran for less than {seconds:g} s in one of both: what was measured then is too little"
        return [f"{what} to compare; `cells` has what they cost."]

    def _without_values(self) -> list[str]:
        columns: dict[tuple[str, str], list[str]] = {}
        for one in self._one_sided:
            where = " of ".join(filter(None, [one.subject, f"{one.feed}.{one.table}"]))
            columns.setdefault((self._names[0 if one.amounts[0] else 1], where), []).append(one.column.name)
        return [
            f"Only {title} has values of {', '.join(names)} in {where}."
            for (title, where), names in columns.items()
        ]

    @staticmethod
    def _row(series: Pair, finding: Finding) -> tuple[Any, ...]:
        unit = f"{series.column.unit or 1}/s" if series.column.kind == "counter" else series.column.unit
        if finding.statistic == "area":
            unit = f"{unit} * s" if unit else "s"
        where = series.feed, series.table, series.column.name, series.subject
        numbers = finding.a, finding.b, finding.change, finding.percent, finding.low, finding.high
        return (*where, finding.statistic, *numbers, finding.word, unit)

    @property
    def different(self) -> pd.DataFrame:
        """The rows in which there is more or less."""
        return _different(self.frame)

    def exceeds(self, rule: str) -> str | None:
        """Return the sentence of what exceeds a rule such as "memory_rss peak 10%"; `None` = nothing does.

        b must be above a by more than that, and surely above it at all; where a is 0, anything is more. A peak is
        judged by the third-highest value of each, so that one or two stray values neither exceed a limit nor hide that
        it is exceeded; `stray(rule)` says where the highest would say otherwise. Raises `ArgumentError` for a rule that
        cannot be understood, or names a column that was not compared, and `SessionError` where nothing exceeds it, but
        one of both has no values of the column, or too few to tell.
        """
        words = _RULE.fullmatch(rule)
        if words is None:
            raise ArgumentError(
                f"'{rule}' is no rule: give a column, one of {', '.join(STATISTICS)}, and a percentage, such as "
                "'memory_rss peak 10%'."
            )
        name, statistic, limit = words[1], words[2], float(words[3])
        rows = self.frame[(self.frame["column"] == name) & (self.frame["statistic"] == statistic)]
        single = [one for one in self._one_sided if one.column.name == name]
        if rows.empty and not single:
            there = ", ".join(dict.fromkeys(self.frame["column"])) or "none"
            raise ArgumentError(f"No column '{name}' was compared; there are {there}.")
        over = rows[
            ~(rows["percent"] <= limit) & (rows["low"] > 0)
        ]  # of 0 there is no percentage: any more exceeds it
        if statistic == "peak":
            lasting = [
                (one, each.lasting) for one, each in self._peaks if one.column.name == name and each.lasting
            ]
            over = pd.DataFrame(
                [
                    {"subject": one.subject, "percent": each.percent, "a": each.a, "b": each.b}
                    for one, each in lasting
                    if _exceeds(each, limit) and each.low > 0
                ]
            ).assign(unit=rows["unit"].iloc[0] if len(rows) else "")
        if over.empty:
            if single:
                without = self._names[1 if single[0].amounts[0] else 0]
                raise SessionError(f"'{rule}' cannot be judged: {without} has no values of {single[0]}.")
            for one in self._short:
                if one.column.name == name:
                    raise SessionError(
                        f"'{rule}' cannot be judged: there is too little to tell of {one}: {one.lack(self.step_s)}. "
                        "Record both for longer."
                    )
            return None
        what = statistic if statistic != "peak" else PEAK
        worst = over.sort_values("percent").iloc[-1]
        subject = f" of {worst['subject']}" if worst["subject"] else ""
        return (
            f"{name} {what}{subject} is {_share(worst['percent'], '.1f')} more ({worst['a']:,.6g} to {worst['b']:,.6g} "
            f"{worst['unit']}); the limit is {limit:g} %."
        )

    def stray(self, *rules: str) -> list[str]:
        """Return a sentence for each peak whose highest values say otherwise than a rule's verdict; [] = none."""
        sentences = []
        for rule in rules:
            words = _RULE.fullmatch(rule)
            if words is None or words[2] != "peak":
                continue
            limit = float(words[3])
            for one, each in self._peaks:
                rest = each.lasting
                if (
                    one.column.name != words[1]
                    or rest is None
                    or _exceeds(each, limit) == _exceeds(rest, limit)
                ):
                    continue
                name = self._names[1 if _exceeds(each, limit) else 0]
                sentences.append(
                    f"The highest value of {one} is {_share(each.percent)} ({each.a:,.6g} to {each.b:,.6g}), and "
                    f"without the {STRAY} highest of each {_share(rest.percent)}: {STRAY} values of {name} at most "
                    f"make the difference, and '{rule}' is judged without them."
                )
        return sentences

    def plot(self, columns: Sequence[str] | None = None) -> go.Figure:
        """Return a figure with both on top of each other, the clock of `a` below and that of `b` above.

        columns: names; `None` = those that differ most, six at most.
        """
        from tes_nb.views.overlay import overlay  # noqa: PLC0415 - plotly only when somebody draws

        if columns is None:
            order = self.different.assign(far=self.different["percent"].abs()).sort_values(
                "far", ascending=False
            )
            spots = list(dict.fromkeys(zip(order["feed"], order["column"], order["subject"], strict=True)))[
                :FIGURES
            ]
            chosen = [
                one
                for spot in spots
                for one in self._series
                if (one.feed, one.column.name, one.subject) == spot
            ]
        else:
            chosen = [one for one in self._series if one.column.name in columns]
        lines = [
            (f"{one.column.name} {one.subject}".strip(), one.column.unit, one.a, one.b) for one in chosen
        ]
        return overlay(lines, self._names, self._began, self.step_s)

    def report(self, path: str | Path) -> Path:
        """Write one self-contained HTML file: what differs, figures, all rows, what is unmatched; return its path."""
        from tes_nb.views.report import figure_html, write_page  # noqa: PLC0415

        parts = [f"<p>{escape(self._head())}</p>", _table(self.different), figure_html(self.plot())]
        if len(self.by_cell):
            parts += ["<h2>By cell</h2>", _table(_different(self.by_cell))]
        if len(self.cells):
            parts += ["<h2>What cells cost</h2>", _table(self.cells)]
        parts += ["<h2>All that was compared</h2>", _table(self.frame)]
        if self.unmatched:
            items = "".join(f"<li>{escape(one)}</li>" for one in self.unmatched)
            parts.append(f"<h2>Not compared</h2><ul>{items}</ul>")
        return write_page(path, f"{self._names[0]} and {self._names[1]}", "".join(parts))

    def _head(self) -> str:
        surely = self.different
        names = surely["subject"].where(surely["subject"] != "", surely["column"])
        each = zip(names.head(NAMED), surely["statistic"], surely["percent"], strict=False)
        words = ", ".join(f"{name} {statistic} {_share(percent)}" for name, statistic, percent in each)
        judged = len(self.frame) // len(STATISTICS) - len(self._short)
        what = [f"{len(surely)} of {len(self.frame)} differ: {words}"] if len(surely) else []
        if judged and not what:
            what = [NONE if not self._short else f"{NONE} in {judged} columns"]
        if self._short:
            least = min(self._short, key=lambda one: min(one.amounts))
            named = ", ".join(map(str, self._short[:NAMED])) + (", …" if len(self._short) > NAMED else "")
            what.append(
                f"too little to tell of {len(self._short)} columns ({named}): {least.lack(self.step_s)}"
            )
        cells = _different(self.by_cell)
        if len(cells):
            counts = [f"cell {number} ({len(rows)})" for number, rows in cells.groupby("number")]
            what.append(f"differences while a cell ran: {', '.join(counts[:NAMED])}")
        if not what:
            what = ["no column has values in both"]
        for place in (1, 0):
            lasts, other = self.lasts_s[place], self.lasts_s[1 - place]
            if lasts < other / 2:
                what.append(
                    f"{self._names[place]} lasts {lasts:,.1f} s, less than half of the other's {other:,.1f} s"
                )
        gaps = f", {self.left_out_s:,.1f} s in gaps left out" if self.left_out_s else ""
        return f"{self._names[1]} against {self._names[0]}, {self.seconds:,.1f} s{gaps}: {'; '.join(what)}"

    def __repr__(self) -> str:
        return f"<comparison: {self._head()}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        del include, exclude
        return {
            "text/plain": repr(self),
            "text/html": f"<p>{escape(self._head())}</p>{_table(self.different)}",
        }


def _exceeds(one: Finding | Lasting, limit: float) -> bool:
    """Whether b is above a by more than so many percent; of 0 there is no percentage, and anything is more."""
    return one.b > one.a and not one.percent <= limit


def _share(percent: float, form: str = "+.1f") -> str:
    return "from 0" if np.isnan(percent) else f"{percent:{form}} %"


def _different(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[~rows["word"].isin([NONE]) & rows["low"].notna()]


def _table(rows: pd.DataFrame) -> str:
    return rows.to_html(index=False, escape=True, float_format=lambda value: f"{value:,.4g}", na_rep="")
