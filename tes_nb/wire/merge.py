"""Two connections that carry the same broadcast, merged into one: nothing lost, nothing doubled, in order.

Before a token expires a *second* connection is opened beside the *first*, and for a while both bring the same
messages. Each content is emitted max(count on the first, count on the second) times; what is more than that is
a duplicate. Two messages are the same when their keys, the hashes of their contents, are equal.

    first    1 2 3 4 5 6 │ closed
    second         4 5 6 7 8 9        4 came on both: from here on the second carries all that the first does

What the second brings before anything came on both is held back: it may be ahead of the first, and nothing can
show its place. A content that came on both shows its place, and proves that nothing lies between what
the first brought and what the second brings: then the first may be closed.
"""

from __future__ import annotations

from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")
Emitted: TypeAlias = list[tuple[T, bool]]
"""What to hand on, in this order: (item, whether it is a duplicate)."""

REMEMBERED = 65_536
"""So many contents that came on one connection alone are remembered; the oldest are dropped."""


class Merge(Generic[T]):
    """Knows what came on which connection.

    Between two renewals there is one connection, the first; `idle` says that nothing has to be counted.
    """

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._more_first: dict[bytes, int] = {}
        """Content → how often the first brought it more often than the second."""
        self._more_second: dict[bytes, int] = {}
        """The other way round: so often the first still owes a duplicate."""
        self._held: list[T] = []
        self._two = False
        self._flows = False
        """Whether the second's messages are emitted as they come."""
        self._in_step = False
        """With one connection: whether its first message that is no duplicate comes after all that it owes."""
        self.proven = False
        """Whether a content came on both: the second carries on where the first is, without a hole."""

    @property
    def idle(self) -> bool:
        """Whether there is one connection, which owes no duplicates."""
        return not self._two and not self._more_second

    @property
    def held(self) -> int:
        """So many messages of the second are held back."""
        return len(self._held)

    def begin(self) -> None:
        """A second connection is about to be opened: from now on both are counted.

        Before it is opened, not after: whatever the peer sends on both comes on the first after this moment.
        """
        self._more_first.clear()
        self._two, self._flows, self.proven = True, False, False

    def first(self, key: bytes, item: T) -> Emitted[T]:
        """Take a message of the first connection."""
        if key in self._more_second:
            _subtract(self._more_second, key)
            self.proven = self._two
            return [*self.release(), (item, True)]
        if self._two:
            self._add(self._more_first, key)
        elif self._in_step:
            self._more_second.clear()
        return [(item, False)]

    def second(self, key: bytes, item: T) -> Emitted[T]:
        """Take a message of the second connection."""
        if key in self._more_first:
            _subtract(self._more_first, key)
            self.proven = True
            return [*self.release(), (item, True)]
        self._add(self._more_second, key)
        if self._flows:
            return [(item, False)]
        self._held.append(item)
        return []

    def release(self) -> Emitted[T]:
        """Stop holding messages back; return those that were."""
        self._flows = True
        held, self._held = self._held, []
        return [(item, False) for item in held]

    def second_lost(self) -> None:
        """The second connection has ended. What is held back stays so: the first will bring it, too."""
        self._more_first.clear()
        self._in_step = self.proven
        self._two = self.proven = False

    def promote(self) -> Emitted[T]:
        """The first connection has ended: the second is the first now. Return what was held back."""
        self._more_second, self._more_first = self._more_first, {}
        self._in_step = True
        self._two = self.proven = False
        return self.release()

    def forget(self) -> Emitted[T]:
        """Expect no duplicates any longer; return what was held."""
        self._more_second.clear()
        return self.release()

    def _add(self, counts: dict[bytes, int], key: bytes) -> None:
        counts[key] = counts.pop(key, 0) + 1
        if len(counts) > self._remembered:
            del counts[next(iter(counts))]


def _subtract(counts: dict[bytes, int], key: bytes) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
