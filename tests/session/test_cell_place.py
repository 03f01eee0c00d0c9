"""Where a cell is: looked at by another thread, at its times, and never reported after its end."""

from __future__ import annotations

import re
import threading

from tes_nb.model.control import KernelActivity
from tes_nb.session.stacks import CellPlace, place_of_thread


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_cell_is_looked_at_after_one_second_after_ten_and_then_each_minute(monkeypatch):
    clock, reports = Clock(), []
    places = iter("abcdefgh")
    monkeypatch.setattr("tes_nb.session.stacks.place_of_thread", lambda _thread: next(places))
    cell = CellPlace(clock)
    assert cell.begin(7, 5) == KernelActivity(7, 5)
    seen = []
    for tenths in range(2000):
        clock.now = tenths / 10
        before = len(reports)
        cell.look(reports.append)
        if len(reports) > before:
            seen.append(clock.now)
    assert seen == [1.0, 10.0, 70.0, 130.0, 190.0]
    assert [one.place for one in reports] == list("abcde")
    assert {(one.cell, one.since) for one in reports} == {(7, 5)}
    assert cell.end() == "e"
    clock.now += 1000
    cell.look(reports.append)
    assert len(reports) == 5
    assert cell.end() is None


def test_who_stays_where_he_was_is_reported_once(monkeypatch):
    clock, reports = Clock(), []
    monkeypatch.setattr("tes_nb.session.stacks.place_of_thread", lambda _thread: "inner, cell 7 line 11")
    cell = CellPlace(clock)
    cell.begin(7, 5)
    for clock.now in (1.0, 10.0, 70.0):
        cell.look(reports.append)
    assert len(reports) == 1


def test_a_thread_is_found_in_the_users_code():
    started, go = threading.Event(), threading.Event()

    def inner() -> None:
        started.set()
        go.wait()

    thread = threading.Thread(target=inner)
    thread.start()
    try:
        started.wait()
        assert re.fullmatch(
            r"threading\.(wait|set) in inner, test_cell_place\.py line \d+",
            place_of_thread(thread.ident) or "",
        )
    finally:
        go.set()
        thread.join()
    assert place_of_thread(thread.ident) is None


def test_a_cell_that_ends_while_it_is_looked_at_is_reported_before_its_end(monkeypatch):
    clock, order = Clock(), []
    looking, cell = threading.Event(), CellPlace(clock)

    def slow(_thread: int) -> str:
        looking.set()
        ender.join(0.2)
        return "there"

    monkeypatch.setattr("tes_nb.session.stacks.place_of_thread", slow)
    cell.begin(1, 1)
    clock.now = 1.0
    ender = threading.Thread(target=lambda: (looking.wait(), order.append(cell.end())))
    ender.start()
    cell.look(lambda row: order.append(row.place))
    ender.join()
    assert order == ["there", "there"]
