"""One connection: handshakes that stall, lie or redirect, and peers that abuse an open connection."""

import asyncio
import dataclasses
import errno
import os
import resource
import socket
import struct
import time
import zlib
from pathlib import Path

import pytest

from tes_nb.errors import ConnectionFailed
from tes_nb.model import Opcode
from tes_nb.net.transport import LARGE_BYTES, Closed, Link, PeerLimits, connect
from tes_nb.wire.lifecycle import Failure
from tes_nb.wire.profile import PROFILE
from tests.support.aio import Together, run_async
from tests.support.chaos import DOWN, UP, ChaosProxy, reset
from tests.support.peers import (
    NumberedPeer,
    RawPeer,
    accept_then_close,
    answer,
    close_frame,
    frame,
    says,
    staller,
    upgrade,
)
from tests.support.waiting import busy, eventually_async

QUICK = PROFILE.scaled(0.1)
FAST = dataclasses.replace(QUICK, open_timeout_s=5.0)
"""The machine may be busy: only tests of the open timeout itself are in a hurry there."""


together = Together()


async def open_link(url, **options):
    link = await connect(url, **({"profile": FAST} | options))
    assert isinstance(link, Link), link
    return link


async def read_all(peer, **options):
    """Connect and receive until the end; return (messages, how it ended, seconds)."""
    link = await open_link(f"ws://127.0.0.1:{peer.port}/", **options)
    messages = []
    begun = time.monotonic()
    closed = await link.receive(lambda opcode, payload: messages.append((opcode, payload)))
    return messages, closed, time.monotonic() - begun


async def fail(peer, **options):
    failure = await connect(f"ws://127.0.0.1:{peer.port}/", **({"profile": QUICK} | options))
    assert isinstance(failure, Failure), failure
    return failure


# Messages -----------------------------------------------------------------------------------------------


@run_async
async def test_texts_and_binaries_come_as_they_were_sent():
    sent = [frame(1, "grüße".encode()), frame(2, b"\x00\xff"), frame(1, b""), close_frame(1001, b"bye")]
    async with RawPeer(says(*sent, then=0.2)) as peer:
        messages, closed, _ = await read_all(peer)
    assert messages == [(Opcode.TEXT, "grüße".encode()), (Opcode.BINARY, b"\x00\xff"), (Opcode.TEXT, b"")]
    assert closed == Closed(1001, "closed 1001 bye")


@run_async
async def test_between_large_messages_the_others_on_the_loop_have_a_turn():
    """A backlog of batches must not hold a push on another connection."""
    sent = [frame(2, bytes(2 * LARGE_BYTES)) for _ in range(12)]
    turns, at = 0, []

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with RawPeer(says(*sent, close_frame(1000), then=0.2)) as peer:
        link = await open_link(f"ws://127.0.0.1:{peer.port}/")
        await asyncio.sleep(0.2)  # all of it is there
        running = asyncio.create_task(other())
        await link.receive(lambda *_: at.append(turns))
        running.cancel()
    assert len(at) == len(sent)
    assert len(set(at)) == len(sent)


@run_async
async def test_a_text_can_be_sent_and_after_the_end_that_is_an_error():
    async with NumberedPeer() as peer:
        link = await open_link(peer.url)
        await link.send(b'{"type":"ping"}')
        receiving = asyncio.create_task(link.receive(lambda *_: None))
        await asyncio.sleep(0.05)
        assert peer.received == [(1, '{"type":"ping"}')]
        await link.close("done")
        assert (await receiving).code == 1000
        with pytest.raises(ConnectionFailed, match="Not sent"):
            await link.send(b"late")


@run_async
async def test_headers_go_along():
    async with NumberedPeer() as peer:
        link = await open_link(peer.url, headers={"Authorization": "Bearer x"})
        assert peer.headers[0]["Authorization"] == "Bearer x"
        assert peer.headers[0]["User-Agent"].startswith("tes_nb/")
        await link.close()
        link.abort()


