"""Channels: short names, the request for them, and what a name says."""

from __future__ import annotations

import json

import pytest

from tes_nb.streams.nowgoal.channels import channel_in, company_of, family_of, subscription
from tes_nb.streams.nowgoal.stream import ALIASES, DEFAULT, STREAM, resolve


def test_short_names_and_wire_names_mean_the_same():
    assert ALIASES == {
        "scores": "change_xml",
        "odds": "ch_goal8_xml",
        "basketball_scores": "nba_change_xml",
        "basketball_odds": "ch_nbaGoal8_xml",
    }
    assert resolve(["odds", "change_xml", "scores", "ch_goal3_xml"]) == (
        "ch_goal8_xml",
        "change_xml",
        "ch_goal3_xml",
    )


def test_nothing_asked_for_is_football():
    assert resolve([]) == DEFAULT == ("change_xml", "ch_goal8_xml")


def test_the_request_is_the_documented_one():
    assert json.loads(subscription(["scores", "basketball_odds"])) == {
        "type": 0,
        "channels": ["change_xml", "ch_nbaGoal8_xml"],
    }
    assert STREAM.subscription is subscription


@pytest.mark.parametrize(
    "name", ["score", "", "change", "a b_xml", "x" * 70 + "_xml", "a\n_xml", 7, None, 'a"_xml']
)
def test_what_cannot_be_a_channel_is_refused_with_the_names(name):
    with pytest.raises(ValueError, match="scores, odds"):
        resolve([name])


@pytest.mark.parametrize(
    ("channel", "family", "company"),
    [
        ("change_xml", "football scores", (None, None)),
        ("nba_change_xml", "basketball scores", (None, None)),
        ("ch_goal47_xml", "football odds", ("47", "Pinnacle")),
        ("ch_goal9_xml", "football odds", ("9", None)),
        ("ch_nbaGoal8_xml", "basketball odds", ("8", "Bet365")),
        ("ch_goal_xml", None, (None, None)),
        ("ch_goal8_xmlx", None, (None, None)),
        ("", None, (None, None)),
    ],
)
def test_a_name_says_what_travels_and_whose_it_is(channel, family, company):
    assert family_of(channel) == family
    assert company_of(channel) == company


def test_no_name_says_nothing():
    assert family_of(None) is None


@pytest.mark.parametrize(
    ("envelope", "channel"),
    [
        ({"channel": "change_xml"}, "change_xml"),
        ({"channel": "tes_ticks"}, "tes_ticks"),
        ({"ch": "ch_goal8_xml", "data": "<c/>"}, "ch_goal8_xml"),
        ({"channel": "<b>", "x": "change_xml"}, "change_xml"),
        ({"channel": 7, "x": "y"}, None),
        ({"channel": "x" * 65}, None),
        ({"a": "x" * 100_000}, None),
        ({}, None),
    ],
)
def test_an_envelope_names_its_channel_in_one_way_or_another(envelope, channel):
    assert channel_in(envelope) == channel
