"""NowGoal's XML → records: `<h>` scores, `<m>` odds, `<oddsChange>` ticks.

    <c refresh="0"><h><![CDATA[1828723^1^1^0…]]></h>…</c>
    <c><match><m>3018359,17535243,0,1.20…</m>…</match></c>

A message that looks exactly like these, as nearly all do, is taken apart by its separators, after counting
has proved that nothing else is in it. Everything else goes through expat, which costs more (decisions/0007).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from tes_nb.errors import DecodeError, FrameTooLarge
from tes_nb.streams.nowgoal.channels import channel_in
from tes_nb.streams.nowgoal.fields import quote
from tes_nb.streams.nowgoal.odds import read_odds
from tes_nb.streams.nowgoal.records import MAX_RECORDS
from tes_nb.streams.nowgoal.scores import read_scores
from tes_nb.streams.nowgoal.ticks import WRAPPERS, is_tick, read_ticks
from tes_nb.wire.json_guard import parse_json
from tes_nb.wire.xml_guard import Element, parse_xml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tes_nb.streams.nowgoal.records import Reading


_HEAD: Final = re.compile(r'<c(?: refresh="([^"<&]*)")?>')
_TAIL: Final = "</c>"
_SCORE: Final = ("<h><![CDATA[", "]]></h><h><![CDATA[", "]]></h>")
_ODDS: Final = ("<match><m>", "</m><m>", "</m></match>")
_CONTROLS: Final = bytes(range(0x20))
_RECORDS: Final = {"h", "m", "oddsChange"}
_CONTAINERS: Final = {"c", "match"}


def read_xml(text: str, reading: Reading) -> None:
    """Read XML into the tables its records belong to. Raises `DecodeError` when it is none of ours."""
    if not _read_canonical(text, reading):
        _read_tree(parse_xml(text), reading)


def _read_canonical(text: str, reading: Reading) -> bool:
    """Read a message of the two exact forms above; False = it is another, and nothing was read."""
    head = _HEAD.match(text)
    if head is None or not text.endswith(_TAIL) or not _is_plain(text):
        return False
    refresh = None if head[1] is None else head[1] != "0"
    body = text[head.end() : -len(_TAIL)]
    records = _scores_in(body)
    if records is not None:
        read_scores(records, refresh, reading)
        return True
    records = _odds_in(body)
    if records is not None:
        read_odds(records, refresh, reading)
    return records is not None


def _is_plain(text: str) -> bool:
    """Whether it is ASCII on one line, without characters that XML forbids or changes."""
    if not text.isascii():
        return False
    data = text.encode("ascii")
    return len(data.translate(None, _CONTROLS)) == len(data)


def _scores_in(body: str) -> list[str] | None:
    begin, between, end = _SCORE
    if not (body.startswith(begin) and body.endswith(end)):
        return None
    records = body[len(begin) : -len(end)].split(between)
    # In CDATA all is text up to "]]>": no "]" but those of the separators, so nothing else can be markup.
    return records if body.count("]") == 2 * len(records) else None


def _odds_in(body: str) -> list[str] | None:
    begin, between, end = _ODDS
    body = body.replace("</m></match><match><m>", between)
    if not (body.startswith(begin) and body.endswith(end)) or "&" in body or "]" in body:
        return None
    records = body[len(begin) : -len(end)].split(between)
    return records if body.count("<") == 2 * len(records) + 2 else None


def _read_tree(roots: list[Element], reading: Reading) -> None:
    """Read any well-formed XML that holds our records, however deep."""
    documents = [(root.attributes.get("refresh"), list(_leaves(root))) for root in roots]
    _refuse_unknown([leaf for _, leaves in documents for leaf in leaves], reading)
    for refresh, leaves in documents:
        again = None if refresh is None else refresh != "0"
        scores = [leaf.text for leaf in leaves if leaf.tag == "h"]
        odds = [leaf.text for leaf in leaves if leaf.tag == "m"]
        if scores:
            read_scores(scores, again, reading)
        if odds:
            read_odds(odds, again, reading)
    ticks = [_tick(leaf) for _, leaves in documents for leaf in leaves if leaf.tag == "oddsChange"]
    if ticks:
        read_ticks(ticks, reading)


def _refuse_unknown(leaves: list[Element], reading: Reading) -> None:
    unknown = [leaf for leaf in leaves if leaf.tag not in _RECORDS]
    if unknown and len(unknown) == len(leaves):
        raise DecodeError(
            f"The XML has no h, m or oddsChange, but {quote(unknown[0].tag)}. The raw message is kept.",
            reason="unknown form",
        )
    for leaf in unknown:
        reading.fault("unknown form", f"Nobody has said what the element {quote(leaf.tag)} holds.")


def _leaves(element: Element) -> Iterator[Element]:
    """Yield, in document order, the records, and whatever else holds no further elements."""
    if element.tag in _RECORDS:
        yield element
    elif element.children:
        for child in element.children:
            yield from _leaves(child)
    elif element.tag not in _CONTAINERS:
        yield element


def _tick(element: Element) -> dict[str, object]:
    """Return an `oddsChange` as its JSON form would be."""
    parts = {child.tag: child.attributes for child in element.children if child.tag in {"market", "player"}}
    return {**element.attributes, **parts}


def read_json(payload: bytes, reading: Reading) -> bool:
    """Read JSON into the tables it belongs to; False = it is a request for channels, our own come back.

    Raises `DecodeError` when it is no JSON, or none of ours.
    """
    value = parse_json(payload)
    if isinstance(value, dict) and "channels" in value and value.get("type") == 0:
        return False
    if isinstance(value, list):
        _read_array(value, reading)
    else:
        _read_object(value, reading)
    return True


def _read_array(items: list[Any], reading: Reading) -> None:
    """Read each object by itself: one that is bad costs the others nothing."""
    if len(items) > MAX_RECORDS:
        raise FrameTooLarge(
            f"An array of more than {MAX_RECORDS} objects was refused. The raw message is kept."
        )
    for item in items:
        try:
            _read_object(item, reading)
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
    documents = [] if ticks else list(_documents(item))
    if documents:
        reading.admit(len(documents) - 1)
        for document in documents:
            read_xml(document, reading)
    elif ticks or is_tick(item):
        for odd in (tick for tick in ticks if not isinstance(tick, dict)):
            reading.fault("unknown form", f"{quote(odd)} is no tick.")
        read_ticks([tick for tick in ticks or [item] if isinstance(tick, dict)], reading)
    else:
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


def _documents(value: Any) -> Iterator[str]:
    """Yield every text within that begins as XML does."""
    if isinstance(value, str):
        document = value.strip()
        if document.startswith("<"):
            yield document
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _documents(inner)
