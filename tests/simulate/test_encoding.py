import json
import time
from collections import Counter
from random import Random

import pytest

from tes_nb.analysis.ledger import NUMBER_WITHIN
from tes_nb.model import Kind, Message
from tes_nb.simulate import Options, encoding, number_in
from tes_nb.simulate.composer import Composer
from tes_nb.simulate.encoding import (
    COMPRESSIONS,
    SHAPES,
    Instant,
    document,
    encode,
    ticks_document,
    websocket_frame,
)
from tes_nb.simulate.matchday import MatchDay
from tes_nb.simulate.pump import steps
from tes_nb.simulate.world import Fixture, GamePrice, GameScore, Move, Price, Score
from tes_nb.streams.nowgoal.stream import STREAM
from tests.support.standin import inflate

# 2026-03-01 15:30:00 UTC, 1,800 simulated seconds after the day began
NOW = Instant(1_772_379_000.0, 1800.0)
SCORE = Score("9000001", 3, 2, 1, 1, 0, (0, 1), (2, 3), (5, 4), kickoff_at=-2400.0, half_at=1200.0)
PRICE = Price("9000001", 8, -0.5, (0.91, 0.89), (1.63, 4.41, 5.28), 2.25, (0.83, 0.90), 3)
MOVE = Move(
    Fixture("007", "Simulated A", "Simulated B", "WNCAAB"), "player_prop", 1.85, 1.92, ("07", "P", "points")
)


def test_score_in_the_nowgoal_form():
    expected = "9000001^3^2^1^1^0^0^1^2^3^2026-03-01 14:20:00^2026-03-01 15:20:00^^^^^5^4^1^"
    assert encoding.football_score(SCORE, NOW) == expected


def test_score_before_the_kick_off_has_fewer_fields():
    early = Score("9000001", 0, 0, 0, None, None, (0, 0), (0, 0), (0, 0), kickoff_at=2400.0, half_at=None)
    assert encoding.football_score(early, NOW) == "9000001^0^0^0^^^0^0^0^0^2026-03-01 15:40:00^"


def test_score_in_the_sister_site_form():
    # told apart by the ":" in field 8; months count from 0
    expected = "9000001^3^2^1^1^0^0^1^14:20^2026,2,1,15,20,0^Simulated^1^2^3^03-01^^5^4^1"
    assert encoding.sister_score(SCORE, NOW) == expected


def test_odds_stop_after_the_markets_that_are_named():
    whole = encoding.football_odds(PRICE).split(",")
    assert whole[:5] == ["9000001", whole[1], "-0.5", "0.91", "0.89"]
    assert whole[6:9] == ["1.63", "4.41", "5.28"]
    assert whole[10:13] == ["2.25", "0.83", "0.90"]
    assert len(whole) == 24
    short = Price("9000001", 8, -0.5, (0.91, 0.89), (1.63, 4.41, 5.28), 2.25, (0.83, 0.90), 2)
    assert encoding.football_odds(short).split(",") == whole[:9]


def test_basketball_records():
    score = GameScore("8000001", 5, 125, ((20, 18), (15, 22), (25, 25), (20, 15), (3, 5)))
    fields = encoding.basketball_score(score).split("^")
    assert fields[:5] == ["8000001", "5", "02:05", "83", "85"]
    assert fields[5:13] == ["20", "18", "15", "22", "25", "25", "20", "15"]
    assert fields[13:16] == ["1", "Simulated", "4"]
    assert fields[16:22] == ["3", "5", "", "", "", ""]
    assert len(fields) == 25
    assert encoding.basketball_odds(GamePrice("8000001", -3.5, (0.9, 0.95))) == "8000001,-3.5,0.90,0.95"


def test_refresh_flag_and_number_are_attributes_of_the_root():
    assert document("change_xml", ["x"], 7, refresh=1).startswith(
        '<c refresh="1" simulatedNumber="7"><h><![CDATA[x]]>'
    )
    assert document("ch_goal8_xml", ["x"], 7) == '<c simulatedNumber="7"><match><m>x</m></match></c>'
    assert "simulatedNumber" not in document("change_xml", ["x"], None)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(8))
def test_ticks_in_every_spelling_carry_number_and_values(shape, seed):
    ticks = [encoding.tick(MOVE, 1_772_379_000_123)] * (1 + seed % 2)
    text = ticks_document(ticks, 41, shape, Random(seed))
    assert number_in(text.encode()[:NUMBER_WITHIN]) == 41
    decoded = STREAM.decode(Message("nowgoal", 0, 1, text.encode(), time.time_ns(), 0, 1, 1))
    assert decoded.notes == ()
    rows = decoded.rows["ticks"]
    assert len(rows) == len(ticks)
    names = STREAM.table("ticks").names
    row = dict(zip(names, rows[0], strict=True))
    assert (row["game_id"], row["odds_type"], row["league"]) == ("007", "player_prop", "WNCAAB")
    assert (row["old_value"], row["new_value"], row["player_id"]) == (1.85, 1.92, "07")
    assert row["timestamp"] == 1_772_379_000_123 * 10**6


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_encode_round_trips(compression):
    text = document("change_xml", ["9000001^1^ünï"], 3)
    frame = encode(text, compression)
    assert frame.text == (compression == "text")
    assert inflate(frame.payload.decode() if frame.text else frame.payload).decode() == text


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_websocket_frames_have_the_length_of_the_rfc(size):
    frame = websocket_frame(encode("x" * size, "binary"))
    head = frame[: len(frame) - size]
    assert head[0] == 0x82
    assert len(head) == (2 if size < 126 else 4 if size < 65536 else 10)
    said = head[1] if size < 126 else int.from_bytes(head[2:], "big")
    assert said == size


