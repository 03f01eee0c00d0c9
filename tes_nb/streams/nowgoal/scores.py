"""Records of scores → rows: football in NowGoal's and the sister site's form, and basketball.

1828723^1^1^0^^^0^0^0^0^2020-01-09 06:15:00^2020-01-09 06:16:06^^^^^1^0^1^           NowGoal
1828723^1^1^0^^^0^0^14:15^2020,0,9,14,16,6^^1^0^0^01-09^^1^0^1                       sister site: 14:15
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tes_nb.streams.nowgoal.channels import family_of
from tes_nb.streams.nowgoal.fields import UnreadableError, unix_ns
from tes_nb.streams.nowgoal.records import Context, Form, Readers, read_records

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tes_nb.model import Row
    from tes_nb.streams.nowgoal.records import Reading

FOOTBALL_FIELDS: Final = 19
FOOTBALL_LEAST: Final = 4
"""Id, state and goals: less is no score."""
BASKETBALL_FIELDS: Final = 25
BASKETBALL_LEAST: Final = 5

_MINUTE_NS: Final = 60 * 1_000_000_000
_YEAR_NS: Final = 31_556_952 * 1_000_000_000
_OLDEST_HALF: Final = 90
"""Minutes: a half that began longer ago is over, whatever the state says."""
_FIRST_MINUTE: Final[dict[int | None, int]] = {1: 1, 3: 46}
"""State → the minute with which it begins; other states have no minutes."""


def read_scores(records: Sequence[str], refresh: bool | None, reading: Reading) -> None:
    """Read records joined by `^` into `scores` or `games`, whichever their channel or shape says."""
    reading.admit(len(records))
    split = [record.strip().split("^") for record in records]
    envelope_channel = reading.channel
    table, form = ("games", _BASKETBALL) if _is_basketball(reading, split) else ("scores", _FOOTBALL)
    channel = reading.channel = reading.channel_of(form.family)
    context = Context(channel, reading.message.t_wall_ns, refresh)
    reading.add(table, read_records(split, form, context, reading))
    reading.channel = envelope_channel


def _score_rows(split: Sequence[list[str]], context: Context, readers: Readers) -> list[Row]:
    identity, integer, states, flag = readers.identity, readers.integer, readers.state, readers.flag
    instant, minute_of = readers.instant, _FIRST_MINUTE.get
    channel, received, refresh, *_ = context
    rows = []
    for fields in split:
        count = len(fields)
        if count != FOOTBALL_FIELDS and (count != FOOTBALL_FIELDS + 1 or fields[-1]):  # a last ^ is usual
            raise KeyError(count)
        state, word = states[fields[1]]
        if ":" in fields[8]:
            home_yellow, away_yellow = integer[fields[12]], integer[fields[13]]
            kick_off = _sister_kick_off(fields[14], fields[8], received, readers)
            half_start = readers.sister_instant[fields[9]]
        else:
            home_yellow, away_yellow = integer[fields[8]], integer[fields[9]]
            kick_off, half_start = instant[fields[10]], instant[fields[11]]
        minute = minute_of(state)
        if minute is not None:
            minute = None if half_start is None else _minute(minute, received - half_start)
        rows.append((
            channel, fields[0] or identity[""], state, word,
            integer[fields[2]], integer[fields[3]], integer[fields[4]], integer[fields[5]],
            integer[fields[6]], integer[fields[7]], home_yellow, away_yellow,
            integer[fields[16]], integer[fields[17]], flag[fields[18]],
            kick_off, half_start, minute, refresh,
        ))  # fmt: skip
    return rows


def _minute(first: int, elapsed_ns: int) -> int | None:
    minutes = elapsed_ns // _MINUTE_NS
    # A clock that is a little behind NowGoal's sees the half begin in the future: that is its first minute.
    return first + max(minutes, 0) if -1 <= minutes <= _OLDEST_HALF else None


def _sister_kick_off(date: str, clock: str, received_ns: int, readers: Readers) -> int | None:
    """Return the kick-off in the year that puts it nearest to the receive time (decisions/0007)."""
    day, time = readers.date[date], readers.clock[clock]
    if day is None or time is None:
        return None
    year = 1970 + received_ns // _YEAR_NS
    possible = []
    for near in (year - 1, year, year + 1):
        try:
            possible.append(unix_ns(near, *day, *time))
        except UnreadableError:  # the 29th of February, or the end of time
            continue
    return min(possible, key=lambda at: abs(at - received_ns), default=None)


def _game_rows(split: Sequence[list[str]], context: Context, readers: Readers) -> list[Row]:
    identity, integer = readers.identity, readers.integer
    rows = []
    for fields in split:
        count = len(fields)
        if count != BASKETBALL_FIELDS and (count != BASKETBALL_FIELDS + 1 or fields[-1]):
            raise KeyError(count)
        rows.append(
            (
                context.channel,
                fields[0] or identity[""],
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
        )
    return rows


def _repaired(fields: list[str], report: Callable[[str, str], object], least: int, most: int) -> list[str]:
    count = len(fields)
    if count > most + (not fields[-1]):
        report("too many fields", f"it has {count} fields instead of {most}")
    elif count < least:
        report("too few fields", f"it has {count} fields, fewer than {least}")
    return (fields + [""] * most)[:most]


_FOOTBALL: Final = Form(
    "football scores",
    _score_rows,
    lambda fields, report: _repaired(fields, report, FOOTBALL_LEAST, FOOTBALL_FIELDS),
)
_BASKETBALL: Final = Form(
    "basketball scores",
    _game_rows,
    lambda fields, report: _repaired(fields, report, BASKETBALL_LEAST, BASKETBALL_FIELDS),
)


def _is_basketball(reading: Reading, split: Sequence[list[str]]) -> bool:
    """Decide by the channel's name, else by the first record whose shape is either sport's alone.

    Where none is, by what the connection asked for; football where that says nothing.
    """
    family = family_of(reading.channel)
    if family in {"football scores", "basketball scores"}:
        return family == "basketball scores"
    usual = reading.conversation.only("football scores", "basketball scores") == "basketball scores"
    return next((sport for fields in split if (sport := _sport(fields)) is not None), usual)


def _sport(fields: list[str]) -> bool | None:
    """Whether a record is basketball's; `None` = it could be either's.

    Football: a date in field 10, or `:` in field 8 (sister site). Basketball: `:` in field 2 (time left), or
    more fields than football has.
    """
    count = len(fields)
    if (count > 10 and fields[10].count("-") == 2) or (count > 8 and ":" in fields[8]):
        return False
    if (count > 2 and ":" in fields[2]) or count > FOOTBALL_FIELDS + 1:
        return True
    return None
