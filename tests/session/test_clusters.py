"""Dask in a session: a cluster of its own, a user's own cluster object, a scheduler by its address, an attached TES."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tes_nb as tes
from tes_nb.errors import ArgumentError, CollectorError, SessionError
from tests.support.collectors import TOKEN, child
from tests.support.dask_user import dask_user
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.timeout(90), pytest.mark.usefixtures("own_registry")]


def live(session) -> dict[str, str]:
    """Name → status of the Dask workers in the newest message."""
    frame = session.workers.frame()
    newest = frame[frame["seq"] == frame["seq"].max()]
    newest = newest[(newest["role"] == "dask worker") & newest["status"].isin(["idle", "working"])]
    return dict(zip(newest["name"], newest["status"], strict=True))


FOREIGN = """
import json, sys, time, urllib.error, urllib.request
from websockets.sync.client import connect  # nothing of tes_nb: what WIRE.md says of workers, and no more
port, token = sys.argv[1:]
sys.stdin.readline()
def ask(path, token, body=None):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body, headers={"X-TES-Dev-Token": token})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, None
began = time.time()
refused = ask("/api/workers/scale", "wrong", b'{"count": 2}')[0]
unread = ask("/api/workers/registry", "")[0]
def dask(workers):
    return {key for key, one in workers.items() if one["kind"] == "dask" and one.get("role") == "dask worker"
            and one["status"] in ("idle", "working") and key == one["id"]}
registry = ask("/api/workers/registry", token)[1]
counts, acknowledged = [], False
with connect(f"ws://127.0.0.1:{port}/ws/workers/telemetry", proxy=None) as stream:
    stream.send('{"type":"heartbeat"}')
    scaled = ask("/api/workers/scale", token, b'{"count": 2}')
    while time.time() - began < 30 and (not acknowledged or counts[-1:] != [2]):
        message = json.loads(stream.recv(timeout=10))
        if message.get("type") == "heartbeat-ack":
            acknowledged = message["receivedAt"] >= began * 1000 - 1
            continue
        summary, states = message["summary"], [one["status"] for one in message["workers"].values()]
        assert all(summary[state] <= states.count(state) for state in ("idle", "working", "error")), summary
        counts.append(len(dask(message["workers"])))
same = len(dask(registry)) == 1 and dask(registry) < dask(ask("/api/workers/registry", token)[1])
print(json.dumps([refused, unread, scaled, counts, acknowledged and same, began, time.time()]))
"""


def test_a_foreign_client_scales_the_cluster_while_the_kernel_is_held(monkeypatch):
    monkeypatch.setenv("TES_DEV_TOKEN", TOKEN)
    with tes.start(ports=(0, 0)) as session:
        client = session.cluster(1)
        assert client.submit(sum, (1, 2)).result(20) == 3
        eventually(lambda: len(live(session)) == 1, 10)
        foreign = subprocess.Popen(
            [sys.executable, "-c", FOREIGN, str(session.ports[1]), TOKEN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        foreign.stdin.write(b"go\n")
        foreign.stdin.flush()
        began, interval = time.time(), sys.getswitchinterval()
        sys.setswitchinterval(60.0)  # nothing else in this process gets a turn
        try:
            while foreign.poll() is None and time.time() - began < 40:
                pass
        finally:
            held_until = time.time()
            sys.setswitchinterval(interval)
        refused, unread, scaled, counts, same, first, last = json.loads(foreign.communicate()[0])
        assert (refused, unread) == (401, 401)
        assert scaled == [200, {"created": 1, "terminated": 0}]
        assert (counts[0], counts[-1]) == (1, 2), counts
        assert same
        assert began <= first < last <= held_until
        eventually(lambda: len(live(session)) == 2, 10)
        assert session.scale(1) == {"created": 0, "terminated": 1}
        eventually(lambda: len(live(session)) == 1, 10, lambda: live(session))
        gaps = session.workers.gaps
        assert len(gaps) == 0


def test_a_scheduler_by_its_address_is_read_and_not_scaled(tmp_path):
    with dask_user(tmp_path / "user.log", 1) as user, tes.start(ports=(0, 0)) as session:
        observed = session.observe(user.http, name="mine")
        assert repr(observed) == f"<observed Dask scheduler mine at {user.http}>"
        eventually(lambda: live(session) == {"0": "idle"}, 10)
        with pytest.raises(
            CollectorError, match=r"a scheduler has no means to start or end workers.*s\.cluster"
        ):
            session.scale(2)
        user.ask("work(0.4, 30)")
        eventually(lambda: live(session) == {"0": "working"}, 10)
        frame = eventually(
            lambda: (
                (found := session.workers.frame().query("role == 'dask scheduler' and queue_depth > 0")).size
                and found
            ),
            10,
        )
        assert frame["pool"].iloc[-1] == "mine"
        assert frame["queue_depth"].max() <= 30
        observed.stop()
        observed.stop()
        eventually(lambda: live(session) == {})


USER = """
import time
import tes_nb as tes
from distributed import LocalCluster, Client

