"""The turns of tests that run side by side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid

from tests.support.turns import Turns

FORKS = """
import os, sys, time
from tests.support.turns import Turns

with Turns(sys.argv[1]).turn(alone=False):
    child = os.fork()
    if not child:
        time.sleep(60)
print(child, flush=True)
"""


def test_a_forked_child_that_stays_holds_no_turn() -> None:
    run = uuid.uuid4().hex
    command = [sys.executable, "-c", FORKS, run]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            parent.wait()
            with Turns(run).turn(alone=True):
                pass
        finally:
            os.kill(child, signal.SIGKILL)
