"""Recordings as a lazy frame of Dask: which pieces there are, and how a worker reads one (docs/decisions/0040)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pandas as pd

from tes_nb.session.engines import with_session
from tes_nb.session.open import RecordingFile
from tes_nb.session.origin import RecordedOrigin

if TYPE_CHECKING:
    from tes_nb.session.feed import Feed
    from tes_nb.session.recorded import RecordedSession

SEGMENT = 50_000
"""So many messages a partition has at most, about: a worker decodes them in some seconds."""

Reads = Callable[..., pd.DataFrame | None]
"""Takes an open recording, and `within=` where it reads a segment."""


@dataclass(frozen=True, slots=True)
class RecordingSegment:
    """What one partition is: a recording, or a range of its time."""

    member: RecordingFile
    within: Mapping[str, Any] | None = None
    """start and end, as of `Feed.frame`; `None` = all of it, in one piece."""


def ranges_of(feed: Feed, table: str) -> list[dict[str, Any]]:
    """Return the ranges of time, start and end, in which a recorded table is read by several workers.

    A table that compares each message with those before, and a source that was not written in order, are one range.
    """
    summary, origin = feed.origin.summary(), feed.origin
    whole = [{"start": None, "end": None}]
    if summary is None or summary.first_ns is None or summary.last_ns is None or summary.messages <= SEGMENT:
        return whole
    if table in feed.stream.folded or not isinstance(origin, RecordedOrigin):
        return whole
    if not origin.file.sources[feed.source].ordered:
        return whole
    count = -(-summary.messages // SEGMENT)
    length = summary.last_ns + 1 - summary.first_ns
    bounds = [summary.first_ns + length * number // count for number in range(count + 1)]
    at = [pd.Timestamp(bound, unit="ns", tz="UTC") for bound in bounds]
    return [{"start": low, "end": high - pd.Timedelta(1, "ns")} for low, high in pairwise(at)]


def lazy_frame(function: Reads, segments: Sequence[RecordingSegment], meta: pd.DataFrame) -> Any:
    """Return a `dask.dataframe` with a partition for each segment, `session` before the columns of `meta`."""
    empty = with_session(meta.head(0), "")
    # a name of its own: what the cluster holds of an earlier read is not what the files have now
    read = partial(_partition, function=function, empty=empty, read=secrets.token_hex(8))
    return from_pieces(read, list(segments), empty)


def from_pieces(read: Callable[[Any], pd.DataFrame], pieces: Sequence[Any], empty: pd.DataFrame) -> Any:
    """Return a `dask.dataframe` with a partition for each piece; empty: its columns, without rows."""
    import dask  # noqa: PLC0415 - an extra
    from dask import dataframe as dd  # noqa: PLC0415 - an extra
    from dask.dataframe.utils import clear_known_categories  # noqa: PLC0415 - an extra

    with dask.config.set({"dataframe.convert-string": False}):  # text is pandas' own, as on one machine
        return dd.from_map(
            read,
            list(pieces),
            meta=clear_known_categories(empty, dtype_backend=None),
            label="recordings",
        )


def _partition(segment: RecordingSegment, *, function: Reads, empty: pd.DataFrame, read: str) -> pd.DataFrame:
    """Read one segment, on a worker. read: identifies this reading of the set."""
    del read
    with segment.member.open() as rec:
        result = result_of(function, segment.member, rec, segment.within)
    return empty if result is None else with_session(result, segment.member.session)


def result_of(
    function: Reads, member: RecordingFile, rec: RecordedSession, within: Mapping[str, Any] | None = None
) -> pd.DataFrame | None:
    """Call a function with a recording; what it raises names the session."""
    try:
        return function(rec) if within is None else function(rec, within=within)
    except Exception as error:
        error.add_note(f"This was in the session '{member.session}' ({member.path}).")
        raise
