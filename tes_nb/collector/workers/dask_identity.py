"""What a Dask scheduler says of itself and its workers, from its HTTP server or its own port (decisions/0027).

Neither dask nor pickle is needed: a worker's figures are plain numbers in JSON or MessagePack. All of it is untrusted.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tes_nb.collector.samplers.worker_life import safe_name
from tes_nb.errors import ArgumentError, DecodeError

MOST_WORKERS = 2000
"""No scheduler of a notebook user has more; what comes beyond is counted, and not listed."""
KEEP_ENDED_S = 60.0
"""Who has left stays listed so long."""
_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")
_HINT = "give the http:// address of its dashboard or the tcp:// address of the scheduler"


class TaskCounts(msgspec.Struct):
    """Tasks on one worker by state, as of its last heartbeat."""

    executing: int = 0
    long_running: int = msgspec.field(name="long-running", default=0)
    ready: int = 0
    constrained: int = 0
    waiting: int = 0
    memory: int = 0

    @property
    def running(self) -> int:
        """Tasks that run now."""
        return self.executing + self.long_running

    @property
    def waiting_to_run(self) -> int:
        """Tasks that are on the worker and have not begun."""
        return self.ready + self.constrained + self.waiting


class Spilled(msgspec.Struct):
    """Data that does not fit into memory, in bytes."""

    memory: int = 0
    disk: int = 0


class Rates(msgspec.Struct):
    """Bytes a second of a worker's host."""

    read_bps: float | None = None
    write_bps: float | None = None


class DaskMetrics(msgspec.Struct):
    """The figures of a worker's heartbeat; the many others are skipped."""

    task_counts: TaskCounts = msgspec.field(default_factory=TaskCounts)
    cpu: float | None = None
    """Percent of one core."""
    memory: int | None = None
    """Resident, in bytes."""
    managed_bytes: int | None = None
    spilled_bytes: Spilled | None = None
    num_fds: int | None = None
    host_net_io: Rates | None = None
    host_disk_io: Rates | None = None


class DaskWorker(msgspec.Struct):
    """One worker."""

    name: str | int | float | None = None
    status: str = ""
    nthreads: int | None = None
    memory_limit: int | None = None
    nanny: str | None = None
    last_seen: float | None = None
    """Unix seconds of the last heartbeat."""
    metrics: DaskMetrics = msgspec.field(default_factory=DaskMetrics)


class _Identity(msgspec.Struct):
    type: str
    workers: dict[str, msgspec.Raw]
    address: str = ""
    id: str = ""
    started: float | None = None
    services: dict[str, Any] = {}


class Identity(msgspec.Struct, frozen=True):
    """A scheduler and its workers at one instant."""

    address: str
    """Where the scheduler's own port is, such as `tcp://127.0.0.1:8786`; "" = it does not say."""
    id: str
    http_port: int | None
    """Where its HTTP server is; `None` = it has none."""
    workers: dict[str, DaskWorker]
    """Address → worker."""
    unreadable: int = 0
    """Workers that are not listed, since their description makes no sense, or there are too many."""


def decode_identity(body: bytes, *, packed: bool) -> Identity:
    """Return what a scheduler answered. packed: MessagePack instead of JSON.

    Raises `DecodeError` with a sentence's part for anything else. A worker that makes no sense costs itself alone.
    """
    codec = msgspec.msgpack if packed else msgspec.json
    try:
        content = codec.decode(body, type=_Identity)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        raise DecodeError("its answer is not that of a Dask scheduler", reason="schema") from None
    workers: dict[str, DaskWorker] = {}
    for address, raw in content.workers.items():
        try:
            worker = codec.decode(raw, type=DaskWorker)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            continue
        if len(workers) < MOST_WORKERS:
            workers[address] = worker
    port = content.services.get("dashboard")
    return Identity(
        content.address,
        content.id,
        port if isinstance(port, int) and 0 < port < 65536 else None,
        workers,
        len(content.workers) - len(workers),
    )


_ADDRESS = re.compile(rb"Scheduler\s+((?:tcp|tls)://[\w.:\[\]-]{3,260})")


def address_in_page(page: bytes) -> str:
    """Return the scheduler's address as its page of workers has it; "" = it is not there."""
    match = _ADDRESS.search(page)
    return "" if match is None else match[1].decode()


def shown_name(worker: DaskWorker, address: str) -> str:
    """Return a worker's name for display: its own, else where it is."""
    name = address if worker.name is None or worker.name == "" else worker.name
    return safe_name(str(name))


@dataclass(frozen=True, slots=True)
class SchedulerAddress:
    """Where a scheduler is to be found; at least one of the two is there."""

    http: str = ""
    """Its HTTP server, `http://host:8787` with a prefix perhaps; "" = not known."""
    tcp: str = ""
    """Its own port, `tcp://host:8786`; "" = not known."""

    def __str__(self) -> str:
        return self.tcp or self.http


def scheduler_address(text: str) -> SchedulerAddress:
    """Read what a user types: the dashboard's address as the browser has it, a scheduler's, or a dashboard's host:port.

    Raises `ArgumentError` with a sentence for what is none of them.
    """
    text = text.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme == "tls":
        raise ArgumentError(
            "A tls:// scheduler wants a certificate: give the http:// address of its dashboard."
        )
    if parts.scheme not in ("http", "https", "tcp") or not parts.hostname or re.search(r"[\s\\<>]", text):
        raise ArgumentError(f"'{text[:100]}' is no address of a Dask scheduler: {_HINT}.")
    if "@" in parts.netloc:
        raise ArgumentError("An address must not hold a user name or a password, since addresses are shown.")
    if parts.scheme == "tcp":
        if port is None:
            raise ArgumentError(f"'{text[:100]}' says no port: {_HINT}.")
        return SchedulerAddress(tcp=f"tcp://{parts.netloc}")
    prefix = parts.path.rstrip("/").removesuffix("/status")
    return SchedulerAddress(http=f"{parts.scheme}://{parts.netloc}{prefix}")


def id_part(text: str) -> str:
    """Return what stands for a hostile text in an id: what can be kept of it, and a checksum if that is not all."""
    kept = _UNFIT.sub("-", text)[:40].strip("-")
    return kept if kept == text and text else f"{kept or 'x'}-{checksum(text)}"


def checksum(text: str) -> str:
    """Return eight letters that tell texts apart; no secret, and no security."""
    return f"{zlib.crc32(text.encode(errors='surrogatepass')):08x}"
