"""What a user sets for a whole kernel: `tes.options`, how views behave, and `tes.nest()`, whether loops nest."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tes_nb.errors import ArgumentError, SessionError
from tes_nb.session.schedulers import chosen
from tes_nb.views.clock import MAX_FPS, MIN_FPS, clock
from tes_nb.views.zone import zone

SWITCH_MS = (0.1, 100)
"""The least and the most of `tes.options.switch_ms`."""


class KernelOptions:
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

    @property
    def tz(self) -> str | None:
        """The time zone of all views, as "Europe/Berlin"; `None`, as at first: the browser's, and UTC in figures.

        It holds for views that are made from now on. Frames and files are in UTC, whatever it says.
        """
        return zone.name

    @tz.setter
    def tz(self, value: str | None) -> None:
        try:
            exists = value is None or bool(ZoneInfo(value).key)
        except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
            exists = False
        if not exists:
            raise ArgumentError(
                f"options.tz must be the name of a time zone, such as 'Europe/Berlin' or 'UTC', or None for the "
                f"browser's, not {repr(value)[:60]}."
            )
        zone.name = value

    @property
    def switch_ms(self) -> float:
        """How long a cell that computes keeps the threads of tes_nb waiting, in ms: 0.1 to 100, at first Python's 5.

        It is Python's own `sys.setswitchinterval`, so it holds for the whole kernel. Less lets messages reach callbacks
        and views sooner while a cell runs a Python loop, and costs that loop some of its time: docs/performance.md.
        """
        return sys.getswitchinterval() * 1e3

    @switch_ms.setter
    def switch_ms(self, value: float) -> None:
        low, high = SWITCH_MS
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ArgumentError(
                f"options.switch_ms must be a number of milliseconds from {low} to {high}, not {value!r}."
            )
        sys.setswitchinterval(value / 1e3)

    @property
    def scheduler(self) -> str | None:
        """The address of the Dask scheduler of `tes.cluster_frame`, as "tcp://host:8786".

        `None`, as at first: the current client's, else a cluster on this machine.
        """
        return chosen.address

    @scheduler.setter
    def scheduler(self, value: str | None) -> None:
        if value is not None and not (isinstance(value, str) and "://" in value):
            raise ArgumentError(
                f"options.scheduler must be an address, such as 'tcp://host:8786', or None for a cluster on this "
                f"machine, not {repr(value)[:60]}."
            )
        chosen.address = value

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in dir(type(self)) or name.startswith("_"):
            raise ArgumentError(f"There is no option '{name}'; there are fps, scheduler, switch_ms and tz.")
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        rest = f"switch_ms={self.switch_ms:g}, tz={self.tz!r}"
        return f"<tes_nb options: fps={self.fps:g}, scheduler={self.scheduler!r}, {rest}>"


options = KernelOptions()

FIRST_WITH_SUCCESSOR = 7
"""The ipykernel that needs nest-asyncio2."""


def nest() -> str:
    """Let `asyncio.run` and `loop.run_until_complete` work inside a notebook cell; return what was applied.

    For the user's own code: nothing of tes_nb needs it. ipykernel before 7: nest-asyncio. From 7 on: nest-asyncio2,
    which ipykernel 7.4 installs itself; the old nest-asyncio silently loses queued cells there.
    """
    if int(version("ipykernel").split(".", 1)[0]) < FIRST_WITH_SUCCESSOR:
        import nest_asyncio  # noqa: PLC0415 - never at import of tes_nb

        nest_asyncio.apply()
        return "nest-asyncio"
    try:
        import nest_asyncio2  # noqa: PLC0415
    except ImportError as error:
        raise SessionError(
            "This ipykernel needs nest-asyncio2 for nested loops: pip install nest-asyncio2. "
            "(nest-asyncio would lose cells here.)"
        ) from error
    nest_asyncio2.apply()
    return "nest-asyncio2"
