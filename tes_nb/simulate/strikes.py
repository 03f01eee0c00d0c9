"""Does what faults say to connections and messages; tokens and handshakes ask the board themselves."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable

from tes_nb.simulate.chance import chance
from tes_nb.simulate.connection import Connection
from tes_nb.simulate.faults import Board, Fault
from tes_nb.simulate.hub import Hub
from tes_nb.simulate.junk import BUILDERS, junk
from tes_nb.simulate.plan import Plan

log = logging.getLogger("tes_nb.simulate")


class Striker:
    """Puts faults in force and carries out those that act by themselves, each in a task of its own."""

    def __init__(self, hub: Hub, board: Board, seed: int, refresh: Callable[[], None]) -> None:
        self.down = False
        """Whether a flap holds the service down just now."""
        self._hub = hub
        self._board = board
        self._seed = seed
        self._refresh = refresh
        self._rng = chance(seed, "junk")
        self._tasks: set[asyncio.Task[None]] = set()
        self._acts: dict[str, Callable[[Fault], Awaitable[None]]] = {
            **dict.fromkeys(BUILDERS, self._inject),
            **dict.fromkeys(("reset", "close", "refresh"), self._strike),
            **dict.fromkeys(("silence", "blackhole"), self._mute),
            "flap": self._flap,
            "random": self._random,
        }

    def post(self, fault: Fault) -> None:
        """Put a fault in force; one that acts by itself of the same name ends."""
        log.info("simulated fault: %s", fault.fault)
        act = self._acts.get(fault.fault)
        if act is None:
            self._board.post(fault, asyncio.get_running_loop().time())
            if fault.fault == "only_ok":
                self._board.strikes[fault.fault] += 1
            return
        for task in self._tasks:
            if task.get_name() == fault.fault:
                task.cancel()
        task = asyncio.get_running_loop().create_task(_run(act, fault), name=fault.fault)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def clear(self) -> None:
        """End every fault. Muted connections are cut, since they would never speak again."""
        self._board.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def running(self) -> list[str]:
        """Return the names of the faults that are being carried out."""
        return sorted(task.get_name() for task in self._tasks)

    async def _inject(self, fault: Fault) -> None:
        for _ in range(fault.times or 1):
            # Deflating a big bomb takes its time; the feed goes on meanwhile.
            frame = await asyncio.to_thread(junk, fault, self._rng)
            self._board.strikes[fault.fault] += 1
            self._hub.inject(frame)

    async def _strike(self, fault: Fault) -> None:
        for turn in range(fault.times or 1):
            await asyncio.sleep(fault.every if turn else 0)
            self._board.strikes[fault.fault] += 1
            if fault.fault == "refresh":
                self._refresh()
            else:
                await asyncio.gather(*(self._end(fault, one) for one in self._hub.connections(fault.which)))

    async def _end(self, fault: Fault, connection: Connection) -> None:
        if fault.fault == "reset":
            connection.reset(mid_frame=True)
        else:
            await connection.close(fault.code or 1001, "simulated fault")

    async def _mute(self, fault: Fault) -> None:
        """Mute the connections there are; with `seconds` they are cut after that time."""
        struck = self._hub.connections(fault.which)
        self._board.strikes[fault.fault] += 1
        for connection in struck:
            connection.muted = True
            if fault.fault == "blackhole":
                connection.blackhole()
        try:
            await (asyncio.sleep(fault.seconds) if fault.seconds else asyncio.Event().wait())
        finally:
            for connection in struck:
                connection.reset()

    async def _flap(self, fault: Fault) -> None:
        for _ in range(fault.times) if fault.times else itertools.count():
            await asyncio.sleep(fault.up)
            self._board.strikes[fault.fault] += 1
            self.down = True
            try:
                for connection in self._hub.connections():
                    connection.reset()
                await asyncio.sleep(fault.down)
            finally:
                self.down = False

    async def _random(self, fault: Fault) -> None:
        plan, loop, left = Plan(self._seed, fault.every), asyncio.get_running_loop(), fault.times
        while left is None or left > 0:
            await asyncio.sleep(plan.wait())
            now = loop.time()
            chosen = plan.next(self._hub.served_s(now), self._board.refuses(now))
            if chosen is not None:
                self._board.strikes["random"] += 1
                self.post(chosen)
                left = None if left is None else left - 1


async def _run(act: Callable[[Fault], Awaitable[None]], fault: Fault) -> None:
    """Carry a fault out; with `seconds` no longer than that, where these do not mean one strike's length."""
    if fault.seconds is None or fault.fault in {"silence", "blackhole"}:
        await act(fault)
        return
    try:
        async with asyncio.timeout(fault.seconds):
            await act(fault)
    except TimeoutError:
        return
