"""What each executed cell costs, measured in the kernel through IPython's own events."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tes_nb.streams.kernel import Cell

if TYPE_CHECKING:
    from collections.abc import Callable

CellDetail = Literal["number", "first_line"]
FIRST_LINE_CHARACTERS = 200


class CellWatch:
    """Measures from `pre_run_cell` to `post_run_cell`. Keeps the cell's number, and no code unless asked to."""

    def __init__(
        self, shell: Any, report: Callable[[Cell, int, int], None], detail: CellDetail = "number"
    ) -> None:
        self._shell = shell
        self._report = report
        self._detail = detail
        self._began: tuple[int, int, float] | None = None
        self._exact = False
        shell.events.register("pre_run_cell", self._before)
        shell.events.register("post_run_cell", self._after)
        self._before(None)  # the cell that called start() is measured from here on

    def remove(self) -> None:
        """Stop measuring."""
        for event, callback in (("pre_run_cell", self._before), ("post_run_cell", self._after)):
            try:
                self._shell.events.unregister(event, callback)
            except ValueError:
                continue  # somebody has cleared IPython's callbacks

    def _before(self, info: Any) -> None:
        del info
        self._exact = _reset_peak()
        self._began = (time.time_ns(), time.monotonic_ns(), time.process_time())

    def _after(self, result: Any) -> None:
        if self._began is None:
            return
        (wall, mono, cpu), self._began = self._began, None
        ended = time.monotonic_ns()
        cell = Cell(
            number=_number(self._shell, result),
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
