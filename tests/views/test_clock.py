"""The repaint clock: one thread for all, which lives while there is a view."""

from __future__ import annotations

import gc
import logging
import weakref

import pytest

from tes_nb.views.clock import RepaintClock
from tests.support.waiting import eventually


class View:
    def __init__(self, *, ends_after: int = 10**9, fails: int = 0) -> None:
        self.steps = 0
        self.fails = fails
        self.ends_after = ends_after

    def step(self) -> bool:
        self.steps += 1
        if self.steps <= self.fails:
            raise RuntimeError("cannot be drawn")
        return self.steps < self.ends_after


def running(clock: RepaintClock) -> bool:
    return clock._thread is not None and clock._thread.is_alive()


def test_one_thread_for_all_views_and_none_without():
    clock, views = RepaintClock(fps=30), [View() for _ in range(5)]
    for view in views:
        clock.add(view)
    thread = clock._thread
    eventually(lambda: all(view.steps > 3 for view in views))
    assert clock._thread is thread
    for view in views:
        clock.remove(view)
    eventually(lambda: not running(clock))
    clock.add(views[0])
    eventually(lambda: running(clock))
    clock.remove(views[0])
    eventually(lambda: not running(clock))


def test_a_view_that_ends_or_that_nobody_holds_is_stepped_no_more():
    clock, ending, dropped = RepaintClock(fps=30), View(ends_after=3), View()
    clock.add(ending)
    clock.add(dropped)
    eventually(lambda: ending.steps == 3)
    del dropped
    gc.collect()
    eventually(lambda: not running(clock))
    assert ending.steps == 3


def test_a_failing_view_is_logged_and_left_the_others_go_on(caplog: pytest.LogCaptureFixture):
    clock, bad, recovering, good = RepaintClock(fps=30), View(fails=10**9), View(fails=2), View()
    with caplog.at_level(logging.ERROR, "tes_nb.views"):
        for view in (bad, recovering, good):
            clock.add(view)
        eventually(lambda: good.steps > 8 and recovering.steps > 8)
    assert bad.steps == 3
    assert sum("could not be repainted" in record.message for record in caplog.records) == 5
    clock.remove(good)
    clock.remove(recovering)


def test_its_pace_can_be_set_within_bounds_and_a_look_wakes_it():
    clock, view = RepaintClock(fps=0.1), View()
    clock.add(view)
    eventually(lambda: view.steps >= 2)  # at once when added, and once more for having been added
    steps = view.steps
    clock.wake()
    eventually(lambda: view.steps > steps)
    clock.remove(view)
    clock.wake()
    clock.fps = 10
    assert clock.fps == 10
    with pytest.raises(ValueError, match=r"0\.1 to 30"):
        clock.fps = 1000


def test_a_view_that_has_the_number_of_one_that_was_freed_goes_on():
    """Before, what ended took the view along that Python had made in its place meanwhile: it was never drawn again."""
    clock, after = RepaintClock(), View()

    class Ends:
        def step(self) -> bool:
            clock._views[id(self)] = weakref.ref(after)  # as when the one is freed and the other is made
            return False

    ending = Ends()
    clock._views[id(ending)] = weakref.ref(ending)
    assert clock._step_all(), "one is left"
    assert clock._step_all()
    assert after.steps == 1
