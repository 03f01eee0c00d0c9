"""The collector in this very process: how it is wired, started and ended."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tes_nb.collector.app import Collector
from tes_nb.collector.discovery import running
from tes_nb.errors import CollectorError
from tests.support.aio import run_async
from tests.support.collectors import (
    METRICS,
    TOKEN,
    ask,
    collecting,
    listing,
    options,
    receive,
    receive_where,
    socket,
)
from tests.support.processes import IDLE
from tests.support.processes import running as running_process
from tests.support.waiting import eventually_async


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


@run_async
async def test_an_observed_process_that_ends_later_is_reported_and_nothing_else_changes():
    with running_process(IDLE) as watched:
        async with collecting(observed_pid=watched.pid, period_s=0.05) as collector:
            assert b"tes_nb_process_up 1.0" in (await ask(collector.ports[0], "/metrics")).body
            watched.kill()
            watched.wait()
            await eventually_async(lambda: not collector.observer.process.latest.alive)
            assert b"tes_nb_process_up 0.0" in (await ask(collector.ports[0], "/metrics")).body
            async with socket(collector.ports[0], METRICS) as client:
                assert (await receive(client))["cpu"]["percent"] == 0


@run_async
async def test_an_observed_pid_that_is_gone_leaves_nothing_behind():
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    before = open_descriptors()
    with pytest.raises(CollectorError, match=f"no process {gone.pid}"):
        await Collector(options(observed_pid=gone.pid)).start()
    assert open_descriptors() <= before


@run_async
async def test_a_start_that_fails_midway_gives_everything_back(monkeypatch):
    async def broken(self):
        raise CollectorError("The observer cannot start.")

    monkeypatch.setattr("tes_nb.collector.observer.Observer.start", broken)
    collector = Collector(options())
    with pytest.raises(CollectorError, match="cannot start"):
        await collector.start()
    for port in collector.ports:
        with pytest.raises(OSError, match=r"refused|Connect"):
            await ask(port, "/health")
    assert list(running()) == []


@run_async
async def test_it_may_be_stopped_twice_and_before_it_was_started():
    collector = Collector(options())
    await collector.stop()
    async with collecting() as collector:
        await collector.stop()


@run_async
async def test_nothing_is_left_when_it_ends():
    before = (asyncio.all_tasks(), open_descriptors())
    for _ in range(3):
        async with collecting() as collector:
            await ask(
                collector.ports[1], "/api/workers/scale", method="POST", token=TOKEN, body=b'{"count":1}'
            )
            async with socket(collector.ports[0], METRICS) as client:
                await receive(client)
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == before[0]
    assert open_descriptors() <= before[1]


@run_async
async def test_a_tick_that_fails_is_logged_and_the_next_one_comes(caplog, monkeypatch):
    async with collecting(period_s=0.05) as collector, socket(collector.ports[0], METRICS) as client:
        await receive(client)
        original, broken = collector.observer.tick, iter(range(3))

        def tick():
            if next(broken, None) is not None:
                raise ZeroDivisionError("no figures")
            original()

        monkeypatch.setattr(collector.observer, "tick", tick)
        for _ in range(3):
            await receive(client, 3)
    assert "it goes on with the next sample" in caplog.text


@run_async
async def test_two_collectors_live_side_by_side():
    async with collecting() as one, collecting() as other:
        assert set(one.ports).isdisjoint(other.ports)
        async with socket(one.ports[0], METRICS) as client:
            assert (await receive(client))["websockets"]["subscribers"]["metrics"] == 1
            assert (await ask(other.ports[1], "/workers/status")).json() == {"connected": 0}


@run_async
async def test_an_attached_collector_serves_relays_and_no_streams():
    async with collecting(produce=False) as collector:
        assert (await ask(collector.ports[0], METRICS)).status == 404
        assert (await ask(collector.ports[0], "/health")).status == 200


@run_async
async def test_workers_that_end_by_themselves_are_pushed():
    code = "import sys; print('ready', flush=True); input(); sys.exit(3)"
    async with (
        collecting() as collector,
        listing(collector, code) as process,
        socket(collector.ports[1], "/ws/workers/telemetry") as client,
    ):
        process.stdin.write(b"\n")
        process.stdin.flush()
        collector.observer.processes.report_exit(process.pid, await asyncio.to_thread(process.wait))

        def shows_the_end(message):
            return any(
                one["status"] == "error" and one.get("exit_code") == 3 for one in message["workers"].values()
            )

        await receive_where(client, shows_the_end, 5)
