"""What a chart sends, and when: stepped by hand, with a clock of the test's own."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from tes_nb.views.alerts import AlertLimit, Alerts
from tes_nb.views.chart import ChartContent
from tes_nb.views.chart_codec import ChartSeries
from tes_nb.views.push import HEARTBEAT_S, Presence, Push, Sent
from tes_nb.views.subjects import Subjects
from tes_nb.wire.events import Gap, Mark, StateChange
from tests.support.ticking import Ticking


class Bench:
    """A chart's traffic without a browser."""

    def __init__(self, table: str = "ticks", *, deaf: bool = False, **given: Any) -> None:
        """deaf: the kernel hears nobody, since a cell holds its loop."""
        self.source = Ticking()
        self.now = 0.0
        self.sent: list[Sent] = []
        self.presence = Presence(lambda: 0.0 if deaf else self.now)
        described = self.source.stream.table(table)
        columns = [column for column in described.columns if column.kind in ("gauge", "counter")]
        content = ChartContent(
            self.source.store,
            table,
            ChartSeries(columns, Subjects(described)),
            Alerts(described, described.key, given.pop("limits", ())),
            clock=lambda: self.now,
            **given,
        )
        self.push = Push(
            content,
            self.sent.append,
            self.presence,
            clock=lambda: self.now,
        )

    def step(self, seconds: float = 0.25) -> list[dict[str, Any]]:
        """Let time pass, step, and return what was sent, appends told apart."""
        self.now += seconds
        self.sent.clear()
        assert self.push.step()
        return [described(content, buffers) for content, buffers in self.sent]

    def say(self, kind: str, **more: Any) -> None:
        message = {"type": kind, "client": "a", **more}
        self.presence.note_message(message)
        if kind in ("hello", "keyframe"):
            self.push.request_all()


def described(content: dict[str, Any], buffers: list[bytes]) -> dict[str, Any]:
    if content["type"] != "append":
        return content
    _, _, flags, blocks, sequence, length = struct.unpack_from("<4sBBHII", buffers[0])
    series = json.loads(buffers[0][16 : 16 + length] or "{}").get("series")
    rows = struct.unpack_from("<I", buffers[0], 16 + length)[0] if blocks else 0
    return {"type": "all" if flags else "new", "sequence": sequence, "rows": rows, "series": series}


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages]


def test_first_everything_then_what_is_new():
    bench = Bench()
    for _ in range(5):
        bench.source.tick()
    (first,) = bench.step(0)
    assert (first["type"], first["rows"], len(first["series"])) == ("all", 5, 3)
    bench.say("hello")
    assert bench.step()[0]["type"] == "all"
    assert bench.step() == []
    bench.source.tick()
    (new,) = bench.step()
    assert (new["type"], new["rows"], new["series"], new["sequence"]) == ("new", 1, None, 2)


def test_until_a_browser_speaks_everything_is_repeated_now_and_then():
    for deaf, times in ((True, [0, 0, 1, 2, 4, 8, 16, 32]), (False, [0, 0, 1, 2, 4, 8])):
        bench = Bench(deaf=deaf)
        bench.source.tick()
        seen = [bench.now for _ in range(160) for message in bench.step() if message["type"] == "all"]
        assert [round(at) for at in seen] == times
    quiet = Bench()
    quiet.say("hello")
    assert sum(kinds(quiet.step()) == ["all"] for _ in range(160)) == 1


def test_a_view_that_nobody_sees_costs_nothing_and_catches_up():
    bench = Bench()
    bench.say("hello")
    bench.step()
    bench.say("visible", value=False)
    for _ in range(40):
        bench.source.tick()
        assert bench.step() == []
    bench.say("visible", value=True)
    (caught_up,) = bench.step()
    assert (caught_up["type"], caught_up["rows"]) == ("new", 40)


def test_a_hole_brings_everything():
    bench = Bench()
    bench.say("hello")
    bench.step()
    bench.source.tick()
    bench.say("keyframe")
    assert kinds(bench.step()) == ["all"]


def test_a_silent_stream_still_gives_heartbeats():
    bench = Bench()
    bench.say("hello")
    bench.step()
    beats = sum(kinds(bench.step()) == ["state"] for _ in range(40))
    assert beats == pytest.approx(10 / HEARTBEAT_S, abs=1)


def test_new_labels_change_the_list_of_series():
    bench = Bench("parts")
    bench.say("hello")
    bench.step()
    bench.source.put(("a", 1, 1.0, 1), table="parts")
    assert len(bench.step()[0]["series"]) == 3
    bench.source.put(("a", 1, 1.0, 1), table="parts")
    assert bench.step()[0]["series"] is None
    bench.source.put(("b", 1, 1.0, 1), table="parts")
    assert len(bench.step()[0]["series"]) == 6


def test_state_travels_when_it_changes_and_again_after_a_hello():
    cells = [{"start": 1.0, "end": 2.0, "label": "x = 1"}]
    bench = Bench(notes=lambda: {"cells": cells}, limits=[AlertLimit("load", above=1)])
    bench.say("hello")
    assert bench.step()[-1]["state"] == {"cells": cells}
    bench.source.store.add_event(Mark("here", 5_000_000_000))
    bench.source.store.add_event(StateChange("WAITING", "WAITING 4 s: refused", 1, 7_000_000_000))
    bench.source.put((1, 99.0, 1, "x"))
    state = bench.step()[-1]["state"]
    assert state["marks"] == [{"t": 5.0, "label": "here"}]
    assert state["upstream"] == {"word": "WAITING", "text": "WAITING 4 s: refused", "since": 7.0}
    assert [alert["text"] for alert in state["alerts"]] == ["load is 99, > 1"]
    assert bench.step() == []
    bench.say("hello")
    again = bench.step()[-1]["state"]
    assert set(again) == {"cells", "marks", "upstream", "alerts"}


def test_a_gap_breaks_the_lines_and_is_reported():
    bench = Bench()
    bench.say("hello")
    bench.source.tick(at=10.0)
    bench.step()
    bench.source.store.add_event(Gap(1, 10_000_000_000, 12_000_000_000, None, "connection reset"))
    broken, state = bench.step()
    assert (broken["type"], broken["rows"]) == ("new", 1)
    assert state["state"]["gaps"] == [{"start": 10.001, "end": None, "label": "connection reset"}]
    bench.source.store.add_event(Gap(1, 10_000_000_000, 12_000_000_000, 20_000_000_000, "connection reset"))
    bench.source.tick(at=20.0)
    new, state = bench.step()
    assert new["rows"] == 1
    assert state["state"]["gaps"][0]["end"] == 20.0


def test_an_ended_chart_is_stepped_no_more():
    bench = Bench()
    bench.push.ended = True
    assert bench.push.step() is False
    assert bench.sent == []
