"""The rules of WIRE at their edges, for a frame and for the stream alike."""

import doctest
import itertools
import math
import os
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.analysis import steam, steam_detector, steam_rules
from tes_nb.analysis.odds import ticks_from_odds
from tes_nb.analysis.steam import DEFAULTS, SteamDetector, detect, detect_all, window_sums
from tes_nb.analysis.steam_detector import RangeSums
from tes_nb.errors import TesError
from tests.support.ticks import frame, plain_steam, random_ticks, tick

TICKS = int(os.environ.get("TES_STEAM_TICKS", "150000"))
"""A million takes half a minute: TES_STEAM_TICKS=1000000 pytest tests/analysis."""


ROUNDING = 1e-12
"""By so much of itself an index may differ between two ways of adding a window."""


def assert_same_steam(found, expected, least_index=DEFAULTS.least_index):
    """Same velocities; indices but for rounding; same rules, but where an index is that near to its bound."""
    index = expected["steam_index"].to_numpy()
    np.testing.assert_allclose(found["steam_index"].to_numpy(), index, rtol=ROUNDING, atol=0)
    certain = ~(np.abs(index - least_index) <= ROUNDING * least_index)
    pd.testing.assert_frame_equal(
        found[certain].drop(columns="steam_index"),
        expected[certain].drop(columns="steam_index"),
        check_exact=True,
    )


def rules(*ticks, **kwargs):
    """The rules of the ticks, the same from the frame and from the stream."""
    ticks = frame(*ticks)
    batch = detect(ticks, **kwargs)
    streamed = SteamDetector(*kwargs.values()).add_frame(ticks)
    pd.testing.assert_frame_equal(batch, streamed, rtol=ROUNDING)
    return [None if pd.isna(rule) else rule for rule in batch["rule"]]


def test_examples():
    for module in (steam, steam_detector, steam_rules):
        assert doctest.testmod(module).failed == 0


def test_a_large_single_move_from_ten_percent_on():
    assert rules(tick(0, 10.0, 11.0)) == ["LARGE_SINGLE"]
    assert rules(tick(0, 10.0, 9.0)) == ["LARGE_SINGLE"]
    assert rules(tick(0, 10.0, 10.999)) == [None]
    # in binary floating point 3.3 is less than 10 % more than 3
    assert (3.3 - 3) / 3 < 0.1
    assert rules(tick(0, 3.0, 3.3)) == [None]


def test_negative_values_move_by_their_size():
    assert rules(tick(0, -10.0, -11.0)) == ["LARGE_SINGLE"]
    assert detect(frame(tick(0, -4.0, -3.5)))["velocity"].item() == 0.125


def test_from_zero_is_large_and_zero_to_zero_is_no_move():
    assert rules(tick(0, 0.0, 0.5), tick(10_000, 0.0, 0.0)) == ["LARGE_SINGLE", None]
    assert list(detect(frame(tick(0, 0.0, -0.5), tick(9999, 0.0, 0.0)))["velocity"]) == [1.0, 0.0]


