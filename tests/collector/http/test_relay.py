"""The relay over real sockets: from any point, at any pace, never a record lost, doubled or silently left out."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from tes_nb.model import Opcode
from tes_nb.wire.events import Gap, StateChange, decode_event
from tes_nb.wire.record import unpack
from tests.support.aio import run_async
from tests.support.collectors import TOKEN, ask, collecting, handshake, next_record, open_socket, socket
from tests.support.waiting import eventually_async

FEED = "feed"


def relay(collector, query="", **given):
    return socket(collector.ports[0], f"/ws/relay/{FEED}{query}", token=TOKEN, **given)


@asynccontextmanager
async def feed(**given):
    """A collector whose only busy source is the test's own."""
    async with collecting(produce=False, **given) as collector:
        collector.hub.topic(FEED)
        yield collector


async def receive(client, count, patience_s=10.0):
    async with asyncio.timeout(patience_s):
        return [unpack(FEED, await next_record(client)) for _ in range(count)]


def numbers(messages):
    return [int(one.payload) for one in messages if one.opcode != Opcode.EVENT]


def stamp(collector, first, last, padding=b""):
    for number in range(first, last + 1):
        collector.hub.add(FEED, b"%d" % number + padding)


@run_async
async def test_from_the_beginning_from_a_number_and_from_now():
    async with feed() as collector:
        stamp(collector, 1, 5)
        async with (
            relay(collector, "?after=0") as all_of_it,
            relay(collector, "?after=3") as later,
            relay(collector) as new,
        ):
            await asyncio.sleep(0.01)
            stamp(collector, 6, 7)
            assert numbers(await receive(all_of_it, 7)) == [1, 2, 3, 4, 5, 6, 7]
            assert numbers(await receive(later, 4)) == [4, 5, 6, 7]
            assert numbers(await receive(new, 2)) == [6, 7]


@run_async
async def test_records_are_the_stamped_ones():
    async with feed() as collector:
        sent = collector.hub.add(FEED, b"\x00\xff binary", opcode=Opcode.BINARY, direction=1, conn=9, flags=2)
        async with relay(collector, "?after=0") as client:
            assert await receive(client, 1) == [sent]


@run_async
async def test_a_number_from_before_a_restart_means_from_now_on():
    async with feed() as collector:
        stamp(collector, 1, 3)
        async with relay(collector, "?after=1000000") as client:
            await asyncio.sleep(0.01)
            stamp(collector, 4, 4)
            assert numbers(await receive(client, 1)) == [4]


@pytest.mark.parametrize("after", ["-1", "1.5", "x", "", "9" * 19, "%00"])
@run_async
async def test_what_is_no_number_is_refused(after):
    async with feed() as collector:
        stamp(collector, 1, 1)
        assert (await handshake(collector.ports[0], f"/ws/relay/{FEED}?after={after}")).status == 400


@run_async
async def test_an_unknown_source_names_the_known_ones():
    async with collecting() as collector:
        answer = await ask(collector.ports[0], "/ws/relay/nothing")
        assert answer.status == 404
        assert "kernel, metrics, status, workers" in answer.json()["error"]


@run_async
async def test_each_produced_stream_has_its_relay():
    async with collecting() as collector:
        for source in ("status", "workers", "metrics"):
            async with socket(collector.ports[0], f"/ws/relay/{source}?after=0") as client:
                message = unpack(source, await next_record(client, 3))
                assert (message.seq, message.conn, message.opcode) == (1, 0, Opcode.TEXT)


