"""A real session: a collector in its own process, three streams, frames, files."""

from __future__ import annotations

import asyncio
import json
import re
import resource
import subprocess
import sys
import time
import urllib.request

import pandas as pd
import psutil
import pytest

import tes_nb as tes
from tes_nb.errors import BackgroundError, SessionError
from tes_nb.model.table import BASE_COLUMNS
from tests.support.waiting import eventually


def test_frames_have_the_declared_columns(session):
    for feed in session.feeds.values():
        for table in feed.stream.tables:
            frame = feed.frame(table.name)
            assert [frame.index.name, *frame.columns] == [c.name for c in BASE_COLUMNS] + list(table.names)
            assert str(frame.index.dtype) == "datetime64[ns, UTC]"
            assert frame.index.is_monotonic_increasing


def test_metrics_are_this_kernel_s(session):
    ballast = bytearray(60_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])
    session.metrics.wait(rows=3, timeout=10)
    said = session.metrics.frame()["memory_rss"].iloc[-1]
    assert said == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    del ballast


def test_ticks_are_half_a_second_apart(session):
    session.metrics.wait(rows=4, timeout=10)
    steps = session.metrics.frame().index.to_series().diff().dropna().dt.total_seconds()
    assert steps.median() == pytest.approx(0.5, abs=0.02)


def test_a_child_process_is_a_worker_with_its_own_pid(session):
    code = "x = bytearray(40_000_000); x[::4096] = b'x' * len(x[::4096]); print('up', flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    up = pd.Timestamp.now("UTC")  # before, it was a copy of this process for a moment, and as large

    def said():
        frame = session.workers.frame()
        rows = frame[(frame["pid"] == child.pid) & (frame.index > up)]
        return rows[rows["rss_mb"] > 35]

    row = eventually(said).iloc[-1]
    assert row["rss_mb"] == pytest.approx(psutil.Process(child.pid).memory_info().rss / 2**20, rel=0.2)
    child.kill()

    def health():
        frame = session.workers.frame("health")
        return frame[(frame["worker"] == row["id"]) & frame["to"].isin(["error", "terminated"])]

    ended = eventually(health).iloc[-1]
    child.wait()
    child.stdout.close()
    assert child.stdin is not None
    child.stdin.close()
    assert ended["to"] == "error"
    assert "SIGKILL" in ended["reason"]  # not reaped by us yet: its code could be seen


def test_async_iteration_in_the_caller_s_loop(session):
    async def first_three() -> list[int]:
        numbers = []
        async for message in session.metrics:
            assert message.json()["type"] == "metrics"
            numbers.append(message.seq)
            if len(numbers) == 3:
                break
        return numbers

    numbers = asyncio.run(first_three())
    assert numbers == list(range(numbers[0], numbers[0] + 3))


def test_latest_is_in_wire_form(session):
    assert session.status.latest["data"]["meta"]["statusVersion"] == "2.0"


def test_what_a_callback_raises_is_raised_by_the_next_call(session):
    def broken(message):
        raise ValueError("broken on purpose")

    off = session.metrics.on_message(broken)

    def raised():
        try:
            _ = session.metrics.latest
        except BackgroundError as error:
            return [error]
        return []

    (error,) = eventually(raised)
    off()
    raised()  # one more may have come meanwhile
    assert "'broken' raised ValueError: broken on purpose" in str(error)
    session.metrics.wait(rows=2, timeout=10)
    assert session.metrics.latest


def test_wait_counts_rows_and_says_when_it_cannot(session):
    assert session.metrics.wait(rows=2, timeout=10) >= 2
    assert asyncio.run(session.metrics.wait_async(seconds=0.2)) >= 0
    with pytest.raises(SessionError, match="Only 0 of 5 rows came"):
        session.kernel.wait(rows=5, timeout=0.3)
    with pytest.raises(SessionError, match="rows=… or seconds=…"):
        session.metrics.wait()


def test_gauges_come_back_on_the_same_time_line(session):
    session.gauge("loss", 0.25, unit="nats")
    row = eventually(lambda: session.kernel.frame("gauges")).iloc[-1]
    assert (row["name"], row["value"], row["unit"]) == ("loss", 0.25, "nats")
    assert abs((row["sent_at"] - pd.Timestamp.now("UTC")).total_seconds()) < 30


def test_marks_stand_in_every_feed(session):
    session.mark("deploy")
    for feed in session.feeds.values():
        assert "deploy" in list(eventually(lambda feed=feed: feed.marks)["label"])


def test_streams_on_one_grid(session):
    frame = session.frame(["metrics", "status"], every="1s")
    assert {"metrics_cpu_percent", "status_others_cpu"} <= set(frame.columns)
    assert frame.index.to_series().diff().dropna().eq(pd.Timedelta("1s")).all()
    with pytest.raises(SessionError, match="There is no feed 'weather'"):
        session.frame(["weather"])


def test_unknown_tables_are_named(session):
    with pytest.raises(SessionError, match="it has workers, summary, health"):
        session.workers.frame("nothing")


