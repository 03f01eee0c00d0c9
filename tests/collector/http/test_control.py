"""The owner's socket: token first, then one answer for each request, whatever is asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from typing import Annotated

import msgspec
import pytest
from msgspec import Meta
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tes_nb.collector.http import sockets
from tes_nb.errors import CollectorError
from tes_nb.model import Opcode
from tes_nb.model.control import GetCost, operations
from tes_nb.model.operation import Operation
from tes_nb.model.table import Field
from tes_nb.net.control_client import ControlClient
from tes_nb.wire.events import Mark, decode_event
from tes_nb.wire.record import unpack
from tests.support.aio import run_async
from tests.support.collectors import (
    METRICS,
    TOKEN,
    Scales,
    collecting,
    listing,
    next_record,
    open_socket,
    receive,
    socket,
)
from tests.support.waiting import busy
from tests.support.websocket_frames import TEXT, frame

CONTROL = "/ws/control"


class Owner:
    """A control client that has shown the token."""

    def __init__(self, client):
        self.client = client
        self._count = 0

    async def ask(self, op, **args):
        self._count += 1
        return await self.say({"id": self._count, "op": op, "args": args})

    async def say(self, message):
        await self.client.send(message if isinstance(message, str | bytes) else json.dumps(message))
        return await receive(self.client)


def auth(token=TOKEN):
    return json.dumps({"type": "auth", "token": token})


class Delay(Operation[str], tag="delay"):
    """An operation that exists in this file alone: nothing else had to be touched for it."""

    seconds: Annotated[float, Field("s", "how long the answer takes")]
    words: Annotated[tuple[Annotated[str, Meta(max_length=10)], ...], Field("", "what it says")] = ()


async def delay(operation: Delay) -> str:
    await asyncio.sleep(operation.seconds)
    return " ".join(operation.words)


async def owner_of(client):
    await client.send(auth())
    return Owner(client)


def control(collector, **given):
    return socket(collector.ports[0], CONTROL, **given)


async def closing(client, patience_s=5.0):
    """The code and reason with which the server closes."""
    with pytest.raises(ConnectionClosed) as closed:
        await asyncio.wait_for(client.recv(), patience_s)
    return closed.value.rcvd.code, closed.value.rcvd.reason


@run_async
async def test_without_a_token_within_two_seconds_it_closes():
    async with collecting() as collector, control(collector) as client:
        began = time.monotonic()
        code, reason = await closing(client)
        assert (code, reason) == (1008, "no token within 2 s")
        assert 1.5 < time.monotonic() - began < busy(4)


@run_async
async def test_fault_73_an_owner_whose_interpreter_is_held_answers_no_ping_and_is_not_cut_off(monkeypatch):
    monkeypatch.setattr(sockets, "PING_S", 0.1)
    async with collecting() as collector:
        reader, writer = await open_socket(collector.ports[0], CONTROL)
        writer.write(frame(TEXT, auth().encode()))
        await asyncio.sleep(1)
        writer.write(frame(TEXT, b'{"id": 1, "op": "list_recordings", "args": {}}'))
        answer = await asyncio.wait_for(reader.readuntil(b'"id":1'), 5)
        assert answer.startswith(b"\x81"), "a text, and no ping before it"
        writer.close()


@run_async
async def test_pings_do_not_buy_time(monkeypatch):
    monkeypatch.setattr("tes_nb.collector.http.sockets.AUTH_TIMEOUT_S", 0.4)
    async with collecting() as collector, control(collector) as client:

        async def ping():
            while True:
                await client.ping()
                await asyncio.sleep(0.05)

        pings = asyncio.create_task(ping())
        assert (await closing(client, 2))[0] == 1008
        pings.cancel()
        await asyncio.gather(pings, return_exceptions=True)


@pytest.mark.parametrize(
    "first",
    [
        auth("wrong"),
        auth(""),
        auth(TOKEN[:-1]),
        auth(TOKEN + "x"),
        auth("tökèn"),
        '{"type":"auth","token":"\\ud800"}',
        json.dumps({"type": "auth", "token": [TOKEN]}),
        '{"type":"auth"}',
        json.dumps({"token": TOKEN}),
        '{"id":1,"op":"scale","args":{"count":3}}',
        "no json",
        "[" * 5000,
        "",
        b"\x00",
    ],
    ids=lambda one: repr(one)[:30],
)
@run_async
async def test_a_wrong_first_message_closes_and_does_nothing(first):
    async with collecting() as collector, control(collector) as client:
        scales = Scales(collector)
        await client.send(first)
        assert (await closing(client))[0] == 1008
        assert scales.asked == []


@run_async
async def test_requests_are_answered_by_id():
    async with collecting() as collector, control(collector) as client:
        owner = await owner_of(client)
        for request_id in (1, "abc", 2**53, None):
            answer = await owner.say({"id": request_id, "op": "cost", "args": {}})
            assert answer["id"] == request_id
            assert answer["ok"] is True
        assert set(answer["result"]) >= {"cpu_s", "gb_h", "peak", "children_cpu_s"}


@run_async
async def test_a_slow_request_does_not_hold_up_the_next():
    async with collecting() as collector, control(collector) as client:
        collector.control.register(Delay, delay)
        owner = await owner_of(client)
        await client.send('{"id":1,"op":"delay","args":{"seconds":0.2,"words":["slow"]}}')
        assert (await owner.say({"id": 2, "op": "cost"}))["id"] == 2
        assert await receive(client) == {"id": 1, "ok": True, "result": "slow"}


@run_async
async def test_a_new_operation_is_one_struct_and_one_handler():
    async with collecting() as collector:
        collector.control.register(Delay, delay)
        client = ControlClient(f"ws://127.0.0.1:{collector.ports[0]}{CONTROL}", TOKEN)
        await client.start()
        assert await client.call(Delay(seconds=0.0, words=["there", "it", "is"])) == "there it is"
        with pytest.raises(
            CollectorError, match="'words' must be a list, each a text of at most 10 characters"
        ):
            await client.call(Delay(seconds=0.0, words=["x" * 11]))
        await client.stop()


@pytest.mark.parametrize(
    "request_",
    [
        "no json",
        "[]",
        "null",
        "[" * 5000,
        '{"id":1,"op":1e999}',
        '{"id":{},"op":"cost"}',
        '{"id":1}',
        '{"id":1,"op":"nothing"}',
        '{"id":1,"op":["cost"]}',
        '{"id":1,"op":"cost","args":[]}',
        '{"id":1,"op":"mark","args":{}}',
        '{"id":1,"op":"mark","args":{"label":""}}',
        '{"id":1,"op":"mark","args":{"label":5}}',
        '{"id":1,"op":"mark","args":{"label":"%s"}}' % ("x" * 201),
        '{"id":1,"op":"scale","args":{"count":-1}}',
        '{"id":1,"op":"scale","args":{}}',
        '{"id":1,"op":"kernel","args":{"exit":{"pid":"1"}}}',
        '{"id":1,"op":"kernel","args":{"exit":7}}',
        '{"id":1,"op":"kernel","args":{"origin":"javascript:alert(1)"}}',
        '{"id":1,"op":"kernel","args":{"origin":"http://a/b"}}',
        '{"id":1,"op":"kernel","args":{"row":5}}',
        '{"id":1,"op":"kernel","args":{"row":{},"between":["a","b"]}}',
        '{"id":1,"op":"kernel","args":{"row":{},"between":[1]}}',
        '{"id":1,"op":"subscribe","args":{"source":"nothing","names":[]}}',
        "\ufeff{}",
        '{"id":1,"op":"\\ud800"}',
    ],
    ids=lambda one: one[:50],
)
@run_async
async def test_what_cannot_be_done_is_a_sentence_and_the_socket_stays(request_):
    async with collecting() as collector, control(collector) as client:
        owner = await owner_of(client)
        answer = await owner.say(request_)
        assert answer["ok"] is False
        assert answer["error"].endswith(".")
        assert "Traceback" not in answer["error"]
        assert (await owner.ask("cost"))["ok"] is True


@run_async
async def test_no_operation_takes_what_it_does_not_describe():
    async with collecting() as collector, control(collector) as client:
        owner = await owner_of(client)
        for op, operation in operations().items():
            wrong = {field.name: {"nonsense": 1} for field in msgspec.structs.fields(operation)}
            for args in ({"nonsense": 1}, wrong) if wrong else ({"nonsense": 1},):
                answer = await owner.ask(op, **args)
                assert answer["ok"] is False
                expected = "no field 'nonsense'" if "nonsense" in args else f"'{next(iter(wrong))}' must be "
                live = op not in ("replay", "track")
                assert (expected if live else "no such operation") in answer["error"]
        assert (await owner.ask("cost"))["ok"] is True


@run_async
async def test_a_bug_is_reported_without_its_details(caplog):
    async with collecting() as collector, control(collector) as client:

        async def broken(operation):
            raise KeyError("inner detail")

        collector.control.register(Delay, broken)
        answer = await (await owner_of(client)).ask("delay", seconds=0)
        assert "log says more" in answer["error"]
        assert "inner" not in answer["error"]
    assert "inner detail" in caplog.text


@run_async
async def test_rows_of_the_kernel_go_to_its_relay():
    row = {"type": "gauge", "name": "loss", "value": 0.25, "unit": "", "timestamp": 1_767_225_600_000}
    async with (
        collecting(observed_pid=os.getpid()) as collector,
        control(collector) as client,
        socket(collector.ports[0], "/ws/relay/kernel?after=0") as relay,
    ):
        owner = await owner_of(client)
        assert (await owner.ask("kernel", row=row))["result"] == {"seq": 1}
        message = unpack("kernel", await next_record(relay, 5))
        assert message.json() == row
        # a cell's row gets what was sampled while it ran
        now = time.monotonic_ns()
        row = {"type": "cell", "number": 1, "start": 0, "wall_s": 1.0, "cpu_s": 0.1}
        await owner.ask("kernel", row=row, between=[now - 10**9, now])
        cell = unpack("kernel", await next_record(relay, 5)).json()
        assert cell["rss_mean"] > 2**20
        assert cell["peak_source"] == "sampled"


@run_async
async def test_exit_codes_reach_the_registry():
    async with collecting() as collector, control(collector) as client, listing(collector) as process:
        owner = await owner_of(client)
        process.kill()
        await asyncio.to_thread(process.wait)
        assert (await owner.ask("kernel", exit={"pid": process.pid, "code": -9}))["ok"] is True
        (worker,) = [one for one in collector.observer.workers.facts() if one.pid == process.pid]
        assert (worker.status, worker.last_error) == ("error", "killed by SIGKILL")


@run_async
async def test_a_mark_lands_in_every_source():
    async with collecting() as collector, control(collector) as client:
        owner = await owner_of(client)
        answer = await owner.ask("mark", label="before the change")
        for source, topic in collector.hub.topics.items():
            events = [unpack(source, one) for one in topic.log.after(0)]
            (mark,) = [decode_event(one.payload) for one in events if one.opcode == Opcode.EVENT]
            assert mark == Mark(label="before the change", at_ns=answer["result"]["at_ns"])


@run_async
async def test_a_silent_kernel_was_held(monkeypatch):
    monkeypatch.setattr("tes_nb.collector.kernel_source.MAX_SILENCE_S", 0.2)
    async with collecting() as collector, control(collector) as client:
        owner = await owner_of(client)
        for pause in (0.05, 0.05, 0.4, 0.05):
            await owner.ask("kernel", heartbeat=time.monotonic_ns())
            await asyncio.sleep(pause)
        await owner.ask("kernel", heartbeat=time.monotonic_ns())
        (held,) = [unpack("kernel", one).json() for one in collector.hub.topics["kernel"].log.after(0)]
        assert held["type"] == "held"
        assert 0.35 < held["seconds"] < 3
        assert abs(held["start"] / 1e9 + held["seconds"] - time.time()) < 3


@run_async
async def test_a_kernel_that_had_no_processor_was_not_held(monkeypatch):
    monkeypatch.setattr("tes_nb.collector.kernel_source.MAX_SILENCE_S", 0.2)
    async with collecting() as collector, control(collector) as client:
        owner = await owner_of(client)
        beat, starved = time.monotonic_ns(), 5_000_000_000
        for silence, waited in ((0, 0), (600, 500), (600, 300), (100, 0)):  # ms
            beat, starved = beat + silence * 10**6, starved + waited * 10**6
            await owner.ask("kernel", heartbeat=beat, starved=starved)
        (held,) = [unpack("kernel", one).json() for one in collector.hub.topics["kernel"].log.after(0)]
        assert held["seconds"] == pytest.approx(0.6)  # the second of them: 300 ms of it were its own


@run_async
async def test_the_kernel_vouches_for_the_origin_of_its_page():
    async with collecting() as collector, control(collector) as client:
        owner = await owner_of(client)
        await owner.ask("kernel", origin="http://localhost:8888")
        async with socket(collector.ports[0], METRICS, origin="http://localhost:8888") as page:
            await receive(page)
        for number in range(19):
            assert (await owner.ask("kernel", origin=f"https://hub-{number}.example"))["ok"]
        assert (await owner.ask("kernel", origin="https://hub-1.example"))["ok"]  # known already
        refused = await owner.ask("kernel", origin="https://one-too-many.example")
        assert "20 origins" in refused["error"]


@run_async
async def test_a_page_shows_the_token_late_and_is_no_stranger():
    """A browser cannot send the header. Its socket must neither be counted nor be crowded out by strangers."""
    async with collecting(limits={"clients": 2}) as collector:
        strangers = [await open_socket(collector.ports[0], METRICS) for _ in range(2)]
        async with control(collector) as client, control(collector) as second:
            owner = await owner_of(client)
            assert (await owner.ask("cost"))["ok"]
            await (await owner_of(second)).ask("cost")
            async with control(collector) as third:  # the places of those that wait are free again
                assert (await (await owner_of(third)).ask("cost"))["ok"]
                assert collector.sockets.foreign == 2
        for _, writer in strangers:
            writer.close()


@run_async
async def test_a_client_that_leaves_before_its_answer():
    async with collecting() as collector:
        for _ in range(5):
            client = await control(collector)
            await client.send(auth())
            for number in range(20):
                await client.send(json.dumps({"id": number, "op": "scale", "args": {"count": 0}}))
            client.transport.abort()
        async with control(collector) as client:
            assert (await (await owner_of(client)).ask("cost"))["ok"]


@run_async
async def test_an_owner_may_say_a_lot():
    async with collecting() as collector, control(collector) as client:
        owner = await owner_of(client)
        row = '{"id":%d,"op":"kernel","args":{"row":{"type":"gauge","name":"x","value":1}}}'
        began = time.monotonic()
        for number in range(3000):
            await owner.client.send(row % number)
        answers = [await receive(client) for _ in range(3000)]
        assert all(answer["ok"] for answer in answers)
        assert time.monotonic() - began < 10


async def flood(collector, until):
    """Keep every place of those who have yet to show the token taken, as four threads without one can."""

    async def one():
        while not until.is_set():
            with contextlib.suppress(Exception):
                async with control(collector, open_timeout=2) as client:
                    await client.wait_closed()

    await asyncio.gather(*(one() for _ in range(collector.options.limits.clients + 16)))


@run_async
async def test_whoever_has_no_token_cannot_shut_the_owner_out():
    async with collecting(limits={"clients": 8}) as collector:
        until = asyncio.Event()
        flooding = asyncio.create_task(flood(collector, until))
        refused = 0
        while not refused:
            try:
                async with control(collector, open_timeout=2):
                    await asyncio.sleep(0.05)
            except InvalidStatus as error:
                refused = error.response.status_code
        assert refused == 503
        for _ in range(5):
            owner = ControlClient(f"ws://127.0.0.1:{collector.ports[0]}{CONTROL}", TOKEN)
            await owner.start()
            assert (await owner.call(GetCost(), timeout_s=2)).cpu_s >= 0
            await owner.stop()
        until.set()
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)


@run_async
async def test_a_wrong_token_in_the_handshake_is_a_guess():
    """Else the place that a connection gets would tell whether it was right, as often as one likes to try."""
    async with collecting() as collector:
        for path in (CONTROL, METRICS):
            with pytest.raises(InvalidStatus) as refused:
                async with socket(collector.ports[0], path, token="wrong"):
                    pass
            assert refused.value.response.status_code == 401
        for _ in range(10):
            with pytest.raises(InvalidStatus) as refused:
                async with control(collector, token="wrong"):
                    pass
        assert refused.value.response.status_code == 429
        async with control(collector, token=TOKEN) as client:
            assert (await (await owner_of(client)).ask("cost"))["ok"]
