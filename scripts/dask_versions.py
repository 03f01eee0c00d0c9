"""Observe schedulers of other versions of distributed, each in an environment of its own, and say what was seen.

    python -m scripts.dask_versions 2024.8.0 2025.9.1

For each version: a virtual environment in a temporary folder, a `LocalCluster` of seven workers in it that runs
tasks, and our reader, which asks it by its page, by its HTTP address and by its own port. Also that nothing stays
behind there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from pathlib import Path
from typing import Any

from tes_nb.collector.workers.dask_identity import scheduler_address
from tes_nb.collector.workers.dask_jobs import DaskGroups, DaskJobs
from tes_nb.collector.workers.dask_reader import SchedulerReader
from tes_nb.errors import ConnectionFailed
from tests.support.dask_user import dask_user

WORKERS = 7
SECONDS = 4.0
LEFT = "[sorted(scheduler.plugins), sorted(scheduler.worker_plugins), len(scheduler.clients)]"


def environment(folder: Path, version: str) -> str:
    """Make one with that version; return its Python."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    packages = [f"distributed=={version}", f"dask=={version}", "bokeh", "prometheus_client"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True, timeout=400)
    return python


async def seen(address: str) -> tuple[int, int, int, int]:
    """Observe for some seconds: workers, most that run at once, jobs by name, functions."""
    reader, jobs, groups = (
        SchedulerReader(scheduler_address(address)),
        DaskJobs(),
        DaskGroups("place", "pool"),
    )
    workers = running = named = 0
    end = time.monotonic() + SECONDS
    try:
        while time.monotonic() < end:
            identity = await reader.read()
            workers = max(workers, len(identity.workers))
            busy = [one for one in identity.workers.values() if one.metrics.task_counts.running]
            running = max(running, len(busy))
            with contextlib.suppress(ConnectionFailed):  # on a busy machine a worker may let everybody wait
                if (answer := await reader.call_stacks()) is not None:
                    jobs.take(answer)
                    named = max(named, len(jobs.current()))
            if (answer := await reader.groups()) is not None:
                groups.take(answer)
            await asyncio.sleep(0.25)
    finally:
        await reader.close()
    return workers, running, named, len(groups.facts())


def observe(version: str, user: Any) -> list[str]:
    """Return a line for each way."""
    lines = []
    for way, address in (("page", f"{user.http}/status"), ("http", user.http), ("tcp", user.address)):
        before = user.ask(LEFT)
        user.ask("work(0.3, 60)")
        workers, running, named, functions = asyncio.run(seen(address))
        same = "nothing left behind" if user.ask(LEFT) == before else "SOMETHING LEFT BEHIND"
        lines.append(
            f"{version} by {way}: {workers} of {WORKERS} workers, {running} at work at once, {named} jobs by name, "
            f"{functions} functions, {same}"
        )
    said = user.ask("len(client.scheduler_info()['workers'])")
    return [*lines, f"{version}: its own scheduler_info() tells {said} of {WORKERS}"]


def main() -> int:
    """Observe each version that was named; 1 = of one not all was seen."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("versions", nargs="+", help="of distributed; 'installed' = the one here")
    well = True
    for version in parser.parse_args().versions:
        with tempfile.TemporaryDirectory() as folder:
            python = sys.executable if version == "installed" else environment(Path(folder) / "env", version)
            with dask_user(Path(folder) / "user.log", WORKERS, python=python) as user:
                for line in observe(version, user):
                    print(line, flush=True)
                    well &= "LEFT BEHIND" not in line and (
                        " by " not in line or f"{WORKERS} of {WORKERS}" in line
                    )
            log = (Path(folder) / "user.log").read_text()
            causes = Counter(re.findall(r"^\w[\w.]*(?:Error|Exception)\b.*", log, re.MULTILINE))
            print(f"{version}: in the scheduler's own output {dict(causes) or 'no error'}", flush=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
