"""Table, cards and inspector in Chromium: updated in place, text as text, ten thousand rows."""

from __future__ import annotations

import csv
import io
import json
import time

import pytest

from tes_nb.streams.browser_json import json_columns
from tes_nb.streams.nowgoal.stream import STREAM
from tes_nb.views.source import all_columns
from tests.support.browser import until
from tests.support.hostile import HOSTILE, HUGE

VIEWS = {"js": "views.js", "css": "views.css"}
COLUMNS = [
    {"name": "id", "dtype": "str", "unit": "", "kind": "label", "doc": "which"},
    {"name": "status", "dtype": "category", "unit": "", "kind": "label", "doc": ""},
    {"name": "rss_mb", "dtype": "float64", "unit": "MB", "kind": "gauge", "doc": "resident memory"},
    {"name": "since", "dtype": "datetime64[ns, UTC]", "unit": "", "kind": "time", "doc": ""},
]
SPEC = {"title": "workers", "columns": COLUMNS, "period_s": 1.0, "silent": "Restart the kernel."}
views = pytest.mark.parametrize("stage", [VIEWS], indirect=True)
SCHEMES = pytest.mark.parametrize(
    "stage", [VIEWS, {**VIEWS, "color_scheme": "dark"}], indirect=True, ids=["light", "dark"]
)


def row(n, rss=None):
    return [
        f"w{n}",
        ["idle", "working", "error"][n % 3],
        (n * 7919) % 1009 if rss is None else rss,
        1.7e9 + n,
    ]


def rows(stage, listed, **more):
    stage.deliver({"type": "rows", "rows": [[one[0], one] for one in listed], **more})
    stage.settle()


def begin(stage, kind, spec=SPEC):
    stage.begin(uid="u1", kind=kind, spec=spec)


def column(stage, place):
    cells = stage.page.locator(f".tes-space .tes-row > :nth-child({place})")
    order = stage.page.locator(".tes-space .tes-row").evaluate_all(
        "rows => rows.map((row) => Number(row.getAttribute('aria-rowindex')))"
    )
    return [text for _, text in sorted(zip(order, cells.all_text_contents(), strict=True))]


@SCHEMES
def test_a_table_updates_in_place_and_keeps_sort_selection_and_filter(stage, request):
    begin(stage, "table")
    rows(stage, [row(n) for n in range(40)], replace=True)
    stage.page.click("text=rss [MB]")
    stage.settle()
    sizes = [float(text.split()[0]) for text in column(stage, 3)]
    assert sizes == sorted(sizes)
    assert stage.page.get_attribute("[role=columnheader] >> nth=2", "aria-sort") == "ascending"
    chosen = column(stage, 1)[2]
    stage.page.click(f".tes-space .tes-row:has(:text-is('{chosen}'))")
    stage.settle()
    rows(stage, [row(int(chosen[1:]), rss=-1.5)])
    assert column(stage, 1)[0] == chosen
    assert column(stage, 3)[0] == "-1.5"
    assert stage.page.locator("[aria-selected=true]").inner_text().startswith(chosen)
    stage.picture(f"table-{request.node.callspec.id}")
    stage.page.fill("[type=search]", "working")
    stage.settle()
    assert set(column(stage, 2)) == {"working"}
    rows(stage, [["w1", "idle", 1, 1.7e9]])
    assert "w1" not in column(stage, 1)
    assert "13 of 40" not in stage.text(".tes-tools")


@views
def test_a_changed_cell_flashes_where_its_row_stays(stage):
    begin(stage, "table")
    rows(stage, [row(n) for n in range(5)], replace=True)
    rows(stage, [row(2, rss=123.0)])
    flashing = stage.page.locator(".tes-flash").all_text_contents()
    assert flashing == ["123"]
    stage.page.wait_for_selector(".tes-flash", state="detached")


