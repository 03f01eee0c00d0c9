"""A Dask cluster in a process of its own: `python -m tes_nb.collector.workers.cluster_process` (decisions/0027).

It speaks lines of JSON with the collector that started it: options in, `Begun` out; then a `Scale` in and a `Scaled`
out for each, and an `Exited` whenever a worker's process ends. It ends, and its workers with it, when its input does,
or when its parent is gone. Only this process imports distributed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import sys
import threading
import time
from typing import Any

import msgspec

from tes_nb.net.child import give_answer, read_options

MISSING = "A Dask cluster needs the package distributed: pip install 'tes-nb[cluster]'."
CLOSE_S = 1.5
"""Workers get so long to end; then this process is gone, which ends them at once."""
_PARENT_CHECK_S = 0.5
_SECRETS = ("TES_DEV_TOKEN", "TES_NOWGOAL_TOKEN")
_ENDED = re.compile(r"Worker process (\d+) (?:was killed by signal (\d+)|exited with status (\d+))")


class ClusterOptions(msgspec.Struct, frozen=True):
    """What the cluster is to be."""

    count: int
    memory_limit: int
    """Bytes that each worker may use, before it spills, pauses and is restarted."""
    path: tuple[str, ...] = ()
    """Where workers find the user's modules, beside our own `sys.path`."""


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """The cluster runs; or the sentence that says why it does not."""

    address: str = ""
    http: str = ""
    error: str | None = None


class Scale(msgspec.Struct, frozen=True):
    """Run so many workers."""

    count: int


class Scaled(msgspec.Struct, frozen=True, tag="scaled"):
    """How many workers are being started and ended."""

    created: int
    terminated: int


class Exited(msgspec.Struct, frozen=True, tag="exited"):
    """A worker's process has ended; a code below 0 is the signal that ended it."""

    pid: int
    code: int


Said = Begun | Scaled | Exited


class _Exits(logging.Handler):
    """Takes from the nannies' log how their workers' processes ended: it is reported nowhere else."""

    def emit(self, record: logging.LogRecord) -> None:
        match = _ENDED.search(record.getMessage())
        if match is not None:
            give_answer(Exited(int(match[1]), -int(match[2]) if match[2] else int(match[3])))


def main() -> int:
    """Run the cluster until the input ends. Returns the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # "Interrupt kernel" is for the cell
    signal.signal(signal.SIGTERM, lambda *_: os.close(sys.stdin.fileno()))
    options = read_options(ClusterOptions)
    for name in _SECRETS:
        os.environ.pop(name, None)
    sys.path += [place for place in options.path if place not in sys.path]
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        cluster = _start(options)
    except ImportError:
        give_answer(Begun(error=MISSING))
        return 1
    except Exception as error:  # noqa: BLE001 - whatever keeps it from starting becomes a sentence
        give_answer(Begun(error=f"The Dask cluster could not start ({type(error).__name__}: {error})."))
        return 1
    give_answer(Begun(cluster.scheduler_address, cluster.dashboard_link.removesuffix("/status")))
    try:
        _serve(cluster)
    finally:
        threading.Timer(CLOSE_S, os._exit, (0,)).start()
        cluster.close(timeout=CLOSE_S)
        os._exit(0)


def _start(options: ClusterOptions) -> Any:
    """Start a `LocalCluster` whose every port is on loopback."""
    import dask  # noqa: PLC0415 - a package that tes_nb does not need otherwise
    from distributed import LocalCluster  # noqa: PLC0415

    nannies = logging.getLogger("distributed.nanny")
    nannies.addHandler(_Exits())
    dask.config.set({"distributed.comm.timeouts.connect": "5s"})
    cluster = LocalCluster(
        n_workers=options.count,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
        memory_limit=options.memory_limit,
        silence_logs=logging.ERROR,
    )
    nannies.setLevel(logging.INFO)  # for normal ends
    return cluster


def _serve(cluster: Any) -> None:
    """Scale whenever that is asked for, until the input ends."""
    with contextlib.suppress(OSError, ValueError):  # SIGTERM closes it under us
        for line in sys.stdin.buffer:
            count = msgspec.json.decode(line, type=Scale).count
            before = len(cluster.worker_spec)
            cluster.scale(count)
            give_answer(Scaled(max(0, count - before), max(0, before - count)))


def _end_with_parent(parent: int) -> None:
    """End at once when the collector is gone and something else still holds our input open."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    time.sleep(CLOSE_S)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
