import logging

import pytest

from tes_nb.net.logs import RECENT, RecentLog, note


def record(text):
    return logging.LogRecord("tes_nb.net", logging.WARNING, __file__, 1, text, None, None)


def test_fault_74_a_flood_leaves_ten_lines_a_second_and_a_count():
    now = [0.0]
    log = RecentLog(clock=lambda: now[0])
    for number in range(100_000):
        now[0] = number / 50_000  # two seconds
        log.handle(record(f"line {number}"))
    now[0] = 3.5
    log.handle(record("after the flood"))
    texts = [line.text for line in log.lines()]
    assert len(texts) <= 3 * 10 + 1
    counted = sum(int(text.split()[0]) for text in texts if "left out" in text)
    kept = sum(text.startswith("line ") for text in texts)
    assert counted + kept == 100_000
    assert texts[-1] == "after the flood"


def test_the_memory_is_bounded():
    now = [0.0]
    log = RecentLog(clock=lambda: now[0], keep=5)
    for number in range(20):
        now[0] += 1
        log.handle(record(f"line {number}"))
    assert [line.text for line in log.lines()] == [f"line {number}" for number in range(15, 20)]


@pytest.fixture
def heard():
    """What reaches a user's own handler on the root logger."""
    RECENT._window, RECENT.suppressed = -1.0, 0  # a fresh second, whatever ran before
    lines = []

    class Users(logging.Handler):
        def emit(self, entry):
            lines.append(entry.getMessage())

    handler = Users()
    logging.getLogger().addHandler(handler)
    yield lines
    logging.getLogger().removeHandler(handler)


def test_a_line_carries_its_fields(heard):
    note(logging.INFO, "metrics is OPEN", source="metrics", conn=3)
    line = RECENT.lines()[-1]
    assert (line.level, line.text) == ("INFO", "metrics is OPEN")
    assert line.fields == {"source": "metrics", "conn": 3}


def test_the_users_own_levels_count(heard, caplog):
    note(logging.INFO, "too quiet for the user")
    note(logging.WARNING, "loud enough")
    assert heard == ["loud enough"]
    caplog.set_level(logging.INFO, logger="tes_nb")
    note(logging.INFO, "now asked for")
    assert heard == ["loud enough", "now asked for"]


def test_the_library_that_sees_our_headers_never_logs_them():
    assert not logging.getLogger("tes_nb.net.websockets").isEnabledFor(logging.DEBUG)
