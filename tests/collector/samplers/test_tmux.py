"""A real tmux with a server of its own, in a socket folder of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tes_nb.collector.samplers.tmux import TmuxSampler
from tes_nb.model import TmuxFacts
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.skipif(
    shutil.which("tmux") is None and os.environ.get("CI", "").lower() != "true",
    reason="tmux is not installed",
)


class Tmux:
    """A tmux whose server no one else has."""

    def __init__(self, folder: str) -> None:
        self.environ = {name: value for name, value in os.environ.items() if name != "TMUX"}
        self.environ["TMUX_TMPDIR"] = folder

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", *arguments], env=self.environ, check=True, capture_output=True, timeout=10
        )
        return done.stdout.decode().strip()

    def sampler(self, **options: object) -> TmuxSampler:
        return TmuxSampler(environ=self.environ, **options)


@pytest.fixture
def tmux() -> Iterator[Tmux]:
    with tempfile.TemporaryDirectory(
        prefix="tmux"
    ) as folder:  # short: socket paths have about 100 characters
        one = Tmux(folder)
        yield one
        subprocess.run(["tmux", "kill-server"], env=one.environ, check=False, capture_output=True, timeout=10)


def refreshed(sampler: TmuxSampler) -> TmuxFacts:
    return asyncio.run(sampler.refresh())


def fake_tmux(folder: Path, script: str) -> dict[str, str]:
    """An environment whose tmux is a shell script: for answers that the real one gives only when broken."""
    program = folder / "tmux"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def test_no_server(tmux: Tmux) -> None:
    sampler = tmux.sampler()
    assert refreshed(sampler) == TmuxFacts(sessions=0, state="no server")
    assert sampler.status()["online"] is False
    assert sampler.status()["session"] == ""


def test_sessions_come_and_go(tmux: Tmux) -> None:
    sampler = tmux.sampler()
    tmux.run("new-session", "-d", "-s", "one")
    tmux.run("new-session", "-d", "-s", "two words")
    assert refreshed(sampler) == TmuxFacts(sessions=2, state="running")
    status = sampler.status()
    assert (status["online"], status["sessions"]) == (True, 2)
    assert status["session"] in ("one", "two words")
    tmux.run("kill-session", "-t", "two words")
    refreshed(sampler)
    assert sampler.status()["session"] == "one"
    tmux.run("kill-server")
    assert refreshed(sampler) == TmuxFacts(sessions=0, state="no server")


def test_a_killed_server_leaves_its_socket_and_no_sessions(tmux: Tmux) -> None:
    tmux.run("new-session", "-d")
    server = int(tmux.run("display-message", "-p", "#{pid}"))
    os.kill(server, 9)
    assert refreshed(tmux.sampler()) == TmuxFacts(sessions=0, state="no server")


def test_a_server_without_sessions_runs(tmux: Tmux) -> None:
    tmux.run("new-session", "-d", "-s", "last", ";", "set", "-g", "exit-empty", "off")
    tmux.run("kill-session", "-t", "last")
    assert refreshed(tmux.sampler()) == TmuxFacts(sessions=0, state="running")


def test_a_named_server(tmux: Tmux) -> None:
    tmux.run("-L", "own", "new-session", "-d")
    assert refreshed(tmux.sampler(arguments=("-L", "own"))).sessions == 1
    assert refreshed(tmux.sampler()).sessions == 0
    tmux.run("-L", "own", "kill-server")


def test_a_change_is_reported_once(tmux: Tmux) -> None:
    changes: list[int] = []
    sampler = tmux.sampler(on_change=lambda: changes.append(sampler.facts.sessions))
    refreshed(sampler)
    refreshed(sampler)
    tmux.run("new-session", "-d")
    refreshed(sampler)
    refreshed(sampler)
    assert changes == [0, 1]


def test_hostile_session_names_are_text(tmux: Tmux) -> None:
    name = "<img src=x onerror=alert(1)>" + "x" * 300
    tmux.run("new-session", "-d", "-s", name)
    sampler = tmux.sampler()
    assert refreshed(sampler).sessions == 1
    shown = sampler.status()["session"]
    assert shown.startswith("<img src=x")
    assert len(shown) == 100


def test_absent(tmp_path: Path) -> None:
    sampler = TmuxSampler(environ={"PATH": str(tmp_path)})
    assert refreshed(sampler) == TmuxFacts(sessions=0, state="absent")
    assert sampler.status()["state"] == "absent"


def test_a_tmux_that_hangs_is_ended_and_the_last_number_stays(tmp_path: Path) -> None:
    switch = tmp_path / "hang"
    pid_file = tmp_path / "pid"
    environ = fake_tmux(
        tmp_path,
        f'if [ -e {switch} ]; then echo $$ > {pid_file}; exec sleep 30; fi\necho "0 1 main"\necho "1 2 x"',
    )
    sampler = TmuxSampler(environ=environ, timeout_s=0.5)
    assert refreshed(sampler) == TmuxFacts(sessions=2, state="running")
    switch.touch()
    began = time.monotonic()
    assert refreshed(sampler) == TmuxFacts(sessions=2, state="failed")
    assert time.monotonic() - began < 10
    assert "did not answer" in (sampler.reason or "")
    assert sampler.own_pids == frozenset()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
    switch.unlink()
    assert refreshed(sampler).state == "running"
    assert sampler.reason is None


@pytest.mark.parametrize(
    "script", ["echo 'error connecting to x (Permission denied)' >&2; exit 1", "exit 7", "kill -9 $$"]
)
def test_an_unknown_answer_is_a_failure_with_a_sentence(tmp_path: Path, script: str) -> None:
    sampler = TmuxSampler(environ=fake_tmux(tmp_path, script))
    assert refreshed(sampler).state == "failed"
    assert sampler.reason


def test_a_program_that_cannot_be_executed(tmp_path: Path) -> None:
    environ = fake_tmux(tmp_path, "true")
    (tmp_path / "tmux").write_bytes(b"\x7fELF not really")
    sampler = TmuxSampler(environ=environ)
    assert refreshed(sampler).state == "failed"
    assert "could not be run" in (sampler.reason or "")


def test_cancelling_ends_the_command(tmp_path: Path) -> None:
    sampler = TmuxSampler(environ=fake_tmux(tmp_path, "exec sleep 30"), timeout_s=20)

    async def scene() -> int:
        task = asyncio.create_task(sampler.refresh())
        (pid,) = await eventually_async(lambda: sampler.own_pids)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return pid

    began = time.monotonic()
    pid = asyncio.run(scene())
    assert time.monotonic() - began < 10
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
