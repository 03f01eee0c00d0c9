"""Renewal against a real stand-in: the loss ledger is empty, whatever the feed does meanwhile."""

import asyncio
import dataclasses

import pytest

from tes_nb.errors import ConnectionFailed
from tes_nb.model import Kind
from tes_nb.net.auth import TokenAuthorizer
from tes_nb.net.renewing import REFUSED
from tes_nb.simulate import Fault, Options, serve
from tests.support.aio import problems, run_async
from tests.support.feeds import ALL, FAST, Feed, feeding, token_source
from tests.support.standin import get_json

QUICK = dataclasses.replace(FAST, renew_every_s=0.05, renew_linger_s=0.02)
SOON_S = 0.06
"""Renew a connection after that time, though its token lives a minute."""


def assert_nothing_lost(ledger):
    assert (ledger.unexplained_missing, ledger.doubled, ledger.reordered, ledger.in_several_gaps) == (
        0,
        0,
        0,
        0,
    )


def seamless(sink, server):
    ledger = sink.ledger(server)
    assert_nothing_lost(ledger)
    assert (ledger.in_gaps, sink.gaps) == (0, [])
    assert ledger.sent > 0


async def connections(server):
    return (await get_json(server, "/ledger"))["connections"]


# Renewal ---------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
@run_async
async def test_over_a_hundred_renewals_nothing_is_lost_doubled_or_reordered():
    async with feeding(speed=None, rate=3000.0, profile=QUICK, renew_after_s=SOON_S) as (
        server,
        reader,
        sink,
    ):
        await sink.until(lambda _: reader.renewals >= 100, 90)
        seamless(sink, server)
        assert sink.duplicates > 100  # both connections were really open, and what came twice is told
        assert reader.state.reconnects == 0
        assert reader.state.conn >= 100


@pytest.mark.parametrize("auth", ["header", "query"])
@run_async
async def test_a_token_that_expires_is_replaced_before(auth):
    """Tokens of a second and a half, renewed half a second before they end."""
    async with feeding(auth=auth, speed=None, rate=500.0, token_life_s=1.5) as (server, reader, sink):
        await sink.until(lambda _: reader.renewals >= 4, 30)
        seamless(sink, server)
        ended = [one["ended"] for one in await connections(server) if not one["open"]]
        assert "closed 1008 token expired" not in ended
        assert str(reader.state) == "OPEN"
        left_s = (sink.states[-1].token_until_ns - sink.states[-1].at_ns) / 1e9
        assert 0.5 < left_s <= 1.5


@run_async
async def test_a_feed_that_is_calm_is_renewed_without_a_gap():
    """Nothing comes on either connection, so that nothing can come on both: the server ends the first one."""
    async with feeding(token_life_s=1.2) as (server, reader, sink):
        await sink.more(5)
        server.post(Fault("only_ok"))
        await sink.until(lambda _: reader.renewals >= 2, 30)
        assert sink.gaps == []
        await server.clear_faults()
        await sink.more(5)
        seamless(sink, server)


@run_async
async def test_a_peer_that_refuses_two_connections_gets_one_after_the_other_and_a_gap_record():
    async with feeding(speed=None, rate=500.0, token_life_s=1.5) as (server, reader, sink):
        await sink.more(5)
        server.post(Fault("refuse_second"))
        await sink.until(lambda sink: len(sink.gaps) >= 2, 30)
        await sink.more(20)
        assert {gap.cause for gap in sink.gaps} == {REFUSED}
        assert reader.state.reconnects >= 2
        assert_nothing_lost(sink.ledger(server))
        assert all(gap.back_at_ns - gap.lost_at_ns < 1e9 for gap in sink.gaps)


@run_async
async def test_while_there_is_no_fresh_token_the_old_connection_stays_until_the_end():
    async with feeding(speed=None, rate=500.0, token_life_s=1.5) as (server, _reader, sink):
        await sink.more(5)
        server.post(Fault("token_dashes", seconds=2.5))
        await sink.until(lambda sink: len(sink.gaps) == 1, 30)
        await sink.more(20)
        assert "token expired" in sink.gaps[0].cause
        waiting = [state.text for state in sink.states if state.state == "WAITING"]
        assert any("no token (dashes)" in text for text in waiting)
        assert_nothing_lost(sink.ledger(server))


