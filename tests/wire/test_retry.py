from tes_nb.wire.retry import BACKOFF, CLOSE_CODES, STATUSES, close_verdict, status_verdict


def test_fault_24_every_close_code_has_a_verdict_and_none_is_final():
    for code in range(5000):
        verdict = close_verdict(code)
        assert verdict is CLOSE_CODES.get(code, BACKOFF)
        assert not verdict.missing  # an open connection was found, whatever ends it


def test_every_status_has_a_verdict():
    for status in range(100, 600):
        verdict = status_verdict(status)
        assert verdict.missing == (status in (400, 404, 405, 410, 426, 501) or 200 <= status < 300)
        assert verdict.fresh_token == (status in (401, 403))


def test_verdicts_are_words_for_people():
    for verdict in (*CLOSE_CODES.values(), *STATUSES.values()):
        assert verdict.meaning
        assert not verdict.meaning.endswith(".")


def test_polling_does_not_pester_a_peer_that_refused_us():
    assert not any(status_verdict(status).pollable for status in (401, 403, 407, 429, 503))
