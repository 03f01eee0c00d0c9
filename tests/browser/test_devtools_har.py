"""A HAR of what a real Chromium's DevTools saw gives the rows of the session that was recorded meanwhile."""

from __future__ import annotations

import subprocess
import time
from contextlib import closing
from urllib.request import Request, urlopen

import pandas as pd
import pytest

import tes_nb as tes
from tes_nb.model import Direction, Kind, Opcode
from tes_nb.simulate import Options, start_child
from tes_nb.simulate.service import HEADERS
from tes_nb.streams.nowgoal.stream import resolve
from tests.support.devtools import DevTools
from tests.support.processes import IDLE, python

CHANNELS = ("scores", "odds", "basketball_scores", "tes_ticks_xml")
OPEN = """(urls) => {
  window.sockets = urls.map((url) => new WebSocket(url));
  window.counts = urls.map(() => 0);
  window.sockets.forEach((one, at) => one.addEventListener("message", () => window.counts[at]++));
}"""
ASK = 'window.sockets.forEach((one) => one.send(JSON.stringify({"type": "ping"})))'
SOURCES = {"status": "status", "workers": "workers", "metrics": "metrics", "nowgoal": "simulated"}
"""The HAR's feeds and the session's."""


@pytest.fixture(scope="module")
def stand_in():
    server = start_child(Options(speed=100, seed=9))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def both(browser, stand_in, tmp_path_factory):
    """The HAR of a page that opened the streams, and the recording of the session that served them."""
    folder = tmp_path_factory.mktemp("devtools")
    source = tes.NOWGOAL.with_endpoint(url=stand_in.url, token_url=stand_in.token_url, name="simulated")
    with tes.start(ports=(0, 0)) as session, closing(browser.new_context(bypass_csp=True)) as context:
        with session.record(folder / "session.tes"):
            session.watch(source, channels=CHANNELS).wait(rows=20, timeout=30)
            session.metrics.wait(rows=2, timeout=20)
            page = context.new_page()
            devtools = DevTools(page)
            page.goto(f"{session.url}health")
            page.evaluate("document.cookie = 'sid=planted-cookie'")
            page.evaluate(OPEN, urls(session, stand_in))
            busy = time.monotonic() + 30
            child = subprocess.Popen(python(IDLE), stdout=subprocess.DEVNULL)
            while min(page.evaluate("window.counts")) < 11:
                assert time.monotonic() < busy, page.evaluate("window.counts")
                page.wait_for_timeout(100)
            page.evaluate(ASK)
            page.wait_for_timeout(500)
            page.evaluate("window.sockets.forEach((one) => one.close())")
            page.wait_for_timeout(500)
            child.kill()
            child.wait()
        har = devtools.save(folder / "devtools.har")
    with (
        tes.open(folder / "session.tes") as recorded,
        tes.open(har, streams={"/stream?": "nowgoal"}) as imported,
    ):
        yield recorded, imported


def urls(session, stand_in) -> list[str]:
    status, workers = (f"ws://127.0.0.1:{port}" for port in session.ports)
    stream = f"{stand_in.url.rsplit('/', 1)[0]}/stream"
    asked = Request(f"{stand_in.token_url}?rnum=0.5", headers=HEADERS)
    with urlopen(asked, timeout=10) as answer:
        token = answer.read().decode()
    return [
        f"{status}/api/dev/status/live",
        f"{workers}/ws/workers/telemetry",
        f"{status}/ws/server-metrics/live",
        f"{stream}?channels={','.join(resolve(CHANNELS))}&&token={token}&subscriber=chromium",
    ]


def data(opened, source) -> list[tuple[int, bytes]]:
    """(position, payload) of what was received and is data: answers and keepalives belong to one connection."""
    feed = opened.feeds[source]
    return [
        (message.seq, message.payload)
        for message in opened._file.messages(source)
        if message.direction == Direction.IN
        and message.opcode != Opcode.EVENT
        and feed.stream.classify(message) in (Kind.DATA, Kind.UNDECODED)
    ]


@pytest.mark.parametrize("name", SOURCES)
def test_every_table_has_the_same_rows(both, name):
    recorded, imported = both
    there, here = data(recorded, SOURCES[name]), data(imported, name)
    payloads = [payload for _, payload in there]
    if name != "nowgoal":  # each client of a collector is greeted by a message of its own
        here = here[1:]
    first = payloads.index(here[0][1])
    assert [payload for _, payload in here] == payloads[first : first + len(here)]
    seqs = {seq for seq, _ in there[first : first + len(here)]}
    rows = 0
    for table in imported.feeds[name].tables:
        if table in imported.feeds[name].stream.folded:
            continue
        whole = recorded.feeds[SOURCES[name]].frame(table)
        expected = alike(whole[whole["seq"].isin(seqs)])
        found = imported.feeds[name].frame(table)
        found = alike(found[found["seq"].isin({seq for seq, _ in here})])
        pd.testing.assert_frame_equal(found, expected, check_exact=True)
        rows += len(found)
    assert rows >= 8


def alike(frame: pd.DataFrame) -> pd.DataFrame:
    """Without when and where it was received, and without words of other rows."""
    frame = frame.reset_index(drop=True).drop(columns=["seq", "conn", "source"])
    for column in frame.select_dtypes("category"):
        frame[column] = frame[column].cat.remove_unused_categories()
    return frame


def test_times_are_those_of_the_wire(both):
    recorded, imported = both
    there = {payload: seq for seq, payload in data(recorded, "metrics")}
    then = recorded.metrics.frame().reset_index().set_index("seq")["time"]
    now = imported.metrics.frame().reset_index().set_index("seq")["time"]
    late = [
        (now[seq] - then[there[payload]]).total_seconds()
        for seq, payload in data(imported, "metrics")
        if payload in there
    ]
    assert len(late) >= 7
    assert all(-0.1 < each < 2 for each in late), late


def test_both_directions_are_there_and_no_secret(both):
    recorded, imported = both
    del recorded
    report = imported.import_report
    assert not report.lossy, report
    assert report.connections == 4
    everything = b"".join(message.payload for message in imported._file.messages())
    for name in ("status", "workers", "metrics"):
        sent = [one for one in imported._file.messages(name) if one.direction == Direction.OUT]
        assert [one.payload for one in sent] == [b'{"type":"ping"}']
    assert any(one.opcode == Opcode.BINARY for one in imported._file.messages("nowgoal"))
    assert b"planted-cookie" not in everything
    assert "token=" not in str(report.urls) or "eyJ" not in str(report.urls)
