"""`python -m benchmarks [names] [--quick]`: run them, write `results.json`, refresh `docs/performance.md`.

Names are files without "bench_" ("columns") or requirements ("P3"). Each file runs in a process of its own,
so that no benchmark sees the memory, threads or garbage of another, and one that hangs ends after its time.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.harness import Skipped

HERE = Path(__file__).parent
TIME_LIMIT_S = 600
APART = {"browser"}
"""Takes as long as all others together, and has a command of its own: make bench-browser."""


def names() -> list[str]:
    """Return the benchmarks there are."""
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def chosen(words: list[str]) -> list[str]:
    """Return the files that were asked for, by their own name or by a requirement their docstring names."""
    if not words:
        return [name for name in names() if name not in APART]
    matches = [
        name
        for name in names()
        if any(word.removeprefix("bench_") == name or _measures(name, word) for word in words)
    ]
    if not matches:
        raise SystemExit(f"No benchmark is called {' or '.join(words)}; there are: {', '.join(names())}.")
    return matches


def _measures(name: str, requirement: str) -> bool:
    if not requirement[1:].isdigit():  # "P3"; a mere word of the docstring is no requirement
        return False
    heading = (HERE / f"bench_{name}.py").read_text(encoding="utf-8").split('"""')[1]
    return requirement in heading.replace(",", " ").replace(":", " ").split()


def run_here(name: str, out: Path, *, quick: bool) -> int:
    """Run one file in this process; its results go to `out`, line by line as they come."""
    module = importlib.import_module(f"benchmarks.bench_{name}")
    try:
        with out.open("a", encoding="utf-8") as lines:
            for result in module.run(quick=quick):
                print(result.line(), flush=True)
                lines.write(json.dumps({**result.as_dict(), "benchmark": name}) + "\n")
                lines.flush()
    except Skipped as reason:
        print(f"skipped {name}: {reason}", flush=True)
    return 0


def run_apart(name: str, *, quick: bool) -> tuple[list[dict[str, Any]], bool]:
    """Run one file in a new process; return its results and whether it ended well."""
    print(f"== {name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results.jsonl"
        command = [sys.executable, "-m", "benchmarks", "--child", name, "--out", str(out)]
        try:
            done = subprocess.run(
                command + (["--quick"] if quick else []), check=False, cwd=HERE.parent, timeout=TIME_LIMIT_S
            )
            well = done.returncode == 0
        except subprocess.TimeoutExpired:
            print(f"{name} took more than {TIME_LIMIT_S} s and was ended", flush=True)
            well = False
        lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    return [json.loads(line) for line in lines], well


def arguments() -> argparse.Namespace:
    """Return the command line's words."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help="files or requirements; none = all")
    parser.add_argument("--quick", action="store_true", help="shortest runs; nothing is written")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Run what was asked for; 1 when a benchmark failed to run (a missed goal is no failure)."""
    options = arguments()
    if options.child:
        return run_here(options.child, options.out, quick=options.quick)
    all_well = True
    for name in chosen(options.names):
        began = time.monotonic()
        results, well = run_apart(name, quick=options.quick)
        print(f"   {name}: {time.monotonic() - began:.0f} s", flush=True)
        all_well &= well
        if results and not options.quick:
            report.store(name, results)
    if not options.quick:
        report.refresh_page()
    return 0 if all_well else 1


sys.exit(main())
