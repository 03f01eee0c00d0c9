"""`tes.options`."""

from __future__ import annotations

import sys
import time

import pytest

import tes_nb as tes
from tes_nb.errors import ArgumentError
from tes_nb.views.clock import DEFAULT_FPS, clock
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def as_before():
    interval = sys.getswitchinterval()
    yield
    tes.options.fps = DEFAULT_FPS
    sys.setswitchinterval(interval)


def test_it_is_not_hidden_by_the_module_it_lives_in():
    assert callable(tes.nest)  # imports the same module
    assert tes.options.fps == DEFAULT_FPS


class Counted:
    def __init__(self):
        self.steps = 0

    def step(self):
        self.steps += 1
        return True


def test_fps_is_four_until_somebody_says_otherwise():
    assert tes.options.fps == DEFAULT_FPS == 4
    tes.options.fps = 10
    assert (tes.options.fps, clock.fps) == (10, 10)
    assert repr(tes.options) == "<tes_nb options: fps=10, scheduler=None, switch_ms=5, tz=None>"


def test_views_that_are_there_already_keep_to_it():
    view = Counted()
    tes.options.fps = 0.1
    clock.add(view)
    try:
        time.sleep(0.3)
        slow = view.steps
        assert slow <= 3  # the first, and those that adding and setting woke
        tes.options.fps = 30
        eventually(lambda: view.steps >= slow + 10)
    finally:
        clock.remove(view)


@pytest.mark.parametrize("value", [0, -1, 31, 1000, "fast", None, True, float("nan")])
def test_what_is_no_rate_is_a_sentence(value):
    with pytest.raises(ArgumentError, match=r"options\.fps must be a number from 0\.1 to 30"):
        tes.options.fps = value
    assert tes.options.fps == DEFAULT_FPS


def test_the_switch_interval_is_python_s_until_somebody_says_otherwise():
    assert tes.options.switch_ms == 5 == sys.getswitchinterval() * 1e3
    tes.options.switch_ms = 0.5
    assert (sys.getswitchinterval(), tes.options.switch_ms) == (0.0005, 0.5)


@pytest.mark.parametrize("value", [0, -1, 101, "fast", None, True, float("nan")])
def test_what_is_no_switch_interval_is_a_sentence(value):
    with pytest.raises(
        ArgumentError, match=r"options\.switch_ms must be a number of milliseconds from 0\.1 to 100"
    ):
        tes.options.switch_ms = value
    assert tes.options.switch_ms == 5


def test_a_typo_is_refused():
    with pytest.raises(ArgumentError, match="no option 'fsp'; there are fps, scheduler, switch_ms and tz"):
        tes.options.fsp = 2