@pytest.mark.parametrize(
    ("league", "kind", "threshold", "window", "moves"),
    [
        ("WNCAAB", "player_prop", 0.03, 1500, 2),
        ("WNCAAB", "spread", 0.025, 2000, 2),
        ("ncaab", "total", 0.025, 2000, 2),
        ("NBA", "player_prop", 0.05, 1000, 3),
        ("NBA", "moneyline", 0.04, 1500, 2),
        ("EuroLeague", "player_prop", 0.03, 1500, 2),
        ("serie a", "moneyline", 0.03, 1500, 2),
        (None, "spread", 0.03, 1500, 2),
    ],
)
def test_the_settings_of_league_and_kind(league, kind, threshold, window, moves):
    def steamy(size, gap):
        ticks = [tick(n * gap, 1.0, 1.0 + size, league=league, odds_type=kind) for n in range(moves)]
        return rules(*ticks)[-1] == "MULTI_RAPID"

    step = (window - 1) // (moves - 1) if moves > 1 else 1
    assert steamy(threshold + 0.001, step)
    assert not steamy(threshold - 0.001, step)
    assert not steamy(threshold + 0.001, -(-window // (moves - 1)))


def test_exactly_at_the_window_is_outside():
    inside = rules(tick(0, 1.0, 1.05), tick(1499, 1.0, 1.05))
    outside = rules(tick(0, 1.0, 1.05), tick(1500, 1.0, 1.05))
    assert (inside, outside) == ([None, "MULTI_RAPID"], [None, None])


def test_the_window_is_exact_to_the_nanosecond():
    at = pd.Timestamp("2026-03-01 12:00:00", tz="UTC")
    for ns, rule in ((1_499_999_999, "MULTI_RAPID"), (1_500_000_000, None)):
        assert rules(tick(at, 1.0, 1.05), tick(at + pd.Timedelta(ns, "ns"), 1.0, 1.05)) == [None, rule]


def test_exactly_at_the_threshold_counts():
    # 0.0625 and 1.0625 are exact in binary, so is the velocity
    changed = DEFAULTS.changed("nba", "main", threshold=0.0625)
    assert rules(tick(0, 1.0, 1.0625), tick(1, 1.0, 1.0625), settings=changed) == [None, "MULTI_RAPID"]
    above = DEFAULTS.changed("nba", "main", threshold=np.nextafter(0.0625, 1))
    assert rules(tick(0, 1.0, 1.0625), tick(1, 1.0, 1.0625), settings=above) == [None, None]


def test_the_threshold_is_met_in_floats_not_in_decimals():
    # 1.04 - 1 is a little more than 0.04, 2.08 - 2 over 2 as well, 25 → 26 is exact
    assert rules(tick(0, 25.0, 26.0), tick(1, 25.0, 26.0)) == [None, "MULTI_RAPID"]


def test_the_index_is_needed_too():
    # two moves reach 4 %, but among ten ticks the mean is too small for an index of 1.5
    still = [tick(n, 1.0, 1.0) for n in range(10)]
    moves = [tick(20, 1.0, 1.04), tick(21, 1.0, 1.04)]
    assert rules(*moves)[-1] == "MULTI_RAPID"
    assert rules(*still, *moves)[-1] is None
    indices = detect(frame(*still, *moves))["steam_index"]
    assert indices.iloc[-1] == pytest.approx(0.7 * 0.08 / 12 * 100)


def test_an_index_of_exactly_one_and_a_half_is_enough():
    # no plain pair of moves has an index of exactly 1.5, so the bound is moved to where one is
    exactly = 0.7 * 0.0625 * 100
    for least, rule in ((exactly, "MULTI_RAPID"), (np.nextafter(exactly, 9), None)):
        changed = steam.SteamSettings(rows=DEFAULTS.rows, least_index=least)
        assert rules(tick(0, 1.0, 1.0625), tick(1, 1.0, 1.0625), settings=changed) == [None, rule]


def test_volume_raises_the_index_up_to_its_full_share():
    for volume, share in ((0, 0.0), (5000, 0.5), (10_000, 1.0), (1e9, 1.0), (None, 0.0), (-5, 0.0)):
        index = detect(frame(tick(0, 1.0, 1.0625, volume=volume)))["steam_index"].item()
        assert index == 0.7 * 0.0625 * 100 + 0.3 * share * 0.5 * 10


def test_volume_is_a_mean_over_the_window():
    ticks = frame(tick(0, 1.0, 1.0, volume=10_000), tick(1, 1.0, 1.0))
    assert list(detect(ticks)["steam_index"]) == [1.5, 0.75]
    pd.testing.assert_frame_equal(detect(ticks), SteamDetector().add_frame(ticks), rtol=ROUNDING)


def test_keys_do_not_mix():
    for field in ("game_id", "bookmaker_id", "odds_type", "market", "side", "line"):
        pair = [tick(0, 1.0, 1.05, **{field: "a"}), tick(1, 1.0, 1.05, **{field: "b"})]
        assert rules(*pair) == [None, None], field
        assert rules(*pair, tick(2, 1.0, 1.05, **{field: "a"}))[-1] == "MULTI_RAPID"


def test_interleaved_keys_are_judged_each_for_itself():
    ticks = [
        tick(at, 1.0, 1.05, game_id=game) for at, game in zip(range(0, 8000, 400), "abcd" * 5, strict=True)
    ]
    alone = [rules(*[one for one in ticks if one["game_id"] == game]) for game in "abcd"]
    assert rules(*ticks) == [alone["abcd".index(one["game_id"])].pop(0) for one in ticks]


def test_a_player_does_not_belong_to_the_key():
    props = [tick(n, 1.0, 1.06, odds_type="player_prop", player_id=str(n)) for n in range(3)]
    assert rules(*props)[-1] == "MULTI_RAPID"


def test_an_absent_bookmaker_is_the_default_one():
    ticks = [tick(0, 1.0, 1.05, bookmaker_id=None), tick(1, 1.0, 1.05, bookmaker_id="nowgoal-ws")]
    assert rules(*ticks) == [None, "MULTI_RAPID"]
    assert detect(frame(*ticks).drop(columns="bookmaker_id"))["rule"].iloc[1] == "MULTI_RAPID"


@pytest.mark.parametrize("field", ["game_id", "odds_type"])
def test_ticks_without_game_or_type_are_judged_alone(field):
    ticks = [tick(n, 1.0, 1.05, **{field: None}) for n in range(3)]
    assert rules(*ticks, tick(9, 1.0, 1.2, **{field: None})) == [None, None, None, "LARGE_SINGLE"]


@pytest.mark.parametrize("missing", [None, np.nan, "1,85", "", np.inf])
def test_a_tick_without_a_price_has_no_velocity_and_is_in_no_window(missing):
    ticks = frame(tick(0, 1.0, 1.05), tick(1, missing, 1.9), tick(2, 1.9, missing), tick(3, 1.0, 1.05))
    found = detect(ticks)
    assert (
        found["velocity"].isna().tolist()
        == found["steam_index"].isna().tolist()
        == [False, True, True, False]
    )
    assert found["steam"].tolist() == [False, False, False, True]
    assert found["steam_index"].iloc[3] == pytest.approx(3.5)
    pd.testing.assert_frame_equal(found, SteamDetector().add_frame(ticks))


@pytest.mark.parametrize("missing", [None, np.nan, pd.NaT, 1e300, "noon"])
def test_a_tick_without_a_time_may_be_large_but_is_in_no_window(missing):
    ticks = frame(tick(0, 1.0, 1.05), tick(missing, 1.0, 1.2), tick(1, 1.0, 1.05))
    found = detect(ticks.astype({"timestamp": object}))
    assert found["steam_index"].isna().tolist() == [False, True, False]
    assert found["rule"].iloc[1] == "LARGE_SINGLE"
    assert found["steam_index"].iloc[2] == pytest.approx(3.5)


def test_times_may_be_milliseconds_or_times():
    times = [0, 700, 1499, 1500, 3000]
    ticks = frame(*[tick(1_772_379_000_000 + at, 1.0, 1.05) for at in times])
    expected = detect(ticks)[["velocity", "steam_index", "rule", "steam"]]
    stamps = pd.to_datetime(ticks["timestamp"], unit="ms", utc=True)
    forms = [
        stamps,
        stamps.dt.as_unit("ns"),
        stamps.dt.tz_localize(None),
        stamps.dt.tz_convert("Asia/Tokyo"),
        ticks["timestamp"].astype("float64"),
        ticks["timestamp"].astype("Int64"),
        stamps.astype(object),
        pd.Series([datetime.fromtimestamp(ms / 1000, tz=UTC) for ms in ticks["timestamp"]], dtype=object),
    ]
    for form in forms:
        changed = ticks.assign(timestamp=form)
        found = detect(changed)
        pd.testing.assert_frame_equal(found[expected.columns], expected)
        pd.testing.assert_frame_equal(SteamDetector().add_frame(changed), found)


def test_ticks_out_of_order_are_judged_in_time_order_and_answered_in_their_own():
    ticks = random_ticks(3000, seed=5, keys=3)
    apart = pd.to_timedelta(np.arange(3000), "ns")  # no two at the same time
    ticks["timestamp"] = pd.to_datetime(ticks["timestamp"], unit="ms", utc=True).dt.as_unit("ns") + apart
    expected = detect(ticks)
    assert (expected["rule"] == "MULTI_RAPID").sum() > 100
    shuffled = ticks.sample(frac=1, random_state=2)
    found = detect(shuffled)
    assert found.index.equals(shuffled.index)
    pd.testing.assert_frame_equal(found.sort_index(), expected)


def test_equal_times_count_in_the_order_of_the_frame():
    assert rules(tick(5, 1.0, 1.05), tick(5, 1.0, 1.05), tick(5, 1.0, 1.0)) == [
        None,
        "MULTI_RAPID",
        "MULTI_RAPID",
    ]


def test_the_index_of_the_input_is_kept_though_it_repeats():
    ticks = frame(tick(0, 1.0, 1.05), tick(1, 1.0, 1.05))
    ticks.index = pd.DatetimeIndex(["2026-01-01", "2026-01-01"], name="time")
    found = detect(ticks)
    assert found.index.equals(ticks.index)
    assert list(found.columns) == [*ticks.columns, "velocity", "steam_index", "rule", "steam"]
    assert "velocity" not in ticks.columns


def test_an_empty_frame_has_the_columns_and_their_types():
    empty = frame(tick(0, 1.0, 1.05)).iloc[:0]
    for found in (
        detect(empty),
        SteamDetector().add_frame(empty),
        detect_all(None, None),
        detect_all(empty, None),
    ):
        assert len(found) == 0
        assert found.dtypes["velocity"] == found.dtypes["steam_index"] == np.float64
        assert found.dtypes["steam"] == np.bool_
        assert list(found["rule"].cat.categories) == ["LARGE_SINGLE", "MULTI_RAPID"]


def test_a_missing_column_is_named():
    with pytest.raises(TesError, match="the frame lacks old_value, timestamp"):
        detect(frame(tick(0, 1.0, 1.05)).drop(columns=["old_value", "timestamp"]))


def test_a_key_whose_league_changes_uses_each_ticks_own_settings():
    ticks = [
        tick(0, 1.0, 1.035, league="serie a"),
        tick(1, 1.0, 1.035, league="NBA"),
        tick(2, 1.0, 1.035, league="x"),
    ]
    assert rules(*ticks) == [None, None, "MULTI_RAPID"]


# The stream's own behaviour


def test_a_late_tick_is_judged_in_its_place_and_counts_for_later_ones():
    detector = SteamDetector()
    assert detector.add(tick(1000, 1.0, 1.05)).rule is None
    assert detector.add(tick(2000, 1.0, 1.0)).steam_index == pytest.approx(0.7 * 2.5)
    late = detector.add(tick(1400, 1.0, 1.05))
    assert late.rule == "MULTI_RAPID"
    assert late.steam_index == pytest.approx(3.5)
    after = detector.add(tick(2100, 1.0, 1.0))
    assert after.rule == "MULTI_RAPID"
    assert after.steam_index == pytest.approx(0.7 * 10 / 4)


def test_a_tick_that_is_too_late_is_judged_alone():
    detector = SteamDetector()
    detector.add(tick(0, 1.0, 1.05))
    detector.add(tick(5000, 1.0, 1.05))
    assert detector.add(tick(1, 1.0, 1.05)).rule is None
    assert len(detector) == 1


@given(
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from([0.0, 0.03, 0.05, 0.12])), max_size=25),
    st.randoms(),
)
def test_a_slightly_shuffled_stream_ends_with_the_batch_answer(moves, rng):
    """Whatever is late within the longest window: the last tick in time is answered as in the batch."""
    ticks = [tick(at * 30, 1.0, 1.0 + size) for at, size in sorted(moves)]
    last = tick(1900, 1.0, 1.05)
    mixed = rng.sample(ticks, len(ticks))
    detector = SteamDetector()
    for one in mixed:
        detector.add(one)
    expected = detect(frame(*ticks, last)).iloc[-1]
    verdict = detector.add(last)
    assert verdict.velocity == expected["velocity"]
    assert verdict.steam_index == pytest.approx(expected["steam_index"], rel=ROUNDING)
    assert verdict.steam == expected["steam"]


