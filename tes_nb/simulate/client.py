"""Asks a stand-in that runs elsewhere: in a child process, or in another shell."""

from __future__ import annotations

from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import msgspec

from tes_nb.errors import ConnectionFailed, TesError
from tes_nb.simulate.faults import Fault, parse

ANSWER_S = 5.0

_open = build_opener(ProxyHandler({})).open
"""Loopback is never asked for through a proxy."""


class Addresses:
    """Where the parts of a stand-in are."""

    def __init__(self, http: str) -> None:
        """Take `http://host:port` (or https) without a path."""
        self.http = http

    @property
    def url(self) -> str:
        """The WebSocket that takes the token as a bearer header: the default form."""
        return f"ws{self.http[4:]}/ws"

    @property
    def stream_url(self) -> str:
        """The WebSocket that takes channels and token in the query: `?channels=a,b&&token=…`."""
        return f"ws{self.http[4:]}/stream"

    @property
    def token_url(self) -> str:
        """The token endpoint, without `?rnum=…`."""
        return f"{self.http}/ajax/getwebsockettoken"

    def __repr__(self) -> str:
        return f"<simulated NowGoal at {self.http}>"


class StandInClient(Addresses):
    """A stand-in at a known address (`http://127.0.0.1:port`). All calls block, for at most 5 s."""

    def post(self, *faults: Fault | str) -> None:
        """Put faults in force, given as such or in words: `"reset"`, `"random:every=3"`."""
        orders = [parse(fault) if isinstance(fault, str) else fault for fault in faults]
        self._ask("POST", "/faults", msgspec.json.encode(orders))

    def clear_faults(self) -> None:
        """End every fault."""
        self._ask("DELETE", "/faults")

    def ledger(self) -> dict[str, Any]:
        """Return the account of what was sent, as `GET /ledger` tells it."""
        account: dict[str, Any] = self._ask("GET", "/ledger")
        return account

    def sent(self, subscriber: str) -> list[int]:
        """Return the numbers of the messages that were for that logical subscriber."""
        numbers: list[int] = self._ask("GET", f"/ledger?{urlencode({'subscriber': subscriber})}")["numbers"]
        return numbers

    def sent_at(self, subscriber: str) -> dict[int, int]:
        """Return those numbers with the times they were sent at (Unix ns), for `reconcile`."""
        reply = self._ask("GET", f"/ledger?{urlencode({'subscriber': subscriber})}")
        return dict(zip(reply["numbers"], reply["sent_at_ns"], strict=True))

    def roster(self) -> list[dict[str, str]]:
        """Return match_id, home_team, away_team and league of every match there has been."""
        roster: list[dict[str, str]] = self._ask("GET", "/roster")
        return roster

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        request = Request(self.http + path, data=body, method=method)  # noqa: S310 - our own http address
        try:
            with _open(request, timeout=ANSWER_S) as answer:
                return msgspec.json.decode(answer.read())
        except HTTPError as error:
            raise TesError(error.read().decode(errors="replace").strip()) from error
        except (OSError, msgspec.DecodeError) as error:
            raise ConnectionFailed(
                f"The simulated NowGoal at {self.http} does not answer ({error}); start it again."
            ) from error
