"""A session: one collector and the feeds that read it. The only place that wires the rooms together."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

import pandas as pd

from tes_nb.collector.http.pages import page_url
from tes_nb.errors import SessionError, TesError
from tes_nb.model import Stream
from tes_nb.model.control import (
    GetCost,
    KernelReport,
    PutMark,
    SubscribeSource,
)
from tes_nb.model.operation import Operation, R
from tes_nb.model.owner import Owned, Owner
from tes_nb.net.control_client import ControlClient
from tes_nb.net.loop import background
from tes_nb.net.relay_client import RelayReader
from tes_nb.session.backend import Backend, ChildConnection, Secret, steering, uninterrupted
from tes_nb.session.extras import extras_of
from tes_nb.session.feed import Feed
from tes_nb.session.kernel import KernelReporter, gauge_report, gauges_report
from tes_nb.session.origin import LiveOrigin
from tes_nb.session.outputs import SessionOutputs
from tes_nb.session.recordings import CollectorEnded, Recordable
from tes_nb.session.state import relay_trouble, silence
from tes_nb.session.waiting import wait_for_states
from tes_nb.session.worker_actions import WorkerActions
from tes_nb.streams import get
from tes_nb.streams.kernel import KERNEL
from tes_nb.views.html import session_html
from tes_nb.views.source import KernelNotes

if TYPE_CHECKING:
    from tes_nb.session.kernel import CellWatch
    from tes_nb.session.source import FeedT, Source
    from tes_nb.session.watching import Watching
    from tes_nb.views.controls import Steering


class Session(Owned, SessionOutputs, Recordable, WorkerActions):
    """What `tes.start()` and `tes.attach()` give. `s.status`, `s.workers`, `s.metrics` are its feeds.

    Stop it with `s.stop()`, or use it as a context manager; at the end of the interpreter it stops by itself.
    """

    _past = ""
    """What the session shows where that is over, such as a replay; "" = it shows what is."""
    status: Feed
    workers: Feed
    metrics: Feed
    kernel: Feed

    def __init__(
        self, backend: Backend, token: str, sources: Mapping[str, Stream], *, peer: str | None = None
    ) -> None:
        self._backend = backend
        self._owner = Owner()
        self._stopped = False
        """Whether it is stopped, or just being stopped."""
        self._ended = False
        self.on_stop: list[Callable[[], object]] = []
        """Each is called when it is stopped."""
        self._stopping = threading.Lock()
        self._recording_turn = threading.Lock()
        self.peer = peer
        """The attached TES's address; `None` = the session shows this machine."""
        self.feeds: dict[str, Feed] = {}
        """Source name → feed."""
        self._readers: dict[str, RelayReader] = {}
        self._watching: Watching | None = None
        self._observed, self._clients = [], []
        base, own = f"127.0.0.1:{backend.ports[0]}", backend.start_id
        self._control = ControlClient(f"ws://{base}/ws/control", token, start_id=own)
        self._reporter = KernelReporter(self._control)
        self._from_child = ChildConnection(f"ws://{base}/ws/control", token, own).call

        def new_reader(origin: LiveOrigin, after: int) -> RelayReader:
            url, receive, note = f"ws://{base}/ws/relay/{origin.source}", origin.append, origin.note_relay
            return RelayReader(
                url, origin.source, token=token, start_id=own, on_message=receive, on_state=note, after=after
            )

        self._new_reader = new_reader  # keeps the token out of this object's own fields
        self._reveal: Callable[[], Secret] = lambda: Secret(token)
        self._cells: CellWatch | None = None
        self._notes = KernelNotes(lambda: self.feeds[KERNEL].store)
        for source, stream in {**sources, KERNEL: get(KERNEL)}.items():
            self._add_feed(source, stream)
        try:
            background().run(self._open(), timeout=10)
            wait_for_states(tuple(self.feeds.values()))
        except BaseException:
            with contextlib.suppress(TesError):  # nothing is to go on trying in the background
                background().run(self._close(), timeout=3)
            raise

    def _add_feed(self, source: str, stream: Stream, after: int = 0) -> Feed:
        origin = self._new_origin(
            stream,
            source,
            trouble=lambda: self._trouble(reader),
            connected=lambda: reader.state.conn > 0,
            owner=self._owner,
            ended=lambda: reader.is_replaced or not self._backend.alive,
            check=self._raise_pending,
            subscribe=self._subscribe,
            silent_s=self._silent_s,
        )
        reader: RelayReader = self._new_reader(origin, after)
        feed = extras_of(stream).feed(stream, origin)
        if not self._past:
            feed.ask, feed.steers = self._call, self._steering
        feed.url, feed.notes, feed.on_origin = self.url, self._notes, self._reporter.origin
        feed.cell_costs = self.cells
        self._readers[source], self.feeds[source] = reader, feed
        if not hasattr(type(self), source):  # a feed called "stop" is s.feeds["stop"]
            setattr(self, source, feed)
        return feed

    def _new_origin(self, stream: Stream, source: str, **options: Any) -> LiveOrigin:
        return LiveOrigin(stream, source, **options)

    async def _open(self) -> None:
        await self._control.start()
        await self._reporter.start()
        for reader in self._readers.values():
            await reader.start()

    def _trouble(self, reader: RelayReader) -> str | None:
        """What is wrong between this kernel and its collector; `None` = nothing."""
        new = reader.state.conn == 0 and self._backend.alive and not reader.is_replaced  # it is CONNECTING
        if self._stopped or reader.connected or new:
            return None
        return relay_trouble(reader, self._backend.alive)

    def _silent_s(self) -> float | None:
        origins = () if self._past else [feed.origin for feed in self.feeds.values()]
        return silence(origin.beat for origin in origins if isinstance(origin, LiveOrigin))

    async def _subscribe(self, source: str, names: Sequence[str]) -> None:
        call = self._control.call(SubscribeSource(source=source, names=list(names)))
        await asyncio.wrap_future(background().spawn(call, name="subscribe"))

    # External feeds ------------------------------------------------------------------------------------------

    @overload
    def watch(self, what: Source[FeedT], channels: Sequence[str] | None = None, **options: Any) -> FeedT: ...
    @overload
    def watch(
        self, what: str | None = None, channels: Sequence[str] | None = None, **options: Any
    ) -> Any: ...
    def watch(
        self, what: str | Source[Any] | None = None, channels: Sequence[str] | None = None, **options: Any
    ) -> Any:
        """Read an external feed through the collector, from now on; also as an attribute of the feed's name.

        what: a source, such as `tes.SIMULATED`, which takes `speed=50`, `faults=["random:every=3"]` and the other
        options of `tes-nb simulate`; or the name of an external stream; `None` = the first there is. channels: names
        of the stream's own or of the wire; `None` = the usual ones. options of a real endpoint: url, token_url, auth,
        token. The same endpoint again gives the same feed, with the channels of both.
        Raises `ArgumentError` for what makes no sense; a feed that cannot be reached goes on trying.
        """
        self._check_present("watch()")
        if self._watching is None:
            from tes_nb.session.watching import Watching  # noqa: PLC0415 - most sessions watch nothing

            self._watching = Watching(self.feeds, self._call, self._open_feed, self._close_feed)
        self._raise_pending()
        return self._watching.watch(what, channels, options)

    def unwatch(self, feed: Feed) -> None:
        """End a feed of `watch`, and the stand-in behind a simulated one. What came stays in the feed."""
        self._owner.check()
        if self._watching is None:
            raise SessionError("This session watches nothing.")
        self._watching.unwatch(feed)

    def _open_feed(self, source: str, stream: Stream, after: int) -> Feed:
        """Begin to read a source of the collector."""
        feed = self._add_feed(source, stream, after)
        background().run(self._readers[source].start(), timeout=5)
        return feed

    def _close_feed(self, source: str) -> None:
        """Read a source no longer."""
        background().run(self._readers.pop(source).stop(), timeout=5)
        self.feeds.pop(source).close()
        self.__dict__.pop(source, None)

    # What a user reads ---------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The collector's own page, as your browser opens it: behind a hub through jupyter-server-proxy."""
        return page_url(self.ports[0])

    @property
    def token(self) -> Secret:
        """The token that the page asks for; it hides from `repr`, `print(s.token)` shows it."""
        return self._reveal()

    @property
    def ports(self) -> tuple[int, int]:
        """(status port, workers port)."""
        return self._backend.ports

    @property
    def taken_ports(self) -> tuple[int, ...]:
        """The usual ports that another program holds, so that free ones were taken; () = none."""
        return self._backend.busy_ports

    @property
    def collector_pid(self) -> int:
        """The collector's process."""
        return self._backend.pid

    @property
    def measures_cells(self) -> bool:
        """Whether what each executed cell costs is measured: in a notebook, by all but replays."""
        return self._cells is not None

    @property
    def running(self) -> bool:
        """Whether the session's collector runs, and this is its process."""
        return not (self._stopped or self._owner.elsewhere) and self._backend.alive

    def cells(self) -> pd.DataFrame:
        """Return what each executed cell cost: number, start, wall_s, cpu_s, rss_peak, rss_mean and more."""
        self._raise_pending()
        self._reporter.flush()
        return self.kernel.frame("cells").drop(columns=["sent_at", "seq", "conn", "source"])

    def cost(self) -> pd.DataFrame:
        """Return what the kernel and its children cost so far: CPU seconds, GB·h, peak, share of the limit."""
        from tes_nb.session.frames import cost_frame  # noqa: PLC0415

        self._raise_pending()
        return cost_frame(self._call(GetCost()))

    # What a user does ----------------------------------------------------------------------------------------

    def gauge(self, name: str, value: float, unit: str = "") -> None:
        """Put a number of your own on the time line; it shows in `s.kernel.frame("gauges")` and in exports.

        In a forked child it is sent at once, over a connection of the child's own. NaN breaks its line. Raises
        `ArgumentError` for what is no number, and for a name that is empty or endless; `SessionError` after `stop()`,
        `CollectorError` where the collector has ended. While the connection is away for a moment it waits in a queue.
        """
        self._check_present("gauge()")
        self._report(gauge_report(name, value, unit))

    def gauges(self, values: Mapping[str, Any] | None = None, /, **named: Any) -> None:
        """Put several numbers on the time line at one time: `s.gauges(loss=0.3, speed=(120, "rows/s"))`.

        A number, or (number, unit), by its name; names that are no words come in a mapping. See `gauge`.
        """
        self._check_present("gauges()")
        self._report(gauges_report({**(values or {}), **named}))

    def _report(self, report: KernelReport) -> None:
        if self._owner.elsewhere:
            self._from_child(report)
            return
        self._raise_pending()
        self._check_running()
        self._control.check("gauge")
        self._reporter.queue(report)

    def mark(self, label: str) -> None:
        """Mark this moment on every source's time line; in a forked child, too."""
        self._check_present("mark()")
        if self._owner.elsewhere:
            self._from_child(PutMark(label=label))
            return
        self._raise_pending()
        self._call(PutMark(label=label))

    def stop(self) -> None:
        """End readers and collector; frames stay. May be called twice; does nothing in a forked child."""
        if not (self._ended or self._owner.elsewhere):
            self._stopped = True  # an interrupt may come before the thread has its turn, and then tes.start()
            uninterrupted(self.stop_now)

    def await_stop(self) -> None:
        """Return when a stop that goes on is over; at once where none does."""
        if self._stopped:
            self.stop_now()

    def at_exit(self) -> None:
        """End in the caller's own thread, since a dying interpreter allows no new ones; kept recordings go on."""
        self.stop_now(leave=self._keeps)

    def stop_now(self, *, leave: bool = False) -> None:
        """End in the caller's own thread. leave: the collector ends by itself, when no recording is kept any more."""
        if self._owner.elsewhere:
            return  # the lock may have been held in the instant of the fork
        with self._stopping:
            if self._ended:
                return
            self._stopped = True  # first: `start()` must not return a session that ends
            if self._cells is not None:
                self._cells.remove()
            self._release_workers()
            with contextlib.suppress(TesError):
                background().run(self._close(), timeout=3)
            for feed in self.feeds.values():
                feed.close()
            if leave:
                self._backend.leave()
            else:
                self._backend.stop()
            if self._watching is not None:
                self._watching.stop()
            self._ended = True
            atexit.unregister(self.at_exit)
            for callback in self.on_stop:
                callback()

    async def _close(self) -> None:
        await self._reporter.stop()
        for reader in self._readers.values():
            await reader.stop()
        await self._control.stop()

    def _check_running(self) -> None:
        """Raise where the session is stopped, or its collector has ended."""
        self._owner.check()
        if self._stopped:
            raise SessionError("The session is stopped; start another with tes.start().")
        if not (self._backend.alive or self._control.is_replaced):
            raise CollectorEnded

    def _call(self, operation: Operation[R]) -> R:
        self._check_running()
        return background().run(self._control.call(operation), timeout=operation.patience_s + 5)

    def _check_present(self, what: str) -> None:
        """Raise `SessionError` where the session shows what was, and not what is."""
        if self._past:
            raise SessionError(f"This is a {self._past}: {what} needs a live session, tes.start().")

    def _raise_pending(self) -> None:
        self._owner.check()
        if not self._stopped:
            background().raise_pending()

    def report_kernel(self, report: KernelReport) -> None:
        """Hand on what the cell watch says of a cell."""
        if not self._stopped:
            self._reporter.queue(report)

    def _settle(self) -> None:
        """Wait until the collector has what this kernel reported."""
        if not self._stopped:
            self._reporter.flush()

    def watch_cells(self, watch: CellWatch) -> None:
        """Measure each executed cell from now on."""
        self._cells, self._reporter.cell_place = watch, watch.place

    def measure_cell(self, run: Callable[[], Any]) -> int:
        """Run what is to count as all of the running cell; return its number in `cells()`. `run` gives the result."""
        if self._cells is None:
            raise SessionError("This session measures no cells; start one in a notebook with tes.start().")
        return self._cells.measure(run)

    def _is_notebook(self) -> bool:
        return self.peer is None

    def _title_and_page(self) -> tuple[str, str]:
        return ("tes_nb session" if self.peer is None else f"attached to {self.peer}"), self.url

    def _steering(self) -> Steering | None:
        reveal = lambda: str(self._reveal())  # noqa: E731
        return steering(self._call, self._control, self.ports[0], reveal, replay=bool(self._past))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _head(self) -> str:
        """What the session is and how it does, in a line."""
        if self._owner.elsewhere:
            return f"tes_nb session of process {self._owner.pid}: {self._owner.sentence}"
        where = f"ports {self.ports[0]} and {self.ports[1]}"
        if self.peer is not None:
            where = f"attached to {self.peer}, {where}"
        word = "stopped" if self._stopped else "running" if self._backend.alive else "its collector has ended"
        return f"tes_nb session, {word}, {where}"

    def __repr__(self) -> str:
        if self._owner.elsewhere:
            return f"<{self._head()}>"
        return "\n".join([f"<{self._head()}>", *(f"  {feed!r}" for feed in self.feeds.values())])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        del include, exclude
        if self._owner.elsewhere:
            return {"text/plain": repr(self)}
        return {"text/plain": repr(self), "text/html": session_html(self, self._head())}
