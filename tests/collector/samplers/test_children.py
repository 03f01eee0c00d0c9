"""Families of real processes, found by the lists of children and by the table of all processes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable

import psutil
import pytest

from tes_nb.collector.samplers.children import (
    LOOKS_A_PASS,
    ChildFinder,
    LoopPace,
    children_of,
    lists_of_children_exist,
)
from tests.support.processes import running
from tests.support.waiting import eventually

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists children per thread")
BOTH = [pytest.param(True, marks=linux, id="lists"), pytest.param(False, id="table")]

FAMILY = """
import os, signal, threading
def child(below=0):
    if os.fork() == 0:
        if below: child(below - 1)
        signal.pause()
child(); child(below=2)
thread = threading.Thread(target=child); thread.start(); thread.join()
print('ready', flush=True)
signal.pause()
"""
MANY = """
import os, signal
for _ in range(1100):
    if os.fork() == 0: signal.pause()
print('ready', flush=True)
signal.pause()
"""


def found(finder: ChildFinder, pid: int, consider: Callable[[int], bool] | None = None) -> list[int]:
    seen: list[int] = []

    def take(child: int) -> bool:
        new = child not in seen and (consider is None or consider(child))
        if new:
            seen.append(child)
        return new

    asyncio.run(finder.look(pid, (), take, LoopPace()))
    return seen


def family_of(pid: int, size: int) -> list[int]:
    """The descendants as psutil sees them, once they are all there."""
    process = psutil.Process(pid)
    eventually(lambda: len(process.children(recursive=True)) == size)
    return [child.pid for child in process.children(recursive=True)]


def end_group(pid: int) -> None:
    os.killpg(pid, 9)


@pytest.mark.parametrize("use_lists", BOTH)
def test_children_grandchildren_and_those_of_other_threads(use_lists: bool) -> None:
    with running(FAMILY) as parent:
        try:
            family = family_of(parent.pid, 5)
            assert sorted(found(ChildFinder(use_lists=use_lists), parent.pid)) == sorted(family)
        finally:
            end_group(parent.pid)


@linux
def test_what_is_not_wanted_is_not_looked_below() -> None:
    with running(FAMILY) as parent:
        try:
            family_of(parent.pid, 5)
            elder = next(pid for pid in children_of(parent.pid) if children_of(pid))
            seen = found(ChildFinder(), parent.pid, lambda pid: pid != elder)
            assert len(seen) == 2
            assert elder not in seen
        finally:
            end_group(parent.pid)


@linux
def test_a_list_longer_than_a_page_is_read_to_its_end() -> None:
    with running(MANY) as parent:
        try:
            assert len(ChildFinder().of_main_thread(parent.pid)) == 1100
        finally:
            end_group(parent.pid)


@linux
def test_known_descendants_are_looked_at_in_turns() -> None:
    finder = ChildFinder()
    known = list(range(2 * LOOKS_A_PASS + 7))
    turns = [list(finder._in_turn(known)) for _ in range(4)]
    assert [pid for turn in turns[:3] for pid in turn] == known
    assert turns[3] == turns[0]
    assert list(finder._in_turn([])) == []


@pytest.mark.parametrize("use_lists", BOTH)
def test_a_process_that_is_gone_has_no_descendants(use_lists: bool) -> None:
    assert found(ChildFinder(use_lists=use_lists), 2**22 + 1) == []


@linux
def test_lists_exist_here() -> None:
    assert lists_of_children_exist()
