"""Check a session file from end to end, and say what of it is damaged or missing.

What is read here is what every reader gets: a check gives no other values than `SessionFile`. It only looks at every
page first, and compares what a file says twice.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from tes_nb.errors import SessionError
from tes_nb.store.session.reader import SessionFile

ALL, SOME, NONE = 0, 3, 1


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a check."""

    exit_code: int
    """0 = every message is readable, 3 = some are, 1 = none is."""
    sentences: tuple[str, ...]
    messages: int = 0
    """How many are readable."""


def check(path: str | os.PathLike[str]) -> Report:
    """Read everything in a session file and say what is damaged. Never raises for a bad file."""
    path = Path(path)
    try:
        with SessionFile.open(path) as session:
            session.examine()
            return _read_through(session)
    except SessionError as error:
        return Report(NONE, (str(error),))
    except (OSError, sqlite3.Error) as error:
        return Report(NONE, (f"{path} cannot be read ({error}): check the disk it lies on.",))


def _read_through(session: SessionFile) -> Report:
    before = session.info()  # of a recording that goes on, more is there afterwards than was read
    readable = {name: sum(1 for _ in session.messages(name)) for name in session.sources}
    info = session.info()
    there = {
        name: min(each.messages, before.sources[name].messages) if name in before.sources else 0
        for name, each in info.sources.items()
    }
    lost = {
        name: many - readable.get(name, 0) for name, many in there.items() if many > readable.get(name, 0)
    }
    total = sum(readable.values())
    sentences = list(session.damage)
    sentences += [f"{name}: {count:,} of {there[name]:,} are missing." for name, count in lost.items()]
    if not sentences:
        text = f"{session.path.name} is whole: {total:,} messages of {len(readable)} sources. {info.ending}"
        return Report(ALL, (text,), total)
    if session.whole and not lost:
        return Report(ALL, tuple(sentences), total)
    return Report(SOME if total or session.lacks_log else NONE, tuple(sentences), total)
