"""Running coroutine tests: each in a loop of its own that must end clean."""

from __future__ import annotations

import asyncio
import functools


def run_async(test):
    """Make a coroutine function a test. It fails on errors nobody caught and on tasks left behind."""

    @functools.wraps(test)
    def sync(*args, **kwargs):
        problems = []

        async def main():
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _loop, context: problems.append(context))
            before = asyncio.all_tasks()
            await test(*args, **kwargs)
            await asyncio.sleep(0)
            pending = [task for task in asyncio.all_tasks() - before if not _lingers(task)]
            if pending:
                await asyncio.wait(pending, timeout=2)  # what was cancelled needs a turn or two
            leftovers = [task for task in pending if not task.done()]
            assert not leftovers, f"left behind: {leftovers}"

        asyncio.run(main())
        expected = getattr(test, "expected_problems", 0)
        assert len(problems) == expected, problems

    return sync


def _lingers(task):
    """aiohttp waits 10 s for the rest of a request's body, though its client is gone and the server stopped."""
    return task.get_coro().__qualname__ == "RequestHandler.start"


def problems(count):
    """So many uncaught errors are what the test is about."""

    def mark(test):
        test.expected_problems = count
        return test

    return mark


class Together:
    """Runs tests that mostly wait in one loop, side by side; each has its own outcome.

    The first of them that pytest calls runs all. Not for tests that hold the loop or count what the process uses.
    """

    def __init__(self):
        self._tests = []
        self._outcomes = None

    def __call__(self, test):
        self._tests.append(test)

        @functools.wraps(test)
        def sync():
            if self._outcomes is None:
                self._outcomes = self._run()
            outcome = self._outcomes[test]
            if outcome is not None:
                raise outcome

        return sync

    def _run(self):
        outcomes = {}

        async def one(test):
            try:
                outcomes[test] = await test()
            except Exception as error:  # noqa: BLE001 - raised in the test it belongs to
                outcomes[test] = error

        async def everything():
            await asyncio.gather(*map(one, self._tests))

        run_async(everything)()
        return outcomes


class VirtualTime(asyncio.SelectorEventLoop):
    """A loop whose clock goes on only while it waits, by as much as it would have waited. For what needs no socket."""

    def __init__(self):
        super().__init__()
        self._now = 1000.0
        select = self._selector.select

        def at_once(timeout=None):
            self._now += timeout or 0.0
            return select(0)

        self._selector.select = at_once

    def time(self):
        return self._now

    def work(self, seconds):
        """The loop is held for so long."""
        self._now += seconds
