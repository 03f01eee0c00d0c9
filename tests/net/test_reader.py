"""The reader against real peers: the loss ledger, reconnects, polling, subscriptions, old servers."""

import asyncio
import dataclasses
import gc
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from tes_nb.errors import AuthenticationError, ConnectionFailed, SessionError
from tes_nb.model import Direction, Endpoint, Kind
from tes_nb.model.message import FLAG_POLLED
from tes_nb.net.auth import Credentials
from tes_nb.net.endpoints import Target, resolve
from tes_nb.net.logs import RECENT
from tes_nb.net.reader import Reader
from tes_nb.wire.profile import PROFILE
from tests.support.aio import Together, problems, run_async
from tests.support.chaos import UP, ChaosProxy
from tests.support.netns import SERVER_ADDRESS, try_cable
from tests.support.numbers import Collected, settle, stream, subscription
from tests.support.peers import (
    NumberedPeer,
    OldTes,
    RawPeer,
    accept_then_close,
    answer,
    frame,
    says,
    staller,
    upgrade,
)
from tests.support.waiting import busy

FAST = dataclasses.replace(PROFILE.scaled(0.1), open_timeout_s=5.0)
"""A tenth of the times, but for the open timeout: the machine may be busy."""


together = Together()

LONG = os.environ.get("TES_LONG_FAULTS") == "1"
"""TES_LONG_FAULTS=1 pytest tests/net -k "fault_03 or fault_10": the numbers of FAULTS, at a tenth of the times."""
RESETS, FLAPS, HALF_S = (500, 500, 0.2) if LONG else (60, 40, 0.02)


class Running:
    """A started reader and its sink, stopped at the end."""

    def __init__(self, url, a_stream=None, **options):
        self.stream = a_stream or stream()
        target = url if isinstance(url, Target) else resolve(self.stream, url)
        self.sink = options.pop("sink", None) or Collected()
        defaults = {"source": "numbers", "outlet": self.sink.outlet(), "profile": FAST}
        self.reader = Reader(self.stream, target, **(defaults | options))

    async def __aenter__(self):
        self.reader.start()
        return self.reader, self.sink

    async def __aexit__(self, *_error):
        await self.reader.stop()


def only(url):
    """A target of one WebSocket URL, without polling."""
    return Target((url,))


def proxied(proxy):
    return only(f"ws://127.0.0.1:{proxy.port}/numbers")


# The good case -----------------------------------------------------------------------------------------------


@run_async
async def test_messages_come_whole_in_order_with_the_connections_number():
    async with NumberedPeer() as peer, Running(peer.url) as (reader, sink):
        await sink.count(20)
        assert settle(peer.sent, sink) == []
        assert {conn for _n, conn, _flags in sink.numbers} == {1}
        assert str(reader.state) == "OPEN"
        await reader.stop()
        assert str(reader.state) == "CLOSED"
        assert [state.state for state in sink.states] == ["CONNECTING", "OPEN", "CLOSED"]
        assert sink.gaps == []


@run_async
async def test_a_reader_starts_once():
    async with NumberedPeer() as peer:
        running = Running(peer.url)
        async with running as (reader, _sink):
            with pytest.raises(SessionError, match="started before"):
                reader.start()
        with pytest.raises(SessionError):
            running.reader.start()
        await running.reader.stop()  # again: nothing happens


@run_async
async def test_a_text_can_be_sent_when_open_only_and_is_recorded_as_out():
    async with NumberedPeer() as peer, Running(peer.url) as (reader, sink):
        with pytest.raises(ConnectionFailed, match="no open connection"):
            await reader.send("too early")
        await sink.word("OPEN")
        await reader.send('{"type":"ping"}')
        await sink.count(3)
        assert sink.sent == [b'{"type":"ping"}']
        assert peer.received == [(1, '{"type":"ping"}')]


@run_async
async def test_our_own_text_coming_back_is_an_echo_and_no_data():
    quiet = stream(heartbeat=b'{"n": 7}', heartbeat_s=0.05, period_s=0.1)  # it even looks like data
    async with NumberedPeer(answer=lambda text: text) as peer:
        peer.pushing = False
        async with Running(only(peer.url), quiet) as (reader, sink):
            await sink.until(lambda sink: len(sink.numbers) >= 5)
            await asyncio.sleep(0.1)
            assert reader.state.stale
            assert "stale" in str(reader.state)


