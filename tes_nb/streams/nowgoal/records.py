"""Records → rows, in two tiers: all at once while every field is known, else record by record with faults.

The first tier looks fields up in plain dictionaries (decisions/0007 has what that gains). A KeyError means that
some field was not met before or cannot be read; then each record is tried alone, and those that fail again are
read leniently: with a cache that learns, and a fault for each field that does not hold what belongs there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tes_nb.errors import FrameTooLarge
from tes_nb.model import Decoded, Kind, Message, Opcode, Row
from tes_nb.streams.nowgoal.conversation import UNKNOWN, Conversation
from tes_nb.streams.nowgoal.fields import (
    CLOCKS,
    DATES,
    FLAGS,
    HANDICAPS,
    HONG_KONG,
    INSTANTS,
    INTEGERS,
    PRICES,
    SENSELESS,
    SISTER_INSTANTS,
    STATE,
    FieldCache,
    Lenient,
    quote,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tes_nb.streams.nowgoal.channels import Family


REASONS: Final = (
    "too few fields",
    "too many fields",
    "unreadable field",  # letters where a number belongs, a wrong type
    SENSELESS,  # a price of 0, a handicap of 0.3, an odds id with a point: its market has no row
    "missing field",  # of a tick
    "unknown state",
    "unknown company",
    "unknown form",  # good JSON or XML, but none of ours
)
"""Reasons of faults inside a message; the whole of it is refused with the reasons of `tes_nb.wire`."""
REMARKS: Final = (
    "unknown channel",  # nobody says which of several channels it is
    "extra element",  # beside the records, harmless
)
"""What is said once for each connection (decisions/0016)."""

MAX_RECORDS: Final = 10_000
"""Records in one message, and items of one array; a whole match day has a third of that."""
MAX_NOTES: Final = 10_000
"""Faults noted one by one; a message with more is garbage, and the last note says so."""
_HEAD: Final = 32


class Reading:
    """Collects what one message says, for `Decoded`."""

    __slots__ = ("_faults", "_remarks", "_room", "_rows", "channel", "conversation", "message")

    def __init__(self, message: Message, conversation: Conversation = UNKNOWN) -> None:
        self.message = message
        self.conversation = conversation
        self.channel: str | None = None
        """The channel that the message names for what is being read."""
        self._remarks: list[tuple[str | None, str, str]] = []
        self._room = MAX_RECORDS
        self._rows: dict[str, Sequence[Row]] = {}
        self._faults: list[tuple[str | None, str, str]] = []

    def admit(self, count: int) -> None:
        """Let so many more things be read. Raises `FrameTooLarge` when the message has too many altogether."""
        self._room -= count
        if self._room < 0:
            raise FrameTooLarge(
                f"A message of more than {MAX_RECORDS} records was refused. The raw message is kept."
            )

    def add(self, table: str, rows: Sequence[Row]) -> None:
        """Add rows to a table; a `RowBatch` stays one while it is alone."""
        there = self._rows.get(table)
        self._rows[table] = rows if there is None else [*there, *rows]

    def fault(self, reason: str, sentence: str) -> None:
        """Note one fault: `reason` counts, `sentence` explains."""
        room = MAX_NOTES - len(self._faults)
        if room == 1:
            reason, sentence = (
                "too large",
                f"More than {MAX_NOTES} faults in one message: the rest is not noted.",
            )
        if room > 0:
            self._faults.append((self.channel, reason, sentence))

    def remark(self, reason: str, sentence: str) -> None:
        """Note what is no fault, unless the same was said on this connection before."""
        if self.conversation.is_new(sentence):
            self._remarks.append((self.channel, reason, sentence))

    def channel_of(self, family: Family) -> str | None:
        """Return the channel of rows of that family; `None` = nobody says which, which is remarked."""
        if self.channel is not None:
            return self.channel
        channel, doubt = self.conversation.channel_of(family)
        if doubt is not None:
            self.remark("unknown channel", doubt)
        return channel

    def decoded(self) -> Decoded:
        """Return the outcome: DATA when there was anything to read or nothing to complain of."""
        if not self._faults and not self._remarks:
            return Decoded(Kind.DATA, self._rows)
        readable = any(self._rows.values()) or not self._faults
        noted = [*self._faults, *self._remarks]
        self._rows["raw"] = [self._raw_row(*each) for each in noted]
        notes = tuple(sentence for _, _, sentence in noted)
        if readable:
            return Decoded(Kind.DATA, self._rows, notes=notes)
        return Decoded(Kind.UNDECODED, self._rows, notes=notes, reason=self._faults[0][1])

    def _raw_row(self, channel: str | None, reason: str, sentence: str) -> Row:
        payload = self.message.payload
        opcode = "text" if self.message.opcode == Opcode.TEXT else "binary"
        return (channel, reason, sentence, len(payload), opcode, payload[:_HEAD].hex())


CACHES: Final[dict[str, FieldCache[Any]]] = {
    "integer": INTEGERS,
    "state": STATE,
    "flag": FLAGS,
    "line": HANDICAPS,
    "price": PRICES,
    "hong_kong": HONG_KONG,
    "instant": INSTANTS,
    "sister_instant": SISTER_INSTANTS,
    "date": DATES,
    "clock": CLOCKS,
}


class Readers(NamedTuple):
    """What turns the text of a field into its value: dictionaries, or lenient readers. Indexed by the text."""

    identity: Any
    """"" → `None`, where an absent id is allowed; other texts are not looked up."""
    integer: Any
    state: Any
    flag: Any
    line: Any
    price: Any
    hong_kong: Any
    instant: Any
    sister_instant: Any
    date: Any
    clock: Any


DICTIONARIES: Final = Readers({}, **{name: cache.values for name, cache in CACHES.items()})
"""The first tier."""


class Context(NamedTuple):
    """What all records of a message share."""

    channel: str | None
    """`None` = nobody says."""
    received_ns: int
    """Receive time: Unix nanoseconds, UTC."""
    refresh: bool | None
    """The message says: reload everything; `None` = it says nothing."""
    company_id: str | None = None
    company: str | None = None


class Form(NamedTuple):
    """One kind of record."""

    family: Family
    """What travels in it."""
    rows: Callable[[Sequence[list[str]], Context, Readers], list[Row]]
    """Records, each split into fields → rows. Raises KeyError for a record that is not whole or not known."""
    repaired: Callable[[list[str], Callable[[str, str], object]], list[str]]
    """A record → one with a whole number of fields; what was wrong is reported (reason, half-sentence)."""


def read_records(split: Sequence[list[str]], form: Form, context: Context, reading: Reading) -> list[Row]:
    """Return the rows of records; faults go to `reading`."""
    try:
        return form.rows(split, context, DICTIONARIES)
    except KeyError:
        rows: list[Row] = []
        for fields in split:
            rows += read_record(fields, form, context, reading)
        return rows


def read_record(fields: list[str], form: Form, context: Context, reading: Reading) -> list[Row]:
    """Return the rows of one record; faults go to `reading`."""
    try:
        return form.rows((fields,), context, DICTIONARIES)
    except KeyError:
        pass
    name = f"Record {quote(fields[0])}"

    def report(reason: str, what: str) -> None:
        reading.fault(reason, f"{name}: {what}.")

    whole = form.repaired(fields, report)
    if not any(whole):
        return []
    if not whole[0]:
        report("missing field", "it has no id")
    lenient = {kind: Lenient(cache, report) for kind, cache in CACHES.items()}
    return form.rows((whole,), context, Readers({"": None}, **lenient))
