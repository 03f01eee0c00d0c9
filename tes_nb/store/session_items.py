"""What a session file takes, beside messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tes_nb.model import Message
from tes_nb.wire.events import Gap


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What to note about a source when it first appears."""

    name: str
    stream: str
    """The name of the stream it carries."""
    url: str | None = None
    """Where it is read from; credentials are taken out. `None` = the collector's own samplers."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something to note about the recording; the last value of a name counts."""

    name: str
    value: Any
    """What JSON can say."""


@dataclass(frozen=True, slots=True)
class FileGap:
    """A hole that came about in the file, not on the way to it: a full disk, a slow one, damage."""

    gap: Gap
    source: str = ""
    """"" = it touches every source."""


Item = Message | SourceInfo | Fact | FileGap
"""What a session file takes."""