@pytest.mark.alone
@run_async
async def test_stop_is_quick_even_if_the_peer_never_closes():
    async with RawPeer(says(frame(1, b'{"n": 1}'))) as peer, Running(only(peer.url)) as (reader, sink):
        await sink.count(1)
        begun = time.monotonic()
        await reader.stop()
        assert time.monotonic() - begun < busy(1)


@run_async
async def test_stop_in_the_middle_of_a_handshake():
    async with RawPeer(staller(20)) as peer, Running(only(peer.url)) as (reader, sink):
        await sink.word("CONNECTING")
        await asyncio.sleep(0.05)
        await reader.stop()
        assert str(reader.state) == "CLOSED"


# Links that break ------------------------------------------------------------------------------------------------


def cable():
    found = try_cable()
    if isinstance(found, str):
        if os.environ.get("CI") == "true":
            pytest.fail(found)
        pytest.skip(found)
    return found


@pytest.mark.alone
def test_fault_01_a_black_hole_is_detected_within_16_seconds_and_leaves_one_gap():
    """Real packets that vanish, at a tenth of the times."""
    wire = cable()
    ready, stop, serving = threading.Event(), threading.Event(), {}

    async def serve():
        async with NumberedPeer(every_s=0.05, host=SERVER_ADDRESS) as peer:
            serving.update(port=peer.port, sent=peer.sent)
            ready.set()
            while not stop.is_set():
                await asyncio.sleep(0.02)

    server = threading.Thread(target=wire.server.run, args=[lambda: asyncio.run(serve())])
    server.start()
    try:
        assert ready.wait(5)
        client = run_async(_through_a_black_hole)
        sink, seconds = Collected(), []
        wire.client.run(lambda: client(wire, serving["port"], sink, seconds))
    finally:
        stop.set()
        server.join(10)
        wire.close()
    assert seconds[0] <= 1.6 + 0.3
    assert [gap.cause for gap in sink.gaps] == ["the peer does not answer pings"]
    assert settle(serving["sent"], sink)  # there is a hole, and it lies inside the gap


async def _through_a_black_hole(wire, port, sink, seconds):
    url = f"ws://{SERVER_ADDRESS}:{port}/"
    async with Running(only(url), sink=sink) as (reader, _sink):
        await sink.count(10)
        begun = time.monotonic()
        await asyncio.to_thread(wire.cut)
        await sink.until(lambda _sink: reader.state.word != "OPEN")
        seconds.append(time.monotonic() - begun)
        await asyncio.to_thread(wire.mend)
        await sink.until(lambda sink: len(sink.gaps) == 1, 20)
        await sink.count(len(sink.numbers) + 10)


@pytest.mark.alone
@together
async def test_fault_02_a_silent_proxy_is_left_and_leaves_one_gap():
    await _dead_proxy(silent=True)


@pytest.mark.alone
@together
async def test_fault_05_a_half_open_link_is_left_and_leaves_one_gap():
    await _dead_proxy(silent=False)


async def _dead_proxy(*, silent):
    async with (
        NumberedPeer() as peer,
        ChaosProxy(peer.port) as proxy,
        Running(proxied(proxy)) as (_reader, sink),
    ):
        await sink.count(10)
        begun = time.monotonic()
        proxy.silent, proxy.dead = silent, frozenset() if silent else frozenset({UP})
        await sink.word("WAITING")
        assert time.monotonic() - begun <= busy(1.6 + 0.2)
        proxy.silent, proxy.dead = False, frozenset()
        await sink.until(lambda sink: sink.gaps)
        await sink.count(len(sink.numbers) + 5)
        settle(peer.sent, sink)
        assert [gap.cause for gap in sink.gaps] == ["the peer does not answer pings"]


@pytest.mark.timeout(60 + RESETS)
@run_async
async def test_fault_03_resets_at_any_byte_leave_holes_only_inside_gaps():
    fast = dataclasses.replace(FAST, backoff_first_s=0.01, backoff_cap_s=0.02)
    dice = random.Random(3)
    async with (
        NumberedPeer(every_s=0.002, padding=100) as peer,
        ChaosProxy(peer.port) as proxy,
        Running(proxied(proxy), profile=fast) as (reader, sink),
    ):
        await sink.count(1)
        for _ in range(RESETS):
            proxy.reset_after = dice.randint(300, 3000)
            proxy.reset()
            await sink.until(lambda sink, seen=reader.state.reconnects: reader.state.reconnects > seen)
        proxy.reset_after = None
        proxy.reset()
        before = len(sink.numbers)
        await sink.count(before + 50)
        assert settle(peer.sent, sink)
        assert reader.state.reconnects >= RESETS
        assert all(gap.back_at_ns is not None for gap in sink.gaps)


