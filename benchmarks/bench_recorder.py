"""P9: recording at full speed, how soon a message is acknowledged, and how soon a large session is open."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Result, figure, interleave, ratio, stopwatch
from tes_nb.model import Direction, Message, Opcode
from tes_nb.store.session.reader import SessionFile
from tes_nb.store.session.recorder import Recorder
from tes_nb.store.session.writer import SessionWriter
from tes_nb.wire.record import pack

WALL = 1_767_225_600_000_000_000
SOURCES = ("status", "workers", "metrics", "nowgoal")
PACKAGES = ("msgspec",)
PAYLOAD = 200
BURST = 500


def run(*, quick: bool) -> Iterator[Result]:
    """Yield the results."""
    folder = Path(tempfile.mkdtemp())
    try:
        yield from full_speed(folder, 20_000 if quick else 400_000)
        yield acknowledgement(folder, seconds=1 if quick else 8)
        yield from large_session(folder, 20_000 if quick else 300_000)
    finally:
        shutil.rmtree(folder)


def made(count: int, size: int, step_ns: int) -> list[Message]:
    """Messages of four sources with noise as payload."""
    noise = [os.urandom(size) for _ in range(64)]
    return [
        Message(
            SOURCES[number % 4],
            Direction.IN,
            Opcode.BINARY,
            noise[number % 64],
            WALL + number * step_ns,
            number * step_ns,
            1,
            number // 4 + 1,
        )
        for number in range(count)
    ]


def full_speed(folder: Path, count: int) -> Iterator[Result]:
    """From the first `put` to the last acknowledgement, against one `write` for each message."""
    messages = made(count, PAYLOAD, 5_000)
    records = [pack(message) for message in messages]

    def record() -> float:
        path = folder / "speed.tes"
        with Recorder(path, size_limit=2**40) as recorder:
            seconds = stopwatch(lambda: put_all(recorder, messages))
        path.unlink()
        return seconds

    def write() -> float:
        handle = os.open(folder / "raw", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        seconds = stopwatch(lambda: [os.write(handle, each) for each in records])
        os.close(handle)
        return seconds

    ours, theirs = interleave(record, write, rounds=7)
    name = f"record {count:,} messages of {PAYLOAD} bytes at full speed, acknowledged"
    yield ratio(
        "P9",
        name,
        [each * 1e3 for each in ours],
        [each * 1e3 for each in theirs],
        unit="ms",
        against="os.write of the same records, one by one, without acknowledgement",
        at_most=4,
        packages=PACKAGES,
    )
    rates = [count / each / 1e3 for each in ours]
    yield figure("P9", "messages a second at full speed", rates, unit="k/s", at_least=200, packages=PACKAGES)


def put_all(recorder: Recorder, messages: list[Message]) -> None:
    """Put as fast as the recorder takes them; return when all are acknowledged."""
    for start in range(0, len(messages), BURST):
        while recorder.waiting > 50_000:
            time.sleep(0.001)
        for message in messages[start : start + BURST]:
            recorder.put(message)
    while recorder.messages < len(messages):
        time.sleep(0.0005)
    assert recorder.lost == 0


def acknowledgement(folder: Path, seconds: int) -> Result:
    """The 99th percentile of the time from `put` to the acknowledgement, at 10,000 messages a second."""
    messages = made(10_000 * seconds, PAYLOAD, 100_000)
    put_at: list[float] = []
    late: list[float] = []

    def acknowledged(committed) -> None:
        now = time.perf_counter()
        total = sum(each.messages for each in committed.values())
        late.extend(now - put_at[number] for number in range(len(late), total))

    with Recorder(folder / "ack.tes", size_limit=2**40, on_commit=acknowledged) as recorder:
        began = time.perf_counter()
        while len(put_at) < len(messages):
            due = min(len(messages), int((time.perf_counter() - began) * 10_000))
            for number in range(len(put_at), due):
                put_at.append(time.perf_counter())
                recorder.put(messages[number])
            time.sleep(0.0005)
    rounds = [late[start : start + 10_000] for start in range(0, len(late), 10_000)]
    p99 = [sorted(each)[int(len(each) * 0.99)] * 1e3 for each in rounds]
    name = "acknowledgement after put at 10,000 messages/s, p99 of each second"
    return figure("P9", name, p99, unit="ms", at_most=10, packages=PACKAGES)


def large_session(folder: Path, count: int) -> Iterator[Result]:
    """A gigabyte: from opening to the first figures, and its last minute against all of it."""
    path = folder / "large.tes"
    writer = SessionWriter(path)
    step = 3600 * 10**9 // count
    messages = made(count, 1000, step)
    for start in range(0, count, 5000):
        writer.append(messages[start : start + 5000])
    writer.close()
    size = f"{path.stat().st_size / 1e9:.2f} GB, {count:,} messages, 1 h"

    def info() -> None:
        with SessionFile.open(path) as session:
            assert session.info().messages == count

    yield figure(
        "sessions", f"open to info() ({size})", [stopwatch(info) for _ in range(7)], unit="s", at_most=1
    )
    with SessionFile.open(path) as session:
        last = session.span()[1]

        def read(start_ns: int | None) -> float:
            return stopwatch(lambda: sum(1 for _ in session.messages(start_ns=start_ns)))

        ours, theirs = interleave(lambda: read(last - 60 * 10**9), lambda: read(None), rounds=5)
    yield ratio(
        "sessions",
        f"read the last minute ({size})",
        [each * 1e3 for each in ours],
        [each * 1e3 for each in theirs],
        unit="ms",
        against="reading all of it",
        at_most=0.05,
    )
