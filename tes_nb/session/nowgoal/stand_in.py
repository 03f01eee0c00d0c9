"""The stand-in behind simulated data: started as a child process, or found where another shell runs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any, Protocol

import msgspec

from tes_nb.errors import ArgumentError

HINT = "For simulated data instead: s.watch(tes.SIMULATED, speed=50)"
"""What to do without a token of one's own."""


class NowGoalStandIn(Protocol):
    """A running stand-in, as a feed uses it: for faults, names and its ledger."""

    http: str
    """`http://host:port`."""

    @property
    def url(self) -> str:
        """The WebSocket that takes the token in a header."""

    @property
    def token_url(self) -> str:
        """Where tokens come from."""

    def post(self, *faults: Any) -> None:
        """Put faults in force, as such or in words: `"reset"`, `"random:every=3"`."""

    def clear_faults(self) -> None:
        """End every fault."""

    def ledger(self) -> dict[str, Any]:
        """Return the account of what was sent."""

    def sent_at(self, subscriber: str) -> dict[int, int]:
        """Return the numbers of the messages for that subscriber, with the times they were sent at (Unix ns)."""


class ChildStandIn(NowGoalStandIn, Protocol):
    """One in a child process of ours."""

    pid: int

    def stop(self) -> None:
        """End it."""


def simulator() -> ModuleType:
    """Return the package that makes the data up. Nothing else of the product imports it."""
    import tes_nb.simulate  # noqa: PLC0415 - only when somebody simulates

    return tes_nb.simulate


def simulated_names(match_ids: Iterable[str]) -> list[dict[str, str]]:
    """Return match_id, home_team, away_team and league of matches of any stand-in, one that has ended, too."""
    return [simulator().fixture(one)._asdict() for one in match_ids]


class NowGoalStandIns:
    """Starts and finds stand-ins, for `s.watch`."""

    def option_names(self) -> list[str]:
        """Return the names of a stand-in's options."""
        return list(simulator().Options.__dataclass_fields__)

    def options(self, named: Mapping[str, Any]) -> Any:
        """Return a stand-in's options; faults may be given in words. Raises `ArgumentError` for a wrong one."""
        package = simulator()
        faults = [
            package.parse_fault(one) if isinstance(one, str) else one for one in named.get("faults", ())
        ]
        try:
            return msgspec.convert({**named, "faults": msgspec.to_builtins(faults)}, package.Options)
        except msgspec.ValidationError as error:
            raise ArgumentError(f"An option of the simulated feed is wrong: {error}.") from error

    def start(self, options: Any) -> ChildStandIn:
        """Start one in a child process and return it when it listens."""
        child: ChildStandIn = simulator().start_child(options)
        return child

    def at(self, url: str) -> NowGoalStandIn:
        """Return one that runs elsewhere, by the address of its WebSocket: it answers over HTTP there, too."""
        scheme, _, rest = url.partition("://")
        client: NowGoalStandIn = simulator().StandInClient(
            f"http{'s' if scheme == 'wss' else ''}://{rest.partition('/')[0]}"
        )
        return client
