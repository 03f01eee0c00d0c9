"""A user of Dask in a process of its own, which holds the cluster object; it answers expressions, one a line.

`with dask_user(log) as user: user.ask("len(cluster.scheduler_info['workers'])")`. In the process there are `cluster`,
`client`, its `scheduler`, and `work(seconds, count)`, which submits sleeping tasks and keeps their futures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class DaskUser:
    """The other process, from the test."""

    def __init__(self, workers: int, log, python: str = sys.executable, **options) -> None:
        """python: whose distributed it is."""
        self.process = subprocess.Popen(
            [python, "-m", "tests.support.dask_user", json.dumps({"n_workers": workers, **options})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )
        self.address, self.http = self._answer()

    def ask(self, expression: str):
        """The value of an expression there."""
        self.process.stdin.write(expression.replace("\n", " ") + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        assert line, "the user of Dask has ended"
        return json.loads(line)


@contextmanager
def dask_user(log_path: Path, workers: int = 2, **options):
    """A `LocalCluster` of so many workers, and its user. What the process says goes to `log_path`."""
    with log_path.open("w") as log:
        user = DaskUser(workers, log, **options)
        try:
            yield user
        finally:
            user.process.stdin.close()
            try:
                user.process.wait(5)
            except subprocess.TimeoutExpired:
                user.process.kill()
                user.process.wait()
            user.process.stdout.close()


def main(options: dict) -> None:
    from distributed import Client, LocalCluster

    cluster = LocalCluster(
        threads_per_worker=1,
        host="127.0.0.1",
        **{"dashboard_address": "127.0.0.1:0", "memory_limit": "1GiB", **options},
    )
    client = Client(cluster)
    futures = []

    def work(seconds, count):
        futures.extend(client.map(lambda _: time.sleep(seconds), range(count), pure=False))

    scheduler = cluster.scheduler
    names = {"cluster": cluster, "client": client, "work": work, "futures": futures, "scheduler": scheduler}
    say([cluster.scheduler_address, cluster.dashboard_link.removesuffix("/status")])
    for line in sys.stdin:
        say(eval(line, {**globals(), **names}))
    client.close()
    cluster.close()
    os._exit(0)


def say(value) -> None:
    sys.stdout.write(json.dumps(value, default=str) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
