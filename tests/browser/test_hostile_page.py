"""What a web page that the user happens to visit can do to the collector: nothing. In a real browser."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tes_nb.collector.lifetime import own_identity
from tes_nb.collector.options import CollectorOptions
from tes_nb.collector.process import CollectorProcess, start_process
from tests.support.browser import FLAGS, chromium, served

TOKEN = "owner-s-token-5b1d"
PAGE = "<!doctype html><title>hostile</title><p>A page like any other."

TRY_SOCKET = """(url) => new Promise((done) => {
  const told = {opened: false, messages: 0};
  const socket = new WebSocket(url);
  socket.onopen = () => { told.opened = true; };
  socket.onmessage = () => { told.messages += 1; };
  socket.onclose = () => done(told);
  setTimeout(() => { socket.close(); done(told); }, 3000);
})"""
TRY_FETCH = """([url, options]) => fetch(url, options).then(
  async (answer) => ({
    status: answer.status, type: answer.type, text: answer.type == "opaque" ? "" : await answer.text()}),
  (error) => ({refused: String(error)}))"""
TRY_TAGS = """(base) => new Promise((done) => {
  for (const path of ["/api/workers/scale", "/api/dev/workers", "/api/workers/registry"]) {
    const image = document.createElement("img");
    image.src = base + path;
    document.body.append(image);
  }
  const frame = document.createElement("iframe");
  frame.name = "sink";
  document.body.append(frame);
  const form = document.createElement("form");
  form.method = "POST"; form.action = base + "/api/workers/scale"; form.target = "sink"; form.enctype = "text/plain";
  const input = document.createElement("input");
  input.name = '{"count": 2, "x":"'; input.value = '"}';
  form.append(input);
  document.body.append(form);
  form.submit();
  setTimeout(done, 1500);
})"""


@pytest.fixture(scope="module")
def collector() -> Iterator[CollectorProcess]:
    pid, created = own_identity()
    running = start_process(
        CollectorOptions(
            token=TOKEN,
            observed_pid=pid,
            parent_pid=pid,
            parent_created=created,
            status_port=0,
            workers_port=0,
        )
    )
    yield running
    running.stop()


@pytest.fixture(scope="module")
def page(browser) -> Iterator[Any]:
    with served({"/": PAGE}) as address:  # another port, and so another origin
        one = browser.new_page(bypass_csp=True)
        one.goto(f"{address}/")
        yield one
        one.close()


def workers(collector: CollectorProcess) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{collector.ports[1]}/api/workers/registry", headers={"X-TES-Dev-Token": TOKEN}
    )
    return json.loads(urllib.request.urlopen(request).read())


@pytest.mark.parametrize(
    ("port", "path"),
    [
        (0, "/api/dev/status/live"),
        (0, "/ws/server-metrics/live"),
        (0, "/api/dev/server-metrics/live"),
        (0, "/ws/relay/metrics?after=0"),
        (0, "/ws/control"),
        (1, "/ws/workers/telemetry"),
    ],
)
def test_fault_44_a_foreign_origin_gets_no_frame(page, collector, port, path):
    said = page.evaluate(TRY_SOCKET, f"ws://127.0.0.1:{collector.ports[port]}{path}")
    assert said == {"opened": False, "messages": 0}


def test_fault_44_a_sandboxed_page_has_origin_null_and_gets_nothing(page, collector):
    url = f"ws://127.0.0.1:{collector.ports[0]}/ws/server-metrics/live"
    said = page.evaluate(
        """(url) => new Promise((done) => {
          addEventListener("message", (event) => done(event.data), {once: true});
          const frame = document.createElement("iframe");
          frame.sandbox = "allow-scripts";
          frame.srcdoc = `<script>
            const told = {opened: false, messages: 0};
            const socket = new WebSocket("${url}");
            socket.onopen = () => { told.opened = true; };
            socket.onmessage = () => { told.messages += 1; };
            socket.onclose = () => parent.postMessage(told, "*");
          </scr` + `ipt>`;
          document.body.append(frame);
        })""",
        url,
    )
    assert said == {"opened": False, "messages": 0}


def test_fault_46_what_a_page_may_send_without_asking_changes_nothing(page, collector):
    before = set(workers(collector))
    base = f"http://127.0.0.1:{collector.ports[1]}"
    for options in (
        {"method": "POST", "body": '{"count": 2}', "mode": "no-cors"},
        {
            "method": "POST",
            "body": '{"count": 2}',
            "mode": "no-cors",
            "headers": {"Content-Type": "text/plain"},
        },
        {"method": "POST", "body": '{"count": 2}'},
        {"method": "POST", "body": '{"count": 2}', "headers": {"X-TES-Dev-Token": TOKEN}},
        {"method": "GET", "credentials": "include"},
    ):
        page.evaluate(TRY_FETCH, [f"{base}/api/workers/scale", options])
    page.evaluate(TRY_TAGS, base)
    grown = [
        worker
        for key, worker in workers(collector).items()
        if key not in before and worker["kind"] == "process"
    ]
    assert not [worker for worker in grown if "worker" in worker["name"]]


def test_fault_46_a_foreign_page_can_read_no_answer(page, collector):
    for path in ("/api/dev/status", "/metrics", "/health", "/"):
        said = page.evaluate(TRY_FETCH, [f"http://127.0.0.1:{collector.ports[0]}{path}", {}])
        assert "refused" in said, (path, said)


def test_the_collector_s_own_page_may_open_its_streams(browser, collector):
    """The counter-check: without it every test above could pass against a dead server."""
    own = browser.new_page()
    own.goto(f"http://127.0.0.1:{collector.ports[0]}/health")
    said = own.evaluate(TRY_SOCKET, f"ws://127.0.0.1:{collector.ports[0]}/ws/server-metrics/live")
    assert said["opened"]
    assert said["messages"] >= 2
    own.close()


def test_fault_45_a_rebound_name_gets_nothing(browser, collector):
    port = collector.ports[0]
    rules = "--host-resolver-rules=MAP evil.test 127.0.0.1"
    rebound = browser.browser_type.launch(executable_path=chromium(), args=[*FLAGS, rules])
    with contextlib.closing(rebound):
        one = rebound.new_page()
        answer = one.goto(f"http://evil.test:{port}/api/dev/status")
        assert answer is not None
        assert answer.status == 421
        assert "statusVersion" not in answer.text()
        said = one.evaluate(TRY_SOCKET, f"ws://evil.test:{port}/ws/server-metrics/live")
        assert said == {"opened": False, "messages": 0}
