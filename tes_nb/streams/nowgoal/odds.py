"""Records of odds → rows, one per market.

    3018359,17535243,0,1.20,0.63,156460524,3.03,3.24,2.21,20216243,2.25,0.83,0.90,1,0,0,0,3,3,3,,,,
    id      Asian handicap       1x2                      over/under              flags

    376203,-5.5,0.90,0.94,215.5,0.88,0.92,-2.5,0.85,0.95,108.5,0.91,0.89
    id     handicap       total           the same two of the first half

Both kinds may have the same number of fields, so a record's sport is judged by its values: an odds id is digits
alone, a handicap is a multiple of 0.25, a Hong Kong price lies between 0.01 and 60, a decimal one is above 1. A market
with a value that can be read and makes no sense has no row, and a fault. Hong Kong prices become decimal ones
(plus 1), and every price is kept as sent beside it. The line keeps its sign as sent. A row may stop after any
market; a market whose fields are all empty is not offered. Basketball's prices are taken for Hong Kong ones, as
football's handicap is (decisions/0007, 0016).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tes_nb.streams.nowgoal.channels import company_of, family_of
from tes_nb.streams.nowgoal.fields import (
    HANDICAPS,
    HONG_KONG,
    NAN,
    ODDS_IDS,
    PRICES,
    SENSELESS,
    FieldCache,
    UnreadableError,
    quote,
)
from tes_nb.streams.nowgoal.odds_columns import whole_records
from tes_nb.streams.nowgoal.records import DICTIONARIES, Context, Form, Readers, read_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tes_nb.model import Row
    from tes_nb.streams.nowgoal.records import Reading

FOOTBALL_FIELDS: Final = 13
FOOTBALL_ENDS: Final = (5, 9, FOOTBALL_FIELDS)
"""Fields after which a football row may stop: after each market."""
FOOTBALL_MOST: Final = 24
"""Fields of the longest row known, flags included."""
BASKETBALL_FIELDS: Final = 13
BASKETBALL_ENDS: Final = (4, 7, 10, BASKETBALL_FIELDS)
_CLEARLY: Final = 2
"""So many misfits are more than a field that is missing or misspelt."""


def read_odds(records: Sequence[str], refresh: bool | None, reading: Reading) -> None:
    """Read records joined by `,` into `odds`."""
    reading.admit(len(records))
    reader = _OddsReader(refresh, reading)
    reading.add("odds", reader.rows([record.strip().split(",") for record in records]))


class _OddsReader:
    """Reads the records of one message; what they share is found out once for each form."""

    def __init__(self, refresh: bool | None, reading: Reading) -> None:
        self._refresh = refresh
        self._reading = reading
        self._contexts: dict[str, Context] = {}
        self._doubts: dict[str, str | None] = {}
        """Family → why its channel is not known (`None` = it is, and its company is not), until that is noted."""
        family = family_of(reading.channel)
        self._decided = family in _FAMILIES
        """Whether the channel that the message names says which sport it is."""
        if not self._decided:
            family = reading.conversation.only("football odds", "basketball odds")
        self._first = _BASKETBALL if family == "basketball odds" else _FOOTBALL
        """The form that is tried first."""

    def rows(self, split: list[list[str]]) -> Sequence[Row]:
        """Return the rows of all records: at once while every field is known, else record by record."""
        whole = self._whole(split)
        if whole is not None:
            return whole
        rows = self._quick(split, self._first)
        if rows is None and not self._decided:
            rows = self._quick(split, self._other)
        if rows is None:
            rows = [row for fields in split for row in self._record(fields)]
        return rows

    def _whole(self, split: list[list[str]]) -> Sequence[Row] | None:
        """Return football's rows as columns; `None` = some record is not whole, not known, or not football's."""
        if self._first is not _FOOTBALL or len(split[0]) > FOOTBALL_MOST:
            return None
        whole = whole_records(split, self._context(_FOOTBALL))
        if whole is not None and self._doubts:
            self._note_doubt(_FOOTBALL)
        return whole

    @property
    def _other(self) -> Form:
        return _FOOTBALL if self._first is _BASKETBALL else _BASKETBALL

    def _quick(self, split: Sequence[list[str]], form: Form) -> list[Row] | None:
        """Return the rows in that form; `None` = some record is not whole in it, or not known."""
        try:
            rows = form.rows(split, self._context(form), DICTIONARIES)
        except KeyError:
            return None
        if self._doubts:
            self._note_doubt(form)
        return rows

    def _record(self, fields: list[str]) -> list[Row]:
        rows = self._quick((fields,), self._first)
        if rows is not None:
            return rows
        form = self._form_of(fields)
        self._note_doubt(form)
        envelope_channel, context = self._reading.channel, self._context(form)
        self._reading.channel = context.channel
        rows = read_record(fields, form, context, self._reading)
        self._reading.channel = envelope_channel
        return rows

    def _form_of(self, fields: list[str]) -> Form:
        """Judge a record by its values: the form in which fewer of them make no sense, the first one if as many.

        Where the channel's name says which sport it is, only a record that is whole in the other form and clearly
        not in this one is read in the other.
        """
        first, other = self._first, self._other
        misfits = _misfits(fields, first)
        if misfits == 0:
            return first
        others = _misfits(fields, other)
        if self._decided:
            return other if others == 0 and misfits >= _CLEARLY else first
        return other if others < misfits else first

    def _context(self, form: Form) -> Context:
        """Return what all records of a form share."""
        context = self._contexts.get(form.family)
        if context is not None:
            return context
        channel, doubt = self._reading.channel, None
        if channel is None:
            channel, doubt = self._reading.conversation.channel_of(form.family)
        company_id, company = (None, None) if channel is None else company_of(channel)
        if doubt is not None or (company_id is not None and company is None):
            self._doubts[form.family] = doubt
        context = Context(channel, self._reading.message.t_wall_ns, self._refresh, company_id, company)
        self._contexts[form.family] = context
        return context

    def _note_doubt(self, form: Form) -> None:
        """Say once what is not known of records that were read in this form."""
        context, reading = self._context(form), self._reading
        if form.family not in self._doubts:
            return
        doubt = self._doubts.pop(form.family)
        if doubt is not None:
            reading.remark("unknown channel", doubt)
            return
        envelope_channel, reading.channel = reading.channel, context.channel
        reading.fault(
            "unknown company", f"Nobody has said who company {context.company_id} is: its name is left out."
        )
        reading.channel = envelope_channel


def _misfits(fields: list[str], form: Form) -> int:
    """Count what speaks against a record's being of that form: values, and a count of fields that it never has."""
    football = form is _FOOTBALL
    ends, most = (FOOTBALL_ENDS, FOOTBALL_MOST) if football else (BASKETBALL_ENDS, BASKETBALL_FIELDS)
    misfits = 0 if _stops_well(fields, ends) or ends[-1] <= len(fields) <= most else 1
    padded = fields + [""] * FOOTBALL_FIELDS
    for first, caches in _FOOTBALL_MARKETS if football else _BASKETBALL_MARKETS:
        for at, cache in enumerate(caches, first):
            try:
                cache[padded[at]]
            except UnreadableError:
                misfits += 1
    return misfits


