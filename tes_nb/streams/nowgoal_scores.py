"""Records of scores → rows: football in NowGoal's and the sister site's form, and basketball.

    1828723^1^1^0^^^0^0^0^0^2020-01-09 06:15:00^2020-01-09 06:16:06^^^^^1^0^1^           NowGoal
    1828723^1^1^0^^^0^0^14:15^2020,0,9,14,16,6^^1^0^0^01-09^^1^0^1                       sister site: 14:15

Each record is read strictly first. Only where that fails it is read again, field by field, with a fault for
each field that does not hold what belongs there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tes_nb.streams.nowgoal_channels import BASKETBALL_SCORES, FOOTBALL_SCORES, family_of
from tes_nb.streams.nowgoal_fields import (
    CLOCKS,
    DATES,
    FLAGS,
    INSTANTS,
    INTEGERS,
    SISTER_INSTANTS,
    STATE,
    Lenient,
    UnreadableError,
    shown,
    unix_ns,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tes_nb.model import Row
    from tes_nb.streams.nowgoal_reading import Reading

FOOTBALL_FIELDS: Final = 19
FOOTBALL_LEAST: Final = 4
"""Id, state and goals: less is no score."""
BASKETBALL_FIELDS: Final = 25
BASKETBALL_LEAST: Final = 5

_MINUTE_NS: Final = 60 * 1_000_000_000
_OLDEST_HALF: Final = 90
"""Minutes: a half that began longer ago is over, whatever the state says."""
_FIRST_MINUTE: Final = {1: 1, 3: 46}
"""State → the minute with which it begins; other states have no minutes."""


class Readers(NamedTuple):
    """How the fields of a record are read: strictly (memories) or leniently."""

    integer: Any = INTEGERS
    state: Any = STATE
    flag: Any = FLAGS
    instant: Any = INSTANTS
    sister_instant: Any = SISTER_INSTANTS
    date: Any = DATES
    clock: Any = CLOCKS


STRICT: Final = Readers()


class Context(NamedTuple):
    """What all records of a message share."""

    channel: str
    received_ns: int
    refresh: bool | None


def read_scores(records: Sequence[str], refresh: bool | None, reading: Reading) -> None:
    """Read records joined by `^` into `scores` or `games`, whichever their channel or shape says."""
    split = [record.split("^") for record in records]
    named = reading.channel
    basketball = _is_basketball(named, split)
    reading.channel = named or (BASKETBALL_SCORES if basketball else FOOTBALL_SCORES)
    context = Context(reading.channel, reading.message.t_wall_ns, refresh)
    if basketball:
        reading.add(
            "games", _rows(split, _Form(game_row, BASKETBALL_FIELDS, BASKETBALL_LEAST), context, reading)
        )
    else:
        reading.add(
            "scores", _rows(split, _Form(score_row, FOOTBALL_FIELDS, FOOTBALL_LEAST), context, reading)
        )
    reading.channel = named


class _Form(NamedTuple):
    row: Any
    fields: int
    least: int


def _rows(split: Iterable[list[str]], form: _Form, context: Context, reading: Reading) -> list[Row]:
    rows: list[Row] = []
    row, count = form.row, form.fields
    for fields in split:
        excess = len(fields) - count
        try:
            if fields[0] and (excess == 0 or (excess == 1 and not fields[-1])):  # a last separator is usual
                rows.append(row(fields, context, STRICT))
                continue
        except UnreadableError:
            pass
        if (whatever := _read_leniently(fields, form, context, reading)) is not None:
            rows.append(whatever)
    return rows


def _read_leniently(fields: list[str], form: _Form, context: Context, reading: Reading) -> Row | None:
    """Report every fault of a record, and return what is readable; `None` = nothing at all."""
    name = f"Record {shown(fields[0])}"

    def report(reason: str, what: str) -> None:
        reading.fault(reason, f"{name}: {what}.")

    if len(fields) > form.fields + (not fields[-1]):
        report("too many fields", f"it has {len(fields)} fields instead of {form.fields}")
    elif len(fields) < form.least:
        report("too few fields", f"it has {len(fields)} fields, fewer than {form.least}")
    if not any(fields):
        return None
    if not fields[0]:
        report("missing field", "it has no id")
    padded = fields + [""] * (form.fields - len(fields))
    row: Row = form.row(padded, context, Readers(*(Lenient(memory, report) for memory in STRICT)))
    return row


def score_row(fields: list[str], context: Context, readers: Readers) -> Row:
    """Return the row of `scores` for the fields of one record; at least `FOOTBALL_FIELDS` of them."""
    integer, states, flag, instant, sister_instant, _, _ = readers
    state, word = states[fields[1]]
    if ":" in fields[8]:
        home_yellow, away_yellow = integer[fields[12]], integer[fields[13]]
        kick_off = _sister_kick_off(fields[14], fields[8], context.received_ns, readers)
        half_start = sister_instant[fields[9]]
    else:
        home_yellow, away_yellow = integer[fields[8]], integer[fields[9]]
        kick_off, half_start = instant[fields[10]], instant[fields[11]]
    return (
        context.channel,
        fields[0] or None,
        state,
        word,
        integer[fields[2]],
        integer[fields[3]],
        integer[fields[4]],
        integer[fields[5]],
        integer[fields[6]],
        integer[fields[7]],
        home_yellow,
        away_yellow,
        integer[fields[16]],
        integer[fields[17]],
        flag[fields[18]],
        kick_off,
        half_start,
        _minute(state, half_start, context.received_ns),
        context.refresh,
    )


def _minute(state: int | None, half_start: int | None, received_ns: int) -> int | None:
    first = _FIRST_MINUTE.get(state) if state is not None else None
    if first is None or half_start is None:
        return None
    minutes = (received_ns - half_start) // _MINUTE_NS
    # A clock that is a little behind NowGoal's sees the half begin in the future: that is its first minute.
    return first + max(minutes, 0) if -1 <= minutes <= _OLDEST_HALF else None


def _sister_kick_off(date: str, clock: str, received_ns: int, readers: Readers) -> int | None:
    """Return the kick-off in the year that puts it nearest to the receive time."""
    day, time = readers.date[date], readers.clock[clock]
    if day is None or time is None:
        return None
    year = 1970 + int(received_ns / 31_556_952_000_000_000)
    possible = []
    for near in (year - 1, year, year + 1):
        try:
            possible.append(unix_ns(near, *day, *time))
        except UnreadableError:  # the 29th of February, or a receive time at the end of the world
            continue
    return min(possible, key=lambda at: abs(at - received_ns), default=None)


def game_row(fields: list[str], context: Context, readers: Readers) -> Row:
    """Return the row of `games` for the fields of one record; at least `BASKETBALL_FIELDS` of them."""
    integer = readers.integer
    return (
        context.channel,
        fields[0] or None,
        integer[fields[1]],
        fields[2] or None,
        *[integer[text] for text in fields[3:14]],
        *[integer[text] for text in fields[16:22]],
        integer[fields[15]],
        fields[14] or None,
        fields[22] or None,
        fields[23] or None,
        fields[24] or None,
        context.refresh,
    )


def _is_basketball(channel: str | None, split: Sequence[list[str]]) -> bool:
    """Decide by the channel's name, else by the first record whose shape is either sport's alone."""
    family = family_of(channel)
    if family is not None:
        return family == "basketball scores"
    return next((sport for fields in split if (sport := _sport(fields)) is not None), False)


def _sport(fields: list[str]) -> bool | None:
    """Whether a record is basketball's; `None` = it could be either's.

    Football: a date in field 10, or `:` in field 8 (sister site). Basketball: `:` in field 2 (time left), or
    more fields than football has.
    """
    count = len(fields)
    if (count > 10 and fields[10].count("-") == 2) or (count > 8 and ":" in fields[8]):  # noqa: PLR2004 - as above
        return False
    if (count > 2 and ":" in fields[2]) or count > FOOTBALL_FIELDS + 1:  # noqa: PLR2004
        return True
    return None
