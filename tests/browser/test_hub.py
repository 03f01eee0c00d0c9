"""Behind a hub: the page and its sockets through a real jupyter-server-proxy, below the user's prefix.

The server is given what a hub gives it: the prefix and variables called JUPYTERHUB_*. Browsers reach it under a name
that is no loopback address' (`hub.test`, which this browser alone resolves to this machine).
"""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest

from tests.browser.conftest import PICTURES
from tests.browser.test_jupyterlab import Notebook
from tests.support.browser import FLAGS, chromium, until
from tests.support.jupyter import jupyter_lab

PREFIX = "/user/me/"
START = """
from pathlib import Path
import tes_nb as tes
s = tes.start(ports=(0, 0))
Path("told").write_text(f"{s.url} {str(s.token)} {s._backend.ports[1]}")
s
"""
PAGE_STATES = (
    "[...document.querySelectorAll('[role=tabpanel]:not([hidden]) .tes-view:not([hidden]) .tes-state')]"
    ".map((one) => one.textContent)"
)


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as one:
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    pytest.importorskip("jupyter_server_proxy")
    port = free_port()
    env = {
        "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
        "JUPYTERHUB_USER": "me",
        "TES_PUBLIC_URL": f"http://hub.test:{port}/",
    }
    options = [f"--ServerApp.base_url={PREFIX}", "--ServerApp.allow_remote_access=True"]
    with jupyter_lab(tmp_path_factory.mktemp("hub"), port=port, environ=env, options=options) as lab:
        yield lab.behind(f"http://hub.test:{port}{PREFIX}")


@pytest.fixture(scope="module")
def hub_browser():
    path = chromium()
    if path is None:
        pytest.skip("no Chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    flags = [*FLAGS, "--host-resolver-rules=MAP hub.test 127.0.0.1"]
    with (
        sync_api.sync_playwright() as playwright,
        closing(playwright.chromium.launch(executable_path=path, args=flags)) as one,
    ):
        yield one


def test_the_page_works_through_the_proxy_below_a_prefix(hub_browser, hub):
    with closing(hub_browser.new_context(viewport={"width": 1200, "height": 900})) as context:
        notebook = Notebook(context.new_page())
        notebook.page.goto(hub.notebook("hub", START, "import time; time.sleep(25)"))
        notebook.run_all()
        said = Path(hub.folder / "told")
        notebook.eventually(lambda: said.exists() and len(said.read_text().split()) == 3)
        url, token, workers_port = said.read_text().split()
        assert url.startswith(f"{hub.url}proxy/")
        page = context.new_page()
        sockets, errors, requests = [], [], []
        page.on("websocket", lambda one: sockets.append(one.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda asked: requests.append(asked.url))
        page.goto(url)
        page.wait_for_selector("dialog [type=password]")  # under a hub nothing is shown without the token
        page.fill("dialog [type=password]", token)
        page.keyboard.press("Enter")
        until(page, f"{PAGE_STATES}.length >= 3 && {PAGE_STATES}.every((word) => word === 'LIVE')")
        page.fill("[aria-label='Label of the mark']", "through the hub")
        page.click("text='Mark'")
        until(page, "document.querySelector('.tes-controls [role=status]').textContent === 'Marked.'")
        page.click("role=tab[name='metrics']")
        page.click("[role=tabpanel]:not([hidden]) .tes-events summary")
        page.wait_for_selector("[role=tabpanel]:not([hidden]) .tes-events li:has-text('through the hub')")
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / "hub.png")
        assert not any(f"/proxy/{workers_port}/" in one for one in sockets)
        page.click("role=tab[name='Inspector']")
        with page.expect_websocket(lambda one: f"/proxy/{workers_port}/" in one.url):
            page.click("text='Plain sockets'")
        origin = hub.url.removesuffix(PREFIX).replace("http", "ws")
        assert all(one.startswith(f"{origin}{PREFIX}proxy/") for one in sockets), sockets
        assert not any(token in one for one in [*sockets, *requests])
        assert errors == []
        assert notebook.prompts[1] == "[*]:"  # all of this while a cell was busy
        notebook.page.evaluate(
            "window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown().catch(() => {})"
        )
