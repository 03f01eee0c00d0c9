"""D4, D5, D6: many recordings. Listing a set, steam of all on a cluster, and two long ones compared.

Times are CPU times of this process, but for the cluster: two workers are measured against one by the clock, turn by
turn, since other work on the machine takes from both.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from distributed import Client, LocalCluster

import tes_nb as tes
from benchmarks.bench_data import seconds
from benchmarks.harness import Result, figure, interleave, ratio, stopwatch
from tes_nb.model import Direction, Message, Opcode
from tes_nb.session.many import RecordingSet
from tes_nb.simulate import Options, record_day
from tes_nb.store.session.schema import SourceInfo
from tes_nb.store.session.writer import SessionWriter

BEGAN = 1_772_366_400_000_000_000
SECOND = 10**9
ROUNDS = 5


def run(*, quick: bool) -> Iterator[Result]:
    """Yield the results."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        many = sessions(folder, 10 if quick else 50, minutes=3 if quick else 10)
        yield listing(folder, next(iter(many.sessions.values())), 50 if quick else 200)
        yield cluster(many)
        yield long_ones(folder, 600 if quick else 3600)


def sessions(folder: Path, count: int, minutes: float) -> RecordingSet:
    """Make so many simulated sessions."""
    place = folder / "sessions"
    place.mkdir()
    for number in range(count):
        record_day(place / f"day-{number:02}.tes", Options(seed=number), minutes=minutes)
    return tes.open_many(place)


def listing(folder: Path, file: Path, count: int) -> Result:
    """What `info()` of many files takes."""
    place = folder / "listed"
    place.mkdir()
    for number in range(count):
        shutil.copy(file, place / f"{number}.tes")
    call = lambda: tes.open_many(place).info(progress=False)  # noqa: E731
    call()
    samples = [seconds(call) for _ in range(ROUNDS)]
    return figure("D4", f"open_many of {count} files to info()", samples, unit="s", at_most=1)


def cluster(many: RecordingSet) -> Result:
    """Steam of all sessions with one worker, divided by the same with two."""
    local = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    quiet = {"worker_dashboard_address": "127.0.0.1:0", "silence_logs": 40}
    with (
        LocalCluster(n_workers=1, **local, **quiet) as single,
        LocalCluster(n_workers=2, **local, **quiet) as double,
        Client(single, set_as_default=False) as one,
        Client(double, set_as_default=False) as two,
    ):
        frames = [
            tes.cluster_frame(many, "odds", scheduler=client, progress=False).steam() for client in (one, two)
        ]
        alone, both = interleave(
            lambda: stopwatch(lambda: frames[0].compute(progress=False)),
            lambda: stopwatch(lambda: frames[1].compute(progress=False)),
            rounds=ROUNDS,
        )
    return ratio(
        "D5",
        f"steam of {len(many)} sessions: one worker's time by that of two",
        alone,
        both,
        unit="s",
        against="two workers",
        at_least=1.6,
        packages=("dask", "distributed"),
    )


def long_ones(folder: Path, length_s: int) -> Result:
    """Compare two recordings of metrics, eight workers, gauges and cells."""
    files = [recorded(folder / f"{seed}.tes", seed, length_s) for seed in (1, 2)]
    tes.compare(*files)
    samples = [seconds(lambda: tes.compare(*files)) for _ in range(ROUNDS)]
    return figure("D6", f"compare of two recordings of {length_s:,} s", samples, unit="s", at_most=3)


def recorded(path: Path, seed: int, length_s: int) -> Path:
    """Write such a recording: metrics and a gauge twice a second, workers once, a cell a minute."""
    chance = np.random.default_rng(seed)
    kinds = ("metrics", "workers", "kernel")
    numbers = dict.fromkeys(kinds, 0)
    writer = SessionWriter(path)
    group: list[SourceInfo | Message] = [SourceInfo(kind, kind) for kind in kinds]

    def put(kind: str, at: int, text: dict[str, object]) -> None:
        numbers[kind] += 1
        payload = msgspec.json.encode({"timestamp": (BEGAN + at) // 10**6, **text})
        group.append(Message(kind, Direction.IN, Opcode.TEXT, payload, BEGAN + at, at, 0, numbers[kind]))

    for place in range(2 * length_s):
        at = place * SECOND // 2
        memory = int(10**8 * chance.uniform(1, 1.1))
        cpu = {"percent": float(chance.uniform(10, 12)), "cores": float(chance.uniform(0.1, 0.12))}
        put("metrics", at, {"cpu": cpu, "memory": {"rss": memory, "heapUsed": memory, "external": memory}})
        put("kernel", at, {"type": "gauge", "name": "loss", "value": float(chance.random()), "unit": ""})
        if place % 2 == 0:
            put("workers", at, {"workers": dict(map(worker, range(8), chance.uniform(90, 110, 8)))})
        if place % 120 == 119:
            cell = {"number": place // 120, "start": BEGAN + at - 50 * SECOND, "wall_s": 50.0}
            put("kernel", at, {"type": "cell", **cell, "cpu_s": 1.0, "rss_peak": memory})
        if len(group) > 500:
            writer.append(group)
            group.clear()
    writer.append(group)
    writer.close()
    return path


def worker(number: int, memory: float) -> tuple[str, dict[str, object]]:
    """Return one of the workers of a message."""
    pid = str(1000 + number)
    about = {"id": pid, "status": "working", "pid": int(pid), "name": f"worker-{number}", "kind": "process"}
    return pid, {**about, "resource_usage": {"rss_mb": float(memory)}, "cpu_percent": float(memory) / 10}
