"""P13: what `import tes_nb` costs beside `import pandas`, and how soon the first message is there."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable

from benchmarks.harness import Result, figure, interleave, ratio
from benchmarks.workload import line, python

START = """
import time
import pandas
import tes_nb as tes
began = time.monotonic()
session = tes.start(ports=(0, 0))
while not session.metrics.messages:
    time.sleep(0.005)
print(time.monotonic() - began, flush=True)
session.stop()
"""


def imported(module: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return (time.perf_counter() - began) * 1e3


def first_message() -> float:
    with python(START) as child:
        return float(line(child.stdout))


def run(*, quick: bool) -> Iterable[Result]:
    rounds = 5
    ours, theirs = interleave(
        lambda: imported("tes_nb, pandas"), lambda: imported("pandas"), rounds=rounds, warmup=1
    )
    yield ratio(
        "P13",
        "import tes_nb and pandas",
        ours,
        theirs,
        unit="ms",
        against="import pandas alone",
        at_most=1.15,
        packages=("pandas",),
        note="Whole interpreter runs; tes_nb imports nothing heavy until it is used.",
    )
    yield figure(
        "P13",
        "tes.start() to the first message, pandas imported before",
        [first_message() for _ in range(3 if quick else 5)],
        unit="s",
        at_most=1.5,
        packages=("aiohttp",),
    )