@pytest.mark.alone
@run_async
async def test_fault_03_after_a_reset_it_is_back_within_a_second():
    async with (
        NumberedPeer() as peer,
        ChaosProxy(peer.port) as proxy,
        Running(proxied(proxy), profile=PROFILE) as (_reader, sink),
    ):
        await sink.count(3)
        begun = time.monotonic()
        proxy.reset()
        await sink.until(lambda sink: sink.gaps)
        assert time.monotonic() - begun <= busy(1.3)
        assert sink.gaps[0].cause == "connection reset"


@run_async
async def test_fault_04_a_fin_without_a_close_frame_is_recorded_as_1006():
    async with (
        NumberedPeer() as peer,
        ChaosProxy(peer.port) as proxy,
        Running(proxied(proxy)) as (_reader, sink),
    ):
        await sink.count(3)
        proxy.cut()
        await sink.until(lambda sink: sink.gaps)
        assert next(state.close_code for state in sink.states if state.state == "WAITING") == 1006
        settle(peer.sent, sink)


@together
async def test_fault_06_a_stalled_handshake_leads_to_backoff():
    quick = PROFILE.scaled(0.1)
    async with RawPeer(staller(50)) as peer, Running(only(peer.url), profile=quick) as (reader, sink):
        await sink.word("WAITING")
        assert str(reader.state).endswith("no answer within 0.5 s")
        await sink.until(lambda sink: len([s for s in sink.states if s.state == "WAITING"]) == 2)
        assert len(peer.accepted) == 2


@run_async
async def test_fault_10_flapping_loses_nothing_unexplained_and_leaks_nothing():
    fast = dataclasses.replace(FAST, backoff_first_s=0.01, backoff_cap_s=0.02)
    async with (
        NumberedPeer(every_s=0.005) as peer,
        ChaosProxy(peer.port) as proxy,
        Running(proxied(proxy), profile=fast) as (reader, sink),
    ):
        await sink.count(5)
        await _flap(proxy, reader, sink, 10)
        gc.collect()
        baseline = open_files(), len(asyncio.all_tasks()), resident()
        await _flap(proxy, reader, sink, FLAPS)
        await sink.count(len(sink.numbers) + 5)
        gc.collect()
        settle(peer.sent, sink)
        assert (open_files(), len(asyncio.all_tasks())) == baseline[:2]
        assert resident() - baseline[2] <= 5 * 2**20
        assert len(sink.gaps) >= FLAPS


async def _flap(proxy, reader, sink, times):
    for _ in range(times):
        await proxy.down()
        await asyncio.sleep(HALF_S)
        await proxy.up()
        await asyncio.sleep(HALF_S)
        await sink.until(lambda _sink: reader.state.word == "OPEN")
        await sink.count(len(sink.numbers) + 1)


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# Peers that say no -----------------------------------------------------------------------------------------------


@together
async def test_fault_13_accept_then_close_gets_at_most_8_attempts_in_the_first_minute():
    await asyncio.gather(_attempts(accept_then_close(1000)), _attempts(accept_then_close(rst=True)))


async def _attempts(behave):
    profile = dataclasses.replace(PROFILE.scaled(0.05), open_timeout_s=5.0)
    async with RawPeer(behave) as peer, Running(only(peer.url), profile=profile) as (_reader, sink):
        await asyncio.sleep(3.0)  # a twentieth of a minute
        assert 4 <= len(peer.accepted) <= 8
        assert sink.gaps == []  # it never ended


@run_async
async def test_fault_14_a_refused_token_is_asked_for_anew_once_at_once():
    tokens = iter(range(100))

    async def authorize():
        return Credentials(headers={"Authorization": f"Bearer {next(tokens)}"}, query={"token": "q"})

    async with RawPeer(answer(401)) as peer, Running(only(peer.url), authorize=authorize) as (reader, sink):
        await sink.until(lambda _sink: len(peer.requests) == 3)
        assert [f"Bearer {n}".encode() in request for n, request in enumerate(peer.requests)] == [True] * 3
        assert all(b"?token=q" in request for request in peer.requests)
        assert peer.accepted[1] - peer.accepted[0] < busy(0.05)
        assert peer.accepted[2] - peer.accepted[1] >= 0.05
        assert "HTTP 401 Unauthorized" in " ".join(state.text for state in sink.states)
        assert "Bearer" not in repr(sink.states) + repr(reader.target)


