"""The collector's own HTTP traffic over the last minute, counted in one bucket a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tes_nb.model import HttpFacts

WINDOW_S = 60
_FIRST_ERROR = 400


@dataclass(slots=True)
class _Bucket:
    second: int = -1
    """Which second it counts; an older one is out of date and starts again."""
    answers: int = 0
    errors: int = 0
    latency_s: float = 0.0


class HttpWindow:
    """Counts requests. Each costs the same, however many there are; `facts` costs one look at each bucket."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives monotonic seconds."""
        self._clock = clock
        self._started = clock()
        self._buckets = [_Bucket() for _ in range(WINDOW_S)]
        self._last_answer: dict[str, int] = {}
        self._pending = 0
        self._total = 0

    def begin(self) -> float:
        """Count a request that came in. Return what `end` wants."""
        self._pending += 1
        return self._clock()

    def end(self, started: float, *, route: str | None, status: int | None) -> None:
        """Count the answer to the request of `begin`; status `None` = the client left without one.

        `route` is the route's pattern, never the client's path, so that the routes stay few; `None` = no
        route.
        """
        self._pending = max(0, self._pending - 1)
        if status is None:
            return
        now = self._clock()
        bucket = self._bucket(int(now))
        bucket.answers += 1
        bucket.errors += status >= _FIRST_ERROR
        bucket.latency_s += max(0.0, now - started)
        self._total += 1
        if route is not None:
            self._last_answer[route] = bucket.second

    def _bucket(self, second: int) -> _Bucket:
        bucket = self._buckets[second % WINDOW_S]
        if bucket.second != second:
            bucket.second, bucket.answers, bucket.errors, bucket.latency_s = second, 0, 0, 0.0
        return bucket

    def facts(self, total_routes: int) -> HttpFacts:
        """Return the figures of the window. The rate counts over our age while that is shorter."""
        now = self._clock()
        oldest = int(now) - WINDOW_S
        answers, errors, latency_s = 0, 0, 0.0
        for bucket in self._buckets:
            if bucket.second > oldest:
                answers += bucket.answers
                errors += bucket.errors
                latency_s += bucket.latency_s
        length_s = min(float(WINDOW_S), max(1.0, now - self._started))
        return HttpFacts(
            pending=self._pending,
            total=self._total,
            latency_ms=round(latency_s / answers * 1000, 3) if answers else 0.0,
            per_second=round(answers / length_s, 3),
            error_rate=round(errors / answers, 4) if answers else 0.0,
            total_routes=total_routes,
            active_routes=sum(second > oldest for second in self._last_answer.values()),
        )