@pytest.mark.parametrize("value", ["Bearer hush\r\nX: y", "Bearer hush\0", "Bearer hush\u20ac"])
@run_async
async def test_a_header_of_ours_that_cannot_be_sent_is_not_quoted(value):
    async with NumberedPeer() as peer:
        failure = await fail(peer, headers={"Authorization": value})
        assert failure.sentence == "the header Authorization cannot be sent: it is not printable ASCII"
        assert peer.handshakes == []


@run_async
async def test_loopback_is_never_sent_to_a_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with NumberedPeer() as peer:
        (await open_link(peer.url)).abort()
        (await open_link(f"ws://localhost:{peer.port}/")).abort()


# How connections end ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1009, 1011, 1012, 1013, 4000, 4999])
@run_async
async def test_fault_24_the_close_code_is_reported(code):
    async with RawPeer(accept_then_close(code, b"because")) as peer:
        _, closed, seconds = await read_all(peer)
    assert closed == Closed(code, f"closed {code} because")
    assert seconds < busy(2)


@run_async
async def test_a_close_frame_without_a_code_is_1005():
    async with RawPeer(says(frame(8), then=0.05)) as peer:
        assert (await read_all(peer))[1].code == 1005


@run_async
async def test_fault_03_a_reset_is_seen_at_once_and_a_partial_frame_is_not_delivered():
    async with NumberedPeer(padding=500) as peer, ChaosProxy(peer.port) as proxy:
        for seed in range(60):
            proxy.reset_after = 150 + (seed * 7919) % 4000
            link = await connect(f"ws://127.0.0.1:{proxy.port}/", profile=FAST)
            if isinstance(link, Failure):
                assert link.kind in ("network", "protocol")  # reset within the handshake
                continue
            messages = []
            for _ in range(8):
                peer.push()
            receiving = link.receive(lambda _o, payload, into=messages: into.append(payload))
            closed = await asyncio.wait_for(receiving, 5)
            assert closed.code == 1006
            assert all(payload.endswith(b'x"}') for payload in messages)


@pytest.mark.alone
@run_async
async def test_fault_03_the_reset_is_detected_within_a_tenth_of_a_second():
    async with NumberedPeer() as peer, ChaosProxy(peer.port) as proxy:
        link = await open_link(f"ws://127.0.0.1:{proxy.port}/")
        receiving = asyncio.create_task(link.receive(lambda *_: None))
        await asyncio.sleep(0.1)
        begun = time.monotonic()
        proxy.reset()
        closed = await receiving
        assert time.monotonic() - begun < busy(0.1)
        assert closed == Closed(1006, "connection reset")


@pytest.mark.alone
@run_async
async def test_fault_04_a_fin_without_a_close_frame_is_1006():
    async with NumberedPeer() as peer, ChaosProxy(peer.port) as proxy:
        link = await open_link(f"ws://127.0.0.1:{proxy.port}/")
        receiving = asyncio.create_task(link.receive(lambda *_: None))
        await asyncio.sleep(0.1)
        begun = time.monotonic()
        proxy.cut()
        closed = await receiving
        assert time.monotonic() - begun < busy(0.3)
        assert closed == Closed(1006, "the connection ended without a close frame")


@pytest.mark.alone
@together
async def test_fault_02_and_05_a_dead_link_is_given_up_within_16_seconds():
    everything = frozenset({UP, DOWN})
    await asyncio.gather(
        *(_dead_link(silent, dead) for silent, dead in ((True, ()), (False, {UP}), (False, everything)))
    )


async def _dead_link(silent, dead):
    async with NumberedPeer(every_s=0.05) as peer, ChaosProxy(peer.port) as proxy:
        link = await open_link(f"ws://127.0.0.1:{proxy.port}/")
        receiving = asyncio.create_task(link.receive(lambda *_: None))
        await asyncio.sleep(0.3)
        begun = time.monotonic()
        proxy.silent, proxy.dead = silent, frozenset(dead)
        closed = await asyncio.wait_for(receiving, 5)
        assert time.monotonic() - begun <= busy(1.6 + 0.2)  # a tenth of the time
        assert closed == Closed(1006, "the peer does not answer pings")


