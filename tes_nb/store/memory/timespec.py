"""What users may say for an instant, a length of time, a time zone; in numbers: Unix ns, ns."""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from tes_nb.errors import ArgumentError

Instant: TypeAlias = str | dt.datetime | dt.date | np.datetime64 | int | float
"""Anything `pandas.Timestamp` understands (numbers are Unix ns, as there); without an offset it is UTC."""

Span: TypeAlias = str | dt.timedelta | np.timedelta64 | float | pd.offsets.BaseOffset
"""A pandas offset or duration ("10min", "1h 30min", Timedelta); a number is seconds."""

Zone: TypeAlias = str | dt.tzinfo | None
"""A name of the time zone database, or a tzinfo; `None` = UTC."""

_UTC = dt.UTC


def zone(tz: Zone) -> dt.tzinfo:
    """Return the time zone. Raises `ArgumentError` for an unknown one."""
    if tz is None:
        return _UTC
    try:
        if not isinstance(tz, str | dt.tzinfo):
            raise TypeError("neither a name nor a tzinfo")  # noqa: TRY301 - one sentence for all that is wrong
        zone_info: dt.tzinfo = pd.DatetimeTZDtype(unit="ns", tz=tz).tz
    except (TypeError, ValueError, KeyError, OSError) as error:
        raise ArgumentError(
            f"tz={tz!r} is no time zone known here: give a name such as 'Europe/Berlin', or None for UTC."
        ) from error
    return zone_info


def instant_ns(value: Instant, *, name: str, tz: Zone = None) -> int:
    """Return Unix nanoseconds. A time without an offset is in `tz`. Raises `ArgumentError` (says `name`)."""
    home = zone(tz)
    if isinstance(value, str) and value.strip().lower() in {"now", "today"}:
        return pd.Timestamp.now(home).as_unit("ns").value
    try:
        stamp = pd.Timestamp(value)
        if pd.isna(stamp):
            raise ValueError("it is no time at all")  # noqa: TRY301 - one sentence for all that is wrong
        return (stamp if stamp.tzinfo else stamp.tz_localize(home)).as_unit("ns").value
    except (ValueError, TypeError, OverflowError) as error:
        raise ArgumentError(
            f"{name}={value!r} is no time that can be used ({error}): give a time such as "
            "'2026-01-31 12:00', '2026-01-31T12:00:00+01:00', or a datetime."
        ) from error


def span_ns(value: Span, *, name: str) -> int:
    """Return a positive number of nanoseconds. Raises `ArgumentError` (says `name`)."""
    try:
        length = _span(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise ArgumentError(
            f"{name}={value!r} is no length of time that can be used ({error}): "
            "give one such as '10min', '1h 30min', or a number of seconds."
        ) from error
    if length <= 0:
        raise ArgumentError(f"{name}={value!r} must be more than nothing: give a length such as '10min'.")
    return length


def _span(value: Any) -> int:
    if isinstance(value, int | float | np.number) and not isinstance(value, bool | np.timedelta64):
        if not math.isfinite(value):
            raise ValueError("it is not finite")
        return pd.Timedelta(round(float(value) * 1e9), unit="ns").value
    if isinstance(value, str):
        text = value.strip()
        if text.lstrip("+-").replace(".", "", 1).isdigit():
            raise ValueError("a number in quotes has no unit")
        text = f"1{text}" if text[:1].isalpha() and text[:1] != "P" else text
        value = re.sub(r"(?<=[\d\s])d\b", "D", text)  # pandas is about to know days by the capital alone
    length = pd.Timedelta(value)
    if pd.isna(length):
        raise ValueError("it is no time at all")
    return length.as_unit("ns").value
