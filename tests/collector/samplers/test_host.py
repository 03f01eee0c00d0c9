"""Limits from control groups of both versions, laid out in a folder as the system lays them out; and the real ones."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from tes_nb.collector.samplers.host import HostSampler, primary_region, read_amount, read_cores

PID = 4711
HOST_CORES = (
    float(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else float(os.cpu_count() or 1)
)
HOST_MEMORY = psutil.virtual_memory().total


def write(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


def version_two(root: Path, files: dict[str, str], *, path: str = "/user/kernel", top: str = "/") -> str:
    proc = {
        f"proc/{PID}/cgroup": f"0::{path}\n",
        f"proc/{PID}/mountinfo": f"30 23 0:26 {top} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n",
    }
    return write(root, proc | {f"sys/fs/cgroup/{name}": text for name, text in files.items()})


def sampler(root: str, **environ: str) -> HostSampler:
    return HostSampler(PID, environ=environ, root=root)


def test_version_two(tmp_path: Path) -> None:
    root = version_two(
        tmp_path, {"user/kernel/memory.max": "1073741824\n", "user/kernel/cpu.max": "50000 100000\n"}
    )
    host = sampler(root)
    assert (host.facts.memory_limit, host.facts.cores_limit) == (2**30, 0.5)
    assert (host.memory.source, host.cores.source) == ("cgroup", "cgroup")


def test_the_tightest_group_on_the_way_up_counts(tmp_path: Path) -> None:
    files = {
        "user/kernel/memory.max": "max\n",
        "user/memory.max": "536870912\n",
        "memory.max": "1073741824\n",
        "user/kernel/cpu.max": "max 100000\n",
        "user/cpu.max": "25000 100000\n",
    }
    host = sampler(version_two(tmp_path, files))
    assert (host.facts.memory_limit, host.facts.cores_limit) == (2**29, 0.25)


def test_version_one(tmp_path: Path) -> None:
    mount = "31 23 0:{n} / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n"
    root = write(
        tmp_path,
        {
            f"proc/{PID}/cgroup": "5:memory:/jobs/1\n4:cpu,cpuacct:/jobs/1\n1:name=systemd:/\n",
            f"proc/{PID}/mountinfo": mount.format(n=1, name="memory") + mount.format(n=2, name="cpu,cpuacct"),
            "sys/fs/cgroup/memory/jobs/1/memory.limit_in_bytes": "268435456\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/cpu,cpuacct/jobs/1/cpu.cfs_quota_us": "75000\n",
            "sys/fs/cgroup/cpu,cpuacct/jobs/1/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    )
    host = sampler(root)
    assert (host.facts.memory_limit, host.facts.cores_limit) == (2**28, 0.75)


def test_a_container_whose_mount_begins_at_its_own_group(tmp_path: Path) -> None:
    root = version_two(tmp_path, {"memory.max": "300000000\n"}, path="/docker/abc", top="/docker/abc")
    assert sampler(root).facts.memory_limit == 300_000_000


def test_no_limit_gives_the_variables_then_the_host(tmp_path: Path) -> None:
    root = version_two(tmp_path, {"memory.max": "max\n", "cpu.max": "max 100000\n"}, path="/")
    said = sampler(root, MEM_LIMIT="2147483648", CPU_LIMIT="1.5")
    assert (said.facts.memory_limit, said.facts.cores_limit) == (2**31, 1.5)
    assert (said.memory.source, said.cores.source) == ("MEM_LIMIT", "CPU_LIMIT")
    bare = sampler(root)
    assert (bare.facts.memory_limit, bare.facts.cores_limit) == (HOST_MEMORY, HOST_CORES)
    assert (bare.memory.source, bare.cores.source) == ("host", "host")


def test_a_group_limit_goes_before_the_variables(tmp_path: Path) -> None:
    root = version_two(tmp_path, {"memory.max": "1000000\n"}, path="/")
    assert sampler(root, MEM_LIMIT="5000000").facts.memory_limit == 1_000_000


def test_a_limit_above_the_host_is_none(tmp_path: Path) -> None:
    root = version_two(tmp_path, {"memory.max": str(HOST_MEMORY * 4), "cpu.max": "99900000 100000"}, path="/")
    assert (sampler(root).memory.source, sampler(root).cores.source) == ("host", "host")


@pytest.mark.parametrize("nonsense", ["", "lots", "-5", "0", "nan", "inf", "1e400", "\x00"])
def test_nonsense_in_variables_and_files_is_no_limit(tmp_path: Path, nonsense: str) -> None:
    root = version_two(tmp_path, {"memory.max": nonsense, "cpu.max": f"{nonsense} {nonsense}"}, path="/")
    host = sampler(root, MEM_LIMIT=nonsense, CPU_LIMIT=nonsense)
    assert (host.facts.memory_limit, host.facts.cores_limit) == (HOST_MEMORY, HOST_CORES)


def test_no_control_groups_at_all(tmp_path: Path) -> None:
    assert sampler(str(tmp_path)).facts.memory_limit == HOST_MEMORY


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        # Kubernetes' quantities: 1024 has an i, 1000 has none
        ("1024", 1024),
        ("128974848", 128974848),
        ("512Mi", 2**29),
        ("1.5Gi", 3 * 2**29),
        ("1Ki", 1024),
        ("1Ti", 2**40),
        ("2Pi", 2**51),
        ("1Ei", 2**60),
        ("512M", 512_000_000),
        ("2G", 2_000_000_000),
        ("1.5k", 1500),
        ("0.5T", 5 * 10**11),
        ("1P", 10**15),
        ("1E", 10**18),
        ("1e9", 10**9),
        ("1E9", 10**9),
        ("1.5e+3", 1500),
        ("12e-1", 1.2),
        ("129e6", 129_000_000),
        ("128974848000m", 128974848),
        ("1500m", 1.5),
        (".5Gi", 2**29),
        ("5.", 5),
        ("+1Gi", 2**30),
        (" 1Gi\n", 2**30),
        # other words, as JupyterHub, docker and people write them
        ("512 MiB", 2**29),
        ("1TB", 2**40),
        ("2g", 2**31),
        ("1K", 1024),
        ("64 mb", 2**26),
        # nonsense, and less than a byte
        ("500m", None),
        ("0", None),
        ("0Mi", None),
        ("-1Gi", None),
        ("1e", None),
        ("1e400", None),
        ("1e-400", None),
        ("9Ei", None),
        ("1 e9", None),
        ("1MiMi", None),
        ("1e9Mi", None),
        ("1.2.3", None),
        (".", None),
        ("G", None),
        ("Mi", None),
        ("2 X", None),
        ("1_000", None),
        ("\u0663Gi", None),
        ("inf", None),
        ("nan", None),
        ("", None),
    ],
)
def test_amounts(text: str, bytes_: float | None) -> None:
    assert read_amount(text) == bytes_


@pytest.mark.parametrize(
    ("text", "cores"), [("2", 2.0), ("0.5", 0.5), ("1500m", 1.5), ("m", None), ("two", None)]
)
def test_cores(text: str, cores: float | None) -> None:
    assert read_cores(text) == cores


def test_regions() -> None:
    assert primary_region({}) == "us-east-1"
    assert primary_region({"PRIMARY_REGION": "eu-west-1"}) == "eu-west-1"
    assert primary_region({"PRIMARY_REGION": "eu-west-1", "TES_PRIMARY_REGION": "ap-1"}) == "ap-1"
    assert primary_region({"PRIMARY_REGION": "eu-west-1", "TES_PRIMARY_REGION": " "}) == "eu-west-1"
    assert len(primary_region({"PRIMARY_REGION": "x" * 10_000})) == 64


def test_this_machine() -> None:
    facts = HostSampler(environ={}).facts
    assert 0 < facts.memory_limit <= HOST_MEMORY
    assert 0 < facts.cores_limit <= HOST_CORES


def test_a_refresh_sees_a_new_limit(tmp_path: Path) -> None:
    root = version_two(tmp_path, {"memory.max": "1000000"}, path="/")
    host = sampler(root)
    version_two(tmp_path, {"memory.max": "2000000"}, path="/")
    assert host.refresh().memory_limit == host.facts.memory_limit == 2_000_000
