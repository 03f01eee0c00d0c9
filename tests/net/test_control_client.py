"""The control client: requests, refusals, losses, and reports that wait for a connection."""

import asyncio
import contextlib
import json
import time
from typing import Any

import pytest
from websockets.asyncio.server import serve

from tes_nb.errors import ArgumentError, AuthenticationError, CollectorError
from tes_nb.model.control import Gauge, KernelReport, ProcessExit, PutMark
from tes_nb.model.operation import Operation
from tes_nb.net.control_client import MOST_BYTES, REPORT_LIMIT, ControlClient
from tests.support.aio import run_async
from tests.support.collectors import TOKEN, collecting
from tests.support.waiting import eventually_async


class Echo(Operation[Any], tag="echo"):
    """An operation with a free form."""

    value: Any = None


def gauge(number):
    return KernelReport(row=Gauge(name=str(number), timestamp=number))


class ControlServer:
    """A control endpoint that answers as the test wants."""

    def __init__(self, answer=None):
        self.answer = answer or (lambda request: {"id": request["id"], "ok": True, "result": request["args"]})
        self.first = []
        self.requests = []
        self.sockets = set()
        self.port = None

    async def __aenter__(self):
        await self.up()
        return self

    async def __aexit__(self, *_error):
        await self.down()

    async def up(self):
        self.server = await serve(self._serve, "127.0.0.1", self.port or 0, compression=None)
        self.port = self.server.sockets[0].getsockname()[1]

    async def down(self):
        self.server.close()
        await self.server.wait_closed()

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}/ws/control"

    async def _serve(self, connection):
        self.sockets.add(connection)
        with contextlib.suppress(Exception):
            auth = json.loads(await connection.recv())
            self.first.append(auth)
            if auth.get("token") != "right":
                await connection.close(1008, "wrong token")
                return
            async for text in connection:
                request = json.loads(text)
                self.requests.append(request)
                reply = self.answer(request)
                if reply is not None:
                    await connection.send(reply if isinstance(reply, str) else json.dumps(reply))
        self.sockets.discard(connection)

    def drop(self):
        for one in tuple(self.sockets):
            one.transport.abort()


@contextlib.asynccontextmanager
async def controlling(url, token="right"):
    control = ControlClient(url, token)
    await control.start()
    try:
        yield control
    finally:
        await control.stop()


@run_async
async def test_the_token_comes_first_and_each_request_gets_its_own_answer():
    async with ControlServer() as server, controlling(server.url) as control:
        answers = await asyncio.gather(*(control.call(Echo(value=str(n))) for n in range(20)))
        assert server.first == [{"type": "auth", "token": "right"}]
        assert answers == [{"value": str(n)} for n in range(20)]
        assert {request["op"] for request in server.requests} == {"echo"}
        assert len({request["id"] for request in server.requests}) == 20
        assert control.connected
        assert "right" not in repr(control)


@run_async
async def test_answers_in_any_order_find_their_requests():
    held = []

    async with ControlServer(held.append) as server, controlling(server.url) as control:
        calls = [asyncio.create_task(control.call(Echo(value=n))) for n in range(3)]
        await eventually_async(lambda: len(held) == 3)
        for request in reversed(held):
            for one in server.sockets:
                await one.send(
                    json.dumps({"id": request["id"], "ok": True, "result": request["args"]["value"]})
                )
        assert await asyncio.gather(*calls) == [0, 1, 2]


@run_async
async def test_a_refusal_is_raised_with_the_collectors_sentence():
    def answer(request):
        return {"id": request["id"], "ok": False, "error": "There is no such operation; known are mark."}

    async with ControlServer(answer) as server, controlling(server.url) as control:
        with pytest.raises(CollectorError, match="known are mark"):
            await control.call(Echo())


@run_async
async def test_an_answer_that_never_comes_ends_at_the_timeout():
    async with ControlServer(lambda request: None) as server, controlling(server.url) as control:
        with pytest.raises(CollectorError, match=r"did not answer 'echo' within 0\.1 s"):
            await control.call(Echo(), timeout_s=0.1)
        assert control._waiting == {}


@run_async
async def test_garbage_from_the_collector_does_no_harm():
    garbage = iter(["not json", '{"id": {}, "ok": true}', "[]", '{"id": 999, "ok": true}'])

    def answer(request):
        return next(garbage, None) or {"id": request["id"], "ok": True, "result": 1}

    async with ControlServer(answer) as server, controlling(server.url) as control:
        for _ in range(4):
            with pytest.raises(CollectorError):
                await control.call(Echo(), timeout_s=0.05)
        assert await control.call(Echo()) == 1


@run_async
async def test_a_result_of_another_form_is_an_error_of_the_call():
    def answer(request):
        return {"id": request["id"], "ok": True, "result": {"at_ns": "then"}}

    async with ControlServer(answer) as server, controlling(server.url) as control:
        with pytest.raises(CollectorError, match="answer to 'mark' is of another form"):
            await control.call(PutMark(label="x"))
        assert control.connected