@views
def test_ten_thousand_rows_scroll_and_update(stage):
    begin(stage, "table")
    listed = [row(n) for n in range(10_000)]
    rows(stage, listed, replace=True)
    assert "10000 rows" in stage.text(".tes-tools")
    assert stage.page.locator(".tes-space .tes-row").count() < 40
    stage.page.evaluate("document.querySelector('.tes-grid').scrollTop = 26 * 5000")
    stage.settle()
    assert "w5000" in column(stage, 1)
    took = stage.page.evaluate(
        """(changed) => new Promise((done) => {
          const began = performance.now();
          window.deliver({ type: "rows", rows: changed });
          requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)));
        })""",
        [[one[0], [one[0], one[1], one[2] + 1, one[3]]] for one in listed],
    )
    assert took < 2_000
    assert stage.page.evaluate("document.querySelector('.tes-grid').scrollTop") == 26 * 5000
    assert "w5000" in column(stage, 1)
    rows(stage, [], gone=[f"w{n}" for n in range(9_990)])
    assert column(stage, 1) == [f"w{n}" for n in range(9_990, 10_000)]


@views
def test_a_table_by_keyboard_and_as_csv(stage):
    begin(stage, "table")
    rows(stage, [row(n) for n in range(100)], replace=True)
    stage.page.focus(".tes-grid")
    for key in ("ArrowDown", "ArrowDown", "End"):
        stage.page.keyboard.press(key)
    stage.settle()
    assert stage.page.locator("[aria-selected=true]").inner_text().startswith("w99")
    assert stage.page.get_attribute(".tes-grid", "aria-activedescendant") == stage.page.get_attribute(
        "[aria-selected=true]", "id"
    )
    stage.page.fill("[type=search]", "w9")
    stage.settle()
    with stage.page.expect_download() as download:
        stage.page.click("text=CSV")
    saved = list(csv.reader(io.StringIO(download.value.path().read_text())))
    assert saved[0] == ["id", "status", "rss_mb [MB]", "since [UTC]"]
    assert [line[0] for line in saved[1:]] == ["w9", *(f"w{n}" for n in range(90, 100))]
    assert saved[1][3].endswith("Z")


ODDS = STREAM.table("odds")
PRICES = {
    **SPEC,
    "columns": json_columns(all_columns(ODDS, None)),
    "first": list(ODDS.first),
    "key": list(ODDS.key),
}


def price(match, **cells):
    given = {"match_id": match, "company": "Crown", "market": "1x2", "odds_id": "7", **cells}
    return [match, [given.get(one["name"]) for one in PRICES["columns"]]]


@views
def test_the_columns_of_most_worth_come_first_and_the_rest_is_a_click_away(stage):
    stage.page.set_viewport_size({"width": 720, "height": 600})
    begin(stage, "table", PRICES)
    stage.deliver(
        {
            "type": "rows",
            "replace": True,
            "rows": [
                price("9000001", line=-0.25, home=1.9, draw=12.5, away=101.0, move=-0.05),
                price("9000002", line=2, home=1.855, draw=None, away=2.0),
            ],
        }
    )
    stage.settle()
    heads = stage.page.locator("[role=columnheader]").all_inner_texts()
    assert heads[:6] == ["match id", "market", "line", "home", "draw", "away"]
    right = stage.page.evaluate("document.querySelector('.tes-grid').getBoundingClientRect().right")
    for place in range(6):  # in view, without a scroll
        box = stage.page.locator("[role=columnheader]").nth(place).bounding_box()
        assert box["x"] + box["width"] <= right
    assert (column(stage, 3), column(stage, 4), column(stage, 5)) == (
        ["-0.25", "2.00"],
        ["1.900", "1.855"],
        ["12.5", ""],
    )
    edges = stage.page.locator(".tes-space .tes-row > :nth-child(4)").evaluate_all(
        "cells => cells.map((cell) => { const range = document.createRange(); range.selectNodeContents(cell);"
        " return range.getBoundingClientRect().right; })"
    )
    assert edges[0] == pytest.approx(edges[1], abs=0.5)  # digits stand below each other
    stage.page.click(f"text=All {len(PRICES['columns'])} columns")
    stage.settle()
    assert len(stage.page.locator("[role=columnheader]").all()) == len(PRICES["columns"])
    stage.page.click(f"text=All {len(PRICES['columns'])} columns")
    stage.settle()
    assert stage.page.locator("[role=columnheader]").all_inner_texts() == heads


