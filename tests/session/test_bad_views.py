"""What bad input to a view gets: a sentence, at once, and nothing that fails later on a thread."""

from __future__ import annotations

import pytest

from tes_nb.errors import ArgumentError, SessionError, TesError

BAD = [
    (lambda s: s.metrics.plot("nonsense"), "'nonsense' cannot be drawn; columns with numbers are "),
    (lambda s: s.metrics.plot([]), "columns must be a name or a list of names"),
    (lambda s: s.metrics.plot(5), "columns must be a name or a list of names"),
    (lambda s: s.metrics.plot([5]), "columns must be a name or a list of names"),
    (lambda s: s.metrics.plot(window="five"), "no length of time"),
    (lambda s: s.metrics.plot(window=-1), "more than nothing"),
    (lambda s: s.metrics.plot(window=float("nan")), "not finite"),
    (lambda s: s.metrics.plot(by=["x"]), "no column 'x' to split by; there are "),
    (lambda s: s.metrics.plot(table="nope"), "no table 'nope'; it has metrics"),
    (lambda s: s.metrics.plot(alert={"x": 1}), "'x' has no numbers to alert on"),
    (lambda s: s.metrics.plot(alert={"cpu_percent": "high"}), "a number, or (below, above), not 'high'"),
    (lambda s: s.metrics.plot(alert={"cpu_percent": (1, 2, 3)}), "a number, or (below, above)"),
    (lambda s: s.metrics.plot(alert={"cpu_percent": (None, None)}), "a number, or (below, above)"),
    (lambda s: s.metrics.plot(alert={"cpu_percent": float("nan")}), "a number, or (below, above)"),
    (lambda s: s.metrics.plot(alert={"cpu_percent": True}), "a number, or (below, above)"),
    (lambda s: s.metrics.figure(["nope"]), "'nope' cannot be drawn"),
    (lambda s: s.metrics.figure([]), "columns must be a name or a list of names"),
    (lambda s: s.metrics.figure(last="soon"), "no length of time"),
    (lambda s: s.metrics.table(), "tables with a key are subscribers"),
    (lambda s: s.metrics.table("nope"), "no table 'nope'"),
    (lambda s: s.workers.cards(), "many subjects; show it with table() or plot()"),
    (lambda s: s.workers.cards("nope"), "no table 'nope'"),
    (lambda s: s.inspector(["nope"]), "There is no feed 'nope'; there are status"),
    (lambda s: s.inspector([]), "There is no feed to inspect"),
    (lambda s: s.frame(["nope"]), "There is no feed 'nope'"),
    (lambda s: s.frame(every="0s"), "more than nothing"),
]


@pytest.mark.parametrize(("ask", "sentence"), BAD)
def test_bad_input_is_a_sentence(session, ask, sentence):
    with pytest.raises(TesError) as caught:
        ask(session)
    assert isinstance(caught.value, ArgumentError | SessionError)
    assert sentence in str(caught.value)
