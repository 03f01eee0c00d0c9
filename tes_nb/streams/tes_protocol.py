"""The small talk that TES peers share: greetings, pongs, acknowledgements, errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tes_nb.errors import DecodeError
from tes_nb.model import Answer, Decoded, Kind, Message, Opcode

_KINDS = {
    "connected": Kind.GREETING,
    "welcome": Kind.GREETING,
    "pong": Kind.REPLY,
    "subscribed": Kind.REPLY,
    "heartbeat-ack": Kind.REPLY,
    "ping": Kind.ECHO,
    "subscribe": Kind.ECHO,
    "heartbeat": Kind.ECHO,
    "error": Kind.ERROR,
}


class TalkHead(msgspec.Struct):
    """The two fields that tell small talk from data. Everything else is skipped unread."""

    type: Any = None
    error: Any = None


_head = msgspec.json.Decoder(TalkHead)


def small_talk(payload: bytes) -> Kind | None:
    """Return what the message is when it is no data; `None` = it may be data. Never raises."""
    try:
        head = _head.decode(payload)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return Kind.UNDECODED
    if isinstance(head.type, str) and head.type in _KINDS:
        return _KINDS[head.type]
    if head.type is None and isinstance(head.error, str):
        return Kind.ERROR
    return None


def classify(message: Message) -> Kind:
    """The kind of a TES message, from its envelope alone."""
    if message.opcode == Opcode.EVENT:
        return Kind.KEEPALIVE
    return small_talk(message.payload) or Kind.DATA


def is_own(message: Message) -> bool:
    """Whether our own collector has made the message: it is parsed once, without the guard (decisions/0015)."""
    return message.conn == 0


def talk_decoded(message: Message) -> Decoded | None:
    """Return the decoding of small talk; `None` = go on, it should be data. Our own collector makes none."""
    if is_own(message):
        return None
    kind = small_talk(message.payload)
    if kind is None or kind is Kind.UNDECODED:
        return None
    return Decoded(kind)


def ms_to_ns(value: int | None) -> int | None:
    """Unix milliseconds → nanoseconds; out of the range of a time column is `None`."""
    if value is None or not -9_000_000_000_000 < value < 9_000_000_000_000:
        return None
    return value * 1_000_000


def answer_by_type(payload: bytes, answers: Mapping[str, Callable[[dict[str, Any]], Answer]]) -> Answer:
    """Answer a client's message by its type; what is no JSON object, or of another type, gets an error."""
    try:
        message = client_message(payload)
    except DecodeError as error:
        return Answer({"type": "error", "message": str(error)})
    kind = message.get("type")
    if isinstance(kind, str) and kind in answers:
        return answers[kind](message)
    return Answer({"type": "error", "message": "This message type is not known here.", "received": kind})


def pong(now_ms: int) -> Answer:
    """What a ping is answered with."""
    return Answer({"type": "pong", "timestamp": now_ms})


def client_message(payload: bytes) -> dict[str, Any]:
    """Parse what a client sent. Raises `DecodeError` unless it is a JSON object."""
    try:
        value = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise DecodeError("The message is not valid JSON.", reason="json") from error
    if not isinstance(value, dict):
        raise DecodeError("The message must be a JSON object.", reason="json")
    return value
