"""The operations of `/ws/control`, described once: each is a struct, and so is its result.

Kernel, collector, replay and page speak this. One operation more is one struct here and one handler, registered with
`control.register(PutMark, …)`: the client's types, the refusals and docs/control.md follow from the struct.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from tes_nb.model.operation import Operation
from tes_nb.model.table import Field, Int
from tes_nb.model.view_control import GetControls, GetTrack, SteerReplay  # noqa: F401 - `operations` lists them
from tes_nb.model.work_control import GetStack, ObservePool, TakeSnapshot  # noqa: F401 - `operations` lists them

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Address = Annotated[str, Meta(max_length=4096)]
PathText = Annotated[str, Meta(max_length=4096, title="an absolute path")]

# What the kernel reports ------------------------------------------------------------------------------------


NonFinite = Literal["Infinity", "-Infinity", "NaN"]
"""What no JSON number can be, as words that JavaScript and `float()` read. NaN may be null as well."""


class Gauge(msgspec.Struct, tag="gauge"):
    """A number of the user's own, on the same time line as everything else."""

    name: Annotated[str, Field("", "the gauge's name", "label", "category")]
    value: Annotated[float | NonFinite | None, Field("", "its value, in `unit`")] = None
    unit: Annotated[str, Field("", "its unit, as the user wrote it", "label", "category")] = ""
    timestamp: Int | None = None


class Gauges(msgspec.Struct, tag="gauges"):
    """Numbers that were set together: one message, so that they share its time."""

    gauges: list[Gauge]
    timestamp: Int | None = None


class Cell(msgspec.Struct, tag="cell"):
    """What one executed cell cost."""

    number: Annotated[Int, Field("", "execution count", "label", head="cell")]
    start: Annotated[Int, Field("", "when the cell began", "time", "datetime64[ns, UTC]", head="started")]
    wall_s: Annotated[float, Field("s", "wall time")]
    cpu_s: Annotated[float, Field("s", "CPU time of the kernel's process, all threads", head="CPU")]
    rss_peak: Annotated[
        Int | None, Field("bytes", "peak resident memory (RSS) of the kernel", head="memory peak, kernel")
    ] = None
    rss_mean: Annotated[float | None, Field("bytes", "mean resident memory (RSS) of the kernel")] = None
    children_rss_peak: Annotated[
        Int | None,
        Field("bytes", "peak of the sum of its descendants' RSS; a page that forks share counts in each"),
    ] = None
    peak_source: Annotated[
        str | None, Field("", "VmHWM (exact, reset per cell) or sampled", "label", "category")
    ] = None
    outcome: Annotated[str | None, Field("", "ok, error or interrupted", "label", "category")] = None
    first_line: Annotated[str | None, Field("", "the cell's first line; only if asked for", "text")] = None
    children_cpu_s: Annotated[
        float | None,
        Field("s", "CPU time of the kernel's descendants, ended ones included", head="CPU, children"),
    ] = None
    children_peak: Annotated[
        Int | None,
        Field(
            "bytes",
            "peak memory of its descendants together, shared pages counted once (PSS)",
            head="memory peak, children",
        ),
    ] = None
    total_peak: Annotated[
        Int | None,
        Field(
            "bytes", "peak memory of kernel and descendants together, shared pages once", head="memory peak"
        ),
    ] = None
    place: Annotated[
        str | None,
        Field("", "where in the user's code it was last seen; NA = it was over within a second", "text"),
    ] = None


class KernelActivity(msgspec.Struct, tag="activity"):
    """What the kernel does from now on."""

    cell: Annotated[Int | None, Field("", "the cell that runs, by its execution count; NA = none", "label")]
    since: Annotated[Int, Field("", "since when", "time", "datetime64[ns, UTC]")]
    place: Annotated[
        str | None,
        Field(
            "", "where it is in the user's code, such as inner, cell 7 line 11; NA = not looked yet", "text"
        ),
    ] = None


