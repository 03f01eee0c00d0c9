"""D1: a recording as data. Walks over recorded odds and ticks, against reading and decoding the same.

Times are CPU times of this process, as in `bench_nowgoal`.
"""

from __future__ import annotations

import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

import tes_nb as tes
from benchmarks.bench_nowgoal import compare, odds, some_ticks
from benchmarks.harness import Result, figure
from tes_nb.model import Direction, Message, Opcode
from tes_nb.session.recorded import RecordedSession
from tes_nb.store.session.schema import SourceInfo
from tes_nb.store.session.writer import SessionWriter
from tes_nb.streams.nowgoal.stream import decode

BEGAN = 1_767_225_600_000_000_000
ROWS_A_SECOND = 150_000


def run(*, quick: bool) -> Iterator[Result]:
    """Yield the results."""
    with tempfile.TemporaryDirectory() as folder:
        yield from walks(Path(folder), 200 if quick else 4_000)


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
