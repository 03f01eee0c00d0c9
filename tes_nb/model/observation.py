"""What the collector's samplers saw at one instant: plain numbers, from which streams build their messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

WorkerStatus = Literal["idle", "working", "error", "terminated"]


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """The observed process. Memory in bytes; `None` = the platform does not say."""

    pid: int
    alive: bool
    rss: int
    heap_used: int
    """Linux: RssAnon; elsewhere the same as `rss`."""
    heap_total: int | None
    """Linux: VmData."""
    external: int | None
    """Linux: RssFile + RssShmem."""
    array_buffers: int | None
    """Linux: RssShmem."""
    cpu_percent: float
    """Share of one core since the last sample, 0-100 (capped, as TES does), one decimal; 0 at first."""
    cpu_cores: float
    """Cores in use since the last sample, uncapped."""
    cpu_user_ms: float
    """CPU time in user mode since the last sample."""
    cpu_system_ms: float
    uptime_s: float
    cpu_total_s: float = 0.0
    """CPU seconds, user and system, since the process began."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The limits that apply to the observed process."""

    memory_limit: int
    """Bytes: the cgroup's limit, else MEM_LIMIT, else the host's memory."""
    cores_limit: float
    primary_region: str


@dataclass(frozen=True, slots=True)
class TmuxFacts:
    """tmux on this host."""

    sessions: int
    state: Literal["running", "no server", "absent", "failed"]


@dataclass(frozen=True, slots=True)
class HttpFacts:
    """The collector's own HTTP server over the rolling window, without tes_nb's own polls."""

    pending: int
    """Requests in flight."""
    total: int
    """Requests answered since the start."""
    latency_ms: float
    """Mean over the window; 0 without requests."""
    per_second: float
    error_rate: float
    """Answers ≥ 400 divided by answers, in the window; 0 without requests."""
    total_routes: int
    active_routes: int
    """Routes that answered in the window."""


@dataclass(frozen=True, slots=True)
class SocketFacts:
    """The collector's open WebSocket connections, without tes_nb's own."""

    connections: int
    subscribers: Mapping[str, int]
    """Stream name → open subscriptions."""


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """One worker: a child process of the kernel, a pid the user gave, or what an executor reports."""

    id: str
    pid: int | None
    """`None` = it is no process of this machine, or not known."""
    name: str
    """The program's name, never with arguments; or the name that a pool or a cluster has given it."""
    kind: Literal["process", "executor", "dask"]
    status: WorkerStatus
    created_at_ms: int
    rss: int | None = None
    """Bytes, as `heap_used`, `heap_total`, `external` and `uss`; `None` = it has ended, or it is not known."""
    heap_used: int | None = None
    heap_total: int | None = None
    external: int | None = None
    uss: int | None = None
    cpu_percent: float | None = None
    """Of one core, uncapped: a worker with two busy threads shows 200. `None` = it has ended."""
    threads: int | None = None
    errors: int = 0
    last_error: str | None = None
    exit_code: int | None = None
    """`None` = still alive, or it vanished without a code."""
    messages_processed: int = 0
    queue_depth: int = 0
    current_job: Mapping[str, Any] | None = None
    """`{"id", "type", "started_at"}`: the job's id and function as text, and Unix milliseconds."""
    role: str = ""
    """One fixed word for what it is for; else the program's name."""
    pool: str | None = None
    """The pool, cluster or nanny that it belongs to, as people call it."""
    address: str | None = None
    """Where it listens, for example tcp://127.0.0.1:40001; `None` = nowhere, or unknown."""
    ended_at_ms: int | None = None
    executing: int | None = None
    """Jobs that it runs now."""
    done: int | None = None
    """Jobs that gave a result, so far."""
    failed: int | None = None
    """Jobs that raised, so far."""
    job_s: float | None = None
    """How long the current job has run; of one who has ended, how long the last had."""
    disk_read: int | None = None
    """Bytes that were read from disks for it so far, as `disk_write`."""
    disk_write: int | None = None
    descriptors: int | None = None
    """Open file descriptors."""
    managed: int | None = None
    """Bytes of results that it holds in memory, as `spilled` those on disk."""
    spilled: int | None = None
    disk_read_rate: float | None = None
    """Bytes a second, as the other rates."""
    disk_write_rate: float | None = None
    net_read_rate: float | None = None
    net_write_rate: float | None = None

    @property
    def is_counted(self) -> bool:
        """Whether it is a worker, and not a helper or a whole pool that is listed beside them."""
        return self.role not in APART


TASK_GROUP = "dask task group"
HELPERS = ("forkserver", "resource tracker", "dask nanny")
"""Roles of processes that only help others to work."""
APART = frozenset({*HELPERS, "process pool", "thread pool", "dask scheduler", TASK_GROUP})
"""Roles that are listed apart, and counted in no summary."""


@dataclass(frozen=True, slots=True)
class TreeFacts:
    """The observed process and its descendants together, without tes_nb's own helpers."""

    cores: float
    """In use since the last sample, uncapped."""
    memory: int
    """Bytes, shared pages counted once; at least the observed process's RSS."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything at one instant."""

    wall_ms: int
    """Unix milliseconds."""
    process: ProcessFacts
    host: HostFacts
    tmux: TmuxFacts
    http: HttpFacts
    sockets: SocketFacts
    workers: tuple[WorkerFacts, ...] = ()
    workers_port: Literal["answers", "silent"] = "answers"
    """Whether the workers port of this collector is up."""
    tree: TreeFacts | None = None
    """`None` = the descendants are not sampled."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """For streams of the user's own: whatever their samplers add."""
