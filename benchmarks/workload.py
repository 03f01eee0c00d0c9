"""What several benchmarks need: a collector of their own, and clients in processes of their own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import IO

from tes_nb.collector.lifetime import own_identity
from tes_nb.collector.options import CollectorOptions, Limits
from tes_nb.collector.process import CollectorProcess, start_process

TOKEN = "benchmark-token"


@contextlib.contextmanager
def collector(*, clients: int = 64, observed_pid: int | None = None) -> Iterator[CollectorProcess]:
    """A collector on free ports that ends with this process."""
    pid, created = own_identity()
    running = start_process(
        CollectorOptions(
            token=TOKEN,
            observed_pid=pid if observed_pid is None else observed_pid,
            parent_pid=pid,
            parent_created=created,
            status_port=0,
            workers_port=0,
            limits=Limits(clients=clients),
        )
    )
    try:
        yield running
    finally:
        running.stop()


@contextlib.contextmanager
def python(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A child that runs `code`; its input and output are pipes, and it is ended with the block."""
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()


def line(pipe: IO[str] | None) -> str:
    """The child's next line."""
    assert pipe is not None
    return pipe.readline().strip()


READ_MANY = """
import asyncio, sys, websockets
async def one(url):
    async with websockets.connect(url, proxy=None, compression=None, ping_interval=None) as socket:
        async for _ in socket:
            pass
async def main(url, count):
    tasks = [asyncio.create_task(one(url)) for _ in range(count)]
    await asyncio.sleep(1.0)
    print("reading", flush=True)
    await asyncio.gather(*tasks, return_exceptions=True)
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""
"""Opens so many WebSockets and reads what comes."""


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]
