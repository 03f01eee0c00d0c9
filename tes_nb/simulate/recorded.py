"""A match day as a session file, written at once: what a recorder beside the stand-in would have written meanwhile.

    from tes_nb.simulate import Options, record_day
    record_day("sessions/monday.tes", Options(seed=1), minutes=30)

The same seed gives the same matches, prices and times. For examples and measurements that need many sessions: to record
them takes as long as they last.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tes_nb.errors import ArgumentError, SessionError
from tes_nb.model import Direction, Message, Opcode
from tes_nb.simulate.composer import Composer
from tes_nb.simulate.encoding import Instant
from tes_nb.simulate.matchday import MatchDay
from tes_nb.simulate.options import Options
from tes_nb.simulate.pump import steps
from tes_nb.simulate.world import FOOTBALL_ODDS, FOOTBALL_SCORES
from tes_nb.store.paths import user_path
from tes_nb.store.session.schema import SourceInfo
from tes_nb.store.session.writer import SessionWriter
from tes_nb.streams.nowgoal.stream import subscription

SOURCE = "simulated"
BEGAN_NS = 1_772_366_400_000_000_000
"""2026-03-01 12:00 UTC."""
GROUP = 500


def record_day(
    path: str | Path, options: Options, *, minutes: float = 30.0, began_ns: int = BEGAN_NS
) -> Path:
    """Write football scores and odds of a match day into a new session file, and return its path.

    minutes: how long the session lasts, simulated. began_ns: when it begins, Unix ns. Raises `SessionError` where the
    file cannot be written, or is there, and `ArgumentError` for a length below 0.
    """
    if not minutes >= 0:
        raise ArgumentError(f"A session lasts 0 minutes or more, not {minutes!r}.")
    path = user_path(path, SessionError)
    writer = SessionWriter(path)
    try:
        group: list[SourceInfo | Message] = [SourceInfo(SOURCE, "nowgoal", "ws://127.0.0.1/ws")]
        for message in _messages(options, minutes * 60, began_ns):
            group.append(message)
            if len(group) == GROUP:
                writer.append(group)
                group = []
        writer.append(group)
    finally:
        writer.close()
    return path


def _messages(options: Options, length_s: float, began_ns: int) -> Iterator[Message]:
    odds = [FOOTBALL_ODDS.format(company=company) for company in options.companies]
    wanted = [FOOTBALL_SCORES, *odds]
    day, composer, seq = MatchDay(options), Composer(options), 1
    yield Message(SOURCE, Direction.OUT, Opcode.TEXT, subscription(wanted), began_ns, 0, 1, seq)

    def message(text: str, at_s: float) -> Message:
        frame, at_ns = composer.encode(text), round(at_s * 1e9)
        opcode = Opcode.TEXT if frame.text else Opcode.BINARY
        return Message(SOURCE, Direction.IN, opcode, frame.payload, began_ns + at_ns, at_ns, 1, seq)

    def instant(at_s: float) -> Instant:
        return Instant(began_ns / 1e9 + at_s, at_s)

    for channel in wanted:
        seq += 1
        yield message(composer.standing(channel, day.standing(channel), seq, instant(0), refresh=1), 0)
    for step in steps(day.until(length_s), 1.0):
        for channel, changes in step.items():
            if channel in wanted:
                seq += 1
                at_s = changes[-1].at
                yield message(composer.changes(channel, changes, seq, instant(at_s)), at_s)
