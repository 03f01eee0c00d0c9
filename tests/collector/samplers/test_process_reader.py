"""/proc against psutil, and against names that try to break it."""

from __future__ import annotations

import os
import resource
import sys
import time

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.collector.samplers.process_reader import (
    ProcfsReader,
    PsutilReader,
    default_reader,
    parse_rollup,
    parse_stat,
    parse_status,
)
from tests.support.processes import BUSY, IDLE, running
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")

NO_SUCH_PID = 2**22 + 1  # above the greatest pid there is
REST = b"S 7 7 7 0 -1 4194304 5 0 0 0 250 50 10 20 20 0 3 0 12345 999 100 18446744073709551615 1 1 0"


@given(st.binary(max_size=15).filter(lambda name: b"\n" not in name))
def test_any_name_leaves_the_numbers_intact(name: bytes) -> None:
    times = parse_stat(b"42 (" + name + b") " + REST)
    assert (times.born, times.threads, times.zombie) == (12345, 3, False)
    assert times.cpu_s == pytest.approx(3.0)
    assert times.reaped_s == pytest.approx(0.3)
    assert times.rss == 100 * os.sysconf("SC_PAGE_SIZE")


def test_a_name_that_looks_like_fields() -> None:
    assert parse_stat(b"42 (x) Z 1 (y) " + REST).name == "x) Z 1 (y"
    assert parse_stat(b"42 (x) " + REST.replace(b"S", b"Z", 1)).zombie


def test_memory_lines_of_another_shape_are_no_memory() -> None:
    assert parse_status(b"Name:\tkthreadd\nThreads:\t1\n") is None
    assert parse_rollup(b"00400000-7fff ---p 00000000 00:00 0 [rollup]\nRss: 12 kB\n") is None


def test_own_process_agrees_with_psutil() -> None:
    me, reader = psutil.Process(), ProcfsReader()
    times, words, share = reader.times(os.getpid()), reader.memory(os.getpid()), reader.share(os.getpid())
    assert times is not None
    assert words is not None
    assert share is not None
    with me.oneshot():
        full, cpu = me.memory_full_info(), me.cpu_times()
    assert times.threads == me.num_threads()
    assert times.user_s == pytest.approx(cpu.user, abs=0.1)
    assert times.cpu_s == pytest.approx(reader.cpu_clock(os.getpid()), abs=0.1)
    assert words.rss == pytest.approx(full.rss, rel=0.05)
    assert words.heap_used + words.external == words.rss
    assert share.pss == pytest.approx(full.pss, rel=0.05)
    assert share.uss == pytest.approx(full.uss, rel=0.05)
    assert reader.age_s(times.born) == pytest.approx(time.time() - me.create_time(), abs=1.5)


def test_both_readers_say_the_same_of_a_child() -> None:
    with running(BUSY) as child:
        eventually(lambda: psutil.Process(child.pid).cpu_times().user > 0.2)
        quick, portable = ProcfsReader(), PsutilReader()
        a, b = quick.times(child.pid), portable.times(child.pid)
        assert a is not None
        assert b is not None
        assert (a.zombie, a.threads) == (b.zombie, b.threads) == (False, 1)
        assert b.name.startswith(a.name)
        assert a.cpu_s == pytest.approx(b.cpu_s, abs=0.5)
        assert quick.memory(child.pid).rss == pytest.approx(portable.memory(child.pid).rss, rel=0.05)
        assert quick.share(child.pid).uss == pytest.approx(portable.share(child.pid).uss, rel=0.05)
        assert quick.cpu_clock(child.pid) >= a.cpu_s - 0.02
        assert quick.age_s(a.born) == pytest.approx(portable.age_s(b.born), abs=1.5)


@pytest.mark.parametrize("reader", [ProcfsReader(), PsutilReader()], ids=["proc", "psutil"])
def test_gone_and_zombie(reader: ProcfsReader | PsutilReader) -> None:
    for read in (reader.times, reader.memory, reader.share):
        assert read(NO_SUCH_PID) is None
    with running(IDLE) as child:
        before = reader.times(child.pid)
        child.kill()
        eventually(lambda: reader.times(child.pid).zombie)
        assert before.born == reader.times(child.pid).born
        assert reader.memory(child.pid) is None
        child.wait()
        assert reader.times(child.pid) is None


def test_proc_is_chosen_here() -> None:
    assert isinstance(default_reader(), ProcfsReader)


def test_fault_71_no_descriptor_left_is_not_taken_for_a_dead_process() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            ProcfsReader().times(os.getpid())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
