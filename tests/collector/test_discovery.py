"""The discovery file: for this user alone, for live collectors alone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import tes_nb as tes
from tes_nb.collector.discovery import RunningCollector, publish, remove_stale, running, runtime_dir
from tes_nb.collector.lifetime import create_time, own_identity
from tes_nb.collector.options import default_token
from tes_nb.errors import CollectorError
from tests.support.aio import run_async
from tests.support.collectors import TOKEN, collecting


def found(**changes):
    pid, created = own_identity()
    fields = {
        "pid": pid,
        "created": created,
        "status_port": 3002,
        "workers_port": 3003,
        "observed_pid": None,
        "token": TOKEN,
    }
    return RunningCollector(**{**fields, **changes})


def ended_pid():
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_fault_43_the_file_is_readable_by_its_user_alone():
    old = os.umask(0)
    try:
        path = publish(found())
    finally:
        os.umask(old)
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert msgspec.json.decode(path.read_bytes())["token"] == TOKEN


def test_fault_43_a_file_that_lies_in_the_way_is_replaced_not_written_through(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    trap = runtime_dir() / f"collector-{os.getpid()}.json"
    trap.symlink_to(victim)
    assert not publish(found()).is_symlink()
    assert victim.read_text() == "untouched"


@run_async
async def test_fault_43_each_start_has_its_token_and_leaves_no_file():
    tokens = [default_token({}) for _ in range(2)]
    assert tokens[0] != tokens[1]
    assert len(tokens[0]) * 6 >= 128  # 6 bits a character
    for token in tokens:
        async with collecting(token=token) as collector:
            assert collector.discovery_path.exists()
            (only,) = running()
            assert (only.token, only.status_port, only.workers_port) == (token, *collector.ports)
        assert list(running()) == []


def test_fault_38_it_shows_no_token():
    assert TOKEN not in repr(found())
    assert TOKEN not in str(found())


def test_what_is_dead_is_removed():
    dead = ended_pid()
    alive = publish(found())
    stale = publish(found(pid=dead))
    recycled = runtime_dir() / "collector-1.json"
    recycled.write_bytes(
        msgspec.json.encode(found(pid=os.getpid(), created=1.0))
    )  # the pid is another's by now
    garbage = runtime_dir() / "collector-2.json"
    garbage.write_text("half a fi")
    assert [one.pid for one in running()] == [os.getpid()]
    assert alive.exists()
    assert not stale.exists()
    assert not recycled.exists()


def test_logs_of_killed_parents_are_removed():
    folder = runtime_dir()
    dead = folder / f"collector-{ended_pid()}-123.log"
    mine = folder / f"collector-{os.getpid()}-123.log"
    other = folder / "notes.log"
    for path in (dead, mine, other):
        path.write_text("a line")
    remove_stale()
    assert not dead.exists()
    assert mine.exists()
    assert other.exists()


def test_a_runtime_folder_that_cannot_be_used_is_none(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    (tmp_path / "file").write_text("")
    for unusable in (str(tmp_path / "file"), "/proc/nowhere", ""):
        monkeypatch.setenv("XDG_RUNTIME_DIR", unusable)
        assert runtime_dir() == tmp_path / f"tes_nb-{os.getuid()}"


def test_a_folder_that_others_may_read_is_closed(own_runtime_dir):
    own_runtime_dir.mkdir(parents=True)
    own_runtime_dir.chmod(0o777)
    assert mode(runtime_dir()) == 0o700


def test_a_link_in_place_of_the_folder_is_not_followed(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / f"tes_nb-{os.getuid()}").symlink_to(elsewhere)
    with pytest.raises(CollectorError, match="set XDG_RUNTIME_DIR"):
        runtime_dir()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    folder = tmp_path / f"tes_nb-{os.getuid()}"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    with pytest.raises(CollectorError, match="no folder of this user"):
        runtime_dir()
    for act in (tes.recordings, tes.start):
        with pytest.raises(CollectorError, match=r"no folder of this user.*set XDG_RUNTIME_DIR or TMPDIR"):
            act()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "tes_nb", "recordings"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "no folder of this user" in done.stderr
    assert "Traceback" not in done.stderr


def test_create_time_tells_processes_apart():
    assert create_time(os.getpid()) == create_time(os.getpid())
    assert create_time(ended_pid()) is None
    assert create_time(2**22 + 1) is None
    zombie = subprocess.Popen([sys.executable, "-S", "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{zombie.pid}").exists()
    assert create_time(zombie.pid) is None
    zombie.wait()
