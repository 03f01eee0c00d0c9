"""Upstreams asked for at run time, over the control socket, against a real stand-in."""

from __future__ import annotations

import contextlib
import json

import pytest

from tes_nb.errors import CollectorError
from tes_nb.model import Opcode
from tes_nb.model.control import (
    PutMark,
    StartRecording,
    StopRecording,
    SubscribeSource,
    UnwatchResult,
    UnwatchSource,
    WatchResult,
    WatchSource,
)
from tes_nb.net.control_client import ControlClient
from tes_nb.simulate import Fault, Options, serve
from tes_nb.store.session.reader import SessionFile
from tes_nb.streams.nowgoal.stream import DEFAULT
from tests.support.aio import run_async
from tests.support.collectors import TOKEN, collecting
from tests.support.standin import get_json
from tests.support.waiting import eventually_async


@contextlib.asynccontextmanager
async def watching(**options):
    """A stand-in, a collector, and a control client."""
    server = await serve(Options(**({"speed": 100.0} | options)))
    try:
        async with collecting(produce=False) as collector:
            client = ControlClient(f"ws://127.0.0.1:{collector.ports[0]}/ws/control", TOKEN)
            await client.start()
            try:
                yield server, collector, client
            finally:
                await client.stop()
    finally:
        await server.stop()


def endpoint(server, **more):
    return WatchSource(**{"stream": "nowgoal", "url": server.url, "token_url": server.token_url} | more)


def records(collector, source="nowgoal"):
    return len(collector.hub.topic(source).log.after(0, 10**6))


async def connections(server):
    return (await get_json(server, "/ledger"))["connections"]


@run_async
async def test_a_watch_reads_an_endpoint_with_the_usual_channels():
    async with watching() as (server, collector, client):
        result = await client.call(endpoint(server))
        assert result == WatchResult(watch=1, source="nowgoal", after=0, channels=list(DEFAULT))
        await eventually_async(lambda: records(collector) > 10)
        (connection,) = await connections(server)
        assert connection["channels"] == sorted(DEFAULT)


@run_async
async def test_watches_of_one_endpoint_share_a_connection_and_ask_for_the_union():
    async with watching() as (server, collector, client):
        first = await client.call(endpoint(server, channels=["scores"]))
        second = await client.call(endpoint(server, channels=["odds", "scores"]))
        assert first.channels == ["change_xml"]
        assert second.channels == ["change_xml", "ch_goal8_xml"]
        assert (first.source, second.source) == ("nowgoal", "nowgoal")
        await eventually_async(lambda: records(collector) > 10)
        assert len(await connections(server)) == 1
        left = await client.call(UnwatchSource(watch=second.watch))
        assert left == UnwatchResult(ended=False, channels=["change_xml"])
        await eventually_async(lambda: server.ledger()["connections"][0]["channels"] == ["change_xml"])
        nothing = await client.call(UnwatchSource(watch=first.watch))
        assert nothing == UnwatchResult(ended=True, channels=[])
        await eventually_async(lambda: not server.ledger()["connections"][0]["open"])
        assert len(await connections(server)) == 1


@run_async
async def test_channels_change_for_all_and_are_sent_once():
    async with watching() as (server, collector, client):
        await client.call(endpoint(server, channels=["scores"]))
        await eventually_async(lambda: records(collector) > 3)
        result = await client.call(SubscribeSource(source="nowgoal", names=["odds"]))
        assert result.channels == ["ch_goal8_xml"]
        server.post(Fault("reset"))
        await eventually_async(lambda: len(server.ledger()["connections"]) == 2)
        first, second = await connections(server)
        assert [one["channels"] for one in first["subscriptions"]] == [["change_xml"], ["ch_goal8_xml"]]
        await eventually_async(lambda: server.ledger()["connections"][1]["subscriptions"])
        assert second["ended"] == ""
        (asked,) = server.ledger()["connections"][1]["subscriptions"]
        assert asked["channels"] == ["ch_goal8_xml"]


@run_async
async def test_another_endpoint_gets_a_name_of_its_own():
    async with watching() as (server, collector, client):
        await client.call(endpoint(server))
        other = await client.call(endpoint(server, url=server.stream_url, auth="query", channels=["odds"]))
        assert other.source == "nowgoal_2"
        await eventually_async(lambda: records(collector, "nowgoal_2") > 5)
        urls = {collector._about("nowgoal")[1], collector._about("nowgoal_2")[1]}
        assert urls == {server.url, server.stream_url}
        assert [one["channels"] for one in await connections(server)][1] == ["ch_goal8_xml"]