@views
def test_an_age_grows_and_bytes_have_one_scale_which_the_head_says(stage):
    columns = [
        {"name": "last_price", "dtype": "datetime64[ns, UTC]", "unit": "ago", "kind": "time", "doc": ""},
        {"name": "size", "dtype": "int64", "unit": "bytes", "kind": "gauge", "doc": ""},
    ]
    begin(stage, "table", {**SPEC, "columns": columns})
    now = stage.page.evaluate("Date.now() / 1000")
    stage.deliver(
        {"type": "rows", "rows": [["a", [now - 5, 2_500_000]], ["b", [now - 300, 12_000]]], "replace": True}
    )
    stage.settle()
    assert stage.page.locator("[role=columnheader]").all_inner_texts() == ["last price", "size [MB]"]
    assert column(stage, 2) == ["2.500", "0.012"]
    assert column(stage, 1)[1].startswith("5 min")
    first = int(column(stage, 1)[0].removesuffix(" s ago"))
    until(
        stage.page,
        "(first) => parseInt(document.querySelector('.tes-space .tes-cell').textContent) > first",
        first,
    )
    stage.deliver({"type": "rows", "rows": [["a", [now - 1, 3_500_000]]]})
    stage.settle()
    assert stage.page.locator(".tes-flash").all_text_contents() == ["3.500"], "that time goes on is no news"


@views
def test_a_table_without_rows_is_one_sentence(stage):
    begin(stage, "table")
    stage.settle()
    assert stage.text(".tes-sentence") == "No rows yet."
    assert not stage.page.locator(".tes-grid").is_visible()
    rows(stage, [row(1)], replace=True)
    assert stage.page.locator(".tes-grid").is_visible()
    assert not stage.page.locator(".tes-sentence").is_visible()


@views
def test_empty_odd_and_replaced_rows(stage):
    begin(stage, "table")
    stage.settle()
    assert "No rows yet" in stage.text(".tes-sentence")
    rows(
        stage, [["a"], ["b", None, None, None], ["c", 5, "text", "x"], ["d", "s", 1e300, 1e20]], replace=True
    )
    assert column(stage, 1) == ["a", "b", "c", "d"]
    rows(stage, [["b", "idle", 1, 2]], replace=True)
    assert column(stage, 1) == ["b"]


@pytest.mark.parametrize("stage", [{**VIEWS, "reduced_motion": "reduce"}], indirect=True)
def test_without_movement_a_change_is_underlined(stage):
    begin(stage, "table")
    rows(stage, [row(1)], replace=True)
    rows(stage, [row(1, rss=7.0)])
    style = stage.page.locator(".tes-flash").evaluate("(cell) => getComputedStyle(cell)")
    assert style["animationName"] == "none"
    assert "underline" in style["textDecorationLine"]


CARDS = [
    {"name": "sessions_tmux", "dtype": "Int64", "unit": "", "kind": "gauge"},
    {"name": "sessions_active", "dtype": "Int64", "unit": "", "kind": "gauge"},
    {"name": "directions_traffic_mode", "dtype": "category", "unit": "", "kind": "label"},
    {"name": "directions_region", "dtype": "str", "unit": "", "kind": "label"},
    {"name": "others_memory", "dtype": "Int64", "unit": "bytes", "kind": "gauge"},
    {"name": "others_requests", "dtype": "Int64", "unit": "", "kind": "counter"},
    {"name": "others_never", "dtype": "Int64", "unit": "", "kind": "gauge"},
]


@views
def test_a_word_that_misleads_is_shown_in_other_words_without_alarm(stage):
    words = {"degraded": "no workers"}
    column = {"name": "telemetry", "dtype": "category", "unit": "", "kind": "label", "words": words}
    begin(stage, "cards", {"title": "status", "columns": [column], "period_s": 1.0})
    stage.deliver({"type": "values", "replace": True, "rows": [[time.time(), ["degraded"]]]})
    stage.settle()
    assert stage.page.locator(".tes-now").all_text_contents() == ["no workers"]
    assert stage.page.locator("[data-mood=warn]").count() == 0


@views
def test_a_table_without_rows_is_live_and_says_so_while_messages_come(stage):
    spec = {"title": "workers", "columns": CARDS[:1], "period_s": 0.3, "empty": "no child processes"}
    begin(stage, "table", spec)
    for count in range(1, 8):
        stage.deliver({"type": "state", "state": {"rowless": count}})
        stage.page.wait_for_timeout(200)
    assert stage.page.locator(".tes-state").text_content() == "LIVE"
    assert stage.page.locator(".tes-sentence").text_content() == "No child processes."
    stage.page.wait_for_timeout(1700)
    assert stage.page.locator(".tes-state").text_content() == "STALE"


