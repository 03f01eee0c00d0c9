"""A handle in another process than its own: it works, or says at once that it does not. Its own process goes on."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from typing import Any

import pytest

import tes_nb as tes
from tes_nb.errors import SessionError
from tests.support.kernels import kernel
from tests.support.waiting import busy, eventually

LIMIT_S = 1.5
"""A second, and what a busy machine adds."""
HERE = "this is another process"


async def first(feed: tes.Feed) -> object:
    async for message in feed:
        return message
    return None


SESSION: dict[str, tuple[Any, ...]] = {
    "gauge": ("loss", 0.5),
    "gauges": ({"speed": (3, "rows/s")},),
    "mark": ("from the child",),
    "scale": (1,),
    "observe": ("http://127.0.0.1:8787",),
    "cluster": (1,),
    "record": ("never",),
    "watch": ("nowgoal",),
    "unwatch": (None,),
    "as_of": ("2026-01-01",),
    "to_csv": ("never",),
    "export": ("never",),
    "to_parquet": ("never",),
    "to_har": ("never.har",),
    "report": ("never.html",),
}
FEED: dict[str, tuple[Any, ...]] = {
    "as_of": ("2026-01-01",),
    "to_csv": ("never.csv",),
    "export": ("never.csv",),
    "to_parquet": ("never.parquet",),
    "on_message": (print,),
    "subscribe": (["x"],),
    "wait": (1,),
    "wait_async": (1,),
    "lookup": ("metrics",),
    "table": ("subscribers",),
}
RECORDING: dict[str, tuple[Any, ...]] = {
    "to_csv": ("recorded",),
    "export": ("recorded",),
    "to_parquet": ("recorded",),
    "to_har": ("recorded.har",),
    "save_as": ("saved.tes",),
}
INTERNAL = {
    "at_exit",
    "discard",
    "await_stop",
    "stop_now",
    "report_kernel",
    "watch_cells",
    "measure_cell",
    "store",
    "recent",
    "close",
    "cell_costs",
    "feed_and_table",
    "subject_notes",
    "steering",
    "walk_filter",
    "walk_filters",
}
OPTIONS = ["url", "token", "ports", "taken_ports", "collector_pid", "measures_cells", "running"]
WORKS = {
    tes.Session: {"gauge", "gauges", "mark", "stop", "repr", *OPTIONS},
    tes.Feed: {
        "state",
        "look",
        "tables",
        "columns",
        "source",
        "name",
        "closed",
        "repr",
        "lookup",
        "dropped_messages",
    },
    tes.Recording: {"kept", "running", "repr", "open", "save_as", "to_csv", "export", "to_parquet", "to_har"},
}
"""What is known without the session's own process, what is said to it over a connection of the child's own, and what
lies in a file."""


def calls(handle: object, arguments: dict[str, tuple[Any, ...]]) -> dict[str, Callable[[], object]]:
    """Every public property and method of a handle, to be called."""
    kind = type(handle)
    public: dict[str, Callable[[], object]] = {"repr": lambda: repr(handle)}
    for name in dir(kind):
        if name.startswith("_") or name in INTERNAL or not hasattr(kind, name):
            continue
        if callable(getattr(kind, name)):
            named = {"messages": 1} if (kind, name) == (tes.Recording, "wait") else {}
            public[name] = lambda name=name, named=named: getattr(handle, name)(
                *arguments.get(name, ()), **named
            )
        else:
            public[name] = lambda name=name: getattr(handle, name)
    return public


def outcome(act: Callable[[], object]) -> tuple[str, str, float]:
    """(the error's name or "", its sentence or the result, seconds)."""
    began = time.monotonic()
    try:
        result = act()
        if asyncio.iscoroutine(result):
            result = asyncio.run(result)
        return "", str(result), time.monotonic() - began
    except Exception as error:  # noqa: BLE001 - that is what is asked for
        return type(error).__name__, str(error), time.monotonic() - began


def in_a_fork(acts: dict[str, Callable[[], object]]) -> dict[str, tuple[str, str, float]]:
    """What the calls give in a forked child."""
    context = multiprocessing.get_context("fork")
    mine, its = context.Pipe()

    def child() -> None:
        its.send({name: outcome(act) for name, act in acts.items()})

    process = context.Process(target=child)
    process.start()
    its.close()
    assert mine.poll(60), "the child hangs"
    outcomes: dict[str, tuple[str, str, float]] = mine.recv()
    process.join(10)
    assert process.exitcode == 0
    return outcomes


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fault_87_each_call_in_a_forked_child_works_or_raises_and_the_parent_goes_on(
    session, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with session.record(tmp_path / "fork.tes") as recording:
        recording.wait(messages=3, timeout=20)
        handles = ((session, SESSION), (session.metrics, FEED), (recording, RECORDING))
        for handle, arguments in handles:
            outcomes = in_a_fork(calls(handle, arguments))
            limit_s = busy(LIMIT_S)
            works = WORKS[type(handle)]
            assert works <= outcomes.keys()
            wrong = {
                name: (error, sentence, seconds)
                for name, (error, sentence, seconds) in outcomes.items()
                if (error != "" if name in works else error != "SessionError" or HERE not in sentence)
                or (seconds > limit_s and name not in ("to_csv", "to_parquet", "to_har", "export"))
            }
            assert wrong == {}, type(handle)
        assert in_a_fork({"iterate": lambda: first(session.metrics)})["iterate"][0] == "SessionError"
        assert session.running
        assert recording.state == "RECORDING"
        assert session.metrics.wait(rows=2, timeout=20) >= 2
        assert session.metrics.state == "OPEN"
    eventually(lambda: "from the child" in set(session.marks["label"]))
    gauges = session.kernel.frame("gauges")
    assert list(gauges["value"][gauges["name"] == "loss"]) == [0.5]
    assert not list(tmp_path.glob("never*"))
    assert (tmp_path / "recorded" / "metrics.csv").is_file()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fault_87_a_view_in_a_forked_child_says_where_it_moves_and_ends_nothing(session):
    views = {
        "chart": session.metrics.plot(),
        "table": session.workers.table(),
        "inspector": session.inspector(),
        "dashboard": session.dashboard(),
    }
    outcomes = in_a_fork({name: lambda view=view: view._repr_mimebundle_() for name, view in views.items()})
    for name, (error, shown, seconds) in outcomes.items():
        assert error == "", name
        assert HERE in shown
        assert "text/html" not in shown
        assert seconds < busy(LIMIT_S)
    ends = in_a_fork(
        {name: lambda view=view: (view.close(), view.comm is None) for name, view in views.items()}
    )
    assert {shown for _, shown, _ in ends.values()} == {"(None, False)"}
    for view in views.values():
        assert "text/html" in view._repr_mimebundle_()[0]
        with pytest.raises(SessionError, match="belongs to the process that made it"):
            multiprocessing.get_context("spawn").Process(target=print, args=(view,)).start()
        view.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_state_in_a_forked_child_says_which_process_is_meant(session):
    state = in_a_fork({"state": lambda: session.metrics.state})["state"][1]
    assert state.startswith(f"CLOSED: {HERE} (pid ")
    assert f"(pid {os.getpid()})" in state
    assert "CLOSED" not in str(session.metrics.state)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_s_child_has_a_connection_of_its_own(session):
    def grandchild() -> int:
        session.gauge("depth", 1)
        pid = os.fork()
        if pid == 0:
            try:
                session.gauge("depth", 2)
            finally:
                os._exit(0)
        return os.waitpid(pid, 0)[1]

    assert in_a_fork({"grandchild": grandchild})["grandchild"][:2] == ("", "0")
    gauges = eventually(lambda: session.kernel.frame("gauges").query("name == 'depth'"))
    assert sorted(gauges["value"]) == [1, 2]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.usefixtures("own_registry")
def test_where_the_collector_has_ended_a_child_hears_of_it_within_a_second():
    with tes.start(ports=(0, 0)) as own:
        acts = {"gauge": lambda: own.gauge("x", 1), "mark": lambda: own.mark("x")}
        own._backend.stop()
        for error, sentence, seconds in in_a_fork(acts).values():
            assert error == "CollectorError"
            assert "did not answer" in sentence
            assert seconds < busy(LIMIT_S)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_fault_87_what_cannot_be_sent_to_another_process_is_a_sentence(session, tmp_path, method):
    context = multiprocessing.get_context(method)
    with session.record(tmp_path / f"{method}.tes") as recording:
        for handle in (session, session.metrics, session.workers.health, recording):
            began = time.monotonic()
            with pytest.raises(SessionError, match="belongs to the process that made it"):
                context.Process(target=print, args=(handle,)).start()
            assert (
                time.monotonic() - began < busy(LIMIT_S) or method == "forkserver"
            )  # the first starts the server
        assert recording.state == "RECORDING"
    assert session.metrics.wait(rows=1, timeout=20) >= 1


def test_a_child_that_ends_like_a_program_of_its_own_ends_nothing():
    """`os.fork` without `os._exit`: blocks are left and functions of `atexit` run in the child as well."""
    code = """
        import os, sys, tempfile
        import tes_nb as tes
        with tes.start(ports=(0, 0)) as s, s.record(tempfile.mkdtemp() + "/a.tes") as recording:
            s.metrics.wait(rows=1, timeout=20)
            pid = os.fork()
            if pid == 0:
                s.gauge("x", 1)
                sys.exit(7)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            print(s.metrics.wait(rows=2, timeout=20) >= 2, recording.state, len(s.kernel.frame("gauges")))
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["7", "True", "RECORDING", "1"], done.stderr


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of jupyter_client
def test_a_gauge_of_a_forked_worker_arrives_in_the_notebook():
    with kernel() as notebook:
        notebook.run("import tes_nb as tes; s = tes.start(ports=(0, 0)); s.metrics.wait(rows=1, timeout=20)")
        notebook.run(
            "import multiprocessing, time\n"
            "def train(): s.gauge('loss', 0.25); s.mark('epoch')\n"
            "child = multiprocessing.get_context('fork').Process(target=train); child.start(); child.join()\n"
            "until = time.monotonic() + 10\n"
            "while not len(s.kernel.frame('gauges')) and time.monotonic() < until: time.sleep(0.05)"
        )
        assert notebook.error == ""
        said = notebook.run("print(*s.kernel.frame('gauges').value, *s.marks.label, s.metrics.state.word)")
        assert said.split() == ["0.25", "epoch", "OPEN"]
