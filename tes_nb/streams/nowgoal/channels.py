"""NowGoal's channels: their names, our short names for them, and what a name says about its content."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import parse_qs, urlsplit

import msgspec

from tes_nb.errors import meant
from tes_nb.streams.nowgoal.tables import COMPANIES

if TYPE_CHECKING:
    from collections.abc import Sequence

Family = Literal["football scores", "basketball scores", "football odds", "basketball odds"]

FOOTBALL_SCORES: Final = "change_xml"
FOOTBALL_ODDS: Final = "ch_goal8_xml"
BASKETBALL_SCORES: Final = "nba_change_xml"
BASKETBALL_ODDS: Final = "ch_nbaGoal8_xml"

ALIASES: Final = {
    "scores": FOOTBALL_SCORES,
    "odds": FOOTBALL_ODDS,
    "basketball_scores": BASKETBALL_SCORES,
    "basketball_odds": BASKETBALL_ODDS,
}
"""Our short names → the wire's names."""

USUAL: Final[dict[Family, str]] = {
    "football scores": FOOTBALL_SCORES,
    "football odds": FOOTBALL_ODDS,
    "basketball scores": BASKETBALL_SCORES,
    "basketball odds": BASKETBALL_ODDS,
}
"""What travels → the channel it comes on where no other is named."""

DEFAULT: Final = (FOOTBALL_SCORES, FOOTBALL_ODDS)
"""What is asked for when none are named."""

_ODDS: Final = re.compile(r"ch_(goal|nbaGoal)([0-9]{1,6})_xml")
_NAME: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_KEY: Final = re.compile(r"[A-Za-z0-9_.:-]{1,60}_xml")


class _Request(msgspec.Struct):
    channels: tuple[str, ...]
    type: int = 0


_REQUEST: Final = msgspec.json.Decoder(_Request)


def resolve(names: Sequence[str]) -> tuple[str, ...]:
    """Return the wire's names for ours or theirs, each once, in order; () = the default.

    Raises ValueError for what cannot be a channel's name.
    """
    wire_names = [ALIASES.get(name, name) for name in names] or DEFAULT
    for name in wire_names:
        if not (isinstance(name, str) and _NAME.fullmatch(name) and name.endswith("_xml")):
            raise ValueError(
                f"{name!r} is no channel of NowGoal: use {', '.join(ALIASES)}, or a name of the wire that "
                f"ends in _xml, such as {FOOTBALL_ODDS}.{meant(name, ALIASES)}"
            )
    return tuple(dict.fromkeys(wire_names))


def subscription(names: Sequence[str]) -> bytes:
    """Return the text that asks for these channels and no others. Raises ValueError as `resolve` does."""
    return json.dumps({"type": 0, "channels": list(resolve(names))}, separators=(",", ":")).encode()


def request_channels(text: bytes) -> tuple[str, ...] | None:
    """Return the channels that a text of ours asks for; `None` = it is no such request."""
    try:
        request = _REQUEST.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return request.channels if request.type == 0 else None


def address_channels(url: str) -> tuple[str, ...] | None:
    """Return the channels that the address of a connection asks for; `None` = it says nothing of them."""
    try:
        lists = parse_qs(urlsplit(url).query).get("channels")
    except ValueError:
        return None
    if lists is None:
        return None
    return tuple(dict.fromkeys(name for names in lists for name in names.split(",") if name))


@lru_cache(maxsize=256)
def family_of(channel: str | None) -> Family | None:
    """Return what travels on a channel; `None` = its name does not say."""
    if channel == FOOTBALL_SCORES:
        return "football scores"
    if channel == BASKETBALL_SCORES:
        return "basketball scores"
    match = _ODDS.fullmatch(channel or "")
    if match is None:
        return None
    return "football odds" if match[1] == "goal" else "basketball odds"


@lru_cache(maxsize=256)
def company_of(channel: str) -> tuple[str | None, str | None]:
    """Return the id and the name of the company a channel of odds belongs to; `None` = unknown."""
    match = _ODDS.fullmatch(channel)
    return (match[2], COMPANIES.get(match[2])) if match else (None, None)


def is_channel(key: str) -> bool:
    """Whether a key of an envelope is the name of a channel."""
    return _KEY.fullmatch(key) is not None


def channel_in(envelope: dict[str, Any]) -> str | None:
    """Return the channel that a JSON envelope names, under `channel` or as the value of any key.

    Names of several channels under other keys are no answer.
    """
    name = envelope.get("channel")
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    texts = (value for value in envelope.values() if isinstance(value, str))
    names = {text for text in texts if len(text) <= 64 and family_of(text)}
    return names.pop() if len(names) == 1 else None
