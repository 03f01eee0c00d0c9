"""The same input gives the same bytes, however it comes in groups."""

from __future__ import annotations

import hashlib
import random
import sqlite3

from tes_nb.store.session.reader import SessionFile
from tes_nb.store.session.recorder import Recorder
from tes_nb.store.session.schema import FileGap
from tes_nb.store.session.writer import SessionWriter
from tes_nb.wire.events import Gap, Mark, StateChange
from tests.support.sessions import WALL, event, numbered


def items() -> list:
    middle = [
        event(60, Mark("deploy", WALL), seq=1000),
        event(61, Gap(1, WALL, WALL + 1, None, "connection reset"), seq=1001),
        event(62, StateChange("OPEN", "OPEN", 2, WALL), seq=1002),
        event(63, Gap(1, WALL, WALL + 1, WALL + 9, "connection reset", 3), seq=1003),
        FileGap(Gap(0, WALL, WALL + 2, WALL + 3, "disk full", 5)),
    ]
    return [
        *(numbered(number) for number in range(60)),
        *middle,
        *(numbered(number) for number in range(64, 130)),
    ]


def digest(path) -> str:
    """Of every row that holds or follows from messages."""
    connection = sqlite3.connect(path)
    tables = [
        name
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    ]
    summed = hashlib.sha256()
    for table in tables:
        if table not in (
            "facts",
            "messages_0",
            "segments",
            "checksums",
        ):  # times of the recording itself, groups, sums of both
            for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3"):
                summed.update(repr((table, row)).encode())
    connection.close()
    return summed.hexdigest()


def read_digest(path) -> str:
    with SessionFile.open(path) as session:
        summed = hashlib.sha256(repr((session.gaps, session.marks, session.states("metrics"))).encode())
        for message in session.messages():
            summed.update(repr(message).encode())
    return summed.hexdigest()


def test_fault_77_a_hundred_runs_give_the_same_bytes(tmp_path):
    chance = random.Random(77)
    written, read = set(), set()
    for run in range(100):
        writer = SessionWriter(tmp_path / f"{run}.tes", time=(WALL, 0))
        left = items()
        while left:
            many = chance.randint(1, 40)
            writer.append(left[:many])
            left = left[many:]
        writer.close()
        written.add(digest(tmp_path / f"{run}.tes"))
        read.add(read_digest(tmp_path / f"{run}.tes"))
        (tmp_path / f"{run}.tes").unlink()
    assert (len(written), len(read)) == (1, 1)


def test_fault_77_the_recorders_threads_change_nothing(tmp_path):
    written = set()
    for run in range(5):
        with Recorder(tmp_path / f"{run}.tes") as recorder:
            for item in items():
                if isinstance(item, FileGap):
                    recorder._queue.put_other(item)
                else:
                    recorder.put(item)
        written.add(digest(tmp_path / f"{run}.tes"))
    assert len(written) == 1
