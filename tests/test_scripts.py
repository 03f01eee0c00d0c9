"""The long measurements in short: the scripts that kill, and that grow, recordings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.night import Part
from tes_nb.store.session.reader import SessionFile
from tests.support.flips import write
from tests.support.process_kills import Victim

ROOT = Path(__file__).resolve().parents[1]


def ran(script: str, *arguments: str) -> str:
    command = [sys.executable, f"scripts/{script}.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(180)
def test_fault_26_a_collector_killed_under_load_leaves_all_that_was_acknowledged(tmp_path):
    options = ["--seconds", "6", "--rate", "3000", "--feeds", "1", "--rounds", "1", "--every", "1"]
    said = ran("kill_recording", *options, "--folder", str(tmp_path))
    assert "is whole" in said
    assert "1 of 1 rounds left nothing unexplained." in said


@pytest.mark.timeout(180)
def test_every_value_of_a_large_session_comes_back_from_its_export():
    said = ran("large_session", "--megabytes", "4", "--record", "2")
    assert "0 tables differ" in said


def night(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.night", "--minutes", "0", "--seed", "5", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)


@pytest.mark.timeout(120)
def test_fault_26_a_round_of_each_kill_in_a_night():
    done = night("--only", "recorders", "processes")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["parts"]["recorders"]["counts"]["kills"] > 10
    assert counts["parts"]["processes"]["counts"]["acknowledged"] > 0


def test_a_night_says_how_to_repeat_what_went_wrong(monkeypatch, capsys):
    from scripts import night_rounds

    def broken(one):
        one.require(one.dice.random() < 0, f"the dice said {one.dice.random()}")

    monkeypatch.setitem(night_rounds.ROUNDS, "broken", (broken, (1,)))
    said = []
    for _ in range(2):
        monkeypatch.setattr("sys.argv", ["night_rounds", "broken", "17"])
        assert night_rounds.main() == 1
        said.append(json.loads(capsys.readouterr().out))
    assert said[0] == said[1]
    assert said[0]["wrong"][0].startswith("the dice said 0.")


def test_the_judge_of_kills_sees_what_was_acknowledged_and_is_not_there(tmp_path):
    path = write(tmp_path / "0.tes", "ended")
    with SessionFile.open(path) as file:
        last = max(message.seq for message in file.messages("metrics"))
    for more, wrong in ((0, 0), (1, 1)):
        victim = Victim(path, "kernel", early=False, after=0.0, acknowledged={"metrics": last + more})
        victim.judge()
        assert len(victim.wrong) == wrong
    assert f"acknowledged up to {last + 1}, there up to [{last}]" in victim.wrong[0]


def test_a_night_that_counts_ends_with_its_counts_or_its_time():
    part = Part("flips")
    assert not part.done({}, late=True), "each part has a round at least"
    part.begun = 1
    assert not part.done({"flips": 121}, late=False)
    part.counts.update(flips=120, other=5000)
    assert not part.done({"flips": 121}, late=False)
    assert part.done({"flips": 120}, late=False)
    assert part.done({"flips": 121}, late=True)
    assert part.done({"values": 5}, late=False), "it is not among those that count"
    assert not part.done({}, late=False)