@run_async
async def test_a_reader_that_lags_catches_up_without_loss_or_doubling():
    async with feed() as collector, relay(collector, "?after=0", max_queue=1) as client:
        padding = b" " * 4000
        total = 0
        got = []
        for burst in (10, 3000, 1, 500):  # 12 MB in the largest: beyond every buffer on the way
            stamp(collector, total + 1, total + burst, padding)
            total += burst
            await asyncio.sleep(0.02)
            got += await receive(client, burst // 2)
        got += await receive(client, total - len(got))
        assert [one.seq for one in got] == list(range(1, total + 1))
        stamp(collector, total + 1, total + 1)  # and is pushed to again
        assert numbers(await receive(client, 1)) == [total + 1]


@run_async
async def test_a_reader_slower_than_the_writer_gets_gaps_and_the_rest_in_order():
    async with (
        feed(limits={"relay_bytes": 2**20}) as collector,
        relay(collector, "?after=0", max_queue=1) as client,
    ):
        collector.hub.event(FEED, StateChange(state="OPEN", text="OPEN", conn=1, at_ns=0))
        done = asyncio.Event()
        got = []

        async def read():
            while not done.is_set() or not got or got[-1].seq < collector.hub.topics[FEED].log.last:
                got.extend(await receive(client, 1))
                if len(got) % 50 == 0:
                    await asyncio.sleep(0.005)

        reading = asyncio.create_task(read())
        for number in range(400):
            stamp(collector, 10 * number + 1, 10 * number + 10, b" " * 4000)
            await asyncio.sleep(0)
        done.set()
        await asyncio.wait_for(reading, 20)
        assert_every_hole_is_reported(got)


def assert_every_hole_is_reported(got):
    """Seen + told missing = all; nothing twice; the state comes again before each gap."""
    last, missing, gaps = 0, 0, 0
    for one in got:
        event = decode_event(one.payload) if one.opcode == Opcode.EVENT else None
        if isinstance(event, Gap):
            assert event.cause == "relay overflow"
            assert one.seq == last + event.missing
            missing += event.missing
            gaps += 1
            last = one.seq
        elif isinstance(event, StateChange) and one.seq <= last:
            continue  # told again before a gap
        else:
            assert one.seq == last + 1
            last = one.seq
    seen = sum(one.opcode != Opcode.EVENT for one in got)
    assert gaps >= 1, "the reader was never slow enough to prove anything"
    assert seen + missing >= 4000


@run_async
async def test_what_the_log_drops_while_a_gap_is_sent_is_in_a_gap(monkeypatch):
    send = web.WebSocketResponse.send_bytes
    async with feed(limits={"relay_bytes": 2**20}) as collector:
        stamp(collector, 1, 2000, b" " * 4000)

        async def slow(self, data):
            """The socket's buffer is full for a moment, as each gap is sent; thrice."""
            await send(self, data)
            last = collector.hub.topics[FEED].log.last
            if b"relay overflow" in data and last < 8000:
                stamp(collector, last + 1, last + 2000, b" " * 4000)

        monkeypatch.setattr(web.WebSocketResponse, "send_bytes", slow)
        async with relay(collector, "?after=0") as client:
            got = []
            while not got or got[-1].seq < 8000:
                got += await receive(client, 1)
    assert_every_hole_is_reported(got)
    assert len([one for one in got if one.opcode == Opcode.EVENT]) == 4


@run_async
async def test_a_stuck_reader_holds_nothing_but_its_socket():
    async with feed(limits={"relay_bytes": 2**20}) as collector:
        _, writer = await open_socket(collector.ports[0], f"/ws/relay/{FEED}?after=0", token=TOKEN)
        writer.transport.pause_reading()
        async with relay(collector, "?after=0") as good:
            for start in range(1, 4001, 20):
                stamp(collector, start, start + 19, b" " * 4000)
                await receive(good, 20)  # the others are not held up
            connections = collector._servers[0]._runner.server.connections
            assert max(one.transport.get_write_buffer_size() for one in connections) < 2**20
        writer.transport.abort()


@run_async
async def test_readers_that_leave_are_forgotten():
    async with feed() as collector:
        async with relay(collector, "?after=0", max_queue=None):
            await asyncio.sleep(0.01)
            assert len(collector.hub.topics[FEED].readers) == 1
            stamp(collector, 1, 100)
        await eventually_async(lambda: not collector.hub.topics[FEED].readers)
        stamp(collector, 101, 101)


@run_async
async def test_what_a_reader_says_is_ignored():
    async with feed() as collector, relay(collector, "?after=0") as client:
        for said in ("hello", b"\x00", "{}" * 1000):
            await client.send(said)
        stamp(collector, 1, 1)
        assert numbers(await receive(client, 1)) == [1]