def _football_rows(split: Sequence[list[str]], context: Context, readers: Readers) -> list[Row]:
    """Return a row for each market offered. Each line of a row is: subject, line, prices, prices as sent."""
    identity, lines, prices, hong_kong = readers.identity, readers.line, readers.price, readers.hong_kong
    channel, _, refresh, company_id, company = context
    nan, least, most = NAN, FOOTBALL_FIELDS, FOOTBALL_MOST
    rows: list[Row] = []
    add = rows.append
    for fields in split:
        if not least <= len(fields) <= most:
            fields = _padded(fields, FOOTBALL_ENDS)  # noqa: PLW2901 - the same record, with its absent markets spelt out
        (match_id, asian_id, line, home, away, win_id, win, draw, lose,
         total_id, total, over, under) = fields[:13]  # fmt: skip
        if not (asian_id + win_id + total_id).isdecimal() and (asian_id or win_id or total_id):
            raise KeyError(asian_id)
        match_id = match_id or identity[""]
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


def _basketball_rows(split: Sequence[list[str]], context: Context, readers: Readers) -> list[Row]:
    """Return the rows of handicap and total, of the game and of its first half."""
    identity, lines, hong_kong = readers.identity, readers.line, readers.hong_kong
    channel, _, refresh, company_id, company = context
    nan = NAN
    rows: list[Row] = []
    add = rows.append
    for fields in split:
        match_id = fields[0] or identity[""]
        fields = _padded(fields, BASKETBALL_ENDS)  # noqa: PLW2901 - see above
        for half, at in (("", 1), ("_half", 7)):
            line, home, away, total, over, under = fields[at : at + 6]
            if line or home or away:
                add((channel, match_id, company_id, company, "asian_handicap" + half, None,
                     lines[line], line or None,
                     hong_kong[home], nan, hong_kong[away], nan, nan,
                     home or None, None, away or None, None, None, "hong_kong", refresh))  # fmt: skip
            if total or over or under:
                add((channel, match_id, company_id, company, "over_under" + half, None,
                     lines[total], total or None,
                     nan, nan, nan, hong_kong[over], hong_kong[under],
                     None, None, None, over or None, under or None, "hong_kong", refresh))  # fmt: skip
    return rows


