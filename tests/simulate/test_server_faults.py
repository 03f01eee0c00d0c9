"""Each fault over real sockets: the reader's tests rely on them being what they are called."""

import asyncio
import time

import aiohttp
import pytest
import websockets

from tes_nb.simulate import FAULTS, Fault, number_in, reconcile
from tes_nb.simulate.fault_runner import BUILDERS
from tests.support.aio import run_async
from tests.support.standin import (
    Reader,
    ask_token,
    connect,
    data,
    get_json,
    http,
    inflate,
    stand_in,
    token_of,
    want,
)
from tests.support.waiting import eventually_async


async def post(server, body):
    async with aiohttp.ClientSession() as client, client.post(f"{server.http}/faults", json=body) as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize(
    ("name", "looks"),
    [
        ("token_dashes", lambda body: set(body) == {"-"}),
        ("token_empty", lambda body: body == ""),
        ("token_blank", lambda body: body and not body.strip()),
        ("token_html", lambda body: body.startswith("<!DOCTYPE html>")),
        ("token_megabyte", lambda body: len(body) == 1 << 20),
        ("token_json", lambda body: body.startswith("{")),
        ("token_null", lambda body: body == "null"),
        ("token_expired", lambda body: body.count(".") == 2),
        ("token_garbage", lambda body: body.count(".") == 2),
        ("token_two_parts", lambda body: body.count(".") == 1),
    ],
)
@run_async
async def test_no_token_of_this_kind_opens_a_connection(name, looks):
    async with stand_in() as server:
        assert (await post(server, {"fault": name}))[0] == 200
        status, _, body = await ask_token(server)
        assert status == 200
        assert looks(body.decode())
        # as a query field, which takes any bytes
        query = {"token": body.decode()[:100], "channels": "change_xml"}
        assert (await http("GET", f"{server.http}/stream", params=query))[0] == 401
        assert (await token_of(server)).count(".") == 2, "one strike, then tokens again"


@run_async
async def test_token_status_with_retry_after():
    async with stand_in() as server:
        server.post(Fault("token_status", status=429, retry_after=30))
        status, headers, _ = await ask_token(server)
        assert (status, headers["Retry-After"]) == (429, "30")


@run_async
async def test_a_token_endpoint_that_hangs_and_one_that_drips():
    async with stand_in() as server:
        server.post(Fault("token_hang", seconds=0.5))
        began = time.monotonic()
        await token_of(server)
        assert time.monotonic() - began > 0.45
        server.post(Fault("token_drip"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask_token(server), 0.6)


@pytest.mark.parametrize("status", [302, 401, 403, 404, 429, 503])
@run_async
async def test_a_refused_handshake(status):
    async with stand_in() as server:
        server.post(Fault("handshake", status=status, retry_after=30))
        with pytest.raises(websockets.InvalidStatus) as refused:
            await connect(server, await token_of(server))
        assert refused.value.response.status_code == status
        assert refused.value.response.headers["Retry-After"] == "30"
        async with connect(server, await token_of(server)) as ws:
            await want(ws)
            assert await data(ws, 1)


@run_async
async def test_a_second_connection_of_the_same_subscriber_is_refused():
    async with stand_in() as server:
        server.post(Fault("refuse_second"))
        async with connect(server, await token_of(server)):
            with pytest.raises(websockets.InvalidStatus) as refused:
                await connect(server, await token_of(server))
            assert refused.value.response.status_code == 409
            async with connect(server, await token_of(server), subscriber="another"):
                pass
        await asyncio.sleep(0.1)
        async with connect(server, await token_of(server)):
            pass


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012, 1013, 4000, 4999])
@run_async
async def test_close_with_a_code(code):
    async with stand_in() as server:
        async with connect(server, await token_of(server)) as ws:
            server.post(Fault("close", code=code))
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await ws.recv()
        assert closed.value.rcvd.code == code


