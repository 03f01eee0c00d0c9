"""Record the three streams and a simulated NowGoal at full speed, kill the collector at a random moment, and settle up.

    python scripts/kill_recording.py --seconds 60 --rate 10000 --feeds 2 --rounds 3

`--rate` is for all feeds together; how many a stand-in can send depends on the machine, so what came is printed. The
collector does the recording, so the kernel need not read the feeds beside it: that takes a core of its own (`--look`).
Of every round: what was acknowledged must be readable, `tes-nb check` must find the file whole, and every message that
the stand-in sent before the last recorded one must be there or lie in a gap that the file names.
Exit code 0 = it was so in every round; 1 = it was not.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import tes_nb as tes
from tes_nb.analysis.ledger import received_in
from tes_nb.errors import TesError
from tes_nb.net.loop import background
from tes_nb.session.nowgoal.feed import NowGoalFeed
from tes_nb.session.recordings import Recording
from tes_nb.simulate import StandInClient, reconcile
from tes_nb.store.session.reader import SessionFile

CHANNELS = ["scores", "odds", "basketball_scores", "basketball_odds", "tes_ticks_xml"]
WARM_UP_S = 1.0
ASK_EVERY_S = 0.01
REPEAT_AFTER = 5_000
"""Messages after which the stand-in repeats itself: composing new ones would take more than all the rest."""


@dataclass(slots=True)
class Round:
    """What one kill left behind."""

    path: Path
    seconds: float
    acknowledged: dict[str, int] = field(default_factory=dict)
    """Source → the last position that was acknowledged before the kill."""
    wrong: list[str] = field(default_factory=list)
    """What must not be, a sentence each."""


def main() -> int:
    """Run and report."""
    options = _arguments()
    chance = random.Random(options.seed)  # noqa: S311 - when to kill is no secret
    failed = 0
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            after = chance.uniform(0.5, 1.0) * options.seconds
            done = one_round(Path(folder) / f"{number}.tes", after, options)
            failed += bool(done.wrong)
            print(
                "\n".join(f"  WRONG: {sentence}" for sentence in done.wrong) or "  all is accounted for",
                flush=True,
            )
    print(f"{options.rounds - failed} of {options.rounds} rounds left nothing unexplained.")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="a kill comes in the second half of these"
    )
    parser.add_argument(
        "--rate", type=float, default=10_000.0, help="messages a second that the stand-in may send"
    )
    parser.add_argument(
        "--feeds", type=int, default=2, help="simulated feeds, each from a process of its own"
    )
    parser.add_argument("--look", action="store_true", help="let the kernel read and decode the feeds, too")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--every", type=float, default=10.0, help="mean seconds between faults of the feed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the recordings go; else a temporary folder")
    return parser.parse_args()


def one_round(path: Path, seconds: float, options: argparse.Namespace) -> Round:
    """Record, kill, and look at what is there."""
    done = Round(path, seconds)
    with tes.start(ports=(0, 0)) as session:
        recording = session.record(path)
        feeds = [watch(session, number, options) for number in range(1, options.feeds + 1)]
        time.sleep(WARM_UP_S)
        for feed in feeds:
            stand_in(feed).post(f"random:every={options.every}")
        kill(session._backend.pid, recording, done)  # noqa: SLF001 - the collector is to be killed
        for feed in feeds:
            stand_in(feed).clear_faults()
        settle(done, feeds)
    return done


def watch(session: tes.Session, number: int, options: argparse.Namespace) -> NowGoalFeed:
    """Begin a simulated feed."""
    feed = session.watch(
        tes.SIMULATED.with_endpoint(name=f"simulated_{number}"),
        channels=CHANNELS,
        speed=None,
        rate=options.rate / options.feeds,
        reel=REPEAT_AFTER,
        seed=options.seed + number,
    )
    if not options.look:
        background().run(session._readers[feed.source].stop(), timeout=10)  # noqa: SLF001
    return feed


def stand_in(feed: NowGoalFeed) -> StandInClient:
    """Return what sends the feed."""
    assert feed.stand_in is not None
    return feed.stand_in


def kill(pid: int, recording: Recording, done: Round) -> None:
    """Ask for acknowledgements until a thread has killed the collector at its moment."""
    killer = threading.Timer(done.seconds, os.kill, (pid, signal.SIGKILL))
    killer.start()
    try:
        while killer.is_alive():
            done.acknowledged = recording.committed
            time.sleep(ASK_EVERY_S)
    except TesError:
        pass  # that was it
    finally:
        killer.join()


def settle(done: Round, feeds: list[NowGoalFeed]) -> None:
    """Compare the file with what was acknowledged and with what was sent."""
    command = [str(Path(sys.executable).with_name("tes-nb")), "check", str(done.path)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    print(f"killed after {done.seconds:.1f} s. {checked.stdout.strip()}")
    if checked.returncode:
        done.wrong.append(f"tes-nb check: exit code {checked.returncode}: {checked.stderr}")
    with SessionFile.open(done.path) as file:
        for source, last in done.acknowledged.items():
            _compare(done, file, source, last)
        for feed in feeds:
            _account(done, file, feed)
        causes = Counter(one.gap.cause for one in file.gaps)
        print(f"  gaps: {dict(causes)}")
        if any(one.source is None for one in file.gaps):
            done.wrong.append("the recorder could not keep up, as its gaps say")


def _compare(done: Round, file: SessionFile, source: str, acknowledged: int) -> None:
    seqs = [message.seq for message in file.messages(source)]
    rate = len(seqs) / done.seconds
    print(
        f"  {source}: {len(seqs):,} messages readable, {rate:,.0f}/s; "
        f"acknowledged up to {acknowledged:,} of {seqs[-1]:,}"
    )
    if seqs != list(range(seqs[0], seqs[0] + len(seqs))):
        done.wrong.append(f"{source}: positions are missing or doubled")
    if seqs[-1] < acknowledged:
        done.wrong.append(f"{source}: {acknowledged - seqs[-1]:,} acknowledged messages are lost")


def _account(done: Round, file: SessionFile, feed: NowGoalFeed) -> None:
    """Settle the loss ledger of the file: sent, received, missing in gaps, unexplained."""
    gaps = [one.gap for one in file.gaps if one.source == feed.source]
    received = received_in(file.messages(feed.source))
    sent = stand_in(feed).sent(feed._subscriber)  # noqa: SLF001 - how the stand-in knows us
    ledger = reconcile(sent, received, gaps, until=received[-1][0])
    print(f"  {feed.source}: {ledger}")
    if not ledger.balanced:
        done.wrong.append(f"{feed.source}: the ledger is not balanced")


if __name__ == "__main__":
    sys.exit(main())
