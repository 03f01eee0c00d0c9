"""token: what is a token, what else an answer may be, how long it lives, and that nobody sees it."""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import random
import time
import traceback

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tes_nb.errors import AuthenticationError
from tes_nb.wire import jwt as wire_jwt
from tes_nb.wire.jwt import LONGEST_LIFE_S, MAX_BODY, REASONS, VISIBLE, Token, read_token, without_secrets


def part(value):
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=")


def jwt(signature=b"c2lnbmF0dXJlLXNpZ25hdHVyZQ", **claims):
    return b".".join((part({"alg": "HS256", "typ": "JWT"}), part(claims), signature))


NOW = 1_767_225_600
GOOD = jwt(iat=NOW, exp=NOW + 60)

BODIES = {
    "five dashes": (b"-----", "dashes"),
    "one dash": (b"-", "dashes"),
    "many dashes and a line end": (b"-" * 500 + b"\r\n", "dashes"),
    "nothing": (b"", "empty"),
    "white space": (b" \r\n\t", "empty"),
    "a page": (b"<!DOCTYPE html><html><body>Maintenance</body></html>", "html"),
    "a page behind blanks": (b"\n\n  <html>", "html"),
    "1 MB of letters": (b"x" * 1_000_000, "too large"),
    "a JWT of 1 MB": (jwt(signature=b"x" * 1_000_000, iat=NOW, exp=NOW + 60), "too large"),
    "JSON without a token": (b'{"error":"no token"}', "not a JWT"),
    "JSON with a token": (b'{"token":"' + GOOD + b'"}', "not a JWT"),
    "null": (b"null", "not a JWT"),
    "two parts": (GOOD.rpartition(b".")[0], "not a JWT"),
    "an empty signature": (jwt(signature=b"", exp=NOW + 60), "not a JWT"),
    "five parts": (GOOD + b".a.b", "not a JWT"),
    "three words": (b"simulated.garbage.token", "not a JWT"),
    "claims that are a list": (b".".join((part({}), part([NOW]), b"eA")), "not a JWT"),
    "claims that are no JSON": (b".".join((part({}), part(b"\xff\xfe"), b"eA")), "not a JWT"),
    "claims of one letter": (b"e30.a.eA", "not a JWT"),
    "claims a mile deep": (b".".join((part({}), part(b"[" * 30_000), b"eA")), "not a JWT"),
    "an expiry twice": (b".".join((part({}), part(b'{"exp":1,"exp":9999999999}'), b"eA")), "not a JWT"),
    "no expiry": (jwt(iat=NOW), "not a JWT"),
    "an expiry in words": (jwt(exp="soon"), "not a JWT"),
    "an expiry that is true": (jwt(exp=True), "not a JWT"),
    "two tokens": (GOOD + b"\n" + GOOD, "not a JWT"),
    "a header break": (GOOD + b"\r\nX-Evil: 1", "not a JWT"),
    "not ASCII": ("tökén".encode(), "not a JWT"),
    "expired": (jwt(iat=NOW - 120, exp=NOW - 60), "expired"),
    "expires this second": (jwt(iat=NOW - 60, exp=NOW), "expired"),
}


def refused(body, **times):
    with pytest.raises(AuthenticationError) as error:
        read_token(body, **{"fetched_at_s": 100.0, "server_date_s": NOW} | times)
    return error.value


@pytest.mark.parametrize("name", BODIES)
def test_fault_17_what_is_no_token_is_named(name):
    body, reason = BODIES[name]
    error = refused(body)
    assert error.reason == reason
    assert reason in REASONS
    for piece in body.split(b".") if len(body) < 1000 else ():
        assert len(piece) <= VISIBLE or piece.decode("latin-1") not in str(error)


def test_a_token_is_read_with_its_life():
    for body in (GOOD, b"  " + GOOD + b"\r\n"):
        token = read_token(body, fetched_at_s=100.0, server_date_s=NOW)
        assert token.reveal() == GOOD.decode()
        assert token.lifetime_s == 60
        assert token.remaining_s(130.0) == 30
        assert token.remaining_s(170.0) == -10
        assert token.age_s(130.0) == 30
        assert token.due_s() == 155.0


def test_every_length_of_claims_is_decoded_without_padding():
    for extra in range(8):
        body = jwt(iat=NOW, exp=NOW + 60, sub="x" * extra)
        assert b"=" not in body
        assert read_token(body, fetched_at_s=0).lifetime_s == 60


@pytest.mark.parametrize(
    ("claims", "date", "lifetime"),
    [
        ({"iat": NOW, "exp": NOW + 60}, NOW + 7, 60),
        ({"iat": NOW, "exp": NOW + 60}, None, 60),
        ({"exp": NOW + 60}, NOW + 7, 53),
        ({"exp": NOW + 60}, None, None),
        ({"iat": NOW + 0.25, "exp": NOW + 1.5}, NOW, 1.25),
        ({"iat": "then", "exp": NOW + 60}, NOW, 60),
        ({"iat": NOW + 99, "exp": NOW + 60}, NOW + 10, 50),
    ],
)
def test_the_lifetime_is_exp_minus_iat_else_exp_minus_date(claims, date, lifetime):
    token = read_token(jwt(**claims), fetched_at_s=5.0, server_date_s=date)
    assert token.lifetime_s == lifetime
    assert token.remaining_s(6.0) == (None if lifetime is None else lifetime - 1)


def test_an_unknown_life_is_never_due():
    token = read_token(jwt(exp=NOW + 60), fetched_at_s=5.0)
    assert token.due_s() is None
    assert "unknown" in repr(token)


