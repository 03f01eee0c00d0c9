"""Rules of this room that only the source itself can show."""

import ast
from pathlib import Path

import pytest

import tes_nb

ROOT = Path(tes_nb.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_fault_54_no_message_is_ever_without_a_limit(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.keyword) and node.arg in ("max_size", "max_msg_size"):
            unlimited = isinstance(node.value, ast.Constant) and not node.value.value
            assert not unlimited, f"{path}:{node.value.lineno} takes messages of any size"


@pytest.mark.parametrize("path", sorted((ROOT / "net").glob("*.py")), ids=lambda path: path.name)
def test_nothing_here_names_a_stream(path):
    known = {name.stem for name in (ROOT / "streams").glob("*.py")} - {"__init__", "describe"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            assert not node.module.startswith("tes_nb.streams"), node.module
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and path.name != "endpoints.py":
            assert node.value not in known - {"kernel", "status", "workers"}, node.value
