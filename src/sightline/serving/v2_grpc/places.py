"""How much may be there at once: of all callers, and half of that of one, so that nobody alone keeps the others out."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from sightline.serving.http.refusals import Refusal


class Places:
    """Places for so many calls, at most half of them for one caller; whoever finds them taken is refused.

    Args:
        count: of all callers.
        words: what a refusal says behind the number of places that are taken.
    """

    def __init__(self, count: int, words: str) -> None:
        self._count, self._share, self._words = count, halve(count), words
        self._taken = 0
        self._taken_of: Counter[str] = Counter()

    @contextmanager
    def take(self, whose: str) -> Iterator[None]:
        """Hold a place within the block. Args: whose: name of the key, else the address. Raises: Refusal 429, 503."""
        self.enter(whose)
        try:
            yield
        finally:
            self.leave(whose)

    def enter(self, whose: str) -> None:
        """Take one; `leave` must follow. Raises: as `take`; nothing is to be left then."""
        if self._taken_of[whose] >= self._share < self._count:
            raise Refusal(429, f"of this key or address {self._share} {self._words}", 1)
        if self._taken >= self._count:
            raise Refusal(503, f"{self._count} {self._words}", 1)
        self._taken += 1
        self._taken_of[whose] += 1

    def leave(self, whose: str) -> None:
        """Give one back."""
        self._taken -= 1
        self._taken_of[whose] -= 1
        if self._taken_of[whose] <= 0:
            del self._taken_of[whose]


class Turns:
    """Turns for so many at once, at most half of them for one caller; the others wait, in the order in which they came.

    Args: count: of all callers.
    """

    def __init__(self, count: int) -> None:
        self._share = halve(count)
        self._all = asyncio.Semaphore(count)
        self._own: dict[str, asyncio.Semaphore] = {}
        self._present: Counter[str] = Counter()  # callers that have a turn or wait for one

    @asynccontextmanager
    async def take(self, whose: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it meanwhile. Args: whose: as of `Places`."""
        own = self._own.setdefault(whose, asyncio.Semaphore(self._share))
        self._present[whose] += 1
        try:
            async with own, self._all:  # its own first: who waits for that keeps nobody waiting
                yield
        finally:
            self._present[whose] -= 1
            if not self._present[whose]:
                del self._present[whose], self._own[whose]


def halve(count: int) -> int:
    """One caller's half, at least 1."""
    return (count + 1) // 2
