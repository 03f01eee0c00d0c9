"""Snapshots of real processes, and how often they may be asked, on an injected clock."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.collector.http import workers
from tes_nb.collector.http.workers import PERIOD_S, SnapshotLimiter, check_id, file_name, read_snapshot
from tes_nb.collector.workers.processes import ProcessWorkers
from tests.support.observations import WORKER
from tests.support.processes import running


class Clock:
    """Two clocks: `wall` may jump."""

    def __init__(self) -> None:
        self.now = 50.0
        self.wall = 1_767_225_600.0


def limiter() -> tuple[SnapshotLimiter, Clock]:
    clock = Clock()
    return SnapshotLimiter(clock=lambda: clock.now, wall=lambda: clock.wall), clock


def test_fault_39_a_hundred_at_once_get_one() -> None:
    limited, _ = limiter()
    answers = [limited.ask("a", {"a"}) for _ in range(100)]
    assert [answer.allowed for answer in answers] == [True] + [False] * 99
    for answer in answers[1:]:
        assert 1 <= int(answer.headers["Retry-After"]) <= 10
        assert answer.headers["X-RateLimit-Limit"] == "1"
        assert answer.headers["X-RateLimit-Remaining"] == "0"
        assert int(answer.headers["X-RateLimit-Reset"]) == 1_767_225_610
    assert "Retry-After" not in answers[0].headers


def test_the_next_one_is_allowed_after_the_period() -> None:
    limited, clock = limiter()
    limited.ask("a", {"a", "b"})
    clock.now += PERIOD_S - 0.01
    refused = limited.ask("a", {"a", "b"})
    assert (refused.allowed, refused.headers["Retry-After"]) == (False, "1")
    assert limited.ask("b", {"a", "b"}).allowed, "each worker by itself"
    clock.now += 0.01
    assert limited.ask("a", {"a", "b"}).allowed


def test_fault_40_made_up_ids_leave_nothing_behind() -> None:
    limited, _ = limiter()
    live = {"a", "b"}
    for number in range(100_000):
        with pytest.raises(KeyError):
            limited.ask(f"made-up-{number % 50}", live)
    assert len(limited) == 0
    for worker in live:
        limited.ask(worker, live)
    assert len(limited) == 2


def test_fault_40_ended_workers_are_forgotten() -> None:
    limited, _ = limiter()
    for number in range(1000):
        limited.ask(f"w{number}", {f"w{number}"})
        assert len(limited) == 1


def test_fault_75_a_jump_of_the_wall_clock_changes_nothing() -> None:
    limited, clock = limiter()
    limited.ask("a", {"a"})
    for jump in (3600.0, -86_400.0):
        clock.wall += jump
        assert not limited.ask("a", {"a"}).allowed
    clock.now += PERIOD_S
    assert limited.ask("a", {"a"}).allowed


TWO_THREADS = """
import threading, time
planted_argument = 1
threading.Thread(target=time.sleep, args=(60,)).start()
print('ready', flush=True)
"""
BAD_IDS = [
    "", ".." , "../../etc/passwd", "/etc/passwd", "a/b", "a\\b", "..\\x", "a..b", "%2e%2e%2f", "a%2fb", "a\x00b",
    "x" * 101,
    "x" * 300, "a b", "a\n", "\uff41", "\uff11\uff12", "é", "~", "a:b", "\u202e", "a;b", "a?b", "a#b", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_IDS)
def test_fault_63_ids_that_could_lead_elsewhere_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="worker's id"):
        check_id(text)
    with pytest.raises(ValueError, match="worker's id"):
        file_name(text, 1)


@given(st.text(max_size=120))
def test_fault_63_what_passes_is_harmless(text: str) -> None:
    try:
        passed = check_id(text)
    except ValueError:
        return
    assert passed.isascii()
    assert not set(passed) & set("/\\:%\x00 \n")
    assert ".." not in passed
    assert 1 <= len(passed) <= 100


@pytest.mark.parametrize("text", ["4711-99", "a", "A.b_c-1", "x" * 100])
def test_good_ids(text: str) -> None:
    assert check_id(text) == text
    assert file_name(text, 5) == f"worker-{text}-5.json.gz"


def test_a_snapshot_of_a_real_worker_without_arguments_and_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PLANTED_SECRET", "correct-horse-battery")
    with running(TWO_THREADS) as child:
        registry = ProcessWorkers()
        worker = registry.find(registry.add(child.pid))
        assert worker is not None
        content = asyncio.run(read_snapshot(worker))
        assert content is not None
    text = json.dumps(content)
    assert "correct-horse-battery" not in text
    assert "planted_argument" not in text
    assert str(Path.cwd()) not in text
    assert content["worker"]["id"] == worker.id
    assert content["process"]["memory"]["rss"] > 1_000_000
    assert content["process"]["memory"]["uss"] > 0
    assert content["process"]["thread_count"] == len(content["process"]["threads"]) == 2
    assert content["process"]["open_descriptors"] >= 3
    assert content["process"]["context_switches"]["voluntary"] > 0
    assert content["taken_at"].endswith("+00:00")


def test_a_worker_that_is_gone_has_no_snapshot() -> None:
    with running("print('ready', flush=True); input()") as child:
        registry = ProcessWorkers()
        worker = registry.find(registry.add(child.pid))
        assert worker is not None
        child.kill()
        child.wait()
        assert asyncio.run(read_snapshot(worker)) is None


def test_another_process_with_that_pid_is_not_shown() -> None:
    with running("print('ready', flush=True); input()") as child:
        registry = ProcessWorkers()
        worker = registry.find(registry.add(child.pid))
        assert worker is not None
        assert asyncio.run(read_snapshot(replace(worker, id=f"{child.pid}-1"))) is None


def test_a_reported_worker_shows_its_report_and_no_local_process() -> None:
    content = asyncio.run(read_snapshot(replace(WORKER, kind="dask", pid=os.getpid())))
    assert content is not None
    assert content["process"] is None
    assert content["worker"]["queue_depth"] == WORKER.queue_depth


def test_the_reading_happens_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    monkeypatch.setattr(workers, "_process_state", lambda _: threads.append(threading.get_ident()) or {})
    asyncio.run(read_snapshot(replace(WORKER, id=f"{WORKER.pid}-1")))
    assert threads
    assert threads[0] != threading.get_ident()
