"""Loop re-entry for the user's own code, only when asked for. Nothing of tes_nb needs it."""

from __future__ import annotations

from importlib.metadata import version

from tes_nb.errors import SessionError

FIRST_WITH_SUCCESSOR = 7


def nest() -> str:
    """Let `asyncio.run` and `loop.run_until_complete` work inside a notebook cell; return what was applied.

    ipykernel before 7: nest-asyncio. From 7 on: nest-asyncio2, which ipykernel 7.4 installs itself; the old
    nest-asyncio silently loses queued cells there.
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
