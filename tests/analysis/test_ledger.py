import doctest
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.analysis import ledger
from tes_nb.analysis.ledger import Ledger, number_in, received_in, reconcile
from tes_nb.model import Message
from tes_nb.model.message import FLAG_DUPLICATE
from tes_nb.simulate.sent_log import SentLog
from tes_nb.wire.events import Gap


def gap(lost_at, back_at=None):
    return Gap(conn=1, last_seen_ns=None, lost_at_ns=lost_at, back_at_ns=back_at, cause="test")


def received(*numbers):
    """Number n comes at n * 10 ns."""
    return [(number, number * 10) for number in numbers]


def test_examples():
    assert doctest.testmod(ledger).failed == 0


def test_all_received():
    assert reconcile([1, 2, 3], received(1, 2, 3), []) == Ledger(3, 3, 0, 0, 0, 0)
    assert reconcile([1, 2, 3], received(1, 2, 3), []).balanced


def test_a_hole_inside_a_gap_is_explained_and_one_outside_is_not():
    account = reconcile(range(1, 11), received(1, 2, 5, 6, 9, 10), [gap(25, 50)])
    assert (account.in_gaps, account.unexplained_missing) == (2, 2)
    assert not account.balanced


def test_a_gap_explains_only_the_hole_it_lies_in():
    # lost after 6 was received: the hole 3-4 was over by then
    assert reconcile(range(1, 7), received(1, 2, 5, 6), [gap(65)]).unexplained_missing == 2


def test_a_hole_that_two_overlapping_gaps_claim_is_reported():
    account = reconcile([1, 2, 3], received(1, 3), [gap(15, 22), gap(20, 30)])
    assert (account.in_gaps, account.in_several_gaps) == (1, 1)
    assert not account.balanced


def test_gaps_with_nothing_readable_between_them_share_a_hole():
    account = reconcile([1, 2, 3], received(1, 3), [gap(15, 18), gap(20, 30)])
    assert (account.in_gaps, account.in_several_gaps) == (1, 0)
    assert account.balanced


def test_what_was_sent_while_the_connection_was_up_is_no_gap_s_loss():
    """3 vanished in silence, then keepalives came until 60, then the connection was lost."""
    lost = Gap(conn=1, last_seen_ns=60, lost_at_ns=65, back_at_ns=80, cause="test")
    sent = {1: 9, 2: 18, 3: 28, 4: 61, 5: 79}
    account = reconcile(sent, [(1, 10), (2, 20), (5, 80)], [lost])
    assert (account.in_gaps, account.unexplained_missing) == (1, 1)
    assert (
        reconcile(list(sent), [(1, 10), (2, 20), (5, 80)], [lost]).unexplained_missing == 0
    )  # nobody can tell


def test_what_was_sent_between_two_gaps_that_share_a_hole_is_missing():
    first = Gap(conn=1, last_seen_ns=20, lost_at_ns=25, back_at_ns=50, cause="test")
    second = Gap(conn=2, last_seen_ns=90, lost_at_ns=95, back_at_ns=120, cause="test")
    sent = {1: 9, 2: 18, 3: 30, 4: 70, 5: 91, 6: 119}
    account = reconcile(sent, [(1, 10), (2, 20), (6, 120)], [first, second])
    assert (account.in_gaps, account.unexplained_missing, account.in_several_gaps) == (2, 1, 0)


def test_a_slow_way_is_tolerated_as_far_as_it_was_seen():
    """3 was sent before the last message came, which had been on its way for 10."""
    lost = Gap(conn=1, last_seen_ns=20, lost_at_ns=25, back_at_ns=50, cause="test")
    assert reconcile({1: 9, 2: 10, 3: 12, 4: 49}, [(1, 10), (2, 20), (4, 50)], [lost]).balanced


def test_an_open_gap_explains_the_end():
    account = reconcile(range(1, 6), received(1, 2), [gap(25)])
    assert (account.in_gaps, account.unexplained_missing) == (3, 0)


def test_the_end_without_a_gap_is_missing_unless_it_is_not_asked_for():
    assert reconcile(range(1, 6), received(1, 2), []).unexplained_missing == 3
    assert reconcile(range(1, 6), received(1, 2), [], until=2) == Ledger(2, 2, 0, 0, 0, 0)


def test_doubled_and_reordered_are_counted():
    account = reconcile([1, 2, 3, 4], [(1, 1), (3, 2), (2, 3), (2, 4), (4, 5)], [])
    assert (account.doubled, account.reordered, account.unexplained_missing) == (1, 1, 0)


def test_what_was_not_for_the_subscriber_is_kept_apart():
    account = reconcile([1, 3], received(1, 2, 3), [])
    assert (account.sent, account.unasked) == (2, 1)
    assert not account.balanced


