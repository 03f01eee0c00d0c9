"""The loss ledger as a user sees it: what a stand-in sent, what came, and why the rest did not."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import pandas as pd

from tes_nb.analysis.ledger import NUMBER_WITHIN, Ledger, number_in, reconcile
from tes_nb.model import Direction, Message, Opcode
from tes_nb.model.message import FLAG_DUPLICATE
from tes_nb.session.frames import gaps_frame
from tes_nb.views.html import table_html
from tes_nb.wire.events import Gap
from tes_nb.wire.inflate import peek


@dataclass(frozen=True)
class LossLedger:
    """The account of one feed. `balanced` says that nothing was lost in silence, doubled or reordered."""

    account: Ledger
    gaps: pd.DataFrame = field(repr=False)
    """The gap records: conn, last_seen, lost_at, back_at, cause, missing."""
    causes: dict[str, int]
    """Cause → how many gaps it has opened."""

    @property
    def sent(self) -> int:
        """Messages sent to this feed, up to the last one received."""
        return self.account.sent

    @property
    def received(self) -> int:
        """Messages received, repetitions included."""
        return self.account.received

    @property
    def in_gaps(self) -> int:
        """Missing, and every one of them lies in a gap record."""
        return self.account.in_gaps

    @property
    def unexplained_missing(self) -> int:
        """Missing without a gap record. Must be 0."""
        return self.account.unexplained_missing

    @property
    def doubled(self) -> int:
        """Repetitions among the received. Must be 0."""
        return self.account.doubled

    @property
    def balanced(self) -> bool:
        """Whether every message is accounted for."""
        return self.account.balanced

    def _rows(self) -> list[tuple[str, str]]:
        account = self.account
        numbers = {
            "sent": account.sent,
            "received": account.received,
            "missing, in gaps": account.in_gaps,
            "unexplained missing": account.unexplained_missing,
            "doubled": account.doubled,
            "reordered": account.reordered,
        }
        causes = ", ".join(f"{count} x {cause}" for cause, count in self.causes.items())
        gaps = f"{len(self.gaps)}" + (f" ({causes})" if causes else "")
        return [*((name, f"{number:,}") for name, number in numbers.items()), ("gaps", gaps)]

    def __repr__(self) -> str:
        rows = "\n".join(f"  {name}: {text}" for name, text in self._rows())
        return f"<loss ledger, {'balanced' if self.balanced else 'NOT balanced'}\n{rows}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        del include, exclude
        caption = escape(f"Loss ledger, {'balanced' if self.balanced else 'NOT balanced'}")
        return {"text/plain": repr(self), "text/html": table_html(caption, ("", ""), self._rows())}


NO_STAND_IN = 1000
"""After so many messages without any number it is another server on this machine, of which there is no ledger."""


class ReceivedNumbers:
    """The numbers of a stand-in's messages with their receive times: 16 bytes a message."""

    def __init__(self) -> None:
        self._numbers = array("q")
        self._times = array("q")
        self._unnumbered = 0
        """Messages without a number so far, counted up to `NO_STAND_IN`."""

    def __len__(self) -> int:
        return len(self._numbers)

    def append(self, message: Message) -> None:
        """Note the number that a received message carries, if it carries one."""
        if message.direction != Direction.IN or message.flags & FLAG_DUPLICATE:
            return
        if self._unnumbered == NO_STAND_IN and not self._numbers:
            return
        text = message.payload if message.opcode == Opcode.TEXT else peek(message.payload, NUMBER_WITHIN)
        number = number_in(text[:NUMBER_WITHIN])
        if number is None:
            self._unnumbered = min(self._unnumbered + 1, NO_STAND_IN)
        else:
            self._times.append(message.t_wall_ns)
            self._numbers.append(number)  # the last step: who reads from another thread sees pairs

    def against(self, sent: Mapping[int, int], gaps: Sequence[Gap], count: int | None = None) -> LossLedger:
        """Return the account, up to the message received last. `sent`: number → Unix ns.

        count: so many of the received are accounted for, the first; `None` = all of them.
        """
        count = len(self._numbers) if count is None else count
        received = list(zip(self._numbers[:count], self._times[:count], strict=True))
        account = reconcile(sent, received, gaps, until=received[-1][0] if received else 0)
        causes = Counter(gap.cause for gap in gaps)
        return LossLedger(account, gaps_frame(gaps), dict(causes.most_common()))
