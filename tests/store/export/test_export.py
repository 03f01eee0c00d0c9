"""Exports: whole or not at all, in constant memory, with sentences for what goes wrong."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest

from tes_nb.errors import ArgumentError, ExportError
from tes_nb.store import paths
from tes_nb.store.export.export import TableExport, exports, write_csv, write_folder
from tes_nb.store.memory.columns import Columns
from tes_nb.wire.events import Gap
from tests.store.memory.test_tables import store
from tests.support import exporting
from tests.support.interrupts import broken_off_after
from tests.support.messages import message
from tests.support.rows import EVERY_DTYPE, NOON, NUMBERS, SECOND, filled, number_rows


def table_of(stem, count, **facts) -> TableExport:
    rows = filled(NUMBERS, number_rows(count)).snapshot()
    return TableExport(stem, "test", NUMBERS, rows.chunks(50), count, **facts)


def run(what, folder, **options):
    """Run the exporting program; return what it says."""
    root = Path(exporting.__file__).parents[2]
    command = [*options.pop("before", ()), sys.executable, "-m", exporting.__name__, what, str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=50, check=False, cwd=root, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def files_in(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_one_file_with_its_header_and_rows(tmp_path):
    path = tmp_path / "new" / "numbers.csv"
    assert write_csv(path, NUMBERS, filled(NUMBERS, number_rows(3)).snapshot().chunks(2)) == 3
    assert path.read_text(encoding="utf-8") == (
        "time,sent_at,seq,conn,source,x,n\n"
        "2026-01-01T12:00:00.000000000Z,2026-01-01T11:59:59.999999995Z,1,1,test,0.0,0\n"
        "2026-01-01T12:00:01.000000000Z,2026-01-01T12:00:00.999999995Z,2,1,test,0.5,1\n"
        "2026-01-01T12:00:02.000000000Z,2026-01-01T12:00:01.999999995Z,3,1,test,1.0,2\n"
    )
    assert [found.name for found in path.parent.iterdir()] == ["numbers.csv"]


def test_the_header_is_the_same_without_rows(tmp_path):
    write_csv(tmp_path / "empty.csv", EVERY_DTYPE, [])
    write_csv(
        tmp_path / "full.csv", EVERY_DTYPE, [filled(EVERY_DTYPE, [(1.0, 1, 1, True, "", "", 1)]).snapshot()]
    )
    empty, full = ((tmp_path / name).read_text(encoding="utf-8") for name in ("empty.csv", "full.csv"))
    assert empty == full.splitlines(keepends=True)[0]


def test_the_one_documented_line_restores_times_and_numbers(tmp_path):
    path = tmp_path / "numbers.csv"
    write_csv(path, NUMBERS, [filled(NUMBERS, number_rows(5), start=NOON + 1).snapshot()])
    back = pd.read_csv(path, index_col="time", parse_dates=["time", "sent_at"])
    assert str(back.index.dtype) == str(back.dtypes["sent_at"]) == "datetime64[ns, UTC]"
    assert back.index.asi8.tolist() == [NOON + 1 + number * SECOND for number in range(5)]
    assert back["x"].tolist() == [0, 0.5, 1, 1.5, 2]


def test_a_folder_holds_one_file_a_table_and_their_description(tmp_path):
    gap = Gap(1, last_seen_ns=None, lost_at_ns=NOON, back_at_ns=NOON + 1, cause="reset", missing=3)
    reported = write_folder(
        tmp_path / "out", [table_of("a", 120, dropped=7, gaps=[gap]), table_of("b", 0)], created_ns=NOON
    )
    assert reported.rows == {"a.csv": 120, "b.csv": 0}
    assert str(reported) == (
        f"Wrote a.csv (120 rows), b.csv (0 rows) and datapackage.json to '{tmp_path / 'out'}'. "
        "7 older rows were no longer in memory."
    )
    package = json.loads((tmp_path / "out" / "datapackage.json").read_text(encoding="utf-8"))
    first, second = package["resources"]
    assert (first["rows"], first["dropped"], second["rows"]) == (120, 7, 0)
    assert first["bytes"] == (tmp_path / "out" / "a.csv").stat().st_size
    assert first["gaps"] == [
        {
            "conn": 1,
            "last_seen": None,
            "lost_at": "2026-01-01T12:00:00.000000000Z",
            "back_at": "2026-01-01T12:00:00.000000001Z",
            "cause": "reset",
            "missing": 3,
        }
    ]
    assert package["created"] == "2026-01-01T12:00:00.000000000Z"


def test_memory_of_a_stream_is_exported_under_its_names(tmp_path):
    held = store(cap=2)
    for number in range(4):
        held.receive(message([float(number)], seq=number + 1))
    held.add_event(Gap(1, None, lost_at_ns=NOON, back_at_ns=None, cause="reset"))
    reported = write_folder(tmp_path, exports(held, "peer"))
    assert reported.rows == {"peer.csv": 2, "peer_jumps.csv": 2}
    assert reported.dropped == 3
    package = json.loads((tmp_path / "datapackage.json").read_text(encoding="utf-8"))
    assert [entry["gaps"][0]["cause"] for entry in package["resources"]] == ["reset", "reset"]


@pytest.mark.parametrize(
    ("stems", "names"),
    [
        (["../../etc/x", "a/b", "a\\b", "a b"], [".._.._etc_x", "a_b", "a_b_2", "a_b_3"]),
        (["Peer", "peer"], ["Peer", "peer_2"]),
        (["", "con", "NUL.x", "größe", "x" * 300], ["table", "_con", "_NUL.x", "gr__e", "x" * 100]),
    ],
)
def test_names_of_strangers_stay_in_the_folder_and_apart(tmp_path, stems, names):
    reported = write_folder(tmp_path / "out", [table_of(stem, 1) for stem in stems])
    wanted = [f"{name.lstrip('.')}.csv" for name in names]
    assert list(reported.rows) == wanted
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*wanted, "datapackage.json"])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_progress_counts_all_rows_and_a_bar_can_be_shown(tmp_path, capsys):
    seen = []
    write_folder(tmp_path, [table_of("a", 120), table_of("b", 30)], progress=lambda *said: seen.append(said))
    assert [done for done, _ in seen] == [50, 100, 120, 150]
    assert {total for _, total in seen} == {150}
    write_csv(tmp_path / "c.csv", NUMBERS, table_of("c", 120).chunks, progress=True, rows=120)
    assert "120/120" in capsys.readouterr().err


def test_memory_stays_flat_in_the_number_of_rows(tmp_path):
    def pieces(count):
        for first in range(0, count, 1000):
            yield filled(NUMBERS, number_rows(1000, first)).snapshot()

    def peak_of(count):
        tracemalloc.start()
        try:
            assert write_csv(tmp_path / "large.csv", NUMBERS, pieces(count)) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak_of(5000)
    assert peak_of(40_000) < 1.3 * peak_of(10_000)


def test_fault_34_a_killed_export_leaves_no_partial_file_under_a_final_name(tmp_path):
    assert run("kills", tmp_path) == f"killed {exporting.KILLS}"
    whole = set()
    for count in (2000, 3000):
        folder = tmp_path / f"whole{count}"
        tables = [table_of(stem, count) for stem in ("one", "two")]
        write_folder(folder, tables, created_ns=0)
        whole |= {(name, digest) for name, digest in files_in(folder).items()}
        shutil.rmtree(folder)
    found = files_in(tmp_path)
    final = {item for item in found.items() if not item[0].startswith(".tes-")}
    assert {name for name, _ in final} == {"one.csv", "two.csv", "datapackage.json"}
    assert final <= whole


def test_leftovers_of_killed_exports_go_with_the_next_export_and_fresh_ones_stay(tmp_path):
    old, fresh, other = (tmp_path / name for name in (".tes-1.part", ".tes-2.part", "mine.part"))
    for path in (old, fresh, other):
        path.write_text("x", encoding="utf-8")
        os.utime(path, (0, 0) if path != fresh else None)
    write_folder(tmp_path, [])
    assert not old.exists()
    assert fresh.exists()
    assert other.exists()


def test_a_folder_holds_the_last_export_alone_and_the_files_of_others(tmp_path):
    write_folder(
        tmp_path, [table_of("a", 3), table_of("Peer", 3), table_of("changed", 3), table_of("gone", 3)]
    )
    (tmp_path / "mine.csv").write_text("x", encoding="utf-8")
    with (tmp_path / "changed.csv").open("a", encoding="utf-8") as file:
        file.write("a note of the user's\n")
    (tmp_path / "gone.csv").unlink()
    write_folder(tmp_path, [table_of("b", 2), table_of("peer", 1)])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["b.csv", "changed.csv", "datapackage.json", "mine.csv", "peer.csv"]
    write_folder(tmp_path, [])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["changed.csv", "datapackage.json", "mine.csv"]


def test_a_description_of_another_program_lets_no_file_go(tmp_path):
    (tmp_path / "a.csv").write_text("x", encoding="utf-8")
    foreign = {"name": "mine", "resources": [{"name": "a", "path": "a.csv", "bytes": 1}]}
    (tmp_path / "datapackage.json").write_text(json.dumps(foreign), encoding="utf-8")
    write_folder(tmp_path, [table_of("b", 2)])
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "x"


def test_an_interrupt_at_any_step_leaves_the_old_export_or_the_new_one(tmp_path):
    new_tables = [table_of("a", 60), table_of("b", 60)]
    write_folder(tmp_path / "new", new_tables, created_ns=0)
    new = files_in(tmp_path / "new")
    broken_off, at_line, folder = 0, 0, tmp_path / "out"
    while True:
        at_line += 5
        shutil.rmtree(folder, ignore_errors=True)
        write_folder(folder, [table_of("a", 30), table_of("c", 5)], created_ns=0)
        old = files_in(folder)
        new_tables = [table_of("a", 60), table_of("b", 60)]
        try:
            broken_off_after(
                at_line, lambda t=new_tables: write_folder(folder, t, created_ns=0), within="tes_nb/store"
            )
        except KeyboardInterrupt:
            broken_off += 1
            after = files_in(folder)
            assert set(after) <= {*old, *new}, "a temporary file was left behind"
            assert all(after[name] in {old.get(name), new.get(name)} for name in after)
            if after["datapackage.json"] == new["datapackage.json"]:
                assert after == new
        else:
            break
    assert files_in(folder) == new
    assert broken_off > 50


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_an_error_on_the_way_leaves_the_folder_as_it_was(tmp_path, error):
    write_folder(tmp_path, [table_of("a", 10)], created_ns=0)
    before = files_in(tmp_path)

    def stop(done, total):
        raise error

    with pytest.raises(error):
        write_folder(tmp_path, [table_of("a", 500), table_of("b", 500)], progress=stop)
    assert files_in(tmp_path) == before


def test_fault_28_a_file_that_grows_too_large_is_a_sentence_and_leaves_nothing(tmp_path):
    said = run("fsize", tmp_path / "out")
    assert said == (
        f"Nothing was written to '{tmp_path / 'out' / 'one.csv'}': the file would be larger than this system or "
        "'ulimit -f' allows; export less, or raise it."
    )
    assert list((tmp_path / "out").iterdir()) == []


def can_mount() -> bool:
    probe = ["unshare", "-m", "true"] if os.geteuid() == 0 else ["unshare", "-rm", "true"]
    return (
        shutil.which("unshare") is not None
        and subprocess.run(probe, capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not can_mount(), reason="this system lets nobody mount a small disk")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("size=1m", "the disk is full; free some space or export to another folder"),
        ("ro", "it is on a read-only file system"),
    ],
)
def test_fault_28_a_full_or_read_only_disk_is_a_sentence_and_leaves_nothing(tmp_path, options, sentence):
    script = f'mount -t tmpfs -o {options} tmpfs "$0" && "$@" && ls -A "$0"'
    namespace = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    said = run("export", tmp_path, before=[*namespace, "sh", "-c", script, str(tmp_path)])
    assert sentence in said
    assert "\n" not in said  # `ls` found nothing


@pytest.fixture
def open_folder():
    """A folder that everybody may enter, not only its owner."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_fault_35_a_folder_without_permission_is_a_sentence(open_folder):
    locked = open_folder / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    if os.geteuid() == 0:
        error = _as_nobody(locked)
    else:
        with pytest.raises(ExportError) as caught:
            write_folder(locked, [table_of("a", 1)])
        error = str(caught.value)
    assert "you have no permission to write there" in error
    assert list(locked.iterdir()) == []


