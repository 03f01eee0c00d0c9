"""Scores: both football forms and basketball, field by field, and what is derived from them."""

from __future__ import annotations

import pytest

from tes_nb.streams.nowgoal.stream import STATES
from tests.support.nowgoal_corpus import (
    GAME,
    RECEIVED,
    SCORE,
    SISTER,
    faults,
    ns,
    read,
    scores_xml,
)

REAL = {
    "channel": "change_xml",
    "match_id": "1828723",
    "state": 1,
    "state_word": "first half",
    "home_goals": 1,
    "away_goals": 0,
    "home_red": 0,
    "away_red": 0,
    "home_yellow": 0,
    "away_yellow": 0,
    "home_corners": 1,
    "away_corners": 0,
    "corners_known": True,
    "kick_off": ns(2020, 1, 9, 6, 15),
    "half_start": ns(2020, 1, 9, 6, 16, 6),
    "minute": 14,
    "refresh": False,
}


def one(record, **stamp):
    (row,) = read("scores", scores_xml(record), **stamp)
    return row


def changed(**fields):
    """The real record with some of its fields replaced, for example f4="1"."""
    parts = SCORE.split("^")
    for name, text in fields.items():
        parts[int(name[1:])] = text
    return "^".join(parts)


def test_the_real_record_reads_as_the_page_says():
    assert one(SCORE) == REAL  # half-time goals are absent: empty is not 0


def test_the_sister_site_s_form_is_recognised_by_its_colon():
    assert one(SISTER) == {
        "channel": "change_xml",
        "match_id": "1828723",
        "state": 3,
        "state_word": "second half",
        "home_goals": 2,
        "away_goals": 1,
        "home_half_goals": 1,
        "away_half_goals": 0,
        "home_red": 0,
        "away_red": 1,
        "home_yellow": 2,
        "away_yellow": 3,
        "home_corners": 4,
        "away_corners": 5,
        "corners_known": True,
        "kick_off": ns(2020, 1, 9, 6, 15),
        "half_start": ns(2020, 1, 9, 7, 16, 6),  # month 0 is January
        "refresh": False,
    }


def test_both_forms_may_come_in_one_message():
    nowgoal, sister = read("scores", scores_xml(SCORE, SISTER))
    assert nowgoal == REAL
    assert sister["home_yellow"] == 2


@pytest.mark.parametrize(
    ("date", "received", "year"),
    [
        ("01-01", ns(2019, 12, 31, 23, 59), 2020),
        ("12-31", ns(2020, 1, 1, 0, 5), 2019),
        ("07-01", ns(2020, 1, 9), 2020),
        ("02-29", ns(2021, 2, 1), 2020),
        ("02-29", ns(2023, 3, 1), 2024),
        ("2-9", ns(2020, 1, 9), 2020),
    ],
)
def test_the_sister_site_s_year_is_the_nearest(date, received, year):
    month, day = map(int, date.split("-"))
    row = one(SISTER.replace("01-09", date), received=received)
    assert row["kick_off"] == ns(year, month, day, 6, 15)


def test_a_day_that_no_near_year_has_is_absent():
    assert "kick_off" not in one(SISTER.replace("01-09", "02-29"), received=ns(2022, 2, 28))


def test_a_sister_record_without_a_date_has_no_kick_off():
    assert "kick_off" not in one(SISTER.replace("^01-09^", "^^"))


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_its_word(state):
    row = one(changed(f1=str(state)))
    assert (row["state"], row["state_word"]) == (state, STATES[state])
    assert ("minute" in row) is (state in {1, 3})


@pytest.mark.parametrize(
    ("state", "elapsed_s", "minute"),
    [
        ("1", 0, 1),
        ("1", 59, 1),
        ("1", 60, 2),
        ("1", 44 * 60, 45),
        ("1", 47 * 60, 48),
        ("3", 0, 46),
        ("3", 44 * 60, 90),
        ("3", 50 * 60, 96),
        ("1", -60, 1),
        ("1", -61, None),
        ("3", 90 * 60 + 59, 136),
        ("3", 91 * 60, None),
        ("2", 0, None),
        ("4", 0, None),
        ("-1", 0, None),
    ],
)
def test_the_minute_follows_from_state_half_and_receive_time(state, elapsed_s, minute):
    received = ns(2020, 1, 9, 6, 16, 6) + elapsed_s * 10**9
    assert one(changed(f1=state), received=received).get("minute") == minute


