"""Does what faults say to connections and messages; tokens and handshakes ask `ActiveFaults` themselves."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import logging
import zlib
from collections.abc import Awaitable, Callable
from random import Random

from tes_nb.simulate.connections import Connection, Connections
from tes_nb.simulate.encoding import Frame, deflate, document
from tes_nb.simulate.faults import ActiveFaults, Fault, Plan
from tes_nb.simulate.world import chance

SAMPLE = document("change_xml", ["9000000^-10^0^0^^^0^0^0^0^2020-01-09 06:15:00"], None)
"""A match that the match day does not have, cancelled: decoding it by mistake mixes up no other match."""
DEFAULT_BOMB = 64 << 20
MEMBERS = 1000
DEPTH = 100_000
ENTITIES = 6


def malformed_frame(fault: Fault, rng: Random) -> Frame:
    """Return the message that a fault of the place "message" injects."""
    return BUILDERS[fault.fault](fault, rng)


def bomb(size: int, form: str) -> bytes:
    """Return `size` bytes of spaces deflated, without ever holding them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, {"zlib": 15, "gzip": 31, "raw": -15}[form])
    block = b" " * (1 << 20)
    parts = [packer.compress(block) for _ in range(size >> 20)]
    return b"".join([*parts, packer.compress(block[: size & 0xFFFFF]), packer.flush()])


