"""A Dask scheduler and its workers, started as one types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import eventually


@dataclass
class ByHand:
    address: str
    scheduler: subprocess.Popen[bytes]


@contextmanager
def by_hand(file: Path, workers: int = 2) -> Iterator[ByHand]:
    """`dask scheduler` and `dask worker`; file: where the scheduler writes its address."""
    command = [sys.executable, "-m", "dask"]
    root = str(Path(__file__).resolve().parents[2])  # functions of tests are found there by the workers
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), root]))
    quiet = {
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "cwd": file.parent,
        "env": {**os.environ, "PYTHONPATH": path},
    }
    local = ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(file)]
    crew = ["--nworkers", str(workers), "--nthreads", "1"]
    processes = [
        subprocess.Popen([*command, "scheduler", "--port", "0", *local], **quiet),
        subprocess.Popen([*command, "worker", *crew, *local], **quiet),
    ]
    try:
        address = eventually(
            lambda: file.exists() and json.loads(file.read_text() or "{}").get("address"), 30
        )
        yield ByHand(address, processes[0])
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(20)
