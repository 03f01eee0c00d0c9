"""Who may do what, over real sockets: token, Host, Origin, and how often one may guess."""

from __future__ import annotations

import ast
import asyncio
import itertools
import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tes_nb
from tes_nb.collector.http.guard import Access, Guard
from tests.support.aio import run_async
from tests.support.collectors import (
    HANDSHAKE,
    METRICS,
    STATUS,
    TOKEN,
    TOKEN_HEADER,
    WORKERS,
    Scales,
    ask,
    collecting,
    handshake,
    listing,
    raw,
    receive,
    request,
    socket,
)

PATIENT = {"auth_failures_per_minute": 10_000}
"""For tests that guess a lot and are not about guessing."""
OPEN = {
    ("status", path)
    for path in (
        "/ws/relay/{source}",
        "/api/dev/status",
        "/api/dev/server-metrics",
        "/api/dev/tmux/status",
        "/api/streams",
        "/api/views",
        "/api/controls",
        "/metrics",
        "/health",
    )
} | {("workers", path) for path in ("/workers/status", "/health")}
STREAMS = {
    ("status", path) for path in (STATUS, METRICS, "/api/dev/server-metrics/live", "/ws/rows/{source}")
} | {("workers", WORKERS)}
SHELL = {("status", "/"), ("status", "/static/{name}")}
"""Together the open list of the requirements; whoever opens a route more has to write it here, too."""
WRONG = {
    "none": [],
    "wrong": [(TOKEN_HEADER, "wrong-token-5b1c9e7f20a34d68x")],
    "empty": [(TOKEN_HEADER, "")],
    "truncated": [(TOKEN_HEADER, TOKEN[:-1])],
    "longer": [(TOKEN_HEADER, TOKEN + "0")],
    "other case": [(TOKEN_HEADER, TOKEN.upper())],
    "doubled": [(TOKEN_HEADER, TOKEN), (TOKEN_HEADER, TOKEN)],
    "listed": [(TOKEN_HEADER, f"{TOKEN}, {TOKEN}")],
    "not ascii": [(TOKEN_HEADER, "tökèn-\u2603")],
    "not utf-8": [(TOKEN_HEADER, "\udcff\udcfe")],
    "in another header": [("Authorization", f"Bearer {TOKEN}"), ("Cookie", f"token={TOKEN}")],
}


def every_route(collector):
    """(table, port, route) of both ports."""
    for (name, table), port in zip(collector.tables.items(), collector.ports, strict=True):
        for route in table.routes:
            yield name, port, route


def concrete(path):
    return path.format(id="4711-1", name="a.js", source="metrics")


@run_async
async def test_fault_36_every_route_has_a_decision_and_the_open_list_is_exact():
    async with collecting() as collector:
        served = {
            (name, route.method, route.resource.canonical)
            for name, server in zip(collector.tables, collector._servers, strict=True)
            for route in server._runner.app.router.routes()
        }
        decided = {
            (name, route.method, route.path): route.access for name, _, route in every_route(collector)
        }
        assert served == set(decided)  # nothing is served beside the tables
        found_open = {(name, path) for (name, _, path), access in decided.items() if access is Access.OPEN}
        shell = {(name, path) for (name, _, path), access in decided.items() if access is Access.SHELL}
        assert shell == SHELL
        streams = {(name, path) for (name, _, path), access in decided.items() if access is Access.STREAM}
        assert streams == STREAMS
        assert found_open == OPEN
        first = {key for key, access in decided.items() if access is Access.FIRST_MESSAGE}
        assert first == {("status", "GET", "/ws/control")}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@run_async
async def test_fault_36_without_the_token_nothing_happens(wrong):
    async with collecting(limits=PATIENT) as collector:
        scales = Scales(collector)
        for _, port, route in every_route(collector):
            if route.access is not Access.TOKEN:
                continue
            body = b'{"count":3}' if route.method == "POST" else b""
            answer = await ask(port, concrete(route.path), method=route.method, headers=wrong, body=body)
            assert answer.status == 401, route
            assert not answer.body or answer.json()["error"].endswith(".")
        assert scales.asked == []


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@run_async
async def test_fault_36_auth_all_closes_the_open_list(wrong):
    async with collecting(auth="all", limits=PATIENT) as collector:
        for _, port, route in every_route(collector):
            if route.access in (Access.FIRST_MESSAGE, Access.SHELL):
                continue
            answer = await ask(port, concrete(route.path), method=route.method, headers=[*HANDSHAKE, *wrong])
            assert answer.status == 401, route
        assert (await ask(collector.ports[0], "/nothing", headers=wrong)).status == 401


