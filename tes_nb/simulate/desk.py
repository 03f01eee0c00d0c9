"""The routes that NowGoal does not have: greeting, roster, ledger and faults."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from tes_nb.errors import TesError
from tes_nb.simulate import faults
from tes_nb.simulate.service import GREETING, Service


class Desk:
    """Tells what there is and what was sent, and takes orders for faults."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def hello(self, _: web.Request) -> web.Response:
        """Say what this is."""
        return web.Response(text=f"This is the {GREETING}.\n")

    async def roster(self, _: web.Request) -> web.Response:
        """Tell match_id, home_team, away_team and league of every match there has been."""
        return _json([fixture._asdict() for fixture in self._service.pump.day.roster()])

    async def ledger(self, request: web.Request) -> web.Response:
        """Tell the whole account, or with `subscriber` or `channels` the numbers from `since` to `until`."""
        query, sent = request.query, self._service.hub.log
        try:
            start, end = int(query.get("since", 1)), int(query.get("until", sent.last))
        except ValueError:
            return web.Response(status=422, text="since and until are message numbers.\n")
        if "subscriber" in query:
            numbers = sent.expected(query["subscriber"], start, end)
            return _json({"numbers": numbers, "sent_at_ns": sent.sent_at_ns(numbers)})
        if "channels" in query:
            return _json({"numbers": sent.on_channels(query["channels"].split(","), start, end)})
        return _json(self.account())

    def account(self) -> dict[str, Any]:
        """Return the first and last number, the subscribers, the connections and the strikes of faults."""
        hub, now = self._service.hub, asyncio.get_running_loop().time()
        sent = hub.log
        return {
            "simulated": GREETING,
            "first": sent.first,
            "last": sent.last,
            "subscribers": {
                name: {"since": sent.since(name), "channels": sent.channels(name)}
                for name in sent.subscribers()
            },
            "connections": [*hub.ended, *(one.report(now) for one in hub.connections())],
            "strikes": dict(self._service.board.strikes),
        }

    async def list_faults(self, _: web.Request) -> web.Response:
        """Tell which faults are in force, how often each struck, and which there are."""
        board = self._service.board
        active = board.active(asyncio.get_running_loop().time())
        known = {name: f"{place}: {text}" for name, (place, text) in faults.FAULTS.items()}
        return _json(
            {
                "active": [msgspec.to_builtins(fault) for fault in active],
                "running": self._service.striker.running(),
                "strikes": dict(board.strikes),
                "there_are": known,
            }
        )

    async def post_faults(self, request: web.Request) -> web.Response:
        """Put one fault (a JSON object) or several (an array) in force; 422 says what is wrong with one."""
        try:
            body = msgspec.json.decode(await request.read())
            wanted = [faults.check(item) for item in (body if isinstance(body, list) else [body])]
        except (TesError, msgspec.DecodeError, RecursionError) as error:
            return web.Response(status=422, text=f"{error}\n")
        for fault in wanted:
            self._service.striker.post(fault)
        return _json({"posted": [fault.fault for fault in wanted]})

    async def clear_faults(self, _: web.Request) -> web.Response:
        """End every fault."""
        await self._service.striker.clear()
        return _json({"cleared": True})


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
