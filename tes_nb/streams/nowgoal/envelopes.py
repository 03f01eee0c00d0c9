"""NowGoal's XML → records: `<h>` scores, `<m>` odds, `<oddsChange>` ticks.

    <c refresh="0"><h><![CDATA[1828723^1^1^0…]]></h>…</c>
    <c><match><m>3018359,17535243,0,1.20…</m>…</match></c>

A message that looks exactly like these, as nearly all do, is taken apart by its separators, after counting
has proved that nothing else is in it. Everything else goes through expat, which costs more (decisions/0007).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tes_nb.errors import DecodeError
from tes_nb.streams.nowgoal.fields import quote
from tes_nb.streams.nowgoal.odds import read_odds
from tes_nb.streams.nowgoal.scores import read_scores
from tes_nb.streams.nowgoal.ticks import WRAPPERS, is_tick, read_ticks
from tes_nb.wire.xml_guard import Element, parse_xml, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tes_nb.streams.nowgoal.records import Reading


_HEAD: Final = re.compile(r'<c(?: refresh="([^"<&]*)")?>')
_TAIL: Final = "</c>"
_SCORE: Final = ("<h><![CDATA[", "]]></h><h><![CDATA[", "]]></h>")
_ODDS: Final = ("<match><m>", "</m><m>", "</m></match>")
_CONTROLS: Final = bytes(range(0x20))
_RECORDS: Final = {"h", "m"}
_CONTAINERS: Final = {"c", "match", *WRAPPERS}
_EXTRAS: Final = {"ids", "jcIds", "isMaintain"}
"""What stands beside the records and is no record: harmless."""
_CHINESE: Final = re.compile(rb"<\?xml[^>]{0,60}encoding=[\"'](?:gb2312|gbk|gb18030)[\"']", re.IGNORECASE)


def xml_text(payload: bytes) -> str:
    """Return the text of XML: UTF-8, or the Chinese that it declares. Raises `DecodeError` for anything else.

    What it declares counts only where it is no UTF-8: the records are ASCII, whatever is declared.
    """
    try:
        return text_of(payload)
    except DecodeError:
        if _CHINESE.match(payload) is None:
            raise
    try:
        return payload.decode("gb18030")  # which holds gb2312 and gbk
    except UnicodeDecodeError as error:
        raise DecodeError(
            f"The message is neither UTF-8 nor the Chinese it declares at byte {error.start}. The raw message is kept.",
            reason="utf-8",
        ) from None


def read_xml(text: str, reading: Reading) -> None:
    """Read XML into the tables its records belong to. Raises `DecodeError` when it is none of ours."""
    if not _read_canonical(text, reading):
        read_tree(parse_xml(text), reading)


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


def read_tree(roots: list[Element], reading: Reading) -> None:
    """Read any tree that holds our records, however deep. Raises `DecodeError` for one that holds others alone."""
    documents = [(root.attributes.get("refresh"), list(_leaves(root))) for root in roots]
    _sort_out([leaf for _, leaves in documents for leaf in leaves], reading)
    for refresh, leaves in documents:
        again = None if refresh is None else refresh != "0"
        scores = [leaf.text for leaf in leaves if leaf.tag == "h"]
        odds = [leaf.text for leaf in leaves if leaf.tag == "m"]
        if scores:
            read_scores(scores, again, reading)
        if odds:
            read_odds(odds, again, reading)
    ticks = [_fields(leaf) for _, leaves in documents for leaf in leaves if _is_tick(leaf)]
    if ticks:
        read_ticks(ticks, reading)


def _sort_out(leaves: list[Element], reading: Reading) -> None:
    """Remark what is harmless, report what nobody knows; refuse a document that holds nothing else."""
    unknown: list[Element] = []
    records = 0
    for leaf in leaves:
        if leaf.tag in _RECORDS or _is_tick(leaf):
            records += 1
        elif leaf.tag in _EXTRAS:
            reading.remark(
                "extra element",
                f"Beside the records stands {quote(leaf.tag)}: it changes nothing, and is said once for a connection.",
            )
        else:
            unknown.append(leaf)
    if unknown and not records:
        raise DecodeError(
            f"The XML has no h, m or oddsChange, but {quote(unknown[0].tag)}. The raw message is kept.",
            reason="unknown form",
        )
    for leaf in unknown:
        reading.fault("unknown form", f"Nobody has said what the element {quote(leaf.tag)} holds.")


def _leaves(element: Element) -> Iterator[Element]:
    """Yield, in document order, the records, and whatever else holds no further elements."""
    if element.tag in _RECORDS or element.tag in _EXTRAS or _is_tick(element):
        yield element
    elif element.children:
        for child in element.children:
            yield from _leaves(child)
    elif element.text.strip() or element.tag not in _CONTAINERS:
        yield element


def _is_tick(element: Element) -> bool:
    """Whether it is a tick: `oddsChange`, or another of its names with what only ticks have."""
    if element.tag not in WRAPPERS:
        return False
    inner = {child.tag for child in element.children}
    if element.tag == "oddsChange":
        return inner.isdisjoint(_RECORDS) and inner.isdisjoint(WRAPPERS)
    return is_tick(element.attributes) or is_tick(dict.fromkeys(inner))


def _fields(element: Element) -> dict[str, object]:
    """Return a tick or a part of it as its JSON form would be: attributes, and elements within by their names."""
    inner = {
        child.tag: _fields(child) if child.attributes or child.children else child.text.strip()
        for child in element.children
    }
    return {**element.attributes, **inner}
