"""The stand-in over real sockets: what WIRE says of NowGoal's service."""

import asyncio
import json
import re
import ssl
import time

import aiohttp
import pytest
import websockets

from tes_nb.errors import TesError
from tes_nb.simulate import GREETING, LABEL, Fault, Options, number_in, reconcile, serve
from tes_nb.simulate.service import HEADERS
from tests.support.aio import run_async
from tests.support.standin import (
    ALL,
    ask_token,
    connect,
    connect_stream,
    data,
    get_json,
    http,
    stand_in,
    token_of,
    want,
)
from tests.support.tls import authority, server_context
from tests.support.waiting import busy


@run_async
async def test_a_token_then_frames_over_ws():
    async with stand_in() as server:
        async with connect(server, await token_of(server)) as ws:
            await want(ws)
            numbers = [number_in(text) for text in await data(ws, 40)]
        assert numbers == list(range(numbers[0], numbers[0] + 40))


@run_async
async def test_the_query_form_with_doubled_ampersand():
    async with stand_in() as server:
        async with connect_stream(server, await token_of(server), ["change_xml", "ch_goal8_xml"]) as ws:
            texts = await data(ws, 20)
        assert all(b"<h>" in text or b"<m>" in text for text in texts)
        # basketball odds have four fields, football odds at least five
        odds = [text for text in texts if b"<m>" in text]
        assert all(text.split(b"<m>")[1].split(b"</m>")[0].count(b",") >= 4 for text in odds)


@run_async
async def test_messages_come_in_every_compression():
    async with stand_in() as server:
        async with connect(server, await token_of(server)) as ws:
            await want(ws)
            forms = set()
            for _ in range(100):
                message = await ws.recv()
                forms.add("text" if isinstance(message, str) else message[:1])
        assert {"text", b"\x78", b"\x1f", b"<"} <= forms
        assert forms - {"text", b"\x78", b"\x1f", b"<", b"{", b"["}, "raw deflate"


@run_async
async def test_everything_says_that_it_is_simulated():
    async with stand_in() as server:
        for path in ("/", "/roster", "/ledger", "/faults", "/nothing"):
            _, headers, _ = await http("GET", server.http + path)
            assert headers[LABEL] == GREETING
        _, headers, _ = await ask_token(server)
        assert headers[LABEL] == GREETING
        async with connect(server, await token_of(server)) as ws:
            assert ws.response.headers[LABEL] == GREETING
        assert "simulated" in repr(server)


@run_async
async def test_the_greeting_is_logged(caplog):
    with caplog.at_level("INFO", logger="tes_nb.simulate"):
        async with stand_in():
            pass
    assert f"simulated data: {GREETING}" in caplog.text


@run_async
async def test_the_token_endpoint_wants_the_documented_headers():
    async with stand_in() as server:
        status, headers, body = await ask_token(server)
        assert (status, headers["Content-Type"].partition(";")[0]) == (200, "text/plain")
        assert body.count(b".") == 2
        assert "Date" in headers
        for name in ("Origin", "Referer", "Accept"):
            status, _, body = await ask_token(server, **{name: "something else"})
            assert (status, name.encode() in body) == (403, True)
        assert (await http("GET", server.token_url))[0] == 400


@run_async
async def test_headers_need_not_be_asked_for():
    async with stand_in(strict_headers=False) as server:
        assert (await http("GET", f"{server.token_url}?rnum=1"))[0] == 200


@pytest.mark.parametrize("token", ["", "-----", "a.b.c"])
@run_async
async def test_without_a_good_token_there_is_no_connection(token):
    async with stand_in() as server:
        for attempt in (connect(server, token), connect_stream(server, token, ALL)):
            with pytest.raises(websockets.InvalidStatus) as refused:
                await attempt
            assert refused.value.response.status_code == 401
        assert (await get_json(server, "/ledger"))["connections"] == []


@run_async
async def test_a_token_expires_before_and_during_a_connection():
    async with stand_in(token_life_s=0.6) as server:
        token = await token_of(server)
        async with connect(server, token) as ws:
            await want(ws)
            with pytest.raises(websockets.ConnectionClosedError) as closed:
                await data(ws, 1_000_000)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "token expired")
        with pytest.raises(websockets.InvalidStatus):
            await connect(server, token)


