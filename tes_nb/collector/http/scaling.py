"""`POST /api/workers/scale`: bring the Dask cluster to so many workers, or say who could, and how."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import Any

import msgspec
from aiohttp import web

from tes_nb.collector.http.guard import json_answer, sentence
from tes_nb.collector.workers.cluster_process import MISSING
from tes_nb.collector.workers.registry import WorkerRegistry
from tes_nb.collector.workers.source import Scaler, ScaleRefused
from tes_nb.errors import CollectorError
from tes_nb.model.control import ScaleResult, ScaleWorkers

BODY_TIMEOUT_S = 4.0
MOST = 1000
"""Nobody means more; a cluster of tes_nb's own has a lower limit."""
_MOST_DIGITS = 9
_HOW = "s.cluster(4) in a notebook, or tes-nb serve --cluster 4, runs a Dask cluster that can be scaled."


def parse_count(body: Any, *, most: int = MOST) -> int:
    """Return the count in the body of a scale request: `{"count": 3}`, or its text `{"count": "3"}`.

    Raises ValueError with a sentence for everything else: 0 to `most` and nothing but digits.
    """
    if not isinstance(body, dict) or set(body) != {"count"}:
        raise ValueError(
            'The body must be a JSON object with "count" and nothing else, for example {"count": 2}.'
        )
    value = body["count"]
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f'"count" must be a whole number from 0 to {most}.')
    if not 0 <= value <= most:
        text = value if abs(value) < 10**_MOST_DIGITS else "a number of that size"
        raise ValueError(f'"count" must be from 0 to {most}, not {text}.')
    return value


class ScaleRoutes:
    """Scales whatever can be scaled here."""

    def __init__(self, workers: WorkerRegistry, peer: Scaler | None) -> None:
        """peer: scales the TES that this collector reads; `None` = it reads none."""
        self._workers = workers
        self._peer = peer

    async def scale(self, request: web.Request) -> web.Response:
        """`{"count": n}` → `{"created": n, "terminated": n}`; anything else is 422 and changes nothing.

        409 = there is nothing here that can be scaled, or it does not want to be; 501 = the extra is not installed.
        """
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await request.read()
        except TimeoutError:
            return sentence(408, f"The request's body did not come within {BODY_TIMEOUT_S:.0f} s.")
        try:
            count = parse_count(msgspec.json.decode(body))
            return json_answer(await self.scale_operation(ScaleWorkers(count=count)))
        except ScaleRefused as error:
            return sentence(error.status, str(error))
        except CollectorError as error:
            return sentence(503, str(error))
        except msgspec.MsgspecError:
            return sentence(422, "The body is not valid JSON.")
        except (ValueError, RecursionError) as error:
            return sentence(422, str(error))

    async def scale_operation(self, operation: ScaleWorkers) -> ScaleResult:
        """The same over the control socket. Raises `ScaleRefused` where there is nothing to scale."""
        scale = self._workers.scaler() or self._peer
        if scale is None:
            raise self._refusal()
        return await scale(operation.count)

    def why_not(self) -> str | None:
        """Say why nothing can be scaled just now; `None` = something can."""
        scalable = (self._workers.scaler() or self._peer) is not None
        return None if scalable else str(self._refusal())

    def _refusal(self) -> ScaleRefused:
        workers = self._workers.facts()
        observed = next((worker for worker in workers if worker.role == "dask scheduler"), None)
        if observed is not None:
            return ScaleRefused(
                f"{observed.name} is observed by its address, and a scheduler has no means to start or end workers "
                f"(dask/distributed#6907): observe the cluster object, s.observe(cluster). {_HOW}"
            )
        if any(worker.kind == "executor" for worker in workers):
            return ScaleRefused(f"The size of a pool is set where it is made, by max_workers. {_HOW}")
        if find_spec("distributed") is None:
            return ScaleRefused(f"There is nothing to scale here. {MISSING}", status=501)
        return ScaleRefused(f"There is nothing to scale here. {_HOW}")
