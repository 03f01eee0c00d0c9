"""Make a large session of a short real one; open it, read its end, export it, and compare every value with the export.

    python scripts/large_session.py --megabytes 500
    python scripts/large_session.py --megabytes 1000 --no-export

Prints how long `info()` and `frame(last="1min")` take against a full read, and how much more memory the export of the
large session takes than that of the short one. Exit code 0 = every value came back and the memory stayed flat; 1 = not.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pandas as pd
from msgspec.structs import replace

import tes_nb as tes
from tes_nb.model import Message, Opcode
from tes_nb.store.session.reader import SessionFile
from tes_nb.store.session.schema import SourceInfo
from tes_nb.store.session.writer import SessionWriter

CHANNELS = ["scores", "odds", "basketball_scores", "basketball_odds", "tes_ticks_xml"]
SPAN_NS = 3600 * 10**9
"""The large session lasts an hour."""
GROUP = 4096
MOST_MB = 150.0
"""What the export may take beyond the interpreter and its libraries."""
EXPORT = """
import sys
import tes_nb as tes
with tes.open(sys.argv[1]) as session:
    session.to_csv(sys.argv[2], progress=False)
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=500.0)
    parser.add_argument("--record", type=float, default=6.0, help="seconds of the short session")
    parser.add_argument("--speed", type=float, default=5.0, help="of the simulated feed")
    parser.add_argument("--export", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        short, large = folder / "short.tes", folder / "large.tes"
        record(short, options.record, options.speed)
        count = repeat(short, large, options.megabytes * 1e6)
        print(f"{large.stat().st_size / 1e6:,.0f} MB, {count:,} messages, 1 h", flush=True)
        read(large)
        return export(folder, short, large) if options.export else 0


def record(path: Path, seconds: float, speed: float) -> None:
    """Record the three streams and a simulated feed."""
    with tes.start(ports=(0, 0)) as session, session.record(path):
        feed = session.watch(tes.SIMULATED, channels=CHANNELS, speed=speed)
        feed.wait(rows=3, timeout=30)
        children = [
            subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"]) for _ in "ab"
        ]
        for child in children:
            child.wait()


def repeat(short: Path, large: Path, size: float) -> int:
    """Write the messages of a session again and again, an hour in all; return how many there are."""
    with SessionFile.open(short) as file:
        messages = [one for one in file.messages() if one.opcode != Opcode.EVENT]
        sources = [SourceInfo(one.name, one.stream, one.url) for one in file.sources.values()]
    times = int(size / sum(len(one.payload) + 60 for one in messages)) + 1
    writer = SessionWriter(large, time=(messages[0].t_wall_ns, messages[0].t_mono_ns))
    writer.append(sources)
    following = _following(messages, times)
    while group := list(islice(following, GROUP)):
        writer.append(group)
    writer.close()
    return times * len(messages)


def _following(messages: list[Message], times: int) -> Iterator[Message]:
    """The same messages one time after the other, with positions and times that go on."""
    last: dict[str, int] = {}
    began, wall = messages[0].t_mono_ns, messages[0].t_wall_ns
    length = messages[-1].t_mono_ns - began
    for turn in range(times):
        for one in messages:
            last[one.source] = seq = last.get(one.source, 0) + 1
            at = (turn * length + one.t_mono_ns - began) * SPAN_NS // (times * length)
            yield replace(one, seq=seq, t_wall_ns=wall + at, t_mono_ns=began + at)


def read(path: Path) -> None:
    """Time how soon figures and the last minute are there."""

    def opened(look: Callable[[tes.RecordedSession], object]) -> float:
        gc.collect()
        began = time.perf_counter()
        with tes.open(path) as session:
            look(session)
        return time.perf_counter() - began

    info = opened(lambda session: session.info())
    print(f"open to info(): {info * 1e3:,.0f} ms", flush=True)
    for name in ("metrics", "simulated"):
        feed = name
        last = opened(lambda session: session.feeds[feed].frame(last="1min"))  # noqa: B023 - called at once
        whole = opened(lambda session: session.feeds[feed].frame())  # noqa: B023
        print(
            f'{name}.frame(last="1min"): {last:,.2f} s, {last / whole:.1%} of {whole:,.1f} s for all',
            flush=True,
        )


def export(folder: Path, short: Path, large: Path) -> int:
    """Export both, compare the peaks, and read the large one back."""
    peaks = {}
    for path in (short, large):
        began = time.perf_counter()
        command = [sys.executable, "-c", EXPORT, str(path), str(folder / path.stem)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[path] = int(done.stdout) / 1000
        print(
            f"export of {path.name}: {time.perf_counter() - began:,.1f} s, peak {peaks[path]:,.0f} MB",
            flush=True,
        )
    more = peaks[large] - peaks[short]
    print(f"the large one took {more:,.0f} MB more than the short one", flush=True)
    return 1 if compare(folder / large.stem, large) or more > MOST_MB else 0


def compare(folder: Path, path: Path) -> int:
    """Return in how many tables a value differs between the CSV files and the session."""
    wrong, rows = 0, 0
    frames = tes.read_csv(folder)
    with tes.open(path) as session:
        for feed in session.feeds.values():
            for one in feed.origin.exports():
                back = frames.pop(one.stem)
                try:
                    pd.testing.assert_frame_equal(back, feed.frame(one.table.name), check_exact=True)
                except AssertionError as error:
                    wrong += 1
                    print(f"WRONG: {one.stem}: {error}")
                rows += len(back)
            feed.origin.__dict__.pop("store", None)  # the next one needs the memory
        wrong += list(frames.pop("marks")["label"]) != list(session.marks["label"])
    print(f"{rows:,} rows came back, {wrong} tables differ")
    return wrong + len(frames)


if __name__ == "__main__":
    sys.exit(main())
