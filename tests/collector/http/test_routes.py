"""The HTTP half of both ports: shapes, headers, status codes; what is open and what is not."""

from __future__ import annotations

import gzip
import json
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.aio import run_async
from tests.support.collectors import (
    HANDSHAKE,
    METRICS,
    STATUS,
    TOKEN,
    TOKEN_HEADER,
    Scales,
    ask,
    collecting,
    handshake,
    listing,
    raw,
    request,
)
from tests.support.shapes import METRICS_SHAPE, STATUS_SHAPE, WORKER_SHAPE, fits, shape

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@run_async
async def test_status_for_polling():
    async with collecting() as collector:
        answer = await ask(collector.ports[0], "/api/dev/status")
        assert answer.status == 200
        assert answer.header("Cache-Control") == "no-cache"
        assert answer.header("X-TES-Status-Version") == "2.0"
        assert answer.header("Content-Type") == "application/json; charset=utf-8"
        assert fits(answer.json(), STATUS_SHAPE), shape(answer.json())
        assert answer.json()["vector"]["sessions"]["apiSessions"] == 1  # this request itself


@run_async
async def test_metrics_for_polling():
    async with collecting() as collector:
        answer = await ask(collector.ports[0], "/api/dev/server-metrics")
        assert answer.header("Cache-Control") == "no-store"
        assert answer.header("X-TES-Metrics-Version") == "1.0"
        assert answer.header("X-Metrics-Source")
        assert fits(answer.json(), METRICS_SHAPE), shape(answer.json())


@run_async
async def test_small_answers():
    async with collecting() as collector:
        status, workers = collector.ports
        tmux = (await ask(status, "/api/dev/tmux/status")).json()
        assert isinstance(tmux["online"], bool)
        assert isinstance(tmux["session"], str)
        assert (await ask(workers, "/workers/status")).json() == {"connected": 0}
        for port in collector.ports:
            health = (await ask(port, "/health")).json()
            assert health["status"] == "ok"
        streams = (await ask(status, "/api/streams")).json()
        plain = {stream["name"]: stream["plain"] for stream in streams if stream["plain"]}
        assert plain.keys() == {"status", "workers", "metrics"}
        assert {endpoint["port"] for endpoint in plain.values()} == set(collector.ports)
        assert [stream["name"] for stream in streams if not stream["plain"]] == ["kernel"]


@run_async
async def test_json_is_compact():
    async with collecting() as collector:
        for path in ("/api/dev/status", "/api/dev/tmux/status", "/health", "/api/streams", "/nothing"):
            body = (await ask(collector.ports[0], path)).body
            assert body == json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False).encode()


@run_async
async def test_prometheus_text():
    async with collecting() as collector:
        answer = await ask(collector.ports[0], "/metrics")
        assert answer.header("Content-Type").startswith("text/plain; version=0.0.4")
        families = {family.name for family in text_string_to_metric_families(answer.body.decode())}
        assert "tes_nb_process_resident_memory_bytes" in families


@run_async
async def test_the_two_registries():
    async with collecting() as collector, listing(collector):
        plain = (await ask(collector.ports[1], "/api/workers/registry", token=TOKEN)).json()
        said = (await ask(collector.ports[0], "/api/dev/workers", token=TOKEN)).json()
        assert set(said) == {"workers", "timestamp"}
        assert set(plain) == set(said["workers"])
        (worker,) = plain.values()
        assert fits(worker, WORKER_SHAPE, optional=("uss_mb", "last_error", "current_job"))


@run_async
async def test_scaling_there_and_back():
    async with collecting() as collector:
        Scales(collector)
        answer = await scale(collector, {"count": 2})
        assert (answer.status, answer.json()) == (200, {"created": 2, "terminated": 0})
        assert (await scale(collector, {"count": "1"})).json() == {"created": 0, "terminated": 1}
        assert (await scale(collector, {"count": 0})).json() == {"created": 0, "terminated": 1}


async def scale(collector, body, **given):
    raw_body = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"token": TOKEN, **given}
    return await ask(collector.ports[1], "/api/workers/scale", method="POST", body=raw_body, **given)


