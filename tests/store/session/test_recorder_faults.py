"""Recordings under kill -9, full disks, failing writes, vanished folders and second writers."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from tes_nb.errors import SessionError
from tes_nb.store.session import lock
from tes_nb.store.session.check import check
from tes_nb.store.session.files import wal_path
from tes_nb.store.session.lock import WriterLock, lock_path, owner_of
from tes_nb.store.session.reader import SessionFile
from tes_nb.store.session.recorder import Recorder
from tes_nb.store.session.recorder_loop import RecorderState
from tests.support.processes import halt
from tests.support.recording import ROOMY
from tests.support.sessions import SOURCES, numbered, read_all
from tests.support.waiting import busy, eventually

ROOT = Path(__file__).resolve().parents[3]
KILLS = int(os.environ.get("TES_TEST_KILLS", "200")) // 2


def command(what: str, folder: Path, *arguments: int) -> list[str]:
    return [
        sys.executable,
        "-W",
        "error",
        "-m",
        "tests.support.recording",
        what,
        str(folder),
        *map(str, arguments),
    ]


def outcome(what: str, folder: Path, *arguments: int, before: tuple[str, ...] = (), timeout: float = 55):
    done = subprocess.run(
        [*before, *command(what, folder, *arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def live(tmp_path):
    """A process that records into live.tes, after its first acknowledgements."""
    process = subprocess.Popen(command("for_ever", tmp_path), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    process.seen = [process.stdout.readline() for _ in range(20)]
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def acknowledged(process) -> dict[str, int]:
    """The last acknowledgement of a process that writes no more."""
    lines = [*process.seen, *process.stdout.readlines()]
    return json.loads([line for line in lines if line.endswith("}\n")][-1])


@pytest.mark.parametrize("seed", [26, 27])
def test_fault_26_killed_at_random_instants_nothing_acknowledged_is_lost(tmp_path, seed):
    result = outcome("kills", tmp_path, KILLS, seed)
    assert result["kills"] > KILLS // 10, "all of them, but for a very busy machine"
    assert result["acknowledged"] > 10 * result["kills"]
    assert (result["lost"], result["wrong"], result["bad checks"]) == (0, 0, 0)


def test_fault_27_the_disk_has_every_commit_within_a_second(tmp_path):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: it alone sees what is synced")
    trace = tmp_path / "trace"
    tracer = ("strace", "-f", "-ttt", "-e", "trace=fsync,fdatasync", "-o", str(trace))
    result = outcome("steadily", tmp_path, 4, before=tracer)
    assert result["messages"] == 200
    times = [float(line.split()[1]) for line in trace.read_text().splitlines() if "sync(" in line]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    late = (
        2 * result["longest pause"]
    )  # of 20 ms between messages: how late a traced process is on this machine
    assert max(gaps) < 1.2 + late
    assert times[-1] - times[0] > 3


def test_fault_27_a_copy_of_the_stopped_writers_files_is_whole(tmp_path, live):
    halt(live.pid)
    copies = tmp_path / "copies"
    copies.mkdir()
    for file in (tmp_path / "live.tes", wal_path(tmp_path / "live.tes")):
        shutil.copy(file, copies)
    os.kill(live.pid, signal.SIGKILL)
    acks = acknowledged(live)
    with sqlite3.connect(copies / "live.tes") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    found = read_all(copies / "live.tes")
    for name in SOURCES:
        assert sum(message.source == name for message in found) >= acks[name]
    assert found == [numbered(number, size=500) for number in range(len(found))]


def can_mount() -> bool:
    probe = ["unshare", *namespace(), "true"]
    return (
        shutil.which("unshare") is not None
        and not subprocess.run(probe, capture_output=True, check=False).returncode
    )


def namespace() -> tuple[str, ...]:
    return ("-m",) if os.geteuid() == 0 else ("-rm",)


@pytest.mark.skipif(not can_mount(), reason="this system lets nobody mount a small disk")
def test_fault_28_29_a_full_disk_pauses_the_recording_and_space_resumes_it(tmp_path):
    result = on_small_disk("disk_full", tmp_path, "1m")
    assert result["states"] == ["DISK FULL", "RECORDING", "STOPPED"]
    assert "is full: what was recorded is safe. Free some space there" in result["text"]
    assert result["readable while full"]
    assert result["seconds to resume"] < 5
    assert result["all accepted are there"]
    assert result["gaps"] == [[None, result["lost"]]]
    assert result["put"] == result["found"] + result["lost"]


def on_small_disk(what: str, folder: Path, size: str, *arguments: int):
    mount = f'mount -t tmpfs -o size={size} tmpfs "$0" && exec "$@"'
    before = ("unshare", *namespace(), "sh", "-c", mount, str(folder))
    return outcome(what, folder, *arguments, before=before)


@pytest.mark.skipif(not can_mount(), reason="this system lets nobody mount a small disk")
@pytest.mark.parametrize("seed", range(6))
def test_fault_28_what_a_full_disk_costs_at_the_end_is_in_a_gap(tmp_path, seed):
    result = on_small_disk("stop_when_full", tmp_path, "3m", seed)
    assert result["right"]
    assert result["put"] == result["found"] + result["lost"]
    assert result["missing in gaps"] == result["lost"]
    assert result["gaps hold them"]
    assert result["seconds"] < 10
    code, sentences = result["check"]
    assert (code, len(sentences)) == (0, 1)
    assert "Nobody ended" not in sentences[0]
    assert result["lost"] == 0 or f"{result['lost']:,} messages could not be kept" in result["text"]


@pytest.mark.skipif(not can_mount(), reason="this system lets nobody mount a small disk")
def test_fault_28_a_wholly_full_disk_is_a_sentence_and_leaves_nothing(tmp_path):
    result = on_small_disk("wholly_full", tmp_path, "1m")
    assert len(result["said"]) == 2
    for sentence in result["said"]:
        assert "the disk is full. Free some space there, or record elsewhere." in sentence
    assert (result["leaked"], result["left"], result["messages"]) == (0, ["filler"], 1)


@pytest.mark.skipif(not can_mount(), reason="this system lets nobody mount a small disk")
def test_fault_28_a_first_commit_that_fits_into_the_log_alone_is_written_once(tmp_path):
    result = on_small_disk("first_commit", tmp_path, "2m")
    assert set(result.values()) == {3}


def test_fault_30_a_failed_commit_is_rolled_back_and_tried_again(tmp_path):
    result = outcome("write_error", tmp_path)
    assert result["states"] == ["WRITE ERROR", "RECORDING", "STOPPED"]
    assert "Writing limited.tes failed" in result["text"]
    assert result["prefix exact"]
    assert result["whole"]
    assert result["seconds to resume"] < 5
    assert result["gaps"] == [0], "one record of the outage, which cost nothing"


def test_fault_31_a_log_left_behind_is_read_with_or_without_its_index(tmp_path, live):
    live.kill()
    acks = acknowledged(live)
    path = tmp_path / "live.tes"
    expected = read_all(path)
    for name in SOURCES:
        assert sum(message.source == name for message in expected) >= acks[name]
    index = path.with_name("live.tes-shm")
    for spoil in (lambda: index.unlink(missing_ok=True), lambda: index.write_bytes(os.urandom(32768))):
        spoil()
        assert read_all(path) == expected
    assert check(path).exit_code == 0
    with SessionFile.open(path) as session:
        assert "its process was killed" in session.info().ending
        assert session.recording_pid is None


def test_fault_31_an_interrupted_checkpoint_loses_nothing(tmp_path, live):
    live.kill()
    live.wait()
    path = tmp_path / "live.tes"
    expected = read_all(path)
    log = wal_path(path).read_bytes()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    connection.close()
    whole = path.read_bytes()
    for part in (4096, len(whole) // 2 // 4096 * 4096, len(whole)):  # so far the checkpoint had come
        torn = tmp_path / f"{part}.tes"
        torn.write_bytes(whole[:part])
        wal_path(torn).write_bytes(log)
        assert read_all(torn) == expected


@pytest.mark.alone
def test_fault_33_a_second_writer_is_refused_and_reported_whose_it_is(tmp_path):
    path = tmp_path / "one.tes"
    with Recorder(path) as recorder:
        result = outcome("second", tmp_path)
        assert f"is being recorded by process {os.getpid()} already" in result["error"]
        assert result["seconds"] < busy(0.5)
        with pytest.raises(SessionError, match=rf"by this process \(pid {os.getpid()}\) already"):
            Recorder(path)
        assert recorder.put(numbered(0))
        assert owner_of(path) == os.getpid()
    assert owner_of(path) is None
    assert len(read_all(path)) == 1


def test_fault_33_the_lock_dies_with_its_process(tmp_path, live):
    path = tmp_path / "live.tes"
    assert owner_of(path) == live.pid
    with pytest.raises(SessionError, match=f"process {live.pid} already"):
        WriterLock(path)
    live.kill()
    live.wait()
    assert owner_of(path) is None
    assert lock_path(path).exists()
    WriterLock(path).release()
    assert not lock_path(path).exists()


@pytest.mark.alone
def test_fault_35_a_removed_folder_is_noticed_and_when_it_is_back_so_is_the_recording(tmp_path):
    result = outcome("folder_removed", tmp_path)
    assert result["states"] == ["FILE REMOVED", "RECORDING", "STOPPED"]
    assert "was removed: make it again and the recording returns there, whole" in result["text"]
    assert result["seconds to notice"] < 1
    assert result["seconds to resume"] < 5
    assert result["whole"]
    assert result["files"] == ["gone.tes"]


@pytest.mark.parametrize("how", ["remove", "move", "log"])
def test_fault_35_a_file_taken_from_under_the_recorder_is_written_again_whole(tmp_path, how):
    path = tmp_path / "a.tes"
    with Recorder(path, size_limit=ROOMY) as recorder:
        for number in range(50):
            recorder.put(numbered(number))
        eventually(lambda: recorder.messages == 50)
        if how == "remove":
            path.unlink()
        elif how == "move":
            path.rename(tmp_path / "elsewhere.tes")
        else:
            wal_path(path).unlink()
        time.sleep(0.3)
        for number in range(50, 60):
            recorder.put(numbered(number))
        eventually(lambda: recorder.messages == 60)
        assert recorder.state is RecorderState.RECORDING
    assert read_all(path) == [numbered(number) for number in range(60)]
    assert sorted(each.name for each in tmp_path.iterdir() if "elsewhere" not in each.name) == ["a.tes"]


def test_fault_35_another_file_of_that_name_is_never_overwritten(tmp_path):
    path = tmp_path / "a.tes"
    with Recorder(path) as recorder:
        recorder.put(numbered(0))
        eventually(lambda: recorder.messages == 1)
        path.rename(tmp_path / "moved.tes")
        path.write_text("somebody else's")
        eventually(lambda: recorder.state is RecorderState.FILE_REMOVED)
        assert "Another file has taken the name a.tes" in recorder.text
        assert path.read_text() == "somebody else's"
        path.unlink()
        eventually(lambda: recorder.state is RecorderState.RECORDING)
    assert read_all(path) == [numbered(0)]


def test_fault_35_a_folder_without_permission_is_a_sentence(tmp_path):
    if os.geteuid() == 0:
        folder = Path("/proc/sys")  # a place where not even root may make files
    else:
        folder = tmp_path / "locked"
        folder.mkdir(mode=0o555)
    with pytest.raises(SessionError, match="choose a folder that you may write to"):
        Recorder(folder / "a.tes", size_limit=ROOMY)


@pytest.mark.parametrize("kind", ["symlink", "hard link", "file", "folder", "pipe"])
def test_fault_33_a_lock_that_is_not_ours_is_never_touched(tmp_path, kind):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    place = lock_path(tmp_path / "a.tes")
    if kind == "symlink":
        place.symlink_to(precious)
    elif kind == "hard link":
        place.hardlink_to(precious)
    elif kind == "file":
        place.write_text("precious")
    elif kind == "folder":
        place.mkdir()
    else:
        os.mkfifo(place)
    with pytest.raises(SessionError, match=r"is there and is no lock of a recording\. Move it away"):
        Recorder(tmp_path / "a.tes")
    assert owner_of(tmp_path / "a.tes") is None
    assert precious.read_text() == "precious"
    assert kind != "file" or place.read_text() == "precious"
    assert not (tmp_path / "a.tes").exists()


def test_a_lock_that_a_killed_recorder_left_is_taken_over(tmp_path):
    for text in ("", "12345\n", "12345\n" + "\0" * 1000):
        lock_path(tmp_path / "a.tes").write_text(text)
        with Recorder(tmp_path / "a.tes", overwrite=True) as recorder:
            recorder.put(numbered(0))
        assert recorder.messages == 1


READ_ONLY = """
import sys
from pathlib import Path
from tes_nb.errors import SessionError
from tes_nb.store.session.recorder import Recorder
try:
    Recorder(Path(sys.argv[1]))
