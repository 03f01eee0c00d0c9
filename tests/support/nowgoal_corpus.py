"""Real and real-looking NowGoal records, and every way to send them."""

from __future__ import annotations

import calendar
import json

from tes_nb.model import Message, Opcode
from tes_nb.streams.nowgoal.stream import STREAM, decode
from tests.support.deflate import FORMS

SCORE = "1828723^1^1^0^^^0^0^0^0^2020-01-09 06:15:00^2020-01-09 06:16:06^^^^^1^0^1^"
SISTER = "1828723^3^2^1^1^0^0^1^06:15^2020,0,9,7,16,6^remark^1^2^3^01-09^other^4^5^1"
ODDS = "3018359,17535243,0,1.20,0.63,156460524,3.03,3.24,2.21,20216243,2.25,0.83,0.90,1,0,0,0,3,3,3,,,,"
SHORT_ODDS = "3003850,17348417,-0.5,0.91,0.89,155043777,1.63,4.41,5.28"
GAME = "555^3^10:35^80^79^21^20^22^23^37^36^^^0^timeout^4^^^^^^^o1^s1^w1^"
GAME_ODDS = "555,-5.5,0.85,0.95"
TICK = {
    "gameId": "007",
    "bookmakerId": "pinnacle",
    "oddsType": "moneyline",
    "oldValue": 1.85,
    "newValue": 1.92,
    "timestamp": 1767225600000,
    "market": {"homeTeam": "Duke", "awayTeam": "UNC", "league": "ncaab"},
}
PROP = TICK | {"oddsType": "player_prop", "playerId": "023", "playerName": "A. Player", "statType": "points"}


def ns(*when):
    """Return year, month, day, hour, minute, second (UTC) as Unix nanoseconds."""
    return calendar.timegm((*when, 0, 0, 0)[:6]) * 10**9


RECEIVED = ns(2020, 1, 9, 6, 30, 0)


def message(payload, opcode=Opcode.TEXT, received=RECEIVED):
    """Return a message as the collector stamps it."""
    data = payload.encode() if isinstance(payload, str) else payload
    return Message("nowgoal", 0, opcode, data, received, 0, 1, 1)


def scores_xml(*records, refresh="0"):
    attribute = "" if refresh is None else f' refresh="{refresh}"'
    return f"<c{attribute}>" + "".join(f"<h><![CDATA[{record}]]></h>" for record in records) + "</c>"


def odds_xml(*records):
    return "<c>" + "".join(f"<match><m>{record}</m></match>" for record in records) + "</c>"


CHANNELS = {
    "change_xml": scores_xml(SCORE),
    "nba_change_xml": scores_xml(GAME),
    "ch_goal8_xml": odds_xml(ODDS, SHORT_ODDS),
    "ch_nbaGoal8_xml": odds_xml(GAME_ODDS),
}
"""Channel → a message of it."""

ENVELOPES = {
    "bare": lambda xml, _: xml,
    "data": lambda xml, channel: json.dumps({"channel": channel, "data": xml}),
    "some key": lambda xml, channel: json.dumps({"type": 1, "name": channel, "payload": " \n" + xml}),
    "nested": lambda xml, channel: json.dumps({"channel": channel, "body": {"parts": [1, xml]}}),
    "array": lambda xml, channel: json.dumps([{"channel": channel, "xml": xml}]),
    "escaped": lambda xml, channel: json.dumps({"channel": channel, "x": xml}).replace("<", "\\u003c"),
    "unnamed": lambda xml, _: json.dumps({"": xml}),
}
"""Name → what wraps XML of a channel."""


def transports(text):
    """Yield a message for every way to send the text: as text, and binary in every form."""
    yield message(text)
    for pack in FORMS.values():
        yield message(pack(text.encode()), Opcode.BINARY)


def rows(table, decoded):
    """Return a table's rows as dictionaries, without what is absent."""
    names = STREAM.table(table).names
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None and value == value}  # noqa: PLR0124 - NaN
        for row in decoded.rows.get(table, ())
    ]


def read(table, payload, **stamp):
    """Decode a text message that must be wholly readable; return a table's rows."""
    decoded = decode(message(payload, **stamp))
    assert decoded.notes == ()
    assert "raw" not in decoded.rows
    return rows(table, decoded)


def faults(payload, **stamp):
    """Decode a text message; return the reasons in `raw`, each with a note."""
    decoded = decode(message(payload, **stamp))
    reasons = [row["reason"] for row in rows("raw", decoded)]
    assert len(decoded.notes) == len(reasons)
    return reasons
