"""DevTools' HAR files as sessions."""

from __future__ import annotations

import base64
import json

import pandas as pd
import pytest

import tes_nb as tes
from tes_nb.errors import SessionError
from tes_nb.session.open import recognise
from tes_nb.streams import get
from tests.support.observations import observation


def har(tmp_path, url: str, payloads: list[str | bytes], name: str = "devtools.har"):
    messages = [
        {
            "type": "receive",
            "time": 1_767_225_600 + index / 2,
            "opcode": 2 if isinstance(payload, bytes) else 1,
            "data": base64.b64encode(payload).decode() if isinstance(payload, bytes) else payload,
        }
        for index, payload in enumerate(payloads)
    ]
    entry = {
        "request": {"method": "GET", "url": url, "headers": [{"name": "Cookie", "value": "planted-secret"}]},
        "_webSocketMessages": messages,
    }
    path = tmp_path / name
    path.write_text(json.dumps({"log": {"version": "1.2", "entries": [entry]}}))
    return path


@pytest.mark.parametrize(
    ("url", "stream"),
    [
        ("ws://localhost:3002/ws/server-metrics/live", "metrics"),
        ("ws://10.0.0.1:1/proxy/api/dev/server-metrics/live", "metrics"),
        ("ws://localhost:3004/api/dev/status/live?x=1", "status"),
        ("ws://localhost:3005/ws/workers/telemetry", "workers"),
        ("wss://www.nowgoal26.com:9800/stream?channels=a&&token=b", "nowgoal"),
        ("wss://elsewhere.example/socket", None),
    ],
)
def test_streams_are_recognised_by_their_address(url, stream):
    assert recognise(url) == stream


def test_a_har_gives_the_same_rows_as_the_messages(tmp_path):
    build = get("metrics").producer.build
    payloads = [json.dumps(build(observation(wall_ms=1_767_225_600_000 + n))) for n in range(5)]
    with tes.open(har(tmp_path, "ws://localhost:3002/ws/server-metrics/live", payloads)) as opened:
        frame = opened.metrics.frame()
        assert list(frame["memory_rss"]) == [80_000_000] * 5
        assert frame.index[1] - frame.index[0] == pd.Timedelta("500ms")
        assert opened.import_report.messages == 5
        assert opened.metrics.state == "RECORDED"
        csv = opened.to_csv(tmp_path / "csv", progress=False)
        assert "planted-secret" not in "".join(path.read_text() for path in csv.folder.iterdir())


def test_an_unknown_address_can_be_named(tmp_path):
    build = get("metrics").producer.build
    path = har(tmp_path, "wss://elsewhere.example/socket", [json.dumps(build(observation()))])
    with pytest.raises(SessionError, match=r"wss://elsewhere\.example/socket.*streams="):
        tes.open(path)
    with tes.open(path, streams={"elsewhere.example": "metrics"}) as opened:
        assert len(opened.metrics.frame()) == 1


def test_what_is_no_har_is_a_sentence(tmp_path):
    (tmp_path / "bad.har").write_text("[]")
    with pytest.raises(SessionError, match="no HAR file"):
        tes.open(tmp_path / "bad.har")
    with pytest.raises(SessionError, match="cannot be read"):
        tes.open(tmp_path / "missing.har")
