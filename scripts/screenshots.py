"""Take the pictures of README and docs: `make screenshots`. Every one shows live data, taken while a cell is busy.

JupyterLab (light, dark and twenty seconds of it), Notebook 7, Voilà, the collector's page (light, dark), a match's fair
odds and DevTools, in Chromium. Names on the command line choose some: `python -m scripts.screenshots lab page`.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Playwright, sync_playwright

import tes_nb as tes
from tes_nb.analysis import odds
from tes_nb.simulate import Options, record_day
from tests.support.browser import FLAGS, chromium, until
from tests.support.jupyter import Jupyter, jupyter_lab
from tests.support.network_panel import devtools

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
PORTS = {"BUN_PORT": "3052", "WORKER_API_PORT": "3053"}
URL = f"http://127.0.0.1:{PORTS['BUN_PORT']}/"
SIZE = {"width": 1000, "height": 900}
TALL, LAST_LINE = 1300, 26
ANIMATION_S = 20.0
FRAME_S = 0.5
COLOURS = 64
MOST_BYTES = 1_500_000

START = """import tes_nb as tes

s = tes.start()
s.metrics.plot(["cpu_percent", "memory_rss"], window="1min")"""
NOTEBOOK = START.rpartition("\n")[0] + "\ns.gauge('loss', 0.7)\ns.dashboard()"
MY_TES = (
    START.rpartition("\n")[0]
    + """
first, second = s.ports
a = tes.attach(f"http://127.0.0.1:{first}", workers=f"http://127.0.0.1:{second}")
a.dashboard()"""
)
MATCH_DAY = START.rpartition("\n")[0] + "\nng = s.watch(tes.SIMULATED, speed=20)\ns.dashboard()"
BUSY = """# A busy cell: the chart above keeps moving, it is fed by a process beside the kernel
held = []
for step in range(200):
    held = held[-6:] if step % 9 == 8 else [*held, bytearray(40_000_000)]
    sum(n * n for n in range(step % 5 * 1_500_000 + 500_000))"""
POOL = """from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
    sums = list(pool.map(sum, [range(60_000_000 + 9_000_000 * n) for n in range(60)]))"""
HELD = """import asyncio, time

timer = asyncio.get_running_loop().call_later(3, time.sleep, 25)  # from then on the kernel hears nobody"""

IDLE = "window.jupyterapp?.shell?.currentWidget?.context?.sessionContext?.session?.kernel?.status === 'idle'"
RUN_ALL = "() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
SHUT = "window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown().catch(() => {})"
IS_BUSY = "[...document.querySelectorAll('.jp-InputPrompt')].some((one) => one.textContent === '[*]:')"
LIVE = "document.querySelector('.tes-state')?.dataset.word === 'LIVE'"


class Studio:
    """A browser, a JupyterLab, and where the pictures go."""

    def __init__(self, playwright: Playwright, browser: Browser, lab: Jupyter) -> None:
        self.playwright = playwright
        self.browser = browser
        self.lab = lab

    @contextmanager
    def page(self, address: str, **settings: Any) -> Iterator[Page]:
        with closing(self.browser.new_context(**{"viewport": SIZE, **settings})) as context:
            page = context.new_page()
            page.goto(address, timeout=60_000)
            yield page

    @contextmanager
    def running(
        self, name: str, place: str, *, theme: str = "JupyterLab Light", busy: str = BUSY, start: str = START
    ) -> Iterator[Page]:
        """A notebook whose chart has shown half a minute of the cell below it, which still runs."""
        address = self.lab.notebook(name, start, busy).replace(f"lab/workspaces/{name}/tree", place)
        with self.page(address) as page:
            until(page, IDLE, seconds=60)
            if place != "notebooks":
                choose_theme(page, theme)
            page.evaluate(RUN_ALL)
            until(page, f"{IS_BUSY} && {LIVE}", seconds=60)
            page.locator(".jp-Cell").first.scroll_into_view_if_needed()
            yield page
            page.evaluate(SHUT)