@views
def test_an_inspector_that_is_held_still_says_paused_and_one_that_hears_nothing_says_stale(stage):
    begin(stage, "inspector", {"title": "messages", "period_s": 0.3})
    stage.deliver({"type": "messages", "replace": True, "items": [message(1, "x")]})
    stage.settle()
    stage.page.get_by_role("button", name="Pause").click()
    assert stage.page.locator(".tes-state").text_content() == "PAUSED"
    stage.page.get_by_role("button", name="Resume").click()
    stage.page.wait_for_timeout(1700)
    assert stage.page.locator(".tes-state").text_content() == "STALE"


@SCHEMES
def test_cards_show_values_words_and_trends(stage, request):
    begin(stage, "cards", {"title": "status", "columns": CARDS, "period_s": 1.0})
    now = time.time()
    listed = [
        [now - 50 + n, [2, n % 5, "degraded", "eu-west-1", 10**8 + n * 10**6, n * 30, None]]
        for n in range(50)
    ]
    stage.deliver({"type": "values", "replace": True, "rows": listed})
    stage.settle()
    assert stage.page.locator(".tes-card h4").all_text_contents() == ["sessions", "directions", "others"]
    shown = stage.page.locator(".tes-item:visible").all_inner_texts()
    assert [text.split("\n")[0] for text in shown] == [
        "tmux",
        "active",
        "traffic mode",
        "region",
        "memory",
        "requests",
    ]
    assert stage.page.locator("[data-mood=warn]").all_text_contents() == ["degraded"]
    assert "149 MB" in shown[4]
    assert "30/s" in shown[5]
    assert stage.page.locator(".tes-item:visible svg path").first.get_attribute("d").startswith("M")
    stage.picture(f"cards-{request.node.callspec.id}")
    stage.deliver({"type": "values", "rows": [[now + 1, [None, 7, "normal", None, 1, 2, 3]]]})
    stage.settle()
    assert stage.page.locator("[data-mood=good]").all_text_contents() == ["normal"]
    assert stage.page.locator(".tes-item:visible").count() == 7


def message(n, text, **more):
    return {
        "id": n,
        "t": time.time(),
        "direction": "in",
        "kind": "data",
        "size": len(text),
        "inflated": 2 * len(text),
        "decode_ms": 0.12,
        "outcome": "3 rows",
        "undecoded": False,
        "preview": text[:200],
        **more,
    }


def deliver_messages(stage, messages, payloads):
    import base64

    packed = [base64.b64encode(payload).decode() for payload in payloads]
    stage.page.evaluate(
        """([items, packed]) => window.fire("msg:custom", { type: "messages", items },
          packed.map((one) => new DataView(Uint8Array.from(atob(one), (letter) => letter.charCodeAt(0)).buffer)))""",
        [messages, packed],
    )
    stage.settle()


