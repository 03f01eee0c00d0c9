"""The highest values while a recording runs: what `info()` tells of it without reading a message."""

from __future__ import annotations

import time

from tes_nb.collector.observer import Observer


class Peaks:
    """Memory and CPU of the observed process, and memory of its children, since it was made."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._looked_ns = time.monotonic_ns()
        self.highest: dict[str, float] = {}
        """`rss` and `children_rss` in bytes, `cpu_percent` of one core, uncapped: 250 = two and a half cores."""

    def look(self) -> bool:
        """Take in what was sampled since the last look. Returns whether anything rose."""
        before = dict(self.highest)
        since, self._looked_ns = self._looked_ns, time.monotonic_ns()
        span = self._observer.span(since, self._looked_ns)
        if span is not None:
            self._raise("rss", span.rss_peak)
            self._raise("children_rss", span.children_rss_peak)
        process = self._observer.process.latest
        if process.alive:
            self._raise("rss", process.rss)
            self._raise("cpu_percent", round(process.cpu_cores * 100, 1))
        return self.highest != before

    def _raise(self, name: str, value: float) -> None:
        self.highest[name] = max(self.highest.get(name, 0), value)
