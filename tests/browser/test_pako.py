"""A page that reads the feed as NowGoal's own page does: a WebSocket in Chromium, inflated with pako."""

from __future__ import annotations

import base64
from contextlib import closing
from typing import Any
from urllib.request import Request, urlopen

from tes_nb.model import Direction, Kind, Message, Opcode
from tes_nb.simulate import Options, number_in, start_child
from tes_nb.simulate.service import HEADERS
from tes_nb.streams.nowgoal.stream import decode
from tests.support.browser import served, until
from tests.support.pako import BROWSER, FORMS, needed

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>reader</title></head>
<body><script src="/pako.js"></script><script src="/reader.js"></script></body></html>"""
READER = """
window.texts = [];
window.watch = (url) => {
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => {
    if (data === "ok") return;
    window.texts.push(typeof data === "string" ? data : pako.inflate(new Uint8Array(data), { to: "string" }));
  };
};
window.deflated = (name, text) => btoa(String.fromCharCode(...pako[name](text)));
"""


def token(server: Any) -> str:
    request = Request(f"{server.token_url}?rnum=0.5", headers=HEADERS)
    with urlopen(request, timeout=5) as answer:
        return answer.read().decode()


def test_a_page_with_pako_reads_the_stand_in_and_is_read(browser: Any):
    files = {"/": PAGE, "/pako.js": needed(BROWSER).read_text(), "/reader.js": READER}
    with served(files) as address, closing(browser.new_context()) as context:
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        for compression in ("zlib", "gzip", "text"):  # what the site's own page can read
            read_one(page, compression)
        assert errors == []


def read_one(page: Any, compression: str) -> None:
    server = start_child(Options(speed=200, compression=compression))  # type: ignore[arg-type]
    try:
        page.evaluate("window.texts = []")
        query = f"channels=change_xml,ch_goal8_xml&&token={token(server)}&subscriber=page"
        page.evaluate("(url) => window.watch(url)", f"{server.stream_url}?{query}")
        until(page, "window.texts.length >= 25")
        texts = page.evaluate("window.texts.slice(0, 25)")
        assert [number_in(text.encode()) for text in texts] == server.sent("page")[:25]
    finally:
        server.stop()
    for name in FORMS:
        packed = base64.b64decode(
            page.evaluate("([name, text]) => window.deflated(name, text)", [name, texts[0]])
        )
        decoded = decode(Message("nowgoal", Direction.IN, Opcode.BINARY, packed, 10**18, 0, 1, 1))
        assert decoded.kind is Kind.DATA
        assert decoded.rows
