"""How the house is kept: sizes of files, names of things. `docs/architecture.md` shows the rooms."""

import ast
import re
import statistics
from collections import defaultdict
from pathlib import Path

import pytest

import tes_nb

PACKAGE = Path(tes_nb.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted((PACKAGE / "static").glob("*.js"))
FACES = {"__init__.py", "__main__.py", "_version.py"}
"""What a package shows and how it starts: as short as it likes."""
SHORTEST, LONGEST = 60, 420
DIALECT = {"told", "desk", "reel", "leg", "tap", "grant", "honest", "junk", "strikes", "breath"}
"""Words that mean something only to whoever wrote them."""
PARTICIPLES = {"asked", "found", "known", "said"}
"""No names by themselves: a thing is called by what it is."""
ALLOWED = {("simulate", "reel"), ("wire", "XML_ERROR_JUNK_AFTER_DOC_ELEMENT")}
"""An option that is public, and a name of the standard library's."""


def lines(path):
    return len(path.read_text().splitlines())


def name_of(path):
    return str(path.relative_to(PACKAGE))


def names(tree):
    """(name, line) of everything that a module names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.Name):
            yield node.id, node.lineno
        elif isinstance(node, ast.arg | ast.keyword) and node.arg:
            yield node.arg, node.lineno if isinstance(node, ast.arg) else node.value.lineno
        elif isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).rpartition(".")[2], node.lineno


def words(name):
    return {word.lower() for part in name.split("_") for word in re.findall("[A-Z]?[a-z]+|[A-Z]+", part)}


@pytest.mark.parametrize("path", [path for path in MODULES if path.name not in FACES], ids=name_of)
def test_a_module_is_a_concept(path):
    assert SHORTEST <= lines(path) <= LONGEST


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_names_are_words_of_the_field(path):
    room = path.relative_to(PACKAGE).parts[0]
    dialect = {
        f"{name} ({line})"
        for name, line in names(ast.parse(path.read_text()))
        if (words(name) & DIALECT or name.strip("_") in PARTICIPLES) and (room, name) not in ALLOWED
    }
    assert not dialect


def test_a_class_name_means_one_thing():
    homes = defaultdict(list)
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(name_of(path))
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def test_the_whole_is_of_a_size_that_reads_well():
    assert len(MODULES) <= 287
    assert len(SCRIPTS) <= 34
    assert all(lines(path) <= LONGEST for path in SCRIPTS)
    assert 120 <= statistics.median(map(lines, MODULES)) <= 220


def test_no_worker_of_the_collectors_pretends():
    """What is scaled does the user's work; before, there were processes that hashed to look busy."""
    assert [
        name_of(path) for path in MODULES if "collector" in path.parts and "hashlib" in path.read_text()
    ] == []
