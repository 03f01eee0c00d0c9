from __future__ import annotations

import pytest

from tes_nb.errors import DecodeError
from tes_nb.model import Kind
from tes_nb.streams.metrics import STREAM, answer, build, decode
from tests.support.messages import message
from tests.support.observations import PROCESS, observation

TABLE = STREAM.table("metrics")


def row(payload: object) -> dict[str, object]:
    (only,) = decode(message(payload)).rows["metrics"]
    return dict(zip(TABLE.names, only, strict=True))


def test_canonical_message_has_the_documented_shape():
    assert build(observation()) == {
        "type": "metrics",
        "timestamp": 1_767_225_600_123,
        "http": {"pendingRequests": 1, "totalRequests": 12},
        "websockets": {
            "pendingConnections": 3,
            "subscribers": {"status": 1, "workers": 0, "metrics": 2},
            "totalSubscribers": 3,
        },
        "memory": {
            "heapUsed": 50_000_000,
            "heapTotal": 100_000_000,
            "rss": 80_000_000,
            "external": 30_000_000,
            "arrayBuffers": 1_000_000,
        },
        "cpu": {"percent": 97.5, "cores": 1.25, "user_ms": 600.0, "system_ms": 25.0},
        "limits": {"memory": 8 * 2**30, "cores": 2.0},
    }


def test_memory_that_the_platform_does_not_tell_is_left_out():
    import dataclasses

    process = dataclasses.replace(PROCESS, heap_total=None, external=None, array_buffers=None)
    assert build(observation(process=process))["memory"] == {"heapUsed": 50_000_000, "rss": 80_000_000}


def test_columns_are_named_by_the_wire_path():
    assert {
        "memory_heap_used",
        "http_pending_requests",
        "cpu_percent",
        "websockets_total_subscribers",
    } <= set(TABLE.names)


def test_an_old_peer_without_cpu_gives_na():
    got = row({"type": "metrics", "http": {"totalRequests": 3}, "memory": {"heapUsed": 5, "rss": 6}})
    assert (got["memory_heap_used"], got["memory_rss"]) == (5, 6)
    assert got["cpu_percent"] is None
    assert got["memory_heap_total"] is None


def test_topics_of_other_peers_are_rows():
    said = decode(message({"memory": {"rss": 1}, "websockets": {"subscribers": {"chat": 2, "spline": 0}}}))
    assert said.rows["subscribers"] == [("chat", 2), ("spline", 0)]


def test_unknown_fields_do_not_harm():
    assert row({"memory": {"rss": 1, "new": [1]}, "more": {"x": None}})["memory_rss"] == 1


@pytest.mark.parametrize(
    "payload",
    [
        {},
        [],
        {"memory": {"rss": "1"}},
        {"memory": {"rss": 2**63}},
        b"\xff",
        b"",
        {"type": "metrics", "data": {}},
    ],
)
def test_what_is_no_metrics_message_is_refused(payload):
    with pytest.raises(DecodeError):
        decode(message(payload))


def test_a_greeting_is_no_data():
    assert decode(message({"type": "connected", "message": "hello"})).kind is Kind.GREETING


def test_ping_and_unknown_messages_are_answered():
    assert answer(b'{"type":"ping"}', 7).reply == {"type": "pong", "timestamp": 7}
    assert answer(b'{"type":"dance"}', 7).reply["received"] == "dance"
    assert answer(b"hello", 7).reply["type"] == "error"
