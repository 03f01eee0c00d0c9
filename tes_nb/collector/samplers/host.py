"""The limits that apply to the observed process, and where this host is.

A limit comes from the control group (version 2 or 1, the tightest on the way up), else from `MEM_LIMIT` and
`CPU_LIMIT` (which JupyterHub sets), else it is what the machine has.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

from tes_nb.model import HostFacts

DEFAULT_REGION = "us-east-1"
_REGION_MOST = 64
_NUMBER = r"\+?(\d+\.?\d*|\.\d+)"
_QUANTITY = re.compile(rf"{_NUMBER}(?:([KMGTPE]i|[mkMGTPE]?)|[eE]([+-]?\d+))", re.ASCII)
_SCALE = {"m": 1e-3, "": 1.0} | {word: 1000.0**power for power, word in enumerate("kMGTPE", 1)}
_SCALE |= {f"{word}i": 1024.0**power for power, word in enumerate("KMGTPE", 1)}
_AMOUNT = re.compile(rf"{_NUMBER}\s*([kmgt]?)(i?b)?", re.IGNORECASE | re.ASCII)
_MOST = 2.0**63


class Limit(NamedTuple):
    """A limit and where it comes from: "cgroup", the variable's name, or "host"."""

    value: float
    source: str


class HostSampler:
    """Reads the limits; a handful of small files, meant to be refreshed about once a minute."""

    def __init__(
        self, pid: int | None = None, *, environ: Mapping[str, str] = os.environ, root: str = "/"
    ) -> None:
        """Look at process `pid` (`None` = this one). `root` stands before /proc and /sys, for tests."""
        self._pid = os.getpid() if pid is None else pid
        self._environ = environ
        self._root = Path(root)
        self.memory = Limit(0, "host")
        self.cores = Limit(0, "host")
        self.facts = self.refresh()

    def refresh(self) -> HostFacts:
        """Read everything again and return it; what cannot be read counts as no limit."""
        groups = ControlGroups(self._pid, self._root)
        self.memory = self._choose(groups.memory(), "MEM_LIMIT", read_amount, psutil.virtual_memory().total)
        self.cores = self._choose(groups.cores(), "CPU_LIMIT", read_cores, _usable_cores(self._pid))
        self.facts = HostFacts(
            memory_limit=int(self.memory.value),
            cores_limit=round(self.cores.value, 3),
            primary_region=primary_region(self._environ),
        )
        return self.facts

    def _choose(
        self, group: float | None, name: str, read: Callable[[str], float | None], host: float
    ) -> Limit:
        if group is not None and group < host:
            return Limit(group, "cgroup")
        limit = read(self._environ.get(name, ""))
        return Limit(host, "host") if limit is None else Limit(limit, name)


def primary_region(environ: Mapping[str, str] = os.environ) -> str:
    """Return `TES_PRIMARY_REGION`, else `PRIMARY_REGION`, else "us-east-1"; empty counts as unset."""
    for name in ("TES_PRIMARY_REGION", "PRIMARY_REGION"):
        region = environ.get(name, "").strip()
        if region:
            return region[:_REGION_MOST]
    return DEFAULT_REGION


def read_amount(text: str) -> float | None:
    """Read bytes as Kubernetes writes them, else as people do; `None` = no amount.

    Kubernetes' quantities: "2147483648", "512Mi" (of 1024), "512M" (of 1000), "1.5Gi", "1e9", "128974848000m"
    (thousandths of a byte). What is none of these is read in powers of 1024, as JupyterHub and docker have it:
    "2g", "1K", "512 MiB", "2 GB".
    """
    text = text.strip()
    if quantity := _QUANTITY.fullmatch(text):
        number, suffix, exponent = quantity.groups()
        amount = float(f"{number}e{exponent}") if exponent else float(number) * _SCALE[suffix]
    elif words := _AMOUNT.fullmatch(text):
        amount = float(words[1]) * 1024.0 ** " kmgt".index(words[2].lower() or " ")
    else:
        return None
    return amount if 1 <= amount < _MOST else None


def read_cores(text: str) -> float | None:
    """Read a number of cores: "1.5", or "1500m" (thousandths); `None` = no such number."""
    text = text.strip()
    thousandths = text.endswith("m")
    try:
        cores = float(text.removesuffix("m")) / (1000 if thousandths else 1)
    except ValueError:
        return None
    return cores if math.isfinite(cores) and cores > 0 else None


def _usable_cores(pid: int) -> float:
    """Return the cores the process may run on, which a CPU set or `taskset` can limit."""
    try:
        return float(len(os.sched_getaffinity(pid)))
    except (AttributeError, OSError):  # no such call on this platform, or the process is gone
        return float(os.cpu_count() or 1)


class ControlGroups:
    """Limits in the control groups of a process, both versions. All methods return `None` for "no limit"."""

    def __init__(self, pid: int, root: Path) -> None:
        self._root = root
        membership = _text(root / f"proc/{pid}/cgroup") or ""
        self._paths = dict(_memberships(membership))
        self._mounts = list(_mounts(_text(root / f"proc/{pid}/mountinfo") or ""))

    def memory(self) -> float | None:
        """Return the tightest memory limit in bytes."""
        two = (_number(_text(folder / "memory.max")) for folder in self._folders(""))
        one = (_number(_text(folder / "memory.limit_in_bytes")) for folder in self._folders("memory"))
        return min((limit for limit in (*two, *one) if limit is not None), default=None)

    def cores(self) -> float | None:
        """Return the tightest CPU quota in cores."""
        two = (_quota(*(_text(folder / "cpu.max") or "").split()) for folder in self._folders(""))
        one = (
            _quota(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))
            for folder in self._folders("cpu")
        )
        return min((limit for limit in (*two, *one) if limit is not None), default=None)

    def _folders(self, controller: str) -> Iterator[Path]:
        """Yield the process's group and the groups above it, up to the mount ("" = version 2)."""
        path = self._paths.get(controller)
        if path is None:
            return
        for mounted, top, mount_point in self._mounts:
            if controller != mounted and controller not in mounted.split(","):
                continue
            # A container sees its own group as the mount's top: the path is then counted from there.
            below = path[len(top) :] if top != "/" and path.startswith(top) else path
            group = self._root / mount_point.lstrip("/") / below.strip("/")
            stop = self._root / mount_point.lstrip("/")
            while group != stop:
                yield group
                group = group.parent
            yield stop


def _memberships(text: str) -> Iterator[tuple[str, str]]:
    """Yield (controller, path) from /proc/<pid>/cgroup; controller "" is version 2."""
    for line in text.splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            for controller in parts[1].split(","):
                yield controller, parts[2]


def _mounts(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (controllers, top of the mount, mount point) from /proc/<pid>/mountinfo."""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if kind[:1] == ["cgroup2"]:
            yield "", fields[3], fields[4]
        elif kind[:1] == ["cgroup"]:
            yield kind[-1], fields[3], fields[4]


def _quota(quota: str | None = None, period: str | None = None) -> float | None:
    allowed, every = _number(quota), _number(period)
    if allowed is None or not every:
        return None
    return allowed / every


def _number(text: str | None) -> float | None:
    """Return a positive number; "max", "-1", nothing and nonsense are `None`."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < math.inf else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
