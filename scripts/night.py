"""Try every part of a night by turns until its time is up: kills, damage, full disks, interrupts, forks, soak.

    python -m scripts.night --minutes 480 --seed 1
    python -m scripts.night --minutes 60 --until flips=10000 processes=2000

With --until the parts that are named run until they have so many kills, changed bytes and the like (the first figure of
a part), the others once each, and the night is over when they have.
Each round runs in a process of its own with a seed of its own; one that went wrong prints the command that does the
same again. The last line is the night in JSON. A night of half an hour and more, and one with --until, is kept in
docs/nights.jsonl and docs/faults.md. Exit code 0 = nothing went wrong; 1 = something did.
"""

from __future__ import annotations

import argparse
import json
import secrets
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts.night_rounds import ROUNDS
from tes_nb import __version__

ROOT = Path(__file__).resolve().parents[1]
NIGHTS = ROOT / "docs" / "nights.jsonl"
KEPT_FROM_MINUTES = 30.0
ROUND_TIMEOUT_S = 600.0
SHORT = {"soak": 20.0}
"""Parts whose round takes minutes: they have no place in a night of fewer minutes than this."""


@dataclass(slots=True)
class Part:
    """What a part of the night came to."""

    name: str
    spent_s: float = 0.0
    begun: int = 0
    rounds: int = 0
    """Those that are over."""
    wrong: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def done(self, until: dict[str, int], *, late: bool) -> bool:
        """Whether it needs no round any more; `until`: how much some parts have to try, {} = as much as time allows."""
        if not self.begun:
            return False
        return late if late or not until else self.tried >= until.get(self.name, 0)

    @property
    def tried(self) -> int:
        """What a round counts first: kills, changed bytes, disks and the like."""
        return next(iter(self.counts.values()), 0)


def main() -> int:
    """Run, report, and keep the counts."""
    options = _arguments()
    print(f"A night of {options.minutes:g} minutes with seed {options.seed}.", flush=True)
    names = options.only or [name for name in ROUNDS if options.minutes >= SHORT.get(name, 0.0)]
    parts = [Part(name) for name in names]
    began = time.monotonic()
    end = began + options.minutes * 60
    until, turn = dict(options.until), threading.Lock()

    def rounds(_: int) -> None:
        while True:
            with turn:
                late = time.monotonic() > end
                left = [part for part in parts if not part.done(until, late=late)]
                if not left:
                    return
                part = min(left, key=lambda part: (part.spent_s, part.begun))
                part.begun += 1
            one_round(part, part.begun - 1, options.seed)

    with ThreadPoolExecutor(options.jobs) as threads:
        list(threads.map(rounds, range(options.jobs)))
    night = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "version": __version__,
        "minutes": round((time.monotonic() - began) / 60, 1),
        "seed": options.seed,
        "wrong": sum(part.wrong for part in parts),
        "parts": {part.name: _figures(part) for part in parts},
    }
    line = json.dumps(night)
    if until or options.minutes >= KEPT_FROM_MINUTES:
        with NIGHTS.open("a") as kept:
            kept.write(line + "\n")
        subprocess.run([sys.executable, "scripts/make_docs.py"], cwd=ROOT, check=True)
    print(line)
    return 1 if night["wrong"] else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=480.0)
    parser.add_argument(
        "--seed", type=int, default=secrets.randbelow(10**6), help="else one by chance, printed"
    )
    parser.add_argument("--jobs", type=int, default=1, help="rounds side by side")
    parser.add_argument("--only", nargs="*", choices=list(ROUNDS), help="these parts alone")
    parser.add_argument(
        "--until", nargs="*", type=_goal, default=[], metavar="PART=COUNT", help="how much parts have to try"
    )
    return parser.parse_args()


def _goal(text: str) -> tuple[str, int]:
    part, _, count = text.partition("=")
    if part not in ROUNDS:
        raise argparse.ArgumentTypeError(f"there is no part '{part}', only {', '.join(ROUNDS)}")
    return part, int(count)


def one_round(part: Part, number: int, seed: int) -> None:
    """Do a round of a part and add up what it says."""
    own = seed * 1_000_003 + number * 101 + list(ROUNDS).index(part.name)
    command = [sys.executable, "-m", "scripts.night_rounds", part.name, str(own)]
    began = time.monotonic()
    result = _result(command)
    part.spent_s += time.monotonic() - began
    part.rounds += 1
    part.counts.update(result["counts"])
    part.wrong += bool(result["wrong"])
    counts = ", ".join(f"{name} {value:,}" for name, value in result["counts"].items())
    print(f"{part.name} {part.rounds}: {counts} ({time.monotonic() - began:.1f} s)", flush=True)
    for sentence in result["wrong"]:
        print(f"  WRONG: {sentence}", flush=True)
    if result["wrong"]:
        print(f"  Again: python {' '.join(command[1:])}", flush=True)


def _result(command: list[str]) -> dict[str, Any]:
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=ROUND_TIMEOUT_S, check=False
        )
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"counts": {}, "wrong": [f"not over within {ROUND_TIMEOUT_S:g} s"]}
    except (IndexError, ValueError):
        return {"counts": {}, "wrong": [f"exit code {done.returncode}: {done.stderr[-1500:]}"]}
    return result


def _figures(part: Part) -> dict[str, Any]:
    rows = list(ROUNDS[part.name][1])
    return {"rows": rows, "rounds": part.rounds, "wrong": part.wrong, "counts": dict(part.counts)}


if __name__ == "__main__":
    sys.exit(main())