@run_async
async def test_a_skewed_clock_shows_in_date_and_token_and_changes_nothing_else():
    async with stand_in(clock_skew_s=-300.0) as server:
        _, headers, body = await ask_token(server)
        said = aiohttp.helpers.parse_http_date(headers["Date"]).timestamp()
        assert abs(said - (time.time() - 300)) < 5
        async with connect(server, body.decode()) as ws:
            await want(ws)
            assert await data(ws, 3)


@run_async
async def test_nothing_comes_before_a_channel_is_asked_for():
    async with stand_in() as server, connect(server, await token_of(server)) as ws:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.recv(), 0.3)


@run_async
async def test_the_list_of_channels_is_replaced_as_a_whole():
    async with stand_in(shape="envelope") as server:
        async with connect(server, await token_of(server)) as ws:
            await want(ws, ["change_xml", "ch_goal8_xml"])
            assert await data(ws, 5)
            await want(ws, ["tes_ticks_xml"])
            await asyncio.sleep(0.3)
            await data(ws, 30)
            texts = [json.loads(text) for text in await data(ws, 20)]
        assert {text["channel"] for text in texts} == {"tes_ticks_xml"}
        [entry] = (await get_json(server, "/ledger"))["connections"]
        assert [asked["channels"] for asked in entry["subscriptions"]] == [
            ["change_xml", "ch_goal8_xml"],
            ["tes_ticks_xml"],
        ]


@pytest.mark.parametrize(
    "message", ["hello", "[]", '{"type":1,"channels":["change_xml"]}', '{"type":0}', b"\xff"]
)
@run_async
async def test_other_client_messages_are_counted_and_survived(message):
    async with stand_in() as server:
        async with connect(server, await token_of(server)) as ws:
            await ws.send(message)
            await want(ws)
            assert await data(ws, 2)
        [entry] = (await get_json(server, "/ledger"))["connections"]
        assert (entry["unreadable"], len(entry["subscriptions"])) == (1, 1)


@run_async
async def test_ok_keeps_a_connection_alive():
    async with stand_in(keepalive_s=0.05) as server, connect(server, await token_of(server)) as ws:
        assert [await ws.recv() for _ in range(3)] == ["ok"] * 3


@run_async
async def test_two_overlapping_connections_get_the_same_broadcast():
    async with stand_in() as server:
        async with connect(server, await token_of(server)) as old:
            await want(old)
            first = [number_in(text) for text in await data(old, 10)]
            async with connect(server, await token_of(server)) as new:
                await want(new)
                late = [number_in(text) for text in await data(new, 30)]
                first += [number_in(text) for text in await data(old, late[-1] - first[-1])]
            assert first[-30:] == late
        account = await get_json(server, "/ledger")
        assert list(account["subscribers"]) == ["tests"]
        # the broadcast of both is expected once
        numbers = (await get_json(server, "/ledger", subscriber="tests", until=late[-1]))["numbers"]
        assert reconcile(numbers, [(n, n) for n in first], []).balanced


@run_async
async def test_the_ledger_tells_what_was_sent_on_channels():
    async with stand_in() as server:
        async with connect(server, await token_of(server), subscriber="a") as ws:
            await want(ws, ["ch_goal8_xml"])
            got = [number_in(text) for text in await data(ws, 20)]
        query = {"since": got[0], "until": got[-1]}
        by_channel = await get_json(server, "/ledger", channels="ch_goal8_xml", **query)
        by_subscriber = await get_json(server, "/ledger", subscriber="a", **query)
        assert by_channel["numbers"] == by_subscriber["numbers"] == got
        assert server.sent("a")[: len(got)] == got
        assert (await http("GET", f"{server.http}/ledger?since=x"))[0] == 422


@run_async
async def test_the_ledger_tells_the_age_of_the_token_at_the_handshake():
    async with stand_in() as server:
        token = await token_of(server)
        await asyncio.sleep(0.3)
        async with connect(server, token):
            pass
        [entry] = server.ledger()["connections"]
        assert 0.3 <= entry["token_age_s"] < 5


