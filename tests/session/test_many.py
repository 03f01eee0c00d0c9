"""Many recordings as one set: whatever reads it, the same table; what cannot be read is named and stops nobody."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from functools import partial

import duckdb
import pandas as pd
import polars as pl
import pytest

import tes_nb as tes
from tes_nb.errors import ArgumentError, SessionError
from tes_nb.store.session.lock import WriterLock
from tes_nb.store.session.schema import SourceInfo
from tes_nb.store.session.writer import SessionWriter
from tests.support.nowgoal_sessions import at, gap, odds, recording, score
from tests.support.sessions import flipped, numbered, write_session
from tests.support.waiting import busy

SESSIONS = [f"day-{number}" for number in range(5)]


def steps(number):
    """What came in that session: prices that fall fast, a gap, and other matches than in the other sessions."""
    match = 70 + number
    falls = [0.02 * k + (0.3 if k > 9 + number else 0) for k in range(20)]
    prices = [(2 + 0.1 * k, odds(match, round(0.95 - fall, 3))) for k, fall in enumerate(falls)]
    return [
        (1, score(match, 0)),
        *prices,
        (5, gap(5, 6)),
        (7, odds(match, 0.4)),
        (8, odds(match + 1, 0.7, line=0.25)),
        (9 + number, score(match, 1)),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five recordings of NowGoal."""
    folder = tmp_path_factory.mktemp("many")
    for number, name in enumerate(SESSIONS):
        recording(folder / f"{name}.tes", steps(number)).close()
    return folder


@pytest.fixture
def many(folder):
    return tes.open_many(folder)


@pytest.fixture
def bad(folder, tmp_path):
    """A whole recording among a damaged one, a foreign file, an empty file, and one without messages."""
    shutil.copy(folder / "day-0.tes", tmp_path / "whole.tes")
    damaged = write_session(
        tmp_path / "damaged.tes",
        [
            SourceInfo("metrics", "metrics"),
            *(
                numbered(
                    n,
                    source="metrics",
                )
                for n in range(600)
            ),
        ],
    )
    data = damaged.read_bytes()
    damaged.write_bytes(data[: len(data) // 2])
    with sqlite3.connect(tmp_path / "foreign.tes") as foreign:
        foreign.execute("create table other (a)")
    foreign.close()
    (tmp_path / "nothing.tes").touch()
    write_session(tmp_path / "silent.tes", [SourceInfo("nowgoal", "nowgoal")])
    return tmp_path


def same(of_dask, expected):
    """Equal in every value and dtype; Dask has categories as they occur, pandas sorted."""
    for name in expected.select_dtypes("category"):
        of_dask[name] = of_dask[name].cat.reorder_categories(expected[name].cat.categories)
    pd.testing.assert_frame_equal(of_dask, expected)


def by_hand(folder, table="odds"):
    """(session, row …) of every recording, opened alone."""
    rows = []
    for name in SESSIONS:
        with tes.open(folder / f"{name}.tes") as rec:
            frame = rec.nowgoal.frame(table).reset_index()
            rows += [(name, *row) for row in frame.astype(object).where(frame.notna(), None).to_numpy()]
    return rows


def test_a_frame_is_what_the_recordings_have(many, folder):
    frame = many.frame("odds")
    assert frame.columns[0] == "session"
    assert frame.attrs["table"] == "odds"
    plain = frame.reset_index()
    plain = plain[["session", "time", *plain.columns[2:]]]
    rows = plain.astype(object).where(plain.notna(), None).to_numpy()
    assert [tuple(row) for row in rows] == by_hand(folder)
    assert len(rows) == 5 * 22
    with tes.open(folder / "day-0.tes") as rec:
        alone = rec.nowgoal.frame("odds").dtypes
    assert {name: kind.name for name, kind in frame.dtypes.items() if name != "session"} == {
        name: kind.name for name, kind in alone.items()
    }
    categories = frame.select_dtypes("category")
    assert {name: list(column.cat.categories) for name, column in categories.items()} == {
        name: sorted(column.dropna().unique()) for name, column in categories.items()
    }
    assert many.frame("odds", start=at(8), end=at(8.5))["match_id"].tolist() == [
        str(71 + number) for number in range(5)
    ]
    assert many.frame("nowgoal.scores")["session"].tolist() == [name for name in SESSIONS for _ in "12"]
    pd.testing.assert_frame_equal(many.frame("nowgoal"), many.frame("scores"))


def test_every_engine_gives_the_same_table(many):
    frame = many.frame("odds")
    arrow = many.frame("odds", engine="arrow")
    polars = many.frame("odds", engine="polars")
    relation = many.frame("odds", engine="duckdb")
    assert isinstance(polars, pl.DataFrame)
    assert isinstance(relation, duckdb.DuckDBPyRelation)
    assert arrow.column_names == polars.columns == relation.columns == ["time", *frame.columns]
    expected = frame.reset_index().astype(object)
    expected = [tuple(row) for row in expected.where(expected.notna(), None).to_numpy()]
    back = arrow.to_pandas(integer_object_nulls=True).astype(object)
    assert [tuple(row) for row in back.where(back.notna(), None).to_numpy()] == expected
    assert polars.to_arrow().to_pylist() == arrow.to_pylist()
    assert relation.project("* exclude (time, sent_at)").fetchall() == [
        tuple(row.values()) for row in arrow.drop_columns(["time", "sent_at"]).to_pylist()
    ]
    assert relation.project("epoch_ns(time)").fetchall() == [(time.value,) for time in frame.index]


@pytest.mark.timeout(60)
def test_dask_on_a_cluster_gives_the_same_table_and_the_same_steam(many, tmp_path):
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            memory_limit="1GiB",
        ) as cluster,
        Client(cluster),
    ):
        lazy = many.frame("odds", engine="dask")
        assert lazy.npartitions == 5
        one = many.frame("odds")
        assert list(lazy.dtypes.index) == list(one.columns)
        same(lazy.compute(), one)
        mean = lazy.groupby("match_id", observed=True)["home"].mean().compute().sort_index()
        expected = one.groupby("match_id", observed=True)["home"].mean()
        assert dict(mean) == pytest.approx(dict(expected))
        steam = many.map(steam_of, engine="dask").compute()
        odds_of = partial(odds_once_a_worker_has_died, mark=tmp_path / "died")
        survived = many.map(odds_of, engine="dask", meta=one.drop(columns="session").head(0)).compute()
        path = tmp_path / "grows.tes"
        recording(path, steps(0)).close()
        before = tes.open_many(path).frame("odds", engine="dask").persist()
        assert len(before) == 22
        path.unlink()
        recording(path, [*steps(0), (60, odds(70, 0.6))]).close()
        assert len(tes.open_many(path).frame("odds", engine="dask")) == 23
    assert (tmp_path / "died").exists()
    same(survived, one)
    alone = many.map(steam_of)
    assert set(alone.loc[alone["steam"], "session"]) == set(SESSIONS)
    same(steam, alone)
    by_hand = []
    for name, path in many.sessions.items():
        with tes.open(path) as rec:
            by_hand += [(name, *row) for row in steam_of(rec)[["velocity", "steam"]].to_numpy()]
    assert [tuple(row) for row in alone[["session", "velocity", "steam"]].to_numpy()] == by_hand


