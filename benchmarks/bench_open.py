"""E5: a recording as a DataFrame, against reading, inflating and decoding its messages and nothing else."""

from __future__ import annotations

import json
import sqlite3
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import tes_nb as tes
from benchmarks.bench_data import recorded
from benchmarks.bench_nowgoal import TICK_LIST, bare_expat, compare, odds, some_ticks, texts_by_expat
from benchmarks.harness import Result

KINDS = 200
READ = "SELECT payload FROM messages_1 ORDER BY id"


def run(*, quick: bool) -> Iterator[Result]:
    """Yield the results."""
    count = 2_000 if quick else 20_000
    one, thirty = (
        [json.dumps(some_ticks(size, seed), separators=(",", ":")) for seed in range(KINDS)]
        for size in (1, 30)
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, texts, table, messages, goal in (
            ("1 tick", one, "ticks", count, 2.5),
            ("30 ticks", thirty, "ticks", count // 5, 2.0),
            ("50 odds records", [odds(50)], "odds", count // 10, 5.0),
        ):
            payloads = [zlib.compress(text.encode()) for text in texts]
            path = recorded(Path(folder) / f"{name[:2].strip()}.tes", payloads, messages)
            yield one_kind(path, name, table, messages, goal)
            if table == "odds":
                yield one_kind(path, name, table, messages, None)


def one_kind(path: Path, name: str, table: str, messages: int, goal: float | None) -> Result:
    """Open it and make the frame. Without a goal: against a decoder that gives nothing, for information."""
    if table == "ticks":
        decode, what = _ticks, "msgspec into structs"
    elif goal is None:
        decode, what = bare_expat, "expat without handlers"
    else:
        decode, what = _odds, "expat that collects the records' fields"

    def ours() -> int:
        with tes.open(path) as recording:
            return len(recording.feeds["nowgoal"].frame(table))

    assert ours() >= messages
    return compare(
        "E5",
        f"tes.open and frame(), {messages:,} messages of {name}" + ("" if goal else ", for information"),
        ours,
        lambda: read_and_decoded(path, decode),
        against=f"sqlite3 + zlib.decompress + {what}",
        at_most=goal,
        rounds=7,
    )


def read_and_decoded(path: Path, decode: Callable[[bytes], object]) -> list[object]:
    """All messages of the file, decoded."""
    connection = sqlite3.connect(path)
    try:
        return [decode(payload) for (payload,) in connection.execute(READ)]
    finally:
        connection.close()


def _ticks(payload: bytes) -> object:
    return TICK_LIST.decode(zlib.decompress(payload))


def _odds(payload: bytes) -> object:
    return [text.split(",") for text in texts_by_expat(payload)]