class ProcessExit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a child of the kernel ended. A process that is not its parent cannot learn that."""

    pid: Annotated[Int, Field("", "the process")]
    code: Annotated[Int, Field("", "its exit code; below 0 = the signal that ended it")]


class RecordNumber(msgspec.Struct, frozen=True):
    """Where a row was stamped."""

    seq: Annotated[int, Field("", "the row's number in the source `kernel`")]


class KernelReport(Operation[RecordNumber | None], tag="kernel"):
    """Say what the kernel alone knows. Each field is a report of its own; only `between` belongs to `row`."""

    heartbeat: Annotated[
        int | None, Field("ns", "the kernel runs: its monotonic clock, every 250 ms; silence = it was held")
    ] = None
    starved: Annotated[
        int | None,
        Field(
            "ns",
            "beside a heartbeat: how long the kernel's threads have been ready in all, and had no processor",
        ),
    ] = None
    exit: Annotated[ProcessExit | None, Field("", "a child process has ended")] = None
    origin: Annotated[
        Annotated[
            str,
            Meta(
                pattern=r"^https?://(?:[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?\Z",
                title="a web origin such as http://localhost:8888",
            ),
        ]
        | None,
        Field("", "a page that shows the kernel's views; it may talk to the collector"),
    ] = None
    row: Annotated[
        Gauge | Gauges | Cell | KernelActivity | None,
        Field("", "a row of the stream [kernel](KERNEL-REPORTS.md), or some gauges"),
    ] = None
    between: Annotated[
        tuple[int, int] | None,
        Field("ns", "two instants of the monotonic clock; what was sampled between them is added to the row"),
    ] = None

    @property
    def is_heartbeat(self) -> bool:
        """Whether it says nothing but that the kernel runs now."""
        return self == KernelReport(heartbeat=self.heartbeat, starved=self.starved)


# What a session asks for ------------------------------------------------------------------------------------


class Cost(msgspec.Struct, frozen=True):
    """What was used since the collector began to sample. Shared pages count once; GB are 10⁹ bytes."""

    wall_s: Annotated[float, Field("s", "wall time")]
    cpu_s: Annotated[float, Field("s", "CPU time of the kernel")]
    children_cpu_s: Annotated[float, Field("s", "CPU time of its descendants, ended ones included")]
    gb_h: Annotated[float, Field("GB·h", "memory times time: the kernel's RSS")]
    children_gb_h: Annotated[float, Field("GB·h", "memory times time, of its descendants")]
    total_gb_h: Annotated[float, Field("GB·h", "memory times time, of all together")]
    peak: Annotated[int, Field("bytes", "the kernel's greatest RSS")]
    children_peak: Annotated[int, Field("bytes", "the greatest memory of its descendants together")]
    total_peak: Annotated[int, Field("bytes", "the greatest memory of all together")]
    memory_limit: Annotated[int, Field("bytes", "what the machine or the container allows")]
    peak_share: Annotated[float, Field("ratio", "`total_peak` in parts of the memory limit")]
    cores_limit: Annotated[float, Field("cores", "what the machine or the container allows")]
    cpu_share: Annotated[
        float, Field("ratio", "all CPU seconds in parts of what the limit would have allowed")
    ]


class GetCost(Operation[Cost], tag="cost"):
    """Return what the kernel and its children have used so far."""


class MarkTime(msgspec.Struct, frozen=True):
    """When a mark was put."""

    at_ns: Annotated[int, Field("ns", "Unix time of the mark")]


class PutMark(Operation[MarkTime], tag="mark"):
    """Put a mark into every source, now."""

    label: Annotated[Name, Field("", "what happened")]


class ScaleResult(msgspec.Struct, frozen=True):
    """What scaling changes; the workers stream shows how far it is."""

    created: Annotated[int, Field("", "workers that are being started")]
    terminated: Annotated[int, Field("", "workers that are being ended")]


class ScaleWorkers(Operation[ScaleResult], tag="scale"):
    """Bring the Dask cluster to so many workers."""

    count: Annotated[Annotated[int, Meta(ge=0)], Field("", "workers; the collector has an upper limit")]


# Dask schedulers ------------------------------------------------------------------------------------------


class SeenScheduler(msgspec.Struct, frozen=True):
    """A Dask scheduler under observation."""

    id: Annotated[str, Field("", "its id among the workers, for `unobserve_dask`")]
    name: Annotated[str, Field("", "what it is called")]
    address: Annotated[str, Field("", "where it is asked")]
    workers: Annotated[int, Field("", "workers that it has now")]
    trouble: Annotated[str | None, Field("", "why it does not answer; null = it does")]


class ObserveScheduler(Operation[SeenScheduler], tag="observe_dask"):
    """List a Dask scheduler and its workers. It is only read, and nothing is left behind there."""

    address: Annotated[Address, Field("", "its dashboard's http:// address, or its own tcp:// one")]
    http: Annotated[Address, Field("", "the dashboard's address beside a tcp:// one, if it is known")] = ""
    name: Annotated[
        Annotated[str, Meta(max_length=200)], Field("", "what to call it; its address when left out")
    ] = ""
    tasks: Annotated[bool, Field("", "ask its workers every second which task each runs")] = False
    scales: Annotated[bool, Field("", "whether the one who asks will scale it, see `await_scale`")] = False


class UnobserveScheduler(Operation[None], tag="unobserve_dask"):
    """List a scheduler and its workers no longer."""

    id: Annotated[Name, Field("", "what `observe_dask` answered")]


class StartCluster(Operation[SeenScheduler], tag="cluster"):
    """Start a Dask cluster beside the collector, or bring the one there is to that size."""

    count: Annotated[Annotated[int, Meta(ge=0)], Field("", "workers; the collector has an upper limit")]
    path: Annotated[
        tuple[Address, ...], Field("", "where workers find modules, beside the usual places")
    ] = ()


class WantedScale(msgspec.Struct, frozen=True):
    """What somebody wants of a cluster that the kernel holds."""

    count: Annotated[int | None, Field("", "workers; null = nobody wants anything, ask again")]


class AwaitScale(Operation[WantedScale], tag="await_scale"):
    """Wait until somebody wants another number of workers of a cluster that the one who asks can scale."""

    id: Annotated[Name, Field("", "what `observe_dask` answered")]


class AnswerScale(Operation[None], tag="answer_scale"):
    """Say what became of a scale that was wanted."""

    id: Annotated[Name, Field("", "what `observe_dask` answered")]
    created: Annotated[int, Field("", "workers that are being started")] = 0
    terminated: Annotated[int, Field("", "workers that are being ended")] = 0
    refusal: Annotated[
        Annotated[str, Meta(max_length=1000)] | None, Field("", "the sentence that says why not")
    ] = None


# External feeds ---------------------------------------------------------------------------------------------


class WatchResult(msgspec.Struct, frozen=True):
    """A watch that has begun."""

    watch: Annotated[int, Field("", "the watch's number, for `unwatch`")]
    source: Annotated[str, Field("", "the source under which the feed is relayed")]
    after: Annotated[int, Field("", "the source's last record before anybody watched this endpoint")]
    channels: Annotated[list[str], Field("", "what the peer is asked for now")]


class WatchSource(Operation[WatchResult], tag="watch"):
    """Read an external feed. Watches of one endpoint share one connection."""

    stream: Annotated[Name, Field("", "which stream is spoken there, for example nowgoal")]
    source: Annotated[Name | None, Field("", "the source's name; the stream's when left out")] = None
    url: Annotated[Address | None, Field("", "the WebSocket's address; the stream's own when left out")] = (
        None
    )
    token_url: Annotated[
        Address | None, Field("", "where tokens come from, if not from where the stream says")
    ] = None
    auth: Annotated[Literal["header", "query"] | None, Field("", "how a token is presented")] = None
    token: Annotated[Address | None, Field("", "a token that the user has; else one is fetched")] = None
    channels: Annotated[list[Name] | None, Field("", "what is asked for; the usual when left out")] = None
    note: Annotated[Name | None, Field("", "what must be said beside the data")] = None

    def __repr__(self) -> str:
        """Without the token."""
        return f"<watch of {self.stream}>"


class UnwatchResult(msgspec.Struct, frozen=True):
    """What is left of an endpoint's watches."""

    ended: Annotated[bool, Field("", "whether the connection was closed: it was the endpoint's last watch")]
    channels: Annotated[list[str], Field("", "what the peer is asked for now")]


