import time

import pytest

from tes_nb.net.http import Poller
from tests.support.aio import run_async
from tests.support.peers import RawPeer, answer, reset
from tests.support.waiting import busy


async def fetch(peer, headers=None, **options):
    url = f"http://127.0.0.1:{peer.port}/x"
    async with Poller(url, **({"deadline_s": 5.0} | options)) as poller:
        return await poller.fetch(headers)


@run_async
async def test_a_body_is_given_as_it_came():
    async with RawPeer(answer(200, body=b'{"n": 1}')) as peer:
        assert await fetch(peer) == b'{"n": 1}'
        assert b"identity" in peer.requests[0]


@pytest.mark.parametrize("status", [204, 301, 401, 404, 500, 503])
@run_async
async def test_another_status_is_a_failure_with_that_status(status):
    async with RawPeer(answer(status, {"Retry-After": "9"})) as peer:
        failure = await fetch(peer)
        assert failure.status == status
        assert failure.retry_after_s == 9


@run_async
async def test_a_body_beyond_the_cap_is_refused():
    async with RawPeer(answer(200, body=b"x" * 300_000)) as peer:
        failure = await fetch(peer, max_bytes=100_000)
        assert "longer than 100000 bytes" in failure.sentence


@run_async
async def test_a_compressed_body_is_not_inflated():
    async with RawPeer(answer(200, {"Content-Encoding": "gzip"}, body=b"\x1f\x8bnot gzip")) as peer:
        assert await fetch(peer) == b"\x1f\x8bnot gzip"


@run_async
async def test_a_peer_that_dribbles_is_cut_off_at_the_deadline():
    async def dribble(_peer, _reader, writer):
        import asyncio

        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with RawPeer(dribble) as peer:
        begun = time.monotonic()
        failure = await fetch(peer, deadline_s=0.3)
        assert failure.kind == "timeout"
        assert time.monotonic() - begun < busy(3)


@run_async
async def test_nobody_there_is_connection_refused():
    async with RawPeer(answer(200)) as peer:
        port = peer.port
    async with Poller(f"http://127.0.0.1:{port}/", deadline_s=5) as poller:
        assert (await poller.fetch()).kind == "refused"


@run_async
async def test_what_is_no_http_is_a_failure_too():
    async def babble(_peer, _reader, writer):
        writer.write(b"\x00\xffhello\r\n\r\n")
        await writer.drain()

    async with RawPeer(babble) as peer:
        assert (await fetch(peer)).kind == "poll"


@run_async
async def test_fault_25_a_redirected_poll_takes_no_token_along():
    async with RawPeer(answer(200, body=b"there")) as other:
        there = answer(302, {"Location": f"http://127.0.0.1:{other.port}/y"})
        async with RawPeer(there) as peer:
            assert await fetch(peer, {"X-TES-Dev-Token": "hush"}) == b"there"
            assert b"hush" in peer.requests[0]
            assert b"hush" not in other.requests[0]


@run_async
async def test_fault_25_a_circle_of_redirects_ends_after_five():
    async with RawPeer(answer(302, {"Location": "/x"})) as peer:
        failure = await fetch(peer)
        assert failure.kind == "redirect"
        assert len(peer.requests) == 6


@run_async
async def test_a_peer_that_resets_is_asked_once_for_each_try():
    """aiohttp asks a second time by itself; with five tries of ours it made ten requests."""

    async def reset_it(_peer, _reader, writer):
        reset(writer)

    async with RawPeer(reset_it) as peer:
        for _ in range(5):
            assert (await fetch(peer)).kind in ("poll", "network")
        assert len(peer.requests) == 5
        async with Poller(f"http://127.0.0.1:{peer.port}/x", deadline_s=5.0) as poller:
            for _ in range(5):
                assert (await poller.fetch()).kind in ("poll", "network")
        assert len(peer.requests) == 10