@run_async
async def test_a_gap_begins_with_the_last_message_also_when_the_new_connection_is_lost_while_the_old_one_closes():
    hasty = dataclasses.replace(QUICK, backoff_first_s=0.1, backoff_cap_s=0.2)
    async with feeding(speed=None, rate=1000.0, profile=hasty, renew_after_s=SOON_S) as (
        server,
        reader,
        sink,
    ):
        first = reader.first
        stop = first.reader.stop

        async def late_stop():
            server.post(Fault("reset", which="newest"))
            await sink.until(lambda _: not reader._lead.is_open)
            await sink.more(5)  # the old one brings some more
            await stop()

        first.reader.stop = late_stop
        await sink.until(lambda _: reader.first is not first)
        await sink.more(50)
        ledger = sink.ledger(server)
        assert_nothing_lost(ledger)
        assert ledger.in_gaps > 0
        assert [gap.cause for gap in sink.gaps][:1] == ["connection reset"]


@pytest.mark.parametrize("which", ["oldest", "newest", "all"])
@run_async
async def test_a_connection_that_is_reset_while_there_are_two(which):
    hasty = dataclasses.replace(QUICK, backoff_first_s=0.02, backoff_cap_s=0.05)
    async with feeding(speed=None, rate=1000.0, profile=hasty, renew_after_s=SOON_S) as (
        server,
        reader,
        sink,
    ):

        def both(_):
            return sum(one["open"] for one in server.ledger()["connections"]) == 2

        for _ in range(8):
            await sink.until(both)
            server.post(Fault("reset", which=which))
            await sink.more(5)
        await sink.until(lambda _: reader.renewals >= 1)
        await sink.more(50)
        assert_nothing_lost(sink.ledger(server))
        assert sink.duplicates


@run_async
async def test_random_faults_leave_every_hole_inside_one_gap():
    hasty = dataclasses.replace(FAST, backoff_first_s=0.05, backoff_cap_s=0.2)
    async with feeding(speed=500.0, token_life_s=1.5, profile=hasty) as (server, reader, sink):
        server.post(Fault("random", every=0.2))
        await asyncio.sleep(8)
        await server.clear_faults()
        await sink.more(20, 40)
        ledger = sink.ledger(server)
        assert_nothing_lost(ledger)
        assert ledger.received > 100
        assert reader.state.conn > 5


# Channels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", ["header", "query"])
@run_async
async def test_fault_21_the_channels_are_asked_for_once_on_each_connection_within_a_second(auth):
    wanted = ["change_xml", "ch_goal8_xml"]
    async with feeding(auth=auth, channels=wanted, token_life_s=30) as (server, _reader, sink):
        for _ in range(4):
            await sink.more(1)
            server.post(Fault("reset"))
            await sink.until(lambda sink: sink.states[-1].state != "OPEN")
            await sink.until(lambda sink: sink.states[-1].state == "OPEN")
        await sink.more(1)
        said = await connections(server)
        assert len(said) == 5
        for one in said:
            assert [asked["channels"] for asked in one["subscriptions"]] == [wanted]
            assert one["subscriptions"][0]["after_s"] < 1
            assert one["unreadable"] == 0
        assert len(sink.sent) == (5 if auth == "header" else 0)


@run_async
async def test_channels_change_on_the_open_connection_and_stay_changed():
    async with feeding(channels=["change_xml"], auth="query") as (server, reader, sink):
        await sink.more(1)
        await reader.subscribe(ALL)
        await sink.more(5)
        server.post(Fault("reset"))
        await sink.until(lambda sink: [gap for gap in sink.gaps if gap.back_at_ns is not None])
        first, second = await connections(server)
        assert [asked["channels"] for asked in first["subscriptions"]] == [["change_xml"], ALL]
        assert [asked["channels"] for asked in second["subscriptions"]] == [ALL]
        assert reader.channels == tuple(ALL)
        assert_nothing_lost(sink.ledger(server))