def test_there_is_no_minute_without_a_start_of_the_half():
    assert "minute" not in one(changed(f11=""))


@pytest.mark.parametrize(("refresh", "flag"), [("0", False), ("1", True), ("yes", True), (None, None)])
def test_refresh_other_than_0_means_reload(refresh, flag):
    (row,) = read("scores", scores_xml(SCORE, refresh=refresh))
    assert row.get("refresh") is flag


@pytest.mark.parametrize("count", range(4, 20))
def test_trailing_fields_may_be_missing(count):
    full = dict(REAL)
    row = one("^".join(SCORE.split("^")[:count]))
    assert row.items() <= full.items()
    assert row["home_goals"] == 1
    assert ("home_corners" in row) is (count > 16)


def test_unreadable_fields_are_absent_and_the_rest_stays():
    bad = changed(f2="x", f16="1.5", f10="yesterday")
    assert faults(scores_xml(bad)) == ["unreadable field"] * 3
    ((values, *_),) = (scores_rows(scores_xml(bad)),)
    assert values == {
        key: value for key, value in REAL.items() if key not in {"home_goals", "home_corners", "kick_off"}
    }


def scores_rows(text):
    from tes_nb.streams.nowgoal.stream import decode
    from tests.support.nowgoal_corpus import message, rows

    return rows("scores", decode(message(text)))


def test_an_unknown_state_keeps_its_number():
    assert faults(scores_xml(changed(f1="6"))) == ["unknown state"]
    (row,) = scores_rows(scores_xml(changed(f1="6")))
    assert row["state"] == 6
    assert "state_word" not in row


def test_ids_are_text():
    assert one(changed(f0="007"))["match_id"] == "007"
    assert one(changed(f0="abc"))["match_id"] == "abc"


def test_numbers_are_never_guessed():
    for text in ("1,5", "1.0", "+1", "１", "1 ", "1e3", "0x1", "1_0", "9" * 30):  # noqa: RUF001 - a full-width 1
        assert faults(scores_xml(changed(f3=text))) == ["unreadable field"], text
        assert "away_goals" not in scores_rows(scores_xml(changed(f3=text)))[0]


def test_times_outside_a_column_s_range_are_unreadable():
    for text in ("9999-01-01 00:00:00", "0001-01-01 00:00:00", "2020-02-30 00:00:00", "2020-01-01 25:00:00"):
        assert faults(scores_xml(changed(f11=text))) == ["unreadable field"]


# --- basketball


def test_a_basketball_record_reads_field_by_field():
    (row,) = read("games", scores_xml(GAME))
    assert row == {
        "channel": "nba_change_xml",
        "game_id": "555",
        "state": 3,
        "remaining_time": "10:35",
        "home_score": 80,
        "away_score": 79,
        "home_q1": 21,
        "away_q1": 20,
        "home_q2": 22,
        "away_q2": 23,
        "home_q3": 37,
        "away_q3": 36,
        "overtimes": 0,
        "live_text": "timeout",
        "parts": 4,
        "odds_text": "o1",
        "stats_text": "s1",
        "win_odds": "w1",
        "refresh": False,
    }


def test_three_overtimes_have_their_columns():
    record = "1^7^^1^2^3^4^5^6^7^8^9^10^3^^7^11^12^13^14^15^16^^^"
    (row,) = read("games", scores_xml(record))
    assert [row[f"{side}_ot{part}"] for part in (1, 2, 3) for side in ("home", "away")] == [
        11,
        12,
        13,
        14,
        15,
        16,
    ]
    assert row["away_q4"] == 10
    assert row["overtimes"] == 3
    assert "remaining_time" not in row


def test_the_sport_is_recognised_by_shape_or_name():
    assert read("games", scores_xml("5^0^^^" + "^" * 20, GAME))  # one clear record decides for all
    assert read("scores", scores_xml("5^0^0^0", SCORE))
    named = '{"channel":"nba_change_xml","data":"%s"}'
    assert read("games", named % "<c><h>5^0^^1^2</h></c>")
    assert read("scores", '{"channel":"change_xml","data":"<c><h>5^0^1^2</h></c>"}')
    assert read("scores", '{"channel":"other","data":"<c><h>5^0^1^2</h></c>"}')[0]["channel"] == "other"


def test_a_later_receive_time_moves_the_minute_only():
    early, late = one(SCORE), one(SCORE, received=RECEIVED + 120 * 10**9)
    assert late == early | {"minute": early["minute"] + 2}
