"""What a session file says about itself, in a form that people read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tes_nb.wire.events import Gap


@dataclass(frozen=True, slots=True)
class RecordedSource:
    """A source of a session."""

    name: str
    stream: str
    """The name of the stream it carries."""
    url: str | None
    """Where it was read from, without credentials; `None` = the collector's own, or unknown."""
    id: int
    """What the file's tables call it."""
    ordered: bool
    """Whether its messages arrived in monotonic order, as all but imported ones do."""


@dataclass(frozen=True, slots=True)
class RecordedGap:
    """A hole in what was recorded."""

    source: str | None
    """`None` = it touches every source: the recorder could not write."""
    gap: Gap


@dataclass(frozen=True, slots=True)
class RecordedMark:
    """A mark on the time line."""

    label: str
    at_ns: int
    """Unix ns."""
    source: str


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """One source in figures."""

    stream: str
    url: str | None
    messages: int
    bytes: int
    """Of the payloads."""
    first_ns: int | None
    """Receive time of the first message, Unix ns; `None` = there is none."""
    last_ns: int | None
    duration_s: float
    """From the first to the last message, on the monotonic clock."""
    connections: int
    gaps: int
    undecoded: int | None
    """Messages that do not decode; `None` = nobody has counted them."""

    @property
    def per_second(self) -> float:
        """Messages a second; 0 for fewer than two."""
        return (self.messages - 1) / self.duration_s if self.duration_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session in figures."""

    path: Path
    file_bytes: int
    """Of the file and what its log adds."""
    began_ns: int | None
    """Unix ns; `None` = there are no messages."""
    ended_ns: int | None
    duration_s: float
    messages: int
    bytes: int
    """Of all payloads."""
    gaps: int
    missing: int
    """Messages that the gaps say are missing, where they know."""
    marks: int
    undecoded: int | None
    """Messages that do not decode; `None` = nobody has counted them: `info(decode=True)` does."""
    peaks: Mapping[str, float]
    """What the collector noted as highest: "rss", "children_rss" (bytes), "cpu_percent" (of one core); {} = nothing."""
    ending: str
    """How the recording ended, or that it has not, or that nobody ended it."""
    damage: tuple[str, ...]
    """Sentences; () = the file is whole as far as it was read."""
    sources: Mapping[str, SourceSummary] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        size = f"{self.file_bytes / 1e6:,.1f} MB"
        head = f"{self.path.name}: {self.messages:,} messages in {self.duration_s:,.1f} s, {size}"
        undecoded = "undecoded not counted" if self.undecoded is None else f"{self.undecoded} undecoded"
        lines = [f"{head}, {self.gaps} gaps, {self.marks} marks, {undecoded}"]
        if self.peaks:
            lines.append(f"  at most: {', '.join(map(_peak, self.peaks.items()))}")
        for name, each in self.sources.items():
            rate = f"{each.per_second:,.1f}/s, {each.bytes / 1e6:,.1f} MB"
            lines.append(f"  {name}: {each.messages:,} messages, {rate}")
        lines += [f"  {sentence}" for sentence in (self.ending, *self.damage)]
        return "\n".join(lines)


def _peak(told: tuple[str, float]) -> str:
    name, value = told
    words = name.replace("_", " ")
    return f"{words} {value / 1e6:,.1f} MB" if name.endswith("rss") else f"{words} {value:,.1f}"
