"""Cells as CSV text."""

import csv
import io
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tes_nb.model import Column, Table
from tes_nb.store.export.csv_text import fields, header, iso_times, lines, neutralise, quoted, restore
from tes_nb.store.memory.cells import NAT, Cells
from tes_nb.store.memory.columns import Columns
from tests.support.rows import EVERY_DTYPE, NOON, filled

TEXT = Table("text", "", (Column("said", "str", "", "text", ""), Column("n", "int64", "", "gauge", "")))

DANGEROUS = "=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20"
HARMLESS_BEFORE = " \u00a0\u3000\"'\u200b\ufeff\x0b\x7f"
CORPUS = [
    *(before + sign + rest
      for before in ["", " ", "  ", '"', "'", '""', "' ", "\ufeff", "\u200b", "\x0b"]
      for sign in DANGEROUS for rest in ["", "1+1", "cmd|' /C calc'!A0", 'HYPERLINK("http://evil.test")', "SUM(A1)"]),
    *(f"harmless{separator}{between}={rest}" for separator in ",;|\t\r\n" for between in ["", " ", '"', "'", ' "']
      for rest in ["1+1", 'cmd|"/C calc"!A0']),
    'x","=1+1', "x';=1+1;'", "-", "--", "+49 30 123", "-1", "@mention", "=", "\t", "\0", "\r\n=1", ";;;=1", "\t\t\t=1",
]  # fmt: skip


def cells_of(line: str):
    """Every cell that some spreadsheet could see in a line: all separators, quotes obeyed or not."""
    yield from re.split(r"[,;|\t\r\n]", line)
    for separator in ",;|\t":
        for row in csv.reader(io.StringIO(line, newline=None), delimiter=separator):
            yield from row


def would_run(cell: str) -> bool:
    """Whether a spreadsheet that is as careless as can be would take the cell for more than a value."""
    stripped = cell.strip(HARMLESS_BEFORE.replace("'", "") + "\x00")
    if re.fullmatch(r"-?[0-9.]+", stripped):
        return False
    return stripped[:1] in set("=+-@\uff1d\uff0b\uff0d\uff20") and bool(stripped)


def line_with(text: str | None, formulas="neutralise") -> str:
    columns = Columns(TEXT)
    columns.append([(text, -1)], time_ns=NOON, seq=1, source="s")
    return lines(columns.snapshot(), formulas)


def faults_of(text: str) -> list[str]:
    """What is wrong with the line that a text gives; [] = nothing."""
    line = line_with(text)
    found = [f"{text!r} runs as {cell!r}" for cell in cells_of(line) if would_run(cell)]
    if "\0" in line:
        found.append(f"{text!r} gives a NUL")
    (row,) = csv.reader(io.StringIO(line, newline=""))
    if restore(row[-2]) != text:
        found.append(f"{text!r} comes back as {restore(row[-2])!r}")
    if row[-1] != "-1":
        found.append(f"beside {text!r} the number -1 is {row[-1]!r}")
    return found


def test_fault_67_no_text_is_a_formula_and_every_one_comes_back():
    assert len(CORPUS) > 600
    assert [fault for text in CORPUS for fault in faults_of(text)] == []


def test_fault_67_the_check_itself_finds_what_is_not_neutralised():
    dangerous = [text for text in CORPUS if any(map(would_run, cells_of(line_with(text, "keep"))))]
    assert len(dangerous) > 300


hostile = st.text(st.sampled_from(DANGEROUS + HARMLESS_BEFORE + ',;|a1␀"'), max_size=12) | st.text(
    max_size=20
)


@given(hostile)
@settings(max_examples=400)
def test_fault_67_whatever_the_text(text):
    assert faults_of(text) == []


@given(hostile, hostile)
def test_two_texts_never_look_alike(one, other):
    assert (neutralise(one) == neutralise(other)) == (one == other)
    assert restore(neutralise(one)) == one


def test_fault_67_source_names_and_categories_are_text_too():
    columns = Columns(EVERY_DTYPE)
    row = (None, 1, None, None, None, "@word", None)
    columns.append([row], time_ns=NOON, seq=1, source="=peer")
    assert (
        lines(columns.snapshot(), "neutralise")
        == "2026-01-01T12:00:00.000000000Z,,1,0,'=peer,,1,,,,'@word,\n"
    )
    assert lines(columns.snapshot(), "keep") == "2026-01-01T12:00:00.000000000Z,,1,0,=peer,,1,,,,@word,\n"


@pytest.mark.parametrize("text", ["plain", "a b", "O'Neill", "x=1", "a-b", "07:00", "100%", "Köln", "a'; b"])
def test_harmless_text_stays_as_it_is(text):
    assert neutralise(text) == text


def test_hostile_lengths_take_no_longer_than_their_length():
    for text in ("\t" * 10**6, " " * 10**6, "," + " " * 10**6, ", " * 500_000, "'" * 10**6, ";" * 10**6):
        assert restore(neutralise(text)) == text  # the test's own time limit is the proof


def test_keeping_formulas_keeps_every_text():
    for text in CORPUS:
        (row,) = csv.reader(io.StringIO(line_with(text, "keep"), newline=""))
        assert row[-2] == text


@pytest.mark.parametrize("formulas", ["neutralise", "keep"])
def test_the_empty_text_is_quoted_and_an_absent_one_is_nothing(formulas):
    assert line_with("", formulas).endswith(',s,"",-1\n')
    assert line_with(None, formulas).endswith(",s,,-1\n")
    assert line_with("'", formulas).endswith({"neutralise": ",s,'',-1\n", "keep": ",s,',-1\n"}[formulas])


@pytest.mark.parametrize(
    ("text", "field"),
    [("a", "a"), ("", '""'), ("a,b", '"a,b"'), ('say "x"', '"say ""x"""'), ("a\r", '"a\r"'), (" a", '" a"')],
)
def test_quotes_stand_where_a_reader_needs_them(text, field):
    assert quoted(text) == field


def test_times_have_nine_digits_and_z():
    assert iso_times(np.array([0, NOON, NOON + 1, -1])) == [
        "1970-01-01T00:00:00.000000000Z",
        "2026-01-01T12:00:00.000000000Z",
        "2026-01-01T12:00:00.000000001Z",
        "1969-12-31T23:59:59.999999999Z",
    ]
    assert fields(Cells("datetime64[ns, UTC]", np.array([NAT, 5])), "keep") == [
        "",
        "1970-01-01T00:00:00.000000005Z",
    ]


@given(st.floats())
def test_floats_come_back_exactly(number):
    (field,) = fields(Cells("float64", np.array([number])), "neutralise")
    if math.isnan(number):
        assert field == ""
    else:
        assert float(field) == number


def test_numbers_and_flags():
    assert fields(Cells("float64", np.array([np.inf, -np.inf, -0.0, 5e-324])), "keep") == [
        "INF",
        "-INF",
        "-0.0",
        "5e-324",
    ]
    gone = np.array([True, False])
    assert fields(Cells("Int64", np.array([0, -(2**63)]), gone), "keep") == ["", "-9223372036854775808"]
    assert fields(Cells("boolean", np.array([True, False]), ~gone), "keep") == ["True", ""]


def test_the_header_is_that_of_the_table():
    assert header(EVERY_DTYPE) == "time,sent_at,seq,conn,source,load,ticks,rss,alive,name,state,started\n"
    assert lines(filled(EVERY_DTYPE, []).snapshot(), "neutralise") == ""