@pytest.mark.parametrize("sister", [False, True])
@pytest.mark.parametrize("shape", [*SHAPES, "mixed"])
def test_what_the_day_sends_decodes_without_a_note(shape, sister):
    options = Options(shape=shape, sister_site=sister, companies=(8, 31), matches=4, games=1)
    day, composer, number = MatchDay(options), Composer(options), 0
    rows = dict.fromkeys(("scores", "odds", "games", "ticks"), 0)
    for step in steps(day.until(300), 1.0):
        for channel, changes in step.items():
            number += 1
            text = composer.changes(channel, changes, number, Instant(time.time(), changes[-1].at))
            assert number_in(text.encode()[:NUMBER_WITHIN]) == number
            frame = composer.encode(text)
            message = Message(
                "nowgoal", 0, 1 if frame.text else 2, frame.payload, time.time_ns(), 0, 1, number
            )
            decoded = STREAM.decode(message)
            assert (decoded.kind, decoded.notes) == (Kind.DATA, ()), text
            for table, found in decoded.rows.items():
                rows[table] += len(found)
    assert all(rows.values()), rows


def test_the_minute_is_right_at_any_speed():
    options = Options(matches=20, games=0, shape="xml", compression="binary")
    day, composer = MatchDay(options), Composer(options)
    now = time.time()
    bodies = [body for body in day.standing("change_xml") if body.state in {1, 3}]
    text = composer.standing("change_xml", bodies, 1, Instant(now, 0.0))
    decoded = STREAM.decode(Message("nowgoal", 0, 2, text.encode(), int(now * 1e9), 0, 1, 1))
    minute = STREAM.table("scores").names.index("minute")
    for body, row in zip(bodies, decoded.rows["scores"], strict=True):
        played = -body.half_at / 60 + (45 if body.state == 3 else 0)
        assert played - 1.1 <= row[minute] <= played + 1.1


@pytest.mark.parametrize("speed", [1.0, 50.0, None])
def test_a_match_s_kick_off_is_the_same_in_each_message(speed):
    """To the minute, which is all that the sister site's form has."""
    options = Options(matches=12, games=0, shape="xml", compression="text", speed=speed, seed=4)
    day, composer = MatchDay(options), Composer(options)
    columns = STREAM.table("scores").names
    messages = Counter()
    kick_offs = {}

    def wall_s(simulated_s):
        return 1_772_379_000.0 + simulated_s / (speed or 1000.0)

    def check(text, simulated_s):
        at_ns = int(wall_s(simulated_s) * 1e9)
        for row in STREAM.decode(Message("nowgoal", 0, 1, text.encode(), at_ns, 0, 1, 1)).rows["scores"]:
            score = dict(zip(columns, row, strict=True))
            match, minute = score["match_id"], score["kick_off"] // 60_000_000_000
            assert kick_offs.setdefault(match, minute) == minute
            messages[match] += 1
            began = score["state"] == 1 and score["minute"] == 1 and messages[match] > 1 and speed
            assert not began or 0 <= wall_s(simulated_s) - 60 * minute <= 125

    for until in range(0, 4 * 3600, 600):
        for change in day.until(float(until)):
            if change.channel == "change_xml":
                sister = sum(messages.values()) % 7 == 0
                instant = Instant(wall_s(change.at), change.at)
                check(composer.changes("change_xml", [change], 1, instant, sister=sister), change.at)
        instant = Instant(wall_s(until), float(until))
        check(composer.standing("change_xml", day.standing("change_xml"), 1, instant, refresh=1), until)
    assert len([match for match, count in messages.items() if count > 50]) > 12


def test_odds_of_several_companies_name_the_channel():
    options = Options(matches=4, games=0, companies=(8, 31), shape="xml", compression="text")
    day, composer = MatchDay(options), Composer(options)
    texts = [
        composer.changes(change.channel, [change], 1, Instant(time.time(), change.at))
        for change in day.until(300.0)
        if change.channel.startswith("ch_goal")
    ]
    assert {json.loads(text)["channel"] for text in texts} == {"ch_goal8_xml", "ch_goal31_xml"}


def test_envelopes_name_the_channel():
    options = Options(shape="envelope")
    text = Composer(options).standing("ch_goal8_xml", [PRICE], 5, NOW)
    assert json.loads(text)["channel"] == "ch_goal8_xml"