def test_a_short_life_is_renewed_in_the_middle():
    assert read_token(jwt(iat=NOW, exp=NOW + 6), fetched_at_s=10.0).due_s() == 13.0


def test_fault_20_a_wrong_wall_clock_changes_nothing(monkeypatch):
    for skew in (-300, 300, -86_400):
        monkeypatch.setattr(time, "time", lambda skew=skew: NOW + skew)
        monkeypatch.setattr(time, "time_ns", lambda skew=skew: (NOW + skew) * 10**9)
        token = read_token(GOOD, fetched_at_s=100.0, server_date_s=NOW)
        assert token.lifetime_s == 60
        assert token.due_s() == 155.0
        assert refused(jwt(iat=NOW - 120, exp=NOW - 60)).reason == "expired"


def test_fault_20_the_token_server_s_clock_may_differ_too():
    for skew in (-300, 300):
        token = read_token(
            jwt(iat=NOW + skew, exp=NOW + skew + 60), fetched_at_s=1.0, server_date_s=NOW + skew
        )
        assert token.lifetime_s == 60


# --- secrecy


def test_at_most_eight_characters_are_ever_shown(caplog):
    token = read_token(GOOD, fetched_at_s=0)
    secret = GOOD.decode()
    caplog.set_level(logging.DEBUG)
    logging.getLogger("x").warning("%s %r", token, token)
    shown = [
        repr(token),
        str(token),
        f"{token}",
        f"{token!r:>80}",
        repr([token]),
        repr({"t": token}),
        caplog.text,
    ]
    shown.append(ascii(token))
    shown.append("".join(traceback.format_exception(RuntimeError(token))))
    for text in shown:
        assert secret[: VISIBLE + 1] not in text
        assert secret[VISIBLE : VISIBLE + 12] not in text
        assert secret[-12:] not in text
    assert secret[:VISIBLE] in repr(token)


def test_it_cannot_be_saved_by_accident():
    token = read_token(GOOD, fetched_at_s=0)
    for save in (
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        json.dumps,
        msgspec.json.encode,
        msgspec.msgpack.encode,
        msgspec.to_builtins,
        vars,
        dict,
        list,
    ):
        with pytest.raises(TypeError):
            save(token)
    with pytest.raises(AttributeError):
        token.extra = 1


def test_errors_never_hold_what_the_source_sent():
    expired = jwt(iat=NOW - 120, exp=NOW - 60)
    error = refused(expired)
    text = "".join(traceback.format_exception(error))
    assert expired.decode()[VISIBLE:] not in text
    assert error.__cause__ is None


@given(st.binary(max_size=200))
def test_any_body_is_a_token_or_a_named_refusal(body):
    try:
        assert isinstance(read_token(body, fetched_at_s=0), Token)
    except AuthenticationError as error:
        assert error.reason in REASONS


@given(st.integers(0, len(GOOD)), st.binary(max_size=3))
def test_a_damaged_token_is_a_token_or_a_named_refusal(at, damage):
    try:
        read_token(GOOD[:at] + damage + GOOD[at + len(damage) :], fetched_at_s=0)
    except AuthenticationError as error:
        assert error.reason in REASONS


def test_the_limit_of_a_body_is_exact():
    room = MAX_BODY - len(jwt(signature=b"", iat=NOW, exp=NOW + 60))
    signature = bytes(random.Random(1).choices(b"abcXYZ019_-", k=room))
    assert read_token(jwt(signature=signature, iat=NOW, exp=NOW + 60), fetched_at_s=0)
    assert refused(jwt(signature=signature + b"a", iat=NOW, exp=NOW + 60)).reason == "too large"


def test_nothing_in_the_module_reads_a_clock():
    assert not hasattr(wire_jwt, "time")
    assert not hasattr(wire_jwt, "datetime")


@pytest.mark.parametrize("expiry", [1e300, 1e18, 10**18])
def test_a_token_that_lives_for_ever_lives_as_long_as_can_be_written(expiry):
    token = read_token(jwt(iat=NOW, exp=expiry), fetched_at_s=5.0)
    assert token.lifetime_s == LONGEST_LIFE_S
    assert int((time.time() + token.lifetime_s) * 1e9) < 2**63


SECRET = GOOD.decode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"no: {SECRET}", "no: …"),
        (f"no: {SECRET[:8]} and {SECRET[10:18]}", "no: … and …"),
        (f"no: {SECRET[40:90]}, sorry", "no: …, sorry"),
        (f"no: {SECRET.upper()}", "no: …"),
        (f"x{SECRET}x{SECRET[5:40]}", "x…x…"),
        (f"seven: {SECRET[:7]}", f"seven: {SECRET[:7]}"),
        ("hush! hushes", "hush! hushes"),
        ("pass: secret, ", "pass: …, "),
        ("", ""),
        ("İ" * 50, "İ" * 50),
    ],
)
def test_secrets_go_whole_and_in_pieces(text, shown):
    assert without_secrets(text, [SECRET, "secret", "hush", ""]) == shown


LETTERS = st.characters(exclude_characters="…")


@given(st.text(LETTERS), st.text(LETTERS, min_size=8), st.data())
@example("", "0000000ß", None)
def test_no_piece_of_eight_characters_is_left(text, secret, data):
    start = 0 if data is None else data.draw(st.integers(0, len(secret) - 8))
    shown = without_secrets(f"{text}{secret[start:]}{text}", [secret])
    assert not any(secret[at : at + 8] in shown for at in range(len(secret) - 7))
