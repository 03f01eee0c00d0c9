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


@pytest.mark.parametrize("formulas", ["neutralise", "keep"])
@given(given_rows=st.lists(rows, max_size=8))
@settings(max_examples=60)
def test_every_frame_comes_back(formulas, given_rows):
    columns = filled(EVERY_DTYPE, given_rows)
    back = through_a_folder(columns, formulas=formulas)
    assert_frame_equal(back, frame(columns), check_exact=True)
    assert back.attrs == frame(columns).attrs


AWKWARD = ["", None, "'", "''", '"', '""', 'a,"",b', ',"', '",', "a\nb", "\r\n", "\n", " ", "NA", "\0", "a\0b",
           "\u2400", "\ue000", "\ue000\ue000", "\ue001", "=1+1", ";=1", '"";""']  # fmt: skip


@pytest.mark.parametrize("formulas", ["neutralise", "keep"])
def test_awkward_texts_come_back_each_beside_each(formulas):
    given_rows = [(1.0, 1, 1, True, one, other, 1) for one in AWKWARD for other in AWKWARD]
    columns = filled(EVERY_DTYPE, given_rows)
    back = through_a_folder(columns, formulas=formulas)
    assert_frame_equal(back, frame(columns), check_exact=True)
    assert back["name"].iloc[:: len(AWKWARD)].isna().tolist() == [text is None for text in AWKWARD]


@pytest.mark.parametrize("formulas", ["neutralise", "keep"])
def test_an_empty_text_is_an_empty_cell_that_pandas_alone_cannot_tell_from_none(tmp_path, formulas):
    columns = filled(EVERY_DTYPE, [(1.0, 1, 1, True, "", None, 1), (1.0, 1, 1, True, "'", "", 1)])
    write_folder(
        tmp_path, [TableExport("probe", "test", EVERY_DTYPE, [columns.snapshot()])], formulas=formulas
    )
    lines = (tmp_path / "probe.csv").read_text(encoding="utf-8").splitlines()
    assert ',True,"",,1970' in lines[1]
    apostrophe = {"neutralise": "''", "keep": "'"}[formulas]
    assert f',True,{apostrophe},"",1970' in lines[2]
    alone = pd.read_csv(tmp_path / "probe.csv", **read_csv_options(EVERY_DTYPE))
    assert alone["name"].isna().tolist() == [True, False]
    assert alone["state"].isna().tolist() == [True, True]
    rule = json.loads((tmp_path / "datapackage.json").read_text(encoding="utf-8"))["rule"]
    assert 'The empty text is "", an absent value nothing between the commas' in rule


def test_a_file_of_0_1_0_with_lone_apostrophes_for_empty_texts_comes_back(tmp_path):
    columns = filled(EVERY_DTYPE, [(1.0, 1, 1, True, "", None, 1), (1.0, 1, 1, True, "'", "", 1)])
    write_folder(tmp_path, [TableExport("probe", "test", EVERY_DTYPE, [columns.snapshot()])])
    file = tmp_path / "probe.csv"
    file.write_text(file.read_text(encoding="utf-8").replace('""', "'"), encoding="utf-8")
    assert_frame_equal(read_folder(tmp_path)["probe"], frame(columns))


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
