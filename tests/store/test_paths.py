"""Paths that users give: what cannot be resolved or written to is a sentence, whatever is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

import tes_nb as tes
from tes_nb.errors import ExportError, SessionError, TesError
from tes_nb.store.export.export import TableExport, write_csv, write_folder
from tes_nb.store.export.parquet import write_parquet, write_parquet_file
from tes_nb.store.export.restore import read_folder
from tes_nb.store.har.har_session import write_har
from tes_nb.store.paths import user_path
from tes_nb.store.session.schema import session_path
from tes_nb.views.report import write_report
from tests.support.rows import NUMBERS

TABLES = [TableExport("numbers", "test", NUMBERS, [])]
CALLS = {
    "open": tes.open,
    "replay": tes.replay,
    "record": session_path,
    "to_csv": lambda path: write_folder(path, TABLES),
    "to_parquet": lambda path: write_parquet(path, TABLES),
    "feed.to_csv": lambda path: write_csv(path, NUMBERS, []),
    "feed.to_parquet": lambda path: write_parquet_file(path, NUMBERS, []),
    "report": lambda path: write_report(path, [], title="x"),
    "to_har": lambda path: write_har(path, []),
    "read_csv": read_folder,
}


@pytest.fixture(params=CALLS)
def call(request):
    return CALLS[request.param]


@pytest.fixture
def gone(tmp_path, monkeypatch):
    """A current folder that has been removed."""
    monkeypatch.delenv("TES_SESSION_DIR", raising=False)
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    return tmp_path


@pytest.mark.usefixtures("gone")
@pytest.mark.parametrize("path", ["x", "x.tes", "x.har", "./a/b"])
def test_a_current_folder_that_has_gone(call, path):
    with pytest.raises(
        TesError, match="leads nowhere, since the current folder has gone: change to one that exi"
    ):
        call(path)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("a\0b", "is no path: it holds a NUL character"),
        ("~nobody_has_this_name/x", "begins with a home folder that does not exist"),
    ],
)
def test_what_is_no_path(call, path, sentence):
    with pytest.raises(TesError, match=sentence):
        call(path)


@pytest.mark.parametrize("path", ["x" * 300, "/dev/null/x/y", "/proc/nothing/x"])
def test_what_can_be_neither_read_nor_written(call, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if call is session_path:
        assert call(path).is_absolute()  # the recorder itself says what is wrong with it
        return
    with pytest.raises(TesError) as caught:
        call(path)
    assert str(caught.value).endswith(".")
    assert list(tmp_path.iterdir()) == []


def test_whole_paths_work_without_a_current_folder(gone):
    write_folder(gone / "csv", TABLES)
    assert list(read_folder(gone / "csv")) == ["numbers"]
    write_parquet(gone / "parquet", TABLES)
    assert session_path(gone / "x.tes") == gone / "x.tes"


def test_names_go_into_the_session_folder_without_a_current_folder(gone, monkeypatch):
    monkeypatch.setenv("TES_SESSION_DIR", str(gone))
    assert session_path("x") == gone / "x.tes"
    assert session_path(None).parent == gone


def test_a_name_is_needed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("", "/"):
        with pytest.raises(SessionError, match="names no file"):
            session_path(path)
        with pytest.raises(ExportError, match="it is a folder"):
            write_report(path, [], title="x")
    for path in (".", "..", "a/..", "~", "a/"):
        with pytest.raises(SessionError, match="names no file"):
            session_path(path)
    with pytest.raises(SessionError, match="begins with a home folder that does not exist"):
        session_path("~nosuchuser/x")


def test_a_tilde_is_a_home_everywhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/a") == tmp_path / "a"
    assert session_path("~/a.tes") == tmp_path / "a.tes"
    assert write_folder("~/csv", TABLES).folder == tmp_path / "csv"
    assert write_report("~/report.html", [], title="x") == tmp_path / "report.html"
    assert write_parquet("~/parquet", TABLES).folder == tmp_path / "parquet"
    assert list(read_folder("~/csv")) == ["numbers"]


def test_a_path_that_pyarrow_cannot_take_is_a_sentence(tmp_path):
    with pytest.raises(ExportError, match="pyarrow takes no path that is not UTF-8"):
        write_parquet(tmp_path / "\udcff", TABLES)
    assert list(tmp_path.iterdir()) == []


def test_relative_paths_stay_as_they_were_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert user_path("a/b") == Path("a/b")
    assert str(write_folder("csv", TABLES)) == "Wrote numbers.csv (0 rows) and datapackage.json to 'csv'."


@pytest.mark.usefixtures("gone")
def test_recording_from_a_folder_that_has_gone_is_a_sentence():
    with tes.start(ports=(0, 0)) as session:
        for path in ("x", None):
            with pytest.raises(SessionError, match="since the current folder has gone"):
                session.record(path)
        assert session.metrics.wait(rows=1, timeout=20)
