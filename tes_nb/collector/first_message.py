"""The token in a socket's first message: how a browser shows it, which cannot put it into a header."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from tes_nb.collector.guard import Guard
from tes_nb.collector.inbox import messages

AUTH_TIMEOUT_S = 2.0
POLICY_VIOLATION = 1008


async def authenticated(socket: web.WebSocketResponse, guard: Guard) -> bool:
    """Wait for `{"type": "auth", "token": …}`; anything else closes with 1008."""
    try:
        async with asyncio.timeout(AUTH_TIMEOUT_S):  # over all: pings in between do not buy time
            first = await anext(messages(socket), None)
    except TimeoutError:
        await socket.close(code=POLICY_VIOLATION, message=b"no token within 2 s")
        return False
    if first is None:
        return False
    if not guard.is_token(_token_in(first.data)):
        refusal = guard.failed()
        reason = b"too many wrong tokens; wait a minute" if refusal.status == 429 else b"wrong token"
        await socket.close(code=POLICY_VIOLATION, message=reason)
        return False
    return True


def _token_in(text: str | bytes) -> str | None:
    try:
        message = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    if not isinstance(message, dict) or message.get("type") != "auth":
        return None
    token = message.get("token")
    return token if isinstance(token, str) else None
