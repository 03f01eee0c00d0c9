"""A collector that stood still leaves a hole in our own streams, and a record of it."""

from __future__ import annotations

import os
import signal
import time

import pandas as pd
import pytest

import tes_nb as tes
from tes_nb.session.state import silence
from tests.support.waiting import eventually


@pytest.mark.timeout(60)
def test_fault_22_a_stream_without_a_period_says_that_its_collector_is_silent():
    """Before, `s.kernel.state` said OPEN for as long as the collector was frozen."""
    with tes.start(ports=(0, 0), period="250ms") as session:
        session.gauge("loss", 0.5)
        session.metrics.wait(rows=1, timeout=20)
        eventually(lambda: session.kernel.state == "OPEN")
        os.kill(session.collector_pid, signal.SIGSTOP)
        try:
            said = str(eventually(lambda: session.kernel.state == "STALE" and session.kernel.state))
        finally:
            os.kill(session.collector_pid, signal.SIGCONT)
        assert said.startswith("STALE: the collector has sent nothing on any stream for ")
        eventually(lambda: session.kernel.state == "OPEN")


def test_silence_of_a_collector_is_that_of_all_its_streams():
    assert silence([]) is None
    assert silence([None]) is None
    assert silence([(4.0, 1.0), None, (2.0, 0.5)]) == 2.0
    assert silence([(4.0, 1.0), (3.0, 1.0)]) is None, "three beats may be late"


@pytest.mark.timeout(60)
def test_fault_76_a_collector_that_was_stopped_tells_of_the_hole(tmp_path):
    with tes.start(ports=(0, 0)) as session:
        session.metrics.wait(rows=2, timeout=20)
        with session.record(tmp_path / "hole.tes") as recording:
            recording.wait(messages=2, timeout=20)
            os.kill(session.collector_pid, signal.SIGSTOP)
            began = pd.Timestamp.now(tz="UTC")
            time.sleep(4)
            ended = pd.Timestamp.now(tz="UTC")
            os.kill(session.collector_pid, signal.SIGCONT)
            for feed in (session.metrics, session.status, session.workers):
                gap = eventually(
                    lambda of=feed: [one for one in of.gaps.itertuples() if "stood still" in one.cause], 10
                )[0]
                times = feed.frame().index
                assert gap.lost_at <= began + pd.Timedelta("1s")
                assert gap.back_at >= ended
                assert not ((times > gap.lost_at + pd.Timedelta("50ms")) & (times < ended)).any()
    with tes.open(tmp_path / "hole.tes") as opened:
        assert opened.metrics.gaps["cause"].str.contains("stood still").sum() == 1
