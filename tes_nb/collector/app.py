"""The collector: everything of it, wired together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from tes_nb.collector.discovery import RunningCollector, publish
from tes_nb.collector.http.control import Control, control_socket
from tes_nb.collector.http.guard import Access, Guard, json_answer
from tes_nb.collector.http.pages import PageSource, http_half, page_routes
from tes_nb.collector.http.relay import relay_socket
from tes_nb.collector.http.routes import RouteTable
from tes_nb.collector.http.rows import rows_socket
from tes_nb.collector.http.server import Bound, Port, bind_ports
from tes_nb.collector.http.sockets import Sockets, stream_socket
from tes_nb.collector.http.workers import ScaleRoutes, WorkerRoutes
from tes_nb.collector.hub import Hub
from tes_nb.collector.kernel_source import KernelSource
from tes_nb.collector.lifetime import create_time
from tes_nb.collector.logs import logger
from tes_nb.collector.observer import Observer, run_grid
from tes_nb.collector.options import CollectorOptions
from tes_nb.collector.produced import Channel
from tes_nb.collector.recordings import Peaks, Recordings
from tes_nb.collector.stacks import StackReader, StackRoutes
from tes_nb.collector.upstreams import Watches
from tes_nb.errors import CollectorError
from tes_nb.model import SocketFacts, Stream
from tes_nb.model.control import (
    GetCost,
    KernelReport,
    ListRecordings,
    ObserveScheduler,
    PutMark,
    ScaleWorkers,
    StartCluster,
    StartRecording,
    StopRecording,
    SubscribeSource,
    UnwatchSource,
    WatchSource,
)
from tes_nb.model.view_control import ControlStates, GetControls
from tes_nb.model.work_control import GetStack, TakeSnapshot
from tes_nb.net.endpoints import resolve
from tes_nb.streams import all_streams, get
from tes_nb.streams.kernel import KERNEL
from tes_nb.wire.events import Gap

if TYPE_CHECKING:
    from tes_nb.collector.upstreams import UpstreamReader
    from tes_nb.collector.workers.source import Scaler


_WORKERS = "workers"


class Collector:
    """Samples, reads upstreams, serves. `await start()`, then `await stop()`; both on one running loop."""

    def __init__(self, options: CollectorOptions) -> None:
        self.options = options
        self.start_id = secrets.token_hex(8)
        """Distinguishes this start of a collector from all others; no secret."""
        self._tasks: list[asyncio.Task[None]] = []
        """Empty = nothing is pushed yet; given pids are listed before anybody is there."""
        self.hub = Hub(options.limits.relay_bytes)
        self.guard = Guard(
            options.token,
            auth_all=options.auth == "all",
            failures_per_minute=options.limits.auth_failures_per_minute,
        )
        try:
            self.observer = Observer(
                options.observed_pid,
                period_s=options.period_s,
                worker_pids=options.worker_pids,
                on_change=self._changed,
                on_gap=self._gap,
                most_workers=options.limits.max_workers,
            )
        except ValueError as error:
            raise CollectorError(str(error)) from error
        self.sockets = Sockets(self.guard, options.limits, self._changed, self.start_id)
        self.observer.sockets = self._sockets
        self.channels = self._channels() if options.produce else {}
        self.control = Control()
        self.recordings = Recordings(self.hub, self._about, lambda: Peaks(self.observer))
        self.upstreams = self._upstreams()
        self.watches = Watches(self.hub, self.upstreams)
        self.tables = {"status": RouteTable(), "workers": RouteTable()}
        self.discovery_path: Path | None = None
        self.ports = (0, 0)
        self.busy_ports: tuple[int, ...] = ()
        self._servers: list[Port] = []

    # What is seen --------------------------------------------------------------------------------------------

    def _channels(self) -> dict[str, Channel]:
        produced = [(stream, stream.producer) for stream in all_streams()]
        return {
            stream.name: Channel(stream, producer, self.hub, self.observer.observe)
            for stream, producer in produced
            if producer is not None
        }

    def _upstreams(self) -> dict[str, UpstreamReader]:
        if not self.options.upstreams:
            return {}
        from tes_nb.collector.upstreams import UpstreamReader  # noqa: PLC0415 - most collectors read no peer

        return {one.source: UpstreamReader(one, self.hub) for one in self.options.upstreams}

    def _peer_scaler(self) -> Scaler | None:
        """Return what scales the TES that is read; `None` = its workers are not."""
        for one in self.options.upstreams:
            if one.stream == _WORKERS:
                from tes_nb.collector.workers.peer import PeerScaler  # noqa: PLC0415 - most collectors read no peer

                return PeerScaler(resolve(get(_WORKERS), one.url, workers=one.workers_url).ws[0]).scale
        return None

    def _about(self, source: str) -> tuple[str, str | None]:
        """Which stream a source carries, and from where."""
        for upstream in self.options.upstreams:
            if upstream.source == source:
                return upstream.stream, upstream.url
        return self.watches.about(source) or (source, None)

    def _page_sources(self) -> list[PageSource]:
        """What the page shows: our own streams, peers and watched feeds, and what the kernel reports."""
        made = [PageSource(name, channel.stream, is_produced=True) for name, channel in self.channels.items()]
        read = []
        for source, reader in self.upstreams.items():
            address = self._about(source)[1]
            address = address and address.partition("?")[0]
            read.append(PageSource(source, reader.stream, False, address, self.watches.note(source)))
        return [*made, *read, PageSource(KERNEL, get(KERNEL), is_produced=False)]

    def _stream_of(self, source: str) -> Stream | None:
        return next((one.stream for one in self._page_sources() if one.source == source), None)

    def _sockets(self) -> SocketFacts:
        subscribers = {name: len(channel.clients) for name, channel in self.channels.items()}
        return SocketFacts(self.sockets.foreign, subscribers)

    def _changed(self) -> None:
        """Something that a stream may push has changed."""
        if self._tasks:
            for channel in self.channels.values():
                channel.touch()

    def _gap(self, gap: Gap) -> None:
        """The state of a source's workers is, or was, not known: the stream's log has it."""
        self.hub.event(_WORKERS, gap, conn=gap.conn)

    # Life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bind, serve, sample. Raises `CollectorError` when ports that were asked for are taken."""
        options = self.options
        self._check_observed()
        bound = bind_ports(options.status_port, options.workers_port, required=options.ports_required)
        try:
            await self._begin(bound)
        except BaseException:
            await self.stop()
            bound.close()
            raise

    def _check_observed(self) -> None:
        pid = self.options.observed_pid
        if pid is not None and create_time(pid) is None:
            raise CollectorError(
                f"There is no process {pid} to observe: it has ended, or never was. Give the pid of a running one."
            )

    async def _begin(self, bound: Bound) -> None:
        await self._serve(bound)
        await self.observer.start()
        self._tasks = [
            asyncio.create_task(
                run_grid(name, self._period(channel), self._ticker(name)), name=f"grid {name}"
            )
            for name, channel in self.channels.items()
        ]
        self._tasks.append(asyncio.create_task(self.kernel.follow(), name="held kernel"))
        for upstream in self.upstreams.values():
            await upstream.start()
        await self._begin_clusters()
        self.announce(self.ports)

    async def _begin_clusters(self) -> None:
        """Start and observe what the command line asked for."""
        handlers = self.observer.workers.operations()
        if self.options.cluster is not None:
            await handlers[StartCluster](StartCluster(count=self.options.cluster))
        for address in self.options.observe:
            await handlers[ObserveScheduler](ObserveScheduler(address=address))

    async def _serve(self, bound: Bound) -> None:
        self.ports, self.busy_ports = bound.ports, bound.busy_ports
        self.guard.allow_ports(self.ports, hosts=self.options.hosts)
        self.guard.origins.update(self.options.origins)
        self._fill_tables()
        limits = self.options.limits
        for table, sockets in zip(self.tables.values(), (bound.status, bound.workers), strict=True):
            app = table.application(self.guard, self.observer.http, limits.client_message, self._changed)
            server = Port(app, sockets, limits.request_timeout)
            await server.start()
            self._servers.append(server)
        self.observer.workers_port = "answers"

    def _period(self, channel: Channel) -> float:
        """The base stream of the grid follows `period`; slower ones keep their own."""
        default = channel.producer.period_s
        return (
            self.options.period_s if default == self._base_period() else max(default, self.options.period_s)
        )

    def _base_period(self) -> float:
        return min(channel.producer.period_s for channel in self.channels.values())

    def _ticker(self, name: str) -> Callable[[], None]:
        """A grid point of the fastest stream begins with a new sample."""
        channel = self.channels[name]
        if channel.producer.period_s != self._base_period():
            return channel.tick

        def tick() -> None:
            self.observer.tick()
            channel.tick()

        return tick

    def announce(self, ports: tuple[int, int]) -> None:
        """Write the discovery file; the control socket is at the first of the ports."""
        pid = os.getpid()
        options = self.options
        ours = RunningCollector(
            pid, create_time(pid), *ports, options.observed_pid, options.token, self.start_id
        )
        try:
            self.discovery_path = publish(ours)
        except OSError as error:
            logger.warning("No discovery file was written: %s.", error)

    async def stop(self) -> None:
        """Give the ports back, then close connections, readers and workers. May be called twice."""
        self._withdraw()
        await asyncio.gather(self._end_service(), *(upstream.stop() for upstream in self.upstreams.values()))
        await self.recordings.close()

    async def retire(self) -> None:
        """The same, but upstreams are read on, and recorded by the recordings that are kept."""
        self._withdraw()
        await self._end_service()
        await self.recordings.close(but=self.recordings.outliving())

    async def _end_service(self) -> None:
        """Serve and sample nothing any more; the ports are free at once."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for channel in self.channels.values():
            channel.close()
        servers, self._servers = self._servers, []
        self.observer.workers_port = "silent"
        for server in servers:
            server.close_listeners()
        await asyncio.gather(self._close_connections(servers), self.observer.close())

    async def _close_connections(self, servers: list[Port]) -> None:
        await self.sockets.close_all()
        await asyncio.gather(*(server.stop() for server in servers))

    def _withdraw(self) -> None:
        """Remove the discovery file: a collector that is about to end must not be found."""
        if self.discovery_path is not None:
            with contextlib.suppress(OSError):
                self.discovery_path.unlink(missing_ok=True)

    # Routes --------------------------------------------------------------------------------------------------

    def _fill_tables(self) -> None:
        self._stream_routes()
        status, workers = self.tables["status"], self.tables["workers"]
        stacks = StackReader(self.observer.observed_pid, self.options.stack_folder)
        stack_routes = StackRoutes(self.observer, stacks)
        worker_routes = WorkerRoutes(self.observer, self.sockets, stack_routes)
        scaling = self._scaling = ScaleRoutes(self.observer.workers, self._peer_scaler())
        workers.post("/api/workers/scale", scaling.scale, Access.TOKEN)
        workers.get("/api/workers/snapshot/{id}", worker_routes.snapshot, Access.TOKEN)
        workers.get("/workers/status", worker_routes.status, Access.OPEN)
        status.get("/api/dev/tmux/status", self._tmux_status, Access.OPEN)
        kernel = self.kernel = KernelSource(self.hub, self.observer, self.guard, stacks)
        self.control.register(GetStack, stack_routes.stack)
        self.control.register(TakeSnapshot, worker_routes.take)
        self.hub.topic(KERNEL)
        for name in self.channels:
            self.hub.topic(name)
        self.control.register(KernelReport, kernel.report)
        self.control.register(GetCost, kernel.cost)
        self.control.register(PutMark, kernel.mark)
        self.control.register(ScaleWorkers, scaling.scale_operation)
        for operation, handler in self.observer.workers.operations().items():
            self.control.register(operation, handler)
        self.control.register(WatchSource, self.watches.watch)
        self.control.register(UnwatchSource, self.watches.unwatch)
        self.control.register(SubscribeSource, self.watches.subscribe)
        self.control.register(StartRecording, self.recordings.record)
        self.control.register(ListRecordings, self.recordings.recordings)
        self.control.register(StopRecording, self.recordings.stop)
        self.control.register(GetControls, self._controls)
        status.socket("/ws/relay/{source}", relay_socket(self.hub, self.sockets), Access.OPEN)
        status.socket(
            "/ws/control", control_socket(self.control, self.guard, self.sockets), Access.FIRST_MESSAGE
        )
        status.socket(
            "/ws/rows/{source}", rows_socket(self.hub, self.sockets, self._stream_of), Access.STREAM
        )
        notebook = self.options.produce and self.options.observed_pid is not None
        page_routes(
            *(self.tables, self.observer.observe, self.ports, self._page_sources, self._control_states),
            notebook=notebook,
        )
        self.observer.total_routes = len(
            {(route.path, table) for table in self.tables for route in self.tables[table].routes}
        )

    async def _controls(self, operation: GetControls) -> ControlStates:
        del operation
        return self._control_states()

    def _control_states(self) -> ControlStates:
        running = self.recordings.running
        return ControlStates(
            stop=None if running else "Nothing is being recorded.",
            scale=self._scaling.why_not(),
            recordings=running,
        )

    def _stream_routes(self) -> None:
        limits = self.options.limits
        for channel in self.channels.values():
            endpoint = channel.stream.endpoint
            if endpoint.port == "none":
                continue
            handler = stream_socket(channel, self.sockets, limits, self._changed)
            for path in (endpoint.path, *endpoint.aliases):
                self.tables[endpoint.port].socket(path, handler, Access.STREAM)
            for half in channel.producer.http:
                access = Access.OPEN if half.open else Access.TOKEN
                self.tables[half.port].get(half.path, http_half(half, channel), access)

    async def _tmux_status(self, request: web.Request) -> web.Response:
        del request
        return json_answer(self.observer.tmux.status())
