"""The rounds of a night. Each does the same again for the same seed, as far as chance has a say.

    python -m scripts.night_rounds flips 4711

Prints one JSON line: what was counted, and "wrong", a list of sentences. Exit code 1 = there are some.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tes_nb.store.session.check import check
from tests.support.flips import Truth, night, write
from tests.support.process_kills import kill_sessions


@dataclass(slots=True)
class Round:
    """One round: where it may write, its dice, and what came of it."""

    folder: Path
    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Throw the dice of that seed."""
        self.dice = random.Random(self.seed)  # noqa: S311 - chance that can be had again, no secret

    def require(self, condition: object, sentence: str) -> None:
        """Note the sentence unless the condition holds."""
        if not condition:
            self.wrong.append(sentence)


# Kills --------------------------------------------------------------------------------------------------------


def recorders(one: Round) -> None:
    """Row 26: forked recorders are killed at random instants; nothing acknowledged may be missing."""
    result = recording(one, "kills", 60, one.seed)
    one.counts.update(kills=result["kills"], acknowledged=result["acknowledged"])
    for name in ("lost", "wrong", "bad checks"):
        one.require(result[name] == 0, f"{result[name]} {name} after {result['kills']} kills")


SESSIONS = 16
"""Of a round; some are there side by side."""


def processes(one: Round) -> None:
    """Rows 26 and 79: sessions record; their collectors or kernels are killed at random instants."""
    counts, wrong = kill_sessions(one.folder, SESSIONS, one.dice)
    one.counts.update(counts)
    one.wrong += wrong


# Damage -------------------------------------------------------------------------------------------------------

FLIPS = 30
"""Of each kind of file."""


def flips(one: Round) -> None:
    """Row 32: a byte changes anywhere, in files of every kind; nothing read may be wrong in silence."""
    result = night(one.folder, FLIPS, one.seed)
    one.counts["flips"] += result["flips"]
    one.wrong += result["failures"]


def values(one: Round) -> None:
    """Rows 32 and 68: a value of a random table is another, or of another type; the file itself is in order."""
    truth = Truth(write(one.folder / "ended.tes", "ended"))
    for number in range(FLIPS):
        path = Path(shutil.copy(truth.files[0], one.folder / f"{number}.tes"))
        what = change_value(path, one.dice)
        one.counts["values"] += 1
        one.wrong += [f"{what}: {sentence}" for sentence in truth.judge(path)]
        for left in one.folder.glob(f"{number}.tes*"):
            left.unlink()


