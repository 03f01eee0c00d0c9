"""The callable that an observed pool runs in place of the user's: it says what it runs, and runs it."""

from __future__ import annotations

import functools

from tes_nb.jobs.slots import own_slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

NAME_MOST = 150
_LOCALS = "<locals>."


def run_job(  # noqa: PLR0917 - a shorter pickle than by name
    folder: str,
    job: int,
    name: str,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    """Run a job and say so in the pool's folder. Whatever becomes of saying it, the job runs as it would have."""
    slot = own_slot(folder)
    if slot is None:
        return function(*args, **kwargs)
    slot.begin(job, name)
    failed = True
    try:
        result = function(*args, **kwargs)
        failed = False
        return result
    finally:
        slot.end(failed=failed)


def run_chunk(function: Callable[..., Any], chunk: Iterable[Sequence[Any]]) -> list[Any]:
    """Run several calls as one job, as `Executor.map` does with a chunk size."""
    return [function(*args) for args in chunk]


def name_of(function: Any) -> str:
    """Return what people call a callable: its own name, without where it was defined. Never raises."""
    try:
        return _name(function)[:NAME_MOST]
    except Exception:  # noqa: BLE001 - a callable of the user's may have any `__getattr__`
        return "?"


def _name(function: Any) -> str:
    if isinstance(function, functools.partial):
        inner = function.args[0] if function.func is run_chunk and function.args else function.func
        return _name(inner)
    if type(function).__name__ == "BatchedCalls":  # joblib's: several calls, mostly of one function
        return _name(function.items[0][0])
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name).rpartition(_LOCALS)[2]
