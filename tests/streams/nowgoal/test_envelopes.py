"""The quick reading of exact messages and the reading of the tree must agree, and neither may run past the other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.model import Kind
from tes_nb.streams.nowgoal import envelopes
from tes_nb.streams.nowgoal.records import Reading
from tes_nb.streams.nowgoal.stream import decode
from tests.support.nowgoal_corpus import (
    GAME,
    ODDS,
    SCORE,
    SHORT_ODDS,
    SISTER,
    message,
    odds_xml,
    read,
    scores_xml,
)

FIELDS = st.text("0123456789^:,.- x", max_size=30)
RECORDS = st.lists(st.sampled_from([SCORE, SISTER, GAME, ODDS, SHORT_ODDS]) | FIELDS, max_size=5)


def quickly(text):
    """What the quick reading makes of the text; `None` = it leaves the text to the tree."""
    reading = Reading(message(text))
    return reading.decoded() if envelopes._read_canonical(text, reading) else None


def by_the_tree(text):
    reading = Reading(message(text))
    envelopes.read_tree(envelopes.parse_xml(text), reading)
    return reading.decoded()


@given(RECORDS, st.sampled_from(["0", "1", "", None]))
def test_scores_read_the_same_both_ways(records, refresh):
    text = scores_xml(*records, refresh=refresh)
    quick = quickly(text)
    assert (quick is None) is (not records)
    assert decode(message(text)) == by_the_tree(text)


@given(RECORDS)
def test_odds_read_the_same_both_ways(records):
    text = odds_xml(*records)
    quick = quickly(text)
    assert (quick is None) is (not records)
    assert decode(message(text)) == by_the_tree(text)


PIECES = st.sampled_from(
    [
        *("<c>", '<c refresh="0">', "</c>", "<h>", "</h>", "<![CDATA[", "]]>", "]]></h>", "<h><![CDATA["),
        *("<match><m>", "</m><m>", "</m></match>", "</m>", "<m>", "<match>", "</match>", SCORE, ODDS),
        *("&amp;", "&", "<", ">", "]", "\n", "\r\n", " ", "é", "\x01", "<!-- x -->", "<x/>", "a^b"),
    ]
)


FRAMES = st.sampled_from(
    ["{}", "<c>{}</c>", '<c refresh="0"><h><![CDATA[{}]]></h></c>', "<c><match><m>{}</m></match></c>"]
)


@given(FRAMES, st.lists(PIECES, max_size=4).map("".join))
def test_the_quick_way_takes_nothing_that_is_not_good_xml(frame, pieces):
    text = frame.format(pieces)
    quick = quickly(text)
    if quick is not None:
        assert quick == by_the_tree(text)


@pytest.mark.parametrize(
    "record", ["1,9999999<x/>", "1,99&amp;", "1,]]>9", "1,\x01", "1,<m>9", "1,9\r\n,2", "1<!-- -->,2"]
)
def test_markup_within_a_record_is_left_to_expat(record):
    for text in (odds_xml(record), odds_xml(ODDS, record, ODDS)):
        assert quickly(text) is None


@pytest.mark.parametrize(
    "text",
    [
        f"<c><h><![CDATA[{SCORE}]]></h>\n<h><![CDATA[{SCORE}]]></h></c>",
        f'<c  refresh="0" n="7"><h><![CDATA[{SCORE}]]></h><h>{SCORE}</h></c>',
        f"<?xml version='1.0'?>\n<c>\n <h>\n{SCORE}\n</h><h><![CDATA[ {SCORE} ]]></h>\n</c>",
        f"<root><c><h><![CDATA[{SCORE}]]></h></c><c><h><![CDATA[{SCORE}]]></h></c></root>",
        f"<c><h><![CDATA[{SCORE}]]></h></c><c><h><![CDATA[{SCORE}]]></h></c>",
        f"<c><!-- two --><h><![CDATA[{SCORE[:9]}]]><![CDATA[{SCORE[9:]}]]></h><h>{SCORE}</h></c>",
    ],
)
def test_other_ways_to_write_the_same_are_read(text):
    first, second = read("scores", text)
    assert {key: first[key] for key in first if key != "refresh"} == {
        key: second[key] for key in second if key != "refresh"
    }
    assert first["match_id"] == "1828723"


def test_the_usual_messages_go_the_quick_way():
    for text in (scores_xml(SCORE), scores_xml(SCORE, refresh=None), odds_xml(ODDS, SHORT_ODDS)):
        assert quickly(text).kind is Kind.DATA


def test_records_of_all_kinds_may_share_a_message():
    text = f"<c><h>{SCORE}</h><match><m>{ODDS}</m></match></c>"
    decoded = decode(message(text))
    assert len(decoded.rows["scores"]) == 1
    assert len(decoded.rows["odds"]) == 3


def test_an_element_nobody_knows_is_one_fault():
    decoded = decode(message(f"<c><h>{SCORE}</h><g>1</g><g/></c>"))
    assert len(decoded.notes) == len(decoded.rows["raw"]) == 2
    assert len(decoded.rows["scores"]) == 1
