"""The queue between the loop and the disk: bounded, never silent about what it drops."""

from __future__ import annotations

import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from tes_nb.model import Message
from tes_nb.store.session.queue import MessageQueue
from tes_nb.store.session.schema import Fact, FileGap
from tests.support.sessions import numbered


def test_first_in_first_out_and_by_the_group():
    queue = MessageQueue(messages=10, size=10**6)
    sent = [numbered(number) for number in range(5)]
    assert all(queue.put(message) for message in sent)
    assert queue.take(3) == sent[:3]
    assert queue.take(10) == sent[3:]
    assert queue.take(10) == []
    assert queue.accepted == 5


def test_it_is_bounded_by_bytes_too():
    queue = MessageQueue(messages=1000, size=10_000)
    kept = [queue.put(numbered(number, size=1000)) for number in range(20)]
    assert sum(kept) == 8
    queue.take(1000)
    assert queue.put(numbered(20, size=1000))


def test_what_is_no_message_always_has_room():
    queue = MessageQueue(messages=1, size=10**6)
    queue.put(numbered(0))
    assert not queue.put(numbered(1))
    assert queue.put_other(Fact("a", 1))


def test_after_an_overflow_it_waits_until_half_is_free():
    queue = MessageQueue(messages=10, size=10**6)
    for number in range(10):
        queue.put(numbered(number))
    assert not queue.put(numbered(10))
    queue.take(4)
    assert not queue.put(numbered(11)), "six of ten are still there"
    queue.take(2)
    assert queue.put(numbered(12))
    assert (queue.lost, queue.losses) == (2, 1)
    *_, gap, last = queue.take(100)
    assert last == numbered(12)
    assert gap.gap.missing == 2
    assert gap.gap.last_seen_ns == numbered(9).t_wall_ns
    assert gap.gap.lost_at_ns == numbered(10).t_wall_ns
    assert gap.gap.back_at_ns == numbered(12).t_wall_ns
    assert "2 messages could not be kept (status 1, workers 1)" in gap.gap.cause


def test_closing_leaves_an_open_gap():
    queue = MessageQueue(messages=1, size=10**6)
    queue.cause = "disk full"
    queue.put(numbered(0))
    queue.put(numbered(1))
    queue.close()
    queue.close()
    _, gap = queue.take(10)
    assert (gap.gap.back_at_ns, gap.gap.missing) == (None, 1)
    assert gap.gap.cause.startswith("disk full: 1 messages")
    assert not queue.put(numbered(2))
    assert not queue.put_other(Fact("a", 1))
    assert queue.lost == 2


@given(st.lists(st.booleans() | st.integers(1, 6), max_size=120))
def test_every_message_is_either_given_back_or_inside_one_gap(steps):
    """True puts a message, a number takes so many: what comes out, plus the gaps, is what went in."""
    queue = MessageQueue(messages=5, size=10**6)
    out: list = []
    number = 0
    for step in steps:
        if step is True:
            queue.put(numbered(number, source="a"))
            number += 1
        elif step is not False:
            out += queue.take(step)
    queue.close()
    out += queue.take(1000)
    expected = 0
    for item in out:
        if type(item) is Message:
            assert item == numbered(expected, source="a")
            expected += 1
        elif isinstance(item, FileGap):
            assert item.gap.lost_at_ns == numbered(expected, source="a").t_wall_ns
            expected += item.gap.missing
    assert expected == number


def test_waiting_ends_with_the_first_message_and_with_closing():
    queue = MessageQueue(messages=10, size=10**6)
    for act in (lambda: queue.put(numbered(0)), queue.close):
        threading.Timer(0.05, act).start()
        began = time.monotonic()
        queue.wait(20)
        assert time.monotonic() - began < 10
        queue.take(10)
    queue.wait_closed(20)


def test_many_threads_put_and_nothing_is_lost_or_doubled():
    queue = MessageQueue(messages=10**6, size=10**9)
    taken: list[Message] = []
    threads = [
        threading.Thread(
            target=lambda name=name: [queue.put(numbered(number, source=name)) for number in range(500)]
        )
        for name in "abcd"
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or len(queue):
        taken += queue.take(7)
    for name in "abcd":
        assert [each.seq for each in taken if each.source == name] == list(range(1, 501))