def choose_theme(page: Page, theme: str) -> None:
    page.evaluate("(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
    until(page, "(theme) => document.body.dataset.jpThemeName === theme", arg=theme)


def shot(page: Page | Locator, name: str) -> None:
    """Write a picture with few colours: a screen has no more."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)
    report(name, "png")


def report(name: str, ending: str, most: int = MOST_BYTES) -> None:
    size = (PICTURES / f"{name}.{ending}").stat().st_size
    print(f"{name}.{ending}: {size / 1e3:.0f} kB")
    if size > most:
        sys.exit(f"{name}.{ending} is larger than {most / 1e6} MB; take fewer frames or colours.")


def shoot_lab(studio: Studio) -> None:
    for theme in ("Light", "Dark"):
        with studio.running(f"watch-{theme.lower()}", "doc/tree", theme=f"JupyterLab {theme}") as page:
            time.sleep(32)
            until(page, f"{IS_BUSY} && {LIVE}")
            shot(page, f"jupyterlab-{theme.lower()}")


def shoot_moving(studio: Studio) -> None:
    """Twenty seconds of a chart that moves under a busy cell, in real time."""
    with studio.running("moving", "doc/tree") as page:
        page.set_viewport_size({"width": 860, "height": 800})
        time.sleep(14)
        frames = []
        begin = time.monotonic()
        while time.monotonic() < begin + ANIMATION_S:
            frames.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
            time.sleep(max(0.0, begin + FRAME_S * len(frames) - time.monotonic()))
        if not page.evaluate(f"{IS_BUSY} && {LIVE}"):
            sys.exit("The cell was not busy to the end of the animation.")
    palette = frames[-1].quantize(COLOURS, dither=Image.Dither.NONE)
    few = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    each = round(1000 * ANIMATION_S / len(few))
    few[0].save(
        PICTURES / "moving.gif", save_all=True, append_images=few[1:], duration=each, loop=0, optimize=True
    )
    report("moving", "gif")


def shoot_notebook(studio: Studio) -> None:
    with studio.running("watch-seven", "notebooks") as page:
        time.sleep(25)
        until(page, f"{IS_BUSY} && {LIVE}")
        shot(page, "notebook-7")


def shoot_voila(studio: Studio) -> None:
    """Voilà shows a notebook when its cells are done, so what holds the kernel here begins after them."""
    name = "visited"
    address = studio.lab.notebook(name, START, HELD)
    with studio.page(address.replace(f"lab/workspaces/{name}/tree", "voila/render")) as page:
        until(page, LIVE, seconds=60)
        time.sleep(15)
        shot(page, "voila")


def shoot_page(studio: Studio) -> None:
    with studio.running("beside", "doc/tree", busy=POOL):
        for scheme in ("light", "dark"):
            with studio.page(URL, color_scheme=scheme, viewport={"width": 1000, "height": 1150}) as page:
                until(page, LIVE)
                time.sleep(25)
                shot(page, f"page-{scheme}")


def shoot_first_views(studio: Studio) -> None:
    """My notebook, and my match day with a match that was clicked, while a cell is busy."""
    dashboard = ".tes-dashboard"
    for name, start in (("my-notebook", NOTEBOOK), ("my-match-day", MATCH_DAY)):
        with studio.running(name, "doc/tree", start=start) as page:
            page.set_viewport_size({"width": 1400, "height": 1500})
            page.locator(dashboard).scroll_into_view_if_needed()
            time.sleep(12)
            if name == "my-match-day":
                page.locator(f"{dashboard} .tes-space .tes-row").nth(1).click()
                time.sleep(4)
            shot(page.locator(dashboard), name)


def shoot_persons(studio: Studio) -> None:
    """What each of three persons sees first, wide and narrow, light and dark, during one busy cell."""
    persons = {"notebook": NOTEBOOK, "tes": MY_TES, "match-day": MATCH_DAY}
    for person, start in persons.items():
        with studio.running(f"sees-{person}", "doc/tree", start=start, busy=POOL) as page:
            page.set_viewport_size({"width": 1400, "height": TALL})
            dashboard = page.locator(".tes-dashboard")
            dashboard.scroll_into_view_if_needed()
            time.sleep(15)
            if person == "match-day":
                dashboard.locator(".tes-space .tes-row").nth(1).click()
            for scheme in ("light", "dark"):
                choose_theme(page, f"JupyterLab {scheme.title()}")
                for width in (1400, 900, 400):
                    page.set_viewport_size({"width": width, "height": TALL})
                    dashboard.evaluate("(element) => element.scrollIntoView({ block: 'start' })")
                    time.sleep(3)
                    until(page, IS_BUSY)
                    small(dashboard, f"{person}-{width}-{scheme}")


def small(view: Locator, name: str) -> None:
    """Write a picture for docs that have many."""
    box = view.bounding_box()
    assert box is not None
    clip = {**box, "height": min(box["height"], TALL - LAST_LINE - box["y"])}
    picture = Image.open(io.BytesIO(view.page.screenshot(clip=clip))).convert("RGB")  # type: ignore[arg-type]
    picture.save(PICTURES / f"{name}.webp", quality=70, method=6)
    report(name, "webp", 100_000)


def shoot_odds(studio: Studio) -> None:
    """What `analysis.odds` makes of a recorded match: the figure of docs/data.md."""
    with tempfile.TemporaryDirectory() as folder:
        day = record_day(Path(folder) / "day.tes", Options(seed=2), minutes=110)
        with tes.open(day) as recorded:
            match = recorded.feeds["simulated"].match("9000010")
            fair = odds.implied(match.prices.query("market == '1x2'"), method="shin")
            goals = match.goals
        figure = fair[["home", "draw", "away"]].plot.area(backend="plotly", title=match.title)
        for goal in goals.itertuples():
            figure.add_vline(x=goal.Index)
            score = f"{goal.home_goals}:{goal.away_goals}"
            figure.add_annotation(
                x=goal.Index, y=1, yref="paper", yanchor="bottom", text=score, showarrow=False
            )
        figure.update_layout(
            yaxis={"title": "fair chance", "tickformat": ".0%", "range": [0, 1]},
            xaxis_title="UTC",
            legend_title="",
            margin={"t": 70, "b": 40},
        )
        drawn = Path(folder) / "odds.html"
        figure.write_html(drawn, include_plotlyjs=True)
        with studio.page(drawn.as_uri(), viewport={"width": 900, "height": 420}) as page:
            page.wait_for_selector(".js-plotly-plot .scatterlayer .trace")
            shot(page, "odds")


def shoot_devtools(studio: Studio) -> None:
    with studio.running("inspected", "doc/tree", busy=POOL):
        path = chromium()
        assert path is not None
        with devtools(studio.playwright, path) as chrome:
            chrome.page.goto(URL)
            until(chrome.page, LIVE)
            time.sleep(5)
            chrome.sockets()
            chrome.messages("telemetry")
            time.sleep(1)
            chrome.tools.locator('text=/^\\{"timestamp"/').last.click()
            time.sleep(1)
            shot(chrome.tools, "devtools")


TAKES: dict[str, Callable[[Studio], None]] = {
    "lab": shoot_lab,
    "moving": shoot_moving,
    "notebook": shoot_notebook,
    "voila": shoot_voila,
    "page": shoot_page,
    "views": shoot_first_views,
    "persons": shoot_persons,
    "odds": shoot_odds,
    "devtools": shoot_devtools,
}


def main(names: list[str]) -> None:
    unknown = set(names) - set(TAKES)
    path = chromium()
    if unknown or path is None:
        sys.exit(
            f"There is no picture {unknown}; there are {', '.join(TAKES)}."
            if unknown
            else "There is no Chromium."
        )
    PICTURES.mkdir(parents=True, exist_ok=True)
    os.environ.pop("TES_DEV_TOKEN", None)
    with (
        tempfile.TemporaryDirectory() as folder,
        jupyter_lab(Path(folder), environ=PORTS) as lab,
        sync_playwright() as playwright,
        closing(playwright.chromium.launch(executable_path=path, args=FLAGS)) as browser,
    ):
        studio = Studio(playwright, browser, lab)
        for name in names or TAKES:
            TAKES[name](studio)


if __name__ == "__main__":
    main(sys.argv[1:])
