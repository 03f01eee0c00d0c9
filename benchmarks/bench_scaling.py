"""S1, S2, S3, S4: what hours, rows, files and messages cost, as docs/scaling.md has it. Clients are P8."""

from __future__ import annotations

import shutil
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import tes_nb as tes
from benchmarks.bench_data import seconds
from benchmarks.bench_many import recorded
from benchmarks.harness import Result, figure
from tes_nb.simulate import Options, record_day
from tes_nb.store.memory.columns import Columns
from tes_nb.store.memory.tables import StreamStore

ROUNDS = 5


def run(*, quick: bool) -> Iterator[Result]:
    """Yield the results."""
    length_s = 300 if quick else 3600
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = recorded(folder / "work.tes", 1, length_s)
        day = record_day(folder / "day.tes", Options(seed=1), minutes=length_s / 60)
        yield size(work, "metrics and a gauge twice, eight workers once a second", length_s)
        yield size(day, "a match day of eight matches", length_s)
        yield row(work, "metrics", "metrics")
        yield row(work, "workers", "workers")
        yield row(day, "simulated", "odds")
        yield decoding(work, "metrics", "metrics")
        yield decoding(day, "simulated", "scores and odds, compressed")
        yield from files(
            folder, record_day(folder / "short.tes", Options(seed=2), minutes=3), 20 if quick else 200
        )


def size(file: Path, what: str, length_s: int) -> Result:
    """Bytes of a session file, as of an hour."""
    samples = [file.stat().st_size / 1e6 * 3600 / length_s]
    return figure("S1", f"an hour of {what}", samples, unit="MB on disk")


def row(file: Path, source: str, table: str) -> Result:
    """Bytes of memory that a row of a table takes."""
    with tes.open(file) as rec:
        feed = rec.feeds[source]
        messages = list(rec.recorded_messages(source))
        samples = []
        for _ in range(ROUNDS):
            store = StreamStore(feed.stream)
            for name in store.tables:  # only the one that is measured keeps its rows
                if name != table:
                    store.tables[name] = Columns(feed.stream.table(name), stream=feed.stream.name, cap=1)
            tracemalloc.start()
            for message in messages:
                store.receive(message)
            rows = len(store.tables[table].snapshot())
            samples.append(tracemalloc.get_traced_memory()[0] / rows)
            tracemalloc.stop()
    return figure("S2", f"a row of {table}", samples, unit="bytes of memory")


def decoding(file: Path, source: str, what: str) -> Result:
    """Messages that a kernel makes rows of, a second of CPU time."""
    with tes.open(file) as rec:
        stream, messages = rec.feeds[source].stream, list(rec.recorded_messages(source))

    def receive() -> None:
        store = StreamStore(stream)
        for message in messages:
            store.receive(message)
        for table in store.tables.values():
            table.snapshot()

    samples = [len(messages) / seconds(receive) for _ in range(ROUNDS)]
    return figure("S4", f"messages of {what} into rows", samples, unit="messages/s")


def files(folder: Path, file: Path, count: int) -> Iterator[Result]:
    """What a file of a set costs: listed, and read."""
    place = folder / "set"
    place.mkdir()
    for number in range(count):
        shutil.copy(file, place / f"{number}.tes")
    many = tes.open_many(place)
    for what, call in (
        ("listed by info()", lambda: many.info(progress=False)),
        ("read by frame('odds'), three minutes long", lambda: many.frame("odds", progress=False)),
    ):
        samples = [seconds(call) * 1e3 / count for _ in range(ROUNDS)]
        yield figure("S3", f"a file of {count}, {what}", samples, unit="ms")
