"""Sum a session up from its small tables: a gigabyte takes milliseconds, because no message is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tes_nb.store.session.tables import (
    RecordedGap,
    RecordedSource,
    SessionInfo,
    SessionTables,
    SourceSummary,
    Sum,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def summarise(
    tables: SessionTables,
    path: Path,
    *,
    file_bytes: int,
    owner: int | None,
    damage: tuple[str, ...],
) -> SessionInfo:
    """Return the figures of a session. `owner` is the pid that records it now, `None` = nobody."""
    facts = tables.facts()
    sources = tables.sources()
    gaps = tables.gaps()
    sums = tables.sums()
    undecoded = _counts(facts.get("undecoded")) if "undecoded" in facts else None
    summaries = {
        name: _source(
            each,
            sums.get(each.id),
            sum(conn > 0 for conn in tables.connections(each.id)),  # our own samplers are none
            gaps,
            None if undecoded is None else undecoded.get(name, 0),
        )
        for name, each in sources.items()
    }
    monos = [each.first_mono_ns for each in sums.values()], [each.last_mono_ns for each in sums.values()]
    return SessionInfo(
        path=path,
        file_bytes=file_bytes,
        began_ns=min((each.min_wall_ns for each in sums.values()), default=None),
        ended_ns=max((each.max_wall_ns for each in sums.values()), default=None),
        duration_s=(max(monos[1]) - min(monos[0])) / 1e9 if sums else 0.0,
        messages=sum(each.messages for each in sums.values()),
        bytes=sum(each.bytes for each in sums.values()),
        gaps=len(gaps),
        missing=sum(each.gap.missing or 0 for each in gaps),
        marks=len({(mark.label, mark.at_ns) for mark in tables.marks()}),
        undecoded=None if undecoded is None else sum(undecoded.values()),
        peaks=_counts(facts.get("peaks")),
        ending=_ending(facts, owner, damage),
        damage=damage,
        sources=summaries,
        facts=facts,
    )


def _source(
    source: RecordedSource,
    total: Sum | None,
    connections: int,
    gaps: list[RecordedGap],
    undecoded: int | None,
) -> SourceSummary:
    touching = sum(gap.source in (None, source.name) for gap in gaps)
    if total is None:
        return SourceSummary(
            source.stream, source.url, 0, 0, None, None, 0.0, connections, touching, undecoded
        )
    return SourceSummary(
        stream=source.stream,
        url=source.url,
        messages=total.messages,
        bytes=total.bytes,
        first_ns=total.min_wall_ns,
        last_ns=total.max_wall_ns,
        duration_s=(total.last_mono_ns - total.first_mono_ns) / 1e9,
        connections=connections,
        gaps=touching,
        undecoded=undecoded,
    )


def _ending(facts: Mapping[str, Any], owner: int | None, damage: tuple[str, ...]) -> str:
    if owner is not None:
        return f"Being recorded by process {owner}." if owner else "Being recorded by another process."
    ended = facts.get("ended")
    text = ended.get("text") if isinstance(ended, dict) else None
    if isinstance(text, str):
        return text
    if "copied" in facts:
        return "A copy of a recording that went on: what came later is in the original."
    killed = "Nobody ended this recording: its process was killed."
    return killed if damage else f"{killed} Every message it acknowledged is here."


def _counts(value: Any) -> dict[str, Any]:
    """A fact that should be names with numbers; a stranger's file may say anything."""
    if not isinstance(value, dict):
        return {}
    return {
        name: number
        for name, number in value.items()
        if isinstance(number, int | float) and abs(number) < 2**63
    }
