"""Where a row comes from, live, recorded, replayed and imported: one answer everywhere, and never a guess."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator

import pandas as pd
import pytest
from websockets.asyncio.server import serve

import tes_nb as tes
from tests.support.hars import entry, har, text
from tests.support.nowgoal_corpus import SHORT_ODDS, odds_xml
from tests.support.waiting import eventually

CROWN, BET365, PINNACLE = "ch_goal3_xml", "ch_goal8_xml", "ch_goal47_xml"
NAMES = {CROWN: "Crown", PINNACLE: "Pinnacle", BET365: "Bet365"}
BARE = odds_xml(SHORT_ODDS)


class BarePeer:
    """Sends odds without saying whose, on a thread of its own, and hears what is asked for."""

    def __init__(self) -> None:
        self.heard: list[list[str]] = []
        self.paths: list[str] = []
        self.port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with serve(self._feed, "127.0.0.1", 0) as listening:
            self.port = listening.sockets[0].getsockname()[1]
            self._ready.set()
            await self._end.wait()

    async def _feed(self, socket) -> None:
        self.paths.append(socket.request.path)
        hearing = asyncio.create_task(self._hear(socket))
        try:
            while True:
                await socket.send(BARE)
                await asyncio.sleep(0.05)
        except Exception:  # noqa: BLE001 - the client is gone
            hearing.cancel()

    async def _hear(self, socket) -> None:
        async for request in socket:
            self.heard.append(json.loads(request)["channels"])

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)


@pytest.fixture
def peer() -> Iterator[BarePeer]:
    one = BarePeer()
    yield one
    one.stop()


def pairs(frame: pd.DataFrame) -> list[tuple[str | None, str | None]]:
    """The channels and companies in the order in which they came, each as often as it changed."""
    said = frame[["channel", "company"]].astype(object).where(frame[["channel", "company"]].notna(), None)
    changed = (said != said.shift()).any(axis=1) & ~(said.isna() & said.shift().isna()).all(axis=1)
    changed.iloc[:1] = True
    return [tuple(row) for row in said[changed].to_numpy()]


def more(feed, count: int = 6) -> None:
    rows = len(feed.odds)
    eventually(lambda: len(feed.odds) >= rows + count)


@pytest.mark.parametrize("auth", ["header", "query"])
def test_the_channel_is_what_was_asked_for_live_recorded_and_replayed(session, peer, tmp_path, auth):
    endpoint = tes.NOWGOAL.with_endpoint(url=peer.url, token="a.b.c", auth=auth, name=f"bare_{auth}")
    feed = session.watch(endpoint, channels=[CROWN])
    more(feed)
    recording = session.record(tmp_path / "late.tes")  # long after it was asked for
    more(feed)
    feed.channels = [PINNACLE]
    eventually(lambda: [PINNACLE] in peer.heard)
    more(feed)
    feed.channels = [CROWN, PINNACLE]
    eventually(lambda: [CROWN, PINNACLE] in peer.heard)
    more(feed)
    recording.stop()
    path = recording.path
    expected = [(CROWN, "Crown"), (PINNACLE, "Pinnacle"), (None, None)]
    assert pairs(feed.odds.frame()) == expected
    raw = feed.raw.frame()
    assert list(raw["reason"]) == ["unknown channel"]
    assert CROWN in raw["note"].iloc[0]
    if auth == "query":
        assert f"channels={CROWN}&&token=" in peer.paths[0]
        assert [CROWN] not in peer.heard  # the address alone said it
    session.unwatch(feed)
    live = feed.odds.frame()
    with tes.open(path) as opened:
        recorded = opened.feeds[feed.source].odds.frame()
        assert pairs(recorded) == expected
        during = live[live["seq"].between(recorded["seq"].iloc[0], recorded["seq"].iloc[-1])]
        pd.testing.assert_frame_equal(recorded, during, check_categorical=False)
        middle = recorded.index[recorded["channel"].eq(PINNACLE)][2]
        with tes.open(path) as fresh:
            part = fresh.feeds[feed.source].odds.frame(start=middle)
        pd.testing.assert_frame_equal(part, recorded[recorded.index >= middle], check_categorical=False)
        assert list(opened.feeds[feed.source].raw.frame()["reason"]) == ["unknown channel"]
        csv = opened.feeds[feed.source].odds.to_csv(tmp_path / "odds.csv")
        assert list(pd.read_csv(csv, dtype=str)["company"].fillna("")) == list(
            recorded["company"].astype(object).fillna("")
        )
    with tes.replay(path, speed="max") as replay:
        again = replay.feeds[feed.source]
        eventually(lambda: len(again.odds) >= len(recorded))
        pd.testing.assert_frame_equal(again.odds.frame(), recorded)


class Sent(str):
    """A text that the page sent."""

    __slots__ = ()


def request(*channels):
    return Sent(json.dumps({"type": 0, "channels": channels}))


def connection(number, query, texts):
    """An entry of a HAR file of NowGoal's site."""
    messages = [
        text(10 * number + place, one, kind="send" if isinstance(one, Sent) else "receive")
        for place, one in enumerate(texts)
    ]
    return entry(f"wss://www.nowgoal26.com:9800/stream{query}", messages)


def imported(tmp_path, *connections):
    path = tmp_path / "site.har"
    path.write_text(json.dumps(har(*(connection(number, *each) for number, each in enumerate(connections)))))
    return tes.open(path)


def test_an_imported_file_s_addresses_say_what_was_asked_for(tmp_path):
    with imported(
        tmp_path,
        (f"?channels={CROWN},change_xml&&token=x", [BARE, BARE]),
        (f"?channels={PINNACLE}&token=x", [BARE]),
        ("", [BARE]),
        (f"?channels={CROWN},{PINNACLE}", [BARE]),
    ) as opened:
        feed = opened.nowgoal
        frame = feed.odds.frame()
        assert pairs(frame) == [(CROWN, "Crown"), (PINNACLE, "Pinnacle"), (BET365, "Bet365"), (None, None)]
        assert opened.import_report.messages == 5
        (remark,) = feed.raw.frame()["reason"]
        assert remark == "unknown channel"
    with tes.open(tmp_path / "site.har") as fresh:
        late = fresh.nowgoal.odds.frame(start=frame.index[4])
        assert pairs(late)[0] == (PINNACLE, "Pinnacle")


def test_an_imported_file_s_requests_say_it_too(tmp_path):
    with imported(
        tmp_path,
        (f"?channels={CROWN}", [BARE, request(PINNACLE), BARE, request(CROWN, BET365), BARE]),
        ("", [request(CROWN), BARE]),
    ) as opened:
        assert pairs(opened.nowgoal.odds.frame()) == [
            (CROWN, "Crown"),
            (PINNACLE, "Pinnacle"),
            (None, None),
            (CROWN, "Crown"),
        ]