def _as_nobody(folder: Path) -> str:
    """Export in a child that has given up being root; the modules are loaded before, while they can be read."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgid(65534)
        os.setuid(65534)
        os.write(writing, exporting.export(folder).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        text = said.read().decode()
    os.waitpid(child, 0)
    return text


def test_fault_35_a_folder_that_vanishes_meanwhile_is_a_sentence(tmp_path):
    folder = tmp_path / "out"

    def vanish(done, total):
        shutil.rmtree(folder, ignore_errors=True)

    with pytest.raises(ExportError, match="the folder has gone; make it again"):
        write_folder(folder, [table_of("a", 10), table_of("b", 10)], progress=vanish)


def test_paths_that_are_the_wrong_thing_get_a_sentence(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "folder.csv").mkdir()
    for call, sentence in [
        (lambda: write_folder(tmp_path / "file", []), "it is a file, not a folder"),
        (lambda: write_folder(tmp_path / "file" / "out", []), "a part of the path is a file"),
        (lambda: write_csv(tmp_path / "folder.csv", NUMBERS, []), "it is a folder, not a file"),
        (lambda: write_csv(tmp_path / "file" / "x.csv", NUMBERS, []), "is a file, not a folder"),
        (lambda: write_csv("", NUMBERS, []), "it is a folder, not a file"),
        (lambda: write_csv(tmp_path / ("x" * 300), NUMBERS, []), "the path is too long"),
    ]:
        with pytest.raises(ExportError, match=sentence):
            call()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.csv"]


def test_an_unknown_rule_for_formulas_gets_a_sentence(tmp_path):
    with pytest.raises(ArgumentError, match="'neutralise' or 'keep'"):
        write_csv(tmp_path / "x.csv", NUMBERS, [], formulas="yes")
    with pytest.raises(ArgumentError, match="'neutralise' or 'keep'"):
        write_folder(tmp_path, [], formulas="yes")


def test_every_error_of_the_system_has_advice(tmp_path):
    for number in [*paths._ADVICE, 5, 99, 0]:
        with (
            pytest.raises(ExportError, match=r"^Nothing was written to '.*': [a-zA-Z'].+\.$"),
            paths.explained(tmp_path),
        ):
            raise OSError(number, os.strerror(number))


def test_rows_may_pour_in_while_they_are_exported(tmp_path):
    columns = Columns(NUMBERS, cap=1000)
    columns.append(number_rows(1000), time_ns=NOON, seq=1)

    def more(done, total):
        columns.append(number_rows(700, columns.total), time_ns=NOON, seq=2)

    snapshot = columns.snapshot()
    assert write_csv(tmp_path / "x.csv", NUMBERS, snapshot.chunks(100), progress=more) == 1000
    assert pd.read_csv(tmp_path / "x.csv")["n"].tolist() == list(range(1000))


def test_exporting_loads_no_pandas():
    code = "import sys, tes_nb.store.memory.tables, tes_nb.store.export.export; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=50).returncode == 0