@together
async def test_a_live_link_is_not_given_up():
    async with NumberedPeer() as peer:
        link = await open_link(peer.url, profile=PROFILE.scaled(0.05))
        receiving = asyncio.create_task(link.receive(lambda *_: None))
        await asyncio.sleep(1.4)  # two ping intervals of a twentieth, and their patience
        assert not receiving.done()
        await link.close()
        await receiving


@together
async def test_fault_07_latency_with_jitter_disconnects_nobody():
    async with NumberedPeer() as peer, ChaosProxy(peer.port) as proxy:
        # A seventh of the time: a second in which the machine is busy elsewhere is then no lost pong.
        proxy.latency = lambda: proxy.dice.uniform(0.15, 0.45)
        # Each way of the handshake may take its share of the latency too.
        profile = dataclasses.replace(PROFILE.scaled(0.15), open_timeout_s=5.0)
        link = await open_link(f"ws://127.0.0.1:{proxy.port}/", profile=profile)
        receiving = asyncio.create_task(link.receive(lambda *_: None))
        await asyncio.sleep(7.5)
        assert not receiving.done(), receiving.result()
        await link.close()
        await receiving


@run_async
async def test_fault_08_a_slow_link_with_a_big_frame_is_no_dead_link():
    async with NumberedPeer() as peer, ChaosProxy(peer.port) as proxy:
        peer.pushing = False
        link = await open_link(f"ws://127.0.0.1:{proxy.port}/", profile=PROFILE.scaled(0.05))
        sizes = []
        receiving = asyncio.create_task(link.receive(lambda _o, payload: sizes.append(len(payload))))
        proxy.bandwidth = 80_000
        peer.push(padding=100_000)  # far longer under way than a pong may take
        async with asyncio.timeout(15):
            while not sizes:
                assert not receiving.done(), receiving.result()
                await asyncio.sleep(0.05)
        proxy.bandwidth = None
        assert sizes[0] > 100_000
        await asyncio.sleep(0.8)
        assert not receiving.done()
        link.abort()
        await receiving


@run_async
async def test_fault_09_slices_of_one_byte_change_nothing():
    async with NumberedPeer(every_s=0.01, padding=50) as peer, ChaosProxy(peer.port) as proxy:
        proxy.slice = 1
        direct, sliced = [], []
        links = [await open_link(peer.url), await open_link(f"ws://127.0.0.1:{proxy.port}/")]
        tasks = [
            asyncio.create_task(link.receive(lambda _o, payload, into=into: into.append(payload)))
            for link, into in zip(links, (direct, sliced), strict=True)
        ]
        await eventually_async(lambda: len(sliced) >= 40)
        for link in links:
            link.abort()
        await asyncio.gather(*tasks)
        start = direct.index(sliced[0])
        assert direct[start : start + 40] == sliced[:40]


# Handshakes ---------------------------------------------------------------------------------------------------


@run_async
async def test_fault_06_a_handshake_that_stalls_at_any_byte_ends_at_the_open_timeout():
    request = b"GET / HTTP/1.1\r\nSec-WebSocket-Key: x\r\n\r\n"
    size = len(upgrade(request))

    async def one(stop_at):
        async with RawPeer(staller(stop_at)) as peer:
            begun = time.monotonic()
            failure = await fail(peer)
            seconds = time.monotonic() - begun
            assert failure == Failure("timeout", "no answer within 0.5 s")
            assert 0.45 <= seconds <= 1.2, seconds

    for begin in range(0, size, 30):  # every byte of the answer, some at a time
        await asyncio.gather(*(one(stop_at) for stop_at in range(begin, min(begin + 30, size))))


