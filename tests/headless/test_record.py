"""`tes-nb record` for weeks, in seconds: hand-over, compression, pruning, signals, kills, a full disk."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tes_nb as tes
from tes_nb.analysis.ledger import reconcile
from tes_nb.cli import app
from tes_nb.errors import TesError
from tes_nb.headless.command import _limits
from tes_nb.headless.recorder import HeadlessRecorder, RecordRequest
from tes_nb.model.control import StartRecording
from tes_nb.store.session.check import check
from tests.support.aio import run_async
from tests.support.headless import COMMAND, SUBSCRIBER, feed, files_of, read_series, recorder
from tests.support.waiting import eventually, eventually_async

pytestmark = pytest.mark.timeout(150)


def whole(folder):
    """Whether each file is, as `tes-nb check` says."""
    return {path.name: check(path).exit_code for path in files_of(folder)} == {
        path.name: 0 for path in files_of(folder)
    }


@pytest.mark.slow
def test_ten_files_and_more_hold_every_message_once(tmp_path):
    with feed() as server:
        words = ("night.tes", "--watch", "nowgoal", "--rotate", "1MB", "--compress")
        with recorder(*words, server=server, cwd=tmp_path) as running:
            running.wait_files(12)
            sent = server.sent_at(SUBSCRIBER)
            assert running.end() == 0
        last = running.last
    folder = tmp_path
    assert whole(folder)
    received, gaps = read_series(folder)
    ledger = reconcile(sent, received, gaps, until=received[-1][0])
    assert (ledger.doubled, ledger.unexplained_missing, ledger.reordered, len(gaps)) == (0, 0, 0, 0)
    assert ledger.received > 5000
    assert (last["state"], last["lost"], last["files"]) == ("STOPPED", 0, len(files_of(folder)))
    assert last["total_messages"] == sum(check(path).messages for path in files_of(folder))
    assert running.said == ""
    names = [path.name for path in files_of(folder)]
    assert all(re.fullmatch(r"night_\d{4}-\d\d-\d\d_\d{6}(_\d+)?\.tes(\.zst)?", name) for name in names)
    assert sum(name.endswith(".zst") for name in names) >= 10
    rates = [line["feeds"]["nowgoal"]["rate"] for line in running.lines[5:-1]]
    assert max(rates) > 1000, "so many messages a second"
    with tes.open(files_of(folder)[5]) as rec:  # each file knows by itself what was asked for
        assert {"change_xml", "ch_goal8_xml"} <= set(rec.nowgoal.frame("odds")["channel"]) | set(
            rec.nowgoal.frame("scores")["channel"]
        )


@pytest.mark.slow
def test_killed_again_and_again_nothing_is_lost_and_the_next_start_goes_on(tmp_path):
    chance = random.Random(7)
    words = ("night.tes", "--watch", "nowgoal", "--rotate", "1MB", "--compress")
    with feed() as server:
        for _ in range(2):
            with recorder(*words, server=server, cwd=tmp_path) as running:
                running.wait_files(3)
                time.sleep(chance.uniform(0, 0.6))
                running.end(signal.SIGKILL)
        with recorder(*words, server=server, cwd=tmp_path) as running:
            running.wait_files(2)
            own = {line["file"] for line in running.lines}
            eventually(lambda: all(path.suffix == ".zst" for path in old_files(tmp_path, own)), 30)
            assert running.end() == 0
    left = [path.name for path in files_of(tmp_path)]
    assert [name for name in left if not re.search(r"\d\.tes(\.zst)?$", name)] == [], (
        "no locks, logs and parts"
    )
    assert whole(tmp_path)
    received, _ = read_series(tmp_path)
    assert len({number for number, _ in received}) == len(received), "doubled"


def old_files(folder, own):
    """The files of a series that earlier starts have left, whatever of them."""
    mine = tuple(Path(one).stem for one in own)
    names = [path for path in files_of(folder) if path.name != "night.tes.lock"]
    newest = max(mine)
    return [path for path in names if not path.name.lstrip(".").startswith(mine) and path.name < newest]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_signals_end_it_cleanly(tmp_path, number, code):
    with recorder("own.tes", "--rotate", "1h", cwd=tmp_path) as running:
        running.wait_line(lambda line: line["messages"] >= 3)
        with recorder("own.tes", "--rotate", "1h", cwd=tmp_path) as second:
            assert second.wait() == 1
        assert re.search(r"own\.tes is being recorded by process \d+ already", second.said)
        assert running.end(number) == code
    assert running.said in ("", "Stopped.\n")
    assert running.last["state"] == "STOPPED"
    (path,) = files_of(tmp_path)
    assert check(path).exit_code == 0


def test_it_is_listed_and_ended_from_elsewhere(tmp_path):
    with recorder("own.tes", "--rotate", "2s", cwd=tmp_path) as running:
        running.wait_files(2)
        (listed,) = [one for one in tes.recordings() if one.path.parent == tmp_path]
        assert listed.stop().startswith("Stopped recording own_")
        assert running.wait() == 0
    assert whole(tmp_path)


def test_an_unreachable_host_ends_it_with_1_and_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("TES_NOWGOAL_URL", "ws://localhost:1/ws")
    monkeypatch.setenv("TES_NOWGOAL_TOKEN_URL", "http://localhost:1/token")
    with recorder("x.tes", "--watch", "nowgoal", "--rotate", "1d", cwd=tmp_path) as running:
        assert running.wait() == 1
    assert re.search(
        r"tes-nb: Nothing answers at ws://localhost:1/ws \(nowgoal .*\): check the address", running.said
    )
    assert files_of(tmp_path) == []


@pytest.mark.parametrize("name", ["x.tes", "link.tes"])
def test_a_recording_is_replaced_only_where_something_answers(tmp_path, name):
    with recorder("x.tes", cwd=tmp_path) as running:
        running.wait_line(lambda line: line["messages"] > 3)
        assert running.end() == 0
    before = check(tmp_path / "x.tes").messages
    (tmp_path / "link.tes").symlink_to("x.tes")
    with recorder(name, "--overwrite", "--attach", "localhost:1", cwd=tmp_path) as running:
        assert running.wait() == 1
    assert "Nothing answers at" in running.said
    assert check(tmp_path / name).messages == before > 3
    with recorder(name, "--overwrite", cwd=tmp_path) as running:
        running.wait_line(lambda line: line["messages"] > 0)
        with recorder(name, "--overwrite", cwd=tmp_path) as other:
            assert other.wait() == 1
        assert "is being recorded by process" in other.said
        assert running.end() == 0
    assert (tmp_path / "link.tes").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.tes", "x.tes"]


@run_async
async def test_what_else_its_collector_records_holds_up_no_new_file(tmp_path):
    recorder = HeadlessRecorder(RecordRequest(path=tmp_path / "night.tes", rotate_ns=10**9, json=True))
    await recorder.begin()
    going = asyncio.create_task(recorder.go_on())
    try:
        other = StartRecording(path=str(tmp_path / "other.tes"))  # as the page's button does
        await recorder._collector.recordings.record(other)
        await eventually_async(lambda: len(list(tmp_path.glob("night_*.tes"))) >= 3, 20)
    finally:
        going.cancel()
        await recorder.end()
    assert whole(tmp_path)


def test_of_two_sizes_and_two_times_what_comes_first_ends_a_file():
    assert _limits(["500MB", "1GB", "1h", "1d"]) == (5 * 10**8, 3600 * 10**9)
    assert _limits(["1GB", "500MB"]) == (5 * 10**8, None)
    assert _limits(["1d", "1h"]) == (None, 3600 * 10**9)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("a.tes", "--compress"), "--compress and --keep are for finished files: give --rotate, too."),
        (("a.tes", "--rotate", "soon"), "--rotate='soon' is no length of time"),
        (("a.tes", "--rotate", "10kB"), "a file takes at least 1MB"),
        (("a.tes", "--rotate", "10ms"), "a file takes at least a second"),
        (("{date}.tes", "--rotate", "1d"), "leave {date} and {time} out"),
        (("a.tes", "--rotate", "1d", "--overwrite"), "leave --overwrite out"),
        (("missing/a.tes",), "There is no folder"),
        (("missing/a.tes", "--rotate", "1d"), "There is no folder"),
        (("a.tes", "--watch", "weather"), "'weather' cannot be watched"),
        (("a.tes", "--rotate", "1d", "--keep", "-3d"), "must be more than nothing"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    error = CliRunner().invoke(app, ["record", *words]).exception
    assert isinstance(error, TesError | ValueError), "which `tes-nb` says and ends with 1"
    assert sentence in str(error)
    assert files_of(tmp_path) == []


def test_whoever_stops_reading_its_lines_does_not_end_it(tmp_path):
    words = [*COMMAND, "own.tes", "--json", "--every", "200ms"]
    child = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        child.stdout.readline()
        child.stdout.close()
        before = check(tmp_path / "own.tes").messages
        eventually(lambda: check(tmp_path / "own.tes").messages > before + 4, 20)
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0
        said = child.stderr.read()
    finally:
        child.kill()
        child.wait()
        child.stderr.close()
    assert said.count("Nobody reads what this command says") == 1
    assert "Traceback" not in said


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 12 MB, how to see it, and what runs a command there; a process holds it until the end."""
    if os.geteuid() or shutil.which("nsenter") is None:
        pytest.skip("only an administrator may mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=12m tmpfs "$0" && echo mounted && exec sleep 300'
    holder = subprocess.Popen(["unshare", "-m", "sh", "-c", mount, disk], stdout=subprocess.PIPE, text=True)
    try:
        if not holder.stdout.readline():
            pytest.skip("this system lets nobody mount a small disk")
        outside = Path(f"/proc/{holder.pid}/root{disk}")
        yield disk, outside, ("nsenter", "-m", "-t", str(holder.pid), f"--wd={tmp_path}")
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


@pytest.mark.slow
def test_a_full_disk_is_said_and_with_space_it_goes_on(small_disk, tmp_path):
    disk, outside, before = small_disk
    with feed(1500) as server:
        words = (str(disk / "night.tes"), "--watch", "nowgoal", "--rotate", "1MB", "--compress")
        with recorder(*words, server=server, cwd=tmp_path, before=before) as running:
            running.wait_files(3)
            fill(outside / "filler")
            full = running.wait_line(lambda line: line["state"] == "DISK FULL")
            assert "is full: what was recorded is safe. Free some space there" in full["text"]
            time.sleep(1)
            (outside / "filler").unlink()
            running.wait_line(lambda line: line["state"] == "RECORDING" and line["files"] > full["files"] + 1)
            sent = server.sent_at(SUBSCRIBER)
            assert running.end() == 0
    shutil.copytree(outside, tmp_path / "copies")
    assert whole(tmp_path / "copies")
    received, gaps = read_series(tmp_path / "copies")
    ledger = reconcile(sent, received, gaps, until=received[-1][0])
    assert (ledger.doubled, ledger.unexplained_missing, running.last["lost"]) == (0, 0, 0)


def fill(path):
    """Take all the room there is, down to the last bytes."""
    with path.open("wb", buffering=0) as file:
        for size in (2**16, 2**10, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