@run_async
async def test_fault_38_a_token_that_the_peer_quotes_back_is_not_shown():
    async def authorize():
        return Credentials(headers={"Authorization": "Bearer hush-hush"}, query={"token": "hush-again"})

    quoting = accept_then_close(4401, b"no: Bearer hush-hush, hush-again")
    async with RawPeer(quoting) as peer, Running(only(peer.url), authorize=authorize) as (reader, sink):
        await sink.until(lambda _sink: len(peer.accepted) == 3)
        assert any("closed 4401 no: … …" in state.text for state in sink.states)
        lines = [line.text for line in RECENT.lines()]
        assert "hush" not in repr((sink.states, sink.gaps, reader.state, lines, peer.url))


@run_async
async def test_fault_38_a_token_in_the_name_of_what_answers_is_not_shown():
    async def authorize():
        return Credentials(headers={"Authorization": "Bearer hush-hush"}, query={"token": "hush-again"})

    async def quoting(_peer, _reader, writer):
        writer.write(b"HTTP/1.1 404 No\r\nServer: x Bearer hush-hush hush-again\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with RawPeer(quoting) as peer, Running(only(peer.url), authorize=authorize) as (reader, sink):
        await sink.until(lambda _sink: len(peer.accepted) == 3)
        assert any("a program (x … … …) answers" in state.text for state in sink.states)
        assert "hush" not in repr((sink.states, sink.gaps, reader.state))


@run_async
async def test_a_token_that_cannot_be_had_shows_in_the_state_and_makes_no_handshake():
    async def authorize():
        raise AuthenticationError("The token endpoint gave dashes instead of a token.")

    async with NumberedPeer() as peer, Running(peer.url, authorize=authorize) as (reader, sink):
        await sink.word("WAITING")
        assert str(reader.state).endswith(": The token endpoint gave dashes instead of a token")
        assert peer.handshakes == []


@run_async
async def test_a_hook_that_hangs_is_given_up():
    async def authorize():
        await asyncio.sleep(3600)

    quick = dataclasses.replace(FAST, authorize_timeout_s=0.1)
    async with (
        NumberedPeer() as peer,
        Running(peer.url, authorize=authorize, profile=quick) as (reader, sink),
    ):
        await sink.word("WAITING")
        assert str(reader.state).endswith(": the authorization took too long")


@problems(1)
async def _a_hook_with_a_bug():
    async def authorize():
        raise ZeroDivisionError

    async with NumberedPeer() as peer, Running(peer.url, authorize=authorize) as (reader, sink):
        await sink.word("WAITING")
        assert str(reader.state).endswith(": the authorization failed: ZeroDivisionError")


test_a_hook_with_a_bug_is_reported_and_the_reader_goes_on = run_async(_a_hook_with_a_bug)


@together
async def test_fault_15_retry_after_is_honoured():
    await asyncio.gather(_asked_to_wait(429), _asked_to_wait(503))


async def _asked_to_wait(status):
    refusing = answer(status, {"Retry-After": "1"})
    async with RawPeer(refusing) as peer, Running(only(peer.url)) as (_reader, sink):
        await sink.until(lambda _sink: len(peer.accepted) == 3)
        assert min(b - a for a, b in itertools.pairwise(peer.accepted)) >= 0.99
        assert f"HTTP {status}" in " ".join(state.text for state in sink.states)


@together
async def test_fault_16_five_times_not_found_is_visible_and_still_tried():
    await asyncio.gather(_not_found(400), _not_found(404))


async def _not_found(status):
    profile = dataclasses.replace(PROFILE.scaled(0.02), open_timeout_s=5.0)  # the cap is 1.2 s
    async with RawPeer(answer(status)) as peer:
        target = Target((f"{peer.url}/a", f"{peer.url}/b"))
        async with Running(target, profile=profile) as (reader, sink):
            await sink.word("FAILED")
            assert len(peer.accepted) == 5
            assert str(reader.state).startswith(f"FAILED {status}: HTTP {status}")
            await sink.until(lambda _sink: len(peer.accepted) == 7, 10)
            late = peer.accepted[4:]
            assert min(b - a for a, b in itertools.pairwise(late)) >= 1.19
            assert [request.split()[1] for request in peer.requests[:4]] == [b"/a", b"/b", b"/a", b"/b"]
            assert sink.states[-1].state == "FAILED"  # one event, not one a try


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1009, 1011, 1012, 1013, 4000, 4401, 4999])
@run_async
async def test_fault_24_every_close_code_leads_to_another_try(code):
    first = frame(1, b'{"n": 1}')
    behave = accept_then_close(code, b"why", first=first)
    async with RawPeer(behave) as peer:
        quick = dataclasses.replace(PROFILE.scaled(0.01), open_timeout_s=5.0)
        async with Running(only(peer.url), profile=quick) as (_reader, sink):
            await sink.until(lambda _sink: len(peer.accepted) >= 3)
            assert any(f"closed {code} why" in state.text for state in sink.states)
            assert {state.close_code for state in sink.states if state.state == "WAITING"} == {code}


