"""Which process of this machine listens at an address: how the pid of a Dask worker is found (decisions/0027)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from urllib.parse import urlsplit

import psutil

from tes_nb.net.endpoints import is_loopback

AGAIN_S = 3.0
"""What was not found is looked for again so often at most: all sockets of the machine are read for it."""


class ListeningProcesses:
    """Remembers what it found."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pids: dict[str, int | None] = {}
        self._looked_at = float("-inf")

    async def pids(self, addresses: Collection[str]) -> Mapping[str, int | None]:
        """Return address → pid; `None` = it is elsewhere, or somebody else's process. Looks in a thread."""
        self._pids = {
            address: pid
            for address, pid in self._pids.items()
            if address in addresses and (pid is None or psutil.pid_exists(pid))
        }
        news = [address for address in addresses if self._pids.get(address) is None]
        if set(news) - set(self._pids) or (news and self._clock() - self._looked_at >= AGAIN_S):
            self._looked_at = self._clock()
            self._pids.update(await asyncio.to_thread(_find, news))
        return self._pids


def _find(addresses: list[str]) -> dict[str, int | None]:
    """Return who listens at these `tcp://host:port` addresses."""
    places = {address: _place(address) for address in addresses}
    here = {one.address for those in psutil.net_if_addrs().values() for one in those}
    wanted = {port for host, port in places.values() if host in here or is_loopback(host)}
    pids: dict[int, int] = {}
    if wanted:
        with contextlib.suppress(psutil.Error, OSError):
            for socket in psutil.net_connections("tcp"):
                if socket.status == psutil.CONN_LISTEN and socket.pid is not None and socket.laddr:
                    pids[socket.laddr[1]] = socket.pid
    return {address: pids.get(port) if port in wanted else None for address, (_, port) in places.items()}


def _place(address: str) -> tuple[str, int]:
    """Split an address; what is none is nowhere."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(address)
        return parts.hostname or "", parts.port or 0
    return "", 0