def members(data: bytes) -> bytes:
    """Return `data` as up to 1,000 gzip members, one after the other."""
    step = max(1, -(-len(data) // MEMBERS))
    parts = [gzip.compress(data[at : at + step], mtime=0) for at in range(0, len(data), step)]
    parts += [gzip.compress(b"", mtime=0)] * (MEMBERS - len(parts))
    return b"".join(parts)


def _bytes(payload: bytes) -> Frame:
    return Frame(text=False, payload=payload)


def _half(fault: Fault, rng: Random) -> Frame:
    whole = deflate(SAMPLE.encode(), fault.form)
    return _bytes(whole[: rng.randrange(4, len(whole) - 9)])


def _bomb(fault: Fault, _: Random) -> Frame:
    return _bytes(bomb(fault.size or DEFAULT_BOMB, fault.form))


def _twice(fault: Fault, _: Random) -> Frame:
    return _bytes(deflate(deflate(SAMPLE.encode(), fault.form), fault.form))


def _trailing(fault: Fault, rng: Random) -> Frame:
    return _bytes(deflate(SAMPLE.encode(), fault.form) + rng.randbytes(7))


def _bad_crc(_: Fault, __: Random) -> Frame:
    packed = bytearray(deflate(SAMPLE.encode(), "gzip"))
    packed[-5] ^= 0xFF
    return _bytes(bytes(packed))


def _dictionary(_: Fault, __: Random) -> Frame:
    packer = zlib.compressobj(zdict=b"simulated")
    return _bytes(packer.compress(SAMPLE.encode()) + packer.flush())


def _entity(_: Fault, __: Random) -> Frame:
    first = '<!ENTITY e0 "simulated">'
    nested = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(ENTITIES))
    xml = f'<?xml version="1.0"?><!DOCTYPE c [{first}{nested}]><c refresh="0"><h>&e{ENTITIES};</h></c>'
    return _bytes(deflate(xml.encode(), "zlib"))


def _deep(_: Fault, __: Random) -> Frame:
    return Frame(text=True, payload=b"[" * DEPTH + b"]" * DEPTH)


def _not_utf8(fault: Fault, _: Random) -> Frame:
    return _bytes(deflate(b'<c refresh="0"><h>\xff\xfe</h></c>', fault.form))


def _random(fault: Fault, rng: Random) -> Frame:
    # 0xff begins neither a deflated nor a readable message: what is drawn never decodes by chance.
    return _bytes(b"\xff" + rng.randbytes((fault.size or 200) - 1))


BUILDERS: dict[str, Callable[[Fault, Random], Frame]] = {
    "half_frame": _half,
    "bomb": _bomb,
    "twice_deflated": _twice,
    "trailing_junk": _trailing,
    "bad_crc": _bad_crc,
    "preset_dictionary": _dictionary,
    "xml_entity": _entity,
    "json_deep": _deep,
    "not_utf8": _not_utf8,
    "random_bytes": _random,
}


log = logging.getLogger("tes_nb.simulate")


class FaultRunner:
    """Puts faults in force and carries out those that act by themselves, each in a task of its own."""

    def __init__(
        self, connections: Connections, faults: ActiveFaults, seed: int, refresh: Callable[[], None]
    ) -> None:
        self.down = False
        """Whether a flap holds the service down just now."""
        self._connections = connections
        self._faults = faults
        self._seed = seed
        self._refresh = refresh
        self._rng = chance(seed, "junk")
        self._tasks: set[asyncio.Task[None]] = set()
        self._acts: dict[str, Callable[[Fault], Awaitable[None]]] = {
            **dict.fromkeys(BUILDERS, self._inject),
            **dict.fromkeys(("reset", "close", "refresh"), self._repeat),
            **dict.fromkeys(("silence", "blackhole"), self._mute),
            "flap": self._flap,
            "random": self._random,
        }

    def post(self, fault: Fault) -> None:
        """Put a fault in force; one that acts by itself of the same name ends."""
        log.info("simulated fault: %s", fault.fault)
        act = self._acts.get(fault.fault)
        if act is None:
            self._faults.post(fault, asyncio.get_running_loop().time())
            if fault.fault == "only_ok":
                self._faults.counts[fault.fault] += 1
            return
        for task in self._tasks:
            if task.get_name() == fault.fault:
                task.cancel()
        task = asyncio.get_running_loop().create_task(_run(act, fault), name=fault.fault)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def clear(self) -> None:
        """End every fault. Muted connections are cut, since they would never speak again."""
        self._faults.clear()
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
            frame = await asyncio.to_thread(malformed_frame, fault, self._rng)
            self._faults.counts[fault.fault] += 1
            self._connections.inject(frame)

    async def _repeat(self, fault: Fault) -> None:
        for turn in range(fault.times or 1):
            await asyncio.sleep(fault.every if turn else 0)
            self._faults.counts[fault.fault] += 1
            if fault.fault == "refresh":
                self._refresh()
            else:
                await asyncio.gather(
                    *(self._end(fault, one) for one in self._connections.select(fault.which))
                )

    async def _end(self, fault: Fault, connection: Connection) -> None:
        if fault.fault == "reset":
            connection.reset(mid_frame=True)
        else:
            await connection.close(fault.code or 1001, "simulated fault")

    async def _mute(self, fault: Fault) -> None:
        """Mute the connections there are; with `seconds` they are cut after that time."""
        struck = self._connections.select(fault.which)
        self._faults.counts[fault.fault] += 1
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
            self._faults.counts[fault.fault] += 1
            self.down = True
            try:
                for connection in self._connections.select():
                    connection.reset()
                await asyncio.sleep(fault.down)
            finally:
                self.down = False

    async def _random(self, fault: Fault) -> None:
        plan, loop, left = Plan(self._seed, fault.every), asyncio.get_running_loop(), fault.times
        while left is None or left > 0:
            await asyncio.sleep(plan.wait())
            now = loop.time()
            chosen = plan.next(self._connections.served_s(now), self._faults.refuses(now))
            if chosen is not None:
                self._faults.counts["random"] += 1
                self.post(chosen)
                left = None if left is None else left - 1


async def _run(act: Callable[[Fault], Awaitable[None]], fault: Fault) -> None:
    """Carry a fault out; with `seconds` no longer than that, where these do not mean the length of one occurrence."""
    if fault.seconds is None or fault.fault in {"silence", "blackhole"}:
        await act(fault)
        return
    try:
        async with asyncio.timeout(fault.seconds):
            await act(fault)
    except TimeoutError:
        return
