"""A Dask cluster beside the collector: started, scaled and ended from here; it runs in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable

import msgspec

from tes_nb.collector.logs import logger
from tes_nb.collector.workers.cluster_process import (
    MISSING,
    Begun,
    ClusterOptions,
    Exited,
    Said,
    Scale,
    Scaled,
)
from tes_nb.errors import CollectorError
from tes_nb.net.child import close_pipe, launch

MODULE = "tes_nb.collector.workers.cluster_process"
START_S = 20.0
"""Importing distributed and starting the workers takes two seconds; a machine under load gets twenty."""
SCALE_S = 4.0
CLOSE_S = 2.0

_decoder: msgspec.json.Decoder[Said] = msgspec.json.Decoder(Said)


class NotInstalled(CollectorError):
    """Distributed is not installed; says how to install it."""


class ClusterProcess:
    """One cluster. Everything belongs on the loop of `start`."""

    def __init__(self, on_exit: Callable[[int, int], None]) -> None:
        """on_exit: called with pid and exit code of a worker's process; below 0 = killed by that signal."""
        self._on_exit = on_exit
        self._child: subprocess.Popen[bytes] | None = None
        self._messages: asyncio.Queue[Begun | Scaled | None] = asyncio.Queue()
        self._listening: asyncio.Task[None] | None = None
        self._scaling = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """Its process; `None` = it does not run."""
        return None if self._child is None or self._child.poll() is not None else self._child.pid

    async def start(self, options: ClusterOptions) -> Begun:
        """Start it and return where it is. Raises `CollectorError` with the reason when it cannot."""
        try:
            self._child = launch(MODULE)
        except OSError as error:
            raise CollectorError(
                f"The cluster's process could not be started ({error}); free some processes."
            ) from error
        self._listening = asyncio.create_task(self._listen(), name="cluster")
        try:
            self._tell(options)
            async with asyncio.timeout(START_S):
                begun = await self._messages.get()
        except TimeoutError:
            begun = Begun(
                error=f"The Dask cluster did not start within {START_S:.0f} s; is the machine busy?"
            )
        except BaseException:
            await self.close()
            raise
        if not isinstance(begun, Begun) or begun.error is not None:
            await self.close()
            reason = begun.error if isinstance(begun, Begun) else None
            text = reason or "The cluster's process ended while it started; the collector's log says more."
            raise NotInstalled(text) if text == MISSING else CollectorError(text)
        return begun

    async def scale(self, count: int) -> Scaled:
        """Bring it to so many workers; return how many are being started and ended. Raises `CollectorError`."""
        async with self._scaling:
            if self.pid is None:
                raise CollectorError("The cluster's process has ended; start another with s.cluster(n).")
            self._tell(Scale(count))
            try:
                async with asyncio.timeout(SCALE_S):
                    message = await self._messages.get()
            except TimeoutError:
                message = None
            if not isinstance(message, Scaled):
                raise CollectorError(f"The cluster has not answered within {SCALE_S:.0f} s; try again.")
            return message

    async def close(self) -> None:
        """End it and its workers: by the end of its input, and with force if that takes too long. Idempotent."""
        child, self._child = self._child, None
        if child is None:
            return
        close_pipe(child.stdin)
        try:
            await asyncio.wait_for(asyncio.to_thread(child.wait), CLOSE_S)
        except TimeoutError:
            logger.warning("The cluster did not end by itself; it is killed.")
        finally:
            with contextlib.suppress(OSError):
                os.killpg(child.pid, signal.SIGKILL)  # whoever is left of it, too
            child.wait()
        if self._listening is not None:
            await self._listening

    def _tell(self, message: object) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):  # it has ended: no answer will say so
            self._child.stdin.write(msgspec.json.encode(message) + b"\n")
            self._child.stdin.flush()

    async def _listen(self) -> None:
        """Take in what it says, until it ends."""
        assert self._child is not None
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), self._child.stdout
        )
        try:
            while line := await reader.readline():
                with contextlib.suppress(
                    msgspec.MsgspecError
                ):  # a user's library may print while it is imported
                    message = _decoder.decode(line)
                    if isinstance(message, Exited):
                        self._on_exit(message.pid, message.code)
                    else:
                        self._messages.put_nowait(message)
        finally:
            transport.close()
            self._messages.put_nowait(None)
