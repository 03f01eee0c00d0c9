"""What the workers port offers beside its stream: scaling, snapshots, a count."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
from aiohttp import web

from tes_nb.collector.answers import json_answer, sentence
from tes_nb.collector.observer import Observer
from tes_nb.collector.pool import WorkerPool, parse_count
from tes_nb.collector.samplers.worker_id import check_id
from tes_nb.collector.snapshot import SnapshotLimiter, file_name, take_snapshot
from tes_nb.collector.sockets import Sockets
from tes_nb.errors import CollectorError

BODY_TIMEOUT_S = 4.0


class WorkerDesk:
    """Answers about workers."""

    def __init__(self, observer: Observer, pool: WorkerPool, sockets: Sockets) -> None:
        self._observer = observer
        self._pool = pool
        self._sockets = sockets
        self._limiter = SnapshotLimiter()

    async def status(self, request: web.Request) -> web.Response:
        """`{"connected": n}`: open WebSocket connections."""
        del request
        return json_answer({"connected": self._sockets.foreign})

    async def scale(self, request: web.Request) -> web.Response:
        """`{"count": n}` → `{"created": n, "terminated": n}`; anything else is 422 and changes nothing."""
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await request.read()
        except TimeoutError:
            return sentence(408, f"The request's body did not come within {BODY_TIMEOUT_S:.0f} s.")
        try:
            count = parse_count(msgspec.json.decode(body), cap=self._pool.cap)
        except (ValueError, RecursionError) as error:
            text = (
                str(error) if not isinstance(error, msgspec.MsgspecError) else "The body is not valid JSON."
            )
            return sentence(422, text)
        try:
            return json_answer(await self._scaled(count))
        except CollectorError as error:
            return sentence(503, str(error))

    async def scale_operation(self, args: dict[str, Any]) -> dict[str, int]:
        """The same over the control socket."""
        return await self._scaled(parse_count(args, cap=self._pool.cap))

    async def _scaled(self, count: int) -> dict[str, int]:
        created, terminated = await self._pool.scale(count)
        return {"created": created, "terminated": terminated}

    async def snapshot(self, request: web.Request) -> web.Response:
        """gzip-compressed JSON of one worker's memory and state."""
        try:
            worker_id = check_id(request.match_info["id"])
        except ValueError as error:
            return sentence(400, str(error))
        live = {
            worker.id
            for worker in self._observer.workers.facts()
            if worker.exit_code is None and worker.status != "terminated"
        }
        try:
            allowance = self._limiter.ask(worker_id, live)
        except KeyError:
            return sentence(404, "There is no live worker of that id.")
        if not allowance.allowed:
            text = f"A snapshot of this worker was taken a moment ago; the next may be in {allowance.wait_s:.0f} s."
            return sentence(429, text, allowance.headers)
        return await self._taken(worker_id, allowance.headers)

    async def _taken(self, worker_id: str, headers: dict[str, str]) -> web.Response:
        worker = self._observer.workers.find(worker_id)
        body = None if worker is None else await take_snapshot(worker)
        if body is None:
            return sentence(404, "That worker has ended.")
        name = file_name(worker_id, time.time_ns() // 1_000_000)
        return web.Response(
            body=body,
            content_type="application/gzip",
            headers={
                "Content-Disposition": f'attachment; filename="{name}"',
                "Cache-Control": "no-store",
                **headers,
            },
        )
