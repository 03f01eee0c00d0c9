"""Run as a program by the tests of recording: `python -m tests.support.recording WHAT FOLDER [COUNT]`.

Each prints one JSON value. What they need a process of their own for: being killed, a disk of their own, limits.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import struct
import sys
import time
from pathlib import Path

from tes_nb.errors import SessionError
from tes_nb.model import Message
from tes_nb.store.session.check import check
from tes_nb.store.session.reader import SessionFile
from tes_nb.store.session.recorder import Recorder
from tes_nb.store.session.recorder_loop import RecorderState
from tes_nb.store.session.writer import SessionWriter
from tests.support.sessions import SOURCES, numbered, read_all
from tests.support.waiting import eventually

_ACK = struct.Struct("<3Q")
ROOMY = 10**12
"""A size limit that no test reaches."""


def killed_size(number: int) -> int:
    """Some messages go on in other pages."""
    return 6000 if number % 7 == 0 else 150


READY: list[Message] = []
"""Made before the fork: a killed child has no time for it."""


def record_for_ever(path: Path, acks: int) -> None:
    """Record as fast as it goes, and report each commit on a pipe."""

    def report(committed) -> None:
        os.write(acks, _ACK.pack(*(committed[name].messages if name in committed else 0 for name in SOURCES)))

    recorder = Recorder(path, size_limit=ROOMY, on_commit=report)
    for number, message in enumerate(READY):
        recorder.put(message)
        if number % 50 == 0:
            time.sleep(0.0005)
    time.sleep(60)


def _fork_recorder(path: Path) -> tuple[int, int]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            record_for_ever(path, writing)
        finally:
            os._exit(1)
    os.close(writing)
    return child, reading


def _last_ack(reading: int, first: bytes) -> tuple[int, ...]:
    with os.fdopen(reading, "rb") as pipe:
        data = first + pipe.read()
    whole = len(data) // _ACK.size * _ACK.size
    return _ACK.unpack_from(data, whole - _ACK.size) if whole else (0, 0, 0)


def kills(folder: Path, count: int, seed: int) -> dict[str, int]:
    """Kill recorders at random moments; count what was acknowledged, and what of it is not there.

    Ends early on a machine that is too busy for so many.
    """
    deadline = time.monotonic() + float(os.environ.get("TES_TEST_KILLS_S", "40"))
    chance = random.Random(seed)
    READY.extend(numbered(number, size=killed_size(number)) for number in range(9000))
    result = {"kills": 0, "acknowledged": 0, "lost": 0, "wrong": 0, "bad checks": 0, "empty": 0}
    for turn in range(count):
        if time.monotonic() > deadline:
            break
        path = folder / f"{turn}.tes"
        child, reading = _fork_recorder(path)
        first = os.read(reading, _ACK.size) if turn % 5 else b""
        time.sleep(chance.uniform(0.0, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        _judge(path, _last_ack(reading, first), result, examine=turn % 10 == 0)
        for left in folder.glob(f"{turn}.tes*"):
            left.unlink()
    return result


def _judge(path: Path, acknowledged: tuple[int, ...], result: dict[str, int], *, examine: bool) -> None:
    result["kills"] += 1
    result["acknowledged"] += sum(acknowledged)
    try:
        messages = read_all(path)
    except SessionError:
        result["empty"] += 1
        result["lost"] += sum(acknowledged)
        return
    for name, many in zip(SOURCES, acknowledged, strict=True):
        seqs = [message.seq for message in messages if message.source == name]
        result["lost"] += max(0, many - len(seqs))
        result["wrong"] += seqs != list(range(1, len(seqs) + 1))
    place = {name: position for position, name in enumerate(SOURCES)}
    for message in messages[:: max(1, len(messages) // 50)]:
        number = (message.seq - 1) * len(SOURCES) + place[message.source]
        result["wrong"] += message != numbered(number, size=killed_size(number))
    if examine:
        result["bad checks"] += check(path).exit_code != 0


def disk_full(folder: Path, size: int = 500_000) -> dict[str, object]:
    """Fill the disk while recording; make space; record on. `folder` is a disk of 1 MiB, that much of it is taken."""
    filler = folder / "filler"
    filler.write_bytes(bytes(size))
    path = folder / "full.tes"
    states: list[str] = []
    recorder = Recorder(
        path, size_limit=ROOMY, queue_messages=300, on_state=lambda status: states.append(status.state)
    )
    number, accepted = 0, []

    def put(many: int, pause: float) -> None:
        nonlocal number
        for _ in range(many):
            message = numbered(number, size=500)
            number += 1
            if recorder.put(message):
                accepted.append(message)
            time.sleep(pause)

    while recorder.state is RecorderState.RECORDING:
        put(10, 0.001)
    text = recorder.text
    put(1000, 0)
    before = read_all(path)
    committed = recorder.messages
    filler.unlink()
    put(1, 0)
    since = time.monotonic()
    eventually(lambda: recorder.state is RecorderState.RECORDING)
    back = time.monotonic() - since
    eventually(lambda: recorder.waiting == 0)
    put(50, 0.002)
    recorder.stop()
    with SessionFile.open(path) as session:
        messages = list(session.messages())
        gaps = session.gaps
    return {
        "states": states,
        "text": text,
        "readable while full": len(before) == committed > 0,
        "seconds to resume": back,
        "all accepted are there": messages == accepted,
        "gaps": [(each.source, each.gap.missing) for each in gaps],
        "lost": recorder.lost,
        "put": number,
        "found": len(messages),
    }


def stop_when_full(folder: Path, seed: int) -> dict[str, object]:
    """Fill the disk while recording, and stop before there is space again. `folder` is a disk of 3 MiB."""
    chance = random.Random(seed)
    (folder / "filler").write_bytes(bytes(chance.randrange(1_000_000, 2_400_000)))
    path = folder / "full.tes"
    recorder = Recorder(path, size_limit=ROOMY)
    sizes = [chance.randrange(20, 1500) for _ in range(200)]
    number = 0
    while recorder.state is RecorderState.RECORDING:
        recorder.put(numbered(number, size=sizes[number % 200]))
        number += 1
        time.sleep(0.0002)
    for _ in range(chance.choice((0, 1, 20, 5000, 30_000))):
        recorder.put(numbered(number, size=sizes[number % 200]))
        number += 1
    since = time.monotonic()
    text = recorder.stop()
    seconds = time.monotonic() - since
    report = check(path)
    with SessionFile.open(path) as session:
        found = list(session.messages())
        gaps = [each.gap for each in session.gaps]
    there = {(message.source, message.seq) for message in found}
    walls = [
        message.t_wall_ns
        for message in map(numbered, range(number))
        if (message.source, message.seq) not in there
    ]
    return {
        "put": number,
        "found": len(found),
        "right": found
        == [
            message
            for message in (numbered(each, size=sizes[each % 200]) for each in range(number))
            if (message.source, message.seq) in there
        ],
        "lost": recorder.lost,
        "missing in gaps": sum(gap.missing or 0 for gap in gaps),
        "gaps hold them": all(
            any(gap.lost_at_ns <= wall < (gap.back_at_ns or 2**63) for gap in gaps if gap.missing)
            for wall in walls
        ),
        "text": text,
        "seconds": seconds,
        "check": (report.exit_code, report.sentences),
    }


def wholly_full(folder: Path) -> dict[str, object]:
    """Begin on a disk without a free byte, twice, then with space. `folder` is a disk of 1 MiB."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()
    said, before = [], len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(2):
        try:
            Recorder(folder / "a.tes")
        except SessionError as error:
            said.append(str(error))
    leaked = len(list(Path("/proc/self/fd").iterdir())) - before
    left = sorted(each.name for each in folder.iterdir())
    filler.unlink()
    with Recorder(folder / "a.tes", size_limit=ROOMY) as recorder:
        recorder.put(numbered(0))
    return {"said": said, "leaked": leaked, "left": left, "messages": recorder.messages}