@run_async
async def test_auth_all_serves_the_owner():
    async with collecting(auth="all") as collector:
        Scales(collector)
        for _, port, route in every_route(collector):
            if "{" not in route.path and not route.path.endswith(("live", "telemetry", "control")):
                body = b'{"count":0}' if route.method == "POST" else b""
                answer = await ask(port, route.path, method=route.method, token=TOKEN, body=body)
                assert answer.status == 200, route
        async with socket(collector.ports[0], METRICS, token=TOKEN) as client:
            assert (await receive(client))["type"] == "metrics"
        async with socket(collector.ports[0], "/ws/control") as client:
            await client.send(json.dumps({"type": "auth", "token": TOKEN}))
            await client.send('{"id":1,"op":"cost"}')
            assert (await receive(client))["ok"]


@run_async
async def test_fault_36_unknown_methods_do_nothing():
    async with collecting() as collector:
        for _, port, route in every_route(collector):
            for method in ("PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "FOO"):
                answer = await ask(port, concrete(route.path), method=method)
                assert 400 <= answer.status < 500, (method, route)


def comparisons_of_tokens():
    """(file, line) of each == or != in whose text a token is named."""
    for path in sorted(Path(tes_nb.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Compare):
                continue
            equates = any(isinstance(op, ast.Eq | ast.NotEq | ast.In) for op in node.ops)
            if equates and any(is_secret(part) for part in (node.left, *node.comparators)):
                yield path.name, node.lineno


def is_secret(node):
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name.lower().strip("_") in ("token", "secret", "dev_token", "expected_token", "given_token")


def test_fault_37_tokens_are_compared_in_constant_time():
    assert list(comparisons_of_tokens()) == []
    source = Path(tes_nb.__file__).parent / "collector" / "http" / "guard.py"
    compared = [
        node
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "hmac.compare_digest"
    ]
    assert len(compared) == 1


def test_fault_37_the_comparison_takes_anything():
    guard = Guard(TOKEN, auth_all=False, failures_per_minute=1)
    for given_token in (None, "", b"", "ü", "\ud800", "\udcff", b"\xff", TOKEN + "\0", TOKEN * 1000):
        assert not guard.is_token(given_token)
    assert guard.is_token(TOKEN)
    assert guard.is_token(TOKEN.encode())


def test_fault_38_the_guard_shows_no_token():
    assert TOKEN not in repr(Guard(TOKEN, auth_all=True, failures_per_minute=1))


@run_async
async def test_fault_39_a_hundred_snapshots_at_once_give_one():
    async with collecting() as collector, listing(collector):
        (worker,) = collector.observer.workers.facts()
        port, path = collector.ports[1], f"/api/workers/snapshot/{worker.id}"
        answers = await asyncio.gather(*(ask(port, path, token=TOKEN) for _ in range(100)))
        assert sorted(answer.status for answer in answers) == [200] + [429] * 99
        waits = [int(answer.header("Retry-After")) for answer in answers if answer.status == 429]
        assert min(waits) >= 1
        assert max(waits) <= 10


@run_async
async def test_fault_40_made_up_workers_are_not_remembered():
    async with collecting() as collector, listing(collector):
        (worker,) = collector.observer.workers.facts()
        for number in range(50):
            answer = await ask(collector.ports[1], f"/api/workers/snapshot/{number}-{number}", token=TOKEN)
            assert answer.status == 404
        assert (
            await ask(collector.ports[1], f"/api/workers/snapshot/{worker.id}", token=TOKEN)
        ).status == 200
        limiter = limiter_of(collector)
        live = {worker.id}
        for number in range(20_000):
            with pytest.raises(KeyError):
                limiter.ask(f"{number}-0", live)
        assert len(limiter) <= 1


def limiter_of(collector):
    (handler,) = {
        route.handler for route in collector.tables["workers"].routes if route.path.endswith("/snapshot/{id}")
    }
    return handler.__self__._limiter


COUNTS = (
    st.integers(max_value=-1)
    | st.integers(min_value=17)
    | st.floats()
    | st.booleans()
    | st.text().filter(lambda text: not (text.isascii() and text.isdecimal()))
    | st.none()
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.text(), st.integers(), max_size=2)
)
BODIES = st.one_of(
    COUNTS.map(lambda count: {"count": count}),
    st.dictionaries(st.text().filter(lambda name: name != "count"), st.integers(), max_size=3),
    st.dictionaries(st.text(min_size=1).filter(lambda name: name != "count"), st.integers(), min_size=1).map(
        lambda extra: {"count": 1, **extra}
    ),
    st.integers() | st.text() | st.none() | st.lists(st.integers()),
).map(lambda body: json.dumps(body).encode()) | st.binary(max_size=60).filter(
    lambda raw_body: b"count" not in raw_body
)


def test_fault_41_nonsense_does_not_scale():
    """One collector, many bodies: each is 422 and leaves the workers alone."""
    loop = asyncio.new_event_loop()
    entered = collecting()
    collector = loop.run_until_complete(entered.__aenter__())
    scales = Scales(collector)

    @settings(max_examples=100)
    @given(BODIES)
    def nonsense(body):
        answer = loop.run_until_complete(scale(collector, body))
        assert answer.status == 422, body
        assert answer.json()["error"].endswith(".")
        assert scales.asked == []

    try:
        nonsense()
        for body in (
            b'{"count":NaN}',
            b'{"count":1e9}',
            b'{"count":true}',
            b'{"count":1.5}',
            b'{"count":17}',
            b"",
        ):
            assert loop.run_until_complete(scale(collector, body)).status == 422
        for body, created in ((b'{"count":"2"}', 2), (b'{"count":0}', 0)):
            assert loop.run_until_complete(scale(collector, body)).json()["created"] == created
    finally:
        loop.run_until_complete(entered.__aexit__(None, None, None))
        loop.close()


async def scale(collector, body):
    return await ask(collector.ports[1], "/api/workers/scale", method="POST", body=body, token=TOKEN)


@run_async
async def test_fault_42_guessing_ends_after_ten_and_the_owner_goes_on():
    async with collecting() as collector:
        statuses = [(await guess(collector, f"guess-{number}")).status for number in range(30)]
        assert statuses == [401] * 10 + [429] * 20
        refused = await guess(collector, "guess")
        assert 1 <= int(refused.header("Retry-After")) <= 60
        for _ in range(12):  # right ones open the door, and lift nothing for the wrong ones in between
            assert (await guess(collector, TOKEN)).status == 200
            assert (await guess(collector, "guess")).status == 429
        assert (await ask(collector.ports[1], "/api/workers/registry")).status == 401  # no token is no guess
        async with socket(collector.ports[0], "/ws/control") as client:
            await client.send('{"type":"auth","token":"guess"}')
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (1008, "too many wrong tokens; wait a minute")
        async with socket(collector.ports[0], "/ws/control") as client:
            await client.send(json.dumps({"type": "auth", "token": TOKEN}))
            await client.send('{"id":1,"op":"cost"}')
            assert (await receive(client))["ok"]


async def guess(collector, token):
    return await ask(collector.ports[1], "/api/workers/registry", token=token)


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_fault_42_the_limit_is_per_minute_on_the_monotonic_clock(limit):
    now = [1000.0]
    guard = Guard(TOKEN, auth_all=False, failures_per_minute=limit, now=lambda: now[0])
    passed = 0
    for _ in range(600):  # a guess every second for ten minutes
        passed += guard.failed().status == 401
        now[0] += 1
    assert limit * 9 <= passed <= limit * 11


# Hosts and origins --------------------------------------------------------------------------------------------

FOREIGN = (
    "null",
    "http://evil.test",
    "https://evil.test",
    "http://localhost:8888.evil.com",
    "http://localhost.evil.com:3000",
    "http://127.0.0.1.nip.io:3000",
    "http://localhost",
    "http://localhost:80",
    "http://localhost:3001",
    "http://localhost:3006",
    "http://localhost:8888",
    "http://127.0.0.1",
    "http://127.0.0.1:8888",
    "http://127.0.0.1:30000",
    "https://localhost:3000",
    "https://127.0.0.1:3002",
    "ws://localhost:3002",
    "HTTP://localhost:3000",
    "http://LOCALHOST:3000",
    "http://Localhost:3000",
    "http://localhost.:3000",
    "http://localhost:3000/",
    "http://localhost:3000/page",
    "http://localhost:3000?x",
    "http://localhost:3000#x",
    "http://user@localhost:3000",
    "http://localhost:3000@evil.test",
    "http://evil.test#@localhost:3000",
    "http://[::1]:3000",
    "http://0.0.0.0:3000",
    "http://127.1:3000",
    "http://2130706433:3000",
    "http://0x7f.0.0.1:3000",
    "http://127.0.0.2:3000",
    "http://[::ffff:127.0.0.1]:3000",
    "http://localhost:03000",
    "http://localhost: 3000",
    "http://localhost:3000, http://evil.test",
    "http://evil.test, http://localhost:3000",
    "http://\u2113ocalhost:3000",
    "file://",
    "chrome-extension://abcdef",
    "http://localhost:3000\u0000",
    "x",
)


@run_async
async def test_fault_44_only_exact_origins_may_open_a_socket():
    assert len(FOREIGN) >= 40
    async with collecting(limits=PATIENT) as collector:
        allowed = [
            f"http://{name}:{port}"
            for name in ("localhost", "127.0.0.1")
            for port in (3000, 3002, 3003, 3004)
        ]
        allowed += [f"http://{name}:{port}" for name in ("localhost", "[::1]") for port in collector.ports]
        for origin in allowed:
            assert (
                await handshake(collector.ports[0], STATUS, headers=[("Origin", origin)])
            ).status == 101, origin
        for origin in FOREIGN:
            for path in (STATUS, "/ws/control", "/ws/relay/metrics"):
                answer = await handshake(collector.ports[0], path, headers=[("Origin", origin)])
                # 400: the parser itself refuses it
                assert answer.status in (403, 400), (origin, path)
                assert answer.header("Access-Control-Allow-Origin") is None
        doubled = [("Origin", "http://localhost:3000"), ("Origin", "http://evil.test")]
        assert (await handshake(collector.ports[0], STATUS, headers=doubled)).status in (400, 403)


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "evil.test:{port}",
        "127.0.0.1.nip.io:{port}",
        "[::1].x:{port}",
        "localhost.evil.test:{port}",
        "127.0.0.1",
        "localhost",
        "localhost:80",
        "LOCALHOST:{port}",
        "localhost.:{port}",
        "user@localhost:{port}",
        "0.0.0.0:{port}",
        "127.0.0.2:{port}",
        "127.1:{port}",
        "[::]:{port}",
        "localhost:{port}, evil.test",
        "localhost:{port}\t",
        "\u2113ocalhost:{port}",
        " ",
    ],
)
@run_async
async def test_fault_45_a_rebound_name_reaches_nothing(host):
    async with collecting() as collector:
        port = collector.ports[0]
        named = host.format(port=port)
        for path, headers in (("/api/dev/status", ()), (STATUS, HANDSHAKE), ("/", ()), ("/nothing", ())):
            answer = await ask(port, path, host=named, headers=headers, token=TOKEN)
            if named.strip() == f"localhost:{port}":
                continue  # a trailing tab is no part of the name
            assert answer.status in (400, 403, 421), named


