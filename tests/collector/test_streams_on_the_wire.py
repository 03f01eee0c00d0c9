"""The three streams as a foreign client sees them: canonical shapes, rhythm, small talk."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from datetime import datetime

import pytest

from tes_nb.model import Direction, Kind, Message, Opcode
from tes_nb.streams import get
from tests.support.aio import run_async
from tests.support.collectors import (
    METRICS,
    STATUS,
    WORKERS,
    collecting,
    listing,
    receive,
    receive_where,
    reply,
    socket,
)
from tests.support.shapes import METRICS_SHAPE, STATUS_SHAPE, SUMMARY_SHAPE, WORKER_SHAPE, fits, shape


def kind_of(stream, message):
    raw = json.dumps(message).encode()
    return get(stream).decode(Message(stream, Direction.IN, Opcode.TEXT, raw, 1, 1, 1, 1)).kind


@run_async
@pytest.mark.parametrize("path", [STATUS, WORKERS])
async def test_each_client_gets_the_first_message_once(path):
    def content(message):
        return {key: value for key, value in message.items() if key not in ("timestamp", "data")}, [
            value for key, value in message.get("data", {}).get("vector", {}).items() if key == "sessions"
        ]

    async with collecting() as collector:
        port = collector.ports[0 if path == STATUS else 1]
        for _ in range(20):
            async with socket(port, path) as client:
                first = await receive(client)
                with contextlib.suppress(TimeoutError):
                    again = await receive(client, 0.03)
                    assert content(again) != content(first)  # else a change of this machine


@run_async
async def test_status_is_canonical_from_the_first_message_on():
    async with collecting() as collector, socket(collector.ports[0], STATUS) as client:
        message = await receive(client, 0.5)
        assert set(message) == {"type", "timestamp", "data"}
        assert message["type"] == "status"
        assert fits(message["data"], STATUS_SHAPE), shape(message)
        at = datetime.fromisoformat(message["data"]["timestamp"])
        assert message["data"]["timestamp"].endswith("Z")
        assert round(at.timestamp() * 1000) == message["timestamp"]
        assert abs(at.timestamp() - time.time()) < 5
        assert message["data"]["meta"]["statusVersion"] == "2.0"
        assert kind_of("status", message) is Kind.DATA


@pytest.mark.parametrize("path", [METRICS, "/api/dev/server-metrics/live"])
@run_async
async def test_metrics_are_canonical_under_both_paths(path):
    async with collecting() as collector, socket(collector.ports[0], path) as client:
        message = await receive(client, 0.5)
        assert message.pop("type") == "metrics"
        assert fits(message, METRICS_SHAPE), shape(message)
        assert message["memory"]["rss"] > 10 * 2**20
        assert kind_of("metrics", message) is Kind.DATA


@run_async
async def test_workers_are_canonical_and_on_the_other_port_alone():
    async with (
        collecting() as collector,
        listing(collector) as process,
        socket(collector.ports[1], WORKERS) as client,
    ):
        message = await receive_where(client, lambda one: one["workers"])
        assert set(message) == {"timestamp", "workers", "summary"}
        assert fits(message["summary"], SUMMARY_SHAPE)
        ((worker_id, worker),) = message["workers"].items()
        assert worker["id"] == worker_id
        assert worker["pid"] == process.pid
        assert fits(worker, WORKER_SHAPE, optional=("uss_mb", "last_error", "current_job")), shape(worker)
        assert message["summary"]["total"] == 1


@run_async
async def test_metrics_keep_a_grid_that_does_not_drift():
    async with collecting(period_s=0.1) as collector, socket(collector.ports[0], METRICS) as client:
        await receive(client)
        stamps = [(await receive(client))["timestamp"] for _ in range(30)]
        # A push may come late on a busy machine, never early, and the next does not wait for it: the least late ones of
        # the first ten and of the last ten are as late. A period from push to push would be later each time.
        late = [(stamp - stamps[0] + 50) % 100 for stamp in stamps]
        assert abs(min(late[:10]) - min(late[-10:])) <= 15
        assert stamps[-1] - stamps[0] >= 2800


@run_async
async def test_status_and_workers_come_at_least_each_second():
    async with (
        collecting() as collector,
        socket(collector.ports[0], STATUS) as status,
        socket(collector.ports[1], WORKERS) as workers,
    ):
        counts = await asyncio.gather(count_for(status, 2.4), count_for(workers, 2.4))
        assert min(counts) >= 3  # the greeting and two seconds


async def count_for(client, seconds):
    count = 0
    try:
        async with asyncio.timeout(seconds):
            async for _ in client:
                count += 1
    except TimeoutError:
        return count


@run_async
async def test_small_talk_of_the_status_stream():
    async with collecting() as collector, socket(collector.ports[0], STATUS) as client:
        pong = await reply(client, {"type": "ping"})
        assert set(pong) == {"type", "timestamp"}
        assert pong["type"] == "pong"
        assert abs(pong["timestamp"] / 1000 - time.time()) < 5
        unknown = await reply(client, {"type": "dance"})
        assert unknown["type"] == "error"
        assert unknown["received"] == "dance"
        broken = await reply(client, "no json")
        assert set(broken) == {"type", "message"}
        assert (await reply(client, {"type": "ping"}))["type"] == "pong"


@run_async
async def test_subscribe_narrows_what_is_sent():
    async with collecting() as collector, socket(collector.ports[0], STATUS) as client:
        await receive(client)
        assert await reply(client, {"type": "subscribe", "metrics": ["sessions", "metrics"]}) == {
            "type": "subscribed",
            "metrics": ["sessions", "metrics"],
        }
        async with socket(collector.ports[0], METRICS):  # a change, so that status comes at once
            narrow = await receive_where(client, lambda one: one["type"] == "status")
        assert set(narrow["data"]["vector"]) == {"sessions", "others"}
        assert "meta" not in narrow["data"]
        assert (await reply(client, {"type": "subscribe", "metrics": ["nonsense"]}))["type"] == "error"
        assert (await reply(client, {"type": "subscribe"}))["metrics"] == ["all"]
        async with socket(collector.ports[0], METRICS), socket(collector.ports[0], METRICS):
            whole = await receive_where(client, lambda one: one["type"] == "status" and "meta" in one["data"])
        assert fits(whole["data"], STATUS_SHAPE)


@run_async
async def test_small_talk_of_the_other_streams():
    async with (
        collecting() as collector,
        socket(collector.ports[1], WORKERS) as workers,
        socket(collector.ports[0], METRICS) as metrics,
    ):
        beat = await reply(workers, {"type": "heartbeat"})
        assert set(beat) == {"type", "receivedAt"}
        assert abs(beat["receivedAt"] / 1000 - time.time()) < 5
        assert (await reply(workers, {"type": "x"}))["received"] == "x"
        assert (await reply(metrics, {"type": "ping"}))["type"] == "pong"
        assert (await reply(metrics, "[]"))["type"] == "error"


@run_async
async def test_a_message_may_come_as_binary():
    async with collecting() as collector, socket(collector.ports[0], STATUS) as client:
        assert (await reply(client, b'{"type":"ping"}'))["type"] == "pong"


@run_async
async def test_connections_and_subscribers_are_counted():
    async with collecting() as collector, socket(collector.ports[0], METRICS) as metrics:
        async with socket(collector.ports[0], STATUS), socket(collector.ports[1], WORKERS):
            await asyncio.sleep(0)
            seen = await receive_where(metrics, lambda one: one["websockets"]["totalSubscribers"] == 3)
            assert seen["websockets"]["subscribers"] == {"status": 1, "workers": 1, "metrics": 1}
            assert seen["websockets"]["pendingConnections"] == 3
        gone = await receive_where(metrics, lambda one: one["websockets"]["totalSubscribers"] == 1)
        assert gone["websockets"]["pendingConnections"] == 1


@run_async
async def test_a_change_is_pushed_at_once_and_figures_that_always_move_are_not():
    async with collecting(period_s=0.05) as collector, socket(collector.ports[0], STATUS) as client:
        quiet = await count_for(client, 0.7)
        assert quiet <= 3  # the greeting, its own arrival, at most one point of the grid
        waits = []
        for _ in range(5):
            async with socket(collector.ports[0], METRICS):
                began = time.monotonic()
                await receive_where(
                    client, lambda one: one["data"]["vector"]["sessions"]["websocketConnections"] == 2
                )
                waits.append(time.monotonic() - began)
            await receive_where(
                client, lambda one: one["data"]["vector"]["sessions"]["websocketConnections"] == 1
            )
            await asyncio.sleep(0.03)
        assert sorted(waits)[2] < 0.1
