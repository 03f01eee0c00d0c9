"""Recordings that run on this machine, whichever kernel began them: found by their collectors' discovery files."""

from __future__ import annotations

import logging
from typing import Any

from tes_nb.collector.discovery import Found, running
from tes_nb.errors import TesError
from tes_nb.net.control_client import ControlClient
from tes_nb.net.logs import note
from tes_nb.net.loop import background
from tes_nb.session.recording import Recording

ANSWER_S = 3.0


def recordings() -> list[Recording]:
    """Return every recording of this user that runs now, also those that outlived their kernel (`keep=True`).

    Each can be looked at, opened and stopped like the one that `s.record()` gave. A collector that does not answer
    within 3 s is left out, with a line in the log.
    """
    found = []
    for collector in running():
        ask = _Questions(collector)
        try:
            told = ask("recordings")
        except TesError as error:
            note(logging.WARNING, f"recordings: collector {collector.pid} does not answer: {error}")
            continue
        found += [Recording(ask, one) for one in told]
    return found


class _Questions:
    """Asks one collector; each question has a connection of its own, since few are asked."""

    def __init__(self, collector: Found) -> None:
        self._collector = collector

    def __call__(self, operation: str, **args: Any) -> Any:
        return background().run(self._ask(operation, args), timeout=ANSWER_S * 5)

    async def _ask(self, operation: str, args: dict[str, Any]) -> Any:
        url = f"ws://127.0.0.1:{self._collector.status_port}/ws/control"
        client = ControlClient(url, self._collector.token)
        await client.start()
        try:
            # ending a recording waits for the disk
            return await client.call(
                operation, timeout_s=ANSWER_S * (4 if operation == "stop" else 1), **args
            )
        finally:
            await client.stop()
