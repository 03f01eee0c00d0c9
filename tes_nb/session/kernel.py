"""What only the kernel knows, reported to the collector: a heartbeat, exit codes, the user's gauges, executed cells."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import multiprocessing.process
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit
from weakref import WeakSet

from tes_nb.model.control import Cell, Gauge, KernelReport, NonFinite, ProcessExit
from tes_nb.net.control_client import ControlClient
from tes_nb.net.loop import background

if TYPE_CHECKING:
    from collections.abc import Callable


# Nothing is reaped here: `waitid(WNOWAIT)` looks at a dead child and leaves it to whoever waits for it, who may be
# quicker. A pidfd says at once when a child ends, mostly in time. multiprocessing's own objects keep the code of a
# child that was waited for, and are held here until they tell it, since pools forget them at once. A child of which
# neither tells is reported by nobody, and its code stays NA.

MOST_HANDLES = 500
_INFINITIES: dict[float, NonFinite] = {math.inf: "Infinity", -math.inf: "-Infinity"}


class ExitWatch:
    """Reports each child's exit code once."""

    def __init__(self) -> None:
        self._reported: set[int] = set()
        self._handles: dict[int, int] = {}
        """pid → pidfd of a child that lives."""
        self._processes: dict[int, Any] = {}
        """pid → multiprocessing's `Popen` of a child whose code it does not tell yet."""
        self._finished: WeakSet[Any] = WeakSet()
        """Those that have told it: their pid may be another process's by now."""

    def new_exits(self) -> Iterator[tuple[int, int]]:
        """Yield (pid, exit code) of children that ended since the last look; negative = killed by that signal."""
        for pid, code in (*_unreaped(), *self._multiprocessing()):
            if pid not in self._reported:
                self._reported.add(pid)
                yield pid, code
        if len(self._reported) > 10_000:
            self._reported.clear()

    def _multiprocessing(self) -> Iterator[tuple[int, int]]:
        """Processes of the multiprocessing module that were waited for keep their exit code on their object."""
        for process in tuple(getattr(multiprocessing.process, "_dangling", ())):
            popen = getattr(process, "_popen", None)  # `None` = it was not started, or is closed
            if popen is not None and popen not in self._finished:
                self._processes[popen.pid] = popen
        for pid, popen in tuple(self._processes.items()):
            if popen.returncode is not None:  # as it is; asking `exitcode` could reap
                self._finished.add(self._processes.pop(pid))
                yield pid, popen.returncode

    def follow(self, on_exit: Callable[[int, int], None]) -> None:
        """Call `on_exit(pid, code)` in the running loop when a child that lives now ends (Linux)."""
        if not hasattr(os, "pidfd_open"):
            return
        loop = asyncio.get_running_loop()
        for pid in _children():
            if pid in self._handles or len(self._handles) >= MOST_HANDLES:
                continue
            with contextlib.suppress(OSError):  # it ended just now, or there are no descriptors left
                handle = self._handles[pid] = os.pidfd_open(pid)
                self._reported.discard(pid)  # another process had that pid
                loop.add_reader(handle, self._ended, pid, on_exit)

    def _ended(self, pid: int, on_exit: Callable[[int, int], None]) -> None:
        handle = self._handles[pid]
        code = _exit_code(os.P_PIDFD, handle)
        self._forget(pid)
        if code is not None and pid not in self._reported:
            self._reported.add(pid)
            on_exit(pid, code)

    def close(self) -> None:
        """Follow nobody any more."""
        for pid in tuple(self._handles):
            self._forget(pid)

    def _forget(self, pid: int) -> None:
        handle = self._handles.pop(pid)
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)


