"""`/ws/rows/…`: what a peer sends, decoded for the page; and what `auth="all"` asks of a browser."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time

import pytest
from websockets.exceptions import ConnectionClosed

from tes_nb.collector.http.rows import BACK, RowDecoder
from tes_nb.collector.options import ReplayOptions, Upstream
from tes_nb.collector.replay.app import ReplayCollector
from tes_nb.model import Direction, Message, Opcode
from tes_nb.store.session.schema import SourceInfo
from tes_nb.streams import get
from tes_nb.wire.events import Gap, Mark, StateChange, Subscription, encode_event
from tests.support.aio import run_async
from tests.support.collectors import (
    METRICS,
    STATUS,
    TOKEN,
    WORKERS,
    ask,
    collecting,
    handshake,
    receive,
    socket,
)
from tests.support.observations import observation
from tests.support.sessions import write_session
from tests.support.waiting import eventually_async

KERNEL = "/ws/rows/kernel"


def gauge(name, value):
    return json.dumps({"type": "gauge", "name": name, "value": value, "unit": "B"}).encode()


async def items(client, count):
    """What comes but the word of the start, which is the first of a connection."""
    found = []
    while len(found) < count:
        batch = await receive(client)
        assert batch["type"] == "batch"
        found += [item for item in batch["items"] if item["type"] != "start"]
    return found


@run_async
async def test_rows_state_marks_and_gaps_of_a_source():
    async with collecting() as collector:
        collector.hub.add("kernel", gauge("loss", 0.5))
        async with socket(collector.ports[0], KERNEL) as client:
            (first,) = await items(client, 1)
            assert first["rows"] == {"gauges": [["loss", 0.5, "B"]]}
            assert (first["kind"], first["outcome"]) == ("data", "kernel: 1 gauges")
            assert first["size"] == first["inflated"] == len(first["text"])
            assert 0 <= first["age_s"] < 5
            collector.hub.event("kernel", Mark(label="here", at_ns=2_000_000_000))
            collector.hub.event(
                "kernel",
                Gap(conn=1, last_seen_ns=None, lost_at_ns=1_000_000_000, back_at_ns=None, cause="reset"),
            )
            collector.hub.event("kernel", StateChange("WAITING", "WAITING 2 s: refused", 1, 3_000_000_000))
            mark, gap, state = await items(client, 3)
            assert mark == {"type": "mark", "t": 2.0, "label": "here"}
            assert gap == {"type": "gap", "start": 1.0, "end": None, "label": "reset"}
            assert (state["word"], state["text"], state["since"]) == ("WAITING", "WAITING 2 s: refused", 3.0)
        async with socket(collector.ports[0], KERNEL) as client:
            assert (await items(client, 1))[0][
                "word"
            ] == "WAITING"  # whoever comes later learns the state first


@run_async
async def test_a_page_goes_on_where_it_was_and_begins_with_the_newest():
    async with collecting() as collector:
        for n in range(BACK + 50):
            collector.hub.add("kernel", gauge("n", n))
        async with socket(collector.ports[0], KERNEL) as client:
            all_of_them = await items(client, BACK)
            assert [all_of_them[0]["seq"], all_of_them[-1]["seq"]] == [51, BACK + 50]
        collector.hub.add("kernel", gauge("n", -1))
        async with socket(collector.ports[0], f"{KERNEL}?after={BACK + 50}") as client:
            assert [one["seq"] for one in await items(client, 1)] == [BACK + 51]
        async with socket(collector.ports[0], f"{KERNEL}?after=999999") as client:
            collector.hub.add("kernel", gauge("n", -2))
            assert [one["seq"] for one in await items(client, 1)] == [BACK + 52]
        before = f"{KERNEL}?after={BACK + 51}&start=another"
        async with socket(
            collector.ports[0], before
        ) as client:  # numbers of a collector that was here before
            assert (await receive(client))["items"][0] == {"type": "start", "id": collector.start_id}
            assert (await items(client, 1))[0]["seq"] == 53
        assert (await handshake(collector.ports[0], f"{KERNEL}?after=x")).status == 400
        assert (await handshake(collector.ports[0], "/ws/rows/nobody")).status == 404


@run_async
async def test_a_page_that_comes_back_learns_what_ended_meanwhile():
    def workers(*listed):
        build = get("workers").producer.build
        return json.dumps(build(dataclasses.replace(observation(), workers=listed))).encode()

    async with collecting() as collector:
        last = collector.hub.add("workers", workers(*observation().workers)).seq
        collector.hub.add("workers", workers())
        async with socket(collector.ports[0], f"/ws/rows/workers?after={last}") as client:
            changes = (await items(client, 1))[0]["lanes"]
        ended = [state for _, _, _, state, *_ in changes]
        assert None in ended


@run_async
async def test_a_page_that_cannot_keep_up_skips_and_says_so():
    async with collecting() as collector, socket(collector.ports[0], KERNEL) as client:
        collector.hub.add("kernel", gauge("n", 0))
        await items(client, 1)
        for n in range(5_000):
            collector.hub.add("kernel", gauge("n", n))
        skipped = (await items(client, 1))[0]
        assert skipped == {"type": "skipped", "count": 3_000}


@run_async
async def test_an_attached_peer_s_streams_are_listed_and_decoded():
    async with collecting() as peer:
        upstream = Upstream("metrics", "metrics", f"localhost:{peer.ports[0]}")
        async with collecting(produce=False, upstreams=(upstream,)) as collector:
            listed = (await ask(collector.ports[0], "/api/streams")).json()
            assert [(one["name"], one["plain"], one["path"]) for one in listed] == [
                ("metrics", None, "/ws/rows/metrics"),
                ("kernel", None, "/ws/rows/kernel"),
            ]
            assert listed[1]["period_s"] is None
            async with socket(collector.ports[0], "/ws/rows/metrics") as client:
                names = [column["name"] for column in listed[0]["tables"][0]["columns"]]
                async with asyncio.timeout(10):
                    while True:
                        (one, *_) = [one for one in await items(client, 1) if one["type"] == "message"] or [
                            None
                        ]
                        if one and one["rows"].get("metrics"):
                            break
                row = dict(zip(names, one["rows"]["metrics"][0], strict=True))
                assert row["memory_rss"] > 1_000_000


def test_what_json_cannot_carry_is_carried_another_way():
    decoder = RowDecoder("kernel", get("kernel"))

    def of(payload, opcode=Opcode.TEXT):
        return decoder.decode(Message("kernel", 0, opcode, payload, 1, time.monotonic_ns(), 0, 1))

    long = of(gauge("x" * 5_000, 1))["rows"]["gauges"][0][0]
    assert len(long) < 1_100
    assert long.endswith("(5000 characters)")
    unreadable = of(b"\xff\x00{")
    assert unreadable["kind"] == "undecoded"
    assert json.dumps(unreadable)
    binary = of(b"\x00\x01\x02", Opcode.BINARY)
    assert json.dumps(binary)
    assert of(b"not an event", Opcode.EVENT) is None


def test_rows_say_the_channel_that_was_asked_for():
    decoder = RowDecoder("nowgoal", get("nowgoal"))
    columns = get("nowgoal").table("odds").names
    xml = b"<c><match><m>3003850,17348417,-0.5,0.91,0.89</m></match></c>"

    def answer(payload, opcode=Opcode.TEXT, direction=Direction.IN):
        return decoder.decode(Message("nowgoal", direction, opcode, payload, 1, time.monotonic_ns(), 1, 1))

    def company():
        return dict(zip(columns, answer(xml)["rows"]["odds"][0], strict=True))["company"]

    state = StateChange("OPEN", "OPEN", 1, 0, channels=("ch_goal3_xml",), channels_mono_ns=1)
    assert answer(encode_event(state), Opcode.EVENT)["word"] == "OPEN"
    assert company() == "Crown"
    assert answer(b'{"type":0,"channels":["ch_goal47_xml"]}', direction=Direction.OUT)["kind"] == "sent"
    assert company() == "Pinnacle"
    assert answer(encode_event(Subscription(1, ("ch_goal8_xml",))), Opcode.EVENT) is None
    assert company() == "Bet365"


# auth="all" ----------------------------------------------------------------------------------------------------


def own(port):
    return [("Origin", f"http://127.0.0.1:{port}")]


@run_async
async def test_under_auth_all_the_shell_is_open_and_reveals_nothing():
    async with collecting(auth="all") as collector:
        port = collector.ports[0]
        page = await ask(port, "/", headers=own(port))
        assert page.status == 200
        assert TOKEN.encode() not in page.body
        assert str(collector.ports[1]).encode() not in page.body
        assert (await ask(port, "/static/page.js")).status == 200
        for path in ("/api/streams", "/api/dev/status", "/metrics", "/health"):
            assert (await ask(port, path, headers=own(port))).status == 401, path


@pytest.mark.parametrize(("place", "path"), [(0, METRICS), (1, WORKERS), (0, KERNEL)])
@run_async
async def test_under_auth_all_a_browser_shows_the_token_in_its_first_message(place, path):
    async with collecting(auth="all") as collector:
        collector.hub.add("kernel", gauge("loss", 0.5))
        port = collector.ports[place]
        origin = f"http://127.0.0.1:{collector.ports[0]}"
        async with socket(port, path, origin=origin) as client:
            await client.send(json.dumps({"type": "auth", "token": TOKEN}))
            assert await receive(client)
        async with socket(port, path, origin=origin) as client:
            await client.send(json.dumps({"type": "auth", "token": "wrong"}))
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(client.recv(), 5)
            assert closed.value.rcvd.code == 1008
        async with socket(port, path, origin=origin) as client:  # says nothing: gets nothing
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(client.recv(), 5)
            assert closed.value.rcvd.code == 1008
        assert (await handshake(port, path)).status == 401  # no browser
        assert (await handshake(port, path, headers=[("Origin", "http://evil.test")])).status == 403


@run_async
async def test_an_origin_that_the_kernel_vouches_for_may_come_through_a_proxy():
    async with collecting() as collector:
        hub = [("Origin", "https://hub.example")]
        asked = {"headers": hub, "host": "hub.example"}
        assert (await ask(collector.ports[0], "/api/streams", **asked)).status == 421
        async with socket(collector.ports[0], "/ws/control") as client:
            await client.send(json.dumps({"type": "auth", "token": TOKEN}))
            await client.send('{"id":1,"op":"kernel","args":{"origin":"https://hub.example"}}')
            assert (await receive(client))["ok"]
        assert (await ask(collector.ports[0], "/api/streams", **asked)).status == 200
        assert (await ask(collector.ports[0], "/api/streams", host="other.example")).status == 421


@run_async
async def test_our_own_streams_are_decoded_for_the_page_and_stay_plain_beside():
    async with collecting() as collector, socket(collector.ports[0], METRICS) as plain:
        for _ in range(3):
            payload = await receive(plain)
        listed = (await ask(collector.ports[0], "/api/streams")).json()
        assert {one["name"]: one["plain"] for one in listed} == {
            "status": {"port": collector.ports[0], "path": STATUS},
            "metrics": {"port": collector.ports[0], "path": METRICS},
            "workers": {"port": collector.ports[1], "path": WORKERS},
            "kernel": None,
        }
        events = {
            (one["name"], table["name"]) for one in listed for table in one["tables"] if table["events"]
        }
        assert events == {("kernel", "cells"), ("kernel", "held"), ("kernel", "activity")}
        for one in listed[:3]:
            async with socket(collector.ports[0], one["path"]) as client:
                first, second = (await items(client, 2))[:2]  # what was before comes first
                assert first["t"] <= second["t"]
                assert first["age_s"] >= second["age_s"] >= 0
                (row,) = first["rows"][one["main"]] or [None]
                columns = next(table["columns"] for table in one["tables"] if table["name"] == one["main"])
                assert row is None or len(row) == len(columns)
                if one["name"] == "metrics":
                    assert json.loads(first["text"]).keys() == payload.keys()


@run_async
async def test_a_page_of_a_replay_goes_on_where_it_was(tmp_path):
    """Its numbers are those of the recording, which began when its source had counted to a thousand."""
    at = [Message("kernel", 0, 1, gauge("n", n), n * 10**6, n * 10**6, 0, 1000 + n) for n in range(1, 101)]
    path = write_session(tmp_path / "late.tes", [SourceInfo("kernel", "kernel"), *at])
    replay = ReplayOptions(path=str(path), speed=None)

    async def first_of(query):
        """The number of the first message that a page gets which asks so."""
        async with socket(collector.ports[0], f"{KERNEL}?{query}&start={collector.start_id}") as client:
            while not (numbers := [one["seq"] for one in await items(client, 1) if "seq" in one]):
                pass
            return numbers[0]

    async with collecting(ReplayCollector, replay=replay) as collector:
        await eventually_async(lambda: collector.player.at_end)
        assert await first_of("after=1060") == 1061
        collector.player.seek(collector.player.schedule.first_ns)
        collector.player.resume()
        await eventually_async(lambda: collector.player.at_end)
        assert await first_of("after=1060&round=1") == 1061
        assert await first_of("after=1060") == 1001, "what it has is of another round"
        assert (await handshake(collector.ports[0], f"{KERNEL}?after=1&round=x")).status == 400
