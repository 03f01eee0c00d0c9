"""What the kernel reports over the control socket: rows, exit codes, a heartbeat; and marks from anyone."""

from __future__ import annotations

import asyncio
import time

import msgspec

from tes_nb.collector.http.guard import Guard
from tes_nb.collector.hub import Hub
from tes_nb.collector.logs import logger
from tes_nb.collector.observer import Observer
from tes_nb.collector.stacks import StackReader, innermost
from tes_nb.errors import CollectorError
from tes_nb.model.control import (
    Cell,
    Cost,
    Gauge,
    Gauges,
    GetCost,
    KernelActivity,
    KernelReport,
    MarkTime,
    PutMark,
    RecordNumber,
)
from tes_nb.model.work_control import ProcessStack
from tes_nb.streams.kernel import KERNEL, Held
from tes_nb.wire.events import Mark

MAX_SILENCE_S = 1.0
"""Heartbeats come every 250 ms; a longer silence than this is a time in which the kernel was held."""
LOOK_EVERY_S, LATER_EVERY_S = MAX_SILENCE_S, 10.0
"""So often it is looked where a silent kernel is: in the first ten seconds, and later. A heartbeat may be made between
two calls that hold the interpreter, and come only after the second: seen from here that is one silence, of two times.
"""
LOOK_AGAIN_S = 0.5
"""A look that failed is repeated: a machine with too much to do may not let the kernel answer."""
LOOK_PERIOD_S = 0.1
MOST_LOOKS = 20
MAX_ORIGINS = 20


class KernelSource:
    """Turns reports into messages of the kernel's own source."""

    def __init__(self, hub: Hub, observer: Observer, guard: Guard, stacks: StackReader | None = None) -> None:
        """stacks: asks a held kernel where it is; `None` = nobody does."""
        self._hub = hub
        self._observer = observer
        self._guard = guard
        self._last_beat_ns: int | None = None
        self._starved_ns = 0
        self._page_origins: set[str] = set()
        self._stacks = stacks
        self._looks: list[tuple[int, ProcessStack]] = []
        """When it was looked, on the monotonic clock, and what the kernel did then; since the newest heartbeat."""

    async def follow(self) -> None:
        """Look where the kernel is whenever it is held, until cancelled."""
        due_s = MAX_SILENCE_S
        while self._stacks is not None:
            await asyncio.sleep(LOOK_PERIOD_S)
            now, since = time.monotonic_ns(), self._last_beat_ns
            silent_s = 0.0 if since is None else (now - since) / 1e9
            if silent_s < MAX_SILENCE_S:
                due_s = MAX_SILENCE_S
            elif silent_s >= due_s:
                try:
                    stack = await self._stacks.read(self._observer.observed_pid)
                except CollectorError as error:
                    due_s = silent_s + LOOK_AGAIN_S
                    logger.info("Nobody knows where the kernel is held: %s", error)
                else:
                    due_s = silent_s + (LOOK_EVERY_S if silent_s < LATER_EVERY_S else LATER_EVERY_S)
                    self._looks = [*self._looks[1 - MOST_LOOKS :], (now, stack)]

    async def report(self, report: KernelReport) -> RecordNumber | None:
        """Take in one report."""
        if report.heartbeat is not None:
            self._note_heartbeat(report.heartbeat, report.starved or 0)
        if report.exit is not None:
            self._observer.processes.report_exit(report.exit.pid, report.exit.code)
        if report.origin is not None:
            self.allow_origin(report.origin)
        if report.row is None:
            return None
        return self._stamp(self._with_samples(report.row, report.between))

    def _stamp(self, row: Gauge | Gauges | Cell | KernelActivity | Held) -> RecordNumber:
        return RecordNumber(self._hub.add(KERNEL, msgspec.json.encode(row)).seq)

    def _note_heartbeat(self, beat_ns: int, starved_ns: int) -> None:
        """Take a heartbeat. beat_ns: when it was made, by the monotonic clock, which kernel and collector share.

        starved_ns: how long in all the kernel's threads were ready until then, and had no processor.

        A machine with too much to do keeps a heartbeat away as well as a call that holds the interpreter; but the
        one who waits for a processor stands in a queue that the system measures, the other one does not.
        """
        before, self._last_beat_ns = self._last_beat_ns, beat_ns
        starved, self._starved_ns = max(starved_ns - self._starved_ns, 0), starved_ns
        if before is not None and beat_ns - before - starved >= MAX_SILENCE_S * 1e9:
            start = time.time_ns() - (time.monotonic_ns() - before)
            self._stamp(self._held(start, before, beat_ns))
        self._looks = [look for look in self._looks if look[0] > beat_ns]

    def _held(self, start: int, before_ns: int, beat_ns: int) -> Held:
        stack = next((stack for at, stack in reversed(self._looks) if before_ns < at < beat_ns), None)
        held = Held(start=start, seconds=(beat_ns - before_ns) / 1e9)
        if stack is not None and (frame := innermost(stack.threads)) is not None:
            held.place, held.file, held.line = stack.place, frame.file, frame.line
        return held

    def allow_origin(self, origin: str) -> None:
        """Let a widget's page talk to us directly: the kernel vouches for it."""
        if origin in self._guard.origins:
            return
        if len(self._page_origins) >= MAX_ORIGINS:
            raise ValueError(
                f"{MAX_ORIGINS} origins are allowed already; restart the session to forget them."
            )
        self._page_origins.add(origin)
        self._guard.origins.add(origin)
        # Behind a proxy, requests of that page carry its own host name: a name that somebody else rebinds is not this.
        self._guard.hosts.add(origin.partition("://")[2])

    def _with_samples(
        self, row: Gauge | Gauges | Cell | KernelActivity, between: tuple[int, int] | None
    ) -> Gauge | Gauges | Cell | KernelActivity:
        """Add to a cell what was sampled between two instants of the monotonic clock."""
        span = None if between is None else self._observer.span(*between)
        if span is None or not isinstance(row, Cell):
            return row
        row.rss_mean, row.children_rss_peak = float(span.rss_mean), span.children_rss_peak
        row.children_cpu_s, row.children_peak = span.children_cpu_s, span.children_peak
        row.total_peak = max(span.total_peak, row.rss_peak or 0)
        if row.rss_peak is None:
            row.rss_peak, row.peak_source = span.rss_peak, "sampled"
        return row

    async def cost(self, operation: GetCost) -> Cost:
        """Return what kernel and children have used so far."""
        del operation
        return self._observer.cost()

    async def mark(self, operation: PutMark) -> MarkTime:
        """Put a mark into every source."""
        at = time.time_ns()
        for source in tuple(self._hub.topics):
            self._hub.event(source, Mark(label=operation.label, at_ns=at))
        return MarkTime(at)
