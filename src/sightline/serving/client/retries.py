"""When a request may be sent again, and after how long: one rule for the sync and the async client, free of any I/O.

`converse` is a generator that yields how long to wait before the next sending and is sent what came of it, so that a client
only has to sleep and to send. The rule asks what may have happened at the server:

- one side does not trust the other's certificate: it will not the next time either, so nothing is sent again;
- the connection was never made otherwise: nothing was sent, so anything may be sent again;
- 429: refused before any work, by the server's own word; so is 503 with Retry-After, but as a gateway may say that too after
  the work began, only what is repeatable is sent again then;
- a kept-alive connection broke: the server may have closed it just as the request left, or it may have worked on it. Asking
  about a picture changes nothing there, so what is repeatable is sent again. Loading or unloading a model is not;
- a time-out: nothing is sent again. The server may be at work still, and to ask twice would load it twice.

Waits grow by doubling and are drawn at random between 0 and that ("full jitter"; Brooker: Exponential Backoff And Jitter, AWS
Architecture Blog, 2015), so that clients that were refused together do not come back together.
"""

import random
from collections.abc import Callable, Generator
from numbers import Integral, Real

import httpx
import msgspec

from sightline.core.errors import InvalidInput
from sightline.serving.client.calls import is_distrust, read_retry_after

FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 5.0
LONGEST_TIMEOUT_S = 7 * 86400.0  # the system's waits hold no infinity, and 24 days at most
TOO_MANY, UNAVAILABLE = 429, 503
FAILURES = (httpx.RequestError, httpx.InvalidURL)  # what httpx raises when there is no answer, or none that can be read
Outcome = httpx.Response | httpx.RequestError | httpx.InvalidURL
Talk = Generator[float, Outcome | None, Outcome]


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often and how long.

    Attributes:
        retries: sendings after the first; 0 sends once.
        timeout_s: from the first sending to the last answer, waits included; above 0.
    """

    retries: int
    timeout_s: float


def make_policy(retries: int, timeout_s: float | None) -> RetryPolicy:
    """A policy of a user's numbers. Args: timeout_s: None, or more than a week: a week. Raises: InvalidInput."""
    if not is_whole(retries, 0):
        raise InvalidInput(f"expected `retries` of 0 or more, a whole number, got {retries!r}")
    if timeout_s is None:
        timeout_s = LONGEST_TIMEOUT_S
    if not is_above_zero(timeout_s):
        raise InvalidInput(f"expected `timeout_s` above 0, or None for no bound, got {timeout_s!r}")
    return RetryPolicy(int(retries), min(float(timeout_s), LONGEST_TIMEOUT_S))


def check_in_flight(in_flight: int) -> int:
    """The number of requests that may be on their way at once. Raises: InvalidInput."""
    if not is_whole(in_flight, 1):
        raise InvalidInput(f"expected `in_flight` of 1 or more, a whole number, got {in_flight!r}")
    return int(in_flight)


def is_whole(value: object, least: int) -> bool:
    """Whether it is a whole number, also numpy's, and not below the least."""
    return isinstance(value, Integral) and int(value) >= least


def is_above_zero(value: object) -> bool:
    """Whether it is a number, also numpy's, and above 0."""
    return isinstance(value, Real) and float(value) > 0


def converse(policy: RetryPolicy, is_repeatable: bool, clock: Callable[[], float], rng: random.Random) -> Talk:
    """Yield the seconds to wait before each sending, be sent its outcome, and return the last one.

    Args:
        is_repeatable: sending it twice does what sending it once does.
        clock: seconds, monotonic.
    """
    give_up_at = clock() + policy.timeout_s
    outcome = yield 0.0
    assert outcome is not None
    for attempt in range(policy.retries):
        wait_s = choose_wait(outcome, is_repeatable, attempt, rng)
        # A wait that ends after the deadline would only delay the bad news.
        if wait_s is None or clock() + wait_s >= give_up_at:
            break
        outcome = yield wait_s
        assert outcome is not None
    return outcome


def choose_wait(outcome: Outcome, is_repeatable: bool, attempt: int, rng: random.Random) -> float | None:
    """Seconds until the request may be sent again; None when it may not. Args: attempt: from 0."""
    jittered_s = rng.uniform(0.0, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempt, 20)))
    if isinstance(outcome, httpx.Response):
        asked_s = read_retry_after(outcome)
        if outcome.status_code == TOO_MANY or (outcome.status_code == UNAVAILABLE and asked_s is not None and is_repeatable):
            return (asked_s or 0.0) + jittered_s
        return None
    if is_distrust(outcome):
        return None
    if isinstance(outcome, httpx.ConnectError):
        return jittered_s
    if isinstance(outcome, httpx.TimeoutException):
        return None
    return jittered_s if is_repeatable and isinstance(outcome, (httpx.NetworkError, httpx.RemoteProtocolError)) else None