def odds_once_a_worker_has_died(rec, mark):
    if not mark.exists():
        mark.touch()
        os._exit(1)
    return rec.nowgoal.frame("odds")


def steam_of(rec):
    return rec.nowgoal.steam(all=True)


def test_a_walk_goes_through_all_in_the_order_received(many):
    walked = list(many.walk(tables=["odds"]))
    assert [name for name, _ in walked] == sorted(name for name, _ in walked)
    for name in SESSIONS:
        events = [event for session, event in walked if session == name]
        with many[name] as rec:
            assert events == list(rec.walk(tables=["odds"]))
        assert [event.at_ns for event in events] == sorted(event.at_ns for event in events)
    chosen = [
        (name, row.match_id) for name, event in many.walk(match_id="72") for row in event.rows.get("odds", ())
    ]
    assert {name for name, _ in chosen} == {"day-1", "day-2"}
    with pytest.raises(ArgumentError, match="cannot choose by colour="):
        list(many.walk(colour="red"))
    with pytest.raises(SessionError, match="There is no feed 'nix'"):
        list(many.walk("nix"))


def test_parquet_has_every_row_with_its_session(many, tmp_path):
    result = many.to_parquet(tmp_path / "out", progress=False)
    assert result.rows["stream=nowgoal/table=odds/session=day-0"] == 22
    one = many.frame("odds")
    back = pd.read_parquet(tmp_path / "out" / "stream=nowgoal" / "table=odds").sort_values(
        ["session", "time"]
    )
    assert set(back.columns) == {*one.columns, "date"}
    columns = [name for name in one.columns if name != "session"]
    pd.testing.assert_frame_equal(back[columns], one[columns], check_categorical=False)
    assert back["session"].astype(str).tolist() == one["session"].astype(str).tolist()
    tes.open_many(list(many.sessions.values())[:2]).to_parquet(tmp_path / "out", progress=False)
    again = pd.read_parquet(tmp_path / "out" / "stream=nowgoal" / "table=odds")
    assert set(again["session"]) == {"day-0", "day-1"}