def _padded(fields: list[str], ends: tuple[int, ...]) -> list[str]:
    """Return a short record with its absent markets empty. Raises KeyError for one that is not whole."""
    if not _stops_well(fields, ends):
        raise KeyError(len(fields))
    return fields + [""] * (ends[-1] - len(fields))


def _stops_well(fields: list[str], ends: tuple[int, ...]) -> bool:
    count = len(fields)
    return count in ends or (count - 1 in ends and not fields[-1])


Report = Callable[[str, str], object]


class _MarketFields(NamedTuple):
    """The fields of one market: where each stands, and what belongs there."""

    first: int
    caches: tuple[FieldCache[Any], ...]


_FOOTBALL_MARKETS: Final = (
    _MarketFields(1, (ODDS_IDS, HANDICAPS, HONG_KONG, HONG_KONG)),
    _MarketFields(5, (ODDS_IDS, PRICES, PRICES, PRICES)),
    _MarketFields(9, (ODDS_IDS, HANDICAPS, HONG_KONG, HONG_KONG)),
)
_BASKETBALL_MARKETS: Final = tuple(
    _MarketFields(at, (HANDICAPS, HONG_KONG, HONG_KONG)) for at in (1, 4, 7, 10)
)


def _repaired_football(fields: list[str], report: Report) -> list[str]:
    count = len(fields)
    if count > FOOTBALL_MOST:
        report("too many fields", f"it has {count} fields, more than the {FOOTBALL_MOST} that are known")
        report = _quiet
    elif count < FOOTBALL_FIELDS and not _stops_well(fields, FOOTBALL_ENDS):
        report("too few fields", f"it stops within a market, after {count} fields")
    return _sensible((fields + [""] * FOOTBALL_FIELDS)[:FOOTBALL_FIELDS], _FOOTBALL_MARKETS, report)


def _repaired_basketball(fields: list[str], report: Report) -> list[str]:
    count = len(fields)
    if count > BASKETBALL_FIELDS + (not fields[-1]):
        report("too many fields", f"it has {count} fields, more than the {BASKETBALL_FIELDS} that are known")
        report = _quiet
    elif not _stops_well(fields, BASKETBALL_ENDS):
        report("too few fields", f"it stops within a market, after {count} fields")
    return _sensible((fields + [""] * BASKETBALL_FIELDS)[:BASKETBALL_FIELDS], _BASKETBALL_MARKETS, report)


def _quiet(_reason: str, _what: str) -> None:
    """A field too many may have moved the others: what makes no sense then is the same fault."""


def _sensible(fields: list[str], markets: Sequence[_MarketFields], report: Report) -> list[str]:
    """Empty each market that has a value which can be read and makes no sense, and report that value."""
    for first, caches in markets:
        for at, cache in enumerate(caches, first):
            try:
                cache[fields[at]]
            except UnreadableError as error:
                if error.reason == SENSELESS:
                    report(SENSELESS, f"{quote(fields[at])} is not {cache.what}")
                    fields[first : first + len(caches)] = [""] * len(caches)
                    break
    return fields


_FOOTBALL: Final = Form("football odds", _football_rows, _repaired_football)
_BASKETBALL: Final = Form("basketball odds", _basketball_rows, _repaired_basketball)
_FAMILIES: Final = {_FOOTBALL.family, _BASKETBALL.family}
