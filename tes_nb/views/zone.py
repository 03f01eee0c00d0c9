"""The one time zone of all views: `tes.options.tz`. Frames stay in UTC, whatever it says (docs/decisions/0028)."""

from __future__ import annotations

import datetime as dt

import numpy as np
import numpy.typing as npt
import pandas as pd

UTC = "UTC"


class ViewZone:
    """What `tes.options.tz` says."""

    def __init__(self) -> None:
        self.name: str | None = None
        """As "Europe/Berlin"; `None` = live views take the browser's, figures and reports UTC."""

    @property
    def here(self) -> str:
        """The zone of what no browser makes: figures, reports, pictures."""
        return self.name or UTC


zone = ViewZone()
"""The one that all views share."""


class WallClock:
    """How times of a picture are shown: on the zone's clocks, at one distance from UTC all along.

    Where clocks are changed within the picture, an hour would be there twice or not at all: such a picture keeps to
    the distance at its end, and its axis says so.
    """

    def __init__(self, ends: list[pd.Timestamp], name: str | None = None) -> None:
        """ends: first and last times, any number of each. name: of the zone, `None` = `zone.here`."""
        chosen = name or zone.here
        offsets = [end.tz_convert(chosen).utcoffset() or dt.timedelta(0) for end in sorted(ends)]
        self.offset = offsets[-1] if offsets else dt.timedelta(0)
        changes = any(offset != self.offset for offset in offsets)
        self.name = _distance(self.offset) if changes else chosen

    @property
    def axis(self) -> str:
        """The title of a time axis."""
        return f"time ({self.name})"

    def of(self, times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.datetime64]:
        """Return UTC times as the clocks show them."""
        shifted: npt.NDArray[np.datetime64] = times + np.timedelta64(int(self.offset.total_seconds()), "s")
        return shifted

    def moment(self, ns: int) -> pd.Timestamp:
        """Return Unix nanoseconds as the clocks show them, without a zone."""
        return pd.Timestamp(ns) + self.offset


def _distance(offset: dt.timedelta) -> str:
    minutes = int(offset.total_seconds() // 60)
    sign = "-" if minutes < 0 else "+"
    return f"UTC{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