@run_async
async def test_channels_may_change_while_there_is_no_connection():
    server = await serve(Options(speed=100.0))
    feed = Feed(server, channels=["change_xml"])
    feed.reader.start()
    await feed.reader.subscribe(ALL)
    await feed.sink.more(3)
    assert [asked["channels"] for asked in (await connections(server))[0]["subscriptions"]] == [ALL]
    await feed.reader.stop()
    await server.stop()


# A feed that is there and says nothing -----------------------------------------------------------------------------


@run_async
async def test_fault_22_keepalives_alone_are_stale_and_no_reason_to_reconnect():
    async with feeding(keepalive_s=1.0) as (server, reader, sink):
        await sink.more(3)
        server.post(Fault("only_ok"))
        await sink.until(lambda _: reader.state.stale)
        keepalives = len(sink.kinds) - 1 - max(at for at, kind in enumerate(sink.kinds) if kind is Kind.DATA)
        assert keepalives <= 2  # and so it was seen within two of their periods
        before = sink.data
        await sink.until(lambda _: len(sink.kinds) > before + keepalives + 2)
        assert sink.data == before  # keepalives are no data
        assert len(await connections(server)) == 1
        await server.clear_faults()
        await sink.until(lambda _: not reader.state.stale)


@run_async
async def test_fault_23_a_feed_that_only_answers_pings_is_left_within_a_minute():
    async with feeding() as (server, _reader, sink):
        await sink.more(3)
        server.post(Fault("silence", seconds=30.0))
        begun = asyncio.get_running_loop().time()
        await sink.until(lambda sink: sink.gaps)
        assert sink.gaps[0].cause == "no data for 1.8 s"  # all that is known by then
        await sink.until(lambda sink: "no message for" in sink.gaps[0].cause)
        assert len(sink.gaps) == 1
        assert 5.5 < asyncio.get_running_loop().time() - begun < 7.5  # at a tenth of the times
        assert "no message for" in sink.gaps[0].cause
        assert_nothing_lost(sink.ledger(server))


# The face of a reader ----------------------------------------------------------------------------------------------


@run_async
async def test_it_stops_in_the_middle_of_a_renewal_and_leaves_nothing():
    for pause in (0.05, 0.08, 0.11, 0.14):
        async with feeding(speed=None, rate=500.0, profile=QUICK, renew_after_s=SOON_S) as (
            server,
            reader,
            sink,
        ):
            await sink.more(5)
            await asyncio.sleep(pause)
            await reader.stop()
            assert str(reader.state) == "CLOSED"
            assert sink.states[-1].state == "CLOSED"
            assert reader.state.reconnects == 0
            seamless(sink, server)


@run_async
async def test_a_gap_that_nothing_ends_is_reported_at_the_stop():
    async with feeding() as (server, reader, sink):
        await sink.more(3)
        await server.stop()
        await sink.until(lambda sink: sink.states[-1].state == "WAITING")
        await reader.stop()
        assert [gap.back_at_ns for gap in sink.gaps] == [None]


@run_async
async def test_texts_can_be_sent_while_open():
    async with feeding() as (server, reader, sink):
        with pytest.raises(ConnectionFailed):
            await reader.send("too early")
        await sink.more(1)
        await reader.send("hello")
        await sink.until(lambda _: server.ledger()["connections"][0]["unreadable"] == 1)
        assert (1, b"hello") in sink.sent


@run_async
@problems(3)
async def test_a_sink_that_raises_harms_nobody():
    async with feeding() as (_server, _reader, sink):
        received, raised = sink.received, []

        def broken(*args):
            if len(raised) < 3:
                raised.append(1)
                raise RuntimeError("a bug")
            received(*args)

        sink.received = broken
        await sink.more(3)
        assert len(raised) == 3


@run_async
async def test_a_fixed_token_is_never_renewed():
    server = await serve(Options(speed=100.0))
    feed = Feed(server)
    secret = (await feed.authorizer.fetch()).reveal()
    feed.authorizer = TokenAuthorizer(token_source(server), fixed=secret)
    feed.reader.start()
    await feed.sink.more(3)
    await asyncio.sleep(0.3)
    assert feed.sink.states[-1].token_until_ns is None
    assert feed.reader.renewals == 0
    assert secret not in repr((feed.authorizer, feed.sink.states, vars(feed.reader)))
    await feed.reader.stop()
    await server.stop()
