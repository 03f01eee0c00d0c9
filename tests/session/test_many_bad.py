"""Sets of what nobody wants in a set, and what they get: a sentence, and everything that is there."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from typer.testing import CliRunner

import tes_nb as tes
from tes_nb.analysis.differences import TOO_LITTLE
from tes_nb.cli import app
from tes_nb.errors import ExportError
from tes_nb.model import Direction, Message, Opcode
from tes_nb.session import dask_frames
from tes_nb.store.session.lock import WriterLock
from tes_nb.store.session.schema import SourceInfo
from tes_nb.store.session.writer import SessionWriter
from tests.session.test_compare import runs, session
from tests.support.nowgoal_sessions import SECOND, at, odds, recording
from tests.support.sessions import WALL, write_session

OLD = Path(__file__).parents[1] / "data" / "old"

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame")  # of Dask's reader


def price(place, wall):
    """A message with a price that falls, received at that time."""
    payload = odds(70, round(0.95 - 0.01 * place, 3)).encode()
    return Message("nowgoal", Direction.IN, Opcode.TEXT, payload, wall, place * SECOND, 1, place + 1)


def test_recordings_of_an_old_version_are_in_one_table_with_new_ones(tmp_path):
    recording(tmp_path / "new.tes", [(1, odds(70, 0.9)), (2, odds(70, 0.8))]).close()
    for name in ("nowgoal", "tes"):
        shutil.copy(OLD / f"{name}.tes", tmp_path / f"old-{name}.tes")
    many = tes.open_many(tmp_path)
    assert many.info(progress=False)["state"].to_dict() == dict.fromkeys(many.sessions, "whole")
    frame = many.frame("odds", progress=False)
    with many["old-nowgoal"] as old, many["new"] as new:
        rows = {"new": len(new.nowgoal.frame("odds")), "old-nowgoal": len(old.simulated.frame("odds"))}
        expected = new.nowgoal.frame("odds").dtypes
        assert old.simulated.frame("odds").dtypes.index.tolist() == expected.index.tolist()
    assert frame["session"].value_counts().to_dict() == rows
    assert min(rows.values()) > 0
    assert frame.columns.tolist() == ["session", *expected.index]
    assert many.frame("odds", engine="polars", progress=False).height == len(frame)
    lazy = many.frame("odds", engine="dask", progress=False)
    assert len(lazy.compute(scheduler="sync")) == len(frame)
    metrics = many.frame("metrics", progress=False)
    assert set(metrics["session"]) == {"old-tes"}
    assert metrics["total_memory"].isna().all()  # a column that is new since
    assert many.frame("cells", progress=False).empty
    many.to_parquet(tmp_path / "lake", progress=False)
    assert len(pd.read_parquet(tmp_path / "lake" / "stream=nowgoal" / "table=odds")) == len(frame)


def test_a_clock_that_was_set_back_loses_nothing_and_gives_the_same_in_segments(tmp_path, monkeypatch):
    back = [at(100 + n) if n < 20 else at(50 + n) for n in range(40)]  # NTP, after twenty messages
    write_session(
        tmp_path / "back.tes",
        [SourceInfo("nowgoal", "nowgoal", "wss://localhost/ws"), *map(price, range(40), back)],
    )
    recording(tmp_path / "right.tes", [(n, odds(70, round(0.95 - 0.01 * n, 3))) for n in range(40)]).close()
    monkeypatch.setattr(dask_frames, "SEGMENT", 10)
    many = tes.open_many(tmp_path)
    lazy = many.frame("odds", engine="dask", progress=False)
    assert lazy.npartitions == 2 * 4
    one = many.frame("odds", progress=False)
    computed = lazy.compute(scheduler="sync")
    for name in one.select_dtypes("category"):
        computed[name] = computed[name].cat.set_categories(one[name].cat.categories)
    pd.testing.assert_frame_equal(computed, one)
    assert one["session"].value_counts().to_dict() == {"back": 40, "right": 40}
    walked = [event.at_ns for name, event in many.walk(tables=["odds"]) if name == "back"]
    assert walked == back  # as received


def test_runs_whose_clocks_disagree_by_years_are_compared_by_elapsed_time(tmp_path):
    a = session(tmp_path / "a.tes", runs(1))
    b = session(tmp_path / "b.tes", runs(2), began=WALL - 20 * 365 * 86_400 * SECOND)
    found = tes.compare(a, b)
    assert found.different.empty
    assert found.seconds == pytest.approx(299, abs=1)
    years = [figure.x[0].astype("datetime64[Y]").astype(int) + 1970 for figure in found.plot(["value"]).data]
    assert set(years) == {2026, 2006}


def test_one_second_against_ten_hours_is_said_and_passes_no_limit(tmp_path):
    long = session(tmp_path / "long.tes", runs(1, 3600), step=10 * SECOND)
    short = session(
        tmp_path / "short.tes", {name: one[:3] for name, one in runs(2).items()}, step=SECOND // 2
    )
    for files in ((long, short), (short, long)):
        found = tes.compare(*files)
        assert set(found.frame["word"]) <= {TOO_LITTLE}
        assert "short.tes lasts 1.0 s, less than half of the other's 35,990.0 s" in repr(found)
        ran = CliRunner().invoke(app, ["compare", *map(str, files), "--fail-over", "value peak 10%"])
        assert ran.exit_code == 1


def test_what_is_still_being_written_is_read_as_far_as_it_is(tmp_path):
    path = tmp_path / "now.tes"
    lock, writer = WriterLock(path), SessionWriter(path)
    writer.append(
        [SourceInfo("nowgoal", "nowgoal", "wss://localhost/ws"), *(price(n, at(n)) for n in range(5))]
    )
    many = tes.open_many(tmp_path)
    try:
        assert many.info(progress=False)["state"].tolist() == ["being recorded"]
        assert len(many.frame("odds", progress=False)) == 5
        writer.append([price(n, at(n)) for n in range(5, 8)])
        assert len(many.frame("odds", progress=False)) == 8
        assert len(many.ticks(progress=False)) == 7
        assert many.frame("odds", engine="dask", progress=False).compute(scheduler="sync")[
            "seq"
        ].tolist() == [*range(1, 9)]
    finally:
        writer.close()
        lock.release()


def test_a_set_is_a_stream_of_arrow_and_a_schema_that_it_cannot_have_is_a_sentence(tmp_path):
    for name in ("a", "b"):
        recording(tmp_path / f"{name}.tes", [(n, odds(70, 0.5 + n / 100)) for n in range(1, 4)]).close()
    many = tes.open_many(tmp_path)
    messages = pl.DataFrame(many)
    assert messages.columns[:3] == ["time", "session", "source"]
    assert messages["session"].cast(pl.String).to_list() == [*"aaabbb"]
    assert messages["payload"][3] == odds(70, 0.51).encode()
    assert pa.table(many).num_rows == 6
    wrong = pa.schema([("price", pa.float64())]).__arrow_c_schema__()
    with pytest.raises(
        ExportError, match=r"cannot be given in the schema that was asked for.*they have time:"
    ):
        many.__arrow_c_stream__(wrong)
    with many["a"] as rec, pytest.raises(ExportError, match="cannot be given in the schema"):
        rec.__arrow_c_stream__(wrong)


def test_one_bad_message_of_a_session_costs_only_itself_on_one_machine_and_lazily(tmp_path):
    messages = [price(n, at(n)) for n in range(6)]
    messages[3] = replace_payload(messages[3], b"\xff\xfe not deflated, not XML")
    write_session(tmp_path / "a.tes", [SourceInfo("nowgoal", "nowgoal", "wss://localhost/ws"), *messages])
    many = tes.open_many(tmp_path)
    assert many.frame("odds", progress=False)["seq"].tolist() == [1, 2, 3, 5, 6]
    lazy = many.frame("odds", engine="dask", progress=False).compute(scheduler="sync")
    assert np.array_equal(lazy["seq"], [1, 2, 3, 5, 6])


def replace_payload(message, payload):
    return Message(
        *(getattr(message, name) if name != "payload" else payload for name in message.__struct_fields__)
    )
