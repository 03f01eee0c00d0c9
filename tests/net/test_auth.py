"""Tokens from real HTTP and HTTPS endpoints: fetched, refused, named, and never shown."""

import asyncio
import contextlib
import dataclasses
import itertools
import logging
import time

import pytest
from aiohttp import web

from tes_nb.errors import AuthenticationError
from tes_nb.model import TokenSource
from tes_nb.net import auth
from tes_nb.net.auth import TokenAuthorizer
from tes_nb.net.endpoints import Target
from tes_nb.net.reader import Reader
from tes_nb.simulate import Fault, Options, serve
from tes_nb.streams.nowgoal.stream import STREAM
from tests.support.aio import run_async
from tests.support.feeds import FAST, Feed, Sink, feeding, token_source
from tests.support.standin import get_json, stand_in, token_of
from tests.support.tls import CASES, TlsPeer, authority, server_context
from tests.support.waiting import busy, eventually_async

BODIES = {
    "token_dashes": ("dashes", Fault("token_dashes")),
    "token_one_dash": ("dashes", Fault("token_dashes", size=1)),
    "token_many_dashes": ("dashes", Fault("token_dashes", size=5000)),
    "token_empty": ("empty", Fault("token_empty")),
    "token_blank": ("empty", Fault("token_blank")),
    "token_html": ("html", Fault("token_html")),
    "token_megabyte": ("too large", Fault("token_megabyte")),
    "token_json": ("not a JWT", Fault("token_json")),
    "token_null": ("not a JWT", Fault("token_null")),
    "token_garbage": ("not a JWT", Fault("token_garbage")),
    "token_two_parts": ("not a JWT", Fault("token_two_parts")),
    "token_expired": ("expired", Fault("token_expired")),
}


@contextlib.asynccontextmanager
async def endpoint(handler):
    """A token endpoint that answers with `handler(request)`, or with its text."""

    async def answer(request):
        made = handler(request) if callable(handler) else handler
        if asyncio.iscoroutine(made):
            made = await made
        return web.Response(text=made) if isinstance(made, str) else made

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    finally:
        await runner.cleanup()


def source(url, **changes):
    return dataclasses.replace(TokenSource(url, headers={"Origin": "https://a.test"}), **changes)


async def refusal(url, **options):
    """What a fetch there raises."""
    with pytest.raises(AuthenticationError) as caught:
        await TokenAuthorizer(source(url), **options).fetch()
    return caught.value


# The good case -----------------------------------------------------------------------------------------------


@run_async
async def test_the_documented_headers_and_a_random_number_are_sent():
    asked = []

    async with stand_in() as server:

        async def forward(request):
            asked.append(request)
            return await token_of(server)

        async with endpoint(forward) as url:
            authorizer = TokenAuthorizer(token_source(server))
            authorizer._source = dataclasses.replace(token_source(server), url=url)
            await authorizer.fetch()
            await authorizer.fetch()
    assert [request.headers["Origin"] for request in asked] == ["https://live.nowgoal26.com"] * 2
    assert asked[0].headers["Referer"] == "https://live.nowgoal26.com/basketball"
    assert asked[0].headers["Accept"] == "*/*"
    numbers = {float(request.query["rnum"]) for request in asked}
    assert len(numbers) == 2
    assert all(0 <= number < 1 for number in numbers)


@run_async
async def test_credentials_carry_the_token_in_a_header_and_says_when_it_ends():
    async with stand_in(token_life_s=60) as server:
        authorizer = TokenAuthorizer(token_source(server), ahead_s=5)
        before = auth.now()
        credentials = await authorizer()
        assert credentials.headers["Authorization"].startswith("Bearer eyJ")
        assert credentials.raw_query == ""
        assert 58 < credentials.expires_at_s - before <= 61
        assert credentials.expires_at_s - credentials.renew_at_s == pytest.approx(5, abs=0.05)
        assert "eyJ" not in repr(credentials)


@run_async
async def test_a_query_has_the_doubled_ampersand_of_the_site_s_own_page():
    async with stand_in() as server:
        authorizer = TokenAuthorizer(token_source(server, "query"), channels=lambda: ["a_xml", "b_xml"])
        credentials = await authorizer()
        url = credentials.url("wss://host.test:9800/stream")
        assert url.startswith("wss://host.test:9800/stream?channels=a_xml,b_xml&&token=eyJ")
        assert credentials.url("wss://h/s?x=1").startswith("wss://h/s?x=1&channels=a_xml,b_xml&&token=eyJ")
        assert credentials.channels == ("a_xml", "b_xml")
        assert not credentials.headers


