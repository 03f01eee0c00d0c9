"""`python -m benchmarks.profile_feed [commit]`: where kernel and collector spend their time at 5,000 messages a second.

The ten functions with the largest share of each process, now and as the package was at a commit, seen by py-spy 400
times a second while they hold the interpreter, go into `docs/performance.md`. Counted is a function's own time, without
what it calls in Python; what is written in C counts as the function that calls it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from benchmarks import report
from benchmarks.bench_feed import KINDS, Case, cpu_s, feed, jwt, packed
from benchmarks.bench_nowgoal import some_ticks
from benchmarks.workload import line, python

RATE = 5_000
SECONDS = 8
TOP = 10
BEGIN, END = "<!-- profile: begin -->", "<!-- profile: end -->"
ROOT = Path(__file__).parent.parent

KERNEL = """
import sys
sys.path.insert(0, sys.argv[1])
import tes_nb as tes
from pathlib import Path
assert Path(tes.__file__).is_relative_to(sys.argv[1])
with tes.start(ports=(0, 0)) as session:
    watched = session.watch(tes.NOWGOAL.with_endpoint(url=sys.argv[2], token=sys.argv[3], name="feed"))
    print(session.collector_pid, flush=True)
    for _ in sys.stdin:
        print(watched.store.tables["ticks"].total, flush=True)
"""
"""A session that reads the feed until its input ends; each line of it asks how many rows there are."""


def main() -> int:
    """Profile this tree, and the package at a commit if one is given, in turns of the same run."""
    commit = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "messages"
        ticks = (packed(json.dumps(some_ticks(1, seed), separators=(",", ":"))) for seed in range(KINDS))
        path.write_bytes(b"".join(len(one).to_bytes(4, "little") + one for one in ticks))
        trees = {"now": ROOT}
        if commit is not None:
            trees = {f"at {commit}": checked_out(commit, Path(folder) / "before"), **trees}
        texts = [profiled(name, tree, path) for name, tree in trees.items()]
    body = "\n\n".join(texts)
    print(body)
    page = report.PAGE.read_text(encoding="utf-8")
    before, after = page.split(BEGIN, 1)[0], page.split(END, 1)[1]
    report.PAGE.write_text(f"{before}{BEGIN}\n{body}\n\n{END}{after}", encoding="utf-8")
    return 0


def checked_out(commit: str, folder: Path) -> Path:
    """The package as it was then."""
    folder.mkdir()
    archive = subprocess.run(
        ["git", "archive", commit, "tes_nb"], check=True, capture_output=True, cwd=ROOT
    ).stdout
    subprocess.run(["tar", "x", "-C", str(folder)], input=archive, check=True)
    return folder


def profiled(name: str, tree: Path, path: Path) -> str:
    """Run a session of that tree beside the feed; return its profile as Markdown."""
    case = Case("", "", [], "ticks", 1, RATE * (SECONDS + 30), RATE, 0)
    with feed(path, case) as url, python(KERNEL, tree, url, jwt()) as kernel:
        pids = {"kernel": kernel.pid, "collector": int(line(kernel.stdout))}
        time.sleep(3.0)
        rows = told(kernel)
        cpu = {what: cpu_s(psutil.Process(pid)) for what, pid in pids.items()}
        time.sleep(SECONDS / 2)
        cpu = {what: cpu_s(psutil.Process(pid)) - cpu[what] for what, pid in pids.items()}
        rows = told(kernel) - rows
        shares = {what: seen(pid, path.with_name(f"{what}.txt")) for what, pid in pids.items()}
    parts = [f"{what} {seconds / rows * 1e6:.0f} µs a message" for what, seconds in cpu.items()]
    text = f"**{name}**: {', '.join(parts)} of CPU time, at {rows / SECONDS * 2:,.0f} messages/s.\n\n"
    text += "| kernel | share | collector | share |\n|---|---|---|---|"
    for ours, theirs in zip(shares["kernel"], shares["collector"], strict=True):
        text += f"\n| `{ours[0]}` | {ours[1]:.1f} % | `{theirs[0]}` | {theirs[1]:.1f} % |"
    return text


def told(kernel: subprocess.Popen[str]) -> int:
    """The rows it has now."""
    assert kernel.stdin is not None
    kernel.stdin.write("\n")
    kernel.stdin.flush()
    return int(line(kernel.stdout))


def seen(pid: int, out: Path) -> list[tuple[str, float]]:
    """The functions in which a process was seen most often, and how often of all times that it ran, in percent."""
    command = [
        str(Path(sys.executable).with_name("py-spy")),
        "record",
        "--rate",
        "400",
        "--duration",
        str(SECONDS // 2),
        "--function",
        "--gil",
    ]
    spy = subprocess.run(
        [*command, "--format", "raw", "--output", str(out), "--pid", str(pid)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if spy.returncode:
        raise SystemExit(f"py-spy could not look into process {pid}: {spy.stderr}")
    counts: Counter[str] = Counter()
    for text in out.read_text(encoding="utf-8").splitlines():
        stack, count = text.rsplit(" ", 1)
        counts[stack.rsplit(";", 1)[-1].replace("|", "/")] += int(count)
    every = sum(counts.values())
    return [(function, 100 * count / every) for function, count in counts.most_common(TOP)]


if __name__ == "__main__":
    sys.exit(main())
