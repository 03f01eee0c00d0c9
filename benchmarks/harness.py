"""What all benchmarks share: interleaved rounds, a warm-up, medians with their spread, and one result form.

A benchmark is a file `bench_<name>.py` with

    def run(*, quick: bool) -> Iterable[Result]: ...

`quick` asks for the shortest run that still shows the code works. Where candidate and reference are
functions to be timed, `compare` does everything; where a benchmark measures by itself (latencies, lateness,
memory), it hands its samples to `figure`. Machines are shared and noisy: prefer ratios taken in one run, and
never compare figures of two runs.
"""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MINIMUM_ROUNDS = 5
TIMES = "\N{MULTIPLICATION SIGN}"


class Skipped(Exception):
    """Raised by `run` when this machine cannot measure it; the sentence says what is missing."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and how far the rounds lay apart."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """Return the spread of at least one sample."""
        return cls(statistics.median(samples), min(samples), max(samples))


@dataclass(frozen=True, slots=True)
class Result:
    """One measured line of the table. `value` is what the goal speaks of: the ratio, or the figure itself."""

    id: str
    """The requirement's name, for example "P3"; several results may share it."""
    name: str
    """What was measured, in a few words."""
    unit: str
    """Of `candidate` and `reference`, for example "ms"."""
    candidate: Spread
    reference: Spread | None
    """`None` = the figure stands alone."""
    against: str
    """What the reference is, with versions; "" without one."""
    value: Spread
    value_unit: str
    """`TIMES` for a ratio, else `unit`."""
    goal: str
    """As a reader understands it, for example "≤ 10 ms"."""
    met: bool
    rounds: int
    note: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return what `results.json` holds."""
        return asdict(self)

    def line(self) -> str:
        """Return the result for the terminal."""
        verdict = "ok  " if self.met else "MISS"
        text = f"{verdict} {self.id:4} {self.name}: {show(self.value, self.value_unit)} (goal {self.goal})"
        if self.reference is not None:
            ours, theirs = show(self.candidate, self.unit), show(self.reference, self.unit)
            text += f"\n          {ours} against {theirs} of {self.against}"
        return text + (f"\n          {self.note}" if self.note else "")


def show(spread: Spread, unit: str) -> str:
    """Return "1.23 ms [1.10 … 1.40]"."""
    return f"{number(spread.median)} {unit} [{number(spread.low)} … {number(spread.high)}]"


def number(value: float) -> str:
    """Return three significant digits, without an exponent."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.6f}"


def stopwatch(function: Callable[[], object]) -> float:
    """Return the seconds one call takes, with the garbage of earlier calls out of the way."""
    gc.collect()
    start = time.perf_counter()
    outcome = function()
    seconds = time.perf_counter() - start
    del outcome
    return seconds


def interleave(
    candidate: Callable[[], float], reference: Callable[[], float], *, rounds: int, warmup: int = 1
) -> tuple[list[float], list[float]]:
    """Call both in turn, the first place changing hands each round, and return what they gave.

    The callables return their own figure (seconds, ms, bytes …). The first `warmup` rounds are thrown away.
    """
    ours: list[float] = []
    theirs: list[float] = []
    for turn in range(warmup + rounds):
        pair = (candidate, ours), (reference, theirs)
        for function, samples in pair if turn % 2 else pair[::-1]:
            samples.append(function())
    return ours[warmup:], theirs[warmup:]


def compare(
    id: str,  # noqa: A002 - the word of the results file
    name: str,
    candidate: Callable[[], object],
    reference: Callable[[], object],
    *,
    against: str,
    at_most: float,
    rounds: int = 7,
    warmup: int = 1,
    packages: Iterable[str] = (),
    note: str = "",
) -> Result:
    """Time both interleaved; the value is the median of the rounds' ratios, the goal `ratio ≤ at_most`."""
    ours, theirs = interleave(
        lambda: stopwatch(candidate) * 1e3,
        lambda: stopwatch(reference) * 1e3,
        rounds=max(rounds, MINIMUM_ROUNDS),
        warmup=warmup,
    )
    return ratio(
        id, name, ours, theirs, unit="ms", against=against, at_most=at_most, packages=packages, note=note
    )


def ratio(
    id: str,  # noqa: A002 - the word of the results file
    name: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    unit: str,
    against: str,
    at_most: float | None = None,
    at_least: float | None = None,
    packages: Iterable[str] = (),
    note: str = "",
) -> Result:
    """Return the result for samples taken interleaved: the value is ours ÷ theirs, round by round."""
    value = Spread.of([a / b for a, b in zip(ours, theirs, strict=True)])
    goal, met = _judge(value.median, TIMES, at_most, at_least)
    return Result(
        id=id,
        name=name,
        unit=unit,
        candidate=Spread.of(ours),
        reference=Spread.of(theirs),
        against=against,
        value=value,
        value_unit=TIMES,
        goal=goal,
        met=met,
        rounds=len(ours),
        note=note,
        versions=versions(packages),
    )


def figure(
    id: str,  # noqa: A002 - the word of the results file
    name: str,
    samples: Sequence[float],
    *,
    unit: str,
    at_most: float | None = None,
    at_least: float | None = None,
    packages: Iterable[str] = (),
    note: str = "",
) -> Result:
    """Return the result for a figure that stands alone, one sample a round, for example a lateness in ms."""
    value = Spread.of(samples)
    goal, met = _judge(value.median, unit, at_most, at_least)
    return Result(
        id=id,
        name=name,
        unit=unit,
        candidate=value,
        reference=None,
        against="",
        value=value,
        value_unit=unit,
        goal=goal,
        met=met,
        rounds=len(samples),
        note=note,
        versions=versions(packages),
    )


def _judge(value: float, unit: str, at_most: float | None, at_least: float | None) -> tuple[str, bool]:
    if at_most is not None:
        return f"≤ {at_most:,g} {unit}", value <= at_most
    if at_least is not None:
        return f"≥ {at_least:,g} {unit}", value >= at_least
    return "none (for information)", True


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python and of the distributions named."""
    installed = {"python": platform.python_version()}
    for package in packages:
        installed[package] = importlib.metadata.version(package)
    return installed


def machine() -> dict[str, Any]:
    """Return what a reader must know of the machine; no names, no paths."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": sys.version.split()[0],
        "cores": usable_cores(),
        "processor": _processor(),
    }


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def peak_memory() -> int:
    """Return this process's peak memory in bytes (VmHWM; Linux only, elsewhere raises `Skipped`)."""
    try:
        with Path("/proc/self/status").open(encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        raise Skipped("this system does not tell a process's peak memory (no /proc)") from None
