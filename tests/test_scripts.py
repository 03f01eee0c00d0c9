"""The long measurements in short: the scripts that kill, and that grow, recordings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def ran(script: str, *arguments: str) -> str:
    command = [sys.executable, f"scripts/{script}.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(180)
def test_fault_26_a_collector_killed_under_load_leaves_all_that_was_acknowledged(tmp_path):
    options = ["--seconds", "6", "--rate", "3000", "--feeds", "1", "--rounds", "1", "--every", "1"]
    said = ran("kill_recording", *options, "--folder", str(tmp_path))
    assert "is whole" in said
    assert "1 of 1 rounds left nothing unexplained." in said


@pytest.mark.timeout(180)
def test_every_value_of_a_large_session_comes_back_from_its_export():
    said = ran("large_session", "--megabytes", "4", "--record", "2")
    assert "0 tables differ" in said