@run_async
async def test_a_snapshot_is_a_file_to_keep():
    async with collecting() as collector, listing(collector) as process:
        path = f"/api/workers/snapshot/{only_worker(collector)}"
        answer = await ask(collector.ports[1], path, token=TOKEN)
        assert answer.status == 200
        assert re.fullmatch(
            r'attachment; filename="worker-[\w.-]+\.json\.gz"', answer.header("Content-Disposition")
        )
        assert answer.header("Cache-Control") == "no-store"
        assert answer.header("Content-Encoding") is None  # a browser keeps the file as it is
        assert json.loads(gzip.decompress(answer.body))["worker"]["pid"] == process.pid
        again = await ask(collector.ports[1], path, token=TOKEN)
        assert again.status == 429
        assert 1 <= int(again.header("Retry-After")) <= 10
        assert again.header("X-RateLimit-Limit") == "1"
        assert again.header("X-RateLimit-Remaining") == "0"
        assert int(again.header("X-RateLimit-Reset")) > 0


def only_worker(collector):
    (worker,) = (one for one in collector.observer.workers.facts() if one.status != "terminated")
    return worker.id


@run_async
async def test_what_is_not_there_is_a_sentence():
    async with collecting() as collector:
        for path, method, status in (
            ("/nothing", "GET", 404),
            ("/api/dev/status", "POST", 405),
            ("/api/dev/status", "DELETE", 405),
            ("/api/workers/registry", "GET", 404),  # it lives on the other port
            ("/static/nothing.js", "GET", 404),
            ("/static/../collector/app.py", "GET", 404),
            ("/static/%2e%2e%2fpages.py", "GET", 404),
            ("/ws/relay/nothing", "GET", 404),
            ("/ws/relay/metrics?after=-1", "GET", 400),
            ("/ws/relay/metrics?after=1e3", "GET", 400),
            (METRICS, "GET", 426),
        ):
            answer = await ask(collector.ports[0], path, method=method)
            assert answer.status == status, path
            assert answer.json()["error"].endswith("."), path


@run_async
async def test_head_is_get_without_a_body():
    async with collecting() as collector:
        answer = await ask(collector.ports[0], "/api/dev/status", method="HEAD")
        assert answer.status == 200
        assert int(answer.header("Content-Length")) > 100


@run_async
async def test_a_body_that_is_too_large_or_never_comes(monkeypatch):
    monkeypatch.setattr("tes_nb.collector.http.workers.BODY_TIMEOUT_S", 0.2)
    async with collecting() as collector:
        large = await scale(collector, b"[" + b" " * 70_000 + b"]")
        assert large.status == 413
        headers = [("Content-Length", "20")]
        late = await ask(
            collector.ports[1], "/api/workers/scale", method="POST", token=TOKEN, headers=headers
        )
        assert late.status == 408


@run_async
async def test_fault_50_headers_of_every_answer():
    async with collecting() as collector, listing(collector):
        for port, table in zip(collector.ports, collector.tables.values(), strict=True):
            for route in table.routes:
                path = route.path.format(id=only_worker(collector), name="nothing.js", source="metrics")
                answer = await ask(port, path, method=route.method, token=TOKEN)
                assert answer.status < 500
                assert_guarded(answer, path)
                if answer.status == 200 and "text/html" not in answer.header("Content-Type"):
                    assert answer.header("Cache-Control") in ("no-store", "no-cache"), path
        for reply in (
            await ask(collector.ports[0], "/nothing"),
            await ask(collector.ports[0], "/", method="PUT"),
        ):
            assert_guarded(reply, "an error")
        snapshot = await ask(collector.ports[1], "/api/workers/snapshot/nobody", token=TOKEN)
        assert_guarded(snapshot, "snapshot")


def assert_guarded(answer, path):
    for name, value in SECURITY.items():
        assert answer.header(name) == value, (path, name)
    policy = answer.header("Content-Security-Policy")
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@run_async
async def test_our_own_polls_are_not_in_the_figures():
    async with collecting() as collector:
        for agent, expected in (("tes_nb/0.1", 0), ("curl/8", 1)):
            await ask(collector.ports[0], "/api/dev/status", headers=[("User-Agent", agent)])
            assert collector.observer.http.facts(0).total == expected


