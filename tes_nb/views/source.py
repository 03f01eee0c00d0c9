"""What views are made of: a source with its stream and rows, its newest messages, and what goes on around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from tes_nb.store.memory.frames import frame as frame_of

if TYPE_CHECKING:
    from tes_nb.model import Stream
    from tes_nb.store.memory.recent import RecentMessages
    from tes_nb.store.memory.tables import StreamStore
    from tes_nb.views.annotations import Notes
    from tes_nb.views.rows import Lookup
    from tes_nb.wire.events import Mark


class TableSource(Protocol):
    """What a chart or a table shows: a feed, or anything with a stream and its store."""

    @property
    def name(self) -> str:
        """What the view is called."""

    @property
    def stream(self) -> Stream:
        """What travels."""

    @property
    def store(self) -> StreamStore:
        """Its rows so far, and those to come."""


class ViewState(Protocol):
    """How a source is doing; `str()` of it is a line."""

    @property
    def word(self) -> str:
        """One word, such as OPEN."""


class ViewSource(TableSource, Protocol):
    """A source with everything that its views show: what a feed is to `views.build`."""

    @property
    def url(self) -> str:
        """The page that shows the same while the kernel is held; "" = there is none."""

    @property
    def recent(self) -> RecentMessages:
        """The newest messages as they came."""

    @property
    def notes(self) -> Notes | None:
        """Executed cells and held times; `None` = nobody reports them."""

    @property
    def on_origin(self) -> Callable[[str], None] | None:
        """Called with the `location.origin` of a browser that shows a view; `None` = nobody asks."""

    @property
    def closed(self) -> bool:
        """Whether nothing more can come."""

    def look(self) -> ViewState:
        """How it is doing, without raising what went wrong elsewhere."""

    def lookup(self, table: str) -> Lookup | None:
        """Columns that a live table shows beside its own, such as names; `None` = there are none."""

    def mark_list(self) -> list[Mark]:
        """What was marked."""

    def frame(self, table: str | None = None, *, last: Any = None, gaps: bool = False) -> pd.DataFrame:
        """A table's rows, as `Feed.frame` gives them."""


class KernelNotes:
    """Executed cells and held times as spans, built anew only when there are new ones."""

    def __init__(self, kernel: Callable[[], StreamStore]) -> None:
        """kernel: gives the rows of the source `kernel`; asked when something is drawn."""
        self._kernel = kernel
        self._version = -1
        self._spans: dict[str, list[dict[str, Any]]] = {}

    def __call__(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Return {"cells": […], "held": […]}: start, end (Unix seconds), label."""
        kernel = self._kernel()
        version = kernel.version
        if version != self._version:
            self._version = version
            self._spans = {"cells": _cells(kernel), "held": _held(kernel)}
        return self._spans


def _cells(kernel: StreamStore) -> list[dict[str, Any]]:
    cells = frame_of(kernel.tables["cells"])
    return [
        _span(start, seconds, f"[{number}]" if pd.isna(line) else f"[{number}] {line}")
        for start, seconds, number, line in zip(
            cells["start"], cells["wall_s"], cells["number"], cells["first_line"], strict=True
        )
    ]


def _held(kernel: StreamStore) -> list[dict[str, Any]]:
    held = frame_of(kernel.tables["held"])
    return [
        _span(start, seconds, f"kernel held {seconds:.1f} s")
        for start, seconds in zip(held["start"], held["seconds"], strict=True)
    ]


def _span(start: pd.Timestamp, seconds: float, label: str) -> dict[str, Any]:
    began = start.value / 1e9
    return {"start": began, "end": began + seconds, "label": label}
