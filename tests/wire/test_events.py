import msgspec

from tes_nb.wire.events import GapBook


def test_a_gap_reaches_from_the_loss_until_data_and_names_the_last_message_before():
    book = GapBook()
    book.note_message(100)
    book.begin(3, "connection reset", 120)
    gap = book.end(200)
    assert gap is not None
    assert (gap.conn, gap.last_seen_ns, gap.lost_at_ns, gap.back_at_ns) == (3, 100, 120, 200)
    assert gap.cause == "connection reset"
    assert book.end(300) is None


def test_a_second_loss_belongs_to_the_open_gap():
    book = GapBook()
    book.begin(1, "connection reset", 10)
    book.begin(2, "connection refused", 20)
    gap = book.end(30)
    assert gap is not None
    assert (gap.conn, gap.lost_at_ns, gap.cause, gap.last_seen_ns) == (1, 10, "connection reset", None)


def test_a_gap_is_there_while_it_lasts():
    book = GapBook()
    gap = book.begin(1, "connection reset", 10)
    assert gap is not None
    assert gap.back_at_ns is None
    assert book.open == gap
    assert book.begin(1, "connection refused", 20) is None  # the one that is open goes on
    assert book.end(30) == msgspec.structs.replace(gap, back_at_ns=30)


def test_a_gap_that_silence_began_takes_the_cause_of_the_loss_that_follows():
    book = GapBook()
    silent = book.begin(1, "no data for 3 s", 10, by_silence=True)
    assert book.begin(1, "no data for 3 s", 15, by_silence=True) is None
    assert book.begin(1, "connection reset", 20) == msgspec.structs.replace(silent, cause="connection reset")
    assert book.begin(1, "connection refused", 25) is None