@run_async
async def test_accept_then_close():
    async with stand_in() as server:
        server.post(Fault("accept_then_close", code=1013))
        ws = await connect(server, await token_of(server))
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await ws.recv()
        assert closed.value.rcvd.code == 1013


async def nothing_but_half_a_frame(reader):
    while chunk := await reader.read(100):
        assert chunk == b"\x81\x02"


@run_async
async def test_a_reset_in_the_middle_of_a_frame():
    async with stand_in() as server:
        token = await token_of(server)
        head = (
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'a' * 22}==\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.http.rpartition(":")[2]))
        writer.write(head.encode())
        assert b"101" in await reader.readuntil(b"\r\n\r\n")
        server.post(Fault("reset"))
        # half of the last frame, which is a keepalive here, and then no FIN but an RST
        with pytest.raises(ConnectionResetError):
            await nothing_but_half_a_frame(reader)
        writer.close()


@run_async
async def test_only_the_newest_or_oldest_connection_is_struck():
    async with stand_in() as server:
        old = await connect(server, await token_of(server))
        new = await connect(server, await token_of(server))
        server.post(Fault("close", which="newest"))
        with pytest.raises(websockets.ConnectionClosed):
            await new.recv()
        await want(old)
        assert await data(old, 1)
        await old.close()


@run_async
async def test_silence_answers_pings_and_sends_nothing_until_it_is_cut():
    async with stand_in(keepalive_s=0.05) as server:
        async with connect(server, await token_of(server)) as ws:
            await want(ws)
            await data(ws, 1)
            server.post(Fault("silence", seconds=0.8))
            await asyncio.sleep(0.1)
            await asyncio.sleep(0.3)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(data(ws, 1_000_000), 0.2)
            await asyncio.wait_for(await ws.ping(), 0.3)
            with pytest.raises(websockets.ConnectionClosed):
                await ws.recv()
        async with connect(server, await token_of(server)) as ws:
            await want(ws)
            assert await data(ws, 1)


@run_async
async def test_a_blackhole_answers_no_ping():
    async with stand_in() as server:
        ws = await connect(server, await token_of(server), ping_interval=None)
        server.post(Fault("blackhole"))
        await asyncio.sleep(0.05)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(await ws.ping(), 0.4)
        await server.clear_faults()
        with pytest.raises(websockets.ConnectionClosed):
            await ws.recv()


@run_async
async def test_only_ok_stops_the_world_so_nothing_is_lost():
    async with stand_in(keepalive_s=0.05) as server:
        async with connect(server, await token_of(server)) as ws:
            await want(ws)
            got = [number_in(text) for text in await data(ws, 3)]
            server.post(Fault("only_ok", seconds=0.6))
            calm = []
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                message = await ws.recv()
                calm.append(message) if message == "ok" else got.append(number_in(inflate(message)))
                assert len(got) < 30
            assert len(calm) >= 3
            got += [number_in(text) for text in await data(ws, 3)]
        assert got == list(range(got[0], got[-1] + 1))


@run_async
async def test_flap_goes_down_and_up():
    async with stand_in() as server:
        server.post(Fault("flap", up=0.2, down=0.4, times=1))
        async with connect(server, await token_of(server)) as ws:
            with pytest.raises(websockets.ConnectionClosedError):
                await ws.recv()
        with pytest.raises((websockets.InvalidMessage, ConnectionError)):
            await connect(server, await token_of(server))
        await asyncio.sleep(0.6)
        async with connect(server, await token_of(server)) as ws:
            await want(ws)
            assert await data(ws, 1)


@pytest.mark.parametrize("name", sorted(BUILDERS))
@run_async
async def test_junk_comes_beside_the_numbered_messages(name):
    async with stand_in(compression="binary", shape="xml") as server:
        async with connect(server, await token_of(server)) as ws:
            await want(ws, ["change_xml"])
            assert (await post(server, {"fault": name, "times": 2, "size": 1 << 20}))[0] == 200
            got, other = [], []
            while len(other) < 2 or len(got) < 3:
                message = await ws.recv()
                number = number_in(message) if isinstance(message, bytes) else None
                got.append(number) if number else other.append(message)
        assert len(other) == 2
        assert reconcile(server.sent("tests"), [(n, n) for n in got], [], until=got[-1]).balanced
        assert server.ledger()["strikes"] == {name: 2}


