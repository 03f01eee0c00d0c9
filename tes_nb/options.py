"""`tes.options`: what holds for every view of this kernel."""

from __future__ import annotations

from typing import Any

from tes_nb.errors import ArgumentError
from tes_nb.views.clock import MAX_FPS, MIN_FPS, clock


class Options:
    """Settings that take effect at once. A name that is none of them is refused, so that no typo goes unnoticed."""

    __slots__ = ()

    @property
    def fps(self) -> float:
        """How often live views are repainted, times a second: 0.1 to 30, at first 4.

        It bounds what travels to the browser and what views cost the kernel. Data are received all the same.
        """
        return clock.fps

    @fps.setter
    def fps(self, value: float) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not MIN_FPS <= value <= MAX_FPS:
            raise ArgumentError(
                f"options.fps must be a number from {MIN_FPS} to {MAX_FPS:.0f}, not {value!r}."
            )
        clock.fps = float(value)
        clock.wake()

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in dir(type(self)) or name.startswith("_"):
            raise ArgumentError(f"There is no option '{name}'; there is fps.")
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"<tes_nb options: fps={self.fps:g}>"


options = Options()
