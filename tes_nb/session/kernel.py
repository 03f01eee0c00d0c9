"""What only the kernel knows, reported to the collector: a heartbeat, exit codes, the user's gauges, executed cells."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from tes_nb.errors import ArgumentError
from tes_nb.model.control import Cell, Gauge, Gauges, KernelReport, NonFinite, ProcessExit
from tes_nb.net.control_client import ControlClient
from tes_nb.net.loop import background
from tes_nb.session.exits import ExitWatch
from tes_nb.session.stacks import CellPlace, note_cell
from tes_nb.store.redact import redact_code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


MAX_GAUGE_NAME = 200
"""Characters of a gauge's name."""
_INFINITIES: dict[float, NonFinite] = {math.inf: "Infinity", -math.inf: "-Infinity"}


CellDetail = Literal["number", "first_line"]
FIRST_LINE_CHARACTERS = 200
LONGEST_LINE = 20 * FIRST_LINE_CHARACTERS
"""So much of it is looked at for credentials before it is cut."""


class CellWatch:
    """Measures from `pre_run_cell` to `post_run_cell`. Keeps the cell's number, and no code unless asked to.

    A row is a cell of the notebook: what a cell runs in its turn, with `run_cell`, is a part of it.
    """

    def __init__(
        self,
        shell: Any,
        report: Callable[[KernelReport], None],
        detail: CellDetail = "number",
    ) -> None:
        self._shell = shell
        self._report = report
        self._detail = detail
        self._began: tuple[int, int, float] | None = None
        self._exact = False
        self.place = CellPlace()
        self._inner: list[Any] = []
        """What IPython says of the cells that run within the measured one."""
        shell.events.register("pre_run_cell", self._before)
        shell.events.register("post_run_cell", self._after)
        self._begin()  # the cell that called start() is measured from here on
        note_cell(shell)

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
        note_cell(self._shell, getattr(info, "raw_cell", None))
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
        number = int(self._shell.displayhook.prompt_count)
        self._report(KernelReport(row=self.place.begin(number, self._began[0])))

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
            place=self.place.end(),
        )
        self._report(
            KernelReport(row=cell, between=(mono, ended))
        )  # the collector adds what it sampled meanwhile

    def _first_line(self, result: Any) -> str | None:
        code = getattr(getattr(result, "info", None), "raw_cell", None)
        if self._detail != "first_line" or not isinstance(code, str):
            return None
        line = code.strip().split("\n", 1)[0][:LONGEST_LINE]
        return redact_code(line)[:FIRST_LINE_CHARACTERS]


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


# A widget says its page's origin itself, but the kernel gets that only between cells; controls are to answer sooner.

LOOPBACK = ("localhost", "127.0.0.1")


def jupyter_origins() -> tuple[str, ...]:
    """Return the origins of the server that started this kernel; () = none did, or it does not say.

    Looks only where IPython's kernel runs.
    """
    if "ipykernel" not in sys.modules:
        return ()
    from jupyter_core.paths import jupyter_runtime_dir  # noqa: PLC0415 - ipykernel has imported it

    files = Path(jupyter_runtime_dir()).glob(f"jpserver-{os.getppid()}.json")
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

    Two threads are measured: the one that sends heartbeats, and the main one, which runs the cells. While the main one
    waits for a processor and holds the interpreter's lock, the other waits for the lock, in no queue of the system.
    What both wait at once counts once; a call that holds the lock on a processor of its own counts not at all.
    """

    _THREADS = ("self", "thread-self")

    def __init__(self) -> None:
        self._before: tuple[int, ...] | None = None
        self._total = 0
        self._files: list[int] = []

    def total_ns(self) -> int | None:
        """Return the total so far; `None` = the system does not say. Belongs on the heartbeat's thread."""
        try:
            if (
                not self._files
            ):  # open from then on, since each call of the system may give the interpreter away
                self._files = [os.open(f"/proc/{thread}/schedstat", os.O_RDONLY) for thread in self._THREADS]
            delays = tuple(int(os.pread(file, 100, 0).split()[1]) for file in self._files)
        except (OSError, ValueError, IndexError, AttributeError):
            return None
        if self._before is not None:
            self._total += max(now - before for now, before in zip(delays, self._before, strict=True))
        self._before = delays
        return self._total

    def close(self) -> None:
        """Let go of the files."""
        files, self._files = self._files, []
        for file in files:
            os.close(file)


def gauge_report(name: str, value: float, unit: str) -> KernelReport:
    """Return a gauge as it is reported, stamped with the time of the call. Raises `ArgumentError`, see `_gauge`."""
    row = _gauge(name, value, unit)
    row.timestamp = time.time_ns() // 1_000_000
    return KernelReport(row=row)


def gauges_report(values: Mapping[str, Any]) -> KernelReport:
    """Return several gauges as one report: {name: value or (value, unit)}. Raises `ArgumentError`, see `_gauge`."""
    pairs = {
        name: one if isinstance(one, tuple) and len(one) == 2 else (one, "") for name, one in values.items()
    }
    if not pairs:
        raise ArgumentError("gauges() takes numbers by their names, as gauges(loss=0.3, lr=0.001).")
    rows = [_gauge(name, value, unit) for name, (value, unit) in pairs.items()]
    return KernelReport(row=Gauges(rows, time.time_ns() // 1_000_000))


def _gauge(name: str, value: float, unit: str) -> Gauge:
    """Raises `ArgumentError` for a name that is none, or endless, and for what is no number."""
    title = str(name)
    if not title.strip() or len(title) > MAX_GAUGE_NAME:
        long = f"one of {len(title)} characters" if title.strip() else repr(title)
        raise ArgumentError(f"A gauge needs a name of 1 to {MAX_GAUGE_NAME} characters, not {long}.")
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"The gauge {title!r} needs a number, not {value!r}; float('nan') says that there is none."
        ) from error
    except OverflowError as error:
        raise ArgumentError(
            f"The gauge {title!r} needs a number below 1.8e308, the greatest of a float; give its logarithm, or "
            "float('inf')."
        ) from error
    return Gauge(name=title, value=_INFINITIES.get(number, number), unit=str(unit)[:MAX_GAUGE_NAME])


class KernelReporter:
    """Runs on the background thread; its own silence is what tells the collector that the kernel is held."""

    def __init__(self, control: ControlClient) -> None:
        self._control = control
        self._exits = ExitWatch()
        self._starvation = Starvation()
        self._task: asyncio.Task[None] | None = None
        self.cell_place: CellPlace | None = None
        """Tells where the running cell is; `None` = no cells are measured."""

    async def start(self) -> None:
        """Begin to report."""
        for _ in self._exits.new_exits():
            pass  # ended before us: no worker of this session
        self._task = asyncio.create_task(self._beat(), name="kernel heartbeat")

    async def stop(self) -> None:
        """Send the last exit codes and end."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._exits.close()
        self._starvation.close()
        self._report_exits()

    async def _beat(self) -> None:
        while True:
            self._control.report(
                KernelReport(heartbeat=time.monotonic_ns(), starved=self._starvation.total_ns())
            )
            if self.cell_place is not None:
                self.cell_place.look(lambda row: self._control.report(KernelReport(row=row)))
            self._exits.follow(self._report_exit)
            self._report_exits()
            await asyncio.sleep(HEARTBEAT_S if self._control.connected else CONNECTING_S)

    def _report_exits(self) -> None:
        for pid, code in self._exits.new_exits():
            self._report_exit(pid, code)

    def _report_exit(self, pid: int, code: int) -> None:
        self._control.report(KernelReport(exit=ProcessExit(pid, code)))

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
