"""What clients say, read at a pace that leaves the loop to everybody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import WSMessage, WSMsgType, web

MESSAGES_PER_S = 200
"""A stranger's messages, pings among them, are read at this rate at most; beyond it his own socket fills up."""
BURST = 100
TURN = 16
"""After so many messages, anybody's, the loop serves others first."""


class Pace:
    """A bucket of allowances: full at first, refilled with time."""

    def __init__(self, per_s: float, burst: int, now: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = float(burst)
        self._at = now

    def take(self, now: float) -> float:
        """Take one allowance; return how long to wait for it, in seconds."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s) - 1
        self._at = now
        return max(0.0, -self._left / self._per_s)


async def messages(socket: web.WebSocketResponse, *, trusted: bool = False) -> AsyncIterator[WSMessage]:
    """Yield text and binary messages until the client leaves; answer its pings.

    The socket must have been made with `autoping=False`: pings are paced like messages. Whoever is not
    `trusted` is slowed down to `MESSAGES_PER_S`.
    """
    loop = asyncio.get_running_loop()
    pace = Pace(MESSAGES_PER_S, BURST, loop.time())
    count = 0
    async for message in socket:
        if message.type is WSMsgType.ERROR:
            return
        count += 1
        wait = 0.0 if trusted else pace.take(loop.time())
        if wait > 0 or count % TURN == 0:
            await asyncio.sleep(wait)
        if message.type is WSMsgType.PING:
            await socket.pong(message.data)
        elif message.type is not WSMsgType.PONG:
            yield message
