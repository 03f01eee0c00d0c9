"""Where nothing is as usual: the ports taken, no runtime folder, a home that is read-only, a full temporary folder."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support import foreign

ROOT = Path(__file__).resolve().parents[2]
MOUNTS = """
mount -t tmpfs -o size=1m,mode=0700 tmpfs "$TMPDIR" && mount -t tmpfs -o ro,size=1m tmpfs "$HOME" &&
! cat /dev/zero > "$TMPDIR/filler" 2>/dev/null && ! { echo x > "$TMPDIR/x"; } 2>/dev/null &&
! touch "$HOME/x" 2>/dev/null &&
ip link set lo up && exec "$@"
"""
"""No shell word is quoted by hand: what comes after it is the command."""


def namespace() -> list[str]:
    return ["unshare", "-mn" if os.geteuid() == 0 else "-rmn"]


def in_hard_place(folder: Path, *command: str, timeout: float = 90) -> subprocess.CompletedProcess[str]:
    """Run it with foreign programs on ports 3002-3005, HOME read-only, TMPDIR full and no XDG_RUNTIME_DIR."""
    probe = [*namespace(), "sh", "-c", "ip link set lo up"]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here: unshare is not allowed")
    for name in ("tmp", "home"):
        (folder / name).mkdir()
    env = {
        key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "JUPYTER_", "IPYTHON"))
    }
    env |= {
        "TMPDIR": str(folder / "tmp"),
        "HOME": str(folder / "home"),
        "TES_SESSION_DIR": str(folder / "sessions"),
    }
    words = [*namespace(), "sh", "-c", MOUNTS, "sh", sys.executable, "-m", foreign.__name__, *command]
    return subprocess.run(
        words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout, check=False
    )


@pytest.mark.timeout(120)
def test_fault_88_sessions_start_attach_and_record(tmp_path):
    code = """
        import tes_nb as tes
        with tes.start() as session:
            assert not {3002, 3003} & set(session.ports), session.ports
            with tes.attach(f"localhost:{session.ports[0]}", workers=f"localhost:{session.ports[1]}") as other:
                other.metrics.wait(rows=2, timeout=20)
            recording = session.record("hard")
            session.metrics.wait(rows=4, timeout=20)
            recording.stop()
        with tes.open(recording.path) as opened:
            print("rows:", len(opened.metrics.frame()))
    """
    done = in_hard_place(tmp_path, sys.executable, "-W", "error", "-c", textwrap.dedent(code))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ports 3002 and 3003 are in use by another program" in done.stdout
    assert int(done.stdout.rpartition("rows:")[2]) >= 1


@pytest.mark.timeout(120)
def test_fault_88_the_demo_works(tmp_path):
    code = "from tes_nb.cli import main; main()"
    words = ("demo", "--seconds", "3", "--out", str(tmp_path / "out"))
    done = in_hard_place(tmp_path, sys.executable, "-W", "error", "-c", code, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


@pytest.mark.timeout(120)
def test_fault_88_what_sits_on_the_usual_ports_is_no_tes(tmp_path):
    """`attach()` without an address finds something foreign: no rows, an open gap, and the state says what it saw."""
    code = """
        import time
        import tes_nb as tes
        with tes.attach() as session:
            feeds = [feed for feed in session.feeds.values() if feed.name != "kernel"]
            deadline = time.monotonic() + 30
            while not all(len(feed.gaps) for feed in feeds) and time.monotonic() < deadline:
                time.sleep(0.1)
            print(*((feed.name, feed.rows, len(feed.gaps), str(feed.state)) for feed in feeds), sep="\\n")
    """
    done = in_hard_place(tmp_path, sys.executable, "-W", "error", "-c", textwrap.dedent(code))
    assert done.returncode == 0, done.stdout + done.stderr
    feeds = [ast.literal_eval(line) for line in done.stdout.splitlines()]
    assert sorted(name for name, *_ in feeds) == ["metrics", "status", "workers"]
    for name, rows, gaps, state in feeds:
        assert (rows, gaps) == (0, 1), name
        assert re.match("WAITING|CONNECTING|LOST|STALE", state), (name, state)
