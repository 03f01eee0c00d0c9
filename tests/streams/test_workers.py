from __future__ import annotations

import pytest

from tes_nb.errors import DecodeError
from tes_nb.model import Kind
from tes_nb.streams.workers import STREAM, answer, build, changed, decode, fold
from tests.support.messages import message
from tests.support.observations import ENDED, WORKER, observation

TABLE = STREAM.table("workers")


def rows(payload: object) -> list[dict[str, object]]:
    return [dict(zip(TABLE.names, row, strict=True)) for row in decode(message(payload)).rows["workers"]]


def test_canonical_message_has_the_documented_shape():
    built = build(observation())
    assert built["summary"] == {"total": 2, "idle": 0, "working": 1, "error": 1, "total_queue_depth": 2}
    assert built["workers"][WORKER.id] == {
        "id": WORKER.id,
        "status": "working",
        "created_at": 1_767_225_000_000,
        "messages_processed": 0,
        "errors": 0,
        "resource_usage": {"rss_mb": 64.0, "heap_used_mb": 32.0, "heap_total_mb": 128.0, "external_mb": 8.0},
        "queue_depth": 2,
        "pid": 4712,
        "name": "python3",
        "kind": "process",
        "cpu_percent": 180.5,
        "threads": 3,
    }
    assert built["workers"][ENDED.id]["last_error"] == "exit code 3"


def test_a_row_per_worker_and_the_summary():
    first, second = rows(build(observation()))
    assert (first["id"], first["status"], first["rss_mb"], first["queue_depth"]) == (
        WORKER.id,
        "working",
        64.0,
        2,
    )
    assert first["created_at"] == 1_767_225_000_000_000_000
    assert (second["status"], second["exit_code"]) == ("error", 3)
    assert decode(message(build(observation()))).rows["summary"] == [(2, 0, 1, 1, 2)]


def test_an_old_peer_leaves_fields_out():
    (got,) = rows({"timestamp": 1, "workers": {"w1": {"status": "idle"}}, "summary": {"total": 1}})
    assert (got["id"], got["status"], got["rss_mb"], got["pid"]) == ("w1", "idle", None, None)


def test_the_old_telemetry_on_connect():
    (got,) = rows(
        {"type": "telemetry", "workerId": "007", "metrics": {"cpu": 1.5, "memory": 2**20, "requests": 4}}
    )
    assert (got["id"], got["cpu_percent"], got["rss_mb"], got["messages_processed"]) == ("007", 1.5, 1.0, 4)


def test_a_job_is_three_columns():
    job = {"id": "j1", "type": "build", "files": ["a"], "started_at": 1_767_225_600_000}
    (got,) = rows({"workers": {"w": {"current_job": job}}})
    assert got["current_job_id"] == "j1"
    assert got["current_job_started_at"] == 1_767_225_600_000_000_000


def test_health_tells_each_change_once():
    memory: dict[str, object] = {}

    def said(**workers: dict[str, object]):
        payload = message({"workers": workers, "summary": {"total": len(workers)}})
        return fold(memory, payload, decode(payload)).get("health")

    assert said(a={"status": "idle"}) == [("a", None, "idle", None)]
    assert said(a={"status": "idle"}) == []
    assert said(a={"status": "error", "last_error": "exit code 3"}, b={"status": "idle"}) == [
        ("a", "idle", "error", "exit code 3"),
        ("b", None, "idle", None),
    ]
    assert said(b={"status": "idle"}) == [("a", "error", None, None)]


def test_health_tells_the_reason_of_an_end_that_comes_later_once():
    memory: dict[str, object] = {}

    def said(**worker: object):
        payload = message({"workers": {"a": worker}, "summary": {"total": 0}})
        return fold(memory, payload, decode(payload)).get("health")

    unknown = "ended, cause unknown"
    assert said(status="idle") == [("a", None, "idle", None)]
    assert said(status="terminated") == [("a", "idle", "terminated", None)]
    assert said(status="terminated") == []
    assert said(status="terminated", last_error=unknown) == [("a", "terminated", "terminated", unknown)]
    assert said(status="terminated", last_error=unknown) == []


def test_a_partial_message_says_nothing_about_others():
    memory: dict[str, object] = {"status": {"a": "idle"}}
    single = message({"type": "telemetry", "workerId": "b", "metrics": {}})
    assert fold(memory, single, decode(single)) == {}
    assert memory == {"status": {"a": "idle"}}


def test_cpu_and_memory_make_no_push():
    import dataclasses

    busy = dataclasses.replace(WORKER, cpu_percent=1.0, rss=1)
    assert changed(build(observation())) == changed(build(observation(workers=(busy, ENDED))))
    idle = dataclasses.replace(WORKER, status="idle")
    assert changed(build(observation())) != changed(build(observation(workers=(idle, ENDED))))


def test_heartbeats_are_acknowledged():
    assert answer(b'{"type":"heartbeat"}', 9).reply == {"type": "heartbeat-ack", "receivedAt": 9}
    assert decode(message({"type": "heartbeat-ack", "receivedAt": 9})).kind is Kind.REPLY


@pytest.mark.parametrize(
    "payload", [{}, {"workers": []}, {"workers": {"a": 1}}, {"workers": {"a": {"errors": "x"}}}]
)
def test_what_is_no_telemetry_is_refused(payload):
    with pytest.raises(DecodeError):
        decode(message(payload))


def test_helpers_are_listed_and_counted_in_no_summary():
    import dataclasses

    helper = dataclasses.replace(WORKER, id="1-1", role="resource tracker", queue_depth=0)
    built = build(observation(workers=(WORKER, helper)))
    assert built["summary"] == {"total": 1, "idle": 0, "working": 1, "error": 0, "total_queue_depth": 2}
    assert built["workers"]["1-1"]["role"] == "resource tracker"


def test_columns_of_later_versions_stand_behind_those_that_were_there():
    assert TABLE.names[TABLE.names.index("exit_code") :][:5] == (
        "exit_code",
        "current_job_id",
        "current_job_type",
        "current_job_started_at",
        "role",
    )
