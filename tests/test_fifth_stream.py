"""The promise of CONTRIBUTING.md: a stream is one file and one name."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

CHECK = """
import tes_nb as tes
with tes.start(ports=(0, 0)) as s:
    s.uptime.wait(rows=2, timeout=20)
    frame = s.uptime.frame()
    assert list(frame.columns) == ["sent_at", "seq", "conn", "source", "seconds"], list(frame.columns)
    assert frame["seconds"].is_monotonic_increasing and frame.attrs["units"]["seconds"] == "s"
    assert s.uptime.figure().data
    files = sorted(path.name for path in s.to_csv(FOLDER, progress=False).folder.iterdir())
    assert "uptime.csv" in files, files
print("fifth stream ok")
"""


@pytest.mark.timeout(90)
def test_the_block_in_contributing_is_a_whole_stream(tmp_path: Path):
    package = tmp_path / "tes_nb"
    shutil.copytree(ROOT / "tes_nb", package, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    block = re.search(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert block is not None
    (package / "streams" / "uptime.py").write_text(block[1])
    names = package / "streams" / "__init__.py"
    listed = names.read_text()
    assert '"metrics", ' in listed
    names.write_text(listed.replace('"metrics", ', '"metrics", "uptime", ', 1))

    code = CHECK.replace("FOLDER", repr(str(tmp_path / "csv")))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=clean_environment(tmp_path),
    )
    assert "fifth stream ok" in done.stdout, done.stderr


def clean_environment(folder: Path) -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(folder)}
