"""What a process is for, in one fixed word from its command line; the arguments may hold secrets and go nowhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import PurePath

from tes_nb.collector.samplers.worker_life import safe_name

POOL_WORKER = "pool worker"
FORKSERVER = "forkserver"
FORKING = (POOL_WORKER, FORKSERVER)
"""A copy of one of these is a worker, too."""

# Python's own helpers are started with `-c "from package.module import main; main(…)"`, others with `-m package.module`
# or by a path. A program may also have written a title of its own in place of all of it (setproctitle).

_TITLE = re.compile(r"dask (worker|nanny|scheduler)\b")
_CODE = re.compile(r"from ([\w.]+) import ")


def _is(*names: str) -> Callable[[str], bool]:
    return lambda module: any(module == name or module.endswith("." + name) for name in names)


_MODULES: tuple[tuple[Callable[[str], bool], str], ...] = (
    (_is("multiprocessing.spawn"), POOL_WORKER),
    (_is("multiprocessing.forkserver"), FORKSERVER),
    (_is("resource_tracker"), "resource tracker"),
    (_is("loky.backend.popen_loky_posix", "loky.backend.popen_loky_win32"), "loky worker"),
    (_is("distributed.cli.dask_worker"), "dask worker"),
    (_is("distributed.cli.dask_scheduler"), "dask scheduler"),
    (_is("ipyparallel.engine", "ipyparallel.apps.ipengineapp"), "ipengine"),
    (_is("ipykernel_launcher", "ipykernel"), "jupyter kernel"),
)
_PROGRAMS = {"dask-worker": "dask worker", "dask-scheduler": "dask scheduler", "ipengine": "ipengine"}


def role_of(arguments: Sequence[str], program: str, *, is_fork: bool = False) -> str:
    """Return the role of a process with that command line; of no known one, its program's name.

    is_fork: whether it is a copy of the process that started it, with that one's command line: a worker of a pool.
    """
    if is_fork:
        return POOL_WORKER
    title = _TITLE.match(arguments[0]) if arguments else None
    if title is not None:
        return f"dask {title[1]}"
    return _of_module(_module(arguments)) or _of_program(arguments) or safe_name(program)


def _module(arguments: Sequence[str]) -> str:
    """The module that Python runs (`-m`); "" = it runs none."""
    words = iter(arguments[1:])
    for word in words:
        if word == "-m":
            return next(words, "").removesuffix(".__main__")
        if word == "-c":
            code = _CODE.match(next(words, ""))
            return "" if code is None else code[1]
        if word in ("-X", "-W"):
            next(words, "")
        elif not word.startswith("-"):
            break  # the program's own arguments begin
    return ""


def _of_module(module: str) -> str | None:
    return next((role for fits, role in _MODULES if module and fits(module)), None)


def _of_program(arguments: Sequence[str]) -> str | None:
    """The role of a program that is started by its path, perhaps by an interpreter."""
    for place, argument in enumerate(arguments[:2]):
        name = PurePath(argument).stem
        if name == "ipykernel_launcher":
            return "jupyter kernel"
        if name == "dask" and arguments[place + 1 : place + 2] in (["worker"], ["scheduler"]):
            return f"dask {arguments[place + 1]}"
        if name in _PROGRAMS:
            return _PROGRAMS[name]
    return None