def first_commit(folder: Path) -> dict[int, int]:
    """Begin with so little room that the first commit fits into the log, and not into the file; then with space.

    Free KiB → messages in the file. `folder` is a disk of 2 MiB.
    """
    counts = {}
    for free in range(24, 48, 4):
        writer, filler = SessionWriter(folder / "a.tes"), folder / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        os.truncate(filler, filler.stat().st_size - free * 1024)
        try:
            writer.append([numbered(0), numbered(3)])
        except sqlite3.Error:
            filler.unlink()
            writer.append([numbered(0), numbered(3)])
        filler.unlink(missing_ok=True)
        writer.append([numbered(6)])
        writer.close()
        counts[free] = len(read_all(folder / "a.tes"))
        (folder / "a.tes").unlink()
    return counts


def write_error(folder: Path) -> dict[str, object]:
    """Let every write of more than so many bytes fail; lift the limit; record on."""
    path = folder / "limited.tes"
    states: list[str] = []
    recorder = Recorder(path, size_limit=ROOMY, on_state=lambda status: states.append(status.state))
    number = 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    while recorder.state is RecorderState.RECORDING:
        recorder.put(numbered(number, size=1000))
        number += 1
        time.sleep(0.0005)
    text, committed = recorder.text, recorder.messages
    prefix = read_all(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    since = time.monotonic()
    eventually(lambda: recorder.state is RecorderState.RECORDING)
    back = time.monotonic() - since
    recorder.stop()
    with SessionFile.open(path) as session:
        gaps = [each.gap.missing for each in session.gaps]
    return {
        "states": states,
        "text": text,
        "prefix exact": prefix == [numbered(each, size=1000) for each in range(committed)],
        "seconds to resume": back,
        "whole": read_all(path) == [numbered(each, size=1000) for each in range(number)],
        "gaps": gaps,
    }


def folder_removed(folder: Path) -> dict[str, object]:
    """Remove the folder under a recording, and make it again."""
    place = folder / "place"
    path = place / "gone.tes"
    states: list[str] = []
    recorder = Recorder(path, size_limit=ROOMY, on_state=lambda status: states.append(status.state))
    for number in range(100):
        recorder.put(numbered(number))
    eventually(lambda: recorder.messages == 100)
    shutil.rmtree(place)
    since = time.monotonic()
    eventually(lambda: recorder.state is RecorderState.FILE_REMOVED)
    noticed = time.monotonic() - since
    text = recorder.text
    for number in range(100, 150):
        recorder.put(numbered(number))
    place.mkdir()
    since = time.monotonic()
    eventually(lambda: recorder.state is RecorderState.RECORDING)
    back = time.monotonic() - since
    for number in range(150, 200):
        recorder.put(numbered(number))
    recorder.stop()
    return {
        "states": states,
        "text": text,
        "seconds to notice": noticed,
        "seconds to resume": back,
        "whole": read_all(path) == [numbered(each) for each in range(200)],
        "files": sorted(each.name for each in place.iterdir()),
    }


def second(folder: Path) -> dict[str, object]:
    """Try to record what another process records."""
    began = time.perf_counter()
    try:
        Recorder(folder / "one.tes")
    except SessionError as error:
        return {"seconds": time.perf_counter() - began, "error": str(error)}
    return {"error": ""}


def steadily(folder: Path, seconds: int) -> dict[str, object]:
    """Record 50 messages a second for so long."""
    times = []
    with Recorder(folder / "steady.tes", size_limit=ROOMY) as recorder:
        for number in range(seconds * 50):
            recorder.put(numbered(number))
            times.append(time.monotonic())
            time.sleep(0.02)
    pause = max(later - earlier for earlier, later in itertools.pairwise(times))
    return {"messages": recorder.messages, "longest pause": pause}


def for_ever(folder: Path) -> None:
    """Record until killed, and print how many of each source are acknowledged."""
    path = folder / "live.tes"

    def report(committed) -> None:
        print(json.dumps({name: each.messages for name, each in committed.items()}), flush=True)  # noqa: T201

    recorder = Recorder(path, size_limit=ROOMY, on_commit=report)
    number = 0
    while True:
        recorder.put(numbered(number, size=500))
        number += 1
        time.sleep(0.001)


if __name__ == "__main__":
    todo = {name: value for name, value in globals().items() if callable(value)}[sys.argv[1]]
    print(json.dumps(todo(Path(sys.argv[2]), *map(int, sys.argv[3:]))))  # noqa: T201
