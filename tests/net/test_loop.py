"""The background thread: results, errors, timeouts, interrupts, forks, and the end."""

import asyncio
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from tes_nb.errors import BackgroundError, SessionError
from tes_nb.net.loop import Background, background
from tests.support.waiting import eventually


@pytest.fixture
def thread():
    thread = Background()
    yield thread
    thread.stop()
    assert not thread.alive


async def give(value, delay=0.0):
    await asyncio.sleep(delay)
    return value


async def fail(text="broken"):
    await asyncio.sleep(0)
    raise ValueError(text)


def test_run_gives_the_result_and_raises_what_the_coroutine_raises(thread):
    assert thread.run(give(3)) == 3
    with pytest.raises(ValueError, match="broken"):
        thread.run(fail())
    thread.raise_pending()  # it was raised where it belongs, so nothing is pending


def test_run_works_while_the_callers_own_loop_runs(thread):
    async def cell():
        return thread.run(give(5))

    assert asyncio.run(cell()) == 5


def test_run_on_its_own_thread_says_what_to_do_instead(thread):
    async def inside():
        return thread.run(give(1))

    with pytest.raises(SessionError, match="await"):
        thread.run(inside())


def test_a_timeout_cancels_the_coroutine(thread):
    cancelled = threading.Event()

    async def endless():
        try:
            await asyncio.sleep(100)
        finally:
            cancelled.set()

    with pytest.raises(BackgroundError, match=r"endless did not finish within 0\.05 s"):
        thread.run(endless(), timeout=0.05)
    assert cancelled.wait(5)


def test_a_timeout_error_of_the_coroutine_itself_stays_one(thread):
    async def own():
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        thread.run(own(), timeout=10)


def test_an_interrupt_cancels_the_coroutine_and_reaches_the_caller():
    script = """
        import asyncio, os, signal, threading, time
        from tes_nb.net.loop import background
        ended = threading.Event()
        async def endless():
            try:
                await asyncio.sleep(100)
            finally:
                ended.set()
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            background().run(endless())
        except KeyboardInterrupt:
            assert ended.wait(5)
            assert background().run(asyncio.sleep(0, 7)) == 7
            print("interrupted")
    """
    assert run_script(script) == "interrupted"


def test_spawned_errors_are_raised_by_the_next_call(thread):
    thread.spawn(fail("first"), "the reader of metrics")
    eventually(lambda: thread._errors)
    thread.spawn(fail("second"), "another")
    eventually(lambda: len(thread._errors) == 2)
    with pytest.raises(BackgroundError, match=r"the reader of metrics failed.*first.*1 more") as caught:
        thread.raise_pending()
    assert isinstance(caught.value.__cause__, ValueError)
    thread.raise_pending()


def test_spawn_names_the_task_and_gives_a_future(thread):
    async def name():
        return asyncio.current_task().get_name()

    assert thread.spawn(name(), "reader of status").result(5) == "reader of status"


def test_a_cancelled_task_is_no_error(thread):
    future = thread.spawn(give(1, 100), "long")
    future.cancel()
    thread.run(give(0))
    thread.raise_pending()


def test_errors_in_callbacks_are_collected_too(thread):
    def broken():
        raise RuntimeError("in a callback")

    thread.loop.call_soon_threadsafe(broken)
    eventually(lambda: thread._errors)
    with pytest.raises(BackgroundError, match="in a callback"):
        thread.raise_pending()


def test_a_million_errors_do_not_pile_up(thread):
    for number in range(500):
        thread.report("flood", ValueError(str(number)))
    with pytest.raises(BackgroundError, match="499 more"):
        thread.raise_pending()


def test_after_stop_it_says_so_and_no_coroutine_is_left_unawaited():
    thread = Background()
    thread.stop()
    with pytest.raises(SessionError, match="new session"):
        thread.run(give(1))
    with pytest.raises(SessionError):
        thread.spawn(give(1), "late")


def test_a_call_that_waits_while_the_thread_ends_says_so():
    thread = Background()
    threading.Timer(0.1, thread.stop).start()
    with pytest.raises(SessionError, match="give was cancelled"):
        thread.run(give(1, 100))


def test_stop_cancels_what_runs():
    thread = Background()
    future = thread.spawn(give(1, 100), "long")
    thread.run(give(0))
    thread.stop()
    assert future.cancelled()


def test_a_process_has_one():
    assert background() is background()
    assert background().run(give(4)) == 4


def run_script(script):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout.strip()


def test_fault_80_a_forked_child_gets_its_own_and_leaves_the_parents_alone():
    script = """
        import asyncio, os, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forks beside threads: that is the test
        from tes_nb.net.loop import background
        parent = background()
        assert parent.run(asyncio.sleep(0, 1)) == 1
        pid = os.fork()
        if pid == 0:
            child = background()
            fine = child is not parent and child.run(asyncio.sleep(0, 2)) == 2
            parent.stop()
            child.stop()
            os._exit(0 if fine else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert parent.run(asyncio.sleep(0.01, 3)) == 3
        print("both")
    """
    assert run_script(script) == "both"


def test_fault_84_a_process_ends_by_itself_and_without_a_warning():
    script = """
        import asyncio
        from tes_nb.net.loop import background
        background().spawn(asyncio.sleep(1000), "long")
        print("end")
    """
    start = time.monotonic()
    assert run_script(script) == "end"
    assert time.monotonic() - start < 10  # the interpreter's own start included
