"""Docs are true: tables come from the descriptions, links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def test_tables_follow_from_the_descriptions():
    done = subprocess.run(
        [sys.executable, "scripts/make_docs.py", "--check"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, f"run python scripts/make_docs.py: {done.stdout}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


PATH = re.compile(r"`((?:tes_nb|tests|scripts|docs|benchmarks|notebooks)/[\w./-]+)`")
NAME = re.compile(r"`([A-Z][a-z]\w*)\.(\w+)(?:\(\))?`")
"""`Class.member`, of ours or of a library."""
LIBRARIES = {"FigureWidget", "DataFrame", "Timestamp", "Process"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_exists(page: Path):
    text = page.read_text()
    if page.name == "CHANGELOG.md":
        return  # it tells what was, too
    for path in PATH.findall(text):
        if "<" not in path and not (page.name == "CONTRIBUTING.md" and "uptime" in path):
            assert (ROOT / path).exists(), path
    source = "".join(path.read_text() for path in ROOT.glob("tes_nb/**/*.py"))
    for name, member in NAME.findall(text):
        if name not in LIBRARIES:
            assert re.search(rf"\bclass {name}\b", source), name
            assert re.search(rf"\b{member}\b", source), f"{name}.{member}"


def test_each_cell_of_the_hosts_table_says_once_how_we_know_and_by_which_test():
    text = (ROOT / "docs" / "hosts.md").read_text()
    table = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    assert len(table) >= 11
    for host, *cells in table[1:]:
        for cell in cells:
            words = re.findall(r"tested in CI \(\d\)|tried by hand|read, not tried", cell)
            assert len(words) == 1, (host, cell)
    notes = dict(re.findall(r"^(\d)\. (.*)$", text, re.MULTILINE))
    assert set(re.findall(r"tested in CI \((\d)\)", text)) == set(notes)
    for note in notes.values():
        files = [(ROOT / path).read_text() for path in PATH.findall(note)]
        assert files, note
        assert all(f"def {name}(" in "".join(files) for name in re.findall(r"`(test_\w+)`", note)), note
