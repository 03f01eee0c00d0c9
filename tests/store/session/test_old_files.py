"""Session files written by version 0.1.0 still open, and say the same: their CSV files were exported by it, too."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal

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


def cells(path, empty=""):
    """Column → its texts, `empty` as the empty text; columns that came later do not matter."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return {column: ["" if row[at] == empty else row[at] for row in rows] for at, column in enumerate(header)}


def test_an_old_file_exports_the_same_texts(name, old, tmp_path):
    old.to_csv(tmp_path / "csv")
    files = {path.name for path in (OLD / name).iterdir()}
    written = {path.name for path in (tmp_path / "csv").iterdir()}
    assert written >= files
    assert [
        file for file in written - files if len((tmp_path / "csv" / file).read_text().splitlines()) > 1
    ] == []
    for file in files - {"datapackage.json"}:
        # 0.1.0 wrote the empty text as a lone apostrophe, which people took for a value; now it is `""`
        ours, theirs = cells(tmp_path / "csv" / file), cells(OLD / name / file, empty="'")
        assert list(ours)[: len(theirs)] == list(theirs)
        assert {column: ours[column] for column in theirs} == theirs, file


def test_an_old_export_reads_back_as_the_same_frames(name, old, tmp_path):
    old.to_csv(tmp_path / "csv")
    ours, theirs = tes.read_csv(tmp_path / "csv"), tes.read_csv(OLD / name)
    for table, frame in theirs.items():
        assert_frame_equal(ours[table][list(frame.columns)], frame)


def fields(folder):
    """(file, column, type, unit) of a data package."""
    package = json.loads((folder / "datapackage.json").read_text())
    for resource in package["resources"]:
        for field in resource["schema"]["fields"]:
            yield resource["path"], field["name"], field["type"], field.get("unit")


def test_an_old_file_has_the_same_fields(name, old, tmp_path):
    old.to_csv(tmp_path / "csv")
    assert set(fields(OLD / name)) <= set(fields(tmp_path / "csv"))


def test_marks_and_gaps_of_an_old_file(name, old):
    assert old.marks["label"].tolist() == [{"tes": "halfway", "nowgoal": "goal"}[name]]
    assert old.gaps["cause"].tolist() == {"tes": [], "nowgoal": ["connection reset"]}[name]