except SessionError as error:
    print(error)
"""


def test_fault_35_a_folder_that_has_become_read_only_leaves_no_lock(tmp_path):
    program = [sys.executable, "-c", READ_ONLY, str(tmp_path / "a.tes")]
    if os.geteuid() == 0:  # who may write everywhere, but for where nobody may
        mounted = 'mount -t tmpfs -o ro tmpfs "$0" && exec "$@"'
        alone = ["unshare", "-m", "sh", "-c"]
        if shutil.which("unshare") is None or subprocess.run([*alone, mounted, tmp_path, "true"]).returncode:
            pytest.skip("this system lets nobody mount a folder that is read-only")
        program = [*alone, mounted, str(tmp_path), *program]
    tmp_path.chmod(0o555)
    try:
        done = subprocess.run(program, capture_output=True, text=True, timeout=30)
    finally:
        tmp_path.chmod(0o755)
    assert "choose a folder that you may write to" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_fault_35_a_file_system_without_locks_is_a_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    """As on a network folder whose server does not lock; there is none here."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "lockf", refuse)
    with pytest.raises(SessionError, match="the file system of its folder has no locks"):
        Recorder(tmp_path / "a.tes")
    assert list(tmp_path.iterdir()) == []


def test_fault_38_a_session_and_all_beside_it_are_its_owners_alone(tmp_path):
    mask = os.umask(0o022)
    try:
        with Recorder(tmp_path / "a.tes") as recorder:
            recorder.put(numbered(0))
            eventually(lambda: recorder.messages == 1)
            files = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
            assert files == dict.fromkeys(("a.tes", "a.tes-wal", "a.tes-shm", "a.tes.lock"), 0o600)
    finally:
        os.umask(mask)
    assert (tmp_path / "a.tes").stat().st_mode & 0o777 == 0o600