@run_async
async def test_a_wrong_token_is_an_authentication_error_now_and_later():
    async with ControlServer() as server, controlling(server.url, "hush") as control:
        with pytest.raises(AuthenticationError, match="wrong token"):
            await control.call(Echo(), timeout_s=5)
        await eventually_async(lambda: control.state.word == "FAILED")
        with pytest.raises(AuthenticationError, match="wrong token"):
            await control.call(Echo(), timeout_s=5)
        assert "hush" not in str(control.state) + repr(control)
        assert len(server.first) == 1  # and it does not hammer


@run_async
async def test_a_call_waits_for_the_connection():
    async with ControlServer() as server:
        port = server.port
    async with controlling(f"ws://127.0.0.1:{port}/ws/control") as control:
        call = asyncio.create_task(control.call(Echo(value="late")))
        await asyncio.sleep(0.1)
        server = ControlServer()
        server.port = port
        async with server:
            assert await call == {"value": "late"}


@run_async
async def test_a_connection_lost_under_way_says_that_nobody_knows():
    async with ControlServer(lambda request: None) as server, controlling(server.url) as control:
        call = asyncio.create_task(control.call(Echo(value=2)))
        await eventually_async(lambda: server.requests)
        server.drop()
        with pytest.raises(CollectorError, match="may or may not have been done"):
            await call
        server.answer = lambda request: {"id": request["id"], "ok": True, "result": "again"}
        assert await control.call(Echo(value=2)) == "again"


@run_async
async def test_reports_wait_while_there_is_no_connection_but_heartbeats_do_not():
    async with ControlServer() as server:
        port = server.port
    async with controlling(f"ws://127.0.0.1:{port}/ws/control") as control:
        for n in range(5):
            control.report(KernelReport(exit=ProcessExit(n, 0)))
            control.report(KernelReport(heartbeat=n))
        await asyncio.sleep(0.05)
        server = ControlServer()
        server.port = port
        async with server:
            await asyncio.wait_for(control.drain(), 5)
            assert [request["args"]["exit"]["pid"] for request in server.requests] == list(range(5))
            assert {request["op"] for request in server.requests} == {"kernel"}
            control.report(KernelReport(heartbeat=9))
            await asyncio.wait_for(control.drain(), 5)
            assert server.requests[-1]["args"] == {"heartbeat": 9}
            assert control.dropped == 0


@run_async
async def test_the_queue_is_bounded_and_counts_what_gives_way():
    async with ControlServer() as server:
        port = server.port
    async with controlling(f"ws://127.0.0.1:{port}/ws/control") as control:
        for n in range(REPORT_LIMIT + 7):
            control.report(gauge(n))
        assert control.dropped == 7
        server = ControlServer()
        server.port = port
        async with server:
            await asyncio.wait_for(control.drain(), 10)
            numbers = [request["args"]["row"]["timestamp"] for request in server.requests]
            assert numbers == list(range(7, REPORT_LIMIT + 7))


@run_async
async def test_reports_whose_answers_were_lost_are_counted():
    async with ControlServer(lambda request: None) as server, controlling(server.url) as control:
        control.report(gauge(1))
        await eventually_async(lambda: server.requests)
        server.drop()
        await asyncio.wait_for(control.drain(), 5)
        assert control.dropped == 1


@run_async
async def test_what_does_not_fit_or_is_no_json_is_refused_here():
    async with ControlServer() as server, controlling(server.url) as control:
        with pytest.raises(ArgumentError, match="too long"):
            await control.call(PutMark(label="x" * MOST_BYTES))
        with pytest.raises(ArgumentError, match="JSON"):
            await control.call(PutMark(label=object()))
        with pytest.raises(ArgumentError):
            control.report(gauge("x" * MOST_BYTES))
        assert server.requests == []


@run_async
async def test_stop_sends_the_last_words_and_ends_the_waiting():
    async with ControlServer() as server:
        async with controlling(server.url) as control:
            await eventually_async(lambda: control.connected)
            control.report(KernelReport(exit=ProcessExit(1, 3)))
        assert server.requests[-1]["args"] == {"exit": {"pid": 1, "code": 3}}
        with pytest.raises(CollectorError, match="stopped"):
            await control.call(Echo())


@run_async
async def test_stop_ends_a_call_that_waits_for_a_connection():
    async with ControlServer() as server:
        port = server.port
    control = ControlClient(f"ws://127.0.0.1:{port}/ws/control", "right")
    await control.start()
    call = asyncio.create_task(control.call(Echo(), timeout_s=30))
    await asyncio.sleep(0.1)
    await control.stop()
    with pytest.raises(CollectorError, match="stopped"):
        await asyncio.wait_for(call, 5)


@run_async
async def test_a_real_collector_understands_it():
    async with collecting() as collector:
        url = f"ws://127.0.0.1:{collector.ports[0]}/ws/control"
        async with controlling(url, TOKEN) as control:
            mark = await control.call(PutMark(label="here"))
            assert abs(mark.at_ns / 1e9 - time.time()) < 30
            control.report(KernelReport(heartbeat=1))
            await asyncio.wait_for(control.drain(), 5)
            with pytest.raises(CollectorError, match="no such operation"):
                await control.call(Echo())
        async with controlling(url, "wrong") as control:
            with pytest.raises(AuthenticationError):
                await control.call(PutMark(label="x"))
