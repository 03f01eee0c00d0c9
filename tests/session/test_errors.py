"""What a person reads when a name was mistyped: in a cell, the own lines and one sentence that says what was meant."""

from __future__ import annotations

import re

import pandas as pd
import pytest

import tes_nb as tes
from tes_nb.errors import counted
from tests.support.kernels import kernel


def plain(text):
    return re.sub(r"\x1b\[[\d;]*m", "", text)


@pytest.fixture(scope="module")
def session():
    with tes.start(ports=(0, 0)) as running:
        running.metrics.wait(rows=1, timeout=20)
        yield running


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        (lambda s: s.metrics.frame("metrcs"), "metrics"),
        (lambda s: s.metrics.plot(["cpu_percnt"]), "cpu_percent"),
        (lambda s: s.metrics.figure(columns=["memory_rs"]), "memory_rss"),
        (lambda s: s.frame(["metrcs"], every="1s"), "metrics"),
        (lambda s: s.watch(tes.SIMULATED, channels=["odd"]), "odds"),
        (lambda s: s.watch(tes.SIMULATED, sped=3), "speed"),
        (lambda s: s.workers.plot(by=["nam"]), "name"),
    ],
)
def test_a_mistyped_name_says_what_was_meant(session, call, meant):
    with pytest.raises(tes.TesError) as refused:
        call(session)
    assert f"Did you mean '{meant}'?" in str(refused.value)


def test_nothing_is_guessed_where_nothing_is_near(session):
    with pytest.raises(tes.TesError) as refused:
        session.metrics.frame("zzz")
    assert "Did you mean" not in str(refused.value)


@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of jupyter_client
def test_a_cell_shows_the_users_lines_and_the_sentence_and_tb_shows_all():
    with kernel() as running:
        running.run("import tes_nb as tes\ndef mine():\n    return tes.open('no such file.tes')")
        shown = plain(running.run("mine()"))
        assert "return tes.open('no such file.tes')" in shown
        assert "site-packages" not in shown
        assert "session/open.py" not in shown
        assert re.search(r"SessionError: .*no such file", shown)
        everything = plain(running.run("%tb"))
        assert "open_session" in everything
        again = plain(running.run("s = tes.start(ports=(0, 0)); s.record(sources=['x'])"))
        assert re.search(r"\n\w+Error: 'sources' must name some of", again)
        assert "control_client.py" not in again  # raised on another thread, and carried through futures
        assert "concurrent" not in again


def test_a_state_is_one_line(session):
    assert repr(session.metrics.state) == str(session.metrics.state)


def test_an_export_read_back_shows_its_tables(session, tmp_path):
    session.to_csv(tmp_path, progress=False)
    frames = tes.read_csv(tmp_path)
    assert isinstance(frames["metrics"], pd.DataFrame)
    assert re.search(r"^  metrics +\d+ rows?, 2\d columns$", repr(frames), re.MULTILINE)
    assert len(repr(frames).splitlines()) == len(frames) + 1


@pytest.mark.parametrize(("count", "text"), [(0, "0 gaps"), (1, "1 gap"), (2451, "2,451 gaps")])
def test_one_is_one(count, text):
    assert counted(count, "gap") == text
