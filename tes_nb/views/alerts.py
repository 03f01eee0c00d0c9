"""Limits on columns: each time a line passes one, that is an alert, said once until it is back."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tes_nb.views.subjects import LABEL_BETWEEN, label_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tes_nb.model import Table
    from tes_nb.store.memory.columns import Columns

MAX_ALERTS = 200
MAX_LINES = 2000
"""Lines whose state is remembered; more labels than that are not watched."""
logger = logging.getLogger("tes_nb.alerts")


@dataclass(frozen=True, slots=True)
class AlertLimit:
    """A bound on a column. A counter's bound is on its growth per second."""

    column: str
    above: float | None = None
    """Alert when a value is larger; `None` = no such bound."""
    below: float | None = None
    label: str | None = None
    """Of this line only; `None` = of every line."""

    def passed(self, value: float) -> str | None:
        """Return which bound `value` breaks, in words; `None` = none (NaN breaks none)."""
        if self.above is not None and value > self.above:
            return f"> {self.above:g}"
        if self.below is not None and value < self.below:
            return f"< {self.below:g}"
        return None

    def info(self) -> dict[str, Any]:
        """As it travels to the browser, which draws the line."""
        parts = {"column": self.column, "above": self.above, "below": self.below, "label": self.label}
        return {name: part for name, part in parts.items() if part is not None}


@dataclass(frozen=True, slots=True)
class Alert:
    """A line passed a limit."""

    time: float
    """Unix seconds."""
    line: str
    value: float
    text: str


class Alerts:
    """Watches the new rows of a table, also while nobody looks. Not thread-safe: one thread checks."""

    def __init__(self, table: Table, by: Sequence[str], limits: Sequence[AlertLimit]) -> None:
        self._kinds = {column.name: column.kind for column in table.columns}
        self._by = tuple(by)
        self._limits = tuple(limits)
        self._cursor: int | None = None
        self._passed: set[tuple[int, str]] = set()
        self._before: dict[tuple[int, str], tuple[float, float]] = {}
        self.log: deque[Alert] = deque(maxlen=MAX_ALERTS)
        """The newest ones, oldest first."""
        self.count = 0
        """How many there ever were."""

    def check(self, columns: Columns) -> None:
        """Look at the rows that came since the last time; the first time, at none."""
        if not self._limits:
            return
        if self._cursor is None:
            self._cursor = columns.total
        names = dict.fromkeys([*(limit.column for limit in self._limits), *self._by])
        fresh = columns.since(self._cursor, names)
        self._cursor = fresh.cursor
        labels = (
            zip(*(fresh.columns[name] for name in self._by), strict=True) if self._by else [()] * len(fresh)
        )
        lines = [LABEL_BETWEEN.join(label_words(label)) for label in labels]
        moments = (fresh.time / 1e9).tolist()
        for number, limit in enumerate(self._limits):
            values = np.asarray(fresh.columns[limit.column], np.float64).tolist()
            for moment, label, value in zip(moments, lines, values, strict=True):
                if limit.label is None or limit.label == label:
                    line = (number, label)
                    self._judge(line, limit, moment, self._level(line, limit, moment, value))

    def _level(self, line: tuple[int, str], limit: AlertLimit, moment: float, value: float) -> float:
        """Return what the limit is about: the value, or a counter's growth per second."""
        if self._kinds[limit.column] != "counter":
            return value
        if len(self._before) >= MAX_LINES and line not in self._before:
            return np.nan
        earlier, before = self._before.get(line, (moment, np.nan))
        self._before[line] = (moment, value)
        return (value - before) / (moment - earlier) if moment > earlier and value >= before else np.nan

    def _judge(self, line: tuple[int, str], limit: AlertLimit, moment: float, level: float) -> None:
        words = limit.passed(level)
        if words is None:
            if level == level:  # noqa: PLR0124 - NaN says nothing, so it ends nothing
                self._passed.discard(line)
            return
        if line in self._passed or len(self._passed) >= MAX_LINES:
            return
        self._passed.add(line)
        name = f"{line[1]} {limit.column}".strip()
        text = f"{name[:200]} is {level:.6g}, {words}"
        self.log.append(Alert(moment, name, level, text))
        self.count += 1
        logger.warning("%s at %s", text, time.strftime("%H:%M:%S", time.gmtime(moment)) + " UTC")