@run_async
async def test_fault_45_no_host_two_hosts_and_absolute_addresses():
    async with collecting() as collector:
        port = collector.ports[0]
        assert (await ask(port, "/api/dev/status", host=None)).status == 400
        for second in ("evil.test", f"127.0.0.1:{port}"):
            assert (await ask(port, "/api/dev/status", headers=[("Host", second)])).status == 400
        old = b"GET /api/dev/status HTTP/1.0\r\n\r\n"
        assert (await raw(port, old)).status == 400
        absolute = request(port, "http://evil.test/api/dev/status")
        assert (await raw(port, absolute)).status in (
            200,
            400,
            404,
            421,
        )  # the Host header decided, not the target
        rebound = request(port, f"http://127.0.0.1:{port}/api/dev/status", host="evil.test")
        assert (await raw(port, rebound)).status in (400, 421)


@run_async
async def test_hosts_named_by_the_user_are_allowed():
    async with collecting(hosts=("hub.example.org",)) as collector:
        assert (await ask(collector.ports[0], "/health", host="hub.example.org")).status == 200
        assert (await ask(collector.ports[0], "/health", host="hub.example.org:1")).status == 421


@run_async
async def test_fault_46_simple_requests_of_a_page_change_nothing():
    """What a page of a stranger can send without a preflight."""
    async with collecting(limits=PATIENT) as collector, listing(collector):
        scales = Scales(collector)
        kinds = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")
        for kind, origin in itertools.product(kinds, ("http://evil.test", "null", None)):
            headers = [("Content-Type", kind), *([("Origin", origin)] if origin else [])]
            for _, port, route in every_route(collector):
                body = b'{"count":0}' if route.method == "POST" else b""
                answer = await ask(
                    port, concrete(route.path), method=route.method, headers=headers, body=body
                )
                assert answer.header("Access-Control-Allow-Origin") is None
                assert answer.status < 500
                if route.access is Access.TOKEN or origin:
                    assert answer.status in (401, 403)
        preflight = await ask(
            collector.ports[1],
            "/api/workers/scale",
            method="OPTIONS",
            headers=[("Origin", "http://evil.test")],
        )
        assert preflight.status == 403
        assert scales.asked == []


@run_async
async def test_fault_47_without_an_origin_there_is_the_open_list_only():
    async with collecting() as collector:
        for name, port, route in every_route(collector):
            if "{" in route.path or route.method != "GET":
                continue
            answer = await ask(port, route.path)
            if (name, route.path) in OPEN:
                assert answer.status in (200, 426), route
            elif route.access is Access.TOKEN:
                assert answer.status == 401, route


def test_the_wait_is_never_zero_nor_beyond_a_minute():
    now = [0.0]
    guard = Guard(TOKEN, auth_all=False, failures_per_minute=2, now=lambda: now[0])
    for step in (0.0, 0.0, 0.0, 59.4, 0.4):
        now[0] += step
        answer = guard.failed()
        if answer.status == 429:
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
            assert not math.isnan(float(answer.headers["Retry-After"]))
