"""The users of a workspace as the server asks for them: who has which secret, and passwords of strangers, few at once.

A password costs 64 MiB and some tenths of a second to check, so only few are checked at once and few wait. Wrong ones are
counted by name, by place and by both: whoever tries one name from one place must wait soon, and keeps its owner elsewhere
out for seconds at most. Right ones count nothing.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_address, ip_network
from typing import NamedTuple, TypeVar

import anyio
import anyio.to_thread

from sightline.api.people import Person, make_person
from sightline.serving.http.limits import Clock, TokenBucket
from sightline.serving.http.refusals import Refusal
from sightline.store.database import Database
from sightline.store.sign_ins import ApiKeyStore, SignInStore, hash_secret
from sightline.store.users import LONGEST_NAME, UserStore, fold_name

CHECKED_AT_ONCE = 2
MOST_WAITING = 16
LOOKED_UP_AT_ONCE = 8
MOST_BUCKETS = 10_000
IPV6_PLACE = 64  # bits of an address that one customer has
Answer = TypeVar("Answer")


class Rate(NamedTuple):
    """How many wrong passwords: so many at once, and then one each so many seconds."""

    burst: float
    every_s: float


OF_NAME_HERE = Rate(5, 10)
OF_NAME = Rate(20, 5)
OF_PLACE = Rate(20, 2)


class Attempts:
    """Counts wrong passwords. Used on the event loop only.

    Args: clock: seconds, monotonic.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], TokenBucket] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def know(self, name: str, place: str | None) -> None:
        """The password of a name came from a place: guesses from elsewhere, however many, keep it out no more."""
        if place is not None:
            self._known[place, fold_name(name)] = None
            self._known.move_to_end((place, fold_name(name)))
            if len(self._known) > MOST_BUCKETS:
                self._known.popitem(last=False)

    def take(self, name: str, place: str | None) -> list[TokenBucket]:
        """Count an attempt. Returns: where to put it back when it was right. Raises: Refusal 429 with Retry-After."""
        folded = fold_name(name[:LONGEST_NAME])  # a longer one is nobody's, costs long to fold, and would be kept
        wanted = [(("name", folded), OF_NAME)] if (place, folded) not in self._known else []
        if place is not None:  # which comes first, so that one that must wait is counted under no further names
            wanted = [((place, ""), OF_PLACE), ((place, folded), OF_NAME_HERE), *wanted]
        taken: list[TokenBucket] = []
        for key, rate in wanted:
            bucket = self._find(key, rate)
            wait_s = bucket.take()
            if wait_s > 0:
                for other in taken:
                    other.put_back()
                raise Refusal(429, "too many wrong passwords came for this name or from this place; wait a little", wait_s)
            taken.append(bucket)
        return taken

    def _find(self, key: tuple[str, str], rate: Rate) -> TokenBucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(1 / rate.every_s, rate.burst, self._clock)
        self._buckets.move_to_end(key)
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
        return bucket


class Accounts:
    """The users of a workspace. Its methods that wait run on the event loop.

    Args:
        database: of the workspace.
        clock: seconds, monotonic: for attempts.

    Attributes: users, sign_ins, keys: the stores, which block.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self.users = UserStore(database)
        self.sign_ins = SignInStore(database)
        self.keys = ApiKeyStore(database)
        self._attempts = Attempts(clock)
        self._checking = anyio.CapacityLimiter(CHECKED_AT_ONCE)
        self._looking_up = anyio.CapacityLimiter(LOOKED_UP_AT_ONCE)
        self._waiting = 0

    async def has_users(self) -> bool:
        """Whether there is any user."""
        return await self.look_up(self.users.has_any)

    async def find_by_cookie(self, secret: str) -> Person | None:
        """Whose sign-in this is."""
        found = await self.look_up(partial(self.sign_ins.find, secret))
        return None if found is None else make_person(found.user, "password", found.secret_hash)

    async def find_by_key(self, text: str) -> Person | None:
        """Whose API key this is."""
        user = await self.look_up(partial(self.keys.find, text))
        return None if user is None else make_person(user, "key")

    async def sign_out(self, secret: str) -> None:
        """End the sign-in that has this secret, if one has."""
        await self.look_up(partial(self.sign_ins.end, hash_secret(secret)))

    async def sign_in(self, name: str, password: str, address: str | None) -> str | None:
        """Sign a user in. Returns: the secret for the cookie; None for a wrong name or password.

        Args: address: of the client; None where all clients have that of a proxy.

        Raises: Refusal 429 with Retry-After.
        """
        place = None if address is None else find_place(address)
        return await self.check(name, place, partial(self.sign_ins.begin, name, password))

    async def check(self, name: str, place: str | None, work: Callable[[], Answer]) -> Answer:
        """Do what compares a password, when its turn comes, and count it unless it was right.

        Args: place: where it comes from, for the count; None where that cannot be told.

        Raises: Refusal 429 with Retry-After; what `work` raises.
        """
        if self._waiting >= MOST_WAITING:
            raise Refusal(429, "too many passwords are being checked; try again in a moment", 2.0)
        taken = self._attempts.take(name, place)
        with self._wait():
            answer = await anyio.to_thread.run_sync(work, limiter=self._checking)
        if answer:
            self._attempts.know(name, place)
            for bucket in taken:
                bucket.put_back()
        return answer

    async def hash(self, work: Callable[[], Answer]) -> Answer:
        """Do what makes a password's hash, for somebody who is trusted: it waits for its turn."""
        return await anyio.to_thread.run_sync(work, limiter=self._checking)

    async def look_up(self, work: Callable[[], Answer]) -> Answer:
        """Ask a store, on a thread that handlers do not take."""
        return await anyio.to_thread.run_sync(work, limiter=self._looking_up)

    @contextmanager
    def _wait(self) -> Iterator[None]:
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1


def find_place(address: str) -> str:
    """What stands for everybody who may have this address: of IPv6 the network that one customer has."""
    try:
        parsed = ip_address(address)
    except ValueError:  # no TCP
        return address
    return str(parsed if parsed.version == 4 else ip_network((parsed, IPV6_PLACE), strict=False))
