"""CSV files come back as the frames they came from."""

import json
import tempfile

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from tes_nb.errors import ArgumentError
from tes_nb.model import Column, Table
from tes_nb.store.export.export import TableExport, write_csv, write_folder
from tes_nb.store.export.restore import read_csv_options, read_folder
from tes_nb.store.memory.columns import Columns
from tes_nb.store.memory.frames import frame
from tests.support.rows import EVERY_DTYPE, NOON, NUMBERS, filled, number_rows, rows

KEYED = Table("workers", "", (Column("id", "str", "", "label", ""), *NUMBERS.columns), key=("id",))


def through_a_folder(columns: Columns, **options):
    snapshot = columns.snapshot()
    with tempfile.TemporaryDirectory() as folder:
        write_folder(folder, [TableExport("probe", "test", columns.table, [snapshot])], **options)
        return read_folder(folder)["probe"]


@given(st.lists(rows, max_size=8))
@settings(max_examples=60)
def test_every_frame_comes_back(given_rows):
    columns = filled(EVERY_DTYPE, given_rows)
    back = through_a_folder(columns)
    assert_frame_equal(back, frame(columns), check_exact=True)
    assert back.attrs == frame(columns).attrs


@given(st.lists(rows, max_size=8))
@settings(max_examples=40)
def test_keeping_formulas_every_frame_comes_back_but_for_the_empty_text(given_rows):
    """NUL is left out too: pandas before 3.1 ends a text there."""
    plain = [
        tuple((v.replace("\0", "") or None) if isinstance(v, str) else v for v in row) for row in given_rows
    ]
    columns = filled(EVERY_DTYPE, plain)
    assert_frame_equal(through_a_folder(columns, formulas="keep"), frame(columns), check_exact=True)


def test_an_empty_text_is_absent_after_keeping_formulas():
    columns = filled(EVERY_DTYPE, [(1.0, 1, 1, True, "", "", 1)])
    assert through_a_folder(columns, formulas="keep")[["name", "state"]].isna().all(axis=None)
    assert through_a_folder(columns)[["name", "state"]].eq("").all(axis=None)


def test_units_key_and_order_come_back():
    columns = Columns(KEYED, stream="test")
    for seq, at in enumerate([5, 3, 5]):
        columns.append([(f"w{seq}", 0.5, seq)], time_ns=NOON + at, seq=seq, source="s")
    back = through_a_folder(columns)
    assert_frame_equal(back, frame(columns))
    assert (
        back.attrs
        == frame(columns).attrs
        == {"stream": "test", "table": "workers", "units": {}, "key": ["id"]}
    )


def test_what_comes_back_may_be_changed():
    back = through_a_folder(filled(EVERY_DTYPE, [(1.0, 1, 1, True, "a", "b", 1)] * 2))
    for name, value in {
        "load": 2.0,
        "ticks": 9,
        "rss": 9,
        "alive": False,
        "name": "new",
        "state": "b",
    }.items():
        back.iloc[0, back.columns.get_loc(name)] = value
        assert back[name].iloc[0] == value


@pytest.mark.parametrize("count", [0, 3])
def test_the_options_restore_a_file_without_its_description(tmp_path, count):
    given_rows = [(1.5, 1, None, True, "NA", "idle", NOON), (None, 2, 2**60 + 1, None, "007", None, None)][
        :count
    ]
    columns = filled(EVERY_DTYPE, given_rows)
    write_csv(tmp_path / "probe.csv", EVERY_DTYPE, [columns.snapshot()])
    back = pd.read_csv(tmp_path / "probe.csv", **read_csv_options(EVERY_DTYPE))
    if count:
        assert_frame_equal(back, frame(columns).astype({"source": "str", "state": "str"}))
    else:
        assert back.columns.tolist() == frame(columns).columns.tolist()


def test_numbers_come_back_to_the_last_bit(tmp_path):
    awkward = [5e-324, 1.7976931348623157e308, 0.1 + 0.2, 1 / 3, 2.2250738585072011e-308, 123456789.12345678]
    columns = filled(NUMBERS, [(x, -(2**63) + n) for n, x in enumerate(awkward)])
    write_csv(tmp_path / "x.csv", NUMBERS, [columns.snapshot()])
    back = pd.read_csv(tmp_path / "x.csv", **read_csv_options(NUMBERS))
    assert back["x"].tolist() == awkward
    assert back["n"].tolist() == [-(2**63) + n for n in range(len(awkward))]


def test_folders_of_other_kinds_get_a_sentence(tmp_path):
    with pytest.raises(ArgumentError, match="is no folder of exported tables"):
        read_folder(tmp_path)
    with pytest.raises(ArgumentError, match="is no folder of exported tables"):
        read_folder(tmp_path / "nowhere")
    for text in ("{", "[]", "{}", '{"resources": []}', "\x00", "[" * 100_000):
        (tmp_path / "datapackage.json").write_text(text, encoding="utf-8")
        with pytest.raises(ArgumentError, match="was not written by tes_nb"):
            read_folder(tmp_path)


def spoiled(folder, **changes):
    """Change the description of the first file."""
    path = folder / "datapackage.json"
    package = json.loads(path.read_text(encoding="utf-8"))
    package["resources"][0] |= changes
    path.write_text(json.dumps(package), encoding="utf-8")


@pytest.mark.parametrize(
    "path", ["../x.csv", "/etc/passwd", "a/b.csv", "..\\x.csv", ".hidden.csv", "c:x.csv", "x.txt"]
)
def test_a_description_cannot_name_files_elsewhere(tmp_path, path):
    write_folder(tmp_path, [TableExport("x", "test", NUMBERS, [])])
    spoiled(tmp_path, path=path)
    with pytest.raises(ArgumentError, match="outside its folder"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("x,n", "x,m"),
        lambda text: text.replace(",0.5,", ",half,"),
        lambda text: text.replace("2026-01-01T12", "yesterday"),
        lambda text: text.replace(",1\n", ",\n"),
        lambda text: "",
        lambda text: '"' + text,
    ],
)
def test_files_that_were_changed_get_a_sentence(tmp_path, spoil):
    write_folder(tmp_path, [TableExport("x", "test", NUMBERS, [filled(NUMBERS, number_rows(4)).snapshot()])])
    file = tmp_path / "x.csv"
    file.write_text(spoil(file.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ArgumentError, match=r"x\.csv' is not what datapackage.json says"):
        read_folder(tmp_path)


def test_a_missing_file_gets_a_sentence(tmp_path):
    write_folder(tmp_path, [TableExport("x", "test", NUMBERS, [])])
    (tmp_path / "x.csv").unlink()
    with pytest.raises(ArgumentError, match=r"x\.csv' is not what datapackage.json says"):
        read_folder(tmp_path)