@run_async
async def test_a_fixed_token_is_used_as_it_is_and_nobody_is_asked():
    credentials = await TokenAuthorizer(source("http://127.0.0.1:9/"), fixed="abc.def.ghi")()
    assert credentials.headers["Authorization"] == "Bearer abc.def.ghi"
    assert credentials.renew_at_s is None
    assert credentials.expires_at_s is None


# What is no token -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BODIES)
def test_fault_17_what_is_no_token_reaches_no_handshake_and_shows_in_the_state(name, monkeypatch, tmp_path):
    """Over HTTPS, whose certificate is verified."""
    word, fault = BODIES[name]
    context = server_context(authority(monkeypatch, tmp_path))

    @run_async
    async def check():
        server = await serve(Options(host="localhost", faults=(fault,)), tls=context)
        feed = Feed(server)
        feed.reader.start()
        try:
            await feed.sink.until(lambda sink: any(s.state == "WAITING" for s in sink.states))
            waiting = next(state for state in feed.sink.states if state.state == "WAITING")
            assert f"no token ({word})" in waiting.text
            assert server.ledger()["connections"] == []
            # the fault strikes once: the next try, after the backoff, is a good one
            await feed.sink.until(lambda sink: sink.data > 0)
            assert len(server.ledger()["connections"]) == 1
        finally:
            await feed.reader.stop()
            await server.stop()

    check()


@run_async
async def test_fault_17_of_a_long_body_no_more_than_64_kib_are_read():
    sent = 0

    async def endless(request):
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while sent < 64 << 20:
                await response.write(b"x" * 65536)
                sent += 65536
        return response

    async with endpoint(endless) as url:
        error = await refusal(url)
        assert error.reason == "too large"
        await asyncio.sleep(0.05)
        assert sent < 16 << 20  # what fits into the sockets' buffers may have left the server


@pytest.mark.parametrize("status", [204, 403, 404, 500, 503])
@run_async
async def test_an_answer_other_than_200_is_named(status):
    async with endpoint(lambda _: web.Response(status=status)) as url:
        error = await refusal(url)
    assert error.reason == f"http {status}"
    assert str(error) == f"no token (http {status}): the token source answers http {status} instead of one."


@run_async
async def test_fault_18_a_source_that_hangs_or_drips_ends_at_the_deadline():
    async with stand_in() as server:
        for fault in ("token_hang", "token_drip"):
            server.post(Fault(fault))
            authorizer = TokenAuthorizer(token_source(server), deadline_s=0.5)
            begun = time.monotonic()
            with pytest.raises(AuthenticationError, match=r"no answer within 0\.5 s") as caught:
                await authorizer.fetch()
            assert caught.value.reason == "timeout"
            assert 0.4 < time.monotonic() - begun < busy(1.5)
    assert auth.DEADLINE_S == 10


@run_async
async def test_a_source_that_is_not_there_is_named():
    error = await refusal("http://127.0.0.1:9/token")
    assert (error.reason, str(error)) == (
        "unreachable",
        "no token (unreachable): the token source: connection refused.",
    )
    assert (await refusal("http://nowhere.invalid/token")).reason == "unreachable"


@run_async
async def test_a_source_that_breaks_off_is_named():
    async def cut(request):
        request.transport.abort()
        return "never"

    async with endpoint(cut) as url:
        assert (await refusal(url)).reason == "broken answer"


# Redirects and TLS ------------------------------------------------------------------------------------------------


@run_async
async def test_fault_25_a_token_source_may_redirect_five_times_at_most():
    async with stand_in() as server:
        token = await token_of(server)

    async def hop(request):
        left = int(request.path.removeprefix("/token"))
        return web.Response(status=302, headers={"Location": f"/token{left - 1}"}) if left else token

    async with endpoint(hop) as url:
        assert (await TokenAuthorizer(source(f"{url}5")).fetch()).reveal() == token
        assert (await refusal(f"{url}6")).reason == "redirect"


@run_async
async def test_fault_25_our_headers_stay_at_their_origin():
    heard = []
    async with (
        endpoint(lambda request: heard.append(request.headers) or "-----") as other,
        endpoint(lambda _: web.Response(status=302, headers={"Location": other})) as url,
    ):
        assert (await refusal(url)).reason == "dashes"
    assert len(heard) == 1
    assert "Origin" not in heard[0]


@pytest.mark.parametrize("location", ["https://127.0.0.1:9/", "ftp://127.0.0.1/"])
@run_async
async def test_fault_25_the_scheme_is_never_left(location):
    async with endpoint(lambda _: web.Response(status=302, headers={"Location": location})) as url:
        assert (await refusal(url)).reason == "redirect"


