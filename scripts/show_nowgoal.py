"""The way a user goes: `tes-nb simulate` in one shell, a notebook in JupyterLab in Chromium, then `ng.ledger()`.

    python -m scripts.show_nowgoal --minutes 10 --every 3

Prints what the last cell shows. Exit code 0 = the ledger is balanced; 1 = it is not.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.support.browser import FLAGS, chromium
from tests.support.jupyter import jupyter_lab

WATCH = """
import time
import tes_nb as tes
s = tes.start(ports=(0, 0))
ng = s.watch({watched})
ng
"""
HOLD = """
up, end = [], time.monotonic() + {seconds}
while time.monotonic() < end:
    up.append(ng.state == "OPEN")
    time.sleep(0.25)
print(f"up {{sum(up) / len(up):.0%}} of the time; {{ng.state}}")
print(sorted(ng.stand_in.ledger()["strikes"].items()))
"""
SETTLE = """
ng.stand_in.clear_faults()
ng.wait(rows=20, timeout=120)
print(ng.ledger())
"""
READY = "window.jupyterapp?.shell?.currentWidget?.context?.sessionContext?.session?.kernel?.status === 'idle'"
RUN = "window.jupyterapp.commands.execute('notebook:run-all-cells'); null"


def main() -> int:
    """Run and report."""
    options = _arguments()
    with tempfile.TemporaryDirectory() as folder, _simulated(options.speed, options.every) as watched:
        cells = (WATCH.format(watched=watched), HOLD.format(seconds=options.minutes * 60), SETTLE)
        with jupyter_lab(Path(folder)) as lab, _page() as page:
            page.goto(lab.notebook("nowgoal", *cells))
            page.wait_for_function(READY, timeout=60_000)
            page.evaluate(RUN)
            outputs = _outputs(page, len(cells), options.minutes * 60 + 240)
    print(*outputs, sep="\n\n")
    return 0 if "<loss ledger, balanced" in outputs[-1] else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every", type=float, default=3.0, help="mean seconds between faults")
    parser.add_argument("--speed", type=float, default=50.0)
    return parser.parse_args()


@contextmanager
def _simulated(speed: float, every: float) -> Iterator[str]:
    """Run the command; yield what it says a notebook should watch."""
    command = [str(Path(sys.executable).with_name("tes-nb")), "simulate", "--port=0", f"--speed={speed}"]
    stand_in = subprocess.Popen(
        [*command, f"--fault=random:every={every}"], stdout=subprocess.PIPE, text=True
    )
    assert stand_in.stdout is not None
    try:
        for line in stand_in.stdout:
            if match := re.search(r"s\.watch\((.*)\)$", line.strip()):
                yield match[1]
                return
        raise RuntimeError("tes-nb simulate said nothing to watch.")
    finally:
        stand_in.terminate()
        stand_in.wait(10)
        stand_in.stdout.close()


@contextmanager
def _page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield browser.new_page(viewport={"width": 1200, "height": 1600})
        browser.close()


def _outputs(page: Page, cells: int, seconds: float) -> list[str]:
    """Wait until the last cell has run; return what each one shows."""
    places = [page.locator(".jp-Notebook .jp-CodeCell").nth(place) for place in range(cells)]
    prompt = places[-1].locator(".jp-InputPrompt").first
    end = time.monotonic() + seconds
    while not re.fullmatch(r"\[\d+\]:", (prompt.text_content() or "").strip()):
        if time.monotonic() > end:
            break
        time.sleep(1)
    time.sleep(1)
    return ["\n".join(cell.locator(".jp-OutputArea-output").all_inner_texts()) for cell in places]


if __name__ == "__main__":
    sys.exit(main())
