"""`%%tes_observe`, `%%tes_record` and the words of `%tes`, in a real Jupyter kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

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
    peak = float(re.search(r"peak memory: kernel ([\d,.]+) MB", shown)[1].replace(",", "")) * 1e6
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
    assert re.search(r"<cell \d+: error, took [\d.]+ s", shown)
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
    assert notebook.error == "ArgumentError"
    assert "NameError" in notebook.run("z")


def test_beside_a_replay_a_cell_is_observed_and_recorded_in_the_live_session(notebook):
    notebook.run("%%tes_record thursday\nimport time; time.sleep(0.7)")
    notebook.run("r = tes.replay('thursday', speed='max')")
    assert "peak memory" in notebook.run("%%tes_observe\npass")
    assert "sunday" in notebook.run("%%tes_record sunday\npass")
    assert "replay of thursday.tes" in notebook.run("print(r._repr_mimebundle_()['text/html'])")
    notebook.run("r.stop()")


SPEND = """%%tes_observe
import subprocess, sys
code = "import time; x = bytearray(80_000_000)\\nwhile time.process_time() < 1: pass"
done = subprocess.run([sys.executable, "-c", code])
"""


def test_the_row_of_an_observed_cell_has_its_own_number_once_and_shows_its_children(notebook):
    report = notebook.run(SPEND)
    number = int(re.search(r"<cell (\d+): ok, took", report)[1])
    own = int(notebook.run("print(len(In) - 2)"))  # the cell before the one that asks
    assert number == own
    cpu = re.search(r"CPU time: kernel ([\d.]+) s, children ([\d.]+) s, together ([\d.]+) s", report)
    kernel_s, children_s, both_s = map(float, cpu.groups())
    assert children_s > 0.9
    assert both_s == pytest.approx(kernel_s + children_s, abs=0.002)
    peak = re.search(r"peak memory: kernel [\d,.]+ MB, children ([\d,.]+) MB, together ([\d,.]+) MB", report)
    children, both = (float(text.replace(",", "")) for text in peak.groups())
    assert 78 < children < both  # 83.9 MB, less what was not touched at the last look
    notebook.run("1")
    numbers = notebook.run("print(*s.cells().number)").split()
    assert len(set(numbers)) == len(numbers)
    assert numbers[-3:] == [str(own), str(own + 1), str(own + 2)]


def test_what_a_cell_runs_in_its_turn_is_a_part_of_it(notebook):
    notebook.run(
        "get_ipython().run_cell('1 + 1', store_history=False)\n"
        "until = __import__('time').process_time() + 0.3\n"
        "while __import__('time').process_time() < until: pass"
    )
    own = int(notebook.run("print(len(In) - 2)"))
    row = notebook.run(f"c = s.cells(); c = c[c.number == {own}]; print(len(c), c.cpu_s.sum())").split()
    assert row[0] == "1"
    assert float(row[1]) > 0.28


def test_what_cannot_be_done_is_an_error_of_the_cell_and_one_sentence(notebook):
    notebook.run("s.record('night').stop()")
    sentences = {
        "%%tes_record night\nnever_run = 'trained'": ("CollectorError", "exists already"),
        "%tes export /proc/x": ("ExportError", "Nothing was written to '/proc/x'"),
        "%tes record stop": ("SessionError", "Nothing is recorded by this session"),
        "%tes record a b": ("ArgumentError", "takes one name"),
        "%tes wrong": ("ArgumentError", "There is no '%tes wrong'"),
        "%tes replay C:\\runs\\no": ("SessionError", "C:\\runs\\no cannot be opened"),
        "%%tes_observe this\nnever_run = 1": ("ArgumentError", "takes nothing behind it"),
    }
    for code, (error, sentence) in sentences.items():
        text = notebook.run(code)
        assert notebook.error == error, text
        assert text.startswith(f"{error}: ")
        assert sentence in text
        assert "Traceback" not in text
    notebook.run("never_run")
    assert notebook.error == "NameError"  # the cells were not run


def test_what_an_observed_cell_raises_of_ours_keeps_its_traceback(notebook):
    notebook.run("s.record('twice').stop()")
    text = notebook.run("%%tes_observe\ns.record('twice')\n")
    assert notebook.error == "CollectorError"
    assert "s.record('twice')" in re.sub(r"\x1b\[[\d;]*m", "", text)


def test_run_all_and_papermill_stop_at_such_a_cell(tmp_path):
    cells = [nbformat.v4.new_code_cell(code) for code in (START, "%tes export /proc/x", "after = 1")]
    one = nbformat.v4.new_notebook(cells=cells)
    with pytest.raises(CellExecutionError, match="Nothing was written"):
        NotebookClient(one, timeout=60, kernel_name="python3").execute(cwd=str(tmp_path))
    assert [output.output_type for output in one.cells[1].outputs][-1] == "error"
    assert one.cells[2].execution_count is None


def test_a_label_stays_as_it_was_typed_but_for_variables(notebook):
    notebook.run("step = 7")
    for label in ("it's slow now", "C:\\temp\\run", 'a "quoted   one', "at {step} of $step"):
        notebook.run(f"%tes mark {label}")
        assert notebook.error == ""
    labels = notebook.run("print(*s.marks.label.tail(4), sep='|')").strip()
    assert labels == "it's slow now|C:\\temp\\run|a \"quoted   one|at 7 of 7"


def test_a_name_with_a_date_is_new_each_night_and_the_same_one_is_replaced_on_demand(notebook):
    notebook.run("from datetime import date")  # a variable of that name is not meant
    for _ in range(2):
        text = notebook.run("%%tes_record night-{date} --overwrite\nmodel = 1")
        assert re.search(r"Stopped recording night-\d{4}-\d\d-\d\d\.tes", text)
    notebook.run("%%tes_record night-{date}\nmodel = 2")
    assert notebook.error == "CollectorError"
    assert notebook.run("print(model)").strip() == "1"


def test_a_reload_loses_nothing(notebook):
    notebook.run("%tes record reloaded")
    notebook.run("%reload_ext tes_nb")
    assert notebook.run("print(s.running, tes.sessions() == [s], len(s.recordings()))").split() == [
        "True",
        "True",
        "1",
    ]
    notebook.run("%load_ext autoreload\n%autoreload 2")
    notebook.run("import os, tes_nb.session.start, tes_nb.net.loop")
    notebook.run("for module in (tes_nb.session.start, tes_nb.net.loop): os.utime(module.__file__)")
    notebook.run("before = id(tes_nb.session.start.replay)")
    assert notebook.run("print(tes.sessions() == [s], s.recordings()[0].state)").split() == [
        "True",
        "RECORDING",
    ]
    notebook.run("%autoreload 0")
    assert "Stopped recording reloaded.tes" in notebook.run("%tes record stop")
    assert "Nothing is recorded" in notebook.run("%tes record stop")


def test_words_give_views_and_sentences(notebook):
    for word, view in (("status", "LiveCards"), ("workers", "LiveTable"), ("metrics", "Chart")):
        notebook.run(f"view = get_ipython().run_line_magic('tes', '{word}')")
        assert notebook.run("print(type(view).__name__)").strip() == view
    notebook.run("view = get_ipython().run_line_magic('tes', 'dashboard')")
    assert notebook.run("print(type(view).__name__)").strip() == "Dashboard"
    assert "There is no '%tes wrong'" in notebook.run("%tes wrong")
    assert "does not take that" in notebook.run("%tes export a b c")


def test_without_a_session_the_view_of_a_feed_says_that_none_runs():
    with kernel() as fresh:
        text = fresh.run("%load_ext tes_nb\n%tes metrics")
        assert text.startswith("SessionError: No session runs yet. %tes start starts one."), text
        assert "There is no '%tes wrong'" in fresh.run("%tes wrong")
