"""Credentials go, everything else stays, and hostile text costs no time."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.store.redact import PayloadRedactor, redact_code, redact_text, redact_url
from tests.support.waiting import busy

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ws://localhost:3002/ws/x", "ws://localhost:3002/ws/x"),
        ("wss://user:pass@host:9800/stream", "wss://host:9800/stream"),
        ("wss://h/s?channels=a,b&&token=abc", "wss://h/s?channels=a,b&&token=REDACTED"),
        (
            "wss://h/s?TOKEN=abc&Api-Key=1&x_auth=2&pass=3&sid=4",
            "wss://h/s?TOKEN=REDACTED&Api-Key=REDACTED&x_auth=REDACTED&pass=REDACTED&sid=REDACTED",
        ),
        ("wss://h/s?author=me&keyboard=1&token=", "wss://h/s?author=me&keyboard=1&token="),
        ("wss://h/s#access_token=abc", "wss://h/s#REDACTED"),
        (f"wss://h/{JWT}/s", "wss://h/REDACTED/s"),
        ("http://[broken?token=abc", "http://[broken?token=REDACTED"),
        ("", ""),
    ],
)
def test_addresses(url, shown):
    assert redact_url(url) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("connection refused", "connection refused"),
        (f"refused: {JWT}", "refused: REDACTED"),
        (f"refused: {JWT[:17]} (cut)", "refused: REDACTED (cut)"),
        (f"refused: {JWT[:25]}", "refused: REDACTED"),
        ("Authorization: Bearer abcdef123", "Authorization: Bearer REDACTED"),
        ("GET wss://u:p@h/x?token=abc&a=1 failed", "GET wss://h/x?token=REDACTED&a=1 failed"),
        ("https://u@h and https://h/a@b", "https://h and https://h/a@b"),
        ("a key=value pair", "a key=value pair"),
    ],
)
def test_sentences(text, shown):
    assert redact_text(text) == shown.replace("wss://h", "wss://h")


@pytest.mark.parametrize(
    ("payload", "kept"),
    [
        ({"token": "abc"}, {"token": "REDACTED"}),
        ({"access_token": 'a"b\\', "n": 1}, {"access_token": "REDACTED", "n": 1}),
        (
            {"Authorization": "x", "Set-Cookie": "y", "password": ""},
            {"Authorization": "REDACTED", "Set-Cookie": "REDACTED", "password": "REDACTED"},
        ),
        ({"text": f"see {JWT}!"}, {"text": "see REDACTED!"}),
        (
            {"author": "me", "tokens": 5, "authority": "x", "sessions": "3"},
            {"author": "me", "tokens": 5, "authority": "x", "sessions": "3"},
        ),
    ],
)
def test_payloads_stay_json(payload, kept):
    redact = PayloadRedactor()
    for text in (json.dumps(payload), json.dumps(payload, separators=(",", ":"))):
        assert json.loads(redact(text.encode())) == kept


def test_json_in_json():
    inner = json.dumps({"token": "abc", "n": 1})
    redacted = json.loads(PayloadRedactor()(json.dumps({"data": inner}).encode()))
    assert json.loads(redacted["data"]) == {"token": "REDACTED", "n": 1}


def test_a_shape_once_harmless_hides_no_credential_of_digits():
    redact = PayloadRedactor()
    assert redact(b'{"value":"12345","n":1}') == b'{"value":"12345","n":1}'
    assert redact(b'{"value":"67890","n":2}') == b'{"value":"67890","n":2}'
    assert redact(b'{"token":"12345","n":1}') == b'{"token":"REDACTED","n":1}'
    assert redact(b'{"token":"67890","n":2}') == b'{"token":"REDACTED","n":2}'


def test_what_is_remembered_is_bounded():
    redact = PayloadRedactor()
    for number in range(3 * redact.CACHE):
        redact("".join(chr(97 + int(digit)) for digit in str(number)).encode())
    assert len(redact._harmless) <= redact.CACHE


@given(
    st.dictionaries(
        st.sampled_from(["a", "type", "price", "x-y"]),
        st.integers() | st.text("abc XYZ019.,^<>", max_size=20),
    )
)
def test_payloads_without_credentials_are_left_as_they_are(payload):
    raw = json.dumps(payload).encode()
    assert PayloadRedactor()(raw) is raw


@given(st.binary(max_size=200))
def test_any_bytes_can_be_looked_at(payload):
    PayloadRedactor()(payload)


@pytest.mark.parametrize(
    "hostile",
    [
        '"' + "a" * 500_000,
        '"token' * 80_000,
        "a-" * 200_000,
        "://" * 100_000,
        "Bearer " + " " * 300_000,
        "eyJ" * 100_000,
        '"a-auth_' * 60_000,
        '"token":"' + "\\" * 300_001,
        'token="' * 60_000,
        "://a:" * 60_000,
    ],
)
def test_hostile_text_takes_linear_time(hostile):
    began = time.monotonic()
    PayloadRedactor()(hostile.encode())
    redact_text(hostile)
    redact_url(hostile)
    assert time.monotonic() - began < 5, "a tenth of a second on a quiet machine; quadratic would be minutes"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            's.watch(tes.NOWGOAL.with_endpoint(token="hunter2"))',
            's.watch(tes.NOWGOAL.with_endpoint(token="REDACTED"))',
        ),
        ("os.environ['TES_DEV_TOKEN'] = 'abc'", "os.environ['TES_DEV_TOKEN'] = 'REDACTED'"),
        ('password = f"x{y}"', 'password = f"REDACTED"'),
        ('{"token": "a\\"b", "n": 1}', '{"token": "REDACTED", "n": 1}'),
        ("api_key='never ends", "api_key='REDACTED'"),
        ('headers={"Authorization": "Bearer abcdefghij"}', 'headers={"Authorization": "REDACTED"}'),
        ('get(url, auth=("me", "pw"))', "get(url, auth=REDACTED"),
        ('os.environ.setdefault("MY_TOKEN", "abc")', 'os.environ.setdefault("MY_TOKEN", "REDACTED")'),
        ("%env TES_TOKEN=abc", "%env TES_TOKEN=REDACTED"),
        (f"x = '{JWT[:20]}", "x = 'REDACTED"),
        ("curl -H 'Authorization: Bearer abcdef123'", "curl -H 'Authorization: Bearer REDACTED'"),
        ('author, keyboard = "me", 1', 'author, keyboard = "me", 1'),
        ('df["price"].plot(title="a")', 'df["price"].plot(title="a")'),
        ("print('token:', left)", "print('token:', left)"),
    ],
)
def test_lines_of_code(line, shown):
    assert redact_code(line) == shown


def test_hostile_code_costs_no_time():
    began = time.monotonic()
    for line in ('"token' * 700, 'token = "' + "\\" * 4000, "a_" * 2000, "token=" * 700, "auth=(" * 700):
        redact_code(line)
    assert time.monotonic() - began < busy(0.5)