def main():
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0",
                           worker_dashboard_address="127.0.0.1:0", memory_limit="1GiB")
    with tes.start(ports=(0, 0)) as s:
        s.observe(Client(cluster))
        print(s.scale(2), flush=True)
        end = time.time() + 20
        while len(cluster.scheduler_info["workers"]) != 2 and time.time() < end:
            time.sleep(0.05)
        print(len(cluster.scheduler_info["workers"]), len(cluster.plan), flush=True)
        frame = s.workers.frame()
        print(sorted(set(frame[frame["kind"] == "dask"]["name"])), flush=True)
        adaptive = cluster.adapt(minimum=2, maximum=3)
        try:
            s.scale(3)
        except tes.TesError as error:
            print(error, flush=True)
        print(cluster._adaptive is adaptive and adaptive.minimum, len(cluster.plan), flush=True)
    cluster.close()

if __name__ == "__main__":
    main()
"""


def test_a_users_own_cluster_object_is_scaled_by_its_own_method(tmp_path):
    script = tmp_path / "user.py"
    script.write_text(USER)
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=80,
        env={**__import__("os").environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    scaled, counts, names, refusal, adaptive = done.stdout.strip().splitlines()
    assert scaled == "{'created': 1, 'terminated': 0}"
    assert counts == "2 2"
    assert names.startswith("['0', ")
    assert refusal.startswith("This cluster adapts its size by itself")
    assert adaptive == "2 2"


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("tls://host:1", "certificate"),
        ("nowhere at all", "no address of a Dask scheduler"),
        (7, "not a int"),
    ],
)
def test_what_cannot_be_observed_is_a_sentence(session, what, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        session.observe(what)


def test_an_attached_session_scales_its_peer_and_starts_nothing_here(monkeypatch):
    monkeypatch.delenv("TES_DEV_TOKEN", raising=False)
    with (
        child(cluster=1) as peer,
        tes.attach(f"localhost:{peer.ports[0]}", workers=f"localhost:{peer.ports[1]}") as s,
    ):
        eventually(lambda: len(live(s)) == 1, 10)
        assert s.scale(2) == {"created": 1, "terminated": 0}  # the peer's token is in its discovery file
        eventually(lambda: len(live(s)) == 2, 15)
        with pytest.raises(SessionError, match=r"belongs to a session of tes\.start"):
            s.cluster(1)


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        ("", r"set TES_DEV_TOKEN.*Nothing is started here"),
        ("some-token-of-32-characters-3f9a1b", "The peer does not scale"),
    ],
)
def test_an_attached_session_says_why_it_cannot_scale(monkeypatch, original, token, sentence):
    monkeypatch.setenv("TES_DEV_TOKEN", token)
    with (
        tes.attach(f"localhost:{original}", workers=f"localhost:{original}") as s,
        pytest.raises(CollectorError, match=sentence),
    ):
        s.scale(2)
