"""The loss ledger: what was sent against what was received and the gaps that were recorded.

Pure: the caller brings the numbers the server sent (`GET /ledger`), the numbers it received with their
receive times, and the gap records of its reader.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tes_nb.errors import DecodeError
from tes_nb.model import Direction, Message, Opcode
from tes_nb.model.message import FLAG_DUPLICATE
from tes_nb.wire.events import Gap
from tes_nb.wire.inflate import inflate

NUMBER = "simulatedNumber"
"""The name under which each message of a stand-in carries its number: an attribute or a field."""
NUMBER_WITHIN = 128
"""It stands in the first bytes: to inflate all of each message for it would be a third of a reader's work."""
_NUMBER = re.compile(rb'\b%s\\?"?\s*[=:]\s*\\?"?(\d+)' % NUMBER.encode())


@dataclass(frozen=True, slots=True)
class Ledger:
    """The account: `sent` = what was received once + `in_gaps` + `unexplained_missing`."""

    sent: int
    """Messages the server sent to this subscriber, up to the last one to account for."""
    received: int
    """Messages received that carry a number, repetitions included."""
    in_gaps: int
    """Missing, and every one of them lies inside a gap record."""
    unexplained_missing: int
    """Missing, and no gap record says so: lost in silence. Must be 0."""
    doubled: int
    """Repetitions among the received. Must be 0."""
    reordered: int
    """Received after a message with a higher number. Must be 0."""
    in_several_gaps: int = 0
    """Those of `in_gaps` that gap records claim which overlap. Must be 0."""
    unasked: int = 0
    """Received, but not sent to this subscriber according to the server; not counted as sent."""

    @property
    def balanced(self) -> bool:
        """Whether every message is accounted for: nothing lost in silence, nothing doubled or reordered."""
        wrong = (self.unexplained_missing, self.doubled, self.reordered, self.in_several_gaps, self.unasked)
        return not any(wrong)


def number_in(text: bytes) -> int | None:
    """Return the number that a message of the stand-in carries; `None` = it has none.

    `text` is the inflated message, XML or JSON.

    >>> number_in(b'<c refresh="0" simulatedNumber="17"><h><![CDATA[9000001^1]]></h></c>')
    17
    >>> number_in(b'[{"simulatedNumber": 18, "oddsChange": {}}]')
    18
    >>> number_in(b"ok") is None
    True
    """
    match = _NUMBER.search(text)
    return None if match is None else int(match[1])


def received_in(messages: Iterable[Message]) -> list[tuple[int, int]]:
    """Return (number, receive time in Unix nanoseconds) of the numbered ones among messages, for `reconcile`.

    Left out is what does not inflate, has no number, went out, or was marked as a duplicate on receipt.
    """
    numbers = []
    for message in messages:
        skipped = message.direction != Direction.IN or message.opcode == Opcode.EVENT
        if skipped or message.flags & FLAG_DUPLICATE:
            continue
        try:
            text = message.payload if message.opcode == Opcode.TEXT else inflate(message.payload)
        except DecodeError:
            continue
        number = number_in(text)
        if number is not None:
            numbers.append((number, message.t_wall_ns))
    return numbers


def reconcile(
    sent: Iterable[int] | Mapping[int, int],
    received: Sequence[tuple[int, int]],
    gaps: Iterable[Gap],
    until: int | None = None,
) -> Ledger:
    """Return the account of one logical subscriber.

    `sent` are the numbers that were for it, best with the times they were sent at (number → Unix nanoseconds);
    `received` pairs of (number, receive time) in the order of receipt, `gaps` the gap records of the
    connection, all on one clock.

    A missing message is explained when a gap's loss was noticed between the receipt of its neighbours, and
    the message was sent while that gap lasted: from when the last message before it came until data came
    again, with as much tolerance as the slowest of the received messages needed. Where only unreadable
    messages came between two gaps, one hole lies in both, but each of its messages in one. Without times of
    sending only the neighbours are asked.
    `until` is the last number to account for: `None` asks for all that was sent, which is right once the
    feed has stopped; for one that runs give the number received last, since later ones are on their way.

    >>> lost = Gap(conn=1, last_seen_ns=20, lost_at_ns=25, back_at_ns=50, cause="connection reset")
    >>> reconcile([1, 2, 3, 4, 5], [(1, 10), (2, 20), (5, 50)], [lost]).in_gaps
    2
    """
    times = sent if isinstance(sent, Mapping) else {}
    expected = sorted(number for number in set(sent) if until is None or number <= until)
    ours = set(expected)
    first_receipts = _first_receipts(received)
    arrivals = sorted((number, at) for number, at in first_receipts.items() if number in ours)
    records = sorted(gaps, key=lambda gap: gap.lost_at_ns)
    lost_at = [gap.lost_at_ns for gap in records]
    overlaps = _overlaps(records)
    slowest = max((at - times[number] for number, at in arrivals if number in times), default=0)
    claims = [
        [
            place
            for place in _noticed(number, arrivals, lost_at)
            if _lasted(records[place], times.get(number), slowest)
        ]
        for number in expected
        if number not in first_receipts
    ]
    return Ledger(
        sent=len(expected),
        received=len(received),
        in_gaps=sum(map(bool, claims)),
        unexplained_missing=sum(not places for places in claims),
        doubled=len(received) - len(first_receipts),
        reordered=_reordered(first_receipts),
        in_several_gaps=sum(any(overlaps[place] for place in places[1:]) for places in claims),
        unasked=sum(number not in ours and (until is None or number <= until) for number in first_receipts),
    )


def _first_receipts(received: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Return number → time of its first receipt, in the order of receipt."""
    first: dict[int, int] = {}
    for number, at in received:
        first.setdefault(number, at)
    return first


def _overlaps(gaps: Sequence[Gap]) -> list[bool]:
    """Return for each gap, in order, whether it began before the one before it was over."""
    return [
        place > 0 and (before.back_at_ns is None or gap.lost_at_ns < before.back_at_ns)
        for place, gap in enumerate(gaps)
        for before in (gaps[place - 1],)
    ]


def _noticed(number: int, arrivals: list[tuple[int, int]], lost_at: list[int]) -> range:
    """Return the places of the gaps that were noticed between the neighbours of a missing number."""
    place = bisect_left(arrivals, (number, 0))
    low = 0 if place == 0 else bisect_left(lost_at, arrivals[place - 1][1])
    high = len(lost_at) if place == len(arrivals) else bisect_right(lost_at, arrivals[place][1])
    return range(low, high)


def _lasted(gap: Gap, sent_at_ns: int | None, slowest_ns: int) -> bool:
    """Return whether the gap lasted when a message was sent; one whose time is not known is given the doubt."""
    if sent_at_ns is None:
        return True
    begun = gap.last_seen_ns is None or gap.last_seen_ns <= sent_at_ns + slowest_ns
    return begun and (gap.back_at_ns is None or sent_at_ns <= gap.back_at_ns)


def _reordered(first_receipts: dict[int, int]) -> int:
    highest = count = 0
    for number in first_receipts:
        count += number < highest
        highest = max(highest, number)
    return count
