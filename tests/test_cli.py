"""The command line as a user meets it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pandas as pd
import psutil
import pytest

TES_NB = [sys.executable, "-W", "error", "-c", "from tes_nb.cli import main; main()"]


def run(*words: str, timeout: float = 50) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*TES_NB, *words], capture_output=True, text=True, timeout=timeout)


def serve(*words: str) -> tuple[subprocess.Popen[str], int, int]:
    child = subprocess.Popen(
        [*TES_NB, "serve", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    said = child.stdout.readline()
    ports = re.findall(r"http://127\.0\.0\.1:(\d+)/", said)
    assert len(ports) == 2, said + (child.stderr.read() if child.stderr else "")
    return child, int(ports[0]), int(ports[1])


@pytest.fixture
def unused_tcp_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def close(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()


def test_help_and_version():
    reported = run("--help").stdout
    for word in ("demo", "serve", "watch", "record", "check", "export", "lab"):
        assert word in reported
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", run("--version").stdout)
    assert "Status port" in run("serve", "--help").stdout


@pytest.mark.timeout(90)
def test_demo_writes_what_it_says(tmp_path: Path):
    done = run("demo", "--out", str(tmp_path / "demo"), "--seconds", "5", timeout=80)
    assert done.returncode == 0, done.stderr
    named = re.findall(r"^  (\S+)  \(", done.stdout, re.MULTILINE)
    assert all(Path(name).stat().st_size for name in named)
    assert {"metrics.csv", "status.csv", "workers.csv", "datapackage.json", "report.html"} <= {
        Path(name).name for name in named
    }
    report = done.stdout.rstrip().rpartition(" ")[2]
    assert report == (tmp_path / "demo" / "report.html").resolve().as_uri()
    metrics = pd.read_csv(
        tmp_path / "demo" / "metrics.csv", index_col="time", parse_dates=["time", "sent_at"]
    )
    assert len(metrics) >= 8
    workers = pd.read_csv(tmp_path / "demo" / "workers.csv")
    assert workers["rss_mb"].max() > 5
    assert "Traceback" not in done.stderr


@pytest.mark.timeout(90)
def test_serve_answers_and_ctrl_c_ends_it_with_130():
    child, status, workers = serve("--port", "0", "--workers-port", "0")
    try:
        assert b"statusVersion" in urllib.request.urlopen(f"http://127.0.0.1:{status}/api/dev/status").read()
        assert b"connected" in urllib.request.urlopen(f"http://127.0.0.1:{workers}/workers/status").read()
        watched = run("watch", f"localhost:{status}", "--workers", f"localhost:{workers}", "--seconds", "4")
        assert watched.returncode == 0, watched.stderr
        assert re.search(r"metrics +\d+/s +OPEN +.*[\d.]+ [kMG]?B", watched.stdout), watched.stdout
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 130
    finally:
        close(child)


@pytest.mark.timeout(90)
def test_serve_runs_a_cluster_and_observes_a_scheduler(unused_tcp_port: int):
    elsewhere = f"http://127.0.0.1:{unused_tcp_port}/status"
    child, _, workers = serve("--port", "0", "--workers-port", "0", "--cluster", "1", "--observe", elsewhere)
    try:
        assert child.stdout is not None
        said = [child.stdout.readline(), child.stdout.readline()]
        assert re.fullmatch(r"Dask, scheduler of own cluster: tcp://127\.0\.0\.1:\d+\n", said[0])
        assert re.fullmatch(r"Dask, (http://\S+): \1 does not answer: .*refused\n", said[1])
        assert b"connected" in urllib.request.urlopen(f"http://127.0.0.1:{workers}/workers/status").read()
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 130
    finally:
        close(child)
    done = run("serve", "--port", "0", "--observe", "tls://host:8786")
    assert (done.returncode, done.stderr[:24]) == (1, "tes-nb: A tls:// schedul")


def test_a_taken_port_is_one_sentence():
    child, status, _ = serve("--port", "0", "--workers-port", "0")
    try:
        done = run("serve", "--port", str(status), "--workers-port", "0")
        assert done.returncode == 1
        assert re.fullmatch(rf"tes-nb: Port {status} is in use by another program.*\n", done.stderr)
    finally:
        close(child)


@pytest.mark.timeout(90)
def test_ctrl_c_in_the_demo_leaves_nothing_running(tmp_path: Path):
    child = subprocess.Popen(
        [*TES_NB, "demo", "--out", str(tmp_path), "--seconds", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert child.stdout is not None
        said = iter(child.stdout.readline, "")
        assert any("listens at" in line for line in said)  # before it, perhaps, which ports were taken
        time.sleep(2)
        below = psutil.Process(child.pid).children(recursive=True)
        assert below
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 130
        _, alive = psutil.wait_procs(below, timeout=3)
        assert alive == []
        assert child.stderr is not None
        assert "Traceback" not in child.stderr.read()
    finally:
        close(child)


@pytest.mark.timeout(90)
@pytest.mark.parametrize("words", [("watch", "localhost:1"), ("record", "FILE", "--url", "localhost:1")])
def test_a_peer_that_does_not_answer_ends_the_command_with_a_sentence(tmp_path: Path, words: tuple[str, ...]):
    path = tmp_path / "never.tes"
    done = run(*(str(path) if word == "FILE" else word for word in words))
    assert done.returncode == 1
    assert re.fullmatch(
        r"tes-nb: Nothing answers at localhost:1 \(.*refused.*\): check the address, and that a TES runs there\.\n",
        done.stderr,
    )
    assert not path.exists()


@pytest.mark.timeout(90)
def test_record_overwrites_on_demand_alone(tmp_path: Path):
    path = tmp_path / "night.tes"
    assert run("record", str(path), "--for", "1s").returncode == 0
    again = run("record", str(path), "--for", "1s")
    assert (again.returncode, "exists already" in again.stderr) == (1, True)
    assert run("record", str(path), "--for", "1s", "--overwrite").returncode == 0
    dated = run("record", str(tmp_path / "night-{date}.tes"), "--for", "1s")
    assert re.search(r"night-\d{4}-\d\d-\d\d\.tes", dated.stdout)


def test_record_check_export(tmp_path: Path):
    path = tmp_path / "cli.tes"
    done = run("record", str(path), "--for", "3s")
    assert done.returncode == 0, done.stderr
    assert f"Recording into {path}" in done.stdout
    checked = run("check", str(path))
    assert (checked.returncode, "is whole" in checked.stdout) == (0, True), checked.stdout
    exported = run("export", str(path), str(tmp_path / "csv"))
    assert exported.returncode == 0, exported.stderr
    assert len(pd.read_csv(tmp_path / "csv" / "metrics.csv")) >= 4
    (tmp_path / "empty.tes").write_bytes(b"")
    assert run("check", str(tmp_path / "empty.tes")).returncode == 1
