"""From records to what travels: XML or JSON around them, a number for the ledger in it, deflated or not.

Every data message carries its number under the name `simulatedNumber`: an attribute of the XML's root, a
field of a JSON object. Readers of NowGoal look at neither, and `ledger.number_in` finds it again. The name
also says in each message that the data are simulated.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple
from xml.sax.saxutils import quoteattr

from tes_nb.simulate.words import TICKS

NUMBER = "simulatedNumber"
COMPRESSIONS = ("zlib", "gzip", "raw", "text", "binary")
SHAPES = ("xml", "envelope", "array", "json")
WINDOW_BITS = {"zlib": 15, "gzip": 31, "raw": -15}
TYPE_WORDS = {
    "moneyline": ("moneyline", "ml"),
    "spread": ("spread", "line"),
    "total": ("total", "overunder", "ou"),
    "player_prop": ("player_prop", "prop"),
}
"""How peers spell the odds types."""


class Frame(NamedTuple):
    """One WebSocket message."""

    text: bool
    payload: bytes


def is_score(channel: str) -> bool:
    """Whether the channel tells scores (records in `<h>`), not odds (records in `<m>`)."""
    return channel.endswith("change_xml")


def document(channel: str, records: Sequence[str], number: int | None, refresh: int = 0) -> str:
    """Return NowGoal's XML of these records. A number of `None` leaves it out, as junk does."""
    mark = "" if number is None else f' {NUMBER}="{number}"'
    if is_score(channel):
        inside = "".join(f"<h><![CDATA[{record}]]></h>" for record in records)
        return f'<c refresh="{refresh}"{mark}>{inside}</c>'
    inside = "".join(f"<m>{record}</m>" for record in records)
    again = f' refresh="{refresh}"' if refresh else ""
    return f"<c{again}{mark}><match>{inside}</match></c>"


def wrapped(channel: str, xml: str, number: int | None, shape: str) -> str:
    """Return the XML as it is (`xml`), or as a string in a JSON object, alone or in an array."""
    if shape in {"xml", "json"}:
        return xml
    envelope: dict[str, Any] = {"channel": channel, "data": xml}
    if number is not None:
        envelope[NUMBER] = number
    return json.dumps([envelope] if shape == "array" else envelope)


def ticks_document(ticks: Sequence[dict[str, Any]], number: int, shape: str, rng: Random) -> str:
    """Return ticks as XML or JSON, in one of the spellings that peers use."""
    if shape in {"xml", "envelope"}:
        return wrapped(TICKS, _ticks_xml(ticks, number, rng), number, shape)
    objects = [_tick_object(tick, number, rng) for tick in ticks]
    return json.dumps(objects[0] if shape == "json" and len(objects) == 1 else objects)


def _tick_object(tick: dict[str, Any], number: int, rng: Random) -> dict[str, Any]:
    fields = tick | {"oddsType": rng.choice(TYPE_WORDS[tick["oddsType"]])}
    if rng.choice((True, False)):
        fields["id"] = fields.pop("gameId")
    wrapper = rng.choice(("oddsChange", "odds", "change", None))
    return {NUMBER: number} | (fields if wrapper is None else {wrapper: fields})


def _ticks_xml(ticks: Sequence[dict[str, Any]], number: int, rng: Random) -> str:
    if len(ticks) == 1:
        return _tick_xml(ticks[0], f' {NUMBER}="{number}"', rng)
    inside = "".join(_tick_xml(tick, "", rng) for tick in ticks)
    return f'<oddsChanges {NUMBER}="{number}">{inside}</oddsChanges>'


def _tick_xml(tick: dict[str, Any], mark: str, rng: Random) -> str:
    market = tick["market"]
    names = {"home": market["homeTeam"], "away": market["awayTeam"], "league": market["league"]}
    inside = f"<market {_attributes(names)}/>"
    if "playerId" in tick:
        player = {"id": tick["playerId"], "name": tick["playerName"], "stat": tick["statType"]}
        inside += f"<player {_attributes(player)}/>"
    fields = {
        "gameId": tick["gameId"],
        "type": rng.choice(TYPE_WORDS[tick["oddsType"]]),
        "old": tick["oldValue"],
        "new": tick["newValue"],
        "time": tick["timestamp"],
    }
    return f"<oddsChange {_attributes(fields)}{mark}>{inside}</oddsChange>"


def _attributes(fields: dict[str, Any]) -> str:
    return " ".join(f"{name}={quoteattr(str(value))}" for name, value in fields.items())


def encode(text: str, compression: str) -> Frame:
    """Return the message as it travels in one of the `COMPRESSIONS`."""
    data = text.encode()
    if compression in {"text", "binary"}:
        return Frame(compression == "text", data)
    return Frame(text=False, payload=deflate(data, compression))


def deflate(data: bytes, compression: str) -> bytes:
    """Return `data` deflated with a zlib, a gzip or no header (`raw`)."""
    packer = zlib.compressobj(6, zlib.DEFLATED, WINDOW_BITS[compression])
    return packer.compress(data) + packer.flush()


def websocket_frame(frame: Frame) -> bytes:
    """Return the bytes on the wire: one unfragmented, unmasked WebSocket frame, as a server sends it."""
    opcode, size = (1 if frame.text else 2), len(frame.payload)
    if size < 126:
        head = bytes((0x80 | opcode, size))
    elif size < 1 << 16:
        head = bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big")
    return head + frame.payload