@SCHEMES
def test_an_inspector_lists_filters_and_shows_payloads(stage, request):
    begin(stage, "inspector", {"title": "messages", "period_s": 1.0})
    xml = '<c refresh="0"><h><![CDATA[1^2]]></h></c>'
    deliver_messages(
        stage,
        [
            message(1, '{"a": [1, 2]}'),
            message(2, xml, kind="scores"),
            message(3, "\x78\x9c", undecoded=True, kind="undecoded", outcome="cannot be inflated: truncated"),
            message(4, "ping", direction="out", kind="keepalive"),
            message(5, "later"),
        ],
        [b'{"a": [1, 2]}', xml.encode(), b"\x78\x9c\xff\x00", b"ping", b""],
    )
    history = [{"t": time.time(), "text": "OPEN"}]
    one = {
        "name": "status",
        "state": "OPEN",
        "text": "OPEN",
        "attempts": 2,
        "rtt_ms": 1.5,
        "history": history,
    }
    stage.deliver({"type": "state", "state": {"connections": [one]}})
    stage.settle()
    assert column(stage, 3) == ["undecoded", "data", "keepalive", "scores", "data"]
    assert "2 attempts · round trip 1.5 ms" in stage.text(".tes-connections")
    stage.page.click(".tes-space .tes-row >> nth=3")
    assert "  <h>\n" in stage.text(".tes-payload")
    stage.page.select_option("[aria-label='Show as']", "hex")
    assert stage.text(".tes-payload").startswith("00000000  3c 63 20")
    stage.page.select_option("[aria-label='Show as']", "auto")
    stage.page.click(".tes-space .tes-row >> nth=0")
    assert stage.text(".tes-payload").startswith("00000000  78 9c ff 00")
    assert "truncated" in stage.text(".tes-inspector")
    stage.picture(f"inspector-{request.node.callspec.id}")
    stage.page.click(".tes-space .tes-row >> nth=1")
    assert stage.sent("payload")[-1]["id"] == 5
    stage.page.evaluate(
        "window.fire('msg:custom', { type: 'payload', id: 5 }, [new TextEncoder().encode('[1,2]')])"
    )
    stage.settle()
    assert stage.text(".tes-payload") == "[\n  1,\n  2\n]"
    stage.page.select_option("[aria-label=Direction]", "out")
    stage.settle()
    assert column(stage, 3) == ["keepalive"]
    stage.page.select_option("[aria-label=Direction]", "")
    stage.page.fill("[type=search]", "refresh")
    stage.settle()
    assert column(stage, 3) == ["scores"]
    stage.page.fill("[type=search]", "")
    stage.page.click("text=Pause")
    deliver_messages(stage, [message(6, "while paused")], [b"x"])
    assert stage.page.locator(".tes-space .tes-row").count() == 5
    stage.page.click("text=Resume")
    stage.settle()
    assert stage.page.locator(".tes-space .tes-row").count() == 6
    stage.page.click("text=Save")
    assert stage.sent("save")[-1]["ids"] == [3, 6, 5, 4, 2, 1]


@views
def test_what_comes_before_the_view_is_shown_by_it(stage):
    stage.page.evaluate(
        """([state, rows]) => {
          window.model.state = state;
          const begin = window.begin;
          window.late = import("/static/views.js").then(({ default: widget }) => {
            widget.initialize({ model: window.model });
            window.deliver({ type: "rows", replace: true, rows });
            const el = document.createElement("div");
            document.getElementById("stage").append(el);
            widget.render({ model: window.model, el });
          });
          return window.late;
        }""",
        [{"uid": "u2", "kind": "table", "spec": SPEC}, [["w1", row(1)]]],
    )
    stage.settle()
    assert column(stage, 1) == ["w1"]


@pytest.mark.parametrize("kind", ["table", "cards", "inspector"])
@views
def test_fault_51_hostile_text_is_text_in_every_view(stage, kind):
    names = [*HOSTILE, HUGE]
    if kind == "table":
        begin(stage, kind, {**SPEC, "title": HOSTILE[0], "rows_shown": 300})
        rows(stage, [[name, name, None, None] for name in names], replace=True)
        shown = column(stage, 1)
    elif kind == "cards":
        columns = [{"name": f"x_{n}", "dtype": "str", "unit": "", "kind": "text"} for n in range(201)]
        begin(stage, kind, {"title": HOSTILE[0], "columns": [*columns, {**columns[0], "name": HOSTILE[1]}]})
        stage.deliver({"type": "values", "rows": [[time.time(), names]]})
        stage.settle()
        shown = stage.page.locator(".tes-now").all_text_contents()[:201]
    else:
        begin(stage, kind, {"title": HOSTILE[0]})
        listed = [message(n, name, outcome=name, kind=name) for n, name in enumerate(names)]
        deliver_messages(stage, listed, [name.encode() for name in names])
        shown = []
        for n in (0, 3, 50, 170):
            stage.page.fill("[type=search]", "")
            stage.page.evaluate(f"document.querySelector('.tes-grid').scrollTop = 24 * {200 - n}")
            stage.settle()
            stage.page.click(f".tes-space .tes-row[aria-rowindex='{200 - n + 2}']")
            stage.page.select_option("[aria-label='Show as']", "text")
            assert stage.text(".tes-payload") == names[n]
            assert json.loads(json.dumps(names[n])) == names[n]
    for text, name in zip(shown, names, strict=False):
        assert text == name or (len(name) > 100 and text.endswith("…") and name.startswith(text[:-1]))
    assert len(shown) in (0, 201)
    stage.page.wait_for_timeout(300)
    assert (
        stage.page.locator("#stage script, #stage img, #stage iframe, #stage form, #stage video").count() == 0
    )
    assert stage.page.evaluate("document.title") == "stage"
    assert stage.page.evaluate("window.owned") is None
