"""The project's outside: requirements that agree, public names that stay, rooms that keep their order."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

PUBLIC = [
    "NOWGOAL",
    "SIMULATED",
    "ArgumentError",
    "AuthenticationError",
    "BackgroundError",
    "CollectorError",
    "ConnectionFailed",
    "DecodeError",
    "ExportError",
    "Feed",
    "RecordedSession",
    "Recording",
    "Session",
    "SessionError",
    "TesError",
    "__version__",
    "attach",
    "cluster_frame",
    "compare",
    "copy",
    "nest",
    "open",
    "open_many",
    "options",
    "read_csv",
    "recordings",
    "replay",
    "sessions",
    "start",
    "stop",
]


def normal(requirement: str) -> str:
    return requirement.replace("_", "-").replace(" ", "").lower()


def test_environment_yml_has_the_same_requirements():
    lines = (ROOT / "environment.yml").read_text().splitlines()
    listed = [line.removeprefix("  - ") for line in lines if re.match(r"  - [a-z]", line)]
    packages = {normal(line) for line in listed if not line.startswith(("python=", "pip", "conda-forge"))}
    assert packages == {normal(requirement) for requirement in PROJECT["dependencies"]}
    assert "python=3.12" in listed
    assert "conda-forge" in listed


def test_public_names():
    import tes_nb

    assert tes_nb.__all__ == PUBLIC
    for name in PUBLIC:
        assert getattr(tes_nb, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tes_nb.nothing


def test_version_is_the_distribution_s():
    import tes_nb

    assert tes_nb.__version__ == version("tes-nb")


def test_import_is_lazy_and_silent():
    code = (
        "import sys, tes_nb; "
        "heavy = {'pandas', 'plotly', 'IPython', 'aiohttp', 'nest_asyncio'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def modules(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / "tes_nb" / folder).rglob("*.py"))]


@pytest.mark.parametrize(
    "path", modules("net", "store", "views"), ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_stream_is_named_where_streams_are_only_carried(path: Path):
    from tes_nb.streams import NAMES

    ambiguous = {"status", "kernel"}  # also plain words: an HTTP status, the notebook's kernel
    if path.name == "endpoints.py":
        ambiguous.add("workers")  # one of TES's two ports, as in model.Endpoint
    texts = [
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert not (set(NAMES) - ambiguous) & set(texts)


def test_the_collector_imports_no_data_library():
    code = (
        "import sys, tes_nb.collector.__main__; "
        "heavy = {'pandas', 'plotly', 'ipywidgets', 'IPython', 'numpy'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
