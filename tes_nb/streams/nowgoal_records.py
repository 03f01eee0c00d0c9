"""Records → rows, in two tiers: all at once while every field is known, else record by record with faults.

The first tier looks fields up in plain dictionaries. A KeyError means that some field was not met before or
cannot be read; then each record is tried alone, and those that fail again are read leniently: with a memory
that learns, and a fault for each field that does not hold what belongs there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tes_nb.streams.nowgoal_fields import (
    CLOCKS,
    DATES,
    FLAGS,
    HONG_KONG,
    INSTANTS,
    INTEGERS,
    LINES,
    PRICES,
    SISTER_INSTANTS,
    STATE,
    Lenient,
    Memory,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tes_nb.model import Row
    from tes_nb.streams.nowgoal_reading import Reading

MEMORIES: Final[dict[str, Memory[Any]]] = {
    "integer": INTEGERS,
    "state": STATE,
    "flag": FLAGS,
    "line": LINES,
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


KNOWN: Final = Readers({}, **{name: memory.known for name, memory in MEMORIES.items()})
"""The first tier."""


class Context(NamedTuple):
    """What all records of a message share."""

    channel: str
    received_ns: int
    """Receive time: Unix nanoseconds, UTC."""
    refresh: bool | None
    """The message says: reload everything; `None` = it says nothing."""
    company_id: str | None = None
    company: str | None = None


class Form(NamedTuple):
    """One kind of record."""

    channel: str
    """The channel it comes on when nobody says another."""
    rows: Callable[[Sequence[list[str]], Context, Readers], list[Row]]
    """Records, each split into fields → rows. Raises KeyError for a record that is not whole or not known."""
    repaired: Callable[[list[str], Callable[[str, str], object]], list[str]]
    """A record → one with a whole number of fields; what was wrong is reported (reason, half-sentence)."""


def read_records(split: Sequence[list[str]], form: Form, context: Context, reading: Reading) -> list[Row]:
    """Return the rows of records; faults go to `reading`."""
    try:
        return form.rows(split, context, KNOWN)
    except KeyError:
        rows: list[Row] = []
        for fields in split:
            rows += _one(fields, form, context, reading)
        return rows


def _one(fields: list[str], form: Form, context: Context, reading: Reading) -> list[Row]:
    try:
        return form.rows((fields,), context, KNOWN)
    except KeyError:
        pass
    name = f"Record {shown(fields[0])}"

    def report(reason: str, what: str) -> None:
        reading.fault(reason, f"{name}: {what}.")

    whole = form.repaired(fields, report)
    if not any(whole):
        return []
    if not whole[0]:
        report("missing field", "it has no id")
    lenient = {kind: Lenient(memory, report) for kind, memory in MEMORIES.items()}
    return form.rows((whole,), context, Readers({"": None}, **lenient))
