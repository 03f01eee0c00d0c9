"""A collector that can open no file for a moment says so, and believes nothing of it afterwards."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator

import pytest

from tes_nb.collector.samplers.process_reader import default_reader
from tes_nb.collector.stacks import StackReader
from tes_nb.collector.workers.executors import ExecutorWorkers
from tes_nb.collector.workers.source import SourceContext
from tes_nb.errors import CollectorError
from tes_nb.model.work_control import ObservePool
from tes_nb.session.executors import PoolRecord
from tests.support.aio import run_async


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process open nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    taken = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for one in taken:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@run_async
async def test_a_stack_that_cannot_be_read_now_is_a_sentence(tmp_path):
    """What looks where a kernel is held goes on after it."""
    reader = StackReader(os.getpid(), str(tmp_path))
    with no_descriptors(), pytest.raises(CollectorError, match=r"cannot be asked now .*Too many open files"):
        await reader.read(os.getpid())


@run_async
async def test_a_pool_that_cannot_be_read_now_has_not_ended():
    record = PoolRecord()
    source = ExecutorWorkers(SourceContext(observed_pid=os.getpid(), reader=default_reader()))
    await source.observe(ObservePool(folder=record.folder, name="pool", kind="process"))
    try:
        with no_descriptors():
            source._read()
            assert [one.status for one in source.facts()] == ["idle"]
        record.counts.submitted()
        source._read()
        assert [(one.status, one.queue_depth) for one in source.facts()] == [("idle", 1)]
        record.counts.done()
        record.close()
        source._read()
        assert [one.status for one in source.facts()] == ["terminated"]
    finally:
        await source.close()
