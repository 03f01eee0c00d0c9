"""The stand-in's frames can be read with pako, and frames that pako deflated can be read here."""

import asyncio
import base64
import json
import subprocess

import pytest

from tes_nb.model import Direction, Kind, Message, Opcode
from tes_nb.simulate import number_in
from tes_nb.simulate.encoding import COMPRESSIONS
from tes_nb.streams.nowgoal.stream import decode
from tests.static.test_front_end import node
from tests.support.pako import FORMS, NODE, needed
from tests.support.standin import connect, stand_in, token_of, want

SCRIPT = """
import { inflate, inflateRaw, deflate, gzip, deflateRaw } from %s;
import { readFileSync } from "node:fs";
const asked = JSON.parse(readFileSync(0, "utf8"));
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
const as = () => ({ to: "string" });  // inflateRaw writes into its options
const text = (data) => { try { return inflate(data, as()); } catch { return inflateRaw(data, as()); } };
const deflated = {};
for (const [name, pack] of Object.entries({ deflate, gzip, deflateRaw })) {
  deflated[name] = asked.texts.map((one) => Buffer.from(pack(one)).toString("base64"));
}
console.log(JSON.stringify({ texts: asked.frames.map((one) => text(bytes(one))), deflated }));
"""


@pytest.fixture(scope="module")
def frames():
    """Binary frames of a stand-in that deflates in every way, and the numbers that it sent."""

    async def collect():
        found = []
        async with stand_in(speed=200, compression="mixed") as server:
            async with connect(server, await token_of(server)) as ws:
                await want(ws)
                while len(found) < 60:
                    message = await ws.recv()
                    if isinstance(message, bytes) and message[:1] not in b"<{[":
                        found.append(message)
            return found, server.sent("tests")

    return asyncio.run(collect())


def pako(frames, texts=()):
    program = node()
    if program is None:
        pytest.skip("there is no Node")
    asked = {"frames": [base64.b64encode(frame).decode() for frame in frames], "texts": list(texts)}
    script = SCRIPT % json.dumps(needed(NODE).as_uri())
    done = subprocess.run(
        [program, "--input-type=module", "-e", script],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_pako_reads_what_the_stand_in_deflates(frames):
    payloads, sent = frames
    assert len(COMPRESSIONS) == 5
    forms = {
        "gzip" if one[:2] == b"\x1f\x8b" else "zlib" if one[:1] == b"\x78" else "raw" for one in payloads
    }
    assert forms == {"gzip", "zlib", "raw"}
    numbers = [number_in(text.encode()) for text in pako(payloads)["texts"]]
    assert None not in numbers
    assert numbers == sorted(set(numbers))
    assert set(numbers) <= set(sent)


def message(payload, opcode=Opcode.BINARY):
    return Message("nowgoal", Direction.IN, opcode, payload, 10**18, 0, 1, 1)


def test_what_pako_deflates_decodes_as_the_text_itself(frames):
    payloads, _ = frames
    texts = pako(payloads)["texts"]
    deflated = pako((), texts)["deflated"]
    assert set(deflated) == set(FORMS)
    for packed in deflated.values():
        for text, frame in zip(texts, packed, strict=True):
            plain = decode(message(text.encode(), Opcode.TEXT))
            assert plain.kind is Kind.DATA
            assert repr(decode(message(base64.b64decode(frame)))) == repr(plain)