def test_the_detector_forgets_what_is_older_than_the_longest_window():
    detector = SteamDetector()
    for at in range(0, 1_000_000, 10):
        detector.add(tick(at, 1.0, 1.01))
    assert len(detector) == 200
    [memory] = detector._keys.values()
    assert len(memory._times) < 600


def test_the_detector_forgets_quiet_keys():
    detector = SteamDetector()
    for number in range(20_000):
        detector.add(tick(number * 1000, 1.0, 1.01, game_id=str(number)))
    assert len(detector._keys) < 4200


def test_the_detector_survives_a_time_stamp_in_the_far_future():
    detector = SteamDetector()
    detector.add(tick(8_000_000_000_000, 1.0, 1.05, game_id="future"))
    assert [detector.add(tick(at, 1.0, 1.05)).rule for at in (0, 1)] == [None, "MULTI_RAPID"]


# Both agree

SIZES = st.one_of(
    st.sampled_from([0.0, 0.1, 0.3, 1 / 3, 1.0, 2.0**-20, 1023.9, 1e15, 1e300, 5e-324, 1e-9]),
    st.floats(0, 2),
    st.floats(0, 1e300),
)


@given(st.lists(SIZES, max_size=70), st.data())
def test_sums_of_any_window_are_right_but_for_rounding(values, data):
    low = data.draw(st.integers(0, len(values)))
    high = data.draw(st.integers(low, len(values)))
    expected = pytest.approx(math.fsum(values[low:high]), rel=ROUNDING, abs=0)
    assert window_sums(np.array(values, dtype=np.float64), np.array([low]), np.array([high]))[0] == expected
    assert RangeSums(values).of(low, high) == expected