def test_info_names_every_file_and_what_is_wrong_with_it(bad):
    lock, writer = WriterLock(bad / "now.tes"), SessionWriter(bad / "now.tes")
    writer.append([SourceInfo("metrics", "metrics"), numbered(0, source="metrics")])
    try:
        info = tes.open_many([bad, bad / "gone.tes"]).info()
    finally:
        writer.close()
        lock.release()
    assert info["state"].to_dict() == {
        "damaged": "damaged",
        "foreign": "unreadable",
        "nothing": "unreadable",
        "now": "being recorded",
        "silent": "empty",
        "whole": "whole",
        "gone": "unreadable",
    }
    assert info.loc["nothing", "text"].startswith(f"{bad / 'nothing.tes'} is empty (0 bytes)")
    assert "gone.tes cannot be opened" in info.loc["gone", "text"]
    assert info.loc["whole", ["messages", "gaps", "feeds"]].tolist() == [25, 1, "nowgoal"]
    assert info.loc["whole", "began"] == pd.Timestamp(at(1), tz="UTC")
    assert pd.isna(info.loc["foreign", "messages"])
    assert info["text"].str.len().min() > 10


def test_what_cannot_be_read_is_left_out_with_a_warning_that_names_it(bad):
    many = tes.open_many(bad)
    with pytest.warns(
        UserWarning,
        match=r"2 of 5 recordings cannot be read and are left out\. foreign: .* nothing: .* damaged: damaged\.tes",
    ):
        frame = many.frame("odds")
    assert set(frame["session"]) == {"whole"}
    with pytest.warns(UserWarning, match="2 of 5"):
        kinds = {(name, event.type) for name, event in many.walk()}
    assert {("whole", "data"), ("damaged", "fault")} <= kinds
    with pytest.warns(UserWarning, match="2 of 5"):
        lazy = many.frame("odds", engine="dask")
    same(lazy.compute(scheduler="sync"), frame)
    with pytest.warns(UserWarning, match="2 of 5"):
        assert (
            many.to_parquet(bad / "out", progress=False).rows["stream=nowgoal/table=odds/session=whole"] == 22
        )
    with pytest.raises(SessionError, match=r"No recording of the set can be read\. nothing: .*is empty"):
        tes.open_many(bad / "nothing.tes").frame("odds")


def test_two_hundred_files_are_listed_within_a_second(folder, tmp_path):
    for number in range(200):
        shutil.copy(folder / f"day-{number % 5}.tes", tmp_path / f"{number}.tes")
    began = time.process_time()
    info = tes.open_many(tmp_path).info(progress=False)
    assert time.process_time() - began < busy(1)
    assert (len(info), info["messages"].sum()) == (200, 200 * 25)


def test_damage_that_only_reading_finds_is_in_the_warning(folder, tmp_path):
    shutil.copy(folder / "day-0.tes", tmp_path / "good.tes")
    path = tmp_path / "hurt.tes"
    recording(path, [(n, odds(7, 0.5 + n / 10_000)) for n in range(1, 600)]).close()
    data = path.read_bytes()
    spot = data.index(odds(7, 0.5 + 300 / 10_000).encode())
    path.write_bytes(flipped(data, spot, spot + 1))
    many = tes.open_many(tmp_path)
    with pytest.warns(
        UserWarning,
        match=r"^What can be read of damaged .* hurt: nowgoal: 1 messages",
    ):
        frame = many.frame("odds")
    assert frame["session"].value_counts().to_dict() == {"hurt": 598, "good": 22}


def test_two_files_with_the_same_name_have_different_sessions(folder, tmp_path):
    for name in ("monday", "tuesday"):
        (tmp_path / name).mkdir()
        shutil.copy(folder / "day-0.tes", tmp_path / name / "day.tes")
    with tes.open(folder / "day-1.tes") as rec:
        rec.to_har(tmp_path / "monday" / "day.har")
    many = tes.open_many(str(tmp_path / "*" / "day.*"), streams={"localhost": "nowgoal"})
    assert list(many.sessions) == ["monday_day", "monday_day_2", "tuesday_day"]
    frame = many.frame("odds")
    assert frame["session"].value_counts().to_dict() == dict.fromkeys(many.sessions, 22)
    assert repr(many) == "<3 recordings: monday_day, monday_day_2, tuesday_day>"


def test_files_with_streams_of_their_own_are_read_lazily_too(many, folder):
    with_streams = tes.open_many(folder, streams={"example.org": "nowgoal"})
    same(with_streams.frame("odds", engine="dask", progress=False).compute(), many.frame("odds"))


def test_what_is_asked_wrongly_is_a_sentence(many, tmp_path):
    with pytest.raises(SessionError, match=r"There is no recording at '.*nix/\*\.tes': give a folder"):
        tes.open_many(tmp_path / "nix" / "*.tes")
    with pytest.raises(ArgumentError, match="engine='spark' is not known: give one of pandas, arrow"):
        many.frame("odds", engine="spark")
    with pytest.raises(ArgumentError, match="engine='spark' is not known"):
        many.map(steam_of, engine="spark")
    with pytest.raises(SessionError, match=r"No recording has 'ods'; there are .*odds.*Did you mean 'odds'"):
        many.frame("ods")
    with pytest.raises(SessionError, match="The set has no session 'day-9'"):
        many["day-9"]
    with pytest.raises(ZeroDivisionError) as failure:
        many.map(lambda rec: 1 / 0)
    assert "in the session 'day-0'" in failure.value.__notes__[0]
