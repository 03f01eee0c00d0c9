from __future__ import annotations

import pytest

from tes_nb.errors import DecodeError
from tes_nb.model import Kind
from tes_nb.streams.browser_json import json_columns
from tes_nb.streams.status import STREAM, answer, build, changed, decode, select, traffic_mode
from tests.support.messages import message
from tests.support.observations import observation

TABLE = STREAM.table("status")


def row(payload: object) -> dict[str, object]:
    (only,) = decode(message(payload)).rows["status"]
    return dict(zip(TABLE.names, only, strict=True))


def test_canonical_message_has_the_documented_shape():
    assert build(observation()) == {
        "type": "status",
        "timestamp": 1_767_225_600_123,
        "data": {
            "timestamp": "2026-01-01T00:00:00.123Z",
            "vector": {
                "sessions": {
                    "tmux": 1,
                    "activeWorkers": 2,
                    "apiSessions": 1,
                    "websocketConnections": 3,
                    "websocketSubscribers": 3,
                },
                "directions": {
                    "primaryRegion": "eu-west-1",
                    "trafficMode": "normal",
                    "requestFlow": {
                        "totalRoutes": 14,
                        "activeRoutes": 3,
                        "avgLatency": 0.8,
                        "requestsPerSecond": 0.2,
                    },
                    "activeRoutes": 3,
                },
                "others": {"memory": 50_000_000, "cpu": 97.5, "errorRate": 0.05, "uptime": 12.346},
            },
            "meta": {
                "totalEndpoints": 14,
                "telemetryStatus": "healthy",
                "statusVersion": "2.0",
                "tmux": "running",
            },
        },
    }


def test_names_drop_the_leading_vector():
    assert {
        "sessions_tmux",
        "directions_traffic_mode",
        "directions_request_flow_avg_latency",
        "others_uptime",
    } <= set(TABLE.names)
    assert not any(name.startswith("vector") for name in TABLE.names)


def test_bare_and_enveloped_give_the_same_row():
    built = build(observation())
    assert row(built["data"]) == row(built)
    assert decode(message(built["data"])).sent_at_ns == decode(message(built)).sent_at_ns


def test_the_flat_form_of_older_peers():
    flat = {
        "type": "status",
        "data": {
            "cpu": 12.5,
            "memory": {"heapUsed": 1000, "rss": 2000},
            "uptime": 3.5,
            "timestamp": 1_767_225_600_000,
        },
    }
    got = row(flat)
    assert (got["others_cpu"], got["others_memory"], got["others_uptime"]) == (12.5, 1000, 3.5)
    assert got["sessions_tmux"] is None
    assert decode(message(flat)).sent_at_ns == 1_767_225_600_000_000_000


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ({"type": "connected"}, Kind.GREETING),
        ({"type": "pong", "timestamp": 1}, Kind.REPLY),
        ({"type": "error", "message": "no"}, Kind.ERROR),
        ({"error": "Invalid message format"}, Kind.ERROR),
        ({"type": "ping"}, Kind.ECHO),
    ],
)
def test_small_talk_is_no_data(payload, kind):
    said = decode(message(payload))
    assert said.kind is kind
    assert not said.rows


@pytest.mark.parametrize(
    "payload", [{}, {"type": "status"}, {"data": {}}, {"vector": {"sessions": {"tmux": "1"}}}]
)
def test_what_is_no_status_is_refused(payload):
    with pytest.raises(DecodeError):
        decode(message(payload))


@pytest.mark.parametrize(
    ("rate", "mode"),
    [(0, "normal"), (0.0999, "normal"), (0.10, "degraded"), (0.50, "degraded"), (0.501, "isolated")],
)
def test_traffic_mode_edges(rate, mode):
    assert traffic_mode(rate) == mode


def test_workers_port_decides_the_telemetry_status():
    def said(**changes):
        return build(observation(**changes))["data"]["meta"]["telemetryStatus"]

    assert said() == "healthy"
    assert said(workers=()) == "degraded"
    assert said(workers_port="silent") == "offline"


def test_always_moving_figures_make_no_push():
    import dataclasses

    seen = observation()
    moved = dataclasses.replace(
        seen, wall_ms=seen.wall_ms + 5, process=dataclasses.replace(seen.process, rss=1, cpu_percent=3.0)
    )
    assert changed(build(seen)) == changed(build(moved))
    assert changed(build(seen)) != changed(build(dataclasses.replace(seen, workers=())))


def test_subscribing_narrows_the_message():
    said = answer(b'{"type":"subscribe","metrics":["sessions","metrics"]}', 1)
    assert said.reply == {"type": "subscribed", "metrics": ["sessions", "metrics"]}
    assert said.parts == ("sessions", "others")
    narrowed = select(build(observation()), said.parts)
    assert set(narrowed["data"]["vector"]) == {"sessions", "others"}
    assert "meta" not in narrowed["data"]
    assert row(narrowed)["sessions_tmux"] == 1


def test_subscribing_to_nothing_is_everything():
    assert answer(b'{"type":"subscribe"}', 1).parts == ()
    assert answer(b'{"type":"subscribe"}', 1).reply["metrics"] == ["all"]


def test_unknown_names_change_nothing():
    said = answer(b'{"type":"subscribe","metrics":["weather"]}', 1)
    assert said.reply["type"] == "error"
    assert said.parts is None


def test_no_workers_are_nothing_to_worry_about_for_whoever_reads_it():
    """The wire keeps TES's word; views show another one."""
    (column,) = [one for one in json_columns(STREAM.table("status").columns) if "words" in one]
    assert (column["name"], column["words"]) == ("meta_telemetry_status", {"degraded": "no workers"})