def test_states_and_faces(session):
    assert session.metrics.state == "OPEN"
    assert "metrics: OPEN" in repr(session)
    bundle = session._repr_mimebundle_()
    assert "running" in bundle["text/plain"]
    assert "<table" in bundle["text/html"]
    assert "memory.rss" in session.metrics._repr_mimebundle_()["text/html"]


def test_figure_and_report(session, tmp_path):
    assert {trace.name for trace in session.metrics.figure(["cpu_percent"]).data} == {"process"}
    page = session.report(tmp_path / "report.html").read_text()
    assert "<h2>metrics</h2>" in page
    assert 'src="http' not in page
    assert len(page) < 5_000_000
    body = page.partition("<body>")[2]
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)<small>", body))
    assert body.index("What it cost") < body.index("<h2>metrics</h2>") < body.index("<h2>status</h2>")
    assert facts["Gaps"] == str(len(session.gaps))
    cost = session.cost()  # counted by the collector, not from these frames
    assert float(facts["Kernel"].split()[0]) <= cost.loc["kernel", "cpu_s"] + 0.1
    assert facts["Host"].startswith(f"{cost.attrs['cores_limit']:g} cores")
    assert "prefers-color-scheme: dark" in page


def test_a_report_says_what_the_system_says_of_children(session, tmp_path):
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    before = float(report_facts(session, tmp_path)["Children"][0].split()[0])
    code = """import time
a = bytearray(300_000_000)
a[::4096] = b"x" * len(a[::4096])
while time.process_time() < 1.5: pass
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    session.metrics.wait(rows=4, timeout=20)  # the figures of the last half second
    used, memory = report_facts(session, tmp_path)["Children"]
    true_s = end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime
    assert float(used.split()[0]) - before == pytest.approx(true_s, rel=0.05, abs=0.1)
    words, amount = memory.rpartition("most ")[::2]
    assert words == "with the kernel at "
    assert float(amount.split()[0]) > 300 + psutil.Process().memory_info().rss / 1e6 * 0.7  # in MB


def report_facts(session, folder):
    """What its first lines say: title → the figure, and what stands below it."""
    body = session.report(folder / "report.html").read_text().partition("<body>")[2]
    return {
        title: (figure, below)
        for title, figure, below in re.findall(r"<dt>(.*?)</dt><dd>(.*?)<small>(.*?)</small>", body)
    }


def test_csv_round_trip(session, tmp_path):
    before = session.metrics.frame()
    folder = session.to_csv(tmp_path / "out", progress=False).folder
    names = {path.name for path in folder.iterdir()}
    assert {"status.csv", "metrics.csv", "workers.csv", "datapackage.json"} <= names
    back = tes.read_csv(folder)["metrics"].iloc[: len(before)]
    pd.testing.assert_frame_equal(back, before, check_categorical=False)
    package = json.loads((folder / "datapackage.json").read_text())
    assert any(resource["path"] == "metrics.csv" for resource in package["resources"])


def test_cost_sums_up(session):
    cost = session.cost()
    assert list(cost.index) == ["kernel", "children", "total"]
    assert cost.loc["kernel", "peak"] > 10_000_000
    assert cost.attrs["memory_limit"] > 0


def test_start_again_gives_the_same_session(session):
    assert tes.start() is session
    assert tes.sessions() == [session]


def test_the_token_is_nowhere_in_sight(session, capfd):
    token = session._control._token if hasattr(session._control, "_token") else None
    shown = (
        repr(session)
        + str(session.__dict__)
        + repr(session._control)
        + json.dumps(session._repr_mimebundle_())
    )
    assert token is None or token not in shown
    assert token is None or token not in "".join(capfd.readouterr())


def test_http_figures_do_not_count_ourselves(session):
    before = session.metrics.latest["http"]["totalRequests"]
    session.metrics.wait(rows=2, timeout=10)
    assert session.metrics.latest["http"]["totalRequests"] == before
    urllib.request.urlopen(session.url + "api/dev/status").read()
    session.metrics.wait(rows=2, timeout=10)
    assert session.metrics.latest["http"]["totalRequests"] == before + 1


@pytest.mark.alone
def test_a_held_interpreter_leaves_no_hole(session):
    """Fault 73 in small, and what the first page promises: a cell that holds the GIL loses nothing."""
    began = session.metrics.frame()["seq"].iloc[-1]
    held, held_at = time.monotonic(), pd.Timestamp.now("UTC")
    import re

    length = 22
    while time.monotonic() - held < 3:
        re.match(r"(a+)+$", "a" * length + "b")
        length += 1
    let_go_at = pd.Timestamp.now("UTC")
    session.metrics.wait(rows=2, timeout=10)
    frame = session.metrics.frame()
    after = frame[frame["seq"] > began]
    assert after["seq"].diff().dropna().eq(1).all()
    meanwhile = (
        (after.index > held_at) & (after.index < let_go_at)
    ).sum()  # each has the time at which it was made
    assert meanwhile >= (let_go_at - held_at) / pd.Timedelta("500ms") * 0.7
    assert len(session.metrics.gaps) == 0
