"""A source for charts that ticks by itself on a thread: a real store, filled with made-up rows."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

from tes_nb.model import Column, Decoded, Endpoint, Kind, Message, Stream, Table
from tes_nb.store.memory.tables import StreamStore

COLUMNS = (
    Column("size", "Int64", "bytes", "gauge", "goes up and down"),
    Column("load", "float64", "percent", "gauge", "goes up and down too"),
    Column("total", "Int64", "", "counter", "only rises"),
    Column("note", "str", "", "text", "is not drawn"),
)
TABLES = (
    Table("ticks", "One row a tick.", COLUMNS),
    Table(
        "parts",
        "One row a part and tick.",
        (Column("id", "str", "", "label", "which"), *COLUMNS[:3]),
        key=("id",),
    ),
)


def _nothing(message: Message) -> Any:
    del message
    return Decoded(Kind.DATA)


def made_up(name: str = "made-up", period_s: float = 0.5) -> Stream:
    """Return a stream whose rows nobody decodes: tests put them in."""
    return Stream(
        name=name,
        doc="Made up for tests.",
        endpoint=Endpoint("none", ""),
        tables=TABLES,
        main="ticks",
        period_s=period_s,
        decode=_nothing,
        classify=lambda _: Kind.DATA,
    )


class Ticking:
    """A chart's source. `start()` lets a thread put in a row each period; `put` puts in rows by hand."""

    def __init__(self, name: str = "made-up", period_s: float = 0.5) -> None:
        self.name = name
        self.stream = made_up(name, period_s)
        self.store = StreamStore(self.stream)
        self._stop = threading.Event()
        self._count = 0

    def put(self, *rows: tuple[Any, ...], table: str = "ticks", at: float | None = None) -> None:
        """Add the rows of one message, received at `at` (Unix seconds; `None` = now)."""
        moment = time.time() if at is None else at
        self.store.tables[table].append(rows, time_ns=int(moment * 1e9), source=self.name)

    def tick(self, at: float | None = None) -> None:
        """Add one made-up row."""
        n = self._count = self._count + 1
        self.put((int(3e8 + 1e8 * math.sin(n / 9)), 50 + 45 * math.cos(n / 7), n * n, "x"), at=at)

    def start(self, history: int = 200) -> Ticking:
        """Fill in the past, then tick."""
        period = self.stream.period_s
        for back in range(history, 0, -1):
            self.tick(time.time() - back * period)
        threading.Thread(target=self._run, daemon=True, name="ticking").start()
        return self

    def _run(self) -> None:
        while not self._stop.wait(self.stream.period_s):
            self.tick()

    def stop(self) -> None:
        """Tick no more."""
        self._stop.set()
