"""Make a whole session of a damaged one: every message whose checksum fits, wherever in the file it lies."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from tes_nb.errors import DecodeError, SessionError
from tes_nb.store.salvage_find import FoundRows, what_is_known
from tes_nb.store.session.schema import SESSION_SOURCE, Fact, FileGap, GapRecord, Item, decode_record
from tes_nb.store.session.writer import SessionWriter
from tes_nb.wire.events import Gap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tes_nb.model import Message
    from tes_nb.store.page_carve import Carved
    from tes_nb.store.salvage_find import Known

_GROUP = 2048
_DAMAGE = "the file is damaged here"


@dataclass(slots=True)
class Salvaged:
    """What came out of a damaged file."""

    messages: dict[str, int] = field(default_factory=dict)
    """Source → messages that are readable."""
    missing: dict[str, int] = field(default_factory=dict)
    """Source → messages known to be lost; sources without loss are left out."""
    complete: bool = False
    """Whether the file still tells how many there were. If not, more may be lost than `missing` says."""

    @property
    def whole(self) -> bool:
        """Whether certainly no message is lost."""
        return self.complete and not self.missing


def salvage(damaged: Path, target: Path) -> Salvaged:
    """Write a new session at `target` with everything that can be read of `damaged`; ids stay as they were.

    Where messages are missing between others a gap says so. Raises `SessionError` when nothing can be read.
    """
    with FoundRows(damaged) as found:
        if not found.last_id():
            raise SessionError(
                f"{damaged.name} is no session, or nothing of it can be read: not one message was found in it."
            )
        known = what_is_known(damaged, found)
        writer = SessionWriter(target, first_id=found.last_id() + 1)
        try:
            facts = [Fact(name, value) for name, value in known.facts.items()]
            writer.append([*facts, *(known.sources[number] for number in sorted(known.sources))])
            rebuild = _Rebuild(known)
            for group in _grouped(rebuild.items(found)):
                writer.append([item for _, item in group], ids=[number for number, _ in group])
            if rebuild.holes:
                writer.append(rebuild.holes)
        finally:
            writer.close()
    return rebuild.result()


@dataclass(slots=True)
class _Rebuild:
    """Turns found rows back into what a writer takes, and notes what is missing between them."""

    known: Known
    counts: dict[str, int] = field(default_factory=dict)
    last: dict[str, Message] = field(default_factory=dict)
    holes: list[FileGap] = field(default_factory=list)
    explained: list[Gap] = field(default_factory=list)
    """The recorder's own gaps: sequence numbers missing there were never in the file."""

    def items(self, found: FoundRows) -> Iterator[tuple[int, Item]]:
        self.explained = [gap.gap for gap in map(_gap, found.rows(SESSION_SOURCE)) if gap is not None]
        for row in found.rows():
            if row.source_id == SESSION_SOURCE:
                gap = _gap(row)
                if gap is not None:
                    yield row.id, gap
                continue
            message = msgspec.structs.replace(row.message, source=self.known.sources[row.source_id].name)
            self._note_hole(message)
            self.counts[message.source] = self.counts.get(message.source, 0) + 1
            yield row.id, message

    def _note_hole(self, message: Message) -> None:
        last = self.last.get(message.source)
        self.last[message.source] = message
        missing = 0 if last is None else message.seq - last.seq - 1
        if last is None or missing <= 0 or self._was_never_written(last, message):
            return
        gap = Gap(message.conn, last.t_wall_ns, last.t_wall_ns, message.t_wall_ns, _DAMAGE, missing)
        self.holes.append(FileGap(gap, message.source))

    def _was_never_written(self, before: Message, after: Message) -> bool:
        return any(
            (gap.last_seen_ns or gap.lost_at_ns) <= after.t_wall_ns
            and (gap.back_at_ns is None or gap.back_at_ns >= before.t_wall_ns)
            for gap in self.explained
        )

    def result(self) -> Salvaged:
        missing: dict[str, int] = {}
        for hole in self.holes:
            missing[hole.source] = missing.get(hole.source, 0) + (hole.gap.missing or 0)
        for name, many in self.known.expected.items():
            lost = max(missing.get(name, 0), many - self.counts.get(name, 0))
            if lost > 0:
                missing[name] = lost
        return Salvaged(self.counts, missing, self.known.complete)


def _gap(row: Carved) -> FileGap | None:
    try:
        record = decode_record(row.message.payload)
    except DecodeError:
        return None
    return FileGap(record.gap, record.source) if isinstance(record, GapRecord) else None


def _grouped(items: Iterator[tuple[int, Item]]) -> Iterator[list[tuple[int, Item]]]:
    while group := list(itertools.islice(items, _GROUP)):
        yield group
