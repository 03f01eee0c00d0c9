"""What views leave in a saved notebook: small, static, and text where it is text."""

from __future__ import annotations

import base64
import re
import time
from xml.etree import ElementTree as ET

import pytest

from tes_nb.model import Message
from tes_nb.store.memory.recent import RecentMessages
from tes_nb.streams import get
from tes_nb.views.chart import Chart, ChartOptions
from tes_nb.views.html import MOST_LINES, MOST_ROWS
from tes_nb.views.inspector import Inspector
from tes_nb.views.table import LiveCards, LiveTable
from tests.support.hostile import HOSTILE
from tests.support.ticking import Ticking


@pytest.fixture
def source():
    one = Ticking(HOSTILE[0])
    for at in range(300):
        one.put((1, 2.0, at, HOSTILE[1]))
    for at in range(40):
        one.put((f"part {at}", at, 50.0, at), table="parts")
    return one


def html(view) -> str:
    data, _ = view._repr_mimebundle_()
    view.close()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "as it was at " in data["text/html"]
    assert len(data["text/html"]) < 80_000
    return re.sub(r'src="data:image/svg\+xml;base64,([^"]*)">', drawn, data["text/html"])


def drawn(image: re.Match[str]) -> str:
    """The picture that an image carries, in its place."""
    return f">{base64.b64decode(image[1]).decode()}"


def test_a_chart_leaves_a_picture_and_its_last_values(source):
    page = html(Chart(source, None, ChartOptions()))
    pictures = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert pictures
    for picture in pictures:
        drawn = ET.fromstring(picture)
        assert len(drawn.findall(".//{http://www.w3.org/2000/svg}path")) >= 1
    assert "<th" in page


def test_many_lines_are_said_and_not_drawn(source):
    page = html(Chart(source, "parts", ChartOptions()))
    assert page.count("<path") <= MOST_LINES
    assert "more lines" in page


def test_a_gap_stays_open_and_one_value_is_enough():
    source = Ticking("few")
    source.put((1, 2.0, 0, "x"))
    assert "<svg" in html(Chart(source, None, ChartOptions()))
    assert "There were no data yet." in html(Chart(Ticking("none"), None, ChartOptions()))


def test_a_table_leaves_its_first_rows_and_cards_their_values(source):
    page = html(LiveTable(source, "parts"))
    assert f"the first {MOST_ROWS} of 40 rows" in page
    assert page.count("<tr>") == MOST_ROWS + 1
    assert "<td" in html(LiveCards(source))


def test_an_inspector_leaves_the_newest_messages():
    recent = RecentMessages("m", get("metrics"))
    for number in range(50):
        recent.append(Message("metrics", 0, 1, b'{"n": %d}' % number, time.time_ns(), 1, 0, number + 1))
    page = html(Inspector([recent]))
    assert "{&quot;n&quot;: 49}" in page
    assert "{&quot;n&quot;: 2}" not in page


def test_fault_51_all_of_it_is_text(source):
    recent = RecentMessages(HOSTILE[2], get("metrics"))
    for n, name in enumerate(HOSTILE):
        source.put((name, n, 50.0, n), table="parts")
        recent.append(Message("metrics", 0, 1, name.encode("utf-8", "replace"), time.time_ns(), 1, 0, n + 1))
    views = (
        Chart(source, "parts", ChartOptions()),
        LiveTable(source, "parts"),
        LiveCards(source),
        Inspector([recent]),
    )
    allowed = {"figure", "figcaption", "img", "div", "svg", "path", "title", "text", "p", "table", "caption"}
    allowed |= {"thead", "tbody", "tr", "th", "td"}
    for view in views:
        assert set(re.findall(r"<([a-zA-Z!?]+)", html(view))) <= allowed


def test_a_picture_that_fails_never_hides_the_view(source, monkeypatch, caplog):
    view = Chart(source, None, ChartOptions())
    monkeypatch.setattr(view._push.content, "fallback", lambda: 1 / 0)
    data, _ = view._repr_mimebundle_()
    view.close()
    assert "text/html" not in data
    assert "The static picture of a view failed" in caplog.text
