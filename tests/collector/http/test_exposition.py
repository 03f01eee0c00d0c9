"""The text of a scrape, read back with prometheus_client's own parser."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tes_nb.collector.http.exposition import render, scrape
from tes_nb.collector.http.pages import PROMETHEUS
from tes_nb.model import Observation, SocketFacts
from tests.support.observations import PROCESS, WORKER, observation

UNITS = ("_bytes", "_seconds", "_cores", "_ratio", "_total", "_per_second")
PLAIN = {
    "up", "working", "threads", "depth", "sessions", "connections", "subscribers", "workers", "pending", "routes",
    "active",
}  # fmt: skip


def families(seen: Observation) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(render(seen).decode())}


def value(seen: Observation, name: str, **labels: str) -> float:
    samples = [
        sample for family in families(seen).values() for sample in family.samples if sample.name == name
    ]
    (found,) = [sample.value for sample in samples if labels.items() <= sample.labels.items()]
    return found


def test_values_in_base_units() -> None:
    seen = observation(process=replace(PROCESS, cpu_total_s=12.5))
    assert value(seen, "tes_nb_process_up") == 1
    assert value(seen, "tes_nb_process_resident_memory_bytes") == 80_000_000
    assert value(seen, "tes_nb_process_cpu_cores") == 1.25
    assert value(seen, "tes_nb_process_cpu_seconds_total") == 12.5
    assert value(seen, "tes_nb_limit_memory_bytes") == 8 * 2**30
    assert value(seen, "tes_nb_http_requests_total") == 12
    assert value(seen, "tes_nb_http_request_latency_seconds") == pytest.approx(0.0008)
    assert value(seen, "tes_nb_websocket_subscribers", stream="metrics") == 2
    assert value(seen, "tes_nb_workers", status="working") == 1
    assert value(seen, "tes_nb_workers", status="terminated") == 0
    assert value(seen, "tes_nb_worker_resident_memory_bytes", id=WORKER.id) == 64 * 2**20
    assert value(seen, "tes_nb_worker_cpu_cores", id=WORKER.id) == pytest.approx(1.805)
    assert value(seen, "tes_nb_worker_errors_total", id="4713-1767225001") == 1


def test_every_name_is_ours_and_says_its_unit() -> None:
    for family in families(observation()).values():
        assert family.documentation.endswith(".")
        for sample in family.samples:
            assert sample.name.startswith("tes_nb_")
            assert sample.name.endswith(UNITS) or sample.name.rsplit("_", 1)[1] in PLAIN, sample.name


def test_counters_are_counters() -> None:
    kinds = {name: family.type for name, family in families(observation()).items()}
    assert kinds["tes_nb_http_requests"] == kinds["tes_nb_worker_errors"] == "counter"
    assert kinds["tes_nb_process_cpu_cores"] == "gauge"


def test_what_is_not_known_is_left_out() -> None:
    seen = observation(process=replace(PROCESS, heap_total=None, external=None))
    assert "tes_nb_process_heap_reserved_bytes" not in families(seen)
    assert families(seen)["tes_nb_worker_unique_memory_bytes"].samples == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ('evil"} 1\ntes_nb_up{x="', 'evil"} 1�tes_nb_up{x="'),
        ("back\\slash\\n", "back\\slash\\n"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("a\r\nb\x00c", "a��b�c"),
        ("\ud800lone", "�lone"),
        ("größe 漢字", "größe 漢字"),
        ("# HELP x", "# HELP x"),
    ],
)
def test_hostile_names_stay_inside_their_label(name: str, shown: str) -> None:
    plain = observation()
    hostile = observation(workers=(replace(WORKER, name=name),), sockets=SocketFacts(1, {name: 3}))
    read = families(hostile)
    assert [sample.labels["name"] for sample in read["tes_nb_worker_up"].samples] == [shown]
    assert [sample.labels["stream"] for sample in read["tes_nb_websocket_subscribers"].samples] == [shown]
    assert set(read) == set(families(plain))


def test_a_scrape_does_not_hold_up_the_loop() -> None:
    many = observation(workers=tuple(replace(WORKER, id=f"w{number}") for number in range(400)))

    async def scene() -> int:
        turns = 0
        task = asyncio.create_task(scrape(many))
        while not task.done():
            turns += 1
            await asyncio.sleep(0)
        assert (await task) == render(many)
        return turns

    assert asyncio.run(scene()) > 2


def test_the_content_type_names_the_format() -> None:
    assert PROMETHEUS.startswith("text/plain; version=")
