"""The session's own log: what belongs to no message, kept in message form so that damage to a table loses nothing.

Each record is a JSON payload in `messages_0`, with a checksum as every message has. The tables `sources`,
`facts` and `gaps` say the same in a form that is easy to query.
"""

from __future__ import annotations

import msgspec

from tes_nb.errors import DecodeError
from tes_nb.wire.events import Gap


class SourceRecord(msgspec.Struct, frozen=True, tag="source", tag_field="record"):
    """A source appeared."""

    id: int
    """What `source_id` says in this file, counted from 1."""
    name: str
    stream: str
    """The name of the stream it carries."""
    url: str | None
    """Where it was read from, without credentials; `None` = the collector's own, or unknown."""


class FactRecord(msgspec.Struct, frozen=True, tag="fact", tag_field="record"):
    """Something known about the recording or its host when it began."""

    name: str
    value: msgspec.Raw
    """JSON."""


class GapRecord(msgspec.Struct, frozen=True, tag="gap", tag_field="record"):
    """A hole that came about in the file: the recorder could not keep up or not write, or a file was damaged."""

    gap: Gap
    source: str = ""
    """"" = it touches every source."""


Record = SourceRecord | FactRecord | GapRecord

_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """Return the payload that goes into `messages_0`."""
    return msgspec.json.encode(record)


def decode_record(payload: bytes) -> Record:
    """Return the record in a payload of `messages_0`. Raises `DecodeError` for anything else."""
    try:
        return _decoder.decode(payload)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise DecodeError(f"Not a record of a session's log: {error}.", reason="record") from error