def test_fault_35_a_link_that_leads_nowhere_yet_is_recorded_where_it_leads(tmp_path):
    (tmp_path / "link.tes").symlink_to(tmp_path / "there" / "a.tes")
    states: list[str] = []
    with Recorder(tmp_path / "link.tes", on_state=lambda status: states.append(status.state)) as recorder:
        recorder.put(numbered(0))
        eventually(lambda: recorder.messages == 1)
        time.sleep(0.6)  # twice the time after which the file's place is looked at
        assert states == []
        assert read_all(tmp_path / "link.tes") == [numbered(0)]
    assert read_all(tmp_path / "there" / "a.tes") == [numbered(0)]
    assert check(tmp_path / "link.tes").exit_code == 0


def test_a_log_that_somebody_holds_back_counts_in_the_size_limit(tmp_path):
    path = tmp_path / "a.tes"
    with Recorder(path, size_limit=4_000_000) as recorder:
        recorder.put(numbered(0, size=1000))
        eventually(lambda: recorder.messages == 1)
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM messages_1").fetchone() == (1,)
            number = 1
            while recorder.state is RecorderState.RECORDING:
                recorder.put(numbered(number, source="metrics", size=100))
                number += 1
                time.sleep(0.002)
            eventually(lambda: recorder.state is RecorderState.STOPPED)
            assert path.stat().st_size + wal_path(path).stat().st_size < 4_400_000
            assert recorder.size < 2_000_000
    assert "reached its size limit of 4.0 MB" in recorder.text


def test_what_no_file_can_hold_is_in_a_gap(tmp_path):
    with Recorder(tmp_path / "a.tes", size_limit=ROOMY) as recorder:
        recorder.put(numbered(0, source="metrics"))
        recorder.put(msgspec.structs.replace(numbered(1, source="metrics"), seq=2**64))
        eventually(lambda: recorder.lost == 1)
        recorder.put(numbered(2, source="metrics"))
    with SessionFile.open(tmp_path / "a.tes") as session:
        (gap,) = session.gaps
        assert (gap.gap.missing, gap.gap.lost_at_ns) == (1, numbered(1).t_wall_ns)
        assert gap.gap.back_at_ns == numbered(2).t_wall_ns
        assert "no session file can hold them: 1 messages could not be kept (metrics 1)" in gap.gap.cause
