"""`tes-nb serve`: the collector by itself, in the foreground."""

from __future__ import annotations

import logging
import os
import signal
from dataclasses import dataclass
from functools import partial

from tes_nb.collector.app import Collector
from tes_nb.collector.child import serve_until, start_collector
from tes_nb.collector.http.pages import allowed_hosts, page_url, public_origins
from tes_nb.collector.lifetime import watch_signals
from tes_nb.collector.logs import log_to_stderr
from tes_nb.collector.options import (
    CollectorOptions,
    ReplayOptions,
    check_platform,
    default_auth,
    default_token,
)
from tes_nb.net.endpoints import default_ports


@dataclass(frozen=True, slots=True)
class ServeRequest:
    """What the command line asked for; -1 = the default port."""

    status_port: int = -1
    workers_port: int = -1
    worktree: str = "tes-repo"
    observed_pid: int | None = None
    worker_pids: tuple[int, ...] = ()
    observe: tuple[str, ...] = ()
    cluster: int | None = None
    origins: tuple[str, ...] = ()
    replay: ReplayOptions | None = None
    """A recording to serve instead of this machine; `None` = this machine."""


async def serve_forever(request: ServeRequest) -> None:
    """Serve until Ctrl-C or SIGTERM. Raises `CollectorError` when a port that was asked for is taken."""
    check_platform()
    log_to_stderr()
    logging.getLogger().setLevel(logging.WARNING)
    collector = await start_collector(_options(request))
    ended = watch_signals(signal.SIGINT, signal.SIGTERM)
    if await serve_until(collector, partial(_announce, collector), ended) == signal.SIGINT.name:
        raise KeyboardInterrupt


def _options(request: ServeRequest) -> CollectorOptions:
    status, workers = default_ports(request.worktree, os.environ)
    return CollectorOptions(
        token=default_token(),
        observed_pid=request.observed_pid,
        status_port=status if request.status_port < 0 else request.status_port,
        workers_port=workers if request.workers_port < 0 else request.workers_port,
        ports_required=request.status_port > 0 or request.workers_port > 0,
        worker_pids=request.worker_pids,
        observe=request.observe,
        cluster=request.cluster,
        origins=(*request.origins, *public_origins()),
        hosts=allowed_hosts(),
        auth=default_auth(),
        produce=request.replay is None,
        replay=request.replay,
    )


def _announce(collector: Collector) -> None:
    status, workers = collector.ports
    if collector.busy_ports:
        numbers = " and ".join(str(port) for port in collector.busy_ports)
        print(f"Port {numbers} is in use by another program; free ports were taken instead.")  # noqa: T201
    replay = collector.options.replay
    what = "Serving" if replay is None else f"Replaying {os.path.basename(replay.path)}"  # noqa: PTH119 - a text
    print(f"{what} at http://127.0.0.1:{status}/ and http://127.0.0.1:{workers}/ (pid {os.getpid()}).")  # noqa: T201
    page = page_url(status)
    if "/proxy/" in page:
        print(f"From outside, through the hub: {page}")  # noqa: T201
    for worker in collector.observer.workers.facts():
        if worker.role == "dask scheduler":
            trouble = f" {worker.last_error}" if worker.last_error else ""
            print(f"Dask, {worker.name}: {worker.address}{trouble}")  # noqa: T201
    print(f'In a notebook: tes.attach("localhost:{status}", workers="localhost:{workers}")')  # noqa: T201
    where = (
        "from TES_DEV_TOKEN"
        if os.environ.get("TES_DEV_TOKEN")
        else f"in {collector.discovery_path} (yours alone)"
    )
    print(f"The token for what changes something is {where}. Ctrl-C ends it.", flush=True)  # noqa: T201
