"""NowGoal: football and basketball scores, odds and ticks, as its site pushes them.

Endpoint `wss://live.nowgoal26.com/ws` with a bearer token of a minute; another form of it takes the token in
the query. Messages are text or binary, binary ones deflated (zlib, gzip, raw) or not. Inside is
JSON or XML:

    ok                                                                      keepalive, no data
    <c refresh="0"><h><![CDATA[1828723^1^1^0^^^0^0^0^0^2020-…]]></h></c>    change_xml, nba_change_xml
    <c><match><m>3018359,17535243,0,1.20,0.63,…</m></match></c>             ch_goal8_xml, ch_nbaGoal8_xml
    {"channel": "change_xml", "data": "<c …>"}                              the same in an envelope
    {"gameId": "007", "oddsType": "moneyline", "oldValue": 1.85, …}         a tick

What cannot be read is absent, never guessed: the row keeps the rest, and each fault has a row in `raw` and a
note. A message that cannot be read at all is UNDECODED with one of each; `decode` raises nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tes_nb.errors import DecodeError
from tes_nb.model import Decoded, Endpoint, Kind, Message, Opcode, Stream, TokenSource
from tes_nb.streams.nowgoal.channels import ALIASES, DEFAULT, address_channels, resolve, subscription
from tes_nb.streams.nowgoal.conversation import UNKNOWN, Conversation, SubscriptionDecoder
from tes_nb.streams.nowgoal.envelopes import read_xml, xml_text
from tes_nb.streams.nowgoal.json_envelopes import read_json
from tes_nb.streams.nowgoal.records import Reading
from tes_nb.streams.nowgoal.tables import COMPANIES, STATES, TABLES
from tes_nb.streams.nowgoal.ticks import quick_rows
from tes_nb.wire.inflate import inflate, peek

KEEPALIVE: Final = b"ok"
_BOM: Final = b"\xef\xbb\xbf"
_ECHO: Final = b'{"type":0,"channels":'
"""How our own request for channels begins."""


def decode(message: Message, conversation: Conversation = UNKNOWN) -> Decoded:
    """Return the rows of a message. Raises nothing: what is unreadable is in `raw` and `notes`."""
    try:
        text = (message.payload if message.opcode == Opcode.TEXT else inflate(message.payload)).strip()
    except DecodeError as error:
        return _undecoded(Reading(message, conversation), error)
    ticks = quick_rows(text)
    if ticks is not None:
        return Decoded(Kind.DATA, {"ticks": ticks})
    reading = Reading(message, conversation)
    try:
        kind = _read(text, reading)
    except DecodeError as error:
        return _undecoded(reading, error)
    return reading.decoded() if kind is Kind.DATA else Decoded(kind)


def _undecoded(reading: Reading, error: DecodeError) -> Decoded:
    reading.fault(error.reason, str(error))
    return reading.decoded()


def _read(text: bytes, reading: Reading) -> Kind:
    """Read inflated text; the rows and faults go to `reading`."""
    if text == KEEPALIVE:
        return Kind.KEEPALIVE
    if text.startswith((b"<", _BOM + b"<")):
        read_xml(xml_text(text), reading)
    elif text.startswith((b"{", b"[", _BOM)):
        return Kind.DATA if read_json(text, reading) else Kind.ECHO
    else:
        raise DecodeError(
            "The message is neither JSON nor XML, nor the keepalive. The raw message is kept.",
            reason="unknown form" if text else "empty",
        )
    return Kind.DATA


def classify(message: Message) -> Kind:
    """Return what a message seems to be from its first bytes. Never raises."""
    payload = message.payload
    head = (payload[:32] if message.opcode == Opcode.TEXT else peek(payload, 32)).lstrip()
    if head.startswith((b"{", b"[", b"<", _BOM)):
        return Kind.ECHO if head.startswith(_ECHO) else Kind.DATA
    return Kind.KEEPALIVE if head.rstrip() == KEEPALIVE else Kind.UNDECODED


TOKEN: Final = TokenSource(
    url="https://live.nowgoal26.com/ajax/getwebsockettoken",
    headers={
        "Accept": "*/*",
        "Origin": "https://live.nowgoal26.com",
        "Referer": "https://live.nowgoal26.com/basketball",
    },
    nonce="rnum",
    query="?channels={channels}&&token={token}",
)
"""Where tokens come from. The doubled & of the query form is theirs."""

ENDPOINT: Final = Endpoint(port="none", path="wss://live.nowgoal26.com/ws", token=TOKEN)
"""The default: the token goes into a header."""

QUERY_ENDPOINT: Final = Endpoint(
    port="none", path="wss://www.nowgoal26.com:9800/stream", token=replace(TOKEN, auth="query")
)
"""The form that the site's own page uses. On another host, so it is chosen, never fallen back to."""

STREAM: Final = Stream(
    name="nowgoal",
    doc="Football and basketball scores and odds, pushed by NowGoal's site; external.",
    endpoint=ENDPOINT,
    tables=TABLES,
    main="scores",
    view="table",
    period_s=6.0,  # a keepalive comes every 10 s: silence counts as stale before the second one
    decode=decode,
    classify=classify,
    feed_decoder=lambda: SubscriptionDecoder(decode),
    folded=("raw",),
    subscription=subscription,
    address_channels=address_channels,
    resolve_names=resolve,
    extras="tes_nb.session.nowgoal.feed:EXTRAS",
)

__all__ = [
    "ALIASES",
    "COMPANIES",
    "DEFAULT",
    "ENDPOINT",
    "QUERY_ENDPOINT",
    "STATES",
    "STREAM",
    "classify",
    "decode",
    "resolve",
    "subscription",
]
