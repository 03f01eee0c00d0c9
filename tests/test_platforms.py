"""A system without POSIX: what needs none works, what needs one says so in a sentence.

There is none here, so it is taken away: the modules that Windows lacks cannot be imported, the functions are gone.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

WITHOUT = """
import os, sys
sys.argv = ["tes-nb", *sys.argv[1:]]
import asyncio, multiprocessing.process, selectors, shutil, subprocess, tempfile  # as they are there, too
import psutil  # it has another inside for each system
for name in ("fcntl", "resource", "termios", "pwd", "grp", "pty", "tty"):
    sys.modules[name] = None
for name in (
    "fork", "getuid", "geteuid", "pidfd_open", "pread", "preadv", "pwrite", "register_at_fork", "sched_getaffinity",
    "statvfs", "sysconf", "waitid", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "P_ALL", "P_PID", "P_PIDFD",
):
    if hasattr(os, name):
        delattr(os, name)
"""


def without_posix(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT + textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=ROOT,
    )


def test_what_needs_no_posix_works_without_it(tmp_path):
    done = without_posix(
        """
        from pathlib import Path
        import tes_nb as tes
        folder = Path(sys.argv[1])
        with tes.open("tests/data/old/tes.tes") as s:
            assert len(s.metrics.frame()) > 0
            assert s.info().messages > 0
            s.report(folder / "report.html")
            assert s.to_csv(folder / "csv", progress=False).folder.is_dir()
            assert s.to_har(folder / "out.har") > 0
        assert len(tes.read_csv(folder / "csv")["metrics"]) > 0
        with tes.open(folder / "out.har") as har:
            assert sum(len(feed.frame()) for feed in har.feeds.values()) > 0
        with tes.open("tests/data/devtools.har") as har:
            assert har.feeds
        assert tes.sessions() == tes.recordings() == []
        from tes_nb.analysis import steam
        print("all")
        """,
        str(tmp_path),
    )
    assert done.stdout == "all\n", done.stderr


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("tes.start()", "A collector needs Linux or macOS (on Windows: WSL)"),
        ('tes.start(isolation="thread")', "A collector needs Linux or macOS"),
        ('tes.attach("localhost")', "A collector needs Linux or macOS"),
        ('tes.replay("tests/data/old/tes.tes")', "A collector needs Linux or macOS"),
    ],
)
def test_what_needs_posix_says_so(call, sentence):
    done = without_posix(
        f"""
        import tes_nb as tes
        try:
            {call}
        except tes.TesError as error:
            print(error)
        """
    )
    assert done.stdout.startswith(sentence), done.stderr
    assert "tes.open(), frames, exports" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("check", "tests/data/old/tes.tes"), 0, ""),
        (("recordings",), 0, "Nothing is recorded now."),
        (("serve", "--port", "0"), 1, "A collector needs Linux or macOS"),
    ],
)
def test_the_command_line_without_posix(arguments, code, sentence):
    done = without_posix("from tes_nb.cli import main; sys.exit(main())", *arguments)
    assert done.returncode == code, done.stderr
    assert sentence in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
