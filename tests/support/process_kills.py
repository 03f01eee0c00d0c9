"""Sessions that record; their collector or their kernel is killed at a random instant, also while they begin.

Kernels are forked from one process that has imported everything: a start costs a collector alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import psutil

import tes_nb as tes
import tes_nb.session.session
import tes_nb.session.start
from tes_nb.errors import TesError
from tes_nb.store.session.check import check
from tes_nb.store.session.reader import SessionFile

SIDE_BY_SIDE = 8
GRACE_S = 60.0
"""What a busy machine may take for what takes two seconds elsewhere: nights run beside other work, and give way."""


@dataclass(slots=True)
class Victim:
    """A kernel with its collector, and when which of them is killed."""

    path: Path
    which: str
    early: bool
    """Whether it is killed while it begins; else the instant counts from the first acknowledgement."""
    after: float
    kernel: int = 0
    said: BinaryIO | None = None
    acknowledged: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def fork(self) -> None:
        """Start the kernel. No thread may run."""
        reading, writing = os.pipe()
        self.kernel = os.fork()
        if self.kernel == 0:
            os.close(reading)
            try:
                _record(self.path, writing)
            finally:
                os._exit(0)
        os.close(writing)
        self.said = os.fdopen(reading, "rb")

    def die(self) -> None:
        """Kill it when its time has come, hear it out, and look at its recording."""
        assert self.said is not None
        lines = [] if self.early else [self.said.readline(), self.said.readline()]
        if self.which == "kernel":
            self._kill_after(self.kernel)
        elif lines and "collector" in (first := json.loads(lines[0] or b"{}")):
            self._kill_after(first["collector"])
        elif self.early and (collector := _child_of(self.kernel)) is not None:
            self._kill_after(collector)
        if self.which == "kernel":
            os.waitpid(self.kernel, 0)
        else:
            self._require(self._ends_by_itself(), "the kernel did not see that its collector was gone")
        lines += self.said.readlines()
        self.said.close()
        whole = [json.loads(line) for line in lines if line.endswith(b"}\n")]
        self.wrong += [each["error"] for each in whole if "error" in each]
        self.acknowledged = next((each["committed"] for each in reversed(whole) if "committed" in each), {})
        self.judge()

    def _kill_after(self, pid: int) -> None:
        time.sleep(self.after)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _ends_by_itself(self) -> bool:
        end = time.monotonic() + GRACE_S
        while os.waitpid(self.kernel, os.WNOHANG) == (0, 0):
            if time.monotonic() > end:
                os.kill(self.kernel, signal.SIGKILL)
                os.waitpid(self.kernel, 0)
                return False
            time.sleep(0.02)
        return True

    def judge(self) -> None:
        """Look at what it recorded."""
        if not self.path.exists():
            self._require(not self.acknowledged, "the file is gone")
            return
        report = check(self.path)
        expected = (0,) if self.acknowledged else (0, 1)  # 1 = killed before there was anything
        self._require(report.exit_code in expected, " ".join(report.sentences))
        if report.exit_code == 1:
            return
        with SessionFile.open(self.path) as file:
            seqs = {name: [message.seq for message in file.messages(name)] for name in file.sources}
        for source, numbers in seqs.items():
            whole = not numbers or numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            self._require(whole, f"{source}: positions are missing or doubled")
        for source, last in self.acknowledged.items():
            there = seqs.get(source, [])
            self._require(
                there and there[-1] >= last, f"{source}: acknowledged up to {last}, there up to {there[-1:]}"
            )

    def _require(self, condition: object, sentence: str) -> None:
        if not condition:
            when = f"{self.after:.3f} s after {'its begin' if self.early else 'the first acknowledgement'}"
            self.wrong.append(f"{self.path.name}, {self.which} killed {when}: {sentence}")


def _record(path: Path, pipe: int) -> None:
    """What the kernel does: record until somebody ends it, and say what is acknowledged."""

    def say(**what: Any) -> None:
        os.write(pipe, json.dumps(what).encode() + b"\n")

    try:
        session = tes.start(ports=(0, 0), period="50ms")
        recording = session.record(path)
        say(collector=session.collector_pid)
        last: dict[str, int] = {}
        while recording.running:
            if (committed := dict(recording.committed)) != last:
                say(committed=committed)
                last = committed
            time.sleep(0.005)
    except TesError:  # its collector was killed meanwhile
        pass
    except BaseException:  # noqa: BLE001 - whatever it is, it is a finding
        say(error=traceback.format_exc())


def _child_of(pid: int) -> int | None:
    """The collector of a kernel that is starting it; `None` = it starts none."""
    end = time.monotonic() + GRACE_S
    while time.monotonic() < end:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(pid).children():
                return child.pid
        time.sleep(0.002)
    return None


def kill_sessions(folder: Path, count: int, dice: random.Random) -> tuple[Counter[str], list[str]]:
    """Kill so many; return counts, and what went wrong in sentences. `XDG_RUNTIME_DIR` must be of this run alone."""
    counts, wrong = Counter[str](), list[str]()
    victims = [
        Victim(
            folder / f"{number}.tes",
            dice.choice(("collector", "kernel")),
            dice.random() < 0.25,
            dice.uniform(0.0, 1.5),
        )
        for number in range(count)
    ]
    for start in range(0, count, SIDE_BY_SIDE):
        batch = victims[start : start + SIDE_BY_SIDE]
        for victim in batch:
            victim.fork()
        with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
            list(threads.map(Victim.die, batch))
        for victim in batch:
            counts.update(kills=1, acknowledged=sum(victim.acknowledged.values()), early=victim.early)
            counts[f"{victim.which}s"] += 1
            wrong += victim.wrong
            for left in folder.glob(f"{victim.path.name}*"):
                left.unlink()
    if not within(GRACE_S, lambda: not _left_over()):
        wrong.append(f"processes left over: {_left_over()}")
    return counts, wrong


def _left_over() -> list[str]:
    """What was started with the runtime folder of this run, and is there still."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            own = process.environ().get("XDG_RUNTIME_DIR") == os.environ["XDG_RUNTIME_DIR"]
            if own and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
    return found


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Wait until it holds; whether it did."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
