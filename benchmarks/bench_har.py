"""P12: reading a large HAR file, against ijson alone; and what turning it into a session costs on top."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from random import Random

import ijson

from benchmarks.harness import Result, compare, figure
from tes_nb.store.har.har import read_har
from tes_nb.store.har.har_session import import_har

PACKAGES = ("ijson", "msgspec")
PREFIX = "log.entries.item._webSocketMessages.item"
MEMORY = """
import sys
from benchmarks.harness import peak_memory
from tes_nb.store.har.har import read_har
count = sum(1 for _ in read_har(sys.argv[1], lambda url: "metrics"))
print(peak_memory())
"""


def run(*, quick: bool) -> Iterator[Result]:
    """Yield the results."""
    folder = Path(tempfile.mkdtemp())
    try:
        path = folder / "large.har"
        write(path, 4_000 if quick else 400_000)
        yield from reading(path)
        yield memory(path)
        yield importing(path, folder / "large.tes")
    finally:
        shutil.rmtree(folder)


def write(path: Path, count: int) -> None:
    """A HAR file as Chrome writes it: three connections of JSON text, one of compressed binary."""
    chance = Random(12)
    with path.open("w") as file:
        file.write('{"log":{"version":"1.2","creator":{"name":"x","version":"1"},"pages":[],"entries":[')
        for connection in range(4):
            file.write("," * bool(connection) + '{"_resourceType":"websocket","_webSocketMessages":[')
            for number in range(count // 4):
                file.write("," * bool(number) + json.dumps(_message(chance, number, binary=connection == 3)))
            file.write(
                '],"cache":{},"request":{"method":"GET","url":"ws://localhost:3002/ws/server-metrics/live"},'
            )
            file.write('"response":{"status":101},"time":1}')
        file.write("]}}")


def _message(chance: Random, number: int, *, binary: bool) -> dict[str, object]:
    if binary:
        data = b64encode(chance.randbytes(290)).decode()
    else:
        memory = {"heapUsed": chance.randrange(10**9), "heapTotal": chance.randrange(10**9), "rss": 1}
        socket = {"pendingConnections": 3, "subscribers": {"status": 1, "workers": 1, "metrics": 1}}
        data = json.dumps(
            {
                "type": "metrics",
                "timestamp": 1_767_225_600_000 + number * 500,
                "http": {"pendingRequests": chance.randrange(9), "totalRequests": number},
                "websockets": socket,
                "memory": {**memory, "external": chance.randrange(10**8), "arrayBuffers": 0},
                "cpu": {"percent": chance.randrange(1000) / 10, "cores": 0.1},
            }
        )
    kind = "send" if number % 50 == 0 else "receive"
    return {"type": kind, "time": 1_767_225_600 + number / 2, "opcode": 2 if binary else 1, "data": data}


def alone(path: Path) -> None:
    """The reference: every message as a dictionary, nothing else."""
    with path.open("rb") as file:
        deque(ijson.items(file, PREFIX, use_float=True), maxlen=0)


def reading(path: Path) -> Iterator[Result]:
    """Messages checked, decoded from base64, redacted and stamped."""
    size = f"{path.stat().st_size / 1e6:.0f} MB HAR"
    for name, redact in (("", True), (", nothing redacted", False)):
        yield compare(
            "P12",
            f"read a {size} into messages{name}",
            lambda redact=redact: deque(read_har(path, lambda _: "metrics", redact=redact), maxlen=0),
            lambda: alone(path),
            against=f"ijson.items over the same file ({ijson.backend})",
            at_most=2,
            packages=PACKAGES,
        )


def memory(path: Path) -> Result:
    """The peak memory of a process that reads the file and does nothing else."""
    command = [sys.executable, "-c", MEMORY, str(path)]
    root = Path(__file__).resolve().parents[1]
    peaks = [
        int(subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout) / 2**20
        for _ in range(3)
    ]
    return figure("P12", "peak memory while reading it", peaks, unit="MiB", at_most=64, packages=PACKAGES)


def importing(path: Path, target: Path) -> Result:
    """Into a session file, with its checksums and its index of segments."""

    def once() -> None:
        import_har(path, target, lambda _: "metrics")
        target.unlink()

    note = "No goal is set for this one: the goal of P12 speaks of reading."
    return compare(
        "P12",
        "import it into a session file",
        once,
        lambda: alone(path),
        against="ijson.items over the same file",
        at_most=float("inf"),
        rounds=5,
        packages=PACKAGES,
        note=note,
    )
