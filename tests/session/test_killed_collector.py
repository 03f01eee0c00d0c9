"""A collector that is killed while it records. In a file of its own: it ends the session that others share."""

from __future__ import annotations

import os
import signal
import time

import tes_nb as tes
from tests.support.waiting import eventually


def test_a_killed_collector_loses_nothing_that_was_acknowledged(tmp_path):
    session = tes.start(ports=(0, 0))
    try:
        recording = session.record(tmp_path / "killed.tes")
        session.metrics.wait(rows=3, timeout=20)
        time.sleep(0.2)
        acknowledged = recording.committed
        os.kill(session._backend.pid, signal.SIGKILL)
        eventually(lambda: not session._backend.alive)
        eventually(
            lambda: "LOST" in str(session.metrics.state)
        )  # the reader hears of it on its own connection
        with tes.open(tmp_path / "killed.tes") as opened:
            for source, seq in acknowledged.items():
                assert max(message.seq for message in opened._file.messages(source)) >= seq
            assert recording.state == "STOPPED"
            assert recording.messages == opened.info().messages > 0, "the handle says what is in the file"
    finally:
        session.stop()
