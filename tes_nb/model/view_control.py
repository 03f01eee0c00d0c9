"""What controls of views ask of a collector: what can be done just now, and how a replay goes on (decisions/0034)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tes_nb.model.operation import Operation
from tes_nb.model.table import Field


class ReplayPlace(msgspec.Struct, frozen=True):
    """How far one source of a replay is."""

    round: Annotated[int, Field("", "how often its records began anew")]
    seq: Annotated[int, Field("", "the number of its newest record")]


class ReplayStatus(msgspec.Struct, frozen=True):
    """Where a replay is."""

    word: Annotated[str, Field("", "PLAYING, PAUSED or ENDED")]
    speed: Annotated[float, Field("", "recorded seconds a second; 0 = as fast as it goes")]
    at_ns: Annotated[int, Field("ns", "when the newest message that was played was received, Unix time")]
    share: Annotated[float, Field("ratio", "how much of the recording's time was played")]
    settled: Annotated[bool, Field("", "whether the place that was asked for is reached")]
    loop: Annotated[bool, Field("", "whether it begins anew at its end")]
    sources: Annotated[dict[str, ReplayPlace], Field("", "source → how far it is")]
    damage: Annotated[list[str], Field("", "what of the recording is damaged, a sentence each")]
    name: Annotated[str, Field("", "the recording's file, without its folder")]
    place_ns: Annotated[int, Field("ns", "the moment of the recording that has come, Unix time")]
    began_ns: Annotated[int, Field("ns", "when its first message was received, Unix time")]
    ended_ns: Annotated[int, Field("ns", "when its last message was received, Unix time")]


class SteerReplay(Operation[ReplayStatus], tag="replay"):
    """Change how a replay goes on, if anything is given, and return where it is."""

    do: Annotated[Literal["pause", "resume"] | None, Field("", "hold the position, or go on")] = None
    speed: Annotated[
        Annotated[float, Meta(ge=0)] | None, Field("", "recorded seconds a second; 0 = as fast as it goes")
    ] = None
    seek_ns: Annotated[int | None, Field("ns", "go to a moment of the recording, Unix time")] = None
    seek_share: Annotated[float | None, Field("ratio", "go to a share of the recording's time")] = None


class TrackMark(msgspec.Struct, frozen=True):
    """A mark on the track of a replay."""

    at_ns: Annotated[int, Field("ns", "when it was put, Unix time")]
    label: Annotated[str, Field("", "what happened")]


class TrackGap(msgspec.Struct, frozen=True):
    """A hole of the recording on the track of its replay."""

    source: Annotated[str | None, Field("", "which source was not heard; null = all")]
    from_ns: Annotated[int, Field("ns", "when something was received last before it, Unix time")]
    to_ns: Annotated[int | None, Field("ns", "when something came again; null = nothing did")]
    cause: Annotated[str, Field("", "why")]


class ReplayTrack(msgspec.Struct, frozen=True):
    """What a replay's track shows: it stays the same."""

    marks: Annotated[list[TrackMark], Field("", "by their time")]
    gaps: Annotated[list[TrackGap], Field("", "by their beginning")]


class GetTrack(Operation[ReplayTrack], tag="track"):
    """Return the marks and gaps of the recording that is replayed."""


class ControlStates(msgspec.Struct, frozen=True, kw_only=True):
    """What the controls of a view can do just now: each is null, or the sentence that says why it cannot act."""

    mark: Annotated[str | None, Field("", "`mark`")] = None
    record: Annotated[str | None, Field("", "`record`")] = None
    stop: Annotated[str | None, Field("", "`stop`")] = None
    scale: Annotated[str | None, Field("", "`scale`")] = None
    recordings: Annotated[int, Field("", "how many recordings run")] = 0
    replay: Annotated[ReplayStatus | None, Field("", "where the replay is; null = this is none")] = None


class GetControls(Operation[ControlStates], tag="controls"):
    """Return which controls can act, and where a replay is. Changes nothing."""
