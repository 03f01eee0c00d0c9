"""What the environment may say, and what it gets for nonsense."""

from __future__ import annotations

import msgspec
import pytest

from tes_nb.collector.options import CollectorOptions, default_auth, default_token
from tes_nb.errors import TesError


def test_the_token_of_the_environment_or_a_new_one():
    assert default_token({"TES_DEV_TOKEN": " mine-mine-mine-mine "}) == "mine-mine-mine-mine"
    first, second = default_token({}), default_token({"TES_DEV_TOKEN": "  "})
    assert first != second
    assert min(len(first), len(second)) >= 32


@pytest.mark.parametrize("token", ["two words", "tökèn", "a\nb", "a\x00b", "\udcff"])
def test_a_token_that_no_header_can_carry_is_a_sentence_without_it(token):
    with pytest.raises(TesError, match=r"TES_DEV_TOKEN .* unset it\.$") as raised:
        default_token({"TES_DEV_TOKEN": token})
    assert token not in str(raised.value)


def test_auth_under_jupyterhub():
    assert default_auth({}) == "open"
    assert default_auth({"JUPYTERHUB_API_TOKEN": "x"}) == "all"


def test_options_travel_and_show_no_token():
    options = CollectorOptions(token="secret-1234", origins=("http://a",), observed_pid=5)
    assert msgspec.json.decode(msgspec.json.encode(options), type=CollectorOptions) == options
    assert "secret-1234" not in repr(options)
    assert "secret-1234" not in f"{options}"


@pytest.mark.parametrize("token", ["x", "123456789012345"])
def test_a_token_that_can_be_guessed_is_used_with_a_warning(token):
    with pytest.warns(UserWarning, match=f"has {len(token)} characters, and can be guessed"):
        assert default_token({"TES_DEV_TOKEN": token}) == token


def test_a_token_of_sixteen_characters_is_long_enough(recwarn):
    assert default_token({"TES_DEV_TOKEN": "1234567890123456"}) == "1234567890123456"
    assert not recwarn.list
