"""Football odds whose records are whole → columns, without rows in between (docs/decisions/0043).

What `odds.py` reads record by record gives the same rows; a message goes this way when each of its records has all
three markets, and each of its fields was met before.
"""

from __future__ import annotations

from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tes_nb.model import RowBatch, Same, Woven
from tes_nb.streams.nowgoal.fields import HANDICAPS, HONG_KONG, NAN, PRICES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tes_nb.model import Values
    from tes_nb.streams.nowgoal.records import Context

FIELDS: Final = 13
"""Fields of a record up to its last market; what follows are flags."""
_MARKETS: Final = 3
_NONE, _NAN, _HONG_KONG = Same(None), Same(NAN), Same("hong_kong")


class WholeRecords(msgspec.Struct, gc=False):
    """The records of one message, and what they share."""

    context: Context
    fields: Sequence[tuple[str, ...]]
    """Field → its text in each record."""


class OddsBatch(RowBatch):
    """Rows of `odds`, three a record: items are `WholeRecords`."""

    __slots__ = ()

    def __len__(self) -> int:
        return _MARKETS * sum(len(item.fields[0]) for item in self.items)

    @classmethod
    def columns(cls, items: list[Any]) -> Sequence[Values]:
        """Return the columns of `odds`."""
        fields = [list(chain.from_iterable([item.fields[at] for item in items])) for at in range(FIELDS)]
        (match_id, asian_id, line, home, away, win_id, win, draw, lose, total_id, total, over, under) = fields
        lines, hong_kong, prices = HANDICAPS.values, HONG_KONG.values, PRICES.values

        def woven(*markets: Sequence[Any] | Same) -> Woven:
            return Woven(markets, len(match_id))

        return (
            _shared([item.context.channel for item in items], items),
            woven(match_id, match_id, match_id),
            _shared([item.context.company_id for item in items], items),
            _shared([item.context.company for item in items], items),
            woven(Same("asian_handicap"), Same("1x2"), Same("over_under")),
            woven(asian_id, win_id, total_id),
            woven([lines[text] for text in line], _NAN, [lines[text] for text in total]),
            woven(_texts(line), _NONE, _texts(total)),
            woven([hong_kong[text] for text in home], [prices[text] for text in win], _NAN),
            woven(_NAN, [prices[text] for text in draw], _NAN),
            woven([hong_kong[text] for text in away], [prices[text] for text in lose], _NAN),
            woven(_NAN, _NAN, [hong_kong[text] for text in over]),
            woven(_NAN, _NAN, [hong_kong[text] for text in under]),
            woven(_texts(home), _texts(win), _NONE),
            woven(_NONE, _texts(draw), _NONE),
            woven(_texts(away), _texts(lose), _NONE),
            woven(_NONE, _NONE, _texts(over)),
            woven(_NONE, _NONE, _texts(under)),
            woven(_HONG_KONG, Same("decimal"), _HONG_KONG),
            _shared([item.context.refresh for item in items], items),
        )


def whole_records(split: Sequence[list[str]], context: Context) -> OddsBatch | None:
    """Return the rows of records, each split into fields; `None` = one lacks something, or was not met before."""
    try:
        fields = list(zip(*split, strict=True))[:FIELDS]
    except ValueError:
        return None
    if len(fields) < FIELDS:
        return None
    match_id, asian_id, line, home, away, win_id, win, draw, lose, total_id, total, over, under = fields
    ids = (*asian_id, *win_id, *total_id)
    certain = (
        all(match_id)
        and all(ids)
        and "".join(ids).isdecimal()
        and HANDICAPS.values.keys() >= {*line, *total}
        and HONG_KONG.values.keys() >= {*home, *away, *over, *under}
        and PRICES.values.keys() >= {*win, *draw, *lose}
    )
    return OddsBatch([WholeRecords(context, fields)]) if certain else None


def _texts(texts: list[str]) -> Sequence[str | None]:
    return [text or None for text in texts] if "" in texts else texts


def _shared(values: Sequence[Any], items: Sequence[WholeRecords]) -> Values:
    """Return a column whose value each message has once."""
    first = next(iter(values), None)
    if values.count(first) == len(values):
        return Same(first)
    repeated: Iterable[Iterable[Any]] = (
        repeat(value, _MARKETS * len(item.fields[0])) for value, item in zip(values, items, strict=True)
    )
    return list(chain.from_iterable(repeated))
