"""What clients may send on the streams: every answer is a sentence, and the connection stays."""

from __future__ import annotations

import ast
import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tes_nb
from tests.support.aio import run_async
from tests.support.collectors import (
    METRICS,
    STATUS,
    TOKEN,
    WORKERS,
    ask,
    collecting,
    listing,
    open_socket,
    receive,
    reply,
    socket,
)
from tests.support.waiting import eventually_async
from tests.support.websocket_frames import CLOSE, TEXT, frame, read_frames

STREAMS = ((0, STATUS), (0, METRICS), (1, WORKERS))
HOSTILE = {
    "deep list": "[" * 30_000,
    "deep object": '{"type":' * 5_000,
    "deep type": '{"type":' + "[" * 900 + "]" * 900 + "}",
    "deep names": '{"type":"subscribe","metrics":' + "[" * 900 + "]" * 900 + "}",
    "huge integer": '{"type":' + "9" * 60_000 + "}",
    "integer for a type": '{"type":99999999999999999999999999}',
    "NaN": '{"type":NaN}',
    "infinity": '{"type":1e999}',
    "minus infinity": '{"type":-1e999}',
    "doubled keys": '{"type":"x","type":"y"}',
    "lone surrogate": '{"type":"\\ud800"}',
    "surrogate in names": '{"type":"subscribe","metrics":["\\udfff"]}',
    "byte order mark": '\ufeff{"type":"x"}',
    "empty": "",
    "space": "   ",
    "number": "7",
    "null": "null",
    "list": "[]",
    "text": '"ping"',
    "no type": "{}",
    "null type": '{"type":null}',
    "list for a type": '{"type":["ping"]}',
    "object for a type": '{"type":{"a":1}}',
    "names of no kind": '{"type":"subscribe","metrics":5}',
    "names of objects": '{"type":"subscribe","metrics":[{}]}',
    "a long name": '{"type":"' + "x" * 60_000 + '"}',
    "markup": '{"type":"<script>alert(1)</script>\\u0000\\u202e"}',
    "unknown fields": '{"type":"x","__proto__":{},"constructor":1}',
    "text after it": '{"type":"ping"}x',
}


@pytest.mark.parametrize("message", HOSTILE.values(), ids=HOSTILE)
@run_async
async def test_fault_58_hostile_messages_get_an_error_and_the_connection_stays(message):
    async with collecting() as collector:
        for index, path in STREAMS:
            async with socket(collector.ports[index], path, max_size=2**20) as client:
                answer = await reply(client, message)
                assert answer["type"] == "error", path
                assert answer["message"].endswith(".")
                assert (await reply(client, {"type": "ping"}))["type"] == "pong"


@run_async
async def test_bytes_that_are_no_utf_8_are_an_error_too():
    async with collecting() as collector, socket(collector.ports[0], STATUS) as client:
        for message in (b"\xff\xfe", b'{"type":"\xed\xa0\x80"}', bytes(range(256))):
            assert (await reply(client, message))["type"] == "error"
        assert (await reply(client, {"type": "ping"}))["type"] == "pong"


def test_fault_62_any_message_is_answered():
    """One connection, many messages: none ends it, each has an answer of a known type."""
    loop = asyncio.new_event_loop()
    entered = collecting()
    collector = loop.run_until_complete(entered.__aenter__())
    client = loop.run_until_complete(socket(collector.ports[0], STATUS).__aenter__())
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
        max_leaves=8,
    )
    types = st.sampled_from(["ping", "subscribe", "heartbeat", "status", "error", ""]) | json_values
    messages = (
        st.builds(lambda kind, names: json.dumps({"type": kind, "metrics": names}), types, json_values)
        | json_values.map(json.dumps)
        | st.text(max_size=40)
    )

    @settings(max_examples=80)
    @given(messages)
    def answered(message):
        answer = loop.run_until_complete(reply(client, message))
        assert answer["type"] in ("pong", "subscribed", "error")

    try:
        answered()
    finally:
        loop.run_until_complete(client.close())
        loop.run_until_complete(entered.__aexit__(None, None, None))
        loop.close()


