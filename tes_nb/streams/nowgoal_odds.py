"""Records of odds → rows, one per market.

    3018359,17535243,0,1.20,0.63,156460524,3.03,3.24,2.21,20216243,2.25,0.83,0.90,1,0,0,0,3,3,3,,,,
    id      Asian handicap       1x2                      over/under              flags

Hong Kong prices become decimal ones (plus 1), and every price is kept as sent beside it. The line keeps its
sign as sent. A row may stop after any market; a market whose four fields are all empty is not offered. The
basketball form is id, line, home, away; its prices are taken for Hong Kong ones, as football's handicap is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tes_nb.streams.nowgoal_channels import BASKETBALL_ODDS, FOOTBALL_ODDS, company_of, family_of
from tes_nb.streams.nowgoal_fields import HONG_KONG, LINES, NAN, PRICES, Lenient, UnreadableError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tes_nb.model import Row
    from tes_nb.streams.nowgoal_reading import Reading

FOOTBALL_ENDS: Final = (5, 9, 13)
"""Fields after which a football row may stop: after each market."""
FOOTBALL_MOST: Final = 24
"""Fields of the longest row known, flags included."""
BASKETBALL_FIELDS: Final = 4
_LONGEST_LINE: Final = 6
"""Characters: what stands where basketball has its line is an id if it is longer."""


class Readers(NamedTuple):
    """How the fields of a record are read: strictly (memories) or leniently."""

    line: Any = LINES
    price: Any = PRICES
    hong_kong: Any = HONG_KONG


STRICT: Final = Readers()


class Context(NamedTuple):
    """What all records of a message share."""

    channel: str
    company_id: str | None
    company: str | None
    refresh: bool | None


def read_odds(records: Sequence[str], refresh: bool | None, reading: Reading) -> None:
    """Read records joined by `,` into `odds`."""
    split = [record.split(",") for record in records]
    named = reading.channel
    form = _BASKETBALL if _is_basketball(named, split) else _FOOTBALL
    channel = reading.channel = named or form.channel
    company_id, company = company_of(channel)
    if company_id is not None and company is None:
        reading.fault(
            "unknown company", f"Nobody has said who company {company_id} is: its name is left out."
        )
    context = Context(channel, company_id, company, refresh)
    rows: list[Row] = []
    for fields in split:
        try:
            if fields[0] and form.is_whole(fields):
                rows += form.rows(fields, context, STRICT)
                continue
        except UnreadableError:
            pass
        rows += _read_leniently(fields, form, context, reading)
    reading.add("odds", rows)
    reading.channel = named


def _read_leniently(fields: list[str], form: _Form, context: Context, reading: Reading) -> list[Row]:
    """Report every fault of a record, and return what is readable."""
    name = f"Record {shown(fields[0])}"

    def report(reason: str, what: str) -> None:
        reading.fault(reason, f"{name}: {what}.")

    if not form.is_whole(fields):
        many = len(fields) > form.least
        why = (
            f"it has more than the {form.most} fields that are known" if many else "it stops within a market"
        )
        report("too many fields" if many else "too few fields", why)
    if any(fields) and not fields[0]:
        report("missing field", "it has no id")
    padded = fields + [""] * (form.least - len(fields))
    return form.rows(padded, context, Readers(*(Lenient(memory, report) for memory in STRICT)))


def _football_is_whole(fields: list[str]) -> bool:
    count = len(fields)
    if count > FOOTBALL_ENDS[-1]:
        return count <= FOOTBALL_MOST
    return count in FOOTBALL_ENDS or (count - 1 in FOOTBALL_ENDS and not fields[-1])


def _football_rows(fields: list[str], context: Context, readers: Readers) -> list[Row]:
    rows = []
    if any(fields[1:5]):
        rows.append(_handicap(fields[0], fields[1:5], context, readers))
    if any(fields[5:9]):
        rows.append(_three_way(fields[0], fields[5:9], context, readers))
    if any(fields[9:13]):
        rows.append(_over_under(fields[0], fields[9:13], context, readers))
    return rows


def _basketball_is_whole(fields: list[str]) -> bool:
    return len(fields) - (len(fields) > BASKETBALL_FIELDS and not fields[-1]) == BASKETBALL_FIELDS


def _basketball_rows(fields: list[str], context: Context, readers: Readers) -> list[Row]:
    return [_handicap(fields[0], ["", *fields[1:4]], context, readers)] if any(fields[1:4]) else []


class _Form(NamedTuple):
    """One sport's records."""

    channel: str
    least: int
    """Fields that all markets need; more is not too few."""
    most: int
    is_whole: Callable[[list[str]], bool]
    rows: Callable[[list[str], Context, Readers], list[Row]]


_FOOTBALL: Final = _Form(FOOTBALL_ODDS, FOOTBALL_ENDS[-1], FOOTBALL_MOST, _football_is_whole, _football_rows)
_BASKETBALL: Final = _Form(
    BASKETBALL_ODDS, BASKETBALL_FIELDS, BASKETBALL_FIELDS, _basketball_is_whole, _basketball_rows
)


def _handicap(match_id: str, part: list[str], context: Context, readers: Readers) -> Row:
    odds_id, line, home, away = part
    return (
        context.channel,
        match_id or None,
        context.company_id,
        context.company,
        "asian_handicap",
        odds_id or None,
        readers.line[line],
        line or None,
        readers.hong_kong[home],
        NAN,
        readers.hong_kong[away],
        NAN,
        NAN,
        home or None,
        None,
        away or None,
        None,
        None,
        "hong_kong",
        context.refresh,
    )


def _three_way(match_id: str, part: list[str], context: Context, readers: Readers) -> Row:
    odds_id, home, draw, away = part
    return (
        context.channel,
        match_id or None,
        context.company_id,
        context.company,
        "1x2",
        odds_id or None,
        NAN,
        None,
        readers.price[home],
        readers.price[draw],
        readers.price[away],
        NAN,
        NAN,
        home or None,
        draw or None,
        away or None,
        None,
        None,
        "decimal",
        context.refresh,
    )


def _over_under(match_id: str, part: list[str], context: Context, readers: Readers) -> Row:
    odds_id, line, over, under = part
    return (
        context.channel,
        match_id or None,
        context.company_id,
        context.company,
        "over_under",
        odds_id or None,
        readers.line[line],
        line or None,
        NAN,
        NAN,
        NAN,
        readers.hong_kong[over],
        readers.hong_kong[under],
        None,
        None,
        None,
        over or None,
        under or None,
        "hong_kong",
        context.refresh,
    )


def _is_basketball(channel: str | None, split: Sequence[list[str]]) -> bool:
    """Decide by the channel's name, else by the first record whose shape is either sport's alone."""
    family = family_of(channel)
    if family is not None:
        return family == "basketball odds"
    return next((sport for fields in split if (sport := _sport(fields)) is not None), False)


def _sport(fields: list[str]) -> bool | None:
    """Whether a record is basketball's: four fields, a line where football has an id; `None` = either's."""
    if len(fields) > 1 and len(fields[1]) > _LONGEST_LINE:
        return False
    return True if _basketball_is_whole(fields) else None
