"""Rows of a table as wide as the metrics table, made quickly, the same in every run."""

from __future__ import annotations

import random

from tes_nb.model import Column, Row, Table
from tes_nb.store.memory.columns import Columns

START_NS = 1_767_225_600_000_000_000
PERIOD_NS = 500_000_000

TWELVE = Table(
    "bench",
    "Twelve numbers, as many floats as ints.",
    tuple(
        Column(f"{dtype}_{number}", dtype, "", "gauge", "")
        for dtype in ("float64", "int64")
        for number in range(6)
    ),
)


def some_rows(count: int = 10_000) -> list[tuple[Row]]:
    """Messages of one row each, from a fixed seed."""
    chance = random.Random(1)
    return [
        ((*(chance.random() * 100 for _ in range(6)), *(chance.randrange(1 << 40) for _ in range(6))),)
        for _ in range(count)
    ]


def pour(columns: Columns, messages: list[tuple[Row]], first: int, count: int) -> None:
    """Append `count` one-row messages, as a reader does, the first with number `first`; all of them stored."""
    append, length = columns.append, len(messages)
    for number in range(first, first + count):
        append(
            messages[number % length],
            time_ns=START_NS + number * PERIOD_NS,
            sent_at_ns=START_NS + number * PERIOD_NS - 300_000,
            seq=number + 1,
            conn=1,
            source="metrics",
        )
    columns.snapshot()
