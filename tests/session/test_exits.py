"""Exit codes are seen without being taken away from whoever waits for them."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import signal
import subprocess
import sys

import pytest

from tes_nb.session.exits import Children, ExitWatch
from tests.support.waiting import eventually, eventually_async

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux lists children cheaply"
)


def code_of(watch: ExitWatch, pid: int) -> int | None:
    """The exit code of a child that ends."""
    exits = eventually(lambda: [code for ended, code in watch.new_exits() if ended == pid])
    return exits[0]


@pytest.mark.parametrize(("code", "expected"), [("raise SystemExit(3)", 3), ("pass", 0)])
def test_an_exit_code_is_seen_and_left_to_its_owner(code: str, expected: int):
    watch = ExitWatch()
    child = subprocess.Popen([sys.executable, "-c", code])
    assert code_of(watch, child.pid) == expected
    assert child.pid not in dict(watch.new_exits())  # once is enough
    assert child.pid in Children().pids()  # not reaped by us
    assert child.wait() == expected


def test_a_signal_is_negative():
    watch = ExitWatch()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child.kill()
    assert code_of(watch, child.pid) == -9
    child.wait()
    assert child.stdin is not None
    child.stdin.close()


def leave_with_four() -> None:
    raise SystemExit(4)


def test_a_joined_multiprocessing_child_still_tells():
    watch = ExitWatch()
    child = multiprocessing.get_context("fork").Process(target=leave_with_four)
    child.start()
    child.join()
    assert code_of(watch, child.pid) == 4


def test_a_child_that_a_pool_forgets_at_once_still_tells():
    watch = ExitWatch()
    assert list(watch.new_exits()) == []
    child = multiprocessing.get_context("fork").Process(target=signal.pause)
    child.start()
    assert [code for pid, code in watch.new_exits() if pid == child.pid] == []
    pid = child.pid
    child.kill()
    child.join()
    del child  # as multiprocessing.Pool does, ten times a second
    gc.collect()
    assert code_of(watch, pid) == -9


def test_an_end_is_noticed_at_once_and_left_to_its_owner():
    """Whoever waits only now and then is slower than we are."""
    ended = []

    async def scene():
        watch = ExitWatch()
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        watch.follow(lambda pid, code: ended.append((pid, code)))
        child.kill()
        await eventually_async(lambda: ended)
        assert ended == [(child.pid, -9)]
        assert list(watch.new_exits()) == []
        watch.close()
        assert child.wait() == -9
        child.stdin.close()

    asyncio.run(scene())