def test_sums_of_small_windows_do_not_suffer_from_large_values_before_them():
    values = np.concatenate([[1e300], np.full(100_000, 0.1), [1e300], np.full(50, 1e-9)])
    high = np.arange(1, len(values) + 1)
    low = np.maximum(high - 40, 0)
    found = window_sums(values, low, high)
    sums = RangeSums(values.tolist())
    for at in (39, 40, 50_000, 100_000, 100_001, 100_041, len(values) - 1):
        expected = pytest.approx(math.fsum(values[low[at] : high[at]]), rel=ROUNDING, abs=0)
        assert found[at] == expected
        assert sums.of(low[at], high[at]) == expected


def test_sums_of_a_hundred_thousand_windows_of_all_lengths():
    rng = np.random.default_rng(3)
    values = np.abs(rng.normal(0, 0.05, 100_000)) * rng.integers(0, 2, 100_000)
    high = np.arange(1, len(values) + 1)
    low = np.maximum(high - rng.integers(1, rng.choice([3, 40, 5000], len(values))), 0)
    found = window_sums(values, low, high)
    sums = RangeSums(values.tolist())
    streamed = [sums.of(*bounds) for bounds in zip(low.tolist(), high.tolist(), strict=True)]
    np.testing.assert_allclose(streamed, found, rtol=ROUNDING, atol=0)
    truth = [math.fsum(values[low[at] : high[at]]) for at in range(0, len(values), 13)]
    np.testing.assert_allclose(found[::13], truth, rtol=ROUNDING, atol=0)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "game_id": st.sampled_from(["1", "2", None]),
                "bookmaker_id": st.sampled_from(["8", None]),
                "odds_type": st.sampled_from(["spread", "player_prop", "total", None]),
                "league": st.sampled_from(["NBA", "WNCAAB", "EuroLeague", None]),
                "old_value": st.one_of(st.none(), st.floats(), st.sampled_from([0.0, 1.0, 2.0])),
                "new_value": st.one_of(st.none(), st.floats(), st.sampled_from([0.0, 1.0, 1.05, 2.2])),
                "timestamp": st.sampled_from([0, 1, 499, 500, 1000, 1499, 1500, 2000, 2500]),
                "volume": st.one_of(st.none(), st.floats(), st.sampled_from([0.0, 1e4])),
                "line": st.sampled_from([None, 1.5, -0.5]),
            }
        ),
        max_size=30,
    )
)
def test_frame_and_stream_agree_on_anything(ticks):
    ticks = pd.DataFrame(
        sorted(ticks, key=lambda one: one["timestamp"]), columns=list(tick(0, 1, 1, volume=0, line=0))
    )
    assert_same_steam(SteamDetector().add_frame(ticks), detect(ticks))


