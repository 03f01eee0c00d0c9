"""One of the two readers of a `RenewingReader`, and what the other end of it must know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from tes_nb.errors import AuthenticationError
from tes_nb.model import Direction, Opcode
from tes_nb.net.grant import NO_GRANT, AuthorizeHook, Grant
from tes_nb.net.reader import Reader
from tes_nb.wire.events import Event, Gap, StateChange

Item = tuple[Direction, Opcode, bytes, int, int]
"""What a sink takes: direction, opcode, payload, connection, flags."""
_NEVER = float("-inf")


class Owner(Protocol):
    """Who owns the legs."""

    def connects(self, leg: Leg) -> None:
        """A leg has a grant, and opens a connection next."""

    def received(self, leg: Leg, item: Item) -> None:
        """A message came, its connection numbered over all legs."""

    def event(self, leg: Leg, event: Event) -> None:
        """A gap or a change of state, its connection numbered over all legs."""


class Leg:
    """A reader with the numbers of its connections, its newest grant, and whether it is open."""

    def __init__(
        self,
        owner: Owner,
        authorize: AuthorizeHook,
        make: Callable[[Leg], Reader],
        next_conn: Callable[[], int],
    ) -> None:
        """`make` gives its reader; `next_conn` numbers a connection."""
        self._owner = owner
        self._authorize = authorize
        self._next_conn = next_conn
        self._numbers: dict[int, int] = {}
        self.grant: Grant = NO_GRANT
        self.was_granted = False
        self.was_open = False
        self.is_open = False
        self.opened_at = _NEVER
        """When the newest connection was opened, on the reader's monotonic clock."""
        self.last_data_s = _NEVER
        self.retired = False
        """Whether it is over: nothing of it counts any more."""
        self.reader = make(self)

    async def authorize(self) -> Grant:
        """Get what the next connection needs."""
        if self.retired:
            raise AuthenticationError("This connection was replaced.")
        self.grant = await self._authorize()
        self.was_granted = True
        self._owner.connects(self)
        return self.grant

    def due_s(self, least_s: float) -> float | None:
        """When the open connection is to be renewed, at least `least_s` after it began; `None` = not at all."""
        if not self.is_open or self.grant.renew_at_s is None:
            return None
        return max(self.grant.renew_at_s, self.opened_at + least_s)

    def note(self, change: StateChange, time_s: float) -> None:
        """Take notice of the reader's state."""
        if change.state == "OPEN":
            if not self.is_open:
                self.opened_at = time_s
            self.is_open = self.was_open = True
        else:
            self.is_open = False

    def number(self, conn: int) -> int:
        """Return the number that a connection of this leg has among all connections; 0 = it had none."""
        if conn == 0:
            return 0
        if conn not in self._numbers:
            self._numbers[conn] = self._next_conn()
        return self._numbers[conn]

    def received(self, direction: Direction, opcode: Opcode, payload: bytes, conn: int, flags: int) -> None:
        """Hand a message on (as the reader's sink)."""
        self._owner.received(self, (direction, opcode, payload, self.number(conn), flags))

    def event(self, event: Event) -> None:
        """Hand an event on (as the reader's sink)."""
        if isinstance(event, Gap | StateChange):
            event = msgspec.structs.replace(event, conn=self.number(event.conn))
        self._owner.event(self, event)
