"""An observation with every field filled, to build messages from."""

from __future__ import annotations

from tes_nb.model import (
    HostFacts,
    HttpFacts,
    Observation,
    ProcessFacts,
    SocketFacts,
    TmuxFacts,
    WorkerFacts,
)

WALL_MS = 1_767_225_600_123

PROCESS = ProcessFacts(
    pid=4711,
    alive=True,
    rss=80_000_000,
    heap_used=50_000_000,
    heap_total=100_000_000,
    external=30_000_000,
    array_buffers=1_000_000,
    cpu_percent=97.5,
    cpu_cores=1.25,
    cpu_user_ms=600.0,
    cpu_system_ms=25.0,
    uptime_s=12.3456,
)
WORKER = WorkerFacts(
    id="4712-1767225000",
    pid=4712,
    name="python3",
    kind="process",
    status="working",
    created_at_ms=1_767_225_000_000,
    rss=64 * 2**20,
    heap_used=32 * 2**20,
    heap_total=128 * 2**20,
    external=8 * 2**20,
    uss=None,
    cpu_percent=180.5,
    threads=3,
    queue_depth=2,
)
ENDED = WorkerFacts(
    id="4713-1767225001",
    pid=4713,
    name="python3",
    kind="process",
    status="error",
    created_at_ms=1_767_225_001_000,
    rss=0,
    heap_used=0,
    heap_total=None,
    external=None,
    uss=None,
    cpu_percent=0.0,
    threads=0,
    errors=1,
    last_error="exit code 3",
    exit_code=3,
)


def observation(**changes: object) -> Observation:
    """One instant; `changes` replace fields."""
    fields: dict[str, object] = {
        "wall_ms": WALL_MS,
        "process": PROCESS,
        "host": HostFacts(memory_limit=8 * 2**30, cores_limit=2.0, primary_region="eu-west-1"),
        "tmux": TmuxFacts(sessions=1, state="running"),
        "http": HttpFacts(
            pending=1,
            total=12,
            latency_ms=0.8,
            per_second=0.2,
            error_rate=0.05,
            total_routes=14,
            active_routes=3,
        ),
        "sockets": SocketFacts(connections=3, subscribers={"status": 1, "workers": 0, "metrics": 2}),
        "workers": (WORKER, ENDED),
    }
    return Observation(**{**fields, **changes})  # type: ignore[arg-type] # a test's own fields
