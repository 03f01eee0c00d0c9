"""docs/architecture.md is true: each hop of its two lists is a function that exists, and there are not too many."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
HOP = re.compile(r"^\d+\. `(tes_nb/[\w/]+\.py)` `([\w.]+)`", re.MULTILINE)
LISTS = {"The way of a metrics message": 22, "The way of a NowGoal frame": 18}
"""Heading → how many hops there may be: what a message passes costs time, and everybody who reads."""


def hops(heading):
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    assert len(HOP.findall(section)) == len(re.findall(r"^\d+\. ", section, re.MULTILINE)), (
        "a hop without a function"
    )
    return HOP.findall(section)


def functions(path):
    """The functions of a module, those of classes as Class.function."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{node.name}.{inner.name}"


@pytest.mark.parametrize("heading", LISTS)
def test_a_message_takes_the_short_way(heading):
    assert 10 <= len(hops(heading)) <= LISTS[heading]


@pytest.mark.parametrize(
    ("file", "function"), sorted({hop for heading in LISTS for hop in hops(heading)}), ids=lambda text: text
)
def test_each_hop_is_a_function_of_that_file(file, function):
    assert function in set(functions(ROOT / file))


def test_every_name_in_the_page_exists():
    for path in re.findall(r"`(tes_nb/[\w/.]+)`", PAGE):
        assert (ROOT / path).exists(), path
    source = "".join(path.read_text() for path in ROOT.glob("tes_nb/**/*.py"))
    for name in re.findall(r"`([A-Z]\w+)(?:\.\w+)?`", PAGE):
        assert re.search(rf"\b{name}\b", source), name


def test_the_rooms_are_all_there():
    rooms = {path.parent.name for path in (ROOT / "tes_nb").glob("*/__init__.py")}
    for room in rooms:
        assert re.search(rf"`{room}`|\b{room}\b", PAGE), room
