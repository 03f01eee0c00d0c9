"""P14: `GET /api/dev/status` under load, against a route of the same server that answers next to nothing."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterable

from benchmarks.harness import Result, interleave, ratio
from benchmarks.workload import READ_MANY, collector, line, percentile, python

STATUS, EMPTY = "/api/dev/status", "/health"


def run(*, quick: bool) -> Iterable[Result]:
    requests = 100 if quick else 400
    with collector() as running:
        port = running.ports[0]
        with python(READ_MANY, f"ws://127.0.0.1:{port}/ws/server-metrics/live", 32) as readers:
            line(readers.stdout)
            ended = threading.Event()
            load = threading.Thread(target=background_load, args=(port, ended))
            load.start()
            try:
                ours, theirs = interleave(
                    lambda: p50(port, STATUS, requests), lambda: p50(port, EMPTY, requests), rounds=7
                )
            finally:
                ended.set()
                load.join()
    yield ratio(
        "P14",
        "GET /api/dev/status at p50, 32 stream clients and another poller beside it",
        ours,
        theirs,
        unit="ms",
        against="GET /health of the same server",
        at_most=1.5,
        packages=("aiohttp",),
    )


def background_load(port: int, ended: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    while not ended.is_set():
        connection.request("GET", STATUS)
        connection.getresponse().read()
        time.sleep(0.005)
    connection.close()


def p50(port: int, path: str, requests: int) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    times = []
    for _ in range(requests):
        began = time.perf_counter()
        connection.request("GET", path)
        connection.getresponse().read()
        times.append((time.perf_counter() - began) * 1e3)
    connection.close()
    return percentile(times, 0.5)
