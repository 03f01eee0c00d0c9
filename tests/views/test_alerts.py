"""Limits: an alert when a line passes one, once until it is back."""

from __future__ import annotations

import math

from tes_nb.views.alerts import AlertLimit, Alerts
from tests.support.ticking import TABLES, Ticking


def alerts(source: Ticking, *limits: AlertLimit, table: str = "ticks") -> Alerts:
    described = source.stream.table(table)
    one = Alerts(described, described.key, limits)
    one.check(source.store.tables[table])
    return one


def check(one: Alerts, source: Ticking, *loads: float) -> int:
    for load in loads:
        source.put((1, load, 1, "x"))
    one.check(source.store.tables["ticks"])
    return one.count


def test_passing_counts_once_until_it_is_back():
    source = Ticking()
    source.tick()
    one = alerts(source, AlertLimit("load", above=90, below=10))
    assert check(one, source, 50, 91, 95, math.nan, 99) == 1
    assert check(one, source, 50) == 1
    assert check(one, source, 5, 4, 50, 95) == 3
    assert one.log[-1].text == "load is 95, > 90"
    assert one.log[-1].value == 95


def test_what_was_there_before_is_no_alert():
    source = Ticking()
    source.put((1, 99.0, 1, "x"))
    assert alerts(source, AlertLimit("load", above=90)).count == 0


def test_a_counter_s_limit_is_on_its_growth():
    source = Ticking()
    one = alerts(source, AlertLimit("total", above=10))
    for at, total in ((1.0, 1_000), (2.0, 1_005), (3.0, 1_100), (4.0, 5), (5.0, 6)):
        source.put((1, 1.0, total, "x"), at=at)
    one.check(source.store.tables["ticks"])
    assert [alert.value for alert in one.log] == [95]


def test_each_line_by_itself_or_one_alone():
    source = Ticking()
    every = alerts(source, AlertLimit("size", above=5), table=TABLES[1].name)
    one = alerts(source, AlertLimit("size", above=5, label="b"), table=TABLES[1].name)
    source.put(("a", 9, 0.0, 0), ("b", 9, 0.0, 0), ("c", 1, 0.0, 0), table="parts")
    for each in (every, one):
        each.check(source.store.tables["parts"])
    assert [alert.line for alert in every.log] == ["a size", "b size"]
    assert [alert.line for alert in one.log] == ["b size"]
    assert AlertLimit("x", above=5, label="b").info() == {"column": "x", "above": 5, "label": "b"}