@pytest.mark.parametrize("case", CASES)
def test_fault_12_a_bad_certificate_is_refused_and_hears_no_byte(case, monkeypatch, tmp_path):
    """Of the token endpoint and of the feed alike; to the feed a token would be sent."""
    ca = authority(monkeypatch, tmp_path)
    secret = "secret-token-5be1.abc.def"

    @run_async
    async def check():
        async with TlsPeer(server_context(ca, case)) as peer:
            host = f"localhost:{peer.port_counted}"
            error = await refusal(f"https://{host}/token")
            assert error.reason == "unreachable"
            assert "certificate" in str(error)
            for form in ("header", "query"):
                sink = Sink()
                reader = Reader(
                    STREAM,
                    Target((f"wss://{host}/ws",)),
                    source="nowgoal",
                    outlet=sink.outlet(),
                    profile=FAST,
                    authorize=TokenAuthorizer(source(f"https://{host}/", auth=form), fixed=secret),
                )
                reader.start()
                await sink.until(lambda sink: any(state.state == "WAITING" for state in sink.states))
                await reader.stop()
                assert all("certificate" in one.text for one in sink.states if one.state == "WAITING")
                assert secret not in repr(sink.states)
            assert peer.connections >= 3
            assert peer.received == b""

    check()


def test_a_good_certificate_is_accepted(monkeypatch, tmp_path):
    context = server_context(authority(monkeypatch, tmp_path))

    @run_async
    async def check():
        server = await serve(Options(host="localhost", speed=100.0), tls=context)
        feed = Feed(server)
        feed.reader.start()
        await feed.sink.more(3)
        await feed.reader.stop()
        await server.stop()

    check()


# The feed refuses, and tokens age ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
@run_async
async def test_fault_14_a_refused_token_is_replaced_once_at_once_then_with_backoff(status):
    async with stand_in() as server:
        server.post(Fault("handshake", status=status, times=3))
        feed = Feed(server, profile=dataclasses.replace(FAST, backoff_first_s=1.6))
        fetched = []
        fetch = feed.authorizer.fetch

        async def counted():
            fetched.append(time.monotonic())
            return await fetch()

        feed.authorizer.fetch = counted
        feed.reader.start()
        await feed.sink.more(1)
        await feed.reader.stop()
        assert len(fetched) == 4  # a fresh token each time
        assert fetched[1] - fetched[0] < 0.75  # at once, but once
        assert all(later - before >= 0.79 for before, later in itertools.pairwise(fetched[1:]))


@pytest.mark.timeout(90)
@run_async
async def test_fault_19_a_token_is_never_old_at_a_handshake_and_never_in_a_log():
    """Connections that are closed at once or reset; tokens live six seconds instead of 60."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    loggers = [logging.getLogger(name) for name in ("tes_nb", "tes_nb.net", "websockets", "aiohttp")]
    for logger in loggers:
        logger.addHandler(handler)
    quick = dataclasses.replace(FAST, backoff_first_s=0.002, backoff_cap_s=0.004, renew_ahead_s=1.0)
    try:
        async with feeding(token_life_s=6.0, profile=quick, speed=1000.0) as (server, reader, sink):
            server.post(Fault("accept_then_close", times=240))
            await sink.until(lambda _: reader.state.attempts >= 240 and sink.data, 60)
            for _ in range(10):
                before = reader.state.attempts
                server.post(Fault("reset"))
                await eventually_async(lambda before=before: reader.state.attempts > before)
                await sink.more(1)
            ages = [one["token_age_s"] for one in (await get_json(server, "/ledger"))["connections"]]
            assert reader.state.attempts >= 250
            assert len(ages) >= 10
            assert max(ages) <= 2.0
            shown = repr((lines, sink.states, sink.gaps, reader, sink.sent))
            assert "eyJ" not in shown
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


@run_async
async def test_fault_15_a_token_source_that_asks_to_be_left_alone_is():
    asked = []

    async def busy(_request):
        asked.append(time.monotonic())
        return web.Response(status=503, headers={"Retry-After": "1"})

    async with endpoint(busy) as url:
        refused = await refusal(url)
        assert refused.retry_after_s == 1
        asked.clear()
        sink = Sink()
        reader = Reader(
            STREAM,
            Target(("ws://127.0.0.1:9/",)),
            source="nowgoal",
            outlet=sink.outlet(),
            authorize=TokenAuthorizer(source(url)),
            profile=FAST,
        )
        reader.start()
        await eventually_async(lambda: len(asked) == 3, 10)
        await reader.stop()
        assert min(b - a for a, b in itertools.pairwise(asked)) >= 0.99
