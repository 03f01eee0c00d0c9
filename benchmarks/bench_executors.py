"""P15: what a job costs more in an observed pool than in the same pool alone, what workers import for it, and how soon
a kernel's stack is there.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

import tes_nb as tes
from benchmarks.harness import Result, figure, interleave

PACKAGES = ("msgspec",)


def run(*, quick: bool) -> Iterator[Result]:
    """Yield the results."""
    jobs, rounds = (200, 5) if quick else (3000, 7)
    with tes.start(ports=(0, 0)) as session:
        for kind in (ThreadPoolExecutor, ProcessPoolExecutor):
            with kind(2) as plain, session.observe(kind(2)) as observed:
                yield cost(kind.__name__, observed, plain, jobs, rounds)
        yield figure(
            "P15",
            "the kernel's own stack, asked over the collector",
            [session.stack().took_ms for _ in range(rounds)],
            unit="ms",
            at_most=50,
            packages=PACKAGES,
        )
    yield figure(
        "P15",
        "import of what the workers of an observed pool import",
        [import_ms() for _ in range(rounds)],
        unit="ms",
        at_most=20,
        packages=PACKAGES,
    )


def import_ms() -> float:
    """CPU time of the import in a new interpreter that has what a pool's worker has."""
    code = (
        "import time, concurrent.futures.process, multiprocessing.spawn; began = time.process_time();"
        "import tes_nb.jobs.run; print((time.process_time() - began) * 1e3)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(said.stdout)


def cost(name: str, observed: Executor, plain: Executor, jobs: int, rounds: int) -> Result:
    """The difference a job, in CPU time of this process: other programs take none of that."""
    ours, theirs = interleave(
        lambda: per_job_us(observed, jobs), lambda: per_job_us(plain, jobs), rounds=rounds, warmup=1
    )
    more = [mine - bare for mine, bare in zip(ours, theirs, strict=True)]
    return figure(
        "P15", f"a job more through an observed {name}", more, unit="µs", at_most=30, packages=PACKAGES
    )


def per_job_us(pool: Executor, jobs: int) -> float:
    began = time.process_time()
    for future in [pool.submit(abs, -number) for number in range(jobs)]:
        future.result()
    return (time.process_time() - began) / jobs * 1e6
