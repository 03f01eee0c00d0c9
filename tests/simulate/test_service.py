import base64
import json
import time

import jwt
import pytest

from tes_nb.errors import TesError
from tes_nb.simulate import Fault, Options
from tes_nb.simulate.service import BODIES, HEADERS, Tokens, missing_header

KEY = b"k" * 32
NOW = 1_772_379_000.6


def part(token, number):
    text = token.split(".")[number]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def test_a_token_is_an_hs256_jwt_of_a_minute_without_padding():
    token = Tokens(KEY, 60).issue(NOW)
    assert "=" not in token
    assert part(token, 0)["alg"] == "HS256"
    claims = part(token, 1)
    assert claims["exp"] - claims["iat"] == 60
    assert claims["iat"] == int(NOW)


def test_another_library_reads_and_verifies_it():
    now = time.time()
    claims = jwt.decode(Tokens(KEY, 60).issue(now), KEY, algorithms=["HS256"])
    assert claims["simulatedAt"] == now
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(Tokens(KEY, 60).issue(now), b"x" * 32, algorithms=["HS256"])


def test_every_token_is_another():
    tokens = Tokens(KEY, 60)
    assert tokens.issue(NOW) != tokens.issue(NOW)


def test_a_token_is_valid_until_it_expires():
    tokens = Tokens(KEY, 60)
    token = tokens.issue(NOW)
    assert tokens.claims(token, NOW + 59)["simulatedAt"] == NOW
    assert tokens.claims(token, NOW + 60) == "expired"


@pytest.mark.parametrize("forged", ["", "-----", "a.b.c", jwt.encode({"exp": 9e9, "iat": 0}, b"x" * 32)])
def test_what_is_not_ours_is_refused(forged):
    assert Tokens(KEY, 60).claims(forged, NOW) == "not a token of this server"


def test_a_token_without_signature_is_refused():
    unsigned = jwt.encode({"exp": 9e9, "iat": 0, "simulatedAt": 0}, None, algorithm="none")
    assert Tokens(KEY, 60).claims(unsigned, NOW) == "not a token of this server"


def test_fault_bodies_are_none_that_the_server_takes():
    tokens = Tokens(KEY, 60)
    for name in [*BODIES, "token_expired", "token_two_parts"]:
        body = tokens.body(Fault(name), NOW)
        assert isinstance(tokens.claims(body, NOW), str), name
    assert tokens.body(Fault("token_dashes", size=40), NOW) == "-" * 40
    assert len(tokens.body(Fault("token_megabyte"), NOW)) == 1 << 20
    assert isinstance(tokens.claims(tokens.body(None, NOW), NOW), dict)


def test_the_documented_headers_are_asked_for():
    assert missing_header(HEADERS) is None
    assert missing_header({name.upper(): value for name, value in HEADERS.items()}) is None
    for name in HEADERS:
        rest = {other: value for other, value in HEADERS.items() if other != name}
        assert missing_header(rest).startswith(f"{name}: ")
        assert missing_header(rest | {name: "other"}).startswith(f"{name}: ")


@pytest.mark.parametrize(
    "wrong",
    [{"host": "0.0.0.0"}, {"speed": 0}, {"speed": -1.0}, {"rate": 0}, {"matches": -1}, {"token_life_s": 0}],
)
def test_options_out_of_range_are_refused_with_a_sentence(wrong):
    with pytest.raises(TesError, match=f"option {next(iter(wrong))} is"):
        Options(**wrong)