@run_async
async def test_numbers_go_on_when_a_source_is_watched_again():
    async with watching() as (server, collector, client):
        first = await client.call(endpoint(server))
        await eventually_async(lambda: records(collector) > 5)
        await client.call(UnwatchSource(watch=first.watch))
        last = collector.hub.topic("nowgoal").log.last
        again = await client.call(endpoint(server))
        assert (again.source, again.after) == ("nowgoal", last)
        await eventually_async(lambda: records(collector) > 5)
        assert collector.hub.topic("nowgoal").log.first == last + 1


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({"stream": "nothing"}, "no stream 'nothing'"),
        ({}, "'watch' needs 'stream', a text"),
        ({"stream": "nowgoal", "channels": "odds"}, "'channels' must be a list, each a text"),
        ({"stream": "nowgoal", "nonsense": 1}, "no field 'nonsense'; its fields are stream, source, url"),
        ({"stream": "nowgoal", "channels": ["a b"]}, "no channel of NowGoal"),
        ({"stream": "nowgoal", "url": "http://localhost/ws"}, "no WebSocket address"),
        (
            {"stream": "nowgoal", "url": "wss://localhost/ws", "token_url": "nonsense"},
            "no address of a token",
        ),
        ({"stream": "nowgoal", "auth": "cookie"}, "'auth' must be 'header' or 'query'"),
        ({"stream": "nowgoal", "token": "line\nbreak"}, "cannot travel in a header"),
        ({"stream": "nowgoal", "source": "../secrets"}, "must be made of letters"),
    ],
)
@run_async
async def test_what_makes_no_sense_is_refused_with_a_sentence(args, sentence):
    async with collecting(produce=False) as collector:
        client = ControlClient(f"ws://127.0.0.1:{collector.ports[0]}/ws/control", TOKEN)
        await client.start()
        request = json.dumps({"id": 1, "op": "watch", "args": args})
        assert sentence in json.loads(await collector.control.answer(request))["error"]
        assert collector.upstreams == {}
        with pytest.raises(CollectorError, match="no such watch"):
            await client.call(UnwatchSource(watch=7))
        with pytest.raises(CollectorError, match="no upstream called 'nowgoal'"):
            await client.call(SubscribeSource(source="nowgoal", names=[]))
        await client.stop()


@run_async
async def test_fault_19_a_token_is_in_no_record_and_no_repr():
    async with watching() as (server, collector, client):
        secret = "secret-1f2e3d.abc.def"
        await client.call(endpoint(server, token=secret))  # the stand-in refuses it
        await eventually_async(
            lambda: any(b"401" in record for record in collector.hub.topic("nowgoal").log.after(0, 10**6))
        )
        kept = b"".join(collector.hub.topic("nowgoal").log.after(0, 10**6))
        assert secret.encode() not in kept
        upstream = collector.watches._endpoints["nowgoal"]
        assert secret not in repr((upstream, upstream.upstream, collector.watches, collector.options))


@run_async
async def test_a_state_says_how_long_the_token_is_good():
    async with watching(token_life_s=30.0) as (server, collector, client):
        await client.call(endpoint(server))
        await eventually_async(lambda: collector.hub.topic("nowgoal").state is not None)
        await eventually_async(lambda: b'"token_until_ns":1' in collector.hub.topic("nowgoal").state)
        assert collector.hub.topic("nowgoal").state[1] == Opcode.EVENT


@run_async
async def test_a_recording_that_begins_after_a_feed_has_ended_has_it_when_it_is_watched_again(tmp_path):
    async with watching() as (server, collector, client):
        for name in ("again", "gone"):
            source = endpoint(server, source=name, channels=["change_xml"])
            watch = await client.call(source)
            await eventually_async(lambda name=name: records(collector, name) > 5)
            await client.call(UnwatchSource(watch=watch.watch))
        path = tmp_path / "later.tes"
        await client.call(StartRecording(path=str(path)))
        await client.call(PutMark(label="before"))
        await client.call(endpoint(server, source="again"))
        await eventually_async(lambda: records(collector, "again") > 20)
        await client.call(StopRecording(path=str(path)))
    with SessionFile.open(path) as file:
        assert {one.stream for one in file.sources.values() if one.name in ("again", "gone")} == {"nowgoal"}
        assert file.states("gone") == ()
        assert sum(1 for _ in file.messages("again")) > 20
