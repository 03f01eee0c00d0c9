"""The reading of one message: rows as they are found, and every fault, each with its row in `raw`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tes_nb.errors import FrameTooLarge
from tes_nb.model import Decoded, Kind, Message, Opcode, Row

if TYPE_CHECKING:
    from collections.abc import Iterable

REASONS: Final = (
    "too few fields",
    "too many fields",
    "unreadable field",  # letters where a number belongs, a wrong type
    "missing field",  # of a tick
    "unknown state",
    "unknown company",
    "unknown form",  # good JSON or XML, but none of ours
)
"""Reasons of faults inside a message; the whole of it is refused with the reasons of `tes_nb.wire`."""

MAX_RECORDS: Final = 10_000
"""Records in one message, and items of one array; a whole match day has a third of that."""
MAX_NOTES: Final = 10_000
"""Faults noted one by one; a message with more is garbage, and the last note says so."""
_HEAD: Final = 32


class Reading:
    """Collects what one message says, for `Decoded`."""

    __slots__ = ("_faults", "_room", "_rows", "channel", "message")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.channel: str | None = None
        """The channel of what is being read."""
        self._room = MAX_RECORDS
        self._rows: dict[str, list[Row]] = {}
        self._faults: list[tuple[str | None, str, str]] = []

    def admit(self, count: int) -> None:
        """Let so many more things be read. Raises `FrameTooLarge` when the message has too many altogether."""
        self._room -= count
        if self._room < 0:
            raise FrameTooLarge(
                f"A message of more than {MAX_RECORDS} records was refused. The raw message is kept."
            )

    def add(self, table: str, rows: Iterable[Row]) -> None:
        """Add rows to a table."""
        known = self._rows.get(table)
        if known is None:
            self._rows[table] = list(rows)
        else:
            known.extend(rows)

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

    def decoded(self) -> Decoded:
        """Return the outcome: DATA when there was anything to read or nothing to complain of."""
        if not self._faults:
            return Decoded(Kind.DATA, self._rows)
        readable = any(self._rows.values())
        self._rows["raw"] = [self._raw_row(*fault) for fault in self._faults]
        notes = tuple(sentence for _, _, sentence in self._faults)
        if readable:
            return Decoded(Kind.DATA, self._rows, notes=notes)
        return Decoded(Kind.UNDECODED, self._rows, notes=notes, reason=self._faults[0][1])

    def _raw_row(self, channel: str | None, reason: str, sentence: str) -> Row:
        payload = self.message.payload
        opcode = "text" if self.message.opcode == Opcode.TEXT else "binary"
        return (channel, reason, sentence, len(payload), opcode, payload[:_HEAD].hex())
