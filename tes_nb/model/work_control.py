"""The operations of `/ws/control` that are about the user's own work: pools, stacks. See `tes_nb/model/control.py`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from tes_nb.model.operation import Operation
from tes_nb.model.table import Field

Words = Annotated[str, Meta(min_length=1, max_length=200)]


class SeenPool(msgspec.Struct, frozen=True):
    """A pool that is listed."""

    id: Annotated[str, Field("", "its id among the workers")]


class ObservePool(Operation[SeenPool], tag="pool"):
    """List an executor, and which job each of its workers runs."""

    folder: Annotated[
        Annotated[str, Meta(min_length=1, max_length=4096, title="a folder of the kernel's")],
        Field("", "where the executor's processes say what they do"),
    ]
    name: Annotated[Words, Field("", "what people call it")]
    kind: Annotated[Literal["process", "thread"], Field("", "what its workers are")] = "process"


class StackFrame(msgspec.Struct, frozen=True):
    """A call that has not returned. No values."""

    function: Annotated[str, Field("", "the function's name")]
    file: Annotated[str, Field("", "where it is written; a notebook's cell as `cell 7`")]
    line: Annotated[int, Field("", "the line that runs")]
    mine: Annotated[bool, Field("", "whether it is the user's own, and not a library's")]


class ThreadStack(msgspec.Struct, frozen=True):
    """What one thread does, the innermost call first."""

    name: Annotated[str, Field("", "main, or the thread's number")]
    frames: Annotated[list[StackFrame], Field("", "its calls")]


class ProcessStack(msgspec.Struct, frozen=True):
    """What a process does at one instant."""

    pid: Annotated[int, Field("", "the process")]
    door: Annotated[str, Field("", "how it was looked at: faulthandler or py-spy")]
    took_ms: Annotated[float, Field("ms", "how long that took")]
    threads: Annotated[list[ThreadStack], Field("", "its threads, the main one first")]
    place: Annotated[str | None, Field("", "where the main thread is, in words")] = None


class WorkerSnapshot(msgspec.Struct, frozen=True):
    """What can be known of a worker from outside."""

    version: Annotated[int, Field("", "of this form")]
    taken_at: Annotated[str, Field("", "when, in UTC")]
    units: Annotated[dict[str, str], Field("", "of memory and of times")]
    worker: Annotated[dict[str, Any], Field("", "its row, memory in bytes")]
    process: Annotated[
        dict[str, Any] | None, Field("", "the system's figures; null = no process of this machine")
    ]
    stack: Annotated[ProcessStack | None, Field("", "what it does; null = it could not be read")] = None
    holds: Annotated[
        dict[str, Any] | None,
        Field("", "objects by type, allocations by site in bytes; null = nobody there can say"),
    ] = None
    partial: Annotated[bool, Field("", "whether it ended before all was counted or read")] = False
    unread: Annotated[dict[str, str] | None, Field("", "what could not be read, and why; null = nothing")] = (
        None
    )


class TakeSnapshot(Operation[WorkerSnapshot], tag="snapshot"):
    """Return what can be known of one worker, once in 10 s: row, system's figures, stack, what it holds."""

    patience_s: ClassVar[float] = 8.0

    worker: Annotated[Words, Field("", "a worker's id")]


class GetStack(Operation[ProcessStack], tag="stack"):
    """Return what a Python process does now, also while it is stuck."""

    patience_s: ClassVar[float] = 8.0  # py-spy may take 5 s

    worker: Annotated[Words | None, Field("", "a worker's id; the observed process when left out")] = None
