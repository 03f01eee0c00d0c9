"""Clients that want to hurt: floods, stuck readers, silent sockets, no descriptors left. Children, real sockets."""

from __future__ import annotations

import asyncio
import re
import resource
import socket as sockets
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.collectors import (
    METRICS,
    STATUS,
    TOKEN,
    ask,
    child,
    handshake,
    open_socket,
    peak_memory,
    read_reply,
    receive,
    reply,
    request,
    resident_memory,
    round_trips,
    socket,
)
from tests.support.loud_collector import ECHO, LOUD, LOUD_PERIOD_S
from tests.support.waiting import eventually_async
from tests.support.websocket_frames import CONTINUATION, PING, TEXT, frame

MIB = 2**20
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    """One collector for all floods: none of them may leave a mark."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
        with child(module="tests.support.loud_collector", limits={"relay_bytes": MIB}) as collector:
            yield collector
            assert collector.alive
            lines = collector.log_path.read_text().splitlines()
    assert len(lines) < 100, lines[:3]


def bounded(scene, seconds=40):
    return asyncio.run(asyncio.wait_for(scene, seconds))


def measured(**figures):
    """Shown with `pytest -rP`."""
    sys.stdout.write(", ".join(f"{name} {value}" for name, value in figures.items()) + "\n")


def quantile(sorted_values, share):
    return sorted_values[min(int(len(sorted_values) * share), len(sorted_values) - 1)]


FLOODS = {
    "empty pings": (b"", frame(PING)),
    "full pings": (b"", frame(PING, b"x" * 125)),
    "empty continuations": (frame(TEXT, fin=False), frame(CONTINUATION, fin=False)),
    "fragments of a byte": (frame(TEXT, b"a", fin=False), frame(CONTINUATION, b"a", fin=False)),
    "small messages": (b"", frame(TEXT, b"{}")),
}


@contextmanager
def flooding(port, first, unit):
    """Another connection that sends `unit` as fast as the collector takes it, and reads what comes."""
    chunk = unit * max(1, 65536 // len(unit))

    async def flood():
        while True:
            reader, writer = await open_socket(port, STATUS)
            sink = asyncio.create_task(reader.read(-1))
            try:
                writer.write(first)
                while not sink.done():  # cut off: begin again
                    writer.write(chunk)
                    await writer.drain()
                    await asyncio.sleep(0)
            except ConnectionError:
                continue
            finally:
                sink.cancel()
                writer.transport.abort()

    task = asyncio.create_task(flood())
    try:
        yield
    finally:
        task.cancel()


@pytest.mark.alone
@pytest.mark.parametrize("kind", FLOODS)
def test_fault_59_a_flood_costs_the_others_little(victim, kind):
    async def scene():
        async with socket(victim.ports[0], STATUS) as good:
            quiet = await round_trips(good, 0.3)
            before = resident_memory(victim.pid)
            with flooding(victim.ports[0], *FLOODS[kind]):
                await asyncio.sleep(0.1)
                flooded = await round_trips(good, 0.7)
                grown = resident_memory(victim.pid) - before
            return quiet, flooded, grown

    quiet, flooded, grown = bounded(scene())
    measured(
        quiet_p50_ms=round(quantile(quiet, 0.5) * 1e3, 2),
        quiet_p99_ms=round(quantile(quiet, 0.99) * 1e3, 2),
        flooded_p50_ms=round(quantile(flooded, 0.5) * 1e3, 2),
        flooded_p99_ms=round(quantile(flooded, 0.99) * 1e3, 2),
        grown_mib=round(grown / MIB, 1),
    )
    assert grown <= 16 * MIB
    # before clients were paced: 40 ms (full pings) to 400 ms (empty pings); the sender shares this process's CPU
    assert quantile(flooded, 0.5) < max(0.015, 3 * quantile(quiet, 0.5))


def test_fault_60_autobahn_finds_the_listed_deviations_and_no_others(victim):
    kosoku = pytest.importorskip("kosoku")

    async def scene():
        try:
            return await kosoku.run_fuzzingclient(
                f"127.0.0.1:{victim.ports[0]}{ECHO}", exclude_cases=["9.*", "12.*", "13.*"], concurrency=8
            )
        except kosoku.FailureError as error:
            return error.results

    results = bounded(scene())
    assert len(results) > 200
    page = (ROOT / "docs" / "websocket-conformance.md").read_text()
    ours = page.split("## Collector")[1].split("\n## ")[0]
    accepted = set(re.findall(r"^\| (\d+\.\d+(?:\.\d+)?) \|", ours, re.MULTILINE))
    assert {one.case_id for one in results if not one.passed} == accepted


@pytest.mark.alone
def test_fault_49_a_page_opens_thousands_of_sockets(victim):
    """2,000 handshakes; 64 stay, the rest is refused, and the owner gets in all the while."""

    async def scene():
        kept, refused, waits = [], 0, []
        gate = asyncio.Semaphore(100)

        async def open_one():
            nonlocal refused
            async with gate:
                reader, writer = await asyncio.open_connection("127.0.0.1", victim.ports[0])
                writer.write(request(victim.ports[0], METRICS, headers=HANDSHAKE_OF_A_PAGE))
                answer = await read_reply(reader)
            if answer.status == 101:
                kept.append(writer)
            else:
                assert answer.status == 503
                assert answer.header("Retry-After")
                refused += 1
                writer.close()

        async def owner():
            while True:
                began = time.monotonic()
                async with socket(victim.ports[0], METRICS, token=TOKEN) as client:
                    await receive(client)
                waits.append(time.monotonic() - began)
                await asyncio.sleep(0.02)

        own = asyncio.create_task(owner())
        began = time.monotonic()
        await asyncio.gather(*(open_one() for _ in range(2000)))
        took = time.monotonic() - began
        async with asyncio.timeout(5):  # nor is a stranger's request refused
            assert (await ask(victim.ports[1], "/workers/status")).json() == {"connected": 64}
        own.cancel()
        await asyncio.gather(own, return_exceptions=True)
        for writer in kept:
            writer.transport.abort()
        return len(kept), refused, took, waits

    kept, refused, took, waits = bounded(scene())
    measured(seconds=round(took, 2), owner_waits=len(waits), owner_longest_ms=round(max(waits) * 1e3))
    assert (kept, refused) == (64, 1936)
    assert took < 20
    assert max(waits) < 1


HANDSHAKE_OF_A_PAGE = (
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Origin", "http://localhost:3000"),
)


@pytest.mark.alone
def test_fault_69_a_stuck_reader_is_cut_off_and_the_others_go_on():
    async def scene(collector):
        port = collector.ports[0]
        async with socket(port, LOUD) as reads, socket(port, STATUS) as good:
            for _ in range(20):
                await receive(reads)
            quiet = await round_trips(good, 0.7)
            before = resident_memory(collector.pid)
            draining = asyncio.create_task(drain(reads))
            stuck = await stuck_reader(port)
            began = time.monotonic()

            async def two_left():
                return (await ask(collector.ports[1], "/workers/status")).json()["connected"] <= 2

            await eventually_async(two_left, 15)
            evicted = time.monotonic() - began
            grown = peak_memory(collector.pid) - before
            stuck.close()
            after = await round_trips(good, 0.7)
            draining.cancel()
            return quiet, after, evicted, grown

    limits = {"relay_bytes": MIB, "client_message": 2**16}
    with child(module="tests.support.loud_collector", period_s=LOUD_PERIOD_S, limits=limits) as collector:
        quiet, after, evicted, grown = bounded(scene(collector))
        assert "A client does not read" in collector.log_path.read_text()
    measured(
        evicted_s=round(evicted, 2),
        grown_mib=round(grown / MIB, 1),
        quiet_p99_ms=round(quantile(quiet, 0.99) * 1e3, 2),
        after_p99_ms=round(quantile(after, 0.99) * 1e3, 2),
    )
    assert evicted < 4
    assert grown < 10 * MIB


async def drain(client):
    async for _ in client:
        pass


async def stuck_reader(port):
    """A socket that asks for 10 MB/s and never reads. Small buffers, so that the test is quick."""
    one = sockets.socket()
    one.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 65536)
    one.setblocking(False)
    await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", port))
    await asyncio.get_running_loop().sock_sendall(one, request(port, LOUD, headers=HANDSHAKE_OF_A_PAGE))
    return one


@contextmanager
def descriptors(pid, limit):
    """Another limit of open files for a running process."""
    old = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, old[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, old)


@pytest.mark.alone
def test_fault_70_ninety_silent_sockets_and_64_descriptors():
    async def scene(collector):
        silent = [await asyncio.open_connection("127.0.0.1", collector.ports[0]) for _ in range(90)]
        began = time.monotonic()
        answer = await ask(collector.ports[0], "/health", patience_s=20)
        back = time.monotonic() - began
        for _, writer in silent:
            writer.transport.abort()
        return answer.status, back

    with child(limits={"request_timeout": 1.5}) as collector, descriptors(collector.pid, 64):
        status, back = bounded(scene(collector))
        measured(back_after_s=round(back, 2), request_timeout_s=1.5)
        assert status == 200
        assert collector.alive
    # the server listens again a second after it ran out: 1.5 s + 1 s, and a margin
    assert back < 5


@pytest.mark.alone
def test_fault_71_no_descriptors_left():
    async def scene(collector, process):
        async with socket(collector.ports[0], METRICS) as client:
            await receive(client)
            used = process.num_fds()
            with descriptors(collector.pid, used):
                waiting = [await asyncio.open_connection("127.0.0.1", collector.ports[0]) for _ in range(5)]
                await asyncio.sleep(0.2)
                before = process.cpu_times()
                ticks = [await receive(client) for _ in range(4)]  # who is connected notices nothing
                after = process.cpu_times()
            began = time.monotonic()
            assert (await ask(collector.ports[0], "/health", patience_s=20)).status == 200
            back = time.monotonic() - began
            for _, writer in waiting:
                writer.close()
            spent = after.user + after.system - before.user - before.system
            return spent / 2.0, back, len(ticks)

    with child() as collector:
        cpu, back, ticks = bounded(scene(collector, psutil.Process(collector.pid)))
        lines = collector.log_path.read_text().splitlines()
        assert collector.alive
    measured(cpu_share=round(cpu, 3), back_after_s=round(back, 2), log_lines=len(lines))
    assert ticks == 4
    assert cpu <= 0.20
    assert back < 5
    assert len(lines) < 60


def test_fault_74_bad_requests_by_the_thousand_leave_no_log(victim):
    async def scene():
        for number in range(0, 600, 50):
            await asyncio.gather(*(bad(number + offset) for offset in range(50)))
        async with socket(victim.ports[0], STATUS) as client:
            for number in range(150):
                await reply(client, f"bad {number}\n\x1b[31m")

    async def bad(number):
        if number % 3 == 0:
            await ask(victim.ports[0], f"/nothing/{number}\x01")
        elif number % 3 == 1:
            await handshake(victim.ports[0], STATUS, headers=[("Sec-WebSocket-Protocol", f"p{number}")])
        else:
            await ask(victim.ports[0], STATUS, headers=[("X", "\x00")])

    began, size = time.monotonic(), victim.log_path.stat().st_size
    bounded(scene())
    lines = victim.log_path.read_bytes()[size:].splitlines()
    measured(lines=len(lines), seconds=round(time.monotonic() - began, 2))
    assert len(lines) <= 10 * (time.monotonic() - began) + 10