@run_async
async def test_a_message_beyond_64_kib_closes_with_1009_and_hurts_nobody():
    async with collecting() as collector, socket(collector.ports[0], STATUS) as other:
        async with socket(collector.ports[0], STATUS) as client:
            await client.send("x" * (64 * 1024 + 1))
            async with asyncio.timeout(5):
                await client.wait_closed()
            assert client.close_code == 1009
        assert (await reply(other, {"type": "ping"}))["type"] == "pong"


@run_async
async def test_fault_54_compressed_frames_are_refused_not_inflated():
    """permessage-deflate is never agreed to, so a frame that claims it breaks the protocol."""
    async with collecting() as collector:
        bomb = bytes([0xC0 | TEXT, 0x80 | 126, 0x40, 0x00]) + b"\0\0\0\0" + b"\xec\xc1" * 0x2000
        reader, writer = await open_socket(collector.ports[0], STATUS, token=TOKEN)
        writer.write(bomb)
        closing = [payload for opcode, payload in await read_frames(reader) if opcode == CLOSE]
        assert int.from_bytes(closing[0][:2], "big") == 1002
        writer.close()
        async with socket(collector.ports[0], STATUS, compression="deflate") as client:
            assert client.protocol.extensions == []
            await receive(client)


def calls_without_a_size(path):
    """Calls that lift the library's bound on messages: max_size=None, max_msg_size=0 or None."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        for keyword in node.keywords:
            lifted = isinstance(keyword.value, ast.Constant) and not keyword.value.value
            if keyword.arg in ("max_size", "max_msg_size", "client_max_size") and lifted:
                yield f"{path.name}:{node.lineno}"


def test_fault_54_nobody_lifts_the_bound_on_messages():
    root = Path(tes_nb.__file__).parents[1]
    files = [*root.glob("tes_nb/**/*.py"), *root.glob("tests/**/*.py"), *root.glob("benchmarks/**/*.py")]
    assert len(files) > 50
    assert [found for path in files for found in calls_without_a_size(path)] == []


IDS = {
    "parent": "..",
    "parent and more": "../../etc/passwd",
    "encoded": "%2e%2e%2fetc%2fpasswd",
    "encoded slash": "a%2fb",
    "encoded twice": "%252e%252e%252f",
    "backslash": "..\\..\\x",
    "encoded backslash": "..%5c..%5cx",
    "absolute": "/etc/passwd",
    "encoded absolute": "%2fetc%2fpasswd",
    "NUL": "a%00b",
    "long": "a" * 300,
    "full-width": "\uff0e\uff0e\uff0fx",
    "full-width encoded": "%ef%bc%8e%ef%bc%8e%ef%bc%8fx",
    "space": "a%20b",
    "line end": "a%0d%0aX-Evil:%201",
    "hidden dots": "a..b",
    "home": "~root",
    "wild card": "*",
    "template": "{id}",
    "empty": "",
}


@pytest.mark.parametrize("worker_id", IDS.values(), ids=IDS)
@run_async
async def test_fault_63_ids_that_are_no_ids(worker_id, opened_files):
    async with collecting() as collector, listing(collector):
        opened_files.clear()
        answer = await ask(collector.ports[1], f"/api/workers/snapshot/{worker_id}", token=TOKEN)
        assert answer.status in (400, 404)
        assert answer.json()["error"].endswith(".")
        assert answer.header("X-Evil") is None
        outside = [name for name in opened_files if not str(name).startswith(("/proc/", "/sys/fs/cgroup"))]
        assert outside == []


@pytest.fixture
def opened_files(audit):
    yield from audit("open")


@run_async
async def test_a_worker_that_ended_has_no_snapshot():
    async with collecting() as collector, listing(collector) as process:
        (worker,) = collector.observer.workers.facts()
        process.kill()
        collector.observer.processes.report_exit(process.pid, await asyncio.to_thread(process.wait))
        answer = await ask(collector.ports[1], f"/api/workers/snapshot/{worker.id}", token=TOKEN)
        assert answer.status == 404


@run_async
async def test_a_close_is_answered_and_its_place_is_free():
    async with collecting(limits={"clients": 1}) as collector:
        for _ in range(3):
            reader, writer = await open_socket(collector.ports[0], STATUS)
            writer.write(frame(CLOSE, (1000).to_bytes(2, "big")))
            frames = await read_frames(reader)
            assert (CLOSE, (1000).to_bytes(2, "big")) in frames
            writer.close()
            await eventually_async(lambda: not collector.sockets.foreign)