class UnwatchSource(Operation[UnwatchResult], tag="unwatch"):
    """End a watch; the last one of an endpoint ends its connection."""

    watch: Annotated[int, Field("", "the number that `watch` answered")]


class SubscribeResult(msgspec.Struct, frozen=True):
    """What is asked of a peer now."""

    channels: Annotated[list[str], Field("", "what the peer is asked for now")]


class SubscribeSource(Operation[SubscribeResult], tag="subscribe"):
    """Ask a source's peer for exactly these names, whoever asked for others before."""

    source: Annotated[Name, Field("", "a source that is read from a peer")]
    names: Annotated[list[Name], Field("", "channels or topics")]


# Recordings -------------------------------------------------------------------------------------------------


class RecordingFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How far a recording is."""

    path: Annotated[str, Field("", "the session file")]
    state: Annotated[str, Field("", "RECORDING, DISK FULL, READ-ONLY, FILE REMOVED, WRITE ERROR or STOPPED")]
    text: Annotated[str, Field("", "the sentence that belongs to the state")]
    messages: Annotated[int, Field("", "messages that are safely in the file")]
    waiting: Annotated[int, Field("", "messages that wait to be written")]
    lost: Annotated[int, Field("", "messages that could not be kept")]
    bytes: Annotated[int, Field("bytes", "the file's size")]
    committed: Annotated[
        dict[str, int], Field("", "source → the number of its newest message that is safely in the file")
    ]


class RecordingStatus(RecordingFigures, frozen=True, kw_only=True):
    """A recording that runs."""

    keep: Annotated[bool, Field("", "whether it goes on when its kernel ends")]


class RecordingEnd(RecordingFigures, frozen=True, kw_only=True):
    """A recording that has ended."""

    ended: Annotated[str, Field("", "the sentence that says how")]


DISK_S = 8.0
"""So long a disk has to answer. Whoever waits for whoever waits for the disk waits longer (decisions/0021)."""


class StartRecording(Operation[RecordingStatus], tag="record"):
    """Record every message, raw."""

    patience_s: ClassVar[float] = DISK_S + 4.0
    path: Annotated[PathText | None, Field("", "a new file; one in the session folder when left out")] = None
    sources: Annotated[list[Name] | None, Field("", "which sources; all, also later ones, when left out")] = (
        None
    )
    size_limit: Annotated[
        Annotated[int, Meta(gt=0, title="a number of bytes")] | None,
        Field("bytes", "how large the file may become; most of what is free when left out"),
    ] = None
    keep: Annotated[bool, Field("", "go on when the kernel ends, with what is read from peers")] = False
    overwrite: Annotated[bool, Field("", "replace a session file of that name")] = False


class ListRecordings(Operation[list[RecordingStatus]], tag="recordings"):
    """Return every recording of this collector that runs."""


class StopRecording(Operation[RecordingEnd], tag="stop"):
    """End a recording; what waits is written first."""

    patience_s: ClassVar[float] = DISK_S + 4.0
    path: Annotated[PathText | None, Field("", "which; the only one that runs when left out")] = None


def operations() -> dict[str, type[Operation[Any]]]:
    """Return the operations that tes_nb has, by their names on the wire."""
    here = [one for one in globals().values() if isinstance(one, type) and issubclass(one, Operation)]
    return {one.op(): one for one in here if one is not Operation}