@run_async
async def test_the_roster_has_the_columns_of_set_names():
    async with stand_in() as server:
        roster = await get_json(server, "/roster")
        assert {tuple(row) for row in roster} == {("match_id", "home_team", "away_team", "league")}
        assert len(roster) >= 5


@run_async
async def test_full_speed_starts_with_the_first_reader_and_keeps_to_the_rate():
    async with stand_in(speed=None, rate=500) as server:
        await asyncio.sleep(0.2)
        assert server.ledger()["last"] == 0
        async with connect(server, await token_of(server)) as ws:
            await want(ws)
            began = time.monotonic()
            await data(ws, 300)
            assert time.monotonic() - began > 0.5
        assert server.ledger()["last"] < 1000


@run_async
async def test_a_loop_repeats_itself_with_new_numbers_only():
    size = 40
    async with stand_in(speed=None, rate=3000, reel=size, compression="text") as server:
        async with connect(server, await token_of(server)) as ws:
            await want(ws)
            texts = await data(ws, 5 * size)
        numbers = [number_in(text) for text in texts]
        assert numbers == list(range(numbers[0], numbers[0] + len(texts)))
        bare = [re.sub(rb"(simulatedNumber\W{1,6})\d+", rb"\1", text) for text in texts]
        assert len(set(bare[:size])) > size / 2
        assert bare[-2 * size : -size] == bare[-size:]


@run_async
async def test_a_reader_that_does_not_keep_up_is_cut_off_and_the_others_are_not():
    async with stand_in(speed=None, rate=20_000, send_buffer=4096) as server:
        stuck = await connect(server, await token_of(server), subscriber="stuck", max_queue=1)
        await want(stuck)
        async with connect(server, await token_of(server), subscriber="quick") as ws:
            await want(ws)
            # enough to fill the buffers of the kernel
            server.post(Fault("random_bytes", size=1_000_000, times=10))
            while not any(one["ended"] == "too slow" for one in server.ledger()["connections"]):
                await ws.recv()
        stuck.transport.abort()


@run_async
async def test_only_loopback_is_answered():
    async with stand_in() as server:
        for host in ("evil.test", "127.0.0.1.nip.io", "192.0.2.1"):
            status, _, _ = await http("GET", server.http + "/ledger", headers={"Host": host})
            assert status == 421


@run_async
async def test_a_web_page_may_not_change_faults():
    async with stand_in() as server:
        headers = {"Origin": "https://evil.test", "Content-Type": "text/plain"}
        status, _, _ = await http("POST", server.http + "/faults", headers=headers, data='{"fault":"reset"}')
        assert status == 403
        assert server.ledger()["strikes"] == {}


@run_async
async def test_a_taken_port_is_a_sentence():
    async with stand_in() as server:
        port = int(server.http.rpartition(":")[2])
        with pytest.raises(TesError, match=f"cannot listen on 127.0.0.1:{port}: .*Choose another port"):
            await serve(Options(port=port))


@run_async
async def test_stop_closes_port_and_connections_and_may_be_called_again():
    async with stand_in() as server:
        ws = await connect(server, await token_of(server))
        began = time.monotonic()
        await server.stop()
        assert time.monotonic() - began < busy(3)
        with pytest.raises(websockets.ConnectionClosedOK) as closed:
            await data(ws, 1)
        assert closed.value.rcvd.code == 1001
        with pytest.raises(aiohttp.ClientConnectionError):
            await http("GET", server.http)
        assert len(asyncio.all_tasks()) <= 4


@run_async
async def test_tls_makes_it_https_and_wss(monkeypatch, tmp_path):
    context = server_context(authority(monkeypatch, tmp_path))
    server = await serve(Options(speed=200.0, matches=4, games=1, host="localhost"), tls=context)
    try:
        assert (server.http[:17], server.url[:15]) == ("https://localhost", "wss://localhost")
        trusting = ssl.create_default_context()
        _, _, token = await http("GET", f"{server.token_url}?rnum=1", headers=HEADERS, ssl=trusting)
        async with connect(server, token.decode(), ssl=trusting) as ws:
            await want(ws)
            assert await data(ws, 3)
            server.post(Fault("reset"))
            with pytest.raises(websockets.ConnectionClosedError):
                await data(ws, 1_000_000)
    finally:
        await server.stop()
