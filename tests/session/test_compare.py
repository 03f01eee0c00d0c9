"""`tes.compare`: the same work shows no difference, a real one is found, and what cannot be compared is said."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

import tes_nb as tes
from tes_nb.analysis.differences import NONE, TOO_LITTLE, differences
from tes_nb.cli import app
from tes_nb.errors import ArgumentError, SessionError
from tes_nb.model import Direction, Message, Opcode
from tes_nb.store.session.schema import SourceInfo
from tes_nb.streams.kernel import KERNEL
from tes_nb.wire.events import Gap, Mark, encode_event
from tests.support.messages import WALL
from tests.support.sessions import write_session

SECOND = 10**9
BASE = {"memory": 1000.0, "queue": 50.0, "latency": 20.0}


def runs(seed, count=300, *, grow=None):
    """Three gauges of a piece of work: noise that remembers, a saw, and bursts; `grow` name → factor at the end."""
    chance = np.random.default_rng(seed)
    noise = np.zeros(count)
    for place in range(1, count):
        noise[place] = 0.8 * noise[place - 1] + chance.normal(0, 0.6)
    ((np.arange(count) + chance.integers(20)) % 20) / 20
    values = {
        "memory": BASE["memory"] * (1 + 0.01 * noise),
        "queue": BASE["queue"] * (1 + 0.1 * ((np.arange(count) + chance.integers(20)) % 20) / 20)
        + chance.normal(0, 1, count),
        "latency": BASE["latency"] + chance.gamma(2.0, 2.0, count),
    }
    for name, factor in (grow or {}).items():
        values[name] = values[name] * factor
    return values


def session(path, values, *, began=WALL, events=(), step=SECOND, unit="MiB", cells=()):
    """A session file with these gauges, one message a step; events: (place, event); cells: (number, first, last)."""
    messages = [SourceInfo(KERNEL, KERNEL)]
    seq = 0

    def put(payload, opcode, at):
        nonlocal seq
        seq += 1
        messages.append(Message(KERNEL, Direction.IN, opcode, payload, began + at, at, 0, seq))

    for place in range(max(map(len, values.values()))):
        for at, event in events:
            if at == place:
                put(encode_event(event), Opcode.EVENT, place * step)
        for number, first, last in cells:
            if place == last:
                wall_s = (last - first) * step / SECOND
                cell = {"type": "cell", "number": number, "start": began + first * step, "wall_s": wall_s}
                put(msgspec.json.encode({**cell, "cpu_s": 1.0, "rss_peak": 1}), Opcode.TEXT, place * step)
        for name, those in values.items():
            if place < len(those):
                report = {"type": "gauge", "name": name, "value": float(those[place]), "unit": unit}
                put(
                    msgspec.json.encode({**report, "timestamp": (began + place * step) // 10**6}),
                    Opcode.TEXT,
                    place * step,
                )
    return write_session(path, messages)


def words(found):
    return {(row.subject, row.statistic): row.word for row in found.frame.itertuples()}


def test_the_same_work_shows_no_difference_and_a_fifth_more_is_found():
    calm = found = 0
    for seed in range(100):
        a, b, leak = runs(2 * seed), runs(2 * seed + 1), runs(2 * seed + 1, grow={"memory": 1.2})
        judged = [
            {
                (name, one.statistic): one.word
                for name in BASE
                for one in differences(a[name], other[name], questions=12, least=0.05, seconds=300)
            }
            for other in (b, leak)
        ]
        calm += set(judged[0].values()) == {NONE}
        found += all(
            judged[1]["memory", statistic] == "more" for statistic in ("median", "p95", "peak", "area")
        )
        assert {name for (name, _), word in judged[1].items() if word == "more"} <= {"memory"} | {
            name for (name, _), word in judged[0].items() if word != NONE
        }
    assert calm >= 95
    assert found >= 95


def test_less_is_found_as_more_is():
    a, b = runs(1)["memory"], runs(2)["memory"]
    assert {one.word for one in differences(1.2 * a, b, questions=4, least=0.05, seconds=1)} == {"less"}
    (median, *_) = differences(a, 1.2 * a, questions=4, least=0.05, seconds=300)
    assert median.percent == pytest.approx(20)
    assert median.low < median.change < median.high
    area = differences(a, a, questions=1, least=0.05, seconds=300)[3]
    assert area.a == pytest.approx(a.mean() * 300)


def test_a_planted_leak_is_found_and_nothing_else(tmp_path):
    before = session(tmp_path / "before.tes", runs(1))
    after = session(tmp_path / "after.tes", runs(2, grow={"memory": 1.2}), began=WALL + 10**15)
    found = tes.compare(before, after)
    assert {subject for (subject, _), word in words(found).items() if word != NONE} == {"memory"}
    row = found.frame.set_index(["subject", "statistic"]).loc[("memory", "median")]
    assert row["percent"] == pytest.approx(20, abs=2)
    assert (row["unit"], row["feed"], row["table"], row["column"]) == ("MiB", "kernel", "gauges", "value")
    assert found.unmatched == []
    assert found.seconds == pytest.approx(299, abs=1)
    assert "4 of 12 differ: memory median +" in repr(found)
    figure = found.plot()
    assert len(figure.data) == 2
    sides = {figure.layout[axis].side for axis in ("xaxis", "xaxis2")}
    assert sides == {"bottom", "top"}
    assert figure.data[1].x[0] == np.datetime64(WALL + 10**15, "ns")
    page = found.report(tmp_path / "found.html").read_text()
    assert "All that was compared" in page
    assert "memory" in page
    assert "https://cdn" not in page.split("<body>")[1]


def test_each_cell_is_compared_with_an_interval_from_its_own_beginning(tmp_path):
    a, b = runs(1, 600), runs(2, 600)
    b = {name: np.r_[cells[:50], cells] for name, cells in b.items()}  # it begins later, by 50 s
    b["memory"][350:550] *= 1.2  # in the second cell alone
    ran = [(1, 50, 200), (2, 300, 500), (3, 510, 515)]
    files = [
        session(tmp_path / "a.tes", a, cells=ran),
        session(tmp_path / "b.tes", b, cells=[(n, first + 50, last + 50) for n, first, last in ran]),
    ]
    found = tes.compare(*files)
    cells = found.by_cell
    assert set(cells["number"]) == {1, 2}
    assert cells["low"].notna().all()
    different = cells[cells["word"] != NONE]
    assert set(zip(different["number"], different["subject"], strict=True)) == {(2, "memory")}
    (median,) = different[different["statistic"] == "median"].itertuples()
    inside = [side["memory"][300:500] for side in (a, b)]
    inside[1] = b["memory"][350:550]
    assert median.a == pytest.approx(np.median(inside[0]), rel=0.01)
    assert median.b == pytest.approx(np.median(inside[1]), rel=0.01)
    assert median.low < median.difference < median.high
    assert "differences while a cell ran: cell 2 (" in repr(found)
    assert (
        "Cells 3 ran for less than 20 s in one of both: what was measured then is too little to compare; `cells` has "
        "what they cost." in found.unmatched
    )
    page = found.report(tmp_path / "found.html").read_text()
    assert "By cell" in page
    assert "What cells cost" in page


def test_units_are_matched_and_what_is_not_of_one_kind_is_said(tmp_path):
    a, b = runs(1), runs(2)
    one = session(tmp_path / "a.tes", a, unit="MiB")
    bytes_ = {name: cells * 1024**2 for name, cells in b.items()}
    found = tes.compare(one, session(tmp_path / "b.tes", bytes_, unit="bytes"))
    assert set(words(found).values()) == {NONE}
    assert set(found.frame["unit"]) == {"MiB", "MiB * s"}
    with pytest.raises(ArgumentError, match="No column 'value' was compared"):
        tes.compare(one, session(tmp_path / "c.tes", b, unit="rows")).exceeds("value peak 10%")
    assert (
        "'memory' of kernel.gauges is in 'MiB' in the one and in 'rows' in the other, which is not the same."
        in tes.compare(one, tmp_path / "c.tes").unmatched
    )


def test_one_stray_value_neither_fails_nor_saves_a_build_and_is_said(tmp_path):
    calm, again = ({"memory": runs(seed)["memory"]} for seed in (1, 2))
    spiked = {"memory": again["memory"].copy()}
    spiked["memory"][123] *= 2
    leak = {"memory": again["memory"] * 1.2}
    hidden = {"memory": calm["memory"].copy()}
    hidden["memory"][50] *= 2  # the peak of the one with the leak is below this one
    files = {
        name: session(tmp_path / f"{name}.tes", values)
        for name, values in (("calm", calm), ("spiked", spiked), ("leak", leak), ("hidden", hidden))
    }
    rule = "value peak 10%"
    runner = CliRunner()
    for a, b, code, sign in (("calm", "spiked", 0, "+"), ("hidden", "leak", 4, "-")):
        ran = runner.invoke(app, ["compare", str(files[a]), str(files[b]), "--fail-over", rule])
        assert ran.exit_code == code
        assert f"The highest value of value memory is {sign}" in ran.output
        stray = {"calm": "spiked.tes", "hidden": "hidden.tes"}[a]
        assert f"2 values of {stray} at most make the difference" in ran.output
    ran = runner.invoke(app, ["compare", str(files["calm"]), str(files["leak"]), "--fail-over", rule])
    assert ran.exit_code == 4
    assert "value peak (without stray values) of memory is" in ran.output
    assert "The highest value" not in ran.output
    spiked["memory"] = again["memory"] * 1.02  # surely more, by less than the limit
    spiked["memory"][123] *= 2
    found = tes.compare(files["calm"], session(tmp_path / "more.tes", spiked))
    assert found.exceeds(rule) is None
    assert len(found.stray(rule)) == 1


def test_the_command_line_fails_the_build(tmp_path):
    files = [session(tmp_path / "a.tes", runs(1)), session(tmp_path / "b.tes", runs(2, grow={"memory": 1.2}))]
    run = lambda *more: CliRunner().invoke(app, ["compare", *map(str, files), *more])  # noqa: E731
    over = run("--fail-over", "value peak 10%", "--report", str(tmp_path / "c.html"))
    assert over.exit_code == 4
    assert "value peak (without stray values) of memory is" in over.output
    assert "the limit is 10 %" in over.output
    assert (tmp_path / "c.html").exists()
    assert run("--fail-over", "value peak 40%").exit_code == 0
    assert run().exit_code == 0
    wrong = run("--fail-over", "memry peak 10%")
    assert isinstance(wrong.exception, ArgumentError)
    assert "No column 'memry' was compared" in str(wrong.exception)
    assert "is no rule" in str(run("--fail-over", "too much").exception)


def test_what_was_nothing_and_is_something_fails_a_build(tmp_path):
    chance = np.random.default_rng(3)
    nothing, some = np.zeros(300), 50 + chance.normal(0, 1, 300)
    spiked = nothing.copy()
    spiked[[70, 80]] = 90.0
    a, b, c = (
        session(tmp_path / name, {"errors": values})
        for name, values in (("a.tes", nothing), ("b.tes", some), ("c.tes", spiked))
    )
    found = tes.compare(a, b)
    for statistic in ("median", "p95", "peak", "area"):
        assert "from 0 more (0 to" in found.exceeds(f"value {statistic} 1000%")
    assert "errors median from 0" in repr(found)
    assert found.stray("value peak 10%") == []
    assert tes.compare(b, a).exceeds("value median 10%") is None
    assert tes.compare(a, a).exceeds("value median 10%") is None
    assert tes.compare(a, c).exceeds("value peak 10%") is None
    (sentence,) = tes.compare(a, c).stray("value peak 10%")
    assert "is from 0 (0 to 90)" in sentence
    assert CliRunner().invoke(app, ["compare", str(a), str(b), "--fail-over", "value p95 10%"]).exit_code == 4


def test_what_both_share_is_compared_and_the_rest_is_said(tmp_path):
    one = session(tmp_path / "one.tes", {**runs(1), "mine": runs(1)["queue"]})
    short = session(tmp_path / "short.tes", {name: cells[:5] for name, cells in runs(2).items()})
    found = tes.compare(one, short)
    assert set(words(found).values()) == {TOO_LITTLE}
    assert found.unmatched == [
        "'mine' of kernel.gauges is there 1 times in the one and 0 times in the other."
    ]
    empty = write_session(tmp_path / "empty.tes", [SourceInfo(KERNEL, KERNEL)])
    with pytest.raises(SessionError, match=r"empty\.tes is empty"):
        tes.compare(one, empty)
    other = write_session(
        tmp_path / "other.tes",
        [
            SourceInfo("metrics", "metrics"),
            Message("metrics", Direction.IN, Opcode.TEXT, b"{}", WALL, 0, 0, 1),
        ],
    )
    with pytest.raises(
        SessionError, match=r"no feed to compare: one\.tes has kernel, and other\.tes has metrics"
    ):
        tes.compare(one, other)


def test_too_little_is_said_and_never_passes(tmp_path):
    a = session(tmp_path / "a.tes", {name: cells[:9] for name, cells in runs(1).items()})
    b = session(
        tmp_path / "b.tes", {name: cells[:9] for name, cells in runs(2, grow={"memory": 3.5}).items()}
    )
    found = tes.compare(a, b)
    assert "no difference seen" not in repr(found)
    lack = "8 values in 8.0 s, and 20 in about 20.0 s are needed"
    columns = ", ".join(f"value {row}" for row in dict.fromkeys(found.frame["subject"]))
    assert repr(found) == (
        f"<comparison: b.tes against a.tes, 8.0 s: too little to tell of 3 columns ({columns}): {lack}>"
    )
    assert "too little to tell of 3 columns" in found._repr_mimebundle_()["text/html"]
    with pytest.raises(SessionError, match=f"too little to tell of value .*: {lack}. Record both for longer"):
        found.exceeds("value peak 10%")
    ran = CliRunner().invoke(app, ["compare", str(a), str(b), "--fail-over", "value peak 10%"])
    assert ran.exit_code == 1
    assert "too little to tell of 3 columns" in ran.stdout
    assert "tes-nb: 'value peak 10%' cannot be judged" in ran.stderr
    assert CliRunner().invoke(app, ["compare", str(a), str(b)]).exit_code == 0


def test_a_build_that_ends_early_is_said(tmp_path):
    long = session(tmp_path / "long.tes", runs(1))
    crash = session(tmp_path / "crash.tes", {name: cells[:6] for name, cells in runs(2).items()})
    half = session(tmp_path / "half.tes", {name: cells[:100] for name, cells in runs(2).items()})
    assert "crash.tes lasts 5.0 s, less than half of the other's 299.0 s" in repr(tes.compare(long, crash))
    assert (
        CliRunner().invoke(app, ["compare", str(long), str(crash), "--fail-over", "value peak 10%"]).exit_code
        == 1
    )
    assert "half.tes lasts 99.0 s, less than half of the other's 299.0 s" in repr(tes.compare(long, half))
    assert "half.tes lasts" in repr(tes.compare(half, long))
    assert "lasts" not in repr(tes.compare(long, session(tmp_path / "same.tes", runs(2))))


def test_one_short_subject_among_long_ones_is_named_and_an_excess_comes_first(tmp_path):
    late = {"memory": runs(1)["memory"], "queue": runs(1)["queue"][:10]}
    a = session(tmp_path / "a.tes", late)
    found = tes.compare(a, session(tmp_path / "b.tes", late))
    assert (
        "no difference seen in 1 columns; too little to tell of 1 columns (value queue): 10 values"
        in repr(found)
    )
    with pytest.raises(SessionError, match="too little to tell of value queue"):
        found.exceeds("value peak 10%")
    more = tes.compare(a, session(tmp_path / "more.tes", {**late, "memory": 1.4 * late["memory"]}))
    assert "value peak (without stray values) of memory is" in more.exceeds("value peak 10%")


def test_a_column_without_values_in_one_is_said_and_never_passes(tmp_path):
    def machine(path, memory):
        messages = [SourceInfo("metrics", "metrics")]
        for place in range(60):
            at = place * SECOND
            text = {"timestamp": (WALL + at) // 10**6, "cpu": {"percent": 10.0 + place % 3}, "memory": memory}
            payload = msgspec.json.encode(text)
            messages.append(
                Message("metrics", Direction.IN, Opcode.TEXT, payload, WALL + at, at, 0, place + 1)
            )
        return write_session(path, messages)

    files = machine(tmp_path / "a.tes", {"rss": 10**8}), machine(tmp_path / "b.tes", {"heapUsed": 10**7})
    found = tes.compare(*files)
    assert "Only a.tes has values of memory_rss in metrics.metrics." in found.unmatched
    assert found.exceeds("cpu_percent peak 10%") is None
    with pytest.raises(SessionError, match=r"cannot be judged: b\.tes has no values of memory_rss"):
        found.exceeds("memory_rss peak 10%")
    with pytest.raises(SessionError, match=r"b\.tes has no values of memory_rss"):
        tes.compare(*reversed(files)).exceeds("memory_rss peak 10%")
    rules = ["--fail-over", "cpu_percent peak 10%", "--fail-over", "memory_rss peak 10%"]
    ran = CliRunner().invoke(app, ["compare", *map(str, files), *rules])
    assert ran.exit_code == 1
    assert "b.tes has no values of memory_rss" in ran.stderr


def test_gaps_are_left_out_of_both_and_counted(tmp_path):
    values = runs(1)
    broken = {name: cells.copy() for name, cells in values.items()}
    broken["memory"][100:150] *= 3  # what came while the other had a gap must not count
    lost = WALL + 100 * SECOND
    gap = Gap(0, last_seen_ns=lost, lost_at_ns=lost, back_at_ns=lost + 49 * SECOND, cause="x")
    found = tes.compare(
        session(tmp_path / "a.tes", values, events=[(150, gap)]), session(tmp_path / "b.tes", broken)
    )
    assert set(words(found).values()) == {NONE}
    assert found.left_out_s == pytest.approx(50, abs=1)


def test_runs_are_aligned_on_a_mark(tmp_path):
    slow = np.r_[np.full(250, 10.0), runs(1)["memory"]]
    files = [
        session(tmp_path / "a.tes", {"memory": runs(2)["memory"]}, events=[(0, Mark("go", WALL))]),
        session(tmp_path / "b.tes", {"memory": slow}, events=[(250, Mark("go", WALL + 250 * SECOND))]),
    ]
    assert set(words(tes.compare(*files, on="go")).values()) == {NONE}
    assert "less" in set(words(tes.compare(*files)).values())
    with pytest.raises(ArgumentError, match="no time that can be used"):
        tes.compare(*files, on="start")


def test_a_mark_whose_name_begins_like_a_cell_is_a_mark(tmp_path):
    mark = [(100, Mark("in phase 2", WALL + 100 * SECOND))]
    plain = [session(tmp_path / f"{seed}.tes", runs(seed), events=mark) for seed in (1, 2)]
    assert tes.compare(*plain, on="in phase 2").lasts_s == (199.0, 199.0)
    cell = [(2, 10, 40)]
    both = [session(tmp_path / f"c{seed}.tes", runs(seed), events=mark, cells=cell) for seed in (1, 2)]
    assert tes.compare(*both, on="in phase 2").lasts_s == (199.0, 199.0)
    assert tes.compare(*both, on="In [2]").lasts_s == (30.0, 30.0)


def test_a_feed_that_neither_has_and_three_moments_are_sentences(tmp_path):
    files = [session(tmp_path / f"{seed}.tes", runs(seed)) for seed in (1, 2)]
    with pytest.raises(
        ArgumentError, match=r"Neither has a feed 'kernl'; there are kernel\. Did you mean 'kernel'"
    ):
        tes.compare(*files, feeds=["kernel", "kernl"])
    with pytest.raises(ArgumentError, match="or a pair, one for each, and not 3 of them"):
        tes.compare(*files, on=("a", "b", "c"))
    assert len(tes.compare(*files, feeds="kernel").frame) == len(tes.compare(*files).frame)


def workers_session(path, pids, *, began=WALL):
    """A session file of workers that are called as `pids` says: name → the pids it has, one after the other."""
    messages = [SourceInfo("workers", "workers")]
    for place in range(60):
        listed = {}
        for name, numbers in pids.items():
            pid = numbers[place * len(numbers) // 60]
            listed[str(pid)] = {
                "id": str(pid),
                "status": "working",
                "resource_usage": {"rss_mb": 100.0 + (place * 7 + len(name)) % 5},
                "pid": pid,
                "name": name,
                "kind": "process",
            }
        at = place * SECOND
        text = {"timestamp": (began + at) // 10**6, "workers": listed, "summary": {"total": len(listed)}}
        payload = msgspec.json.encode(text)
        messages.append(Message("workers", Direction.IN, Opcode.TEXT, payload, began + at, at, 0, place + 1))
    return write_session(path, messages)


def test_workers_are_matched_by_what_they_are_and_not_by_their_pids(tmp_path):
    one = workers_session(tmp_path / "a.tes", {"loader": [11], "trainer": [12], "twice": [13, 14]})
    other = workers_session(tmp_path / "b.tes", {"loader": [77], "trainer": [11], "twice": [78]})
    found = tes.compare(one, other)
    rows = found.frame[(found.frame["column"] == "rss_mb") & (found.frame["table"] == "workers")]
    assert set(rows["subject"]) == {"process loader", "process trainer"}
    assert set(rows["word"]) == {NONE}
    assert (
        "'process twice' of workers.workers is there 2 times in the one and 1 times in the other."
        in found.unmatched
    )


def test_cells_that_ran_once_in_both_stand_beside_each_other(tmp_path):
    def cells(path, walls):
        messages = [SourceInfo(KERNEL, KERNEL)]
        for seq, (number, wall) in enumerate(walls, 1):
            at = seq * 10 * SECOND
            cell = {
                "type": "cell",
                "number": number,
                "start": WALL + at,
                "wall_s": wall,
                "cpu_s": 1.0,
                "rss_peak": 10**8,
            }
            payload = msgspec.json.encode(cell)
            messages.append(Message(KERNEL, Direction.IN, Opcode.TEXT, payload, WALL + at, at, 0, seq))
        return write_session(path, messages)

    one = cells(tmp_path / "a.tes", [(1, 2.0), (2, 4.0), (3, 1.0), (3, 1.0)])
    other = cells(tmp_path / "b.tes", [(1, 3.0), (2, 4.0), (3, 1.0), (4, 1.0)])
    found = tes.compare(one, other).cells.set_index(["number", "column"])
    assert set(found.index.get_level_values("number")) == {1, 2}
    assert found.loc[(1, "wall_s"), ["a", "b", "difference", "percent", "unit"]].tolist() == [
        2.0,
        3.0,
        1.0,
        50.0,
        "s",
    ]
    assert found.loc[(2, "wall_s"), "difference"] == 0


def test_live_sessions_are_compared():
    with tes.start(ports=(0, 0)) as live:
        live.metrics.wait(rows=3, timeout=20)
        found = tes.compare(live, live, feeds=["metrics"])
    assert set(found.frame["word"]) == {TOO_LITTLE}
    assert set(found.frame["feed"]) == {"metrics"}