@together
async def test_a_peer_that_never_accepts_ends_at_the_open_timeout():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)  # nobody accepts: the kernel does, and no answer ever comes
    failure = await connect(f"ws://127.0.0.1:{listener.getsockname()[1]}/", profile=QUICK)
    assert failure == Failure("timeout", "no answer within 0.5 s")
    listener.close()


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500, 503])
@run_async
async def test_an_answer_that_is_no_upgrade_is_reported_with_its_status(status):
    async with RawPeer(answer(status, {"Retry-After": "30"}, b"no")) as peer:
        failure = await fail(peer)
    assert (failure.kind, failure.status, failure.retry_after_s) == ("status", status, 30.0)


@pytest.mark.parametrize(
    "lines",
    [b"", b"SSH-2.0-OpenSSH\r\n", b"\xff" * 500, b"HTTP/1.1 101 Fine\r\n\r\n", b"HTTP/1.1 1e9 ?\r\n\r\n"],
)
@run_async
async def test_what_is_no_http_is_a_protocol_failure(lines):
    async def behave(_peer, _reader, writer):
        writer.write(lines)
        await writer.drain()

    async with RawPeer(behave) as peer:
        failure = await fail(peer)
    assert failure.kind == "protocol"


@run_async
async def test_a_reset_within_the_handshake_is_a_failure():
    async def behave(_peer, _reader, writer):
        reset(writer)

    async with RawPeer(behave) as peer:
        assert (await fail(peer)).kind in ("network", "protocol")


@run_async
async def test_nobody_there_is_connection_refused_by_name_and_by_number():
    async with RawPeer(answer(200)) as peer:
        port = peer.port
    for host in ("127.0.0.1", "localhost"):
        assert await connect(f"ws://{host}:{port}/", profile=FAST) == Failure("refused", "connection refused")


@run_async
async def test_fault_11_a_name_that_cannot_be_found_is_no_error_and_its_next_address_is_used(monkeypatch):
    loop = asyncio.get_running_loop()
    answers = [socket.gaierror(-3, "Temporary failure in name resolution"), "127.0.0.1"]

    async def getaddrinfo(host, port, **_options):
        address = answers.pop(0)
        if isinstance(address, Exception):
            raise address
        assert host == "tes.example"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    async with NumberedPeer() as peer:
        url = f"ws://tes.example:{peer.port}/"
        assert await connect(url, profile=FAST) == Failure("dns", "the host name was not found")
        (await open_link(url)).abort()


@run_async
async def test_fault_25_redirects_are_followed_without_taking_our_headers_to_others():
    async with NumberedPeer() as goal:
        hop = answer(302, {"Location": f"http://127.0.0.1:{goal.port}/there"})
        async with RawPeer(hop) as peer:
            link = await open_link(
                f"ws://127.0.0.1:{peer.port}/", headers={"X-TES-Dev-Token": "hush", "Authorization": "hush"}
            )
            link.abort()
            assert peer.requests[0].count(b"hush") == 2
            assert "hush" not in str(goal.headers[0])
            assert goal.paths == ["/there"]


@run_async
async def test_fault_25_redirects_end_after_five_hops():
    async with RawPeer(answer(302, {"Location": "/again"})) as peer:
        failure = await fail(peer)
        assert failure == Failure("redirect", "the peer redirects more than 5 times")
        assert len(peer.requests) == 6


@run_async
async def test_no_file_descriptors_left_is_said():
    async with RawPeer(answer(200)) as peer:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Keep one descriptor free of use: the limit then stops the next socket, whatever is open already.
        spare = os.dup(0)
        os.close(spare)
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
        try:
            failure = await fail(peer)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert failure == Failure("network", "this process has no file descriptors left")
    assert errno.EMFILE


# Abuse --------------------------------------------------------------------------------------------------------


@run_async
async def test_a_message_beyond_the_limit_closes_with_1009_soon_even_if_the_peer_stays():
    async with RawPeer(says(frame(2, b"x" * 1000), frame(2, b"", length=2**20 + 1))) as peer:
        messages, closed, seconds = await read_all(peer)
    assert len(messages) == 1
    assert closed.code == 1009
    assert seconds < busy(2)


