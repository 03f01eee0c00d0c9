"""Every notebook runs top to bottom, leaves nothing running, and is kept without outputs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nbformat
import psutil
import pytest
from nbclient import NotebookClient

from tests.support.dask_by_hand import by_hand

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",  # of the Jupyter client's own libraries, in this process only
    "ignore::ResourceWarning",
)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stripped(path: Path):
    for cell in json.loads(path.read_text())["cells"]:
        assert not cell.get("outputs"), "run scripts/strip_notebooks.py before committing"
        assert cell.get("execution_count") is None


@pytest.mark.timeout(240)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_and_closes_what_it_opened(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TES_DEV_TOKEN", "notebook-test-token-3f9a")
    before = collectors()
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    ).execute()
    assert collectors() == before
    assert "notebook-test-token-3f9a" not in nbformat.writes(notebook)  # fault 38: no token in outputs


def collectors() -> set[int]:
    """The pids of collectors and stand-ins that this test's descendants run."""
    found = set()
    for process in psutil.Process(os.getpid()).children(recursive=True):
        try:
            if {"tes_nb.collector", "tes_nb.simulate", "tes_nb.collector.workers.cluster_process"} & set(
                process.cmdline()
            ):
                found.add(process.pid)
        except psutil.Error:
            continue
    return found


@pytest.mark.timeout(240)
def test_the_workers_notebook_runs_on_a_scheduler_started_by_hand_with_one_line_changed(tmp_path: Path):
    notebook = nbformat.read(ROOT / "notebooks" / "06_workers.ipynb", as_version=4)
    (cell,) = [one for one in notebook.cells if one.source == "client = s.cluster(2)"]
    with by_hand(tmp_path / "scheduler.json") as dask:
        cell.source = f'from distributed import Client; client = Client("{dask.address}"); s.observe(client)'
        NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    shown = nbformat.writes(notebook)
    assert "a scheduler has no means to start or end workers" in shown
    assert "restarted at tcp://127.0.0.1:" in shown


POLARS = """
def rows_of(frame):
    cells = frame.astype(object)
    return cells.where(cells.notna(), None).to_numpy().tolist()

in_polars = many.frame("odds", engine="polars")
assert type(in_polars).__module__.startswith("polars")
assert len(odds) > 1000
assert rows_of(in_polars.to_arrow().to_pandas(integer_object_nulls=True)) == rows_of(odds.reset_index())
"""
"""The cells of polars' table are those of pandas', one by one."""


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_fifty_sessions_are_the_same_on_a_scheduler_started_by_hand_with_one_line_changed(tmp_path: Path):
    notebook = nbformat.read(ROOT / "notebooks" / "08_many_sessions.ipynb", as_version=4)
    (cell,) = [one for one in notebook.cells if one.source.startswith("frame = tes.cluster_frame(")]
    with by_hand(tmp_path / "scheduler.json") as dask:
        line = f'frame = tes.cluster_frame(folder, "odds", scheduler="{dask.address}")'
        cell.source = f"{line}\nassert len(many) == 50\n{POLARS}\nframe"
        NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
        assert f"<odds, 50 partitions, on {dask.address}>" in nbformat.writes(notebook)
