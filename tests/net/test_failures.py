import errno
import socket
import ssl

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import InvalidMessage, InvalidStatus
from websockets.http11 import Response

from tes_nb.net.failures import failure_of, plain, redirect, retry_after_s, status_failure

REDIRECT_TABLE = [
    ("ws://a:1/x", "/y", "ws://a:1/y", True),
    ("ws://a:1/x", "http://a:1/y", "ws://a:1/y", True),
    ("ws://a:1/x", "ws://b:1/y", "ws://b:1/y", False),
    ("ws://a:1/x", "http://a:2/y", "ws://a:2/y", False),
    ("ws://a:1/x", "https://a:1/y", "wss://a:1/y", False),
    ("wss://a/x", "https://a/y", "wss://a/y", True),
    ("wss://a/x", "//b/y", "wss://b/y", False),
    ("http://a/x", "y?q=1#f", "http://a/y?q=1", True),
    ("https://a/x", "https://b/", "https://b/", False),
]


@pytest.mark.parametrize(("url", "location", "goal", "keeps"), REDIRECT_TABLE)
def test_fault_25_a_redirect_keeps_our_headers_only_at_the_same_origin(url, location, goal, keeps):
    assert redirect(url, location, {"Authorization": "x"}) == (goal, {"Authorization": "x"} if keeps else {})


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("wss://a/x", "http://a/x"),
        ("wss://a/x", "ws://a/x"),
        ("https://a/x", "http://b/x"),
        ("ws://a/x", "javascript:alert(1)"),
        ("ws://a/x", "file:///etc/passwd"),
        ("ws://a/x", "http://user:pw@a/x"),
        ("ws://a/x", "ws://[::1/"),
        ("ws://a/x", "//[::1"),
        ("ws://a/x", "http://[x]/"),
        ("ws://a/x", "http://a:99999/x"),
        ("ws://a/x", "http://a:port/x"),
    ],
)
def test_fault_25_tls_is_never_left_and_only_addresses_are_followed(url, location):
    result = redirect(url, location, {})
    assert result.kind == "redirect"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "30"}, 30.0),
        ({"Retry-After": " 7 "}, 7.0),
        ({}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "9" * 400}, 999999999999.0),
        (
            {
                "Retry-After": "Wed, 21 Oct 2015 07:29:00 GMT",
                "Date": "Wed, 21 Oct 2015 07:28:00 GMT",
            },
            60.0,
        ),
        ({"Retry-After": "Wed, 21 Oct 2015 07:29:00 GMT"}, None),
    ],
)
def test_retry_after_counts_from_the_peers_own_date(headers, seconds):
    assert retry_after_s(headers) == seconds


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "refused", "connection refused"),
        (
            OSError("Multiple exceptions: [Errno 111] a, [Errno 111] b"),
            "refused",
            "connection refused",
        ),
        (TimeoutError(), "timeout", "no answer within 5 s"),
        (socket.gaierror(-2, "Name or service not known"), "dns", "the host name was not found"),
        ("a" * 70 + ".x", "dns", "the host name was not found"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "network", "network is unreachable"),
        (OSError(errno.EMFILE, "x"), "network", "this process has no file descriptors left"),
        (ConnectionResetError(), "network", "connection reset"),
        (ssl.SSLError("bad"), "tls", None),
    ],
)
def test_foreign_errors_become_words(error, kind, sentence):
    if isinstance(error, str):
        error = UnicodeError("label too long")
    failure = failure_of(error, 5.0)
    assert failure is not None
    assert failure.kind == kind
    assert sentence is None or failure.sentence == sentence


def test_a_bug_is_no_failure_of_the_network():
    assert failure_of(ZeroDivisionError(), 5.0) is None


def test_a_status_is_said_with_its_phrase():
    assert status_failure(404, {}).sentence == "HTTP 404 Not Found"
    assert status_failure(599, {}).sentence == "HTTP 599"


@pytest.mark.parametrize(
    ("status", "server", "advice"),
    [
        (200, "nginx", "; a program (nginx) answers that has no WebSocket there: check host and port"),
        (404, "", "; a program answers that has no WebSocket there: check host and port"),
        (401, "nginx", ""),
        (503, "nginx", ""),
    ],
)
def test_a_web_server_that_is_no_peer_of_ours_is_named(status, server, advice):
    headers = Headers({"Server": server} if server else {})
    failure = failure_of(InvalidStatus(Response(status, "", headers)), 5.0)
    assert failure.sentence.startswith(f"HTTP {status} ")
    assert failure.advice == advice


def test_what_answers_in_another_protocol_is_quoted():
    error = InvalidMessage("did not receive a valid HTTP response")
    error.__cause__ = ValueError("invalid HTTP status line: SSH-2.0-OpenSSH_9")
    failure = failure_of(error, 5.0)
    said = "the answer is no WebSocket handshake: invalid HTTP status line: SSH-2.0-OpenSSH_9"
    assert failure.sentence == said
    assert failure.advice == "; a program answers that has no WebSocket there: check host and port"


def test_a_peers_text_stays_on_one_line():
    assert plain("a\nb\x1b[31m\u202ec\0" + "d" * 9999) == "a b [31m c " + "d" * 189