@run_async
async def test_errors_count_in_the_error_rate_and_the_mode():
    async with collecting() as collector:
        for _ in range(3):
            await ask(collector.ports[0], "/nothing")
        answer = (await ask(collector.ports[0], "/api/dev/status")).json()
        assert answer["vector"]["others"]["errorRate"] == 1.0
        assert answer["vector"]["directions"]["trafficMode"] == "isolated"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-WebSocket-Version": "12"}, 426),
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Sec-WebSocket-Version": ""}, 426),
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Key": "%%%"}, 400),
        ({"Connection": "close"}, 400),
        ({"Upgrade": "h2c"}, 426),
    ],
    ids=str,
)
@run_async
async def test_a_bad_handshake_is_refused_with_a_sentence(headers, status):
    async with collecting() as collector:
        sent = tuple({**dict(HANDSHAKE), **headers}.items())
        answer = await ask(collector.ports[0], STATUS, headers=sent)
        assert answer.status == status
        assert answer.json()["error"].endswith(".")
        if "Sec-WebSocket-Version" in headers:
            assert answer.header("Sec-WebSocket-Version") == "13"


@run_async
async def test_compression_is_not_agreed_to():
    async with collecting() as collector:
        offer = [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")]
        answer = await handshake(collector.ports[0], STATUS, headers=offer)
        assert answer.status == 101
        assert answer.header("Sec-WebSocket-Extensions") is None


@run_async
async def test_garbage_instead_of_http():
    async with collecting() as collector:
        for sent in (
            b"\x16\x03\x01\x02\x00\x01\x00\n\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"\0" * 100,
        ):
            answer = await raw(collector.ports[0], sent)
            assert answer.status in (0, 400), sent
        # and a head that never ends is refused, not kept
        endless = request(collector.ports[0], "/", headers=[("X", "y" * 100)] * 400)
        assert (await raw(collector.ports[0], endless)).status == 400
        assert (await ask(collector.ports[0], "/health")).status == 200


@run_async
async def test_a_page_without_the_front_end_lists_what_there_is(monkeypatch, tmp_path):
    monkeypatch.setattr("tes_nb.collector.http.pages.STATIC", tmp_path)
    async with collecting() as collector:
        answer = await ask(collector.ports[0], "/")
        assert answer.status == 200
        assert answer.header("Content-Type").startswith("text/html")
        text = answer.body.decode()
        for path in (STATUS, METRICS, "/ws/workers/telemetry", "/api/workers/scale", "/metrics"):
            assert path in text
        assert "<script" not in text
        assert TOKEN not in text


@run_async
async def test_the_front_end_is_served_from_a_list(monkeypatch, tmp_path):
    (tmp_path / "dist").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><p>the page")
    (tmp_path / "dist" / "a.js").write_text("export {}")
    (tmp_path / "secret.txt").write_text("not for browsers")
    monkeypatch.setattr("tes_nb.collector.http.pages.STATIC", tmp_path)
    async with collecting() as collector:
        port = collector.ports[0]
        assert (await ask(port, "/")).body == b"<!doctype html><p>the page"
        script = await ask(port, "/static/a.js")
        assert script.header("Content-Type") == "text/javascript; charset=utf-8"
        assert (await ask(port, "/static/secret.txt")).status == 404


@run_async
async def test_an_allowed_page_of_another_port_may_ask():
    async with collecting(origins=("https://my.lab",)) as collector:
        for origin in ("http://localhost:3000", "https://my.lab", f"http://127.0.0.1:{collector.ports[1]}"):
            headers = [("Origin", origin)]
            answer = await ask(collector.ports[0], "/api/dev/status", headers=headers)
            assert answer.status == 200
            assert answer.header("Access-Control-Allow-Origin") == origin
            assert answer.header("Vary") == "Origin"
            preflight = await ask(collector.ports[1], "/api/workers/scale", method="OPTIONS", headers=headers)
            assert preflight.status == 204
            assert TOKEN_HEADER in preflight.header("Access-Control-Allow-Headers")
        assert (await ask(collector.ports[0], "/nothing", method="OPTIONS", headers=headers)).status == 404
