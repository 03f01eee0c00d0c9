"""E1, E2: from a feed's socket to a DataFrame, against the client that a user would write by hand.

Counted is the CPU time of the kernel and of the collector together; the feed, in a process of its own, is not. The
frames of both are of the same rows.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
import zlib
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec
import pandas as pd
import psutil
import websockets

import tes_nb as tes
from benchmarks.bench_nowgoal import TICK_LIST, odds, some_ticks, texts_by_expat
from benchmarks.harness import Result, interleave, ratio
from benchmarks.workload import line, python

FEED = """
import asyncio, logging, sys, websockets
from websockets.frames import Frame, Opcode
from pathlib import Path
logging.disable()  # a reader that leaves is no error
async def main(path, count, rate):
    blob, frames = Path(path).read_bytes(), []
    while blob:
        size = int.from_bytes(blob[:4], "little")
        frames.append(Frame(Opcode.BINARY, blob[4:4 + size]).serialize(mask=False))
        blob = blob[4 + size:]
    async def handler(socket):
        sent, loop = 0, asyncio.get_running_loop()
        await asyncio.sleep(0.5)  # a client may ask for its channels first
        begun = loop.time()
        while sent < count:
            if rate:
                await asyncio.sleep(0.002)
                until = min(count, int((loop.time() - begun) * rate))
            else:
                until = min(count, sent + 100)
            socket.transport.write(b"".join(frames[number % len(frames)] for number in range(sent, until)))
            sent = until
            while socket.transport.get_write_buffer_size() > 2**18:
                await asyncio.sleep(0)
        await socket.wait_closed()
    async with websockets.serve(handler, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()
asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""
"""Sends the messages of a file (a length before each) over and over; `rate` a second, 0 = as fast as it goes."""
KINDS = 500
"""So many different messages are sent, over and over."""
AGAINST = "websockets + zlib + a typed decode + a list of dicts, a DataFrame at the end"


class Case(NamedTuple):
    """What is sent, and what is to come of it."""

    id: str
    name: str
    messages: list[bytes]
    table: str
    rows: int
    """So many of a message."""
    count: int
    rate: int
    goal: float


def run(*, quick: bool) -> Iterable[Result]:
    count = 10_000 if quick else 20_000
    ticks = [packed(json.dumps(some_ticks(1, seed), separators=(",", ":"))) for seed in range(KINDS)]
    thirties = [packed(json.dumps(some_ticks(30, seed), separators=(",", ":"))) for seed in range(KINDS)]
    records = [packed(odds(50))]
    cases = (
        Case("E1", "1 tick a message, saturated", ticks, "ticks", 1, count, 0, 2.2),
        Case("E1", "1 tick a message, 5,000/s", ticks, "ticks", 1, count, 5_000, 2.2),
        Case("E2", "30 ticks a message, saturated", thirties, "ticks", 30, count // 4, 0, 0.7),
        Case("E2", "50 records of odds a message, saturated", records, "odds", 150, count // 10, 0, 0.9),
    )
    with tes.start(ports=(0, 0)) as session, TemporaryDirectory() as folder:
        path = Path(folder) / "messages"
        for case in cases:
            path.write_bytes(b"".join(len(one).to_bytes(4, "little") + one for one in case.messages))
            ours, theirs = interleave(
                partial(through_tes_nb, session, path, case),
                partial(by_hand, path, case),
                rounds=3 if quick else 5,
                warmup=0,
            )
            yield ratio(
                case.id,
                case.name,
                ours,
                theirs,
                unit="us a message",
                against=AGAINST,
                at_most=case.goal,
                packages=("websockets", "msgspec", "pandas"),
                note="CPU time of kernel and collector together.",
            )


def packed(text: str) -> bytes:
    """A message as the site sends it."""
    return zlib.compress(text.encode())


def jwt() -> str:
    """A token that says that it lasts for a day."""
    parts = ({"alg": "none"}, {"exp": int(time.time()) + 86_400})
    return ".".join(
        [*(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts), "x"]
    )


@contextlib.contextmanager
def feed(path: Path, case: Case) -> Iterator[str]:
    """The address of a feed."""
    with python(FEED, path, case.count, case.rate) as child:
        yield f"ws://127.0.0.1:{line(child.stdout)}/ws"


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def through_tes_nb(session: tes.Session, path: Path, case: Case) -> float:
    """Microseconds a message, from when the first has come to the DataFrame."""
    collector = psutil.Process(session.collector_pid)
    with feed(path, case) as url:
        watched = session.watch(tes.NOWGOAL.with_endpoint(url=url, token=jwt(), name="feed"))
        while not watched.store.tables[case.table].received:
            time.sleep(0.001)
        before = time.process_time() + cpu_s(collector)
        while watched.store.tables[case.table].received < case.count * case.rows:
            time.sleep(0.05)
        frame = watched.frame(case.table)
        spent = time.process_time() + cpu_s(collector) - before
        assert len(frame) == case.count * case.rows
        session.unwatch(watched)
    return spent / case.count * 1e6


def by_hand(path: Path, case: Case) -> float:
    """The same for a client by hand."""
    with feed(path, case) as url:
        rows, before = asyncio.run(read(url, case.count, case.table))
        frame = pd.DataFrame(rows)
        frame["time"] = pd.to_datetime(frame["time"], utc=True)
        return (time.process_time() - before) / case.count * 1e6


async def read(url: str, count: int, table: str) -> tuple[list[dict[str, object]], float]:
    """The rows, and the CPU time of this process when the first message came."""
    decode = ticks_of if table == "ticks" else odds_of  # the three markets of a record are a row each
    rows: list[dict[str, object]] = []
    before = 0.0
    async with websockets.connect(url, proxy=None, compression=None) as socket:
        for _ in range(count):
            payload = await socket.recv()
            received = time.time_ns()
            before = before or time.process_time()
            rows.extend({"time": received, **row} for row in decode(payload))
    return rows, before


def ticks_of(payload: bytes) -> list[dict[str, object]]:
    return [msgspec.structs.asdict(tick) for tick in TICK_LIST.decode(zlib.decompress(payload))]


MARKETS = (("asian_handicap", 2), ("1x2", 6), ("over_under", 10))


def odds_of(payload: bytes) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for text in texts_by_expat(payload):
        fields = text.split(",")
        for market, first in MARKETS:
            prices = [float(value) for value in fields[first : first + 3]]
            rows.append(
                {
                    "match_id": fields[0],
                    "company": int(fields[1]),
                    "market": market,
                    "a": prices[0],
                    "b": prices[1],
                    "c": prices[2],
                }
            )
    return rows
