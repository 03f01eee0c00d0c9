"""Recordings on a cluster: the result is that of one machine, whoever computes it and whatever dies meanwhile."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import dask
import fsspec
import msgspec
import numpy as np
import pandas as pd
import psutil
import pytest
from distributed import Client

import tes_nb as tes
from tes_nb.errors import ArgumentError, SessionError
from tes_nb.model import Direction, Message, Opcode
from tes_nb.session import dask_frames
from tes_nb.session.per_session import RecordedTables, SessionTicks
from tes_nb.simulate import Options, record_day
from tes_nb.store.session.schema import SourceInfo
from tests.support.dask_by_hand import by_hand
from tests.support.messages import WALL
from tests.support.nowgoal_sessions import gap, odds, recording, score
from tests.support.sessions import write_session
from tests.support.waiting import eventually

SECOND = 10**9
SESSIONS = [f"day-{number}" for number in range(4)]

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame"),  # of Dask's reader
]


def prices(number):
    """A session of its own: prices that fall fast, a gap in which they go on falling, and a refresh."""
    match = 70 + number % 2  # the same matches in several sessions: none is mixed with another
    fall = [(2 + 0.1 * k, odds(match, round(0.95 - 0.02 * k - (0.3 if k > 9 else 0), 3))) for k in range(20)]
    return [
        (1, score(match, 0)),
        *fall,
        (5, gap(5, 6)),
        (7, odds(match, 0.2)),
        (8, odds(match, 0.5)),
        (8.5, score(match, 1, refresh=1)),
        (9, odds(match, 0.9)),
        (9.5, odds(match + 5, 0.7 + number / 100, line=0.25)),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    for number, name in enumerate(SESSIONS):
        recording(folder / f"{name}.tes", prices(number)).close()
    return folder


@pytest.fixture(scope="module")
def many(folder):
    return tes.open_many(folder)


@pytest.fixture(scope="module")
def lake(many, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    many.to_parquet(folder, progress=False)
    return folder


@pytest.fixture(scope="module")
def hand(tmp_path_factory):
    """A scheduler and two workers of nobody's, started by hand."""
    with by_hand(tmp_path_factory.mktemp("dask") / "scheduler.json") as hand:
        yield hand


@pytest.fixture
def short_segments(monkeypatch):
    monkeypatch.setattr(dask_frames, "SEGMENT", 9)


def within_this_process():
    return Client(
        processes=False,
        n_workers=1,
        threads_per_worker=2,
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
    )


def check(frame, many):
    """The frame of the cluster, its ticks and its steam are those of one machine: values, order, dtypes, categories."""
    pd.testing.assert_frame_equal(frame.compute(progress=False), many.frame("odds", progress=False))
    pd.testing.assert_frame_equal(frame.ticks().compute(progress=False), many.ticks(progress=False))
    pd.testing.assert_frame_equal(frame.steam().compute(progress=False), many.steam(progress=False))


def test_one_machine_makes_of_many_what_it_makes_of_each(many):
    steam = many.steam(progress=False)
    for name, path in many.sessions.items():
        with tes.open(path) as rec:
            alone = rec.nowgoal.steam(all=True)
        of_many = steam[steam["session"] == name].drop(columns="session")
        pd.testing.assert_frame_equal(of_many, alone)
        ticks = of_many["timestamp"]
        assert len(ticks) == 19 + 1  # falls, and one after the gap; none across gap, refresh or match
        assert of_many["steam"].any()
    assert len(many.ticks(progress=False)) == 4 * 20


def test_a_scheduler_by_its_address_gives_what_one_machine_gives(many, folder, hand, short_segments):
    with tes.cluster_frame(folder, "odds", scheduler=hand.address) as frame:
        assert frame.dask.npartitions == 4 * 3  # each recording in segments of its time
        assert repr(frame) == f"<odds, 12 partitions, on {hand.address}>"
        check(frame, many)
    assert frame.client.status == "closed"
    tes.options.scheduler = hand.address
    try:
        with tes.cluster_frame(many, "odds", start="2026-01-01 00:00:07", end="2026-01-01 00:00:08") as frame:
            assert frame.client.scheduler.address == hand.address
            within = many.frame("odds", start="2026-01-01 00:00:07", end="2026-01-01 00:00:08")
            pd.testing.assert_frame_equal(frame.compute(progress=False), within)
            assert len(within) == 4 * 2
    finally:
        tes.options.scheduler = None


