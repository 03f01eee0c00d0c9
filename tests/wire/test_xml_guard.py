"""xml_guard: plain XML becomes a tree, and what could harm is refused before or while it is parsed."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.errors import DecodeError, FrameTooLarge
from tes_nb.wire.xml_guard import MAX_DEPTH, MAX_MARKS, REASONS, Element, parse_xml, text_of
from tests.support.child import in_child

BILLION_LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE c [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]><c><h>&j;</h></c>"
)

HOSTILE = {
    "billion laughs": BILLION_LAUGHS,
    "quadratic blow-up": f'<!DOCTYPE c [<!ENTITY a "{"x" * 50_000}">]><c>{"&a;" * 50_000}</c>',
    "external general entity": '<!DOCTYPE c [<!ENTITY a SYSTEM "file:///etc/passwd">]><c>&a;</c>',
    "external parameter entity": '<!DOCTYPE c [<!ENTITY % a SYSTEM "http://127.0.0.1:9/x">%a;]><c/>',
    "external DTD": '<!DOCTYPE c SYSTEM "file:///etc/hostname"><c/>',
    "public DTD": '<!DOCTYPE c PUBLIC "-//W3C//DTD" "http://127.0.0.1:9/c.dtd"><c/>',
    "empty DTD": "<!DOCTYPE c><c/>",
    "entity alone": '<!ENTITY a "x"><c/>',
    "blanks in front": '\n\n <!DOCTYPE c [<!ENTITY a "x">]><c>&a;</c>',
    "comment in front": '<!-- x --><!DOCTYPE c [<!ENTITY a "x">]><c>&a;</c>',
}


def refused(text):
    with pytest.raises(DecodeError) as error:
        parse_xml(text if isinstance(text, str) else text_of(text))
    return error.value.reason


def shape(element: Element):
    return (element.tag, element.attributes, element.text, [shape(child) for child in element.children])


def test_a_tree_holds_tags_attributes_text_and_children():
    (root,) = parse_xml(
        '<?xml version="1.0" encoding="UTF-8"?><c refresh="0"><h><![CDATA[a^<&]]>b</h>\n<h/></c>'
    )
    assert shape(root) == ("c", {"refresh": "0"}, "\n", [("h", {}, "a^<&b", []), ("h", {}, "", [])])


def test_several_roots_are_several_elements():
    assert [root.tag for root in parse_xml("<a/> <b><x/></b>\n<!-- . --><c>1</c>")] == ["a", "b", "c"]


def test_a_byte_order_mark_is_left_out():
    assert parse_xml(text_of(b"\xef\xbb\xbf<c/>"))[0].tag == "c"


def test_the_built_in_entities_are_text():
    assert parse_xml("<c>&lt;&amp;&#65;&#x1F600;</c>")[0].text == "<&A\U0001f600"


@pytest.mark.parametrize("name", HOSTILE)
def test_fault_57_declarations_are_refused(name):
    start = time.process_time()  # a neighbour may take the core for a while
    assert refused(HOSTILE[name]) == "dtd"
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp037", "utf-7", "latin-1"]
)
@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("name", HOSTILE)
def test_fault_57_no_encoding_hides_a_declaration(name, declared, encoding):
    text = HOSTILE[name].removeprefix('<?xml version="1.0"?>')
    if declared:
        text = f'<?xml version="1.0" encoding="{encoding}"?>{text}'
    assert refused(text.encode(encoding)) in {"dtd", "utf-8", "not XML"}


def test_fault_57_a_declared_encoding_is_not_believed():
    hidden = b'<?xml version="1.0" encoding="cp037"?>' + '<!DOCTYPE c [<!ENTITY a "x">]><c>&a;</c>'.encode(
        "cp037"
    )
    assert refused(hidden) in {"utf-8", "not XML"}
    assert parse_xml('<?xml version="1.0" encoding="utf-16"?><c>ä</c>')[0].text == "ä"


def test_fault_57_depth_is_bounded():
    assert parse_xml("<a>" * MAX_DEPTH + "</a>" * MAX_DEPTH)
    assert refused("<a>" * (MAX_DEPTH + 1) + "</a>" * (MAX_DEPTH + 1)) == "too deep"
    assert refused("<b/>" + "<a>" * (MAX_DEPTH + 1) + "</a>" * (MAX_DEPTH + 1)) == "too deep"
    assert refused("<a>" * 20_000) == "too deep"


def test_fault_57_floods_of_elements_and_attributes_are_refused():
    for flood in (
        "<a/>" * MAX_MARKS + "<a/>",
        "<a " + " ".join(f'a{n}="1"' for n in range(MAX_MARKS)) + "/>",
    ):
        with pytest.raises(FrameTooLarge):
            parse_xml(flood)


def test_fault_57_refusals_open_nothing_and_cost_little():
    figures = in_child("""
        from tests.wire.test_xml_guard import HOSTILE
        from tes_nb.errors import DecodeError
        from tes_nb.wire.xml_guard import parse_xml
        hostile = [*HOSTILE.values(), "<a>" * 2_000_000, "<a/>" * 2_000_000]
        seen = []
        sys.addaudithook(lambda event, args: seen.append(event))
        before, slowest, refusals = peak_memory(), 0, 0
        seen.clear()
        for text in hostile:
            start = time.process_time()
            try:
                parse_xml(text)
            except DecodeError:
                refusals += 1
            slowest = max(slowest, time.process_time() - start)
        events = [event for event in seen if event.split(".")[0] in ("open", "socket", "os", "subprocess", "urllib")]
        grown = peak_memory() - before
        print(json.dumps({"events": events, "grown": grown, "slowest": slowest, "refusals": refusals}))
    """)
    assert figures["refusals"] == len(HOSTILE) + 2
    assert figures["events"] == []
    assert figures["grown"] <= 16 << 20
    assert figures["slowest"] <= 0.05 * 2  # once each, and cores differ


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<c",
        "<c>",
        "</c>",
        "text",
        "<c/>text",
        "<c>&nbsp;</c>",
        "<c>\x00</c>",
        "<c>\x01</c>",
        "<a></b>",
        "</_><_>",
    ],
)
def test_what_is_not_well_formed_is_refused(text):
    assert refused(text) == "not XML"


def test_half_a_surrogate_is_refused():
    assert refused("<c>\ud800</c>") == "utf-8"
    assert refused(b"<c>\xff</c>") == "utf-8"


@given(st.text('<>/abc"= !-[]CDATA&;?xml', max_size=60) | st.text(max_size=40))
def test_any_text_gives_a_tree_or_a_named_refusal(text):
    try:
        parse_xml(text)
    except DecodeError as error:
        assert error.reason in REASONS
