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


def test_a_gap_that_never_ends_says_so():
    book = GapBook()
    book.begin(1, "connection reset", 10)
    gap = book.end(None)
    assert gap is not None
    assert gap.back_at_ns is None
