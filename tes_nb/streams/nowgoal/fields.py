"""One field of a NowGoal record → one value. What is not exactly a number is absent, and not guessed.

Fields repeat all day (`0`, `1`, `1.20`), so each kind of field has a cache: a text that was met before costs
one look-up. A text that cannot be read is never remembered and raises `UnreadableError`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from tes_nb.streams.nowgoal.tables import STATES

if TYPE_CHECKING:
    from collections.abc import Callable

V = TypeVar("V")

_LARGEST: Final = 20_000
"""Texts a cache holds at most; a whole match day needs far fewer."""
_LONGEST: Final = 32
"""Characters of the longest text worth reading as a number or time."""
_INTEGER: Final = re.compile(r"-?[0-9]{1,15}", re.ASCII)
_DECIMAL: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,12})?", re.ASCII)
_INSTANT: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)", re.ASCII)
_SISTER_INSTANT: Final = re.compile(r"(\d{4}),(\d\d?),(\d\d?),(\d\d?),(\d\d?),(\d\d?)", re.ASCII)
_SISTER_DATE: Final = re.compile(r"(\d\d?)-(\d\d?)", re.ASCII)
_CLOCK: Final = re.compile(r"(\d\d?):(\d\d)", re.ASCII)
_NS: Final = 1_000_000_000

SENSELESS: Final = "senseless value"
"""The reason of a fault: a number can be read, and nothing of its kind has such a value."""
_STEP: Final = Decimal("0.25")
_LARGEST_HANDICAP: Final = 1000
_HONG_KONG: Final = (Decimal("0.01"), Decimal(60))
"""The lowest and the highest price."""


NAN: Final = float("nan")
"""The absent number of a float64 column: always this one object, so that equal rows compare equal."""


class UnreadableError(Exception):
    """A field does not hold what belongs there."""

    def __init__(self, text: str, *, reason: str = "unreadable field", partial: Any = None) -> None:
        super().__init__(text)
        self.reason = reason
        self.partial = partial
        """What can be read all the same; `None` = nothing."""


class FieldCache(Generic[V]):
    """Text → value: read once, then remembered. "" is the value of an empty field."""

    def __init__(self, what: str, read: Callable[[str], V], *, empty: V, longest: int = _LONGEST) -> None:
        """Take what belongs there in words ("a price"), how it is read, and the value of an empty field."""
        self.what = what
        self.empty = empty
        self.values: dict[str, V] = {"": empty}
        """What was read so far. A plain dictionary, for those who read in bulk: KeyError = ask the cache."""
        self._read = read
        self._longest = longest

    def __getitem__(self, text: str) -> V:
        """Return the value of `text`. Raises `UnreadableError`."""
        if text in self.values:
            return self.values[text]
        if len(text) > self._longest:
            raise UnreadableError(text)
        value = self._read(text)
        if len(self.values) < _LARGEST:
            self.values[text] = value
        return value


def _integer(text: str) -> int:
    if _INTEGER.fullmatch(text) is None:
        raise UnreadableError(text)
    return int(text)


def _state(text: str) -> tuple[int | None, str | None]:
    number = _integer(text)
    if number not in STATES:
        raise UnreadableError(text, reason="unknown state", partial=(number, None))
    return number, STATES[number]


def _decimal(text: str) -> Decimal:
    if _DECIMAL.fullmatch(text) is None:
        raise UnreadableError(text)
    return Decimal(text)


def _line(text: str) -> float:
    return float(_decimal(text.removeprefix("+")))


def _handicap(text: str) -> float:
    line = _decimal(text.removeprefix("+"))
    if line % _STEP or abs(line) > _LARGEST_HANDICAP:
        raise UnreadableError(text, reason=SENSELESS)
    return float(line)


def _odds_id(text: str) -> str:
    if not text.isdecimal():
        raise UnreadableError(text, reason=SENSELESS)
    return text


def _unsigned(text: str) -> Decimal:
    price = _decimal(text)
    if price.is_signed():
        raise UnreadableError(text)
    return price


def _price(text: str) -> float:
    price = _unsigned(text)
    if price <= 1:
        raise UnreadableError(text, reason=SENSELESS)
    return float(price)


def _hong_kong(text: str) -> float:
    price = _unsigned(text)
    lowest, highest = _HONG_KONG
    if not lowest <= price <= highest:
        raise UnreadableError(text, reason=SENSELESS)
    return float(price + 1)  # in decimals: 0.57 + 1 is 1.57, not 1.5699999999999998


def _flag(text: str) -> bool:
    if text not in {"0", "1"}:
        raise UnreadableError(text)
    return text == "1"


def _parts(pattern: re.Pattern[str], text: str) -> list[int]:
    match = pattern.fullmatch(text)
    if match is None:
        raise UnreadableError(text)
    return [int(part) for part in match.groups()]


def unix_ns(year: int, month: int, day: int, *time: int) -> int:
    """Return a UTC time (of `time`: hour, minute, second; 0 if left out) as Unix nanoseconds.

    Raises `UnreadableError` for a 31st of February and for years outside 1678 to 2261.
    """
    hour, minute, second = (*time, 0, 0, 0)[:3]
    try:
        nanoseconds = int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()) * _NS
    except ValueError as error:
        raise UnreadableError(str(error)) from None
    if abs(nanoseconds) >= 2**63:
        raise UnreadableError("outside the years that a column can hold")
    return nanoseconds


def _instant(text: str) -> int:
    return unix_ns(*_parts(_INSTANT, text))


def _sister_instant(text: str) -> int:
    year, month, day, *rest = _parts(_SISTER_INSTANT, text)
    return unix_ns(year, month + 1, day, *rest)  # months from 0, as JavaScript counts


def _month_and_day(text: str) -> tuple[int, int] | None:
    month, day = _parts(_SISTER_DATE, text)
    unix_ns(2000, month, day)  # a leap year: 02-29 may be one
    return month, day


def _clock(text: str) -> tuple[int, int] | None:
    hour, minute = _parts(_CLOCK, text)
    unix_ns(2000, 1, 1, hour, minute)
    return hour, minute


INTEGERS: Final[FieldCache[int | None]] = FieldCache("a whole number", _integer, empty=None)
FLAGS: Final[FieldCache[bool | None]] = FieldCache("a flag", _flag, empty=None)
STATE: Final[FieldCache[tuple[int | None, str | None]]] = FieldCache(
    "a known state", _state, empty=(None, None)
)
LINES: Final[FieldCache[float]] = FieldCache("a number", _line, empty=NAN)
HANDICAPS: Final[FieldCache[float]] = FieldCache(
    "a handicap or total, a multiple of 0.25", _handicap, empty=NAN
)
ODDS_IDS: Final[FieldCache[str | None]] = FieldCache(
    "an odds id, which is digits alone", _odds_id, empty=None
)
PRICES: Final[FieldCache[float]] = FieldCache("a decimal price, which is above 1", _price, empty=NAN)
HONG_KONG: Final[FieldCache[float]] = FieldCache("a Hong Kong price, 0.01 to 60", _hong_kong, empty=NAN)
INSTANTS: Final[FieldCache[int | None]] = FieldCache("a time", _instant, empty=None)
SISTER_INSTANTS: Final[FieldCache[int | None]] = FieldCache("a time", _sister_instant, empty=None)
DATES: Final[FieldCache[tuple[int, int] | None]] = FieldCache("a date", _month_and_day, empty=None)
CLOCKS: Final[FieldCache[tuple[int, int] | None]] = FieldCache("a time of day", _clock, empty=None)


class Lenient:
    """A cache that answers what cannot be read with what can be kept of it, and reports the rest."""

    def __init__(self, cache: FieldCache[Any], report: Callable[[str, str], object]) -> None:
        """Take the cache, and what to call with a reason and a half-sentence."""
        self._cache = cache
        self._report = report

    def __getitem__(self, text: str) -> Any:
        try:
            return self._cache[text]
        except UnreadableError as error:
            self._report(error.reason, f"{quote(text)} is not {self._cache.what}")
            return self._cache.empty if error.partial is None else error.partial


def quote(value: object) -> str:
    """Return something untrusted for a sentence: text quoted, escaped and cut short; containers by their kind."""
    if isinstance(value, str):
        return ascii(value) if len(value) <= _LONGEST else f"{value[:_LONGEST]!a}…"
    return (
        repr(value) if value is None or isinstance(value, (bool, int, float)) else "a " + type(value).__name__
    )
