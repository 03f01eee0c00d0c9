"""A recording's handle says what is so, whoever ended the recording; a stopped session is let go of."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import weakref

import pytest

import tes_nb as tes
from tes_nb.errors import CollectorError
from tes_nb.model.control import StopRecording
from tests.support.waiting import eventually


def ended_elsewhere(session: tes.Session, recording: tes.Recording) -> str:
    """End it as the page does, and give the collector's sentence."""
    return session._call(StopRecording(path=str(recording.path))).ended


def test_a_recording_that_was_ended_elsewhere_is_stopped_with_its_last_figures(session, tmp_path):
    recording = session.record(tmp_path / "page.tes")
    recording.wait(messages=3, timeout=20)
    text = ended_elsewhere(session, recording)
    assert recording.state == "STOPPED"
    assert not recording.running
    assert recording.text == recording.stop() == text
    assert "STOPPED" in repr(recording)
    with tes.open(recording.path) as opened:
        assert recording.messages == opened.info().messages
        newest = {name: max(one.seq for one in opened._file.messages(name)) for name in recording.committed}
        assert recording.committed == newest


def test_running_is_false_by_itself_when_a_recording_was_ended_elsewhere(session, tmp_path):
    recording = session.record(tmp_path / "running.tes")
    assert recording.running
    ended_elsewhere(session, recording)
    assert not recording.running


def test_a_block_whose_recording_was_ended_from_the_page_ends_quietly(session, tmp_path):
    with session.record(tmp_path / "block.tes") as recording:
        recording.wait(messages=2, timeout=20)
        text = ended_elsewhere(session, recording)
    assert recording.stop() == text
    with tes.open(recording.path) as opened:
        assert opened.info().messages == recording.messages > 0


def test_a_recording_that_met_its_size_limit_is_stopped_in_every_way(session, tmp_path):
    recording = session.record(tmp_path / "small.tes", size_limit=100_000)
    eventually(lambda: recording.state == "STOPPED", 30)
    assert not recording.running
    assert recording.stop() == recording.text
    assert "limit" in recording.text
    assert session.recordings() == []


def test_two_handles_of_one_recording_agree(session, tmp_path):
    one = session.record(tmp_path / "two.tes")
    other = next(each for each in session.recordings() if each.path == one.path)
    assert other.stop() == one.stop()
    assert one.state == other.state == "STOPPED"


def test_the_same_name_again_is_another_recording(session, tmp_path):
    first = session.record(tmp_path / "again.tes")
    first.stop()
    with session.record(tmp_path / "again.tes", overwrite=True) as second:
        assert second.running
        assert first.state == "STOPPED"


@pytest.mark.usefixtures("own_registry")
def test_the_end_of_the_session_ends_its_recordings_in_their_handles_too(tmp_path):
    with tes.start(isolation="thread", ports=(0, 0)) as own:
        asked, silent = own.record(tmp_path / "a.tes"), own.record(tmp_path / "b.tes")
        assert asked.state == "RECORDING"
    assert asked.state == silent.state == "STOPPED"
    assert "The session is stopped" in asked.text
    assert "b.tes has ended" in silent.stop()


@pytest.mark.usefixtures("own_registry")
def test_a_recording_whose_collector_was_killed_says_so_and_its_block_does_not_end_as_if_all_were_well(
    tmp_path,
):
    with tes.start(ports=(0, 0)) as own:
        recording = own.record(tmp_path / "a.tes")
        recording.__enter__()
        os.kill(own.collector_pid, signal.SIGKILL)
        eventually(lambda: not own.running)
        with pytest.raises(CollectorError, match="The collector has ended"):
            recording.__exit__(None, None, None)
        assert recording.state == "STOPPED"
        with pytest.raises(CollectorError, match=r"tes\.open\(\) reads them"):
            own.recordings()


def test_a_recording_found_again_is_stopped_when_its_collector_has_ended(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    own = tes.attach("localhost:1", streams=["metrics"])
    try:
        own.record(tmp_path / "found.tes")
        (again,) = tes.recordings()
        assert again.state == "RECORDING"
    finally:
        own.stop()
    assert again.state == "STOPPED"
    assert "found.tes has ended" in again.text


def cycle(folder: os.PathLike[str], number: int) -> weakref.ref[tes.Session]:
    """A session with all that hangs on one, begun and ended; what is left of it."""
    with tes.start(isolation="thread", ports=(0, 0)) as own:
        with own.record(f"{folder}/{number}.tes") as recording:
            own.gauge("x", number)
            recording.wait(messages=1, timeout=20)
        chart = own.metrics.plot()
        own.metrics.frame()
        chart.close()
    return weakref.ref(own)


@pytest.mark.usefixtures("own_registry")
def test_a_stopped_session_is_freed(tmp_path):
    left = [cycle(tmp_path, number) for number in range(2)]
    gc.collect()
    eventually(lambda: gc.collect() >= 0 and [ref() for ref in left] == [None, None])


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_three_hundred_sessions_one_after_the_other_take_no_memory_with_them():
    """In a process of its own: what other tests left in this one's heap is none of it."""
    code = """
        import gc
        import psutil
        import tes_nb as tes

        def after(cycles):
            for _ in range(cycles):
                tes.start(isolation="thread", ports=(0, 0)).stop()
            gc.collect()
            return psutil.Process().memory_info().rss, len(gc.get_objects())

        after(120)  # the heap has found its size
        rss, objects = after(1)
        then_rss, then_objects = after(300)
        print(then_rss - rss, then_objects - objects)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=200, check=True
    )
    grown, objects = (int(word) for word in done.stdout.split())
    assert objects < 100
    assert grown < 300 * 0.02e6, f"{grown / 300:,.0f} bytes a cycle"


def test_what_could_not_be_asked_is_never_none(monkeypatch, tmp_path):
    """A collector that hangs, and one that answers: the second one's recordings come, with a warning."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert tes.recordings() == []
    hanging, answering = (tes.attach("localhost:1", streams=["metrics"]) for _ in range(2))
    try:
        hanging.record(tmp_path / "hanging.tes")
        os.kill(hanging.collector_pid, signal.SIGSTOP)
        with pytest.raises(CollectorError, match=f"could not be asked.* process {hanging.collector_pid} "):
            tes.recordings()
        answering.record(tmp_path / "answering.tes")
        with pytest.warns(UserWarning, match=f"could not be asked.* process {hanging.collector_pid} "):
            (one,) = tes.recordings()
        assert one.path.name == "answering.tes"
    finally:
        os.kill(hanging.collector_pid, signal.SIGCONT)
        hanging.stop()
        answering.stop()
    assert tes.recordings() == []