def test_parquet_gives_what_the_recordings_give(many, lake, hand):
    with tes.cluster_frame(lake, "odds", scheduler=hand.address) as frame:
        check(frame, many)
    with tes.cluster_frame(str(lake), "odds", scheduler=hand.address, start="2026-01-01 00:00:09") as frame:
        late = many.frame("odds", start="2026-01-01 00:00:09", progress=False)
        pd.testing.assert_frame_equal(frame.compute(progress=False), late)


def test_what_is_no_time_is_a_sentence(lake, hand):
    with pytest.raises(ArgumentError, match="start='soon' is no time that can be used"):
        tes.cluster_frame(lake, "odds", scheduler=hand.address, start="soon")


def test_parquet_comes_from_anywhere_that_fsspec_reads(many, lake):
    memory = fsspec.filesystem("memory")
    memory.put(str(lake), "/bucket/lake", recursive=True)
    try:
        with within_this_process() as client:
            frame = tes.cluster_frame("memory://bucket/lake", "odds")  # the current client computes
            check(frame, many)
            frame.close()
            assert client.status == "running"
            with Client(client.scheduler.address, set_as_default=False) as another:
                second = tes.cluster_frame("memory://bucket/lake", "odds", scheduler=another)
                assert len(second.compute(progress=False)) == len(many.frame("odds"))
            with pytest.raises(SessionError, match=r"has no table 'ods'; there are .*Did you mean 'odds'"):
                tes.cluster_frame("memory://bucket/lake", "ods", scheduler=client)
            memory.rm("/bucket/lake/stream=session/table=gaps", recursive=True)
            with pytest.raises(SessionError, match=r"no gaps of 'day-.': an older version wrote it"):
                frame.ticks().compute(progress=False)
            with pytest.raises(SessionError, match="There is no Parquet of sessions at 'memory://nowhere'"):
                tes.cluster_frame("memory://nowhere", "odds", scheduler=client)
            with pytest.raises(
                SessionError, match="'nix://bucket/lake' cannot be opened: Protocol not known"
            ):
                tes.cluster_frame("nix://bucket/lake", "odds", scheduler=client)
    finally:
        memory.rm("/bucket", recursive=True)


def test_days_of_the_stand_in_are_the_same_from_files_and_from_parquet(tmp_path):
    for seed in (1, 2):
        record_day(tmp_path / f"{seed}.tes", Options(seed=seed, matches=2), minutes=3)
    many = tes.open_many([tmp_path / "1.tes", tmp_path / "2.tes"])
    assert many.frame("odds")["market"].nunique() > 2
    many.to_parquet(tmp_path / "lake", progress=False)
    with within_this_process():
        check(tes.cluster_frame(many, "odds"), many)
        check(tes.cluster_frame(tmp_path / "lake", "odds"), many)


def test_a_session_over_midnight_is_in_one_piece(tmp_path):
    night = [(86_390 + k, odds(70, round(0.95 - 0.02 * k, 3))) for k in range(20)]
    recording(tmp_path / "night.tes", night).close()
    many = tes.open_many(tmp_path / "night.tes")
    many.to_parquet(tmp_path / "lake", progress=False)
    with within_this_process():
        frame = tes.cluster_frame(tmp_path / "lake", "odds")
        assert frame.dask.npartitions == 2  # a file for each day
        check(frame, many)
    assert len(many.ticks(progress=False)) == 19


