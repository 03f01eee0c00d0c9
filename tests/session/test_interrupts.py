"""Interrupts at any instant leave whole things or nothing: starts, recordings, and their ends."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading

import psutil
import pytest

import tes_nb as tes
from tes_nb.session import start as starts
from tes_nb.session.backend import uninterrupted

pytestmark = pytest.mark.timeout(120)

COMMON = """
import os, random, signal, sys, time
from pathlib import Path
import psutil
import tes_nb as tes

random.seed(int(sys.argv[1]))
folder = Path(sys.argv[2])
signal.signal(signal.SIGALRM, signal.default_int_handler)  # as Ctrl-C, by a timer

def interrupted(act, within):
    "Whether the call was broken off."
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, within))
    try:
        act()
        return False
    except KeyboardInterrupt:
        return True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)

def eventually(truth, within=30):
    until = time.monotonic() + within
    while not truth():
        assert time.monotonic() < until
        time.sleep(0.002)
"""


def run(code: str, folder: os.PathLike[str], *, first: str = "", seed: int = 7) -> dict[str, int]:
    """What the program prints: pairs of a name and a number."""
    done = subprocess.run(
        [sys.executable, "-c", COMMON + first + "\n" + textwrap.dedent(code), str(seed), str(folder)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: int(value) for name, value in (line.split() for line in done.stdout.splitlines())}


def test_fault_81_an_interrupted_record_leaves_no_recording_and_no_file(tmp_path):
    said = run(
        """
        s = tes.start(ports=(0, 0))
        took = time.monotonic()
        s.record(folder / "first.tes").stop()
        took = time.monotonic() - took
        broken = 0
        for turn in range(60):
            path, handles = folder / f"{turn}.tes", []
            if interrupted(lambda: handles.append(s.record(path)), took):
                broken += 1
                if not handles:
                    eventually(lambda: not s.recordings() and not list(folder.glob(f"{turn}.*")))
                    s.record(path).stop()  # the same name, as whoever runs the cell again would
            for recording in handles:
                recording.stop()
        assert len(list(folder.glob("*.tes"))) == 61
        assert s.recordings() == []
        print("broken", broken)
        """,
        tmp_path,
    )
    assert said["broken"] > 10


def test_fault_81_a_recording_whose_stop_was_interrupted_is_stopped(tmp_path):
    said = run(
        """
        s = tes.start(ports=(0, 0))
        broken = 0
        for turn in range(40):
            recording = s.record(folder / f"{turn}.tes")
            broken += interrupted(recording.stop, 0.01)
            text = recording.stop()
            assert recording.state == "STOPPED", (recording.state, text)
            assert f"{turn}.tes" in text, text
            with tes.open(recording.path) as opened:
                assert opened.info().messages == recording.messages
        print("broken", broken)
        """,
        tmp_path,
    )
    assert said["broken"] > 10


@pytest.mark.parametrize(("isolation", "turns"), [("process", 2), ("thread", 12)])
def test_fault_81_a_start_after_an_interrupted_one_gives_a_session_that_lives(tmp_path, isolation, turns):
    said = run(
        """
        for _ in range(2):  # the second time, all is imported
            took = time.monotonic()
            tes.start(ports=(0, 0), isolation=isolation).stop()
            took = time.monotonic() - took
        broken, until = 0, time.monotonic() + 50
        for turn in range(turns):
            if broken and time.monotonic() > until:
                break  # a machine that is too busy for so many
            broken += interrupted(lambda: tes.start(ports=(0, 0), isolation=isolation), took)
            s = tes.start(ports=(0, 0), isolation=isolation)
            time.sleep(random.uniform(0, 0.3))
            assert s.running
            s.mark("here")
            assert tes.start() is s
            broken += interrupted(s.stop, took / 4)
            s = tes.start(ports=(0, 0), isolation=isolation)
            time.sleep(0.1)
            assert s.running
            s.mark("there")
            s.stop()
        eventually(lambda: not psutil.Process().children())
        assert tes.sessions() == []
        print("broken", broken)
        """,
        tmp_path,
        first=f"isolation, turns = {isolation!r}, {turns}",
    )
    assert said["broken"] > 0


@pytest.mark.usefixtures("own_registry")
def test_eight_starts_at_once_give_one_session_and_one_collector():
    before = set(psutil.Process().children())
    sessions: list[tes.Session] = []
    together = threading.Barrier(8)

    def begin() -> None:
        together.wait()
        sessions.append(tes.start(ports=(0, 0)))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    try:
        assert len(sessions) == 8
        assert len({id(session) for session in sessions}) == 1
        assert len(set(psutil.Process().children()) - before) == 1
    finally:
        sessions[0].stop()
    assert tes.sessions() == []


@pytest.mark.usefixtures("own_registry")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_is_forked_while_a_session_starts_can_start_its_own():
    with starts._turn:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                with tes.start(ports=(0, 0)) as own:
                    code = 0 if own.running else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_what_is_undone_is_undone_before_the_next_has_its_turn(monkeypatch):
    """An interrupt that comes when the act is done already, and one that comes before."""
    for late in (False, True):
        turn, events, go_on = threading.Lock(), [], threading.Event()

        def act(go_on=go_on, events=events) -> str:
            go_on.wait(5)
            events.append("act")
            return "thing"

        class Interrupted(starts.threading.Thread):
            def start(self, late=late, go_on=go_on) -> None:
                super().start()
                if late:
                    go_on.set()
                    self.join()
                raise KeyboardInterrupt

        def undo(thing: str, events=events) -> None:
            events.append(f"undo {thing}")

        with monkeypatch.context() as patch:
            patch.setattr("tes_nb.session.backend.threading.Thread", Interrupted)
            with pytest.raises(KeyboardInterrupt):
                uninterrupted(act, undo=undo, turn=turn)
        go_on.set()
        uninterrupted(lambda events=events: events.append("next"), turn=turn)
        assert events == ["act", "undo thing", "next"]