def change_value(path: Path, dice: random.Random) -> str:
    """Change one value of a random table through SQLite, so that the file itself is in order."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
        tables = [
            name for (name,) in file.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")
        ]
        filled = [name for name in tables if file.execute(f'SELECT 1 FROM "{name}"').fetchone()]  # noqa: S608
        table = dice.choice(filled)
        columns = [row[1] for row in file.execute(f'PRAGMA table_info("{table}")')]
        count = file.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]  # noqa: S608
        column, row = dice.choice(columns), dice.randrange(count)
        where = f'rowid = (SELECT rowid FROM "{table}" LIMIT 1 OFFSET {row})'  # noqa: S608
        try:
            value = file.execute(f'SELECT "{column}" FROM "{table}" WHERE {where}').fetchone()[0]  # noqa: S608
            changed = other_value(value, dice)
            file.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE {where}', (changed,))  # noqa: S608
        except sqlite3.Error as error:  # a constraint, or a table without row ids
            return f"{table}.{column}: {error}"
        return f"{table}.{column} of row {row}: {value!r:.40} to {changed!r:.40}"


def other_value(value: object, dice: random.Random) -> object:
    """Another value: a flipped bit, or something of another type."""
    if dice.random() < 0.3:
        return dice.choice([None, -1, 2**62, 1e300, "text", b"bytes", ""])
    if isinstance(value, int):
        return value ^ 1 << dice.randrange(40)
    if isinstance(value, str | bytes) and value:
        data = bytearray(value.encode() if isinstance(value, str) else value)
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(7)
        return data.decode(errors="replace") if isinstance(value, str) else bytes(data)
    return dice.choice([0, 7, "x"])


def disks(one: Round) -> None:
    """Rows 28 and 29: a disk of random size fills up while recording, and gets room again."""
    filler = one.dice.randrange(300_000, 700_000)
    namespace = "-m" if os.geteuid() == 0 else "-rm"
    mount = 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"'
    before = ("unshare", namespace, "sh", "-c", mount, str(one.folder))
    result = recording(one, "disk_full", filler, before=before)
    one.counts.update(disks=1, lost=result["lost"])
    one.require(result["readable while full"], f"not readable while full, filler {filler}")
    one.require(result["all accepted are there"], f"accepted messages are missing, filler {filler}")
    one.require(
        result["put"] - result["found"] == result["lost"],
        f"{result['put']} put, {result['found']} found, but {result['lost']} said to be lost; filler {filler}",
    )


# Interrupts, forks, renewals ---------------------------------------------------------------------------------

INTERRUPTED = """
    import os, random, signal, sys, threading, time
    import psutil
    import tes_nb as tes
    dice = random.Random(int(sys.argv[1]))
    tes.start(ports=(0, 0)).stop()  # what is imported late is there now; an import that is cut is not ours
    for turn in range(8):
        path = os.path.join(sys.argv[2], f"{turn}.tes")
        timer = threading.Timer(dice.uniform(0, 1.5), os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()
            with tes.start(ports=(0, 0)) as s, s.record(path):
                s.metrics.wait(rows=1, timeout=20)
                s.to_csv(os.path.join(sys.argv[2], str(turn)), progress=False)
            timer.join()
            time.sleep(0.01)
        except KeyboardInterrupt:
            pass
        timer.cancel(); timer.join()
    tes.stop()
    with tes.start(ports=(0, 0)) as s:
        s.metrics.wait(rows=1, timeout=20)
    deadline = time.monotonic() + 10
    while psutil.Process().children() and time.monotonic() < deadline:
        time.sleep(0.05)
    print(len(psutil.Process().children()), len(tes.sessions()))
"""


def interrupts(one: Round) -> None:
    """Row 81: SIGINT at random instants of start, record, export and stop; the next call works."""
    done = python(INTERRUPTED, str(one.seed), str(one.folder))
    said, errors = done.communicate(timeout=120)
    one.counts["interrupts"] += 8
    one.require(done.returncode == 0, f"exit code {done.returncode}: {errors[-600:]}")
    one.require(said.split()[-2:] == ["0", "0"], f"children and sessions left over: {said.split()[-2:]}")
    for path in one.folder.glob("*.tes"):
        one.require(check(path).exit_code == 0, f"{path.name}: {check(path).sentences}")
    one.require(not list(one.folder.rglob("*.part*")), "half a file is left of an export")


FORKED = """
    import os, random, sys, time
    import tes_nb as tes
    dice = random.Random(int(sys.argv[1]))
    with tes.start(ports=(0, 0), period="50ms") as s, s.record(os.path.join(sys.argv[2], "fork.tes")) as r:
        s.metrics.wait(rows=1, timeout=20)
        acts = [lambda: s.gauge("loss", 1.0), lambda: s.mark("child"), s.stop, r.stop, s.metrics.frame, tes.stop,
                lambda: s.scale(1), lambda: s.metrics.wait(rows=1, timeout=1), lambda: sys.exit()]
        slow = late = 0
        for turn in range(10):
            time.sleep(dice.uniform(0, 0.2))
            act = dice.choice(acts)
            pid = os.fork()
            if pid == 0:
                began = time.monotonic()
                try:
                    act()
                except tes.TesError:
                    pass
                finally:
                    os._exit(int(time.monotonic() - began > 3))
            s.metrics.wait(rows=1, timeout=20)
            late += os.waitpid(pid, 0)[1] != 0
        state, rows = str(s.metrics.state), s.metrics.rows
        s.metrics.wait(rows=2, timeout=20)
        assert r.state == "RECORDING" and s.running
    print(late, state.split()[0])
"""


def forks(one: Round) -> None:
    """Rows 80 and 87: a child made at a random instant does something with the parent's handles."""
    done = python(FORKED, str(one.seed), str(one.folder))
    said, errors = done.communicate(timeout=120)
    one.counts["forks"] += 10
    one.require(done.returncode == 0, f"exit code {done.returncode}: {errors[-600:]}")
    one.require(
        said.split() == ["0", "OPEN"], f"calls in children that took over 3 s, and the feed's state: {said}"
    )
    one.require(check(one.folder / "fork.tes").exit_code == 0, "the recording is not whole")


def renewals(one: Round) -> None:
    """Rows 10, 14, 19: tokens that live for seconds, with faults of the feed; nothing unexplained."""
    soaked(one, minutes=0.25, every=one.dice.uniform(0.5, 3.0), token_life=one.dice.uniform(2.0, 6.0))


def soak(one: Round) -> None:
    """Rows 10 and 26: three minutes of a fast feed with faults; the ledger is balanced."""
    soaked(one, minutes=3.0, every=2.0, token_life=60.0)


def soaked(one: Round, *, minutes: float, every: float, token_life: float) -> None:
    words = [
        f"--minutes={minutes}",
        f"--every={every}",
        f"--token-life={token_life}",
        f"--seed={one.seed % 10**6}",
    ]
    done = run([sys.executable, "scripts/soak_nowgoal.py", *words], timeout=minutes * 60 + 180)
    one.counts.update(seconds=round(minutes * 60), feeds=1)
    one.require(done.returncode == 0, (done.stdout + done.stderr)[-800:])


# Helpers ------------------------------------------------------------------------------------------------------


def python(code: str, *words: str) -> subprocess.Popen[str]:
    """Start a Python that runs the code."""
    command = [sys.executable, "-c", textwrap.dedent(code), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(command: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def recording(one: Round, what: str, *numbers: int, before: tuple[str, ...] = ()) -> dict[str, Any]:
    """What `tests/support/recording.py` says of it."""
    words = [sys.executable, "-m", "tests.support.recording", what, str(one.folder), *map(str, numbers)]
    done = run([*before, *words], timeout=120)
    if done.returncode:
        raise RuntimeError(done.stderr[-1500:])
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


ROUNDS: dict[str, tuple[Callable[[Round], None], tuple[int, ...]]] = {
    "recorders": (recorders, (26,)),
    "processes": (processes, (26, 79)),
    "flips": (flips, (32,)),
    "values": (values, (32, 68)),
    "disks": (disks, (28, 29)),
    "interrupts": (interrupts, (81,)),
    "forks": (forks, (80, 87)),
    "renewals": (renewals, (10, 14, 19)),
    "soak": (soak, (10, 26)),
}
"""Part of the night → what a round of it does, and the rows of the catalogue that it tries."""


def main() -> int:
    """Do one round."""
    name, seed = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix=f"tes-nb-{name}-") as folder:
        one = Round(Path(folder), seed)
        os.environ["XDG_RUNTIME_DIR"] = os.environ["TES_SESSION_DIR"] = str(Path(folder) / "own")
        try:
            ROUNDS[name][0](one)
        except Exception:  # noqa: BLE001 - a round that breaks down is a finding, too
            one.wrong.append(traceback.format_exc())
    print(json.dumps({"counts": one.counts, "wrong": one.wrong}))
    return int(bool(one.wrong))


if __name__ == "__main__":
    sys.exit(main())