def test_frame_and_plain_rules_agree_on_random_ticks():
    ticks = random_ticks(60_000, seed=11)
    found = detect(ticks)
    velocity, index, rule = zip(*plain_steam(ticks), strict=True)
    plain = ticks.assign(velocity=velocity, steam_index=index)
    plain["rule"] = pd.Categorical(rule, categories=["LARGE_SINGLE", "MULTI_RAPID"])
    assert_same_steam(found, plain.assign(steam=plain["rule"].notna()))
    assert {"LARGE_SINGLE", "MULTI_RAPID", None} == set(rule)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_frame_and_stream_agree_on_many_random_ticks():
    ticks = random_ticks(TICKS, seed=12, keys=25, step_ms=10)
    found = detect(ticks)
    assert_same_steam(SteamDetector().add_frame(ticks), found)
    assert found["rule"].value_counts().min() > TICKS / 1000


# Derived ticks


def handicap(*rows, line=-0.5):
    times = pd.to_datetime([at for at, *_ in rows], unit="ms", utc=True)
    prices = [[1 + hk for hk in hong_kong] for _, *hong_kong in rows]
    odds = pd.DataFrame(prices, columns=["home", "away"], index=times)
    return odds.assign(match_id="1", company_id="8", market="asian_handicap", line=line)


