"""Starting, attaching, replaying, finding and ending sessions.

What a session needs beside its collector is imported while the collector starts (`_load`): each takes about as
long as the other, and a machine has two cores.
"""

from __future__ import annotations

import atexit
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tes_nb.collector.http.pages import allowed_hosts, public_origins
from tes_nb.collector.lifetime import own_identity
from tes_nb.collector.options import (
    CollectorOptions,
    ReplayOptions,
    Upstream,
    check_platform,
    default_auth,
    default_token,
)
from tes_nb.errors import ArgumentError, SessionError
from tes_nb.net.endpoints import default_ports
from tes_nb.session.backend import Backend, Isolation, start_backend, uninterrupted
from tes_nb.session.kernel import jupyter_origins
from tes_nb.session.marimo_cells import marimo_shell
from tes_nb.session.stacks import prepared_folder
from tes_nb.streams import all_streams, get

if TYPE_CHECKING:
    from tes_nb.model import Stream
    from tes_nb.session.kernel import CellDetail
    from tes_nb.session.replay import Replay
    from tes_nb.session.session import Session

AnySession = TypeVar("AnySession", bound="Session")

_sessions: dict[int, tuple[int, Session]] = globals().get("_sessions", {})
"""Session id → (the pid that made it, session). `%autoreload` runs this line again, and must lose none."""
_turn: threading.Lock = globals().get("_turn") or threading.Lock()
"""Held while a session that other threads would get, too, is started or undone (decisions/0022)."""

DEFAULT_PERIOD = "500ms"
_DEFAULT_PERIOD_S = 0.5


def start(
    *,
    period: str | float = DEFAULT_PERIOD,
    ports: tuple[int, int] | None = None,
    isolation: Isolation = "process",
    worktree: str = "tes-repo",
    pids: Sequence[int] = (),
    origins: Sequence[str] = (),
    cells: CellDetail = "number",
) -> Session:
    """Start a collector beside this kernel, and read its streams. A second call gives the same session.

    So does one in another thread; one that was interrupted leaves nothing, and the next waits until it is undone.

    period: of the metrics stream, "500ms" or seconds. ports: (status, workers), refused if taken; `None` = 3002
    and 3003 (or the environment's) if they are free, else free ones. pids: processes to show as workers beside
    the kernel's children. origins: web origins that may open the streams. cells: "first_line" keeps the first
    line of each executed cell, too. Raises `CollectorError` when the collector cannot start.
    """
    status_port, workers_port = ports or default_ports(worktree, os.environ)
    options = _options(
        status_port=status_port,
        workers_port=workers_port,
        ports_required=ports is not None,
        period_s=_seconds(period),
        worker_pids=tuple(pids),
        origins=tuple(origins),
    )

    def connect(backend: Backend) -> Session:
        return _session(backend, options, {name: get(name) for name in _produced()})

    made: list[Session] = []
    shell = _shell()

    def begin() -> Session:
        for session in _own():
            if session.running and session.peer is None:
                return session
            session.await_stop()  # its ports, too, are free then
        made.append(_begin(options, isolation, connect, cells=cells, shell=shell))
        return made[0]

    session = uninterrupted(begin, undo=lambda late: _discard(late) if made else None, turn=_turn)
    if made and session.taken_ports:
        print(_ports_sentence(session))  # noqa: T201 - said once, in the cell that asked
    if made and getattr(shell, "kernel", None) is not None:
        from tes_nb.session.status_item import StatusItem  # noqa: PLC0415 - only in a notebook

        session.on_stop.append(StatusItem(session).close)
    return session


def attach(
    url: str = "localhost",
    *,
    workers: str | None = None,
    worktree: str = "tes-repo",
    streams: Sequence[str] | None = None,
    name: str | None = None,
    isolation: Isolation = "process",
    cells: CellDetail = "number",
) -> Session:
    """Read a TES that runs already, of any make, through a collector of our own.

    url: any form: "localhost", "localhost:3004", "http://host:3002", or a stream's own ws:// address. workers:
    the same for the workers port; `None` = the port after the status port. worktree: moves the default ports.
    streams: which ones; `None` = all that TES has. name: a prefix for the sources, to tell several peers apart.
    """
    if not isinstance(url, str):
        raise ArgumentError(f"attach() takes an address such as 'localhost:3002', not {url!r:.80}.")
    base, upstreams = peer_upstreams(url, workers, worktree=worktree, streams=streams, name=name)
    options = _options(status_port=0, workers_port=0, produce=False, upstreams=upstreams)
    sources = {upstream.source: get(upstream.stream) for upstream in upstreams}

    def connect(backend: Backend) -> Session:
        return _session(backend, options, sources, peer=base)

    shell = _shell()
    return uninterrupted(lambda: _begin(options, isolation, connect, cells=cells, shell=shell), undo=_discard)


def peer_upstreams(
    url: str,
    workers: str | None,
    *,
    worktree: str = "tes-repo",
    streams: Sequence[str] | None = None,
    name: str | None = None,
) -> tuple[str, tuple[Upstream, ...]]:
    """Return the address of a TES with its port, and what is read there; as in `attach`."""
    status_port, workers_port = default_ports(worktree, os.environ)
    base = url
    if not _names_port(url):  # a host alone: the usual ports of a TES, or those of its environment variables
        host = url.rstrip("/")
        base, workers = f"{host}:{status_port}", workers or f"{host}:{workers_port}"
    names = _produced() if streams is None else list(streams)
    prefix = "" if name is None else f"{name}."
    return base, tuple(Upstream(f"{prefix}{one}", one, base, workers) for one in names)


