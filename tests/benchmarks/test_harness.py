"""The benchmarks' own tools: turns, ratios, the results file and its page."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.harness import Spread, compare, figure, interleave, number, ratio

ROOT = Path(__file__).parents[2]


def test_candidate_and_reference_take_turns_and_the_warm_up_is_thrown_away():
    order = []

    def named(name, values):
        def call():
            order.append(name)
            return next(values)

        return call

    ours, theirs = interleave(named("a", iter([9, 1, 2])), named("b", iter([9, 3, 4])), rounds=2)
    assert (ours, theirs) == ([1, 2], [3, 4])
    assert order == ["b", "a", "a", "b", "b", "a"]


def test_a_ratio_is_the_median_of_the_rounds_own_ratios():
    result = ratio("P0", "x", [2, 3, 10], [1, 3, 2], unit="ms", against="y", at_most=2)
    assert result.value == Spread(2, 1, 5)
    assert result.met
    assert not ratio("P0", "x", [2.2], [1], unit="ms", against="y", at_most=2).met
    assert ratio("P0", "x", [60], [1], unit="ms", against="y", at_least=50).met


def test_compare_times_at_least_five_rounds():
    result = compare(
        "P0", "x", lambda: sum(range(20_000)), lambda: sum(range(10)), against="y", at_most=1, rounds=1
    )
    assert result.rounds == 5
    assert result.value.median > 1
    assert not result.met
    assert "MISS P0" in result.line()


def test_a_figure_stands_alone():
    result = figure("P0", "lateness", [3.0, 1.0, 2.0], unit="ms", at_most=2)
    assert (result.value.median, result.met, result.reference) == (2.0, True, None)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234.5, "1,234"), (12.345, "12.3"), (0.01234, "0.0123"), (0.0000012, "0.000001")],
)
def test_numbers_have_three_digits_and_no_exponent(value, text):
    assert number(value) == text


def test_results_of_others_stay_and_the_page_follows(tmp_path, monkeypatch):
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(report, "PAGE", page)

    def results(benchmark, id_, name):
        made = figure(id_, name, [1.0], unit="ms", at_most=2).as_dict()
        return [json.loads(json.dumps(made)) | {"benchmark": benchmark}]

    report.store("late", results("late", "P10", "late"))
    report.store("early", results("early", "P2", "first try"))
    report.store("early", results("early", "P2", "second try"))
    report.refresh_page()
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "first try" not in text
    assert text.index("second try") < text.index("late")


def test_an_unknown_benchmark_gets_a_sentence():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nothing"], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 1
    assert done.stderr.startswith("No benchmark is called nothing; there are: ")