@run_async
async def test_fault_54_a_deflate_bomb_is_refused_with_1009_and_little_memory():
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    # A full flush forgets what came before, so one compressed MiB may stand there 512 times.
    bomb = 512 * (deflate.compress(b"\0" * 2**20) + deflate.flush(zlib.Z_FULL_FLUSH))
    assert len(bomb) < 2**20  # it passes the limit on the wire

    async def behave(peer, _reader, writer):
        reply = upgrade(peer.requests[-1])[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        writer.write(reply + bytes([0xC1]) + frame(1, bomb)[1:])
        await writer.drain()
        await asyncio.sleep(60)

    async with RawPeer(behave) as peer:
        before = memory_now()
        messages, closed, _ = await read_all(peer, compression="deflate")
        grown = memory_peak() - before
    assert closed.code == 1009
    assert messages == []
    assert grown <= 16 * 2**20, f"{grown / 2**20:.1f} MiB"


def memory_now():
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM to what is in use now
    return memory_peak()


def memory_peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@run_async
async def test_fault_59_a_flood_of_fragments_closes_with_1009():
    flood = frame(1, b"", fin=False) + frame(0, b"", fin=False) * 100_000
    async with RawPeer(says(flood)) as peer:
        messages, closed, seconds = await read_all(peer)
    assert messages == []
    assert closed == Closed(1009, "we closed 1009: too many fragments")
    assert seconds < busy(3)


@run_async
async def test_fault_59_a_message_of_4096_fragments_is_still_one():
    pieces = frame(1, b"a", fin=False) + frame(0, b"b", fin=False) * 4094 + frame(0, b"c")
    async with RawPeer(says(pieces, close_frame(1000), then=0.2)) as peer:
        messages, _, _ = await read_all(peer)
    assert messages == [(Opcode.TEXT, b"a" + b"b" * 4094 + b"c")]


@run_async
async def test_fault_59_a_flood_of_pings_closes_with_1008():
    async with RawPeer(says(frame(9, b"p") * 50_000)) as peer:
        _, closed, seconds = await read_all(peer)
    assert closed == Closed(1008, "we closed 1008: too many pings")
    assert seconds < busy(3)


@run_async
async def test_fault_59_a_hundred_pings_in_a_second_are_answered():
    pongs = []

    async def behave(peer, reader, writer):
        writer.write(upgrade(peer.requests[-1]) + frame(9, b"p") * 100)
        await writer.drain()
        for _ in range(100):
            head = await reader.readexactly(2 + 4 + 1)
            pongs.append(head[0])
        writer.write(close_frame(1000))
        await asyncio.sleep(0.2)

    async with RawPeer(behave) as peer:
        _, closed, _ = await read_all(peer)
    assert closed.code == 1000
    assert pongs == [0x8A] * 100


@pytest.mark.parametrize(
    ("bytes_", "code"),
    [
        (frame(1, b"\xff\xfe"), 1007),
        (bytes([0xF1, 0]), 1002),  # reserved bits
        (bytes([0x81, 0x80]) + b"abcd", 1002),  # masked by a server
        (frame(3, b""), 1002),  # a reserved opcode
        (frame(0, b"x"), 1002),  # a continuation of nothing
        (frame(9, b"x" * 126), 1002),  # a control frame too long
        (frame(8, struct.pack(">H", 1005)), 1002),  # a code nobody may send
    ],
)
@run_async
async def test_fault_60_frames_against_the_rules_close_with_the_right_code(bytes_, code):
    async with RawPeer(says(bytes_)) as peer:
        messages, closed, seconds = await read_all(peer)
    assert messages == []
    assert closed.code == code
    assert seconds < busy(3)


@run_async
async def test_limits_are_configurable():
    limits = PeerLimits(message_bytes=100, fragments=3, pings_per_s=2)
    for payload, code in (
        (frame(1, b"x" * 101), 1009),
        (frame(9) * 3, 1008),
        (frame(1, fin=False) * 3, 1002),
    ):
        async with RawPeer(says(payload)) as peer:
            assert (await read_all(peer, limits=limits))[1].code == code
    assert dataclasses.asdict(PeerLimits())["message_bytes"] == 2**20
