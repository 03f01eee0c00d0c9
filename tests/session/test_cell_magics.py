"""`%%tes_observe`, `%%tes_record` and the words of `%tes`, in a real Jupyter kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.kernels import Kernel, kernel

pytestmark = [
    pytest.mark.timeout(150),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),  # of jupyter_client
]

START = """
import os, tempfile
os.environ["TES_SESSION_DIR"] = tempfile.mkdtemp()
%load_ext tes_nb
import tes_nb as tes
s = tes.start(ports=(0, 0)); s.metrics.wait(rows=1, timeout=20)
"""
SIZE = 500_000_000
ALLOCATE = f"""%%tes_observe
import time
block = bytearray({SIZE})
block[::4096] = b"1" * len(block[::4096])
time.sleep(1.2)
kept = 7
del block
"""


@pytest.fixture(scope="module")
def notebook() -> Iterator[Kernel]:
    with kernel() as running:
        assert "Error" not in running.run(START)
        yield running


def test_observing_a_cell_shows_its_peak_and_what_came_meanwhile(notebook):
    notebook.run("before = int(open('/proc/self/statm').read().split()[1]) * 4096")
    shown = notebook.run(ALLOCATE)
    peak = float(re.search(r"rss_peak ([\d,.]+) MiB", shown)[1].replace(",", "")) * 2**20
    before = int(notebook.run("print(before)").split()[-1])
    assert peak - before == pytest.approx(SIZE, rel=0.05)
    assert int(re.search(r"metrics (\d+)", shown)[1]) >= 2
    assert notebook.run("print(kept)").strip() == "7"
    notebook.run("cells = s.cells()")
    assert notebook.run("print(cells[cells.rss_peak - before > 4e8].shape[0])").strip() == "1"


def test_what_an_observed_cell_raises_passes_through_once(notebook):
    shown = notebook.run("%%tes_observe\nx = 3\n1 / 0")
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert plain.count("ZeroDivisionError: division by zero") == 1
    assert "outcome error" in shown
    assert notebook.run("print(x)").strip() == "3"


def test_a_cell_is_recorded(notebook):
    shown = notebook.run("%%tes_record friday\nimport time; time.sleep(1.5); y = 4")
    assert "friday" in shown
    assert notebook.run("print(y)").strip() == "4"
    rows = notebook.run("old = tes.open('friday'); print(len(old.metrics.frame()))")
    assert int(rows.split()[-1]) >= 2
    assert "ZeroDivisionError" in notebook.run("%%tes_record saturday\n1 / 0")
    assert notebook.run("print(len(tes.open('saturday').feeds) >= 0)").split()[-1] == "True"
    assert "takes one name" in notebook.run("%%tes_record a b\nz = 1")
    assert "NameError" in notebook.run("z")


def test_beside_a_replay_a_cell_is_observed_and_recorded_in_the_live_session(notebook):
    notebook.run("%%tes_record thursday\nimport time; time.sleep(0.7)")
    notebook.run("r = tes.replay('thursday', speed='max')")
    assert "rss_peak" in notebook.run("%%tes_observe\npass")
    assert "sunday" in notebook.run("%%tes_record sunday\npass")
    assert "replay of thursday.tes" in notebook.run("print(r._repr_mimebundle_()['text/html'])")
    notebook.run("r.stop()")


def test_words_give_views_and_sentences(notebook):
    for word, view in (("status", "LiveCards"), ("workers", "LiveTable"), ("metrics", "Chart")):
        notebook.run(f"view = get_ipython().run_line_magic('tes', '{word}')")
        assert notebook.run("print(type(view).__name__)").strip() == view
    notebook.run("view = get_ipython().run_line_magic('tes', 'dashboard')")
    assert notebook.run("print(type(view).__name__)").strip() == "Dashboard"
    assert "There is no '%tes wrong'" in notebook.run("%tes wrong")
    assert "does not take that" in notebook.run("%tes export a b c")
