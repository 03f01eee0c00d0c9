"""NowGoal's JSON → records: ticks, XML or bare records under a key, and XML that a converter made JSON of.

{"gameId": "007", "oddsType": "moneyline", …}                  a tick, or several in an array
{"channel": "ch_goal3_xml", "data": "<c>…"}                    the channel is named beside the XML
{"ch_goal3_xml": "<c>…", "ch_goal47_xml": "<c>…"}              the keys are the channels
{"ch_goal3_xml": "3018359,17535243,…!3018360,17535244,…"}      bare records
{"c": {"@_refresh": "0", "h": ["1828723^1^…"]}}                XML as a converter writes it
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from tes_nb.errors import DecodeError, FrameTooLarge
from tes_nb.streams.nowgoal.channels import channel_in, is_channel
from tes_nb.streams.nowgoal.envelopes import read_tree, read_xml
from tes_nb.streams.nowgoal.fields import quote
from tes_nb.streams.nowgoal.odds import read_odds
from tes_nb.streams.nowgoal.records import MAX_RECORDS
from tes_nb.streams.nowgoal.scores import read_scores
from tes_nb.streams.nowgoal.ticks import WRAPPERS, is_tick, read_ticks
from tes_nb.wire.json_guard import parse_json
from tes_nb.wire.xml_guard import Element

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tes_nb.streams.nowgoal.records import Reading

_BARE: Final = re.compile(r"\s*[0-9]{1,15}([,^])[^,^]*(?:\1[^,^]*){2}")
"""How a bare record begins: an id, and three more fields at least."""
_MARK: Final = b'"@'
_TEXTS: Final = ("#text", "#cdata", "__cdata", "_")
"""Keys under which converters put an element's text."""
_PLAIN: Final = (str, int, float)


def read_json(payload: bytes, reading: Reading) -> bool:
    """Read JSON into the tables it belongs to; False = it is a request for channels, our own come back.

    Raises `DecodeError` when it is no JSON, or none of ours.
    """
    value = parse_json(payload)
    if isinstance(value, dict) and "channels" in value and value.get("type") == 0:
        return False
    if _MARK in payload:
        value = _without_marks(value)
    if isinstance(value, list):
        _read_array(value, reading)
    else:
        _read_object(value, reading)
    return True


def _without_marks(value: Any) -> Any:
    """Return the same without the @ or @_ that converters put before the name of an attribute."""
    if isinstance(value, list):
        return [_without_marks(each) for each in value]
    if not isinstance(value, dict):
        return value
    plain = {key: _without_marks(inner) for key, inner in value.items() if not key.startswith("@")}
    marked = {key: inner for key, inner in value.items() if key.startswith("@")}
    return {key.removeprefix("@").removeprefix("_"): inner for key, inner in marked.items()} | plain


def _read_array(items: list[Any], reading: Reading) -> None:
    """Read each object by itself: one that is bad costs the others nothing."""
    if len(items) > MAX_RECORDS:
        raise FrameTooLarge(
            f"An array of more than {MAX_RECORDS} objects was refused. The raw message is kept."
        )
    for item in items:
        _or_fault(_read_object, item, reading)


def _or_fault(read: Callable[[Any, Reading], None], part: Any, reading: Reading) -> None:
    """Read a part of a message; what it raises is a fault of that part."""
    try:
        read(part, reading)
    except DecodeError as error:
        reading.fault(error.reason, str(error))


def _read_object(item: Any, reading: Reading) -> None:
    if not isinstance(item, dict):
        raise DecodeError(
            f"{quote(item)} is no JSON object: ticks and envelopes are. The raw message is kept.",
            reason="unknown form",
        )
    reading.channel = channel_in(item)
    try:
        _read_content(item, reading)
    finally:
        reading.channel = None