@run_async
async def test_gzip_members_and_the_sister_form_are_numbered_messages():
    async with stand_in(compression="binary", shape="xml") as server:
        async with connect(server, await token_of(server)) as ws:
            await want(ws)
            await data(ws, 1)
            server.post(Fault("sister_form", times=2))
            server.post(Fault("gzip_members"))
            messages = [message for message in [await ws.recv() for _ in range(60)] if message != "ok"]
        [packed] = [message for message in messages if message.startswith(b"\x1f\x8b")]
        assert packed.count(b"\x1f\x8b\x08") == 1000
        texts = [inflate(message) for message in messages]
        numbers = [number_in(text) for text in texts]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        football = [text for text in texts if text.startswith(b"<c refresh") and b"9000" in text]
        assert sum(b":" in text.split(b"^")[8] for text in football) == 2


@run_async
async def test_refresh_sends_everything_again():
    async with stand_in(compression="binary", shape="xml") as server:
        async with connect(server, await token_of(server)) as ws:
            await want(ws, ["change_xml", "ch_goal8_xml"])
            await data(ws, 1)
            server.post(Fault("refresh"))
            texts = []
            while len(texts) < 2:
                [text] = await data(ws, 1)
                if b'refresh="1"' in text:
                    texts.append(text)
        assert texts[0].count(b"<h>") >= 4
        assert texts[1].count(b"<m>") >= 4


@run_async
async def test_faults_are_listed_and_cleared():
    async with stand_in() as server:
        await post(server, [{"fault": "token_html", "seconds": 60}, {"fault": "random", "every": 50}])
        said = await get_json(server, "/faults")
        assert [fault["fault"] for fault in said["active"]] == ["token_html"]
        assert said["running"] == ["random"]
        assert set(said["there_are"]) == set(FAULTS)
        assert (await http("DELETE", f"{server.http}/faults"))[0] == 200
        said = await get_json(server, "/faults")
        assert (said["active"], said["running"]) == ([], [])


@pytest.mark.parametrize(
    "body", ['{"fault":"x"}', "{", "3", '[{"fault":"reset"},{"fault":"x"}]', "[" * 10_000]
)
@run_async
async def test_what_is_no_fault_is_422_and_changes_nothing(body):
    async with stand_in() as server:
        status, _, text = await http("POST", f"{server.http}/faults", data=body)
        assert (status, len(text) > 10) == (422, True)
        assert server.ledger()["strikes"] == {}


@run_async
async def test_faults_may_be_in_force_from_the_start():
    async with stand_in(faults=(Fault("token_dashes"),)) as server:
        assert (await ask_token(server))[2] == b"-----"


@run_async
async def test_random_faults_leave_a_balanced_ledger():
    """A reader that reconnects after anything, and faults ten times as often as `random` has them."""
    async with stand_in(keepalive_s=0.2) as server:
        reader = Reader(server)
        task = asyncio.create_task(reader.run())
        await asyncio.sleep(0.3)
        server.post(Fault("random", every=0.1))

        def enough():
            """Several faults, and messages missing before the last one that was received."""
            received = {number for number, _ in reader.received}
            missing = set(server.sent("reader")) - received
            return len(server.ledger()["strikes"]) > 8 and any(number < max(received) for number in missing)

        await eventually_async(enough, 40)
        await server.clear_faults()
        seen = len(reader.received)
        await eventually_async(lambda: len(reader.received) >= seen + 50, 30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        received = list(reader.received)
        account = reconcile(server.sent_at("reader"), received, reader.gaps, until=received[-1][0])
        assert account.balanced, account
        assert account.sent == account.received + account.in_gaps
        assert account.in_gaps > 0
        assert len(server.ledger()["strikes"]) > 8
