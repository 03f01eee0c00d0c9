"""What holds for every test."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.own import Own
from tests.support.processes import end_helpers
from tests.support.turns import Turns

ROOT = Path(__file__).resolve().parents[1]
MISSING = "Skipped under CI, where nothing may be missing: "


# How long an example takes says something of the machine and of what else runs on it, nothing of the code.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    worker = getattr(config, "workerinput", None)
    config.stash[TURNS] = None if worker is None else Turns(worker["testrunuid"])
    config.stash[OWN] = Own()
    config.stash[OWN].enter("shared")  # what the sessions that a module's tests share were started with
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # a shell's background job ignores interrupts, and so would every process that a test interrupts
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[OWN].close()


@pytest.fixture(scope="module", autouse=True)
def no_helpers_stay() -> Iterator[None]:
    """Trackers and servers that pools have started are children of this process; no other module is to find them."""
    yield
    end_helpers()


TURNS = pytest.StashKey[Turns | None]()
"""`None` = the tests run one after the other anyway."""
OWN = pytest.StashKey[Own]()


@pytest.hookimpl(
    wrapper=True, tryfirst=True
)  # around pytest-timeout: waiting for one's turn is no part of the test
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """A test marked `alone` runs while no other test does."""
    turns = item.config.stash[TURNS]
    if turns is None:
        return (yield)
    with turns.turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[pytest.TestReport]:
    """Under CI nothing may be missing: a skip is a failure, with the reason it was skipped for."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _hold_to_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[pytest.CollectReport]:
    """The same for whole modules."""
    report = yield
    if report.skipped:
        _hold_to_ci(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around the terminal's own: its last line comes before ours
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """The very last lines: what was skipped for want of a program, and the command that changes it."""
    yield
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        reasons = Counter(str(report.longrepr[2]) for report in terminal.stats.get("skipped", []))
        wanting = {reason: count for reason, count in reasons.items() if WANTING.search(reason)}
        if wanting:
            terminal.write_line(f"Tests skipped for want of a program: {sum(wanting.values())}", yellow=True)
            for reason, count in sorted(wanting.items()):
                terminal.write_line(f"  {count}: {reason.removeprefix('Skipped: ')}")
            terminal.write_line("`make browser` installs what they need.", bold=True)


WANTING = re.compile("no Chromium|no Node|is not installed")


def _hold_to_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("CI"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = MISSING + reason


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run first what runs side by side, then what runs alone, then what uses the browser.

    The browser comes last because a loop of Playwright's then runs in this thread, and no other can.
    """

    def rank(item: pytest.Item) -> int:
        if "browser" in getattr(item, "fixturenames", ()):
            return 2
        return 1 if item.get_closest_marker("alone") else 0

    items.sort(key=rank)


@pytest.fixture(autouse=True)
def own_folders(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test sees the home, the sessions, the collectors or the token of the user who runs it, or another test's."""
    own = request.config.stash[OWN]
    own.enter(str(next(NUMBERS)))
    yield
    own.leave()


NUMBERS = itertools.count()


@pytest.fixture
def original() -> Iterator[int]:
    """The port of a TES of another make, in a process of its own."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.support.original_tes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert child.stdout is not None
    assert child.stdin is not None
    yield int(child.stdout.readline())
    child.stdin.close()
    child.wait(10)
    child.stdout.close()
