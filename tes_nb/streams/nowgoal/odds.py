"""Records of odds → rows, one per market.

    3018359,17535243,0,1.20,0.63,156460524,3.03,3.24,2.21,20216243,2.25,0.83,0.90,1,0,0,0,3,3,3,,,,
    id      Asian handicap       1x2                      over/under              flags

Hong Kong prices become decimal ones (plus 1), and every price is kept as sent beside it. The line keeps its
sign as sent. A row may stop after any market; a market whose four fields are all empty is not offered. The
basketball form is id, line, home, away; its prices are taken for Hong Kong ones, as football's handicap is
(decisions/0007).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tes_nb.streams.nowgoal.channels import BASKETBALL_ODDS, FOOTBALL_ODDS, company_of, family_of
from tes_nb.streams.nowgoal.fields import NAN
from tes_nb.streams.nowgoal.records import Context, Form, Readers, read_records

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tes_nb.model import Row
    from tes_nb.streams.nowgoal.records import Reading

FOOTBALL_ENDS: Final = (5, 9, 13)
"""Fields after which a football row may stop: after each market."""
FOOTBALL_FIELDS: Final = FOOTBALL_ENDS[-1]
FOOTBALL_MOST: Final = 24
"""Fields of the longest row known, flags included."""
BASKETBALL_FIELDS: Final = 4
_LONGEST_LINE: Final = 6
"""Characters: what stands where basketball has its line is an id if it is longer."""


def read_odds(records: Sequence[str], refresh: bool | None, reading: Reading) -> None:
    """Read records joined by `,` into `odds`."""
    reading.admit(len(records))
    split = [record.strip().split(",") for record in records]
    envelope_channel = reading.channel
    form = _BASKETBALL if _is_basketball(envelope_channel, split) else _FOOTBALL
    channel = reading.channel = envelope_channel or form.channel
    company_id, company = company_of(channel)
    if company_id is not None and company is None:
        reading.fault(
            "unknown company", f"Nobody has said who company {company_id} is: its name is left out."
        )
    context = Context(channel, reading.message.t_wall_ns, refresh, company_id, company)
    reading.add("odds", read_records(split, form, context, reading))
    reading.channel = envelope_channel


def _football_rows(split: Sequence[list[str]], context: Context, readers: Readers) -> list[Row]:
    """Return a row for each market offered. Each line of a row is: subject, line, prices, prices as sent."""
    identity, lines, prices, hong_kong = readers.identity, readers.line, readers.price, readers.hong_kong
    channel, _, refresh, company_id, company = context
    nan = NAN
    rows: list[Row] = []
    add = rows.append
    for fields in split:
        if not FOOTBALL_FIELDS <= len(fields) <= FOOTBALL_MOST:
            fields = _padded(fields)  # noqa: PLW2901 - the same record, with its absent markets spelt out
        asian_id, line, home, away, win_id, win, draw, lose = fields[1:9]
        total_id, total, over, under = fields[9:13]
        match_id = fields[0] or identity[""]
        if asian_id or line or home or away:
            add((channel, match_id, company_id, company, "asian_handicap", asian_id or None,
                 lines[line], line or None,
                 hong_kong[home], nan, hong_kong[away], nan, nan,
                 home or None, None, away or None, None, None, "hong_kong", refresh))  # fmt: skip
        if win_id or win or draw or lose:
            add((channel, match_id, company_id, company, "1x2", win_id or None,
                 nan, None,
                 prices[win], prices[draw], prices[lose], nan, nan,
                 win or None, draw or None, lose or None, None, None, "decimal", refresh))  # fmt: skip
        if total_id or total or over or under:
            add((channel, match_id, company_id, company, "over_under", total_id or None,
                 lines[total], total or None,
                 nan, nan, nan, hong_kong[over], hong_kong[under],
                 None, None, None, over or None, under or None, "hong_kong", refresh))  # fmt: skip
    return rows


def _padded(fields: list[str]) -> list[str]:
    """Return a short record with its absent markets empty. Raises KeyError for one that is not whole."""
    if not _stops_well(fields):
        raise KeyError(len(fields))
    return fields + [""] * (FOOTBALL_FIELDS - len(fields))


def _stops_well(fields: list[str]) -> bool:
    count = len(fields)
    return count in FOOTBALL_ENDS or (count - 1 in FOOTBALL_ENDS and not fields[-1])


def _repaired_football(fields: list[str], report: Callable[[str, str], object]) -> list[str]:
    count = len(fields)
    if count > FOOTBALL_MOST:
        report("too many fields", f"it has {count} fields, more than the {FOOTBALL_MOST} that are known")
    elif count < FOOTBALL_FIELDS and not _stops_well(fields):
        report("too few fields", f"it stops within a market, after {count} fields")
    return (fields + [""] * FOOTBALL_FIELDS)[:FOOTBALL_FIELDS]


def _basketball_rows(split: Sequence[list[str]], context: Context, readers: Readers) -> list[Row]:
    """Return the rows of the handicap; football's with no other market has the same columns."""
    for fields in split:
        if len(fields) - (len(fields) > BASKETBALL_FIELDS and not fields[-1]) != BASKETBALL_FIELDS:
            raise KeyError(len(fields))
    none = [""] * (FOOTBALL_FIELDS - BASKETBALL_FIELDS - 1)
    return _football_rows([[fields[0], "", *fields[1:4], *none] for fields in split], context, readers)


def _repaired_basketball(fields: list[str], report: Callable[[str, str], object]) -> list[str]:
    count = len(fields)
    if count > BASKETBALL_FIELDS + (not fields[-1]):
        report("too many fields", f"it has {count} fields instead of {BASKETBALL_FIELDS}")
    elif count < BASKETBALL_FIELDS:
        report("too few fields", f"it has {count} fields instead of {BASKETBALL_FIELDS}")
    return (fields + [""] * BASKETBALL_FIELDS)[:BASKETBALL_FIELDS]


_FOOTBALL: Final = Form(FOOTBALL_ODDS, _football_rows, _repaired_football)
_BASKETBALL: Final = Form(BASKETBALL_ODDS, _basketball_rows, _repaired_basketball)


def _is_basketball(channel: str | None, split: Sequence[list[str]]) -> bool:
    """Decide by the channel's name, else by the first record whose shape is either sport's alone."""
    family = family_of(channel)
    if family in {"football odds", "basketball odds"}:
        return family == "basketball odds"
    return next((sport for fields in split if (sport := _sport(fields)) is not None), False)


def _sport(fields: list[str]) -> bool | None:
    """Whether a record is basketball's: four fields, a line where football has an id; `None` = either's."""
    count = len(fields)
    if count > 1 and len(fields[1]) > _LONGEST_LINE:
        return False
    exact = count == BASKETBALL_FIELDS or (count == BASKETBALL_FIELDS + 1 and not fields[-1])
    return True if exact else None
