"""What to watch, and where: addresses, the environment, and no secret in sight."""

from __future__ import annotations

import pytest

import tes_nb as tes
from tes_nb.errors import ArgumentError
from tes_nb.session.source import wire_names
from tes_nb.streams import get

NOWGOAL = get("nowgoal")

SECRET = "eyJhbGciOi.secret.token"


def test_the_usual_endpoint_is_nowgoal_s_own():
    assert repr(tes.NOWGOAL) == (
        "<source 'nowgoal': nowgoal at wss://live.nowgoal26.com/ws, "
        "tokens from https://live.nowgoal26.com/ajax/getwebsockettoken>"
    )
    assert tes.NOWGOAL.with_environment({}) == tes.NOWGOAL
    assert "simulated" in repr(tes.SIMULATED)


def test_another_endpoint_leaves_the_rest_as_it_is():
    here = tes.NOWGOAL.with_endpoint(url="wss://a.test/ws")
    both = here.with_endpoint(token_url="https://a.test/token", auth="query")
    assert (both.url, both.token_url, both.auth) == ("wss://a.test/ws", "https://a.test/token", "query")
    assert tes.NOWGOAL.url is None


def test_the_environment_fills_what_was_not_said():
    environ = {
        "TES_NOWGOAL_URL": "wss://env.test/ws",
        "TES_NOWGOAL_TOKEN_URL": "https://env.test/token",
        "TES_NOWGOAL_TOKEN": SECRET,
    }
    found = tes.NOWGOAL.with_environment(environ)
    assert (found.url, found.token_url, found.token) == (
        "wss://env.test/ws",
        "https://env.test/token",
        SECRET,
    )
    said = tes.NOWGOAL.with_endpoint(url="wss://said.test/ws").with_environment(environ)
    assert said.url == "wss://said.test/ws"
    assert tes.NOWGOAL.with_environment({"TES_NOWGOAL_URL": "  "}) == tes.NOWGOAL


def test_the_address_of_the_site_s_own_page_takes_the_token_in_the_query():
    page = {"TES_NOWGOAL_URL": "wss://www.nowgoal26.com:9800/stream"}
    assert tes.NOWGOAL.with_environment(page).auth == "query"
    header = tes.NOWGOAL.with_endpoint(auth="header").with_environment(page)
    assert header.auth == "header"


def test_fault_38_no_secret_shows():
    source = tes.NOWGOAL.with_endpoint(
        url=f"wss://a.test/stream?token={SECRET}", token_url=f"https://a.test/t?key={SECRET}", token=SECRET
    )
    assert SECRET not in repr(source)
    assert SECRET not in str(source)
    assert "a token of your own" in repr(source)


@pytest.mark.parametrize(
    "given",
    [
        {"url": "https://a.test/ws"},
        {"url": "wss:///ws"},
        {"token_url": "wss://a.test/token"},
        {"url": "wss://user:password@a.test/ws"},
        {"auth": "cookie"},
    ],
)
def test_what_is_no_endpoint_is_refused_without_repeating_secrets(given):
    with pytest.raises(ArgumentError) as caught:
        tes.NOWGOAL.with_endpoint(**given)
    assert "password" not in str(caught.value).replace("user name or a password", "")


def test_channels_have_short_names_and_those_of_the_wire():
    assert wire_names(NOWGOAL, ["scores", "ch_goal3_xml", "scores"]) == ("change_xml", "ch_goal3_xml")
    assert wire_names(NOWGOAL, "odds") == ("ch_goal8_xml",)
    assert wire_names(NOWGOAL, []) == ("change_xml", "ch_goal8_xml")
    with pytest.raises(ArgumentError, match="no channel of NowGoal"):
        wire_names(NOWGOAL, ["everything"])
