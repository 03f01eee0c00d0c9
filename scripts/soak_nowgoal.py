"""Watch a simulated NowGoal under random faults for a long time, then settle the loss ledger.

    python scripts/soak_nowgoal.py --minutes 10 --every 3

Exit code 0 = nothing unexplained, doubled or reordered; 1 = something was.
"""

from __future__ import annotations

import argparse
import sys
import time

import psutil

import tes_nb as tes
from tes_nb.errors import TesError
from tes_nb.session.nowgoal.feed import NowGoalFeed


def main() -> int:
    """Run and report."""
    options = _arguments()
    with tes.start(ports=(0, 0)) as session:
        feed = session.watch(
            tes.SIMULATED,
            channels=["scores", "odds", "basketball_scores", "basketball_odds", "tes_ticks_xml"],
            speed=options.speed,
            seed=options.seed,
            token_life_s=options.token_life,
            faults=[f"random:every={options.every}"],
        )
        collector = psutil.Process(session._backend.pid)  # noqa: SLF001 - its memory is part of the report
        began = time.monotonic()
        while time.monotonic() - began < options.minutes * 60:
            time.sleep(min(30.0, options.minutes * 60))
            _progress(feed, collector, time.monotonic() - began)
        return _settle(feed, time.monotonic() - began)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every", type=float, default=3.0, help="mean seconds between faults")
    parser.add_argument("--speed", type=float, default=50.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--token-life", type=float, default=60.0)
    return parser.parse_args()


def _progress(feed: NowGoalFeed, collector: psutil.Process, seconds: float) -> None:
    memory = (collector.memory_info().rss / 1e6, psutil.Process().memory_info().rss / 1e6)
    print(
        f"{seconds:6.0f} s  {feed.messages:7} messages  {feed.state}  "
        f"collector {memory[0]:.0f} MB, kernel {memory[1]:.0f} MB",
        flush=True,
    )


def _settle(feed: NowGoalFeed, seconds: float) -> int:
    """End the faults, wait for a calm feed, and compare both sides."""
    assert feed.stand_in is not None
    faults = feed.stand_in.ledger()["strikes"]
    feed.stand_in.clear_faults()
    try:
        feed.wait(rows=20, timeout=120)
    except TesError as error:
        print(f"The feed did not come back: {error}")
        return 1
    ledger = feed.ledger()
    counts = feed.store.counts()
    print(f"\n{seconds:.0f} s, {faults.get('random', 0)} random faults: {faults}")
    print(
        f"connections: {len(feed.stand_in.ledger()['connections'])}, duplicates left out: {counts.duplicates}"
    )
    print(f"undecoded: {dict(counts.decode_errors)}")
    print(ledger)
    return 0 if ledger.balanced else 1


if __name__ == "__main__":
    sys.exit(main())
