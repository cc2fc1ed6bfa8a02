"""How often and how much at once: token buckets for rates, and counts of what runs. Neither needs a timer.

A token bucket (RFC 2697's, in single requests) fills at `rate_per_s` up to `burst`; a request takes one token or learns how
long until there is one. All of it runs on the event loop, so no counter needs a lock.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sightline.core.errors import InvalidInput
from sightline.serving.http.refusals import Refusal

Clock = Callable[[], float]


class TokenBucket:
    """Admits `rate_per_s` requests a second on average and `burst` at once.

    Args:
        rate_per_s: above 0.
        burst: at least 1, finite; None: one second's worth.
        clock: seconds, monotonic.
    """

    def __init__(self, rate_per_s: float, burst: float | None = None, clock: Clock = time.monotonic) -> None:
        if not (math.isfinite(rate_per_s) and rate_per_s > 0) or (burst is not None and not 1 <= burst < math.inf):
            raise InvalidInput(f"expected a finite rate above 0 and burst of at least 1, got {rate_per_s} and {burst}")
        self.rate_per_s = rate_per_s
        self.burst = max(1.0, rate_per_s) if burst is None else burst
        self._clock = clock
        self._tokens = self.burst
        self._filled_s = clock()

    def take(self, left: float = 0.0) -> float:
        """Take a token and leave so many for others. Returns: 0.0, or the seconds until there are, and then none was taken."""
        now_s = self._clock()
        self._tokens = min(self.burst, self._tokens + (now_s - self._filled_s) * self.rate_per_s)
        self._filled_s = now_s
        if self._tokens < 1.0 + left:
            return (1.0 + left - self._tokens) / self.rate_per_s
        self._tokens -= 1.0
        return 0.0

    def put_back(self) -> None:
        """Give a token back that was taken in vain."""
        self._tokens += 1.0


class Quota:
    """What one caller may do: a rate, and requests at once. None: no limit.

    Attributes:
        running: requests under way.
        frames: of streams, under way. They give way to requests: a frame begins only where neither limit is reached, but keeps
            no request out, for a busy stream would lock out even the request that ends it.
    """

    def __init__(self, bucket: TokenBucket | None = None, max_concurrent: int | None = None) -> None:
        self.bucket = bucket
        self.max_concurrent = max_concurrent
        self.running = self.frames = 0

    def spend(self) -> None:
        """Take one request of the rate, where one could begin now. Raises: Refusal 429 with Retry-After, taking none."""
        self._check_running()
        wait_s = self.bucket.take() if self.bucket is not None else 0.0
        if wait_s > 0:
            assert self.bucket is not None
            raise Refusal(429, f"this key may send {self.bucket.rate_per_s:g} requests a second; slow down", wait_s)

    def put_back(self) -> None:
        """Give back what was spent on a request that was refused for another reason."""
        if self.bucket is not None:
            self.bucket.put_back()

    def begin(self) -> None:
        """Begin a request; `leave` must follow. Raises: Refusal 429 with Retry-After; nothing is to be left then."""
        self._check_running()
        self.running += 1

    def enter_frame(self) -> bool:
        """Begin a stream's frame; it leaves requests a token, where the burst has room for two.

        Returns: whether it may begin; `leave_frame` must follow then.
        """
        if self.max_concurrent is not None and self.running + self.frames >= self.max_concurrent:
            return False
        if self.bucket is not None and self.bucket.take(left=min(1.0, self.bucket.burst - 1.0)) > 0:
            return False
        self.frames += 1
        return True

    def leave_frame(self) -> None:
        """A frame has ended."""
        self.frames -= 1

    def leave(self) -> None:
        """A request has ended."""
        self.running -= 1

    def _check_running(self) -> None:
        if self.max_concurrent is not None and self.running >= self.max_concurrent:
            raise Refusal(429, f"{self.running} requests of this key run already; wait for an answer", 1)

    @contextmanager
    def rest(self) -> Iterator[None]:
        """Within the block the request takes no place: it only waits for news, as a stream's viewers do."""
        self.running -= 1
        try:
            yield
        finally:
            self.running += 1


def take_turn(quota: Quota, bucket: TokenBucket | None) -> None:
    """Take one request of a caller's rate, and one of all callers' together. Args: bucket: of all; None: unlimited.

    The caller's own comes first: a key beyond it must not spend what all may send.

    Raises: Refusal 429, 503 with Retry-After; nothing is taken then.
    """
    quota.spend()
    wait_s = bucket.take() if bucket is not None else 0.0
    if wait_s > 0:
        quota.put_back()
        raise Refusal(503, "the server has reached its limit of requests a second; send the request again later", wait_s)