@run_async
async def test_a_peer_that_restarts_is_found_again():
    async with NumberedPeer() as peer, Running(only(peer.url)) as (reader, sink):
        await sink.count(3)
        await peer.down()
        await sink.until(lambda sink: "connection refused" in sink.states[-1].text)
        await peer.up()
        await sink.until(lambda sink: sink.gaps)
        assert reader.state.word == "OPEN"
        settle(peer.sent, sink)


# Subscriptions and heartbeats -----------------------------------------------------------------------------------


@run_async
async def test_fault_21_channels_are_sent_once_after_each_open():
    async with (
        NumberedPeer() as peer,
        ChaosProxy(peer.port) as proxy,
        Running(proxied(proxy), channels=["a", "b"]) as (reader, sink),
    ):
        for round_ in range(1, 5):
            await sink.until(lambda _sink, n=round_: len(peer.received) == n)
            await sink.count(len(sink.numbers) + 3)
            if round_ == 2:
                await reader.subscribe(["c"])
                await sink.until(lambda _sink: len(peer.received) == 3)
                break
            proxy.reset()
        proxy.reset()
        await sink.until(lambda _sink: len(peer.received) == 4)
        await sink.count(len(sink.numbers) + 5)
        texts = [text for _connection, text in peer.received]
        assert texts == [subscription(names).decode() for names in (["a", "b"], ["a", "b"], ["c"], ["c"])]
        assert [payload.decode() for payload in sink.sent] == texts
        said = [(state.channels, state.channels_mono_ns) for state in sink.states]
        assert [channels for channels, _ in itertools.groupby(channels for channels, _ in said)] == [
            ("a", "b"),
            ("c",),
        ]
        (first, second) = dict.fromkeys(since for _, since in said)
        assert first < second <= time.monotonic_ns()


@run_async
async def test_channels_changed_while_connecting_are_sent_once():
    async with NumberedPeer() as peer, Running(only(peer.url), channels=["a"]) as (reader, sink):
        await reader.subscribe(["b"])
        await sink.count(3)
        await asyncio.sleep(0.1)
        assert [text for _connection, text in peer.received] == [subscription(["b"]).decode()]
        assert reader.channels == ("b",)


@run_async
async def test_without_channels_nothing_is_asked_for():
    async with NumberedPeer() as peer, Running(only(peer.url)) as (_reader, sink):
        await sink.count(3)
        assert peer.received == []


@run_async
async def test_a_stream_without_a_choice_says_so():
    async with NumberedPeer() as peer, Running(only(peer.url), stream(subscription=None)) as (reader, _sink):
        with pytest.raises(SessionError, match="nothing to choose"):
            await reader.subscribe(["a"])


# Polling ----------------------------------------------------------------------------------------------------------


@together
async def test_a_peer_without_the_websocket_is_polled_and_said_to_be():
    async with RawPeer(http_half) as peer, Running(f"http://127.0.0.1:{peer.port}") as (reader, sink):
        await sink.count(5)
        assert str(reader.state) == "POLLING: every 0.1 s over HTTP, HTTP 404 Not Found"
        assert {flags for _n, _conn, flags in sink.numbers} == {FLAG_POLLED}
        assert {conn for _n, conn, _flags in sink.numbers} == {1}
        assert sink.gaps[0].cause == "HTTP 404 Not Found", "until the first poll"
        # a busy machine may poll late, and that is said, too
        assert all(gap.cause.startswith("no data for ") for gap in sink.gaps[1:])