def _read_content(item: dict[str, Any], reading: Reading) -> None:
    ticks = _ticks_in(item)
    parts = [] if ticks else list(_parts(item, reading.channel))
    if parts:
        _read_parts(parts, reading)
    elif ticks or is_tick(item):
        for odd in (tick for tick in ticks if not isinstance(tick, dict)):
            reading.fault("unknown form", f"{quote(odd)} is no tick.")
        read_ticks([tick for tick in ticks or [item] if isinstance(tick, dict)], reading)
    elif _has_records(item):
        read_tree([_element(key, inner) for key, inner in item.items() if key != "?xml"], reading)
    elif not (item and all(is_channel(key) and not inner for key, inner in item.items())):
        keys = ", ".join(quote(key) for key in list(item)[:3])
        raise DecodeError(
            f"The JSON object is neither a tick nor an envelope with XML; its first keys are: {keys or 'none'}. "
            "The raw message is kept.",
            reason="unknown form",
        )


def _ticks_in(item: dict[str, Any]) -> list[Any]:
    """Return what is a tick beyond doubt: in a wrapper, or the object itself; [] = nothing is."""
    for key in WRAPPERS:
        inner = item.get(key)
        ticks = inner if isinstance(inner, list) else [inner]
        if any(isinstance(tick, dict) and is_tick(tick) for tick in ticks):
            return ticks
    return [item] if is_tick(item, certainly=True) else []


def _parts(
    value: Any, channel: str | None, *, under_channel: bool = False
) -> Iterator[tuple[str | None, str]]:
    """Yield every text that holds records, with its channel: XML, and what is bare where the channel is named.

    All that stands under a key which is a channel is taken for records.
    """
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("<") or (text and under_channel) or (channel and _BARE.match(text)):
            yield channel, text
    elif isinstance(value, list):
        for inner in value:
            yield from _parts(inner, channel, under_channel=under_channel)
    elif isinstance(value, dict):
        channel = channel_in(value) or channel
        for key, inner in value.items():
            if is_channel(key):
                yield from _parts(inner, key, under_channel=not isinstance(inner, dict))
            else:
                yield from _parts(inner, channel)


def _read_parts(parts: list[tuple[str | None, str]], reading: Reading) -> None:
    """Read each part by itself; one that is alone and bad makes the whole message unreadable."""
    reading.admit(len(parts) - 1)
    for channel, text in parts:
        reading.channel = channel
        if len(parts) == 1:
            _read_part(text, reading)
        else:
            _or_fault(_read_part, text, reading)


def _read_part(text: str, reading: Reading) -> None:
    if text.startswith("<"):
        read_xml(text, reading)
        return
    bare = _BARE.match(text)
    if bare is None:
        raise DecodeError(
            f"Under {quote(reading.channel)} stand neither XML nor records, but {quote(text)}. "
            "The raw message is kept.",
            reason="unknown form",
        )
    records = [record for record in text.split("!") if record.strip()]
    (read_scores if bare[1] == "^" else read_odds)(records, None, reading)


def _has_records(value: Any) -> bool:
    """Whether it is XML that a converter made JSON of: our elements are its keys."""
    if isinstance(value, list):
        return any(map(_has_records, value))
    if not isinstance(value, dict):
        return False
    return (
        isinstance(value.get("c"), dict)
        or _joined(value.get("h"), "^")
        or _joined(value.get("m"), ",")
        or any(map(_has_records, value.values()))
    )


def _joined(value: Any, separator: str) -> bool:
    """Whether it is a record of so many fields, or begins with one."""
    first = value[0] if isinstance(value, list) and value else value
    if isinstance(first, dict):
        first = next((first[key] for key in _TEXTS if key in first), None)
    return isinstance(first, str) and separator in first


def _element(tag: str, value: Any) -> Element:
    """Return the element that a converter made this of; attributes of ours are those that no element is called."""
    element = Element(tag, {})
    if not isinstance(value, dict):
        inner = value if isinstance(value, list) else []
        element.text = str(value) if isinstance(value, _PLAIN) else ""
        element.children = [_element(tag, each) for each in inner]
        return element
    for key, inner in value.items():
        if key in _TEXTS and isinstance(inner, str):
            element.text += inner
        elif key == "refresh" or (tag in {*WRAPPERS, "market", "player"} and isinstance(inner, _PLAIN)):
            element.attributes[key] = inner if tag in WRAPPERS else str(inner)
        else:
            element.children += [
                _element(key, each) for each in (inner if isinstance(inner, list) else [inner])
            ]
    return element