def _exit_code(kind: int, which: int) -> int | None:
    """Return the code of a dead child that was not reaped yet; `None` = it lives, or somebody was quicker."""
    try:
        status = os.waitid(kind, which, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except (ChildProcessError, AttributeError):
        return None
    if status is None:
        return None
    return status.si_status if status.si_code == os.CLD_EXITED else -status.si_status


def _unreaped() -> Iterator[tuple[int, int]]:
    """The dead child that the system would give next; the one behind it shows when this one is reaped."""
    for pid in _children():
        if (code := _exit_code(os.P_PID, pid)) is not None:
            yield pid, code


def _children() -> list[int]:
    """The pids of this process's children, dead ones included; empty where the system does not tell cheaply."""
    pids: list[int] = []
    try:
        for thread in Path("/proc/self/task").iterdir():
            pids += [int(pid) for pid in (thread / "children").read_text().split()]
    except OSError:
        pass
    return pids


CellDetail = Literal["number", "first_line"]
FIRST_LINE_CHARACTERS = 200


class CellWatch:
    """Measures from `pre_run_cell` to `post_run_cell`. Keeps the cell's number, and no code unless asked to.

    A row is a cell of the notebook: what a cell runs in its turn, with `run_cell`, is a part of it.
    """

    def __init__(
        self, shell: Any, report: Callable[[Cell, int, int], None], detail: CellDetail = "number"
    ) -> None:
        self._shell = shell
        self._report = report
        self._detail = detail
        self._began: tuple[int, int, float] | None = None
        self._exact = False
        self._inner: list[Any] = []
        """What IPython says of the cells that run within the measured one."""
        shell.events.register("pre_run_cell", self._before)
        shell.events.register("post_run_cell", self._after)
        self._begin()  # the cell that called start() is measured from here on

    def remove(self) -> None:
        """Stop measuring."""
        for event, callback in (("pre_run_cell", self._before), ("post_run_cell", self._after)):
            try:
                self._shell.events.unregister(event, callback)
            except ValueError:
                continue  # somebody has cleared IPython's callbacks

    def measure(self, run: Callable[[], Any]) -> int:
        """Run a part of the running cell that counts as all of it; return the cell's number. `run` gives the result."""
        number = int(self._shell.displayhook.prompt_count)  # IPython counts on before, or after, by version
        self._begin()
        self._end(run(), number)
        return number

    def _before(self, info: Any) -> None:
        if self._began is None:
            self._begin()
        else:
            self._inner.append(info)

    def _after(self, result: Any) -> None:
        info = getattr(result, "info", None)
        if any(info is inner for inner in self._inner):
            self._inner = [inner for inner in self._inner if inner is not info]
        else:
            self._end(result, _number(self._shell, result))

    def _begin(self) -> None:
        self._exact = _reset_peak()
        self._began = (time.time_ns(), time.monotonic_ns(), time.process_time())

    def _end(self, result: Any, number: int) -> None:
        self._inner.clear()
        if self._began is None:
            return
        (wall, mono, cpu), self._began = self._began, None
        ended = time.monotonic_ns()
        cell = Cell(
            number=number,
            start=wall,
            wall_s=(ended - mono) / 1e9,
            cpu_s=time.process_time() - cpu,
            rss_peak=_peak() if self._exact else None,
            peak_source="VmHWM" if self._exact else None,
            outcome=_outcome(result),
            first_line=self._first_line(result),
        )
        self._report(cell, mono, ended)

    def _first_line(self, result: Any) -> str | None:
        code = getattr(getattr(result, "info", None), "raw_cell", None)
        if self._detail != "first_line" or not isinstance(code, str):
            return None
        return code.strip().split("\n", 1)[0][:FIRST_LINE_CHARACTERS]


def _number(shell: Any, result: Any) -> int:
    """The number beside the cell; IPython has counted on already when the event comes, unless a magic ran it."""
    number = getattr(result, "execution_count", None)
    if isinstance(number, int):
        return number
    counted = getattr(getattr(result, "info", None), "store_history", True)
    return max(int(shell.execution_count) - (1 if counted else 0), 0)


def _outcome(result: Any) -> str:
    error = getattr(result, "error_in_exec", None) or getattr(result, "error_before_exec", None)
    if error is None:
        return "ok"
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "error"


def _reset_peak() -> bool:
    """Let the kernel's peak start anew (Linux); False = this system does not do it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak() -> int | None:
    """The peak since the reset, in bytes."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


# A widget says its page's origin itself, but the kernel hears that only between cells; controls are to answer sooner.

LOOPBACK = ("localhost", "127.0.0.1")


def jupyter_origins(parent: int | None = None) -> tuple[str, ...]:
    """Return the origins of the server that started this kernel; () = none did, or it does not say.

    parent: the process that started this one; `None` = as it is. Looks only where IPython's kernel runs.
    """
    if "ipykernel" not in sys.modules:
        return ()
    from jupyter_core.paths import jupyter_runtime_dir  # noqa: PLC0415 - ipykernel has imported it

    server = os.getppid() if parent is None else parent
    files = Path(jupyter_runtime_dir()).glob(f"jpserver-{server}.json")
    return tuple(origin for path in files for origin in _origins(_server_info(path)))


def _server_info(path: Path) -> dict[str, object]:
    try:
        info = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return info if isinstance(info, dict) else {}


def _origins(info: dict[str, object]) -> list[str]:
    """The address in the file, and the other names of this machine with the same port."""
    place = urlsplit(str(info.get("url", "")))
    if place.scheme not in ("http", "https") or place.port is None or place.hostname is None:
        return []
    hosts = dict.fromkeys([place.hostname, *(LOOPBACK if place.hostname in LOOPBACK else ())])
    return [f"{place.scheme}://{host}:{place.port}" for host in hosts]


HEARTBEAT_S = 0.25
CONNECTING_S = 0.02
"""Until the connection stands; the first beat counts at once, since the very first cell may hold the kernel."""
FLUSH_S = 2.0


class Starvation:
    """How long the kernel would have run, and had no processor (Linux counts that for each thread).

    Two threads tell: the one that sends heartbeats, and the main one, which runs the cells. While the main one waits
    for a processor with the interpreter in its hand, the other waits for the interpreter, in no queue. What both wait
    at once counts once; a call that holds the interpreter on a processor of its own counts not at all.
    """

    _THREADS = ("self", "thread-self")

    def __init__(self) -> None:
        self._before: tuple[int, ...] | None = None
        self._total = 0

    def total_ns(self) -> int | None:
        """Return the total so far; `None` = the system does not tell. Belongs on the heartbeat's thread."""
        try:
            texts = [Path(f"/proc/{thread}/schedstat").read_text() for thread in self._THREADS]
            delays = tuple(int(text.split()[1]) for text in texts)
        except (OSError, ValueError, IndexError):
            return None
        if self._before is not None:
            self._total += max(now - before for now, before in zip(delays, self._before, strict=True))
        self._before = delays
        return self._total


def gauge_report(name: str, value: float, unit: str) -> KernelReport:
    """Return a gauge as it is reported, stamped with the time of the call."""
    value = float(value)
    row = Gauge(
        name=str(name),
        value=_INFINITIES.get(value, value),
        unit=str(unit),
        timestamp=time.time_ns() // 1_000_000,
    )
    return KernelReport(row=row)


class KernelReporter:
    """Runs on the background thread; its own silence is what tells the collector that the kernel is held."""

    def __init__(self, control: ControlClient) -> None:
        self._control = control
        self._exits = ExitWatch()
        self._starvation = Starvation()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to report."""
        for _ in self._exits.new_exits():
            pass  # ended before us: nobody's worker
        self._task = asyncio.create_task(self._beat(), name="kernel heartbeat")

    async def stop(self) -> None:
        """Send the last exit codes and end."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._exits.close()
        self._report_exits()

    async def _beat(self) -> None:
        while True:
            self._control.report(
                KernelReport(heartbeat=time.monotonic_ns(), starved=self._starvation.total_ns())
            )
            self._exits.follow(self._report_exit)
            self._report_exits()
            await asyncio.sleep(HEARTBEAT_S if self._control.connected else CONNECTING_S)

    def _report_exits(self) -> None:
        for pid, code in self._exits.new_exits():
            self._report_exit(pid, code)

    def _report_exit(self, pid: int, code: int) -> None:
        self._control.report(KernelReport(exit=ProcessExit(pid, code)))

    def cell(self, cell: Cell, began_mono_ns: int, ended_mono_ns: int) -> None:
        """Queue an executed cell; the collector adds what it sampled meanwhile."""
        self.queue(KernelReport(row=cell, between=(began_mono_ns, ended_mono_ns)))

    def origin(self, origin: str) -> None:
        """Queue the origin of a page that shows our views: it may talk to the collector directly."""
        self.queue(KernelReport(origin=origin))

    def queue(self, report: KernelReport) -> None:
        """Send a report as soon as there is a connection."""
        background().loop.call_soon_threadsafe(self._control.report, report)

    def flush(self) -> None:
        """Wait until what was queued has been answered, at most 2 s."""
        with contextlib.suppress(TimeoutError):
            background().run(self._control.drain(), timeout=FLUSH_S)