async def http_half(peer, _reader, writer):
    """Answers the polling path with a number, everything else with 404."""
    asked = peer.requests[-1].split()[1]
    if asked == b"/api/numbers/now":
        body = b'{"n": %d}' % len(peer.requests)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    else:
        writer.write(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


@run_async
async def test_polls_take_the_credentials_headers_along():
    async def authorize():
        return Credentials(headers={"X-TES-Dev-Token": "hush"})

    async with (
        RawPeer(http_half) as peer,
        Running(f"http://127.0.0.1:{peer.port}", authorize=authorize) as (_reader, sink),
    ):
        await sink.count(2)
        assert all(b"X-TES-Dev-Token: hush" in request for request in peer.requests)


@together
async def test_a_poll_that_brings_no_data_is_kept_but_does_not_count():
    async def errors(peer, _reader, writer):
        status = b"200 OK" if b"/now" in peer.requests[-1].split()[1] else b"404 No"
        writer.write(b"HTTP/1.1 " + status + b"\r\nConnection: close\r\nContent-Length: 4\r\n\r\n<ht>")
        await writer.drain()

    async with RawPeer(errors) as peer, Running(f"http://127.0.0.1:{peer.port}") as (_reader, sink):
        await sink.until(lambda sink: len(sink.messages) >= 2)
        await sink.word("FAILED")
        assert "POLLING" not in {state.state for state in sink.states}
        assert {payload for _d, _o, payload, _c, _f in sink.messages} == {b"<ht>"}


# Peers of old: WIRE.md section 6, at ten times the speed -----------------------------------------------------------


@together
async def test_old_workers_close_idle_readers_and_a_heartbeat_prevents_it():
    workers = stream(
        endpoint=Endpoint("status", "/ws/workers/telemetry"),
        heartbeat=b'{"type":"heartbeat"}',
        heartbeat_s=0.5,
    )
    async with OldTes(speed=10) as peer, Running(peer.url, workers) as (reader, sink):
        await asyncio.sleep(4.4)  # 44 s there; six beats fit into what it waits for one
        await sink.count(30)
        assert peer.idle_closes == 0
        assert set(peer.received) == {'{"type":"heartbeat"}'}
        assert (reader.state.word, reader.state.conn) == ("OPEN", 1)


@together
async def test_old_workers_without_a_heartbeat_1000_idle_means_reconnect():
    workers = stream(endpoint=Endpoint("status", "/ws/workers/telemetry"), heartbeat=None)
    async with OldTes(speed=20) as peer, Running(peer.url, workers) as (_reader, sink):
        await sink.until(lambda sink: sink.gaps)
        assert sink.gaps[0].cause == "closed 1000 Idle timeout"
        assert peer.idle_closes >= 1


@together
async def test_an_old_silent_status_is_polled_beside_the_open_socket_until_it_pushes():
    status = stream(
        endpoint=Endpoint("status", "/api/dev/status/live", poll="/api/dev/status"),
        heartbeat=b'{"type":"ping"}',
        heartbeat_s=1.0,
    )
    async with OldTes(speed=10) as peer:
        peer.push_status = asyncio.Event()
        async with Running(peer.url, status) as (reader, sink):
            await sink.word("POLLING")
            assert str(reader.state) == "POLLING: every 0.1 s over HTTP, no push for 0.25 s"
            await sink.until(lambda _sink: peer.polls["status"] >= 10)
            flagged = {(conn, flags) for _n, conn, flags in sink.numbers}
            assert flagged == {(1, 0), (2, FLAG_POLLED)}
            assert reader.state.conn == 1
            peer.push_status.set()
            await sink.word("OPEN")
            polls = peer.polls["status"]
            await asyncio.sleep(0.4)
            assert peer.polls["status"] <= polls + 1
            assert sink.gaps == []


@together
async def test_an_old_echoing_alias_is_recognised_and_the_right_path_tried():
    metrics = stream(
        endpoint=Endpoint(
            "status",
            "/ws/server-metrics/live",
            aliases=("/api/dev/server-metrics/live",),
            poll="/api/dev/server-metrics",
        ),
        heartbeat=b'{"type":"ping"}',
        heartbeat_s=0.1,
    )
    async with OldTes(speed=10) as peer:
        given = f"ws://127.0.0.1:{peer.port}/api/dev/server-metrics/live"
        async with Running(given, metrics) as (_reader, sink):
            await sink.until(lambda sink: any(conn > 1 and not flags for _n, conn, flags in sink.numbers))
            greeted = "the peer greets under this path but sends no data"
            assert any(greeted in state.text for state in sink.states)
            await sink.word("OPEN")


@together
async def test_a_peer_that_says_only_ok_is_stale_but_not_left():
    async def oks(peer, _reader, writer):
        writer.write(upgrade(peer.requests[-1]))
        while True:
            writer.write(frame(1, b"ok"))
            await writer.drain()
            await asyncio.sleep(0.05)

    async with RawPeer(oks) as peer, Running(only(peer.url)) as (reader, sink):
        await sink.until(lambda sink: "stale" in sink.states[-1].text)
        await asyncio.sleep(1)
        assert len(peer.accepted) == 1
        assert sink.numbers == []
        assert reader.state.word == "OPEN"


@together
async def test_fault_23_a_peer_that_only_answers_pings_is_left_by_the_watchdog():
    async with NumberedPeer() as peer:
        peer.pushing = False
        quick = dataclasses.replace(
            PROFILE.scaled(0.02), open_timeout_s=5.0
        )  # a busy machine may shake hands slowly
        async with Running(only(peer.url), profile=quick) as (_reader, sink):
            await sink.until(lambda _sink: len(peer.handshakes) >= 2)
            assert (
                1.0 <= peer.handshakes[1] - peer.handshakes[0] <= busy(3.0)
            )  # 1.2, on a machine that has time
            assert any("no message for 1.14 s" in state.text for state in sink.states)


# Sinks and clocks -------------------------------------------------------------------------------------------------


@problems(3)
async def _a_broken_sink():
    class Broken(Collected):
        def received(self, *message):
            super().received(*message)
            if len(self.messages) <= 3:
                raise OSError("disk full")

    sink = Broken()
    async with NumberedPeer() as peer, Running(only(peer.url), sink=sink) as (reader, _sink):
        await sink.count(10)
        assert reader.state.conn == 1


test_a_sink_that_raises_is_reported_and_the_connection_goes_on = run_async(_a_broken_sink)


@problems(1)
async def _a_broken_classify():
    def classify(message):
        if message.payload == b'{"n":1}':
            raise ZeroDivisionError
        return Kind.DATA

    async with NumberedPeer(on_connect=['{"n":1}']) as peer:
        peer.next = 2
        async with Running(only(peer.url), stream(classify=classify)) as (reader, sink):
            await sink.count(10)
            assert reader.state.conn == 1


test_a_stream_whose_classify_raises_does_not_end_the_connection = run_async(_a_broken_classify)


@run_async
async def test_fault_75_a_jumping_wall_clock_changes_no_timer():
    offset = [0]
    jumps = [3600, -3600, -86400, 86400 * 365]

    def wall_ns():
        return time.time_ns() + offset[0] * 10**9

    async with (
        NumberedPeer() as peer,
        ChaosProxy(peer.port) as proxy,
        Running(proxied(proxy), wall_ns=wall_ns) as (reader, sink),
    ):
        for jump in jumps:
            await sink.count(len(sink.numbers) + 5)
            offset[0] = jump
            begun = time.monotonic()
            proxy.reset()
            await sink.until(lambda _sink, n=reader.state.reconnects: reader.state.reconnects > n)
            assert time.monotonic() - begun < busy(3)
        assert len(sink.gaps) == len(jumps) or len(sink.gaps) == len(jumps) - 1
        assert reader.state.word == "OPEN"


@run_async
async def test_fault_76_a_process_that_stood_still_kills_nobody_on_waking(other_process):
    """A twentieth of 8 s and 25 s: the loop is held, as by SIGSTOP, and the peer is another process."""
    profile = dataclasses.replace(PROFILE.scaled(0.05), open_timeout_s=5.0)
    url = f"ws://127.0.0.1:{other_process}/"
    async with Running(only(url), profile=profile) as (reader, sink):
        for still_s in (0.4, 1.25):
            await sink.count(len(sink.numbers) + 5)
            time.sleep(still_s)  # nothing of ours runs
            await sink.count(len(sink.numbers) + 5)
            await asyncio.sleep(0.3)
            assert reader.state.conn == 1
            assert sink.gaps == []
            assert not reader.state.stale


@pytest.mark.alone
@run_async
async def test_fault_76_a_peer_that_died_in_our_sleep_is_noticed_within_5_seconds(other_process):
    async with (
        ChaosProxy(other_process) as proxy,
        Running(proxied(proxy)) as (_reader, sink),
    ):
        await sink.count(5)
        proxy.silent = True
        time.sleep(1.0)
        woke = time.monotonic()
        proxy.silent = False
        for task in proxy._pairs:  # what was in flight is lost: only new connections work
            for writer in task:
                writer.transport.pause_reading()
        await sink.until(lambda sink: sink.gaps)
        assert time.monotonic() - woke <= busy(0.5 + 0.2)
        assert len(sink.gaps) == 1


_READER = """
import asyncio, dataclasses, sys
from tests.net.test_reader import PROFILE, Running, only, settle
async def main():
    profile = dataclasses.replace(PROFILE.scaled(0.05), open_timeout_s=5.0)
    loop = asyncio.get_running_loop()
    async with Running(only(sys.argv[1]), profile=profile) as (reader, sink):
        while True:
            await sink.count(len(sink.numbers) + 5)
            print(reader.state.conn, len(sink.gaps), reader.state.stale, flush=True)
            if not await loop.run_in_executor(None, sys.stdin.readline):
                break
asyncio.run(main())
"""
"""Reads until its input ends; for each line it waits for five more messages and says how it does."""


def test_fault_76_a_reader_that_was_stopped_as_by_a_suspension_keeps_its_connection(other_process):
    """A twentieth of 8 s, 25 s and a minute, with SIGSTOP and SIGCONT."""
    url = f"ws://127.0.0.1:{other_process}/"
    with subprocess.Popen(
        [sys.executable, "-c", _READER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout.readline().split() == ["1", "0", "False"]
        for still_s in (0.4, 1.25, 3.0):
            os.kill(reader.pid, signal.SIGSTOP)
            time.sleep(still_s)
            os.kill(reader.pid, signal.SIGCONT)
            reader.stdin.write("\n")
            reader.stdin.flush()
            assert reader.stdout.readline().split() == ["1", "0", "False"], still_s
        reader.stdin.close()
        assert reader.wait(10) == 0


_PEER = """
import asyncio, sys
from tests.support.peers import NumberedPeer
async def main():
    async with NumberedPeer() as peer:
        print(peer.port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def other_process():
    """The port of a numbered peer in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield int(process.stdout.readline())
    process.stdin.close()
    process.stdout.close()
    process.wait(10)


@run_async
async def test_directions_and_flags_are_what_they_say():
    async with NumberedPeer() as peer, Running(only(peer.url)) as (reader, sink):
        await sink.count(1)
        await reader.send("hello")
        await sink.count(3)
        assert {direction for direction, *_ in sink.messages} == {Direction.IN, Direction.OUT}


@run_async
async def test_fault_38_no_piece_of_a_token_in_the_query_is_shown_whoever_put_it_there():
    """A user's own token in the address, and one that was had; quoted whole, cut, and as it travels."""
    own, had = "own-secret-of-the-user", "eyJhbGciOi.eyJleHAiOjF9+/.c2lnbmF0dXJl"
    query = f"channels=a,b&&token={quote(had, safe='')}"

    async def authorize():
        return Credentials(raw_query=query, channels=("a", "b"))

    quoted = f"no {had[3:20]} {quote(had, safe='')[10:40]} {own[4:]}".encode()
    async with RawPeer(accept_then_close(4401, quoted)) as peer:
        target = Target((f"{peer.url}?key={own}",))
        async with Running(target, authorize=authorize) as (reader, sink):
            await sink.until(lambda _sink: len(peer.accepted) == 3)
            assert any("closed 4401 no … … …" in state.text for state in sink.states)
            assert quote(had, safe="").encode() in peer.requests[0]
            lines = " ".join(line.text for line in RECENT.lines())
            shown = repr((sink.states, sink.gaps, reader.state, lines))
    for secret in (own, had, quote(had, safe="")):
        assert not [secret[at : at + 8] for at in range(len(secret) - 7) if secret[at : at + 8] in shown]
