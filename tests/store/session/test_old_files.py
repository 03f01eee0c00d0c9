"""Session files written by version 0.1.0 still open, and say the same: their CSV files were exported by it, too."""

import json
import shutil
from pathlib import Path

import pytest

import tes_nb as tes

OLD = Path(__file__).parents[2] / "data" / "old"
"""`tes.tes` has the four streams of a kernel with a child, a gauge and a mark; `nowgoal.tes` a feed with a gap."""


@pytest.fixture(params=["tes", "nowgoal"])
def name(request):
    return request.param


@pytest.fixture
def old(name, tmp_path):
    shutil.copy(OLD / f"{name}.tes", tmp_path)
    with tes.open(tmp_path / f"{name}.tes") as session:
        yield session


def test_an_old_file_is_whole(name, old):
    assert old.info().messages == {"tes": 34, "nowgoal": 74}[name]
    assert old.damage == ()


def test_an_old_file_exports_the_same_bytes(name, old, tmp_path):
    old.to_csv(tmp_path / "csv")
    files = {path.name for path in (OLD / name).iterdir()}
    assert {path.name for path in (tmp_path / "csv").iterdir()} == files
    for file in files - {"datapackage.json"}:
        assert (tmp_path / "csv" / file).read_bytes() == (OLD / name / file).read_bytes(), file


def test_an_old_file_has_the_same_description(name, old, tmp_path):
    old.to_csv(tmp_path / "csv")
    ours, theirs = (
        json.loads((at / "datapackage.json").read_text()) for at in (tmp_path / "csv", OLD / name)
    )
    for package in (ours, theirs):
        del package["created"], package["tes_nb"]
    assert ours == theirs


def test_marks_and_gaps_of_an_old_file(name, old):
    assert old.marks["label"].tolist() == [{"tes": "halfway", "nowgoal": "goal"}[name]]
    assert old.gaps["cause"].tolist() == {"tes": [], "nowgoal": ["connection reset"]}[name]
