"""What the kernel reports over the control socket: rows, exit codes, a heartbeat; and marks from anyone."""

from __future__ import annotations

import dataclasses
import re
import time
from typing import Any

import msgspec

from tes_nb.collector.http.guard import Guard
from tes_nb.collector.hub import Hub
from tes_nb.collector.observer import Observer
from tes_nb.wire.events import Mark

HELD_AFTER_S = 1.0
"""Heartbeats come every 250 ms; a longer silence than this is a time in which the kernel was held."""
SOURCE = "kernel"
MAX_LABEL = 200
MAX_ORIGINS = 20
_ORIGIN = re.compile(r"https?://[a-z0-9._-]{1,253}(:[0-9]{1,5})?|https?://\[[0-9a-f:.]{2,45}\](:[0-9]{1,5})?")


class KernelDesk:
    """Turns reports into messages of the kernel's own source."""

    def __init__(self, hub: Hub, observer: Observer, guard: Guard) -> None:
        self._hub = hub
        self._observer = observer
        self._guard = guard
        self._last_beat_ns: int | None = None
        self._vouched: set[str] = set()

    async def kernel(self, args: dict[str, Any]) -> Any:
        """One report: any of `heartbeat`, `exit`, `row` (with `between`), `origin`."""
        if "heartbeat" in args:
            self._heartbeat()
        if "exit" in args:
            told = args["exit"]
            self._observer.workers.report_exit(_integer(told, "pid"), _integer(told, "code"))
        if "origin" in args:
            self._allow_origin(args["origin"])
        if "row" in args:
            return self._row(args["row"], args.get("between"))
        return None

    def _heartbeat(self) -> None:
        now = time.monotonic_ns()
        before, self._last_beat_ns = self._last_beat_ns, now
        if before is None or now - before < HELD_AFTER_S * 1e9:
            return
        held = {"type": "held", "start": time.time_ns() - (now - before), "seconds": (now - before) / 1e9}
        self._hub.add(SOURCE, msgspec.json.encode(held))

    def _allow_origin(self, origin: Any) -> None:
        """A widget's page may talk to us directly; the kernel vouches for it."""
        if not isinstance(origin, str) or _ORIGIN.fullmatch(origin) is None:
            raise ValueError("'origin' must be a web origin such as http://localhost:8888.")
        if origin in self._guard.origins:
            return
        if len(self._vouched) >= MAX_ORIGINS:
            raise ValueError(
                f"{MAX_ORIGINS} origins are allowed already; restart the session to forget them."
            )
        self._vouched.add(origin)
        self._guard.origins.add(origin)
        # Behind a proxy, requests of that page carry its own host name: a name that somebody else rebinds is not this.
        self._guard.hosts.add(origin.partition("://")[2])

    def _row(self, row: Any, between: Any) -> dict[str, int]:
        if not isinstance(row, dict):
            raise ValueError("'row' must be a JSON object.")
        if between is not None:
            row = {**row, **self._sampled(*_two_instants(between), row)}
        return {"seq": self._hub.add(SOURCE, msgspec.json.encode(row)).seq}

    def _sampled(self, start_ns: int, end_ns: int, row: dict[str, Any]) -> dict[str, Any]:
        """What was sampled between two instants of the monotonic clock."""
        span = self._observer.span(start_ns, end_ns)
        if span is None:
            return {}
        kernel_peak = row.get("rss_peak")
        told: dict[str, Any] = {
            "rss_mean": float(span.rss_mean),
            "children_rss_peak": span.children_rss_peak,
            "children_cpu_s": span.children_cpu_s,
            "children_peak": span.children_peak,
            "total_peak": max(span.total_peak, kernel_peak if type(kernel_peak) is int else 0),
        }
        if kernel_peak is None:
            told |= {"rss_peak": span.rss_peak, "peak_source": "sampled"}
        return told

    async def cost(self, args: dict[str, Any]) -> dict[str, Any]:
        """What kernel and children have used so far."""
        del args
        return dataclasses.asdict(self._observer.cost())

    async def mark(self, args: dict[str, Any]) -> dict[str, int]:
        """Put a mark into every source."""
        label = args.get("label")
        if not isinstance(label, str) or not label or len(label) > MAX_LABEL:
            raise ValueError(f"'label' must be a text of 1 to {MAX_LABEL} characters.")
        at = time.time_ns()
        for source in tuple(self._hub.topics):
            self._hub.event(source, Mark(label=label, at_ns=at))
        return {"at_ns": at}


def _two_instants(between: Any) -> tuple[int, int]:
    if not isinstance(between, list) or len(between) != 2 or not all(type(one) is int for one in between):
        raise ValueError("'between' must be two instants of the monotonic clock, in nanoseconds.")
    return between[0], between[1]


def _integer(report: Any, name: str) -> int:
    value = report.get(name) if isinstance(report, dict) else None
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"'{name}' must be a whole number.")
    return value
