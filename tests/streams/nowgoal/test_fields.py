"""Fields: read once, remembered, bounded, and never guessed."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.streams.nowgoal.fields import (
    HANDICAPS,
    HONG_KONG,
    INSTANTS,
    INTEGERS,
    LINES,
    NAN,
    ODDS_IDS,
    PRICES,
    SENSELESS,
    STATE,
    FieldCache,
    Lenient,
    UnreadableError,
    quote,
    unix_ns,
)
from tests.support.nowgoal_corpus import ns


def test_a_text_is_read_once():
    read = []
    memory = FieldCache("a word", lambda text: read.append(text) or text.upper(), empty="")
    assert [memory["a"], memory["a"], memory[""]] == ["A", "A", ""]
    assert read == ["a"]


def test_what_cannot_be_read_is_not_remembered():
    for _ in range(2):
        with pytest.raises(UnreadableError):
            INTEGERS["x"]
    assert "x" not in INTEGERS.values


def test_a_memory_is_bounded_in_number_and_length():
    memory = FieldCache("a number", int, empty=None, longest=8)
    for number in range(30_000):
        assert memory[str(number)] == number
    assert len(memory.values) == 20_000
    with pytest.raises(UnreadableError):
        memory["123456789"]


def test_lenient_reading_reports_and_keeps_what_can_be_kept():
    reported = []
    lenient = Lenient(STATE, lambda reason, what: reported.append((reason, what)))
    assert lenient["1"] == (1, "first half")
    assert lenient["77"] == (77, None)
    assert lenient["x"] == (None, None)
    assert lenient[""] == (None, None)
    assert reported == [
        ("unknown state", "'77' is not a known state"),
        ("unreadable field", "'x' is not a known state"),
    ]


@given(st.integers(-999_999_999_999_999, 999_999_999_999_999))
def test_integers_read_back(number):
    assert INTEGERS[str(number)] == number


@given(st.decimals(0, 10_000, places=2))
def test_numbers_read_back(number):
    assert LINES[f"-{number:.2f}"] == -float(number)


def reason(memory, text):
    with pytest.raises(UnreadableError) as error:
        memory[text]
    return error.value.reason


@given(st.decimals(0, 10_000, places=2))
def test_decimal_prices_are_above_1(price):
    text = f"{price:.2f}"
    if price > 1:
        assert PRICES[text] == float(price)
    else:
        assert reason(PRICES, text) == SENSELESS


@given(st.decimals(0, 100, places=2) | st.sampled_from([Decimal("0.01"), Decimal(60), Decimal("60.01")]))
def test_hong_kong_prices_lie_between_a_hundredth_and_60(price):
    text = f"{price:.2f}"
    if Decimal("0.01") <= price <= 60:
        assert HONG_KONG[text] == float(price + 1)
    else:
        assert reason(HONG_KONG, text) == SENSELESS


@given(st.integers(-4000, 4000))
def test_handicaps_are_quarters(quarters):
    text = f"{quarters / 4}"
    assert HANDICAPS[text] == HANDICAPS["+" + text.lstrip("-")] * (-1 if quarters < 0 else 1) == quarters / 4
    for near in (f"{quarters / 4 + 0.1:.2f}", f"{quarters / 4 + 0.01:.2f}"):
        assert reason(HANDICAPS, near) == SENSELESS


def test_what_is_no_number_is_unreadable_and_not_senseless():
    for memory in (HANDICAPS, PRICES, HONG_KONG):
        assert reason(memory, "0.5/1") == "unreadable field"
    assert reason(PRICES, "-3.24") == reason(HONG_KONG, "-0.5") == "unreadable field"
    assert reason(HANDICAPS, "1000.25") == SENSELESS


def test_an_odds_id_is_digits_alone():
    assert ODDS_IDS["17535243"] == "17535243"
    assert ODDS_IDS[""] is None
    for text in ("-5.5", "12.5", "+1", "a1", " 1", "1e5"):
        assert reason(ODDS_IDS, text) == SENSELESS


@given(st.text(max_size=12))
def test_any_text_is_a_finite_value_or_unreadable(text):
    for memory in (INTEGERS, PRICES, HONG_KONG, HANDICAPS, LINES, INSTANTS):
        try:
            value = memory[text]
        except UnreadableError:
            continue
        assert value is memory.empty if not text else math.isfinite(value)


def test_the_absent_number_is_one_object():
    assert PRICES[""] is LINES[""] is HANDICAPS[""] is HONG_KONG[""] is NAN


def test_times_are_utc_nanoseconds():
    assert INSTANTS["2020-01-09 06:16:06"] == ns(2020, 1, 9, 6, 16, 6)
    assert unix_ns(1970, 1, 1) == 0
    assert unix_ns(2020, 2, 29, 1) == ns(2020, 2, 29, 1)
    for bad in ((2021, 2, 29), (2020, 1, 1, 24), (2300, 1, 1), (1600, 1, 1), (0, 1, 1)):
        with pytest.raises(UnreadableError):
            unix_ns(*bad)


def test_untrusted_text_is_shown_quoted_and_short():
    assert quote("a\n\x1b[31m<b>\u202e") == r"'a\n\x1b[31m<b>\u202e'"
    assert len(quote("x" * 10**6)) < 50
    assert quote(7) == "7"
    assert quote(None) == "None"
    assert quote([[]] * 10**6) == "a list"