@given(st.data())
def test_every_message_is_accounted_for(data):
    """Cut a broadcast at random; each cut has a gap record, some messages vanish beside them."""
    count = data.draw(st.integers(1, 60))
    cuts = data.draw(st.lists(st.tuples(st.integers(1, count), st.integers(0, 5)), max_size=4))
    in_gaps = {n for first, length in cuts for n in range(first, min(first + length, count + 1))}
    silent = data.draw(st.sets(st.integers(1, count), max_size=3)) - in_gaps
    got = [n for n in range(1, count + 1) if n not in in_gaps | silent]
    runs = {n for n in in_gaps if n - 1 not in in_gaps}
    account = reconcile(range(1, count + 1), received(*got), [gap(n * 10 - 1) for n in runs])
    assert account.sent == len(got) + account.in_gaps + account.unexplained_missing
    # a silent loss right beside a gap cannot be told from it
    beside = {n for n in silent if _touches(n, in_gaps | silent, in_gaps)}
    assert account.unexplained_missing == len(silent - beside)
    assert account.in_gaps == len(in_gaps | beside)
    assert account.doubled == account.reordered == 0


def _touches(number, missing, in_gaps):
    low = high = number
    while low - 1 in missing:
        low -= 1
    while high + 1 in missing:
        high += 1
    return any(n in in_gaps for n in range(low, high + 1))


def test_received_in_reads_the_numbers_of_messages():
    def message(payload, **fields):
        basis = {
            "source": "x",
            "direction": 0,
            "opcode": 2,
            "t_wall_ns": 5,
            "t_mono_ns": 0,
            "conn": 1,
            "seq": 1,
        }
        return Message(payload=payload, **(basis | fields))

    text = b'<c simulatedNumber="3"/>'
    messages = [
        message(zlib.compress(text), t_wall_ns=7),
        message(text, opcode=1, t_wall_ns=8),
        message(zlib.compress(text)[:-3]),
        message(b"ok", opcode=1),
        message(text, direction=1),
        message(text, opcode=0),
        message(text, flags=FLAG_DUPLICATE),
    ]
    assert received_in(messages) == [(3, 7), (3, 8)]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b'<c refresh="0" simulatedNumber="12">', 12),
        (b'{"channel": "x", "data": "<c simulatedNumber=\\"7\\">", "simulatedNumber": 7}', 7),
        (b'{"simulatedNumber":99}', 99),
        (b"ok", None),
        (b'<c refresh="0">', None),
        (b'{"notsimulatedNumber": 3}', None),
    ],
)
def test_number_in(text, number):
    assert number_in(text) == number


def test_the_log_expects_what_was_asked_for_when_it_was_sent():
    log = SentLog(1000)
    log.number("a")
    log.set_channels("s", 1, ["a"])
    numbers = [log.number(channel) for channel in "abab"]
    log.set_channels("s", 1, ["a", "b"])
    numbers += [log.number(channel) for channel in "bc"]
    assert log.since("s") == 2
    assert log.expected("s") == [numbers[0], numbers[2], numbers[4]]
    assert log.expected("s", start=3, end=4) == [numbers[2]]
    assert log.expected("nobody") == []
    assert log.on_channels(["b"]) == [numbers[1], numbers[3], numbers[4]]


def test_what_a_subscriber_misses_without_a_connection_stays_expected():
    log = SentLog(1000)
    log.set_channels("s", 1, ["a"])
    log.number("a")
    log.remove_connection("s", 1)
    assert log.number("a") in log.expected("s")
    assert log.channels("s") == ["a"]


def test_overlapping_connections_are_one_subscriber():
    log = SentLog(1000)
    log.set_channels("s", 1, ["a"])
    first = log.number("a")
    log.set_channels("s", 2, ["a"])
    both = log.number("a")
    log.remove_connection("s", 1)
    last = log.number("a")
    assert log.expected("s") == [first, both, last]


def test_a_new_connection_that_has_not_asked_yet_changes_nothing():
    log = SentLog(1000)
    log.set_channels("s", 1, ["a"])
    log.remove_connection("s", 1)
    missed = log.number("a")
    log.set_channels("s", 2, [])
    assert log.expected("s") == [missed]
    log.number("a")
    assert log.expected("s") == [missed]


def test_the_log_forgets_beyond_its_limit():
    log = SentLog(100)
    log.set_channels("s", 1, ["a"])
    for _ in range(1000):
        log.number("a")
    assert log.last == 1000
    assert 890 <= log.first <= 901
    assert log.expected("s")[-1] == 1000
    assert log.expected("s")[0] == log.first
