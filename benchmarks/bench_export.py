"""P11: CSV against pandas in time and memory, at 100,000 rows, since both grow with them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Result, compare, ratio
from benchmarks.rows import TWELVE, pour, some_rows
from tes_nb.store.export.export import CHUNK_ROWS, write_csv
from tes_nb.store.memory.columns import Columns
from tes_nb.store.memory.frames import frame

PACKAGES = ("numpy", "pandas")


def run(*, quick: bool) -> Iterator[Result]:
    """Yield the results."""
    rows = 20_000 if quick else 100_000
    with tempfile.TemporaryDirectory() as folder:
        yield speed(Path(folder), rows)
        yield memory(Path(folder), 2 * rows)


def speed(folder: Path, rows: int) -> Result:
    """Write the same table both ways, to the same disk."""
    columns = Columns(TWELVE, cap=rows)
    pour(columns, some_rows(), 0, rows)
    table = frame(columns)
    snapshot = columns.snapshot()
    return compare(
        "P11",
        f"CSV of {rows:,} rows x 12 columns, synced to the disk",
        lambda: write_csv(folder / "ours.csv", TWELVE, snapshot.chunks(CHUNK_ROWS)),
        lambda: table.to_csv(folder / "pandas.csv"),
        against="DataFrame.to_csv of the same table in memory",
        at_most=1.2,
        rounds=5,
        packages=PACKAGES,
    )


def memory(folder: Path, rows: int) -> Result:
    """Peak memory of a process that exports rows as they come, at `rows` and at a twentieth of them."""
    pairs = [(_peak(folder, rows), _peak(folder, rows // 20)) for _ in range(5)]
    return ratio(
        "P11",
        f"peak memory of an export of {rows:,} rows that are not in memory",
        [large for large, _ in pairs],
        [small for _, small in pairs],
        unit="MB",
        against=f"the same with {rows // 20:,} rows",
        at_most=1.05,
        packages=PACKAGES,
    )


_PROGRAM = """
import sys
from benchmarks.harness import peak_memory
from benchmarks.rows import TWELVE, pour, some_rows
from tes_nb.store.memory.columns import Columns
from tes_nb.store.export.export import write_csv

def pieces(rows, messages):
    for first in range(0, rows, 5000):
        columns = Columns(TWELVE)
        pour(columns, messages, first, 5000)
        yield columns.snapshot()

rows = int(sys.argv[2])
assert write_csv(sys.argv[1], TWELVE, pieces(rows, some_rows())) >= rows
print(peak_memory())
"""


def _peak(folder: Path, rows: int) -> float:
    command = [sys.executable, "-c", _PROGRAM, str(folder / "piecewise.csv"), str(rows)]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300, cwd=root)
    return int(done.stdout) / 1e6
