"""D1, D2, E4, E7: rows as data. Walks, Arrow tables, Parquet, and a grid of many subjects.

Times are CPU times of this process, as in `bench_nowgoal`.
"""

from __future__ import annotations

import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
from pyarrow import csv, parquet

import tes_nb as tes
from benchmarks.bench_nowgoal import compare, odds, some_ticks
from benchmarks.harness import Result, figure, ratio
from benchmarks.rows import TWELVE, pour, some_rows
from tes_nb.model import Direction, Message, Opcode
from tes_nb.session.recorded import RecordedSession
from tes_nb.store.export.export import CHUNK_ROWS, write_csv
from tes_nb.store.export.parquet import write_parquet_file
from tes_nb.store.memory.arrow import arrow_table
from tes_nb.store.memory.columns import Columns
from tes_nb.store.memory.grid import align
from tes_nb.store.session.schema import SourceInfo
from tes_nb.store.session.writer import SessionWriter
from tes_nb.streams.nowgoal.stream import decode

BEGAN = 1_767_225_600_000_000_000
ROWS_A_SECOND = 150_000


def run(*, quick: bool) -> Iterator[Result]:
    """Yield the results."""
    with tempfile.TemporaryDirectory() as folder:
        yield from walks(Path(folder), 200 if quick else 2_000)
        yield from tables(Path(folder), 50_000 if quick else 1_000_000)
    yield grid(100 if quick else 1_200, 12_000)


def tables(folder: Path, rows: int) -> Iterator[Result]:
    """To Arrow against a copy of the memory; to Parquet against pyarrow's writer."""
    columns = Columns(TWELVE, cap=rows)
    pour(columns, some_rows(), 0, rows)
    snapshot = columns.snapshot()
    numbers = [snapshot.time, *(one.numpy() for one in snapshot.cells.values() if one.words is None)]
    yield compare(
        "D2",
        f"{rows:,} rows x 12 columns to Arrow",
        lambda: arrow_table(snapshot),
        lambda: [one.copy() for one in numbers],
        against="a copy of the memory of the numbers",
        at_most=1.5,
        rounds=7,
    )
    ready = arrow_table(snapshot)
    theirs = folder / "theirs.parquet"
    yield compare(
        "E4",
        f"Parquet of {rows:,} rows x 12 columns",
        lambda: write_parquet_file(folder / "ours.parquet", TWELVE, [snapshot]),
        lambda: parquet.write_table(ready, theirs, compression="zstd", row_group_size=65_536),
        against="pyarrow's writer of the same table in memory",
        at_most=1.5,
        rounds=5,
    )
    size = (folder / "ours.parquet").stat().st_size / rows
    yield ratio(
        "E4",
        f"Parquet of {rows:,} rows x 12 columns, bytes of a row",
        [size],
        [theirs.stat().st_size / rows],
        unit="bytes",
        against="pyarrow's writer of the same table in memory",
        at_most=1.1,
    )
    few = next(snapshot.chunks(rows // 5))
    ready = arrow_table(few)
    yield compare(
        "E4",
        f"CSV of {len(few):,} rows x 12 columns",
        lambda: write_csv(folder / "ours.csv", TWELVE, few.chunks(CHUNK_ROWS)),
        lambda: csv.write_csv(ready, folder / "theirs.csv"),
        against="pyarrow's writer of the same table in memory",
        at_most=1.5,
        rounds=5,
    )


def grid(subjects: int, length_s: int) -> Result:
    """A grid of seconds against pandas' own, with values for a seventh of its cells."""
    chance = np.random.default_rng(1)
    rows = subjects * length_s // 7
    index = pd.to_datetime(np.sort(chance.integers(0, length_s * 10**9, rows)), utc=True).rename("time")
    names = pd.array([f"s{number}" for number in range(subjects)], dtype="str")
    frame = pd.DataFrame(
        {"id": names.take(chance.integers(0, subjects, rows)), "load": chance.random(rows)}, index=index
    )
    frame.attrs["key"] = ["id"]
    return compare(
        "E7",
        f"{subjects:,} subjects and {length_s:,} s on one grid",
        lambda: align({"workers": frame}, every="1s"),
        lambda: frame["load"].groupby([frame["id"], index.asi8 // 10**9]).last().unstack(0),  # noqa: PD010 - its speed is the point
        against="groupby, last, unstack",
        at_most=2,
        rounds=5,
    )


def walks(folder: Path, count: int) -> Iterator[Result]:
    """Walk over messages of 50 odds records and of 30 ticks."""
    ticks = [msgspec.json.encode(some_ticks(30, seed)) for seed in range(20)]
    for name, texts in (("50 odds records", [odds(50).encode()]), ("30 ticks", ticks)):
        payloads = list(map(zlib.compress, texts))
        with tes.open(recorded(folder / f"{name[:2]}.tes", payloads, count)) as rec:
            rows = walked(rec)
            yield compare(
                "D1",
                f"walk over messages of {name}",
                lambda: walked(rec),
                lambda: read_and_decoded(rec),
                against="reading and decoding the same messages into rows",
                at_most=1.5,
                rounds=5,
            )
            samples = [rows / seconds(lambda: walked(rec)) for _ in range(5)]
            yield figure("D1", f"walk, {name}", samples, unit="rows/s", at_least=ROWS_A_SECOND)


def read_and_decoded(rec: RecordedSession) -> list[list[object]]:
    """Read all messages and make their rows."""
    messages = rec.feeds["nowgoal"].origin.file.messages("nowgoal")
    return [list(rows) for one in messages for rows in decode(one).rows.values()]


def seconds(call: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def walked(rec: RecordedSession) -> int:
    """Walk over everything; return the rows."""
    return sum(len(rows) for event in rec.walk() for rows in event.rows.values())


def recorded(path: Path, payloads: list[bytes], count: int) -> Path:
    """Write a session with so many messages."""
    writer = SessionWriter(path)
    writer.append([SourceInfo("nowgoal", "nowgoal", "wss://localhost/ws")])
    for first in range(1, count + 1, 500):
        writer.append(
            Message(
                "nowgoal",
                Direction.IN,
                Opcode.BINARY,
                payloads[number % len(payloads)],
                BEGAN + number * 10_000_000,
                number * 10_000_000,
                1,
                number,
            )
            for number in range(first, min(first + 500, count + 1))
        )
    writer.close()
    return path
