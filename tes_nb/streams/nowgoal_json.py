"""NowGoal's JSON: ticks, wrapped or not, and envelopes that carry XML under a key nobody has named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tes_nb.errors import DecodeError, FrameTooLarge
from tes_nb.streams.nowgoal_channels import named_in
from tes_nb.streams.nowgoal_fields import shown
from tes_nb.streams.nowgoal_reading import MAX_RECORDS
from tes_nb.streams.nowgoal_ticks import WRAPPERS, is_tick, read_ticks
from tes_nb.streams.nowgoal_xml import read_xml
from tes_nb.wire.json_guard import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tes_nb.streams.nowgoal_reading import Reading


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
            f"{shown(item)} is no JSON object: ticks and envelopes are. The raw message is kept.",
            reason="unknown form",
        )
    reading.channel = named_in(item)
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
            reading.fault("unknown form", f"{shown(odd)} is no tick.")
        read_ticks([tick for tick in ticks or [item] if isinstance(tick, dict)], reading)
    else:
        keys = ", ".join(shown(key) for key in list(item)[:3])
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
