"""A disk that hangs holds up whoever waits for it, and nobody else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("unshare", "fsfreeze", "mkfs.ext4")


def can_freeze(folder: Path) -> bool:
    """Whether a file system of our own can be mounted and frozen here."""
    if os.geteuid() != 0 or not all(map(shutil.which, PROGRAMS)):
        return False
    (folder / "disk").mkdir()
    with (folder / "image").open("wb") as file:
        file.truncate(24 << 20)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", folder / "image"], check=False, capture_output=True)
    probe = [*mounting(folder), "true"]
    return made.returncode == 0 and subprocess.run(probe, check=False, capture_output=True).returncode == 0


def mounting(folder: Path) -> list[str]:
    return ["unshare", "-m", "sh", "-c", 'mount -o loop "$0"/image "$0"/disk && exec "$@"', str(folder)]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_fault_35_a_disk_that_hangs_holds_up_nothing_but_its_recording(tmp_path):
    if not can_freeze(tmp_path):
        pytest.skip("only root can mount a disk and freeze it, and not everywhere")
    command = [*mounting(tmp_path), sys.executable, "-m", "tests.support.hanging", str(tmp_path / "disk")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert "has not answered within 8 s: nothing is recorded" in said["begin"]
    assert 7.5 < said["begin took"] < 11
    assert said["running meanwhile"] == ["other.tes"]
    assert "The disk has not taken the rest of a.tes within 8 s" in said["end"]
    assert 7.5 < said["end took"] < 11
    assert said["found again"] == ["a.tes", "other.tes"]
    assert said["ended"].startswith("Stopped recording a.tes")
    assert (said["check"], said["other"]) == (0, 0)
    assert said["longest silence"] < 2
