"""The files of a recording of weeks: each message in one of them, and what becomes of those that are finished."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from types import MappingProxyType

import pytest

import tes_nb as tes
from tes_nb.collector.hub import Hub
from tes_nb.collector.recordings import Recordings
from tes_nb.collector.series import Series
from tes_nb.errors import SessionError
from tes_nb.model.control import ListRecordings, StartRecording, StopRecording
from tes_nb.store.session import packed
from tes_nb.store.session.check import check
from tes_nb.store.session.lock import lock_path
from tes_nb.store.session.packed import note_of, packed_path, part_path
from tes_nb.store.session.reader import SessionFile
from tes_nb.store.session.recorder import Recorder
from tests.support.aio import run_async
from tests.support.child import ROOT
from tests.support.sessions import numbered, read_all, write_session

DAY = 86_400_000_000_000


class NoPeaks:
    highest = MappingProxyType({})

    def look(self) -> bool:
        return False


def recordings(hub: Hub) -> Recordings:
    return Recordings(hub, lambda source: (source, None), NoPeaks)


@run_async
async def test_a_hand_over_puts_each_message_into_one_file(tmp_path):
    hub, series = Hub(2**24), Series(tmp_path, "night", compress=False, keep_ns=None)
    recorder = recordings(hub)
    paths = [series.new_path()]
    await recorder.record(StartRecording(path=str(paths[0])), series.facts(paths[0]))

    ends, numbers = [], itertools.count(1)

    async def pour():
        """However long a hand-over takes here, messages come during two of them."""
        while len(ends) < 2:
            for number in itertools.islice(numbers, 50):
                hub.add("metrics", b"%d" % number)
            await asyncio.sleep(0.001)

    pouring = asyncio.create_task(pour())
    while not pouring.done():
        target = series.new_path()
        ends.append(await recorder.hand_over(paths[-1], target, series.facts(target)))
        paths.append(target)
    await pouring
    await recorder.stop(StopRecording(path=str(paths[-1])))
    assert [(await end).lost for end in ends] == [0] * len(ends)
    seqs = [message.seq for path in paths for message in read_all(path) if message.source == "metrics"]
    assert seqs == list(range(1, next(numbers)))
    assert await recorder.recordings(ListRecordings()) == []
    await recorder.close()
    with pytest.raises(SessionError, match="has ended, and does not go on"):
        await recorder.hand_over(paths[-1], series.new_path(), {})
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths}


def test_the_next_file_waits_for_the_last_word_of_the_one_before(tmp_path):
    """A kill in between then leaves no hole: what is in the second file follows what is in the first."""
    held, let_go = threading.Event(), threading.Event()

    def hold(_):
        held.set()
        let_go.wait(20)

    first = Recorder(tmp_path / "1.tes", on_commit=hold)
    first.put(numbered(0))
    assert held.wait(10), "its thread is in the middle of its work"
    first.put(numbered(3))
    second = Recorder(tmp_path / "2.tes", after=first)
    first.seal()
    assert not first.put(numbered(6)), "nothing more is taken"
    second.put(numbered(9))
    time.sleep(0.3)
    assert (second.messages, second.waiting) == (0, 1)
    let_go.set()
    second.stop()
    assert [len(read_all(tmp_path / name)) for name in ("1.tes", "2.tes")] == [2, 1]
    assert first.state == "STOPPED"


@pytest.fixture
def series(tmp_path):
    return Series(tmp_path, "night", compress=True, keep_ns=DAY)


def finished(series: Series, count: int = 3000, *, age_ns: int = 0):
    """A file that the series wrote."""
    path = series.new_path()
    with Recorder(path, facts=series.facts(path)) as recorder:
        for number in range(count):
            recorder.put(numbered(number, source="metrics"))
    old(path, age_ns)
    return path


def old(path, age_ns: int):
    then = time.time_ns() - age_ns
    os.utime(path, ns=(then, then))


def test_finished_files_are_compressed_and_read_as_before(series, tmp_path):
    path = finished(series)
    before, modified = read_all(path), path.stat().st_mtime_ns
    assert len(before) == 3000
    done = series.tidy()
    target = packed_path(path)
    assert (done.compressed, done.removed, done.trouble) == ([target.name], [], [])
    assert [file.name for file in tmp_path.iterdir()] == [target.name]
    assert (target.stat().st_mode & 0o777, target.stat().st_mtime_ns) == (0o600, modified)
    assert read_all(target) == before
    assert "is whole: 3,000 messages" in check(target).sentences[0]
    with tes.open(path) as rec:  # by the name it had
        assert (rec.path, rec.info().messages) == (target, 3000)
    with tes.open(target) as rec:
        rec.save_as(tmp_path / "copy.tes")
    assert read_all(tmp_path / "copy.tes") == before
    many = tes.open_many(tmp_path)
    assert list(many.sessions) == ["copy", path.stem]
    assert many.info()["state"].tolist() == ["whole", "whole"]
    if shutil.which("zstd"):  # a stranger's program
        out = subprocess.run(["zstd", "-dc", target], capture_output=True, check=True).stdout
        assert out.startswith(b"SQLite format 3\0")


def test_a_session_beside_its_compressed_form_counts_once(series, tmp_path):
    path = finished(series)
    copy = shutil.copy(path, tmp_path.parent / "kept.tes")
    series.tidy()
    shutil.copy(copy, path)  # killed before the session was removed
    assert list(tes.open_many(tmp_path).sessions) == [path.stem]
    assert list(tes.open_many(str(tmp_path / "*.tes*")).sessions) == [path.stem]
    series.tidy()
    assert [file.name for file in tmp_path.iterdir()] == [packed_path(path).name]
    assert check(packed_path(path)).exit_code == 0


def test_what_a_kill_left_is_finished_or_removed(series, tmp_path):
    path = finished(series)
    part = part_path(packed_path(path))
    part.write_bytes(b"half of it")
    lock_path(path).write_bytes(b"1\n")
    empty = series.new_path()
    empty.touch()
    lock_path(empty).write_bytes(b"1\n")
    (tmp_path / ".other.part").touch()
    done = series.tidy()
    assert (done.compressed, done.removed) == ([packed_path(path).name], [empty.name])
    assert {file.name for file in tmp_path.iterdir()} == {packed_path(path).name, ".other.part"}


def test_age_prunes_what_it_wrote_and_nothing_else(series, tmp_path):
    ours = [finished(series, 5, age_ns=2 * DAY), finished(series, 5, age_ns=DAY // 2)]
    packed_ours = finished(series, 5, age_ns=2 * DAY)
    packed.pack(packed_ours, series.facts(packed_ours)["series"])
    others = [
        write_session(
            tmp_path / "night_2020-01-01_000000.tes", [numbered(0)]
        ),  # the name alone is not enough
        shutil.copy2(packed_path(packed_ours), tmp_path / "night_2020-01-02_000000.tes.zst"),  # a renamed one
        shutil.copy2(ours[0], tmp_path / "important.tes"),
        tmp_path / "night_2020-01-03_000000.tes",  # empty, and no recorder's
        tmp_path / "night_2020-01-04_000000.tes.zst",
    ]
    others[3].touch()
    others[4].write_bytes(b"not compressed at all")
    (tmp_path / "night_2020-01-05_000000.tes").symlink_to(others[2])
    for other in others:
        old(other, 900 * DAY)
    writing = series.new_path()
    with Recorder(writing, facts=series.facts(writing)) as recorder:
        recorder.put(numbered(0))
        old(writing, 5 * DAY)
        done = Series(tmp_path, "night", compress=False, keep_ns=DAY).tidy()
    assert done.removed == sorted([ours[0].name, packed_path(packed_ours).name])
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {file.name for file in [ours[1], writing, *others]} | {"night_2020-01-05_000000.tes"}


def test_a_damaged_file_stays_as_it_is_and_is_named_once(series, tmp_path):
    path = finished(series)
    data = path.read_bytes()[: path.stat().st_size * 2 // 3]
    path.write_bytes(data)
    (sentence,) = series.tidy().trouble
    assert sentence.startswith(f"{path.name} stays as it is: it is damaged.")
    assert series.tidy().trouble == []
    assert path.read_bytes() == data


@pytest.mark.parametrize("cut", [0.7, 0.9])
def test_a_compressed_file_that_was_cut_off_is_read_as_far_as_it_goes(series, cut):
    path = finished(series, 20_000)
    series.tidy()
    target = packed_path(path)
    data = target.read_bytes()
    target.write_bytes(data[: int(len(data) * cut)])
    report = check(target)
    assert report.exit_code == 3
    assert 1000 < report.messages < 20_000 * (cut + 0.05)
    assert "is damaged or cut off" in report.sentences[0]


def test_bytes_that_changed_are_found_before_the_session_goes(series, monkeypatch, tmp_path):
    path = finished(series)

    def spoil(session, part, note, wanted, write=packed._write):
        done = write(session, part, note, wanted)
        data = bytearray(part.read_bytes())
        data[len(data) // 2] ^= 0xFF
        part.write_bytes(data)
        return done

    monkeypatch.setattr(packed, "_write", spoil)
    (sentence,) = series.tidy().trouble
    assert sentence.startswith(f"{path.name} stays as it is for now")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    monkeypatch.undo()
    assert series.tidy().compressed == [packed_path(path).name]


def test_whoever_ends_it_need_not_wait_for_compression(series, tmp_path):
    path = finished(series)
    answers = itertools.chain([True] * 4, itertools.repeat(False))
    assert series.tidy(lambda: next(answers)).compressed == []
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_what_is_no_compressed_session_is_a_sentence(tmp_path):
    (tmp_path / "a.tes.zst").write_bytes(b"something else")
    with pytest.raises(SessionError, match=r"a\.tes\.zst is no compressed session"):
        SessionFile.open(tmp_path / "a.tes.zst")
    assert note_of(tmp_path / "a.tes.zst") is None
    module = packed.zstd()
    (tmp_path / "b.tes").write_bytes(module.compress(b"x" * 10_000))
    with pytest.raises(SessionError, match=r"b\.tes is compressed: .* give it the ending \.tes\.zst"):
        SessionFile.open(tmp_path / "b.tes")


def test_a_log_that_a_kill_left_is_in_the_compressed_file(series, tmp_path):
    path = series.new_path()
    code = (
        "import os, sys; from pathlib import Path; from tes_nb.store.session.recorder import Recorder;"
        "from tests.support.sessions import numbered; path = Path(sys.argv[1]);"
        "r = Recorder(path, facts={'series': {'name': 'night', 'file': path.name}});"
        "[r.put(numbered(n, source='metrics')) for n in range(500)];"
        "exec('while r.messages < 500: pass'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=False, timeout=50, cwd=ROOT)
    assert path.with_name(path.name + "-wal").stat().st_size > 0
    assert series.tidy().compressed == [packed_path(path).name]
    assert [file.name for file in tmp_path.iterdir()] == [packed_path(path).name]
    assert len(read_all(packed_path(path))) == 500
    report = check(packed_path(path))
    assert report.exit_code == 0
    assert "Nobody ended this recording" in report.sentences[0]


def test_a_reader_of_a_log_holds_up_that_file_alone(series):
    """SQLite cannot fold a log in while somebody reads; it is tried again."""
    path = finished(series)
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA user_version=1")
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM facts").fetchone()
        (sentence,) = series.tidy().trouble
        assert f"{path.name} stays as it is" in sentence
        connection.execute("COMMIT")
    connection.close()
    assert Series(series.folder, "night", compress=True, keep_ns=None).tidy().compressed == [
        packed_path(path).name
    ]


def test_a_folder_that_was_removed_is_a_sentence_and_looked_at_again(tmp_path):
    folder = tmp_path / "nights"
    folder.mkdir()
    series = Series(folder, "night", compress=True, keep_ns=DAY)
    shutil.rmtree(folder)
    (sentence,) = series.tidy().trouble
    assert sentence.startswith("Finished files cannot be looked after for now")
    folder.mkdir()
    path = finished(series)
    assert series.tidy().compressed == [packed_path(path).name]


def test_a_name_with_brackets_is_a_name(tmp_path):
    series = Series(tmp_path, "night[1]", compress=True, keep_ns=None)
    paths = [finished(series, 5), finished(series, 5)]
    assert len(set(paths)) == 2
    part = part_path(packed_path(paths[0]))
    part.write_bytes(b"half of it")
    assert len(series.tidy().compressed) == 2
    assert not part.exists()
