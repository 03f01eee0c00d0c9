"""`GET /metrics`: an observation as Prometheus text. Base units, names `tes_nb_*`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import NamedTuple, get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from tes_nb.model import HttpFacts, Observation, ProcessFacts, WorkerFacts
from tes_nb.model.observation import WorkerStatus


class _Fact(NamedTuple):
    """One number: its name, unit and all, what it means, its value (`None` = not known, left out)."""

    name: str
    doc: str
    value: float | None
    counter: bool = False


async def scrape(observation: Observation) -> bytes:
    """Return the text of one scrape without holding up the loop: hundreds of workers take their time."""
    return await asyncio.to_thread(render, observation)


def render(observation: Observation) -> bytes:
    """Return the text of one scrape."""
    registry = CollectorRegistry()
    registry.register(_ObservationCollector(observation))
    return generate_latest(registry)


class _ObservationCollector(Collector):
    def __init__(self, observation: Observation) -> None:
        self._observation = observation

    def collect(self) -> Iterator[Metric]:
        """Yield one family after the other."""
        observation = self._observation
        facts = (*_process(observation.process), *_host(observation), *_http(observation.http))
        for fact in facts:
            yield from _family(fact)
        yield _subscribers(observation)
        yield _workers_by_status(observation.workers)
        yield from _workers_by_role(observation.workers)
        yield from _each_worker(observation.workers)


def _process(process: ProcessFacts) -> tuple[_Fact, ...]:
    return (
        _Fact("process_up", "Whether the observed process lives.", float(process.alive)),
        _Fact("process_resident_memory_bytes", "Resident memory of the observed process.", process.rss),
        _Fact("process_heap_used_bytes", "Anonymous memory in use (Linux: RssAnon).", process.heap_used),
        _Fact("process_heap_reserved_bytes", "Reserved heap (Linux: VmData).", process.heap_total),
        _Fact("process_external_memory_bytes", "File and shared pages.", process.external),
        _Fact("process_cpu_seconds", "CPU time since it began.", process.cpu_total_s, counter=True),
        _Fact("process_cpu_cores", "Cores in use since the last tick.", process.cpu_cores),
        _Fact("process_uptime_seconds", "Age of the observed process.", process.uptime_s),
    )


def _host(observation: Observation) -> tuple[_Fact, ...]:
    return (
        _Fact("limit_memory_bytes", "The memory limit that applies.", observation.host.memory_limit),
        _Fact("limit_cpu_cores", "The CPU limit that applies.", observation.host.cores_limit),
        _Fact("tmux_sessions", "tmux sessions on this host.", observation.tmux.sessions),
        _Fact("tmux_up", "Whether a tmux server answers.", float(observation.tmux.state == "running")),
        _Fact(
            "workers_port_up",
            "Whether the workers port answers.",
            float(observation.workers_port == "answers"),
        ),
        _Fact("websocket_connections", "Open WebSocket connections.", observation.sockets.connections),
    )


def _http(http: HttpFacts) -> tuple[_Fact, ...]:
    return (
        _Fact("http_requests", "Requests answered since the start.", http.total, counter=True),
        _Fact("http_requests_pending", "Requests in flight.", http.pending),
        _Fact("http_request_latency_seconds", "Mean over the last minute.", http.latency_ms / 1000),
        _Fact("http_requests_per_second", "Over the last minute.", http.per_second),
        _Fact("http_errors_ratio", "Answers from 400 up, of all in the last minute.", http.error_rate),
        _Fact("http_routes", "Routes served.", http.total_routes),
        _Fact("http_routes_active", "Routes that answered in the last minute.", http.active_routes),
    )


def _family(fact: _Fact) -> Iterator[Metric]:
    if fact.value is not None:
        kind = CounterMetricFamily if fact.counter else GaugeMetricFamily
        yield kind(f"tes_nb_{fact.name}", fact.doc, value=fact.value)


def _subscribers(observation: Observation) -> Metric:
    family = GaugeMetricFamily("tes_nb_websocket_subscribers", "Open subscriptions.", labels=("stream",))
    for stream, count in observation.sockets.subscribers.items():
        family.add_metric((_text(stream),), count)
    return family


def _workers_by_status(workers: tuple[WorkerFacts, ...]) -> Metric:
    family = GaugeMetricFamily("tes_nb_workers", "Listed workers by status.", labels=("status",))
    statuses = [worker.status for worker in workers if worker.is_counted]
    for status in get_args(WorkerStatus):
        family.add_metric((status,), statuses.count(status))
    return family


def _workers_by_role(workers: tuple[WorkerFacts, ...]) -> Iterator[Metric]:
    """Figures that a cardinality of workers coming and going does not make grow."""
    count = GaugeMetricFamily("tes_nb_role_workers", "Live processes and pools by role.", labels=("role",))
    memory = GaugeMetricFamily("tes_nb_role_memory_bytes", "Their resident memory.", labels=("role",))
    cores = GaugeMetricFamily("tes_nb_role_cpu_cores", "Cores that they use.", labels=("role",))
    queue = GaugeMetricFamily("tes_nb_role_queue_depth", "Jobs that wait for them.", labels=("role",))
    by_role: dict[str, list[WorkerFacts]] = {}
    for worker in workers:
        if worker.status in ("idle", "working"):
            by_role.setdefault(worker.role, []).append(worker)
    for role, those in by_role.items():
        label = (_text(role),)
        count.add_metric(label, len(those))
        memory.add_metric(label, sum(worker.rss or 0 for worker in those))
        cores.add_metric(label, sum(worker.cpu_percent or 0.0 for worker in those) / 100)
        queue.add_metric(label, sum(worker.queue_depth for worker in those))
    yield from (count, memory, cores, queue)


def _worker_facts(worker: WorkerFacts) -> tuple[_Fact, ...]:
    return (
        _Fact("worker_up", "Whether the worker lives.", float(worker.status in ("idle", "working"))),
        _Fact("worker_working", "Whether the worker is working.", float(worker.status == "working")),
        _Fact("worker_resident_memory_bytes", "Resident memory.", worker.rss),
        _Fact("worker_unique_memory_bytes", "Memory that belongs to it alone.", worker.uss),
        _Fact(
            "worker_cpu_cores",
            "Cores in use.",
            None if worker.cpu_percent is None else worker.cpu_percent / 100,
        ),
        _Fact("worker_threads", "Threads.", worker.threads),
        _Fact("worker_queue_depth", "Jobs that wait.", worker.queue_depth),
        _Fact("worker_errors", "Errors so far.", worker.errors, counter=True),
        _Fact("worker_messages_processed", "Messages so far.", worker.messages_processed, counter=True),
    )


def _each_worker(workers: tuple[WorkerFacts, ...]) -> Iterator[Metric]:
    families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for worker in workers:
        labels = (_text(worker.id), _text(worker.name), worker.kind)
        for fact in _worker_facts(worker):
            family = families.get(fact.name)
            if family is None:
                kind = CounterMetricFamily if fact.counter else GaugeMetricFamily
                family = kind(f"tes_nb_{fact.name}", fact.doc, labels=("id", "name", "kind"))
                families[fact.name] = family
            if fact.value is not None:
                family.add_metric(labels, fact.value)
    yield from families.values()


def _text(value: str) -> str:
    """Return untrusted text as a label can hold it: one line of valid UTF-8. The library escapes it."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in value)
