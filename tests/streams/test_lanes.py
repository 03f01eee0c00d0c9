"""How rows become lanes: what is as before is no change, what is listed no more has ended."""

from __future__ import annotations

from tes_nb.streams import all_streams, get
from tes_nb.streams.lanes import RULES, folds_of


def fold(stream, table, state):
    (one,) = [one for one in folds_of(get(stream)) if (one.rule.table, one.rule.state) == (table, state)]
    return one


def row(one, **values):
    return dict.fromkeys(one.rule.columns) | values


def seen(changes):
    return [(change.name, change.time, change.state, change.look, change.end) for change in changes]


def test_every_rule_names_columns_that_there_are():
    streams = {stream.name: stream for stream in all_streams()}
    for rule in RULES:
        table = (streams.get(rule.stream) or get(rule.stream)).table(rule.table)
        assert set(rule.columns) <= set(table.names)


def test_a_worker_changes_its_state_and_ends():
    workers = fold("workers", "workers", "status")
    one = row(workers, id="7", name="python", pid=7, status="idle")
    assert seen(workers.add(1.0, [one])) == [("python 7", 1.0, "idle", "idle", None)]
    assert workers.add(2.0, [one]) == []
    assert seen(workers.add(3.0, [one | {"status": "error"}])) == [("python 7", 3.0, "error", "error", None)]
    assert [change.state for change in workers.add(4.0, [])] == [None]
    assert workers.add(5.0, []) == []


def test_a_job_lasts_from_its_own_beginning_until_no_row_names_it():
    jobs = fold("workers", "workers", "current_job_id")
    idle = row(jobs, id="7", name="python", pid=7)
    busy = idle | {"current_job_id": "17", "current_job_type": "load", "current_job_started_at": 1.5}
    assert jobs.add(1.0, [idle]) == []
    assert seen(jobs.add(2.0, [busy])) == [("job load python 7", 1.5, "17", "working", None)]
    assert [(change.time, change.state) for change in jobs.add(3.0, [idle])] == [(3.0, None)]


def test_a_match_that_a_message_leaves_out_goes_on():
    matches = fold("nowgoal", "scores", "state_word")
    first = row(matches, match_id="1", state_word="first half", home_goals=0, away_goals=0)
    assert seen(matches.add(1.0, [first]))[0][2:4] == ("first half", "working")
    assert matches.add(2.0, [row(matches, match_id="2")]) == []  # nobody knows its state
    assert seen(matches.add(3.0, [first | {"state_word": "half-time"}]))[0][2:4] == ("half-time", "pause")
    assert matches.add(4.0, [first | {"state_word": "half-time"}]) == []
    matches.clear()
    assert len(matches.add(5.0, [first])) == 1


def test_a_cell_lasts_as_long_as_its_row_says():
    cells = fold("kernel", "cells", "outcome")
    done = row(cells, number=3, first_line="fit()", start=10.0, wall_s=2.5, outcome="ok")
    (change,) = cells.add(13.0, [done])
    assert (change.name, change.time, change.end, change.text) == ("cells", 10.0, 12.5, "3, fit()")