def work(path, seed):
    """A session of two cells and the machine's memory meanwhile; what it was, by cell, is returned."""
    chance = np.random.default_rng(seed)
    memory = chance.integers(10**8, 2 * 10**8, 60)
    messages = [SourceInfo("metrics", "metrics"), SourceInfo("kernel", "kernel")]
    for place, value in enumerate(memory):
        at = place * SECOND
        text = {"timestamp": (WALL + at) // 10**6, "cpu": {"percent": 10.0}, "memory": {"rss": int(value)}}
        payload = msgspec.json.encode(text)
        messages.append(Message("metrics", Direction.IN, Opcode.TEXT, payload, WALL + at, at, 0, place + 1))
    for number, (start, seconds) in enumerate([(5, 9.5), (20, 30.5)], 1):
        cell = {"type": "cell", "number": number, "start": WALL + start * SECOND, "wall_s": seconds}
        payload = msgspec.json.encode({**cell, "cpu_s": 1.0, "rss_peak": 1})
        at = round((start + seconds) * SECOND)
        messages.append(Message("kernel", Direction.IN, Opcode.TEXT, payload, WALL + at, at, 0, number))
    write_session(path, messages)
    return {1: memory[5:15], 2: memory[20:51]}


def test_cells_are_summed_up_on_one_machine_and_on_a_cluster(tmp_path, hand):
    truth = {f"run-{seed}": work(tmp_path / f"run-{seed}.tes", seed) for seed in range(3)}
    many = tes.open_many(tmp_path)
    cells = many.cells(progress=False)
    memory = cells[cells["column"] == "memory_rss"]
    for name, by_cell in truth.items():
        for number, values in by_cell.items():
            (row,) = memory[(memory["session"] == name) & (memory["number"] == number)].itertuples()
            assert (row.samples, row.peak) == (len(values), values.max())
            assert row.median == np.percentile(values, 50, method="lower")
            assert row.p95 == np.percentile(values, 95, method="higher")
            assert row.mean == pytest.approx(values.mean())
    with tes.cluster_frame(tmp_path, "metrics", scheduler=hand.address) as frame:
        pd.testing.assert_frame_equal(frame.cells().compute(progress=False), cells)
        chosen = frame.cells(columns=["memory_rss"]).compute(progress=False)
        assert set(chosen["column"]) == {"memory_rss"}


@dataclass
class Dies:
    """Ticks of a session, on workers of which the first one, or every one, is killed while it computes them."""

    mark: Path
    always: bool = False

    def __call__(self, session):
        if isinstance(session, RecordedTables) and (self.always or not self.mark.exists()):
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return SessionTicks()(session)


def test_a_worker_that_is_killed_is_replaced_and_the_result_is_the_same(many, hand, tmp_path):
    with tes.cluster_frame(many, "odds", scheduler=hand.address) as frame:
        lazy = frame._per_session(Dies(tmp_path / "died"), "ticks")
        pd.testing.assert_frame_equal(lazy.compute(progress=False), many.ticks(progress=False))
    assert (tmp_path / "died").exists()


def test_a_cluster_of_this_machine_is_started_and_ended(many, tmp_path):
    before = set(psutil.Process().children(recursive=True))
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        frame = tes.cluster_frame(many, "odds")
    try:
        address = frame.client.scheduler.address
        assert address.startswith("tcp://127.0.0.1:")
        assert all(one.startswith("tcp://127.0.0.1:") for one in frame.client.scheduler_info()["workers"])
        mine = [psutil.Process(), *set(psutil.Process().children(recursive=True)) - before]
        sockets = [
            one for process in mine for one in process.net_connections("tcp") if one.status == "LISTEN"
        ]
        assert {one.laddr.ip for one in sockets} == {"127.0.0.1"}
        pd.testing.assert_frame_equal(frame.compute(), many.frame("odds"))
        again = tes.cluster_frame(many, "odds")  # the same cluster, since its client is the current one
        assert again.client is frame.client
        with pytest.raises(SessionError, match=f"Workers of {address} died of the same partition"):
            frame._per_session(Dies(tmp_path / "died", always=True), "ticks").compute(progress=False)
    finally:
        frame.close()
        frame.close()
    started = set(psutil.Process().children(recursive=True)) - before
    assert not [one for one in started if "distributed" in " ".join(one.cmdline())]


@dataclass
class Waits:
    """Never comes to an end."""

    mark: Path

    def __call__(self, session):
        if isinstance(session, RecordedTables):
            self.mark.touch()
            time.sleep(60)
        return SessionTicks()(session)


def test_a_scheduler_that_is_gone_is_a_sentence(many, tmp_path):
    with pytest.raises(
        SessionError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:9 .*start it with"
    ):
        tes.cluster_frame(many, "odds", scheduler="tcp://127.0.0.1:9")
    with pytest.raises(ArgumentError, match="scheduler=7 is none: give an address"):
        tes.cluster_frame(many, "odds", scheduler=7)
    with pytest.raises(ArgumentError, match=r"options\.scheduler must be an address"):
        tes.options.scheduler = "host"
    with by_hand(tmp_path / "scheduler.json", workers=1) as hand:
        frame = tes.cluster_frame(many, "odds", scheduler=hand.address)

        def end():
            eventually((tmp_path / "began").exists, 60)
            hand.scheduler.kill()

        ending = threading.Thread(target=end)
        ending.start()
        with pytest.raises(SessionError, match=f"The Dask scheduler at {hand.address} is gone"):
            frame._per_session(Waits(tmp_path / "began"), "ticks").compute(progress=False)
        ending.join()
        began = time.monotonic()
        frame.close()
        assert time.monotonic() - began < 20
