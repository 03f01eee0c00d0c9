"""Small recordings of NowGoal for tests: what was sent, and when, is written in the test."""

from __future__ import annotations

import tes_nb as tes
from tes_nb.model import Direction, Message, Opcode
from tes_nb.store.session.schema import SourceInfo
from tes_nb.wire.events import Gap, encode_event
from tests.support.sessions import WALL, write_session

SECOND = 10**9


def at(seconds):
    """Unix ns of that second of the recording."""
    return WALL + round(seconds * SECOND)


def odds(match, home, *, line=0, refresh=None):
    """One message with an Asian handicap, home's price in Hong Kong form."""
    again = "" if refresh is None else f' refresh="{refresh}"'
    return f"<c{again}><match><m>{match},11,{line},{home},0.90</m></match></c>"


def score(match, state, *, refresh=0):
    """One message with a match's state; it is to begin ten minutes after the recording does."""
    fields = f"{match}^{state}^0^0^^^0^0^0^0^2026-01-01 00:10:00^^^^^^1^0^1^"
    return f'<c refresh="{refresh}"><h><![CDATA[{fields}]]></h></c>'


def recording(path, steps):
    """Write what came, (second, text or gap) each, and open it."""
    messages = []
    for seq, (seconds, what) in enumerate(steps, 1):
        event = isinstance(what, Gap)
        payload = encode_event(what) if event else what.encode()
        opcode = Opcode.EVENT if event else Opcode.TEXT
        wall = at(seconds)
        messages.append(Message("nowgoal", Direction.IN, opcode, payload, wall, wall - WALL, 1, seq))
    write_session(path, [SourceInfo("nowgoal", "nowgoal", "wss://localhost/ws"), *messages])
    return tes.open(path)


def gap(since, until):
    """A hole between two seconds."""
    return Gap(1, at(since), at(since) + 1, at(until), "reset")
