"""Parquet datasets: every value and dtype comes back, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from pyarrow import parquet

from tes_nb.errors import ExportError
from tes_nb.store.export.export import TableExport
from tes_nb.store.export.parquet import write_parquet, write_parquet_file
from tes_nb.store.memory.frames import frame
from tests.support.child import in_child
from tests.support.rows import EVERY_DTYPE, NOON, NUMBERS, SECOND, filled, number_rows

HOUR = 3600 * SECOND


def every(count: int):
    """Rows of every dtype with every kind of absence, over several days."""
    words = ["idle", "working", "=1+1", None]
    rows = [
        (
            None if number % 5 == 0 else number / 3,
            number,
            None if number % 3 == 0 else 2**60 + number,
            None if number % 4 == 0 else bool(number % 2),
            None if number % 7 == 0 else f"name {number} \U0001f600",
            words[number % 4],
            None if number % 6 == 0 else NOON + number,
        )
        for number in range(count)
    ]
    return filled(EVERY_DTYPE, rows, step=HOUR).snapshot()


def export(rows, stream="metrics", **more) -> TableExport:
    return TableExport(rows.table.name, stream, rows.table, rows.chunks(7), len(rows), **more)


def read(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder).drop(columns="date").sort_index()


def test_every_value_and_dtype_comes_back(tmp_path):
    rows = every(80)
    outcome = write_parquet(tmp_path, [export(rows)])
    back = read(tmp_path / "stream=metrics" / "table=probe")
    pd.testing.assert_frame_equal(back, frame(rows), check_categorical=False)
    assert outcome.rows == {"stream=metrics/table=probe": 80}
    assert str(outcome) == f"Wrote stream=metrics/table=probe (80 rows) to '{tmp_path}'."


def test_the_files_are_partitioned_by_stream_table_and_utc_date(tmp_path):
    write_parquet(tmp_path, [export(every(30)), export(every(5), stream="a/b ü")])
    files = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.parquet"))
    assert files == [
        "stream=a%2Fb%20%C3%BC/table=probe/date=2026-01-01/part-0.parquet",
        "stream=metrics/table=probe/date=2026-01-01/part-0.parquet",
        "stream=metrics/table=probe/date=2026-01-02/part-0.parquet",
    ]
    first = pd.read_parquet(tmp_path / files[1])
    assert set(first.index.strftime("%Y-%m-%d")) == {"2026-01-01"}


def test_two_sources_of_one_stream_are_both_there(tmp_path):
    outcome = write_parquet(tmp_path, [export(every(80)), export(every(30))])
    assert outcome.rows == {"stream=metrics/table=probe": 110}
    back = read(tmp_path / "stream=metrics" / "table=probe")
    both = pd.concat([frame(every(80)), frame(every(30))]).sort_index()
    assert len(back) == 110
    pd.testing.assert_index_equal(back.index, both.index)


def test_groups_are_large_and_compressed_however_small_the_pieces(tmp_path):
    rows = filled(NUMBERS, number_rows(70_000), step=1).snapshot()
    write_parquet(tmp_path / "folder", [TableExport("n", "s", NUMBERS, rows.chunks(500), len(rows))])
    write_parquet_file(tmp_path / "one.parquet", NUMBERS, rows.chunks(500), stream="s")
    for file in (*(tmp_path / "folder").rglob("*.parquet"), tmp_path / "one.parquet"):
        about = parquet.ParquetFile(file).metadata
        groups = [about.row_group(number).num_rows for number in range(about.num_row_groups)]
        assert sum(groups) == 70_000
        assert groups[0] >= 65_536
        assert about.row_group(0).column(0).compression == "ZSTD"


def test_units_and_docs_travel_with_the_columns(tmp_path):
    write_parquet(tmp_path, [export(every(3))])
    (file,) = tmp_path.rglob("*.parquet")
    about = parquet.read_schema(file).field("load").metadata
    assert (about[b"unit"], about[b"doc"]) == (b"percent", b"A float.")
    assert pd.read_parquet(file).attrs["units"] == {"load": "percent", "rss": "bytes"}


def test_times_that_jump_between_days_lose_nothing(tmp_path):
    columns = filled(NUMBERS, number_rows(20))
    days = [filled(NUMBERS, number_rows(10), start=NOON + day * 24 * HOUR).snapshot() for day in (1, 0, 1)]
    jumping = TableExport("n", "s", NUMBERS, [columns.snapshot(), *days], 50)
    write_parquet(tmp_path, [jumping])
    assert len(read(tmp_path / "stream=s" / "table=numbers")) == 50


def test_an_empty_table_and_a_dropped_past_are_said(tmp_path):
    outcome = write_parquet(tmp_path, [export(every(0)), export(every(2), stream="b", dropped=7)])
    assert outcome.rows == {"stream=metrics/table=probe": 0, "stream=b/table=probe": 2}
    assert str(outcome).endswith("7 older rows were no longer in memory.")


def parts(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_a_folder_holds_the_last_export_alone(tmp_path):
    write_parquet(tmp_path, [export(every(60)), export(every(60)), export(every(4), stream="a/b \u00fc")])
    write_parquet(tmp_path, [export(every(3))])
    pd.testing.assert_frame_equal(
        read(tmp_path / "stream=metrics" / "table=probe"), frame(every(3)), check_categorical=False
    )
    assert parts(tmp_path) == ["stream=metrics/table=probe/date=2026-01-01/part-0.parquet"]
    assert [each.name for each in tmp_path.iterdir()] == ["stream=metrics"]
    write_parquet(tmp_path, [export(every(0))])
    assert read(tmp_path / "stream=metrics" / "table=probe").empty
    assert len(parts(tmp_path)) == 1


def test_files_of_others_stay_where_they_are(tmp_path):
    write_parquet(tmp_path, [export(every(30)), export(every(30), stream="other")])
    places = [
        "notes.txt",
        "stream=metrics/table=probe/notes.txt",
        "stream=metrics/table=probe/date=2026-01-01/part-9.parquet",
        "stream=mine/table=own/date=2026-01-01/part-0.parquet",
        "stream=other/table=probe/date=2026-01-02/mine.parquet",
    ]
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame({"x": [1]}).to_parquet(tmp_path / place)
    texts = [(tmp_path / place).read_bytes() for place in places]
    write_parquet(tmp_path, [export(every(3))])
    assert parts(tmp_path) == sorted([*places, "stream=metrics/table=probe/date=2026-01-01/part-0.parquet"])
    assert [(tmp_path / place).read_bytes() for place in places] == texts
    assert len(pd.read_parquet(tmp_path / "stream=metrics/table=probe/date=2026-01-01/part-0.parquet")) == 3
    assert not (tmp_path / "stream=other/table=probe/date=2026-01-01").exists()


def test_a_table_without_rows_is_a_dataset_with_types(tmp_path):
    write_parquet(tmp_path, [export(every(0)), export(every(20), stream="full")])
    empty, full = (tmp_path / f"stream={stream}" / "table=probe" for stream in ("metrics", "full"))
    back = read(empty)
    assert back.dtypes.astype(str).to_dict() == frame(every(0)).dtypes.astype(str).to_dict()
    assert (back.index.name, str(back.index.dtype), len(back)) == ("time", "datetime64[ns, UTC]", 0)
    assert back.attrs == frame(every(0)).attrs | {"stream": "metrics"}
    (file,) = empty.rglob("*.parquet")
    schema = parquet.read_schema(file)
    assert schema.field("load").metadata == {b"unit": b"percent", b"doc": b"A float."}
    assert schema.equals(parquet.read_schema(next(full.rglob("*.parquet"))))
    write_parquet_file(tmp_path / "one.parquet", EVERY_DTYPE, [], stream="metrics")
    assert parquet.read_schema(tmp_path / "one.parquet").equals(schema, check_metadata=True)


def test_one_source_without_rows_adds_nothing_to_the_others(tmp_path):
    write_parquet(tmp_path, [export(every(0)), export(every(5)), export(every(0))])
    assert parts(tmp_path) == ["stream=metrics/table=probe/date=2026-01-01/part-1.parquet"]


@pytest.mark.parametrize("count", [1, 3])
def test_columns_without_a_single_value_keep_their_types(tmp_path, count):
    rows = filled(EVERY_DTYPE, [(None, 1, None, None, None, None, None)] * count).snapshot()
    later = filled(EVERY_DTYPE, [(1.0, 1, 2, True, "a", "idle", NOON)], start=NOON + 24 * HOUR).snapshot()
    for chunks in ([rows], [rows, later]):
        write_parquet(tmp_path, [TableExport("probe", "s", EVERY_DTYPE, chunks)])
        back = read(tmp_path / "stream=s" / "table=probe")
        assert back.dtypes.astype(str).to_dict() == frame(rows).dtypes.astype(str).to_dict()
        assert len(back) == count + len(chunks) - 1
        assert back["state"].dropna().tolist() == ["idle"] * (len(chunks) - 1)


def test_an_export_that_is_cancelled_leaves_what_was_there(tmp_path):
    write_parquet(tmp_path, [export(every(3))])

    def cancel(done: int, total: int | None) -> None:
        assert total == 80
        if done > 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_parquet(tmp_path, [export(every(80))], progress=cancel)
    assert len(read(tmp_path / "stream=metrics" / "table=probe")) == 3
    assert [each.name for each in tmp_path.iterdir()] == ["stream=metrics"]


def test_fault_34_killed_midway_no_partial_file_has_a_final_name(tmp_path):
    found = in_child(
        f"""
        import os, random, signal
        from pathlib import Path
        from tes_nb.store.export.parquet import write_parquet
        from tests.store.export.test_parquet import every, export, read
        folder, chance, found = Path({str(tmp_path)!r}), random.Random(34), []
        rows = every(300)
        write_parquet(folder, [export(rows)])
        for _ in range(20):
            child = os.fork()
            if child == 0:
                while True:
                    write_parquet(folder, [export(rows)])
            time.sleep(chance.uniform(0, 0.15))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            place = folder / "stream=metrics" / "table=probe"
            if place.exists():
                whole = sum(file.stat().st_size > 0 for file in place.rglob("*.parquet"))
                found.append([len(list(place.iterdir())), whole])
        print(json.dumps([found, len(read(place)) if place.exists() else None]))
        """
    )
    days = 13  # 300 hours from a noon on
    assert found[0]
    assert all(each == [days, days] for each in found[0])
    assert found[1] in (300, None)


def test_what_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ExportError, match="it is a file, not a folder"):
        write_parquet(tmp_path / "file", [export(every(3))])


def test_without_pyarrow_a_sentence_says_how_to_get_it(tmp_path):
    said = in_child(
        f"""
        import sys
        from importlib import util
        found = util.find_spec
        util.find_spec = lambda name, *rest: None if name == "pyarrow" else found(name, *rest)
        from tes_nb.errors import ExportError
        from tes_nb.store.export.parquet import write_parquet
        try:
            write_parquet({str(tmp_path)!r}, [])
        except ExportError as error:
            print(json.dumps(str(error)))
        """
    )
    assert (
        said
        == "Parquet needs pyarrow, which is not installed: run 'pip install \"tes-nb[parquet]\"', or export to CSV."
    )


def test_memory_stays_flat_in_the_number_of_rows(tmp_path):
    peaks = in_child(
        f"""
        from tests.support.rows import NUMBERS, filled, number_rows
        from tes_nb.store.export.export import TableExport
        from tes_nb.store.export.parquet import write_parquet
        piece = filled(NUMBERS, number_rows(4000)).snapshot()
        peaks = []
        for many in (30, 30, 150):
            pieces = (piece for _ in range(many))
            write_parquet({str(tmp_path)!r}, [TableExport("n", "s", NUMBERS, pieces, None)])
            peaks.append(peak_memory())
        print(json.dumps(peaks))
        """
    )
    assert peaks[2] - peaks[1] < 30 * 2**20
