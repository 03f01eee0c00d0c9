import pytest

from tes_nb.errors import ArgumentError
from tes_nb.model import Endpoint
from tes_nb.net.endpoints import Target, default_ports, is_loopback, resolve
from tests.support.numbers import stream

STATUS = stream(name="status", endpoint=Endpoint("status", "/api/dev/status/live", poll="/api/dev/status"))
METRICS = stream(
    name="metrics",
    endpoint=Endpoint(
        "status",
        "/ws/server-metrics/live",
        aliases=("/api/dev/server-metrics/live",),
        poll="/api/dev/server-metrics",
    ),
)
WORKERS = stream(name="workers", endpoint=Endpoint("workers", "/ws/workers/telemetry"))
FEED = stream(name="feed", endpoint=Endpoint("none", "wss://feed.example/ws"))
ALL = (STATUS, METRICS, WORKERS)


@pytest.mark.parametrize(
    "given",
    [
        "http://localhost:3002",
        "http://localhost:3002/",
        "ws://localhost:3002",
        "localhost:3002",
        "  localhost:3002 ",
        "HTTP://LOCALHOST:3002",
        "ws://localhost:3002/api/dev/status/live",
        "http://localhost:3002/api/dev/status",
        "ws://localhost:3002/ws/server-metrics/live",
        "ws://localhost:3003/ws/workers/telemetry",
    ],
)
def test_every_form_of_the_documents_leads_to_all_three_streams(given):
    targets = [resolve(stream, given, siblings=ALL) for stream in ALL]
    assert targets[0] == Target(
        ("ws://localhost:3002/api/dev/status/live",), "http://localhost:3002/api/dev/status"
    )
    assert targets[1] == Target(
        (
            "ws://localhost:3002/ws/server-metrics/live",
            "ws://localhost:3002/api/dev/server-metrics/live",
        ),
        "http://localhost:3002/api/dev/server-metrics",
    )
    assert targets[2] == Target(("ws://localhost:3003/ws/workers/telemetry",))


def test_a_given_alias_is_tried_first():
    target = resolve(METRICS, "ws://localhost:3004/api/dev/server-metrics/live")
    assert target.ws == (
        "ws://localhost:3004/api/dev/server-metrics/live",
        "ws://localhost:3004/ws/server-metrics/live",
    )
    assert target.poll == "http://localhost:3004/api/dev/server-metrics"


def test_the_workers_address_of_its_own_counts():
    assert resolve(WORKERS, "http://a:3002", workers="http://b:9000").ws == (
        "ws://b:9000/ws/workers/telemetry",
    )
    assert resolve(WORKERS, "http://a:3002", workers="ws://b:9000/ws/workers/telemetry").ws == (
        "ws://b:9000/ws/workers/telemetry",
    )
    assert resolve(STATUS, "http://a:3002", workers="http://b:9000").ws == (
        "ws://a:3002/api/dev/status/live",
    )


def test_tls_and_prefixes_are_kept():
    target = resolve(METRICS, "https://hub.example/user/me/proxy/3002/")
    assert target.ws[0] == "wss://hub.example/user/me/proxy/3002/ws/server-metrics/live"
    assert target.poll == "https://hub.example/user/me/proxy/3002/api/dev/server-metrics"
    assert (
        resolve(STATUS, "wss://hub.example/x/api/dev/status/live").poll
        == "https://hub.example/x/api/dev/status"
    )


def test_without_a_port_the_workers_are_at_the_same_address():
    assert resolve(WORKERS, "https://tes.example").ws == ("wss://tes.example/ws/workers/telemetry",)


def test_ipv6_stays_in_brackets():
    assert resolve(WORKERS, "http://[::1]:3002").ws == ("ws://[::1]:3003/ws/workers/telemetry",)


def test_an_unknown_websocket_path_is_taken_as_it_is():
    target = resolve(METRICS, "ws://localhost:1234/my/own?x=1")
    assert target == Target(("ws://localhost:1234/my/own?x=1",), None)


def test_a_stream_with_a_place_of_its_own_needs_no_address():
    assert resolve(FEED, None).ws == ("wss://feed.example/ws",)
    assert resolve(FEED, "ws://127.0.0.1:5/stream").ws == ("ws://127.0.0.1:5/stream",)
    with pytest.raises(ArgumentError, match="Say where"):
        resolve(STATUS, None)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "ftp://x",
        "http://",
        "http://a:99999",
        "http://a:b",
        "ws://user:secret@host:1",
        "http://a b:1",
        "://",
    ],
)
def test_what_is_no_address_is_refused_with_a_hint(given):
    with pytest.raises(ArgumentError) as caught:
        resolve(STATUS, given)
    assert "secret" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_query_is_used_but_never_shown():
    target = resolve(STATUS, "http://localhost:3002/?token=hush")
    assert target.ws == ("ws://localhost:3002/api/dev/status/live?token=hush",)
    assert "hush" not in repr(target)


@pytest.mark.parametrize(
    ("worktree", "environ", "ports"),
    [
        (None, {}, (3002, 3003)),
        ("tes-repo", {}, (3002, 3003)),
        ("tmux-sentinel", {}, (3004, 3005)),
        (None, {"BUN_PORT": "4000"}, (4000, 3003)),  # as a TES that is told so itself
        ("tmux-sentinel", {"BUN_PORT": "4000"}, (4000, 3005)),
        (None, {"BUN_PORT": "3003"}, (3003, 3004)),  # never twice the same
        ("tmux-sentinel", {"BUN_PORT": "4000", "WORKER_API_PORT": "5000"}, (4000, 5000)),
        (None, {"WORKER_API_PORT": "5000"}, (3002, 5000)),
        (None, {"BUN_PORT": " "}, (3002, 3003)),
    ],
)
def test_default_ports(worktree, environ, ports):
    assert default_ports(worktree, environ) == ports


@pytest.mark.parametrize("value", ["abc", "0", "65536", "-1", "3002.5", "٣", "9" * 5000])
def test_a_port_variable_that_is_none_is_named(value):
    with pytest.raises(ArgumentError, match="BUN_PORT"):
        default_ports(None, {"BUN_PORT": value})


def test_an_unknown_worktree_is_named():
    with pytest.raises(ArgumentError, match="tmux-sentinel"):
        default_ports("elsewhere", {})


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("10.0.0.1", False),
        ("localhost.evil.com", False),
        ("127.0.0.1.nip.io", False),
        ("", False),
    ],
)
def test_what_is_this_machine(host, local):
    assert is_loopback(host) is local
