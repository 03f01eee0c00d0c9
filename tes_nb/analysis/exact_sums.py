"""Sums that do not depend on the order of adding: exact, then rounded once to the nearest float.

A sum over a sliding window is wanted twice, for a whole column and tick by tick, with the same bits. Running
sums of floats cannot give that; running sums of integers can. A float that `fits` is a whole number of units
of 2**-(shift + 40) and less than 2**(42 - shift); with the shift chosen for what is summed, all but odd values
do. Windows with one that does not are added by `math.fsum`, which rounds once too: all ways agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_LOW_BITS = 40
_HIGH_LIMIT = 2.0**42
_EXACT = 1 << 53
"""Integers up to here are floats without rounding."""
_LONGEST = 1 << 20
"""In a window of more values the running sums might leave 64 bits."""


class WindowSums:
    """Sums over any window of a column of finite floats that are not negative."""

    def __init__(self, values: Floats, shift: int) -> None:
        """Take the column; `shift` says where the precision lies."""
        self._values = values
        self._shift = shift
        with np.errstate(over="ignore"):
            scaled = values * 2.0**shift
        fits = scaled < _HIGH_LIMIT
        whole = np.floor(np.where(fits, scaled, 0.0))
        rest = (np.where(fits, scaled, 0.0) - whole) * 2.0**_LOW_BITS
        fits &= rest == np.floor(rest)
        self._high = _running(whole)
        self._low = _running(rest)
        self._odd = None if fits.all() else _running(~fits)

    def of(self, low: Ints, high: Ints) -> Floats:
        """Return the sum of `values[low[i]:high[i]]` for each i, each the nearest float to the exact sum."""
        high_sum = self._high[high] - self._high[low]
        low_sum = self._low[high] - self._low[low]
        high_sum += low_sum >> _LOW_BITS
        low_sum &= (1 << _LOW_BITS) - 1
        sums: Floats = high_sum * 2.0**-self._shift + low_sum * 2.0 ** -(self._shift + _LOW_BITS)
        slow = (high_sum >= _EXACT) | (high - low > _LONGEST)
        if self._odd is not None:
            slow |= self._odd[high] > self._odd[low]
        for at in np.flatnonzero(slow):
            sums[at] = math.fsum(self._values[low[at] : high[at]])
        return sums


class GrowingSums:
    """The same for a list that grows at its end, shrinks at its start, and is seldom changed inside."""

    def __init__(self, shift: int) -> None:
        """Begin empty; `shift` as in `WindowSums`."""
        self._scale = 2.0 ** (shift + _LOW_BITS)
        self._unit = 1 << (shift + _LOW_BITS)
        self._totals = [0]
        self._odd: list[int] = []
        """Positions of the values that do not fit."""

    def append(self, value: float) -> None:
        """Add a value at the end."""
        totals = self._totals
        scaled = value * self._scale
        if scaled.is_integer():
            totals.append(totals[-1] + int(scaled))
        else:  # infinite ones too
            self._odd.append(len(totals) - 1)
            totals.append(totals[-1])

    def of(self, values: Sequence[float], low: int, high: int) -> float:
        """Return the sum of `values[low:high]`, the nearest float; `values` are those that were appended."""
        if self._odd and any(low <= at < high for at in self._odd):
            return math.fsum(values[low:high])
        return (self._totals[high] - self._totals[low]) / self._unit

    def cut(self, start: int, end: int | None = None) -> None:
        """Keep the values from `start` to `end` (`None` = the last) alone."""
        last = None if end is None else end + 1
        self._totals = self._totals[start:last]
        self._odd = [at - start for at in self._odd if at >= start and (end is None or at < end)]


def _running(values: npt.NDArray[np.float64] | npt.NDArray[np.bool_]) -> Ints:
    """Return running sums in whole 64-bit arithmetic, from 0; wrapping does their differences no harm."""
    running = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values.astype(np.int64), out=running[1:])
    return running
