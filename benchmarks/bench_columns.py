"""P3, P4, E9: what a frame costs, and whether a row costs the same however many there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from benchmarks.bench_nowgoal import frame_of, message, odds, some_ticks
from benchmarks.harness import Result, compare, figure, ratio, stopwatch
from benchmarks.rows import TWELVE, pour, some_rows
from tes_nb.store.memory.columns import Columns
from tes_nb.store.memory.frames import frame
from tes_nb.streams.nowgoal.stream import decode
from tes_nb.streams.nowgoal.tables import TABLES

PACKAGES = ("numpy", "pandas")
FEW = 10_000


def run(*, quick: bool) -> Iterator[Result]:
    """Yield the results."""
    yield from frames(100_000 if quick else 1_000_000)
    yield from frames_with_text(100_000 if quick else 1_000_000)
    yield cost_per_row(500_000 if quick else 5_000_000, groups=5 if quick else 10)


def frames(rows: int) -> Iterator[Result]:
    """P3: a frame against a plain copy of the bytes that it holds."""
    columns = Columns(TWELVE, cap=rows)
    pour(columns, some_rows(), 0, rows)
    snapshot = columns.snapshot()
    held = [snapshot.time, *(piece.values for piece in snapshot.cells.values())]
    size = sum(array.nbytes for array in held)
    yield compare(
        "P3",
        f"frame() at {rows:,} rows x 12 columns",
        lambda: frame(columns),
        lambda: [np.copy(array) for array in held],
        against=f"numpy.copy of the same {size / 1e6:.0f} MB (12 columns, index, sent_at, seq, conn, source)",
        at_most=1.5,
        rounds=11,
        packages=PACKAGES,
    )
    yield figure(
        "P3",
        f"frame(copy=False) at {rows:,} rows x 12 columns",
        [stopwatch(lambda: frame(columns, copy=False)) * 1e3 for _ in range(12)][1:],
        unit="ms",
        at_most=5,
        packages=PACKAGES,
    )


def frames_with_text(rows: int) -> Iterator[Result]:
    """E9: a frame that shares the memory of ticks and of odds, of a table that has its cap and goes on growing."""
    for name, messages in (
        ("ticks", [frame_of(some_ticks(30, seed)) for seed in range(200)]),
        ("odds", [message(odds(50))]),
    ):
        described = next(table for table in TABLES if table.name == name)
        columns, groups = Columns(described, cap=rows), [decode(one).rows[name] for one in messages]
        number, samples = 0, []
        for round_ in range(12):
            while columns.received < rows + round_ * 3_000:
                columns.append(groups[number % len(groups)], time_ns=number, seq=number + 1, source="nowgoal")
                number += 1
            columns.snapshot()
            samples.append(cpu_s(lambda columns=columns: frame(columns, copy=False)) * 1e3)
        yield figure(
            "E9",
            f"frame(copy=False) of {name} at {rows:,} rows, {len(described.names)} columns",
            samples[1:],
            unit="ms",
            at_most=5,
            packages=(*PACKAGES, "pyarrow"),
            note="CPU time; 3,000 new rows since the frame before.",
        )


def cost_per_row(many: int, groups: int) -> Result:
    """P4: one table from its first row to `many`, in turns with tables of 10,000 rows that keep as much."""
    messages = some_rows()
    large = Columns(TWELVE, cap=many)
    small: list[
        Columns
    ] = []  # all kept: freed memory would come back warm, which is no merit of small tables
    ours, theirs = [], []
    for group in range(groups):
        first = group * many // groups
        large_s = small_s = 0.0
        for at in range(first, first + many // groups, FEW):
            large_s += cpu_s(partial(pour, large, messages, at, FEW))
            small.append(Columns(TWELVE))
            small_s += cpu_s(partial(pour, small[-1], messages, 0, FEW))
        ours.append(large_s * groups / many * 1e6)
        theirs.append(small_s * groups / many * 1e6)
    return ratio(
        "P4",
        f"CPU per event up to {many:,} rows, growth included",
        ours,
        theirs,
        unit="µs",
        against=f"the same rows in tables of {FEW:,}",
        at_most=1.1,
        packages=PACKAGES,
        note=f"the last tenth: {ours[-1] / theirs[-1]:.2f}, all together: {sum(ours) / sum(theirs):.2f}",
    )


def cpu_s(call: Callable[[], object]) -> float:
    """Return the CPU seconds of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start
