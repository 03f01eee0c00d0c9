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
