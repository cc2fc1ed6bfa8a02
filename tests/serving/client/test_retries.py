import random
import ssl

import httpx
import pytest

from sightline.serving.client.calls import read_retry_after
from sightline.serving.client.retries import Outcome, RetryPolicy, choose_wait, converse

OK = httpx.Response(200)
BUSY = httpx.Response(503, headers={"Retry-After": "2"})
LIMITED = httpx.Response(429)
REFUSED = httpx.ConnectError("connection refused")
NO_ROUTE_IN_TIME = httpx.ConnectTimeout("timed out")
BROKEN = httpx.RemoteProtocolError("server disconnected without sending a response")
RESET = httpx.ReadError("connection reset")
LATE = httpx.ReadTimeout("timed out")


def fail_tls(failure: httpx.TransportError, said: ssl.SSLError) -> httpx.TransportError:
    failure.__cause__ = said
    return failure


UNTRUSTED = fail_tls(httpx.ConnectError("verify failed"), ssl.SSLCertVerificationError(1, "self-signed certificate"))
NOT_LET_IN = fail_tls(httpx.ReadError("read failed"), ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED]"))
CUT_OFF_IN_HANDSHAKE = fail_tls(httpx.ConnectError("eof"), ssl.SSLEOFError(8, "UNEXPECTED_EOF_WHILE_READING"))


class Clock:
    """Time passes by waiting only."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def talk(
    outcomes: list[Outcome], is_repeatable: bool = True, retries: int = 3, timeout_s: float = 60.0
) -> tuple[Outcome, list[float]]:
    """What is returned at last, and the waits before each sending."""
    clock = Clock()
    conversation = converse(RetryPolicy(retries, timeout_s), is_repeatable, clock, random.Random(1))
    waits = [next(conversation)]
    for outcome in outcomes:
        clock.now_s += waits[-1]
        try:
            waits.append(conversation.send(outcome))
        except StopIteration as end:
            return end.value, waits
    raise AssertionError(f"it wants to send once more, after {waits}")


@pytest.mark.parametrize("first", [BUSY, LIMITED, REFUSED, BROKEN, RESET, CUT_OFF_IN_HANDSHAKE])
def test_what_changes_nothing_is_sent_again(first: Outcome) -> None:
    last, waits = talk([first, OK])
    assert last is OK and len(waits) == 2


@pytest.mark.parametrize("first", [LATE, NO_ROUTE_IN_TIME, httpx.Response(503), httpx.Response(500), httpx.Response(404), OK])
def test_what_may_be_at_work_or_will_not_change_is_not_sent_again(first: Outcome) -> None:
    last, waits = talk([first])
    assert last is first and waits == [0.0]


@pytest.mark.parametrize("first", [BUSY, BROKEN, RESET, LATE])
def test_loading_a_model_is_not_sent_twice_once_it_may_have_arrived(first: Outcome) -> None:
    assert talk([first], is_repeatable=False) == (first, [0.0])


@pytest.mark.parametrize("first", [REFUSED, LIMITED])
def test_loading_a_model_is_sent_again_when_it_never_began(first: Outcome) -> None:
    last, waits = talk([first, OK], is_repeatable=False)
    assert last is OK and len(waits) == 2


@pytest.mark.parametrize("first", [UNTRUSTED, NOT_LET_IN])
@pytest.mark.parametrize("is_repeatable", [True, False])
def test_a_certificate_that_is_not_trusted_is_not_tried_again(first: Outcome, is_repeatable: bool) -> None:
    assert talk([first], is_repeatable) == (first, [0.0])


def test_retries_end() -> None:
    last, waits = talk([REFUSED, REFUSED, BROKEN], retries=2)
    assert last is BROKEN and len(waits) == 3
    assert talk([REFUSED], retries=0) == (REFUSED, [0.0])


def test_the_server_s_wish_is_kept_and_no_wait_ends_after_the_deadline() -> None:
    _, waits = talk([BUSY, OK])
    assert 2.0 <= waits[1] <= 2.05
    last, waits = talk([BUSY, BUSY, BUSY], timeout_s=5.0)  # 2 s, 2 s, and a third wait would end after 6 s
    assert last is BUSY and len(waits) == 3
    assert talk([BUSY], timeout_s=1.0) == (BUSY, [0.0])


def test_waits_double_and_are_spread_over_their_whole_length() -> None:
    rng = random.Random(5)
    for attempt, longest_s in ((0, 0.05), (1, 0.1), (4, 0.8), (20, 5.0), (2000, 5.0)):
        waits = [choose_wait(REFUSED, True, attempt, rng) or 0.0 for _ in range(500)]
        assert 0.9 * longest_s < max(waits) <= longest_s
        assert min(waits) < 0.1 * longest_s


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        (f"Wed, 21 Oct 2015 07:28:00 +{'9' * 20}", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(text: str, expected: float | None) -> None:
    assert read_retry_after(httpx.Response(503, headers={"Retry-After": text})) == expected


def test_a_date_ahead_is_as_far_as_it_is() -> None:
    wait_s = read_retry_after(httpx.Response(503, headers={"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"}))
    assert wait_s is not None and wait_s > 365 * 86400