def test_one_handicap_move_in_hong_kong_prices_is_no_steam():
    ticks = ticks_from_odds(handicap((0, 0.90, 0.90), (500, 0.95, 0.85)))
    assert len(ticks) == 2
    found = detect(ticks)
    assert not found["steam"].any()
    # without the finer key both sides of the one move would make two moves
    assert detect(ticks.drop(columns=["market", "side", "line"]).assign(league="WNCAAB"))["steam"].any()


def test_moves_of_one_side_in_one_direction_are_steam():
    odds = handicap((0, 0.90, 0.90), (400, 0.97, 0.84), (800, 1.04, 0.78))
    found = detect(ticks_from_odds(odds))
    assert found.loc[found["steam"], "side"].tolist() == ["home", "away"]
    pd.testing.assert_frame_equal(SteamDetector().add_frame(ticks_from_odds(odds)), found)


def test_detect_all_joins_received_and_derived_ticks():
    odds = handicap((0, 0.90, 0.90), (400, 0.97, 0.84), (800, 1.04, 0.78))
    derived = ticks_from_odds(odds)
    received = derived.drop(columns=["market", "side", "line"]).assign(bookmaker_id="nowgoal-ws")
    found = detect_all(received, odds)
    assert len(found) == 2 * len(derived)
    assert found.index.is_monotonic_increasing
    assert found["market"].isna().sum() == len(received)
    assert detect_all(None, odds)["steam"].sum() == 2


def test_every_number_form_of_a_cell_reads_alike():
    cells = [1, 1.5, "2.5", None, np.nan, pd.NA, "x", np.float32(0.5), True]
    alone = [steam_rules.number(cell) for cell in cells]
    together = steam_rules.numbers(pd.Series(cells, dtype=object))
    np.testing.assert_array_equal(alone, together)


def test_settings_are_a_table_that_can_be_changed():
    table = DEFAULTS.table()
    assert table.loc[("nba", "prop")].to_dict() == {
        "threshold": 0.05,
        "window_ms": 1000,
        "moves": 3,
        "volume_weight": 0.5,
    }
    assert len(table) == 6
    changed = DEFAULTS.changed("Serie A", "main", threshold=0.5)
    assert changed.of("serie-a", "main").threshold == 0.5
    assert DEFAULTS.of("serie a", "main").threshold == 0.03
    assert changed.of("serie a", "prop") == DEFAULTS.of(None, "prop")
    assert DEFAULTS.changed("nba", "main", window_ms=9000).longest_window_ms == 9000
    with pytest.raises(TesError, match="makes no sense"):
        DEFAULTS.changed("nba", "main", moves=0)
    with pytest.raises(TypeError):
        DEFAULTS.changed("nba", "main", colour="red")


def test_the_stream_follows_changed_settings():
    longer = DEFAULTS.changed("nba", "main", window_ms=60_000)
    ticks = [tick(at, 1.0, 1.05) for at in (0, 30_000, 59_999, 90_000)]
    assert rules(*ticks, settings=longer) == [None, "MULTI_RAPID", "MULTI_RAPID", "MULTI_RAPID"]
    assert rules(*ticks) == [None] * 4


def test_all_orders_of_a_few_ticks_agree_with_time_order():
    ticks = [tick(0, 1.0, 1.05), tick(700, 1.0, 1.05), tick(1600, 1.0, 1.05), tick(3200, 1.0, 1.2)]
    expected = dict(zip(range(4), rules(*ticks), strict=True))
    for order in itertools.permutations(range(4)):
        found = detect(frame(*[ticks[n] for n in order]))["rule"]
        assert [None if pd.isna(rule) else rule for rule in found] == [expected[n] for n in order]
