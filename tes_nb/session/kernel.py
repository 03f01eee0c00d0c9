"""What only the kernel knows, told to the collector: a heartbeat, exit codes, the user's gauges, executed cells."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from tes_nb.net.control_client import ControlClient
from tes_nb.net.loop import background
from tes_nb.session.exits import ExitWatch
from tes_nb.streams.kernel import Cell, Gauge, encode

HEARTBEAT_S = 0.25
CONNECTING_S = 0.02
"""Until the connection stands; the first beat counts at once, since the very first cell may hold the kernel."""
FLUSH_S = 2.0


class KernelReporter:
    """Runs on the background thread; its own silence is what tells the collector that the kernel is held."""

    def __init__(self, control: ControlClient) -> None:
        self._control = control
        self._exits = ExitWatch()
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
        self._report_exits()

    async def _beat(self) -> None:
        while True:
            self._control.report({"heartbeat": time.monotonic_ns()})
            self._report_exits()
            await asyncio.sleep(HEARTBEAT_S if self._control.connected else CONNECTING_S)

    def _report_exits(self) -> None:
        for pid, code in self._exits.new_exits():
            self._control.report({"exit": {"pid": pid, "code": code}})

    def gauge(self, name: str, value: float, unit: str) -> None:
        """Queue a gauge, stamped with the time of the call."""
        told = Gauge(
            name=str(name), value=float(value), unit=str(unit), timestamp=time.time_ns() // 1_000_000
        )
        self._queue({"row": encode(told)})

    def cell(self, cell: Cell, began_mono_ns: int, ended_mono_ns: int) -> None:
        """Queue an executed cell; the collector adds what it sampled meanwhile."""
        self._queue({"row": encode(cell), "between": [began_mono_ns, ended_mono_ns]})

    def origin(self, origin: str) -> None:
        """Queue the origin of a page that shows our views: it may talk to the collector directly."""
        self._queue({"origin": origin})

    def _queue(self, report: dict[str, Any]) -> None:
        background().loop.call_soon_threadsafe(self._control.report, report)

    def flush(self) -> None:
        """Wait until what was queued has been answered, at most 2 s."""
        with contextlib.suppress(TimeoutError):
            background().run(self._control.drain(), timeout=FLUSH_S)
