"""The parts of one stand-in, made once and shared by its routes."""

from __future__ import annotations

import secrets
import time

from aiohttp import web

from tes_nb.simulate.faults import Board, Fault
from tes_nb.simulate.hub import Hub
from tes_nb.simulate.options import Options
from tes_nb.simulate.pump import Pump
from tes_nb.simulate.strikes import Striker
from tes_nb.simulate.tokens import Tokens

LABEL = "X-Simulated-Data"
"""The header that every answer carries."""
GREETING = "stand-in for NowGoal by tes_nb: every team, goal and price is made up"
CLIENT_MESSAGE_LIMIT = 64 << 10


class Service:
    """What the routes share."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.hub = Hub(options.ledger_limit)
        self.board = Board()
        self.pump = Pump(options, self.hub, self.board)
        self.striker = Striker(self.hub, self.board, options.seed, self.pump.refresh)
        self.tokens = Tokens(secrets.token_bytes(32), options.token_life_s)

    def now(self) -> float:
        """Return the server's own wall clock: Unix seconds, skewed on request."""
        return time.time() + self.options.clock_skew_s


def refusal(fault: Fault, status: int) -> web.Response:
    """Return the answer of a fault that refuses: its own status, else `status`."""
    headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    return web.Response(status=fault.status or status, headers=headers, text="This is a simulated refusal.\n")
