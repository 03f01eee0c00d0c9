"""Proxies of the environment: used where they can be, one sentence where not, and never for this machine."""

from __future__ import annotations

import asyncio

import pytest

import tes_nb as tes
from tes_nb.net import transport
from tes_nb.net.http import Poller
from tes_nb.net.proxies import proxy_for
from tes_nb.wire.lifecycle import Failure
from tests.support.aio import run_async
from tests.support.peers import NumberedPeer
from tests.support.waiting import eventually

PEER = "tes.invalid"
NAMES = [f"{kind}_proxy" for kind in ("http", "https", "ws", "wss", "socks", "all", "no")]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """None of the machine's own settings."""
    for name in NAMES:
        for spelt in (name, name.upper()):
            monkeypatch.delenv(spelt, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("HTTP_PROXY", "proxy:3128", "the proxy 'proxy:3128' of HTTP_PROXY cannot be used: it has no scheme"),
        ("https_proxy", "10.0.0.1", "the proxy '10.0.0.1' of https_proxy cannot be used: it has no scheme"),
        (
            "ALL_PROXY",
            "socks5://s:1080",
            "of ALL_PROXY cannot be used: it speaks SOCKS, which needs the package",
        ),
        ("all_proxy", "ftp://s", "of all_proxy cannot be used: its scheme ftp is none of a proxy"),
        ("HTTPS_PROXY", "http://", "of HTTPS_PROXY cannot be used: it is no address of a host and a port"),
        (
            "HTTPS_PROXY",
            "http://p:port",
            "of HTTPS_PROXY cannot be used: it is no address of a host and a port",
        ),
        (
            "HTTPS_PROXY",
            "http://me@p:1",
            "the proxy 'http://p:1' of HTTPS_PROXY cannot be used: it has a user name",
        ),
    ],
)
@run_async
async def test_what_cannot_be_used_is_one_sentence_for_sockets_and_polls(environment, name, value, why):
    environment.setenv(name, value)
    failure = await transport.connect(f"ws://{PEER}/ws")
    assert isinstance(failure, Failure)
    assert why in failure.sentence
    assert f"set it to http://HOST:PORT, or name {PEER} in NO_PROXY" in failure.sentence
    assert "me@" not in failure.sentence
    if "https" in name.lower() or "SOCKS" in why:
        return
    async with Poller(f"http://{PEER}/now", deadline_s=5.0) as poller:
        polled = await poller.fetch()
    assert isinstance(polled, Failure)
    assert why in polled.sentence


@run_async
async def test_a_proxy_that_is_not_there_or_is_none_is_blamed_and_not_the_peer(environment):
    environment.setenv("ALL_PROXY", "http://127.0.0.1:9")
    failure = await transport.connect(f"ws://{PEER}/ws")
    assert failure.sentence == "the proxy 'http://127.0.0.1:9': connection refused"
    async with Poller(f"http://{PEER}/now", deadline_s=5.0) as poller:
        assert (await poller.fetch()).sentence == "the proxy: connection refused"

    async def refuse(_reader, writer):
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        environment.setenv("ALL_PROXY", f"http://me:secret@127.0.0.1:{port}")
        failure = await transport.connect(f"ws://{PEER}/ws")
        assert (
            failure.sentence == f"the proxy 'http://127.0.0.1:{port}': HTTP 407 Proxy Authentication Required"
        )


def test_the_peer_is_reached_directly_where_no_proxy_is_for_it(environment):
    assert proxy_for(f"ws://{PEER}/ws") is None
    environment.setenv("HTTPS_PROXY", "http://p:3128")
    assert proxy_for(f"wss://{PEER}/ws") == "http://p:3128"
    assert proxy_for(f"http://{PEER}/now") is None
    environment.setenv("NO_PROXY", PEER)
    assert proxy_for(f"wss://{PEER}/ws") is None
    assert proxy_for("wss://other.invalid/ws") == "http://p:3128"


@run_async
async def test_this_machine_is_never_reached_through_a_proxy(environment):
    environment.setenv("ALL_PROXY", "proxy:3128")
    environment.setenv("HTTP_PROXY", "proxy:3128")
    async with NumberedPeer() as peer:
        link = await transport.connect(peer.url)
        assert not isinstance(link, Failure), link.sentence
        await link.close()


def test_a_session_says_what_is_wrong_with_the_proxy(environment):
    environment.setenv("HTTP_PROXY", "proxy:3128")
    with tes.attach(f"http://{PEER}:3002", workers=f"http://{PEER}:3003", streams=["metrics"]) as session:
        eventually(lambda: "HTTP_PROXY" in str(session.metrics.state), 10)
        assert "it has no scheme; set it to http://HOST:PORT" in str(session.metrics.state)