def replay(
    path: str | Path,
    *,
    speed: float | str = 1.0,
    loop: bool = False,
    ports: tuple[int, int] | None = None,
    paused: bool = False,
) -> Replay:
    """Serve a recording as if it were live, with its own times; return the session that reads it.

    path: as for `tes.open`, a HAR file too. speed: recorded seconds a second, "max" = as fast as it goes. loop:
    begin again at the end; the time line goes on. ports: (status, workers), refused if taken; `None` = any free
    ones. paused=True waits for `resume()`. Raises `SessionError` for what is no session, `CollectorError` when
    the collector cannot start.
    """
    from tes_nb.session.open import open_session  # noqa: PLC0415 - only when somebody replays
    from tes_nb.session.replay import Replay, speed_of  # noqa: PLC0415

    rate = speed_of(speed)
    recording = open_session(path)
    status_port, workers_port = ports or (0, 0)
    options = _options(
        status_port=status_port,
        workers_port=workers_port,
        ports_required=ports is not None,
        produce=False,
        replay=ReplayOptions(str(recording.path.absolute()), rate, loop, playing=False),
    )

    def connect(backend: Backend) -> Replay:
        return Replay(backend, options.token, recording, speed=rate)

    try:
        session = uninterrupted(lambda: _begin(options, "process", connect), undo=_discard)
    except BaseException:
        recording.close()
        raise
    if not paused:
        session.resume()
    return session


def sessions() -> list[Session]:
    """Return the sessions of this process that run."""
    return [session for session in _own() if session.running]


def stop() -> None:
    """Stop every session of this process."""
    for session in sessions():
        session.stop()


def _session(
    backend: Backend, options: CollectorOptions, sources: Mapping[str, Stream], *, peer: str | None = None
) -> Session:
    from tes_nb.session.session import Session  # noqa: PLC0415 - `_load` has imported it

    return Session(backend, options.token, sources, peer=peer)


def _begin(
    options: CollectorOptions,
    isolation: Isolation,
    connect: Callable[[Backend], AnySession],
    *,
    cells: CellDetail = "number",
    shell: Any = None,
) -> AnySession:
    """Start the collector and connect, wholly or not at all. shell: `None` = what cells cost is not measured."""
    backend = start_backend(options, isolation, meanwhile=_load)
    try:
        session = connect(backend)
    except BaseException:
        backend.stop()
        raise
    if shell is not None:
        from tes_nb.session.kernel import CellWatch  # noqa: PLC0415 - only in a notebook

        session.watch_cells(CellWatch(shell, session.report_kernel, cells))
    _sessions[id(session)] = (os.getpid(), session)
    session.on_stop.append(lambda: _sessions.pop(id(session), None))
    atexit.register(session.at_exit)
    return session


def _discard(session: Session) -> None:
    """Undo a start that was interrupted."""
    _sessions.pop(
        id(session), None
    )  # first: ending it takes a while, and `start()` must not return it meanwhile
    session.stop_now()


def _own() -> list[Session]:
    """The sessions of this process that are not stopped, or just being stopped."""
    return [session for pid, session in tuple(_sessions.values()) if pid == os.getpid()]


def _renew_turn() -> None:
    """Take a lock of its own in a forked child: a thread that the child does not have may hold the parent's."""
    global _turn  # noqa: PLW0603 - the one per process, by design
    _turn = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_turn)


def _load() -> None:
    """Import what a session needs, so that it is there when the collector is."""
    import pandas as pd  # noqa: F401, PLC0415
    import websockets.asyncio.client  # noqa: F401, PLC0415

    import tes_nb.session.session  # noqa: F401, PLC0415

    all_streams()


def _produced() -> list[str]:
    """The streams that a collector makes itself."""
    return [stream.name for stream in all_streams() if stream.producer is not None]


def _shell() -> Any:
    """The running IPython, or the calling thread's marimo; `None` outside of both. Looks only, and loads neither."""
    module = sys.modules.get("IPython")
    shell = None if module is None else module.get_ipython()
    return marimo_shell() if shell is None else shell


def _options(**chosen: Any) -> CollectorOptions:
    check_platform()
    pid, created = own_identity()
    origins = (*chosen.pop("origins", ()), *public_origins(), *jupyter_origins())
    return CollectorOptions(
        token=default_token(),
        observed_pid=pid,
        parent_pid=pid,
        parent_created=created,
        hosts=allowed_hosts(),
        auth=default_auth(),
        origins=origins,
        stack_folder=prepared_folder(),
        **chosen,
    )


def _seconds(period: str | float) -> float:
    """Read a period. The usual one needs no pandas, which would keep the collector waiting."""
    try:
        seconds = _DEFAULT_PERIOD_S if period == DEFAULT_PERIOD else _read_seconds(period)
    except ValueError as error:
        raise SessionError(f"period must be a time like '500ms' or seconds, not {period!r}.") from error
    if not 0.05 <= seconds <= 60:
        raise SessionError(f"period must be between 50 ms and 60 s, not {seconds:g} s.")
    return seconds


def _read_seconds(period: str | float) -> float:
    if not isinstance(period, str):
        return float(period)
    import pandas as pd  # noqa: PLC0415

    return float(pd.Timedelta(period).total_seconds())


def _names_port(url: str) -> bool:
    """Whether the address says which port, or is a whole URL with a path."""
    return bool(re.search(r":\d+(/|$)", url)) or bool(re.match(r"^\w+://[^/]+/.", url))


def _ports_sentence(session: Session) -> str:
    names = " and ".join(str(port) for port in session.taken_ports)
    ports = f"Port {names} is" if len(session.taken_ports) == 1 else f"Ports {names} are"
    status, workers = session.ports
    return (
        f"{ports} in use by another program, so this session listens on {status} and {workers}. "
        f'If that is a TES, tes.attach("localhost:{session.taken_ports[0]}") reads it.'
    )
