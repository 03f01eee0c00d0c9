"""The log: bounded in rate and size, one line a record, never able to end the collector."""

from __future__ import annotations

import logging
import os
import sys

import pytest

from tes_nb.collector import logs
from tes_nb.collector.logs import FileHandler, LineLimit, OneLine


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def written(tmp_path):
    """(a logger that writes to a file, the file)."""
    path = tmp_path / "log"
    with path.open("a") as file:
        logger = logging.Logger("test")  # noqa: LOG001 - apart from all others
        logger.addHandler(FileHandler(file))
        yield logger, path


def test_fault_74_a_flood_is_ten_lines_a_second_and_a_count(written, clock):
    logger, path = written
    (handler,) = logger.handlers
    handler.filters[:] = [LineLimit(clock=lambda: clock[0])]
    for number in range(20_000):
        clock[0] = number / 4_000  # five seconds
        logger.warning("frame %d is bad", number)
    clock[0] = 9.0
    logger.warning("after the flood")
    lines = path.read_text().splitlines()
    assert len(lines) == 5 * 10 + 1
    counted = sum(int(line.split("(")[1].split()[0]) for line in lines if "left out" in line)
    assert counted + len(lines) == 20_001
    assert "after the flood" in lines[-1]


def test_fault_74_the_file_begins_anew_before_it_is_too_big(written, monkeypatch):
    logger, path = written
    logger.handlers[0].filters.clear()
    monkeypatch.setattr(logs, "MAX_BYTES", 100_000)
    largest = 0
    for number in range(500):
        logger.warning("%d %s", number, "x" * 5000)
        largest = max(largest, path.stat().st_size)
    assert largest <= 100_000 + logs.MAX_LINE + 100
    assert "499" in path.read_text()  # the newest line is there


def test_a_record_is_one_line_whatever_it_quotes():
    record = logging.LogRecord("x", logging.INFO, "", 1, "a\nb\r\x1b[31m\u202e\0c %s", ("d\ne",), None)
    line = OneLine().format(record)
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert "\u202e" not in line
    assert "a\\nb" in line


def test_an_exception_is_part_of_the_line():
    def fail():
        raise ZeroDivisionError("no figures\nat all")

    try:
        fail()
    except ZeroDivisionError:
        record = logging.LogRecord("x", logging.ERROR, "", 1, "it failed", (), sys.exc_info())
    line = OneLine().format(record)
    assert len(line.splitlines()) == 1
    assert "it failed" in line
    assert "ZeroDivisionError: no figures" in line
    assert f"{os.path.basename(__file__)}:" in line  # noqa: PTH119 - as the line shows it


def test_a_log_that_cannot_be_written_ends_nothing(written):
    logger, _ = written
    logger.handlers[0].stream.close()
    logger.warning("nobody hears it")


def test_the_limit_also_holds_inside_a_kernel():
    assert any(isinstance(one, LineLimit) for one in logging.getLogger("tes_nb.collector").filters)
