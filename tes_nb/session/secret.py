"""A secret that shows itself only where it is asked to."""

from __future__ import annotations


class Secret(str):
    """A text whose `repr` hides it: a cell that ends in it saves nothing. `print()` shows it."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Without the secret."""
        return "<hidden; print() shows it, and leaves it in the cell's output until that is cleared>"
