from contextlib import suppress

import anyio
import pytest

from sightline.api.accounts import MOST_WAITING, OF_NAME, OF_NAME_HERE, OF_PLACE, Accounts, Attempts, find_place
from sightline.serving.http.refusals import Refusal
from sightline.store.database import open_database


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def count(attempts, name, address, most=1000):
    """How many wrong passwords are let through at once."""
    for number in range(most):
        try:
            attempts.take(name, address)
        except Refusal as refusal:
            assert refusal.status == 429 and int(refusal.headers["Retry-After"]) >= 1
            return number
    return most


def test_one_who_guesses_waits_and_the_owner_elsewhere_does_not():
    clock = Clock()
    attempts = Attempts(clock)
    assert count(attempts, "ada", "192.0.2.1") == OF_NAME_HERE.burst
    assert count(attempts, "ADA", "192.0.2.1") == 0  # one name, however it is written
    attempts.take("ada", "192.0.2.2")
    for _ in range(3600 // OF_NAME_HERE.every_s):  # for an hour, as fast as it may
        clock.now += OF_NAME_HERE.every_s
        assert count(attempts, "ada", "192.0.2.1") == 1
        attempts.take("ada", "192.0.2.2")


def test_many_names_from_one_place_and_one_name_from_many_places_are_bounded_too():
    attempts = Attempts(Clock())
    tried = [count(attempts, f"user {number}", "192.0.2.1") for number in range(100)]
    assert sum(tried) == OF_PLACE.burst
    tried = [count(attempts, "ada", f"198.51.100.{number}") for number in range(100)]
    assert sum(tried) == OF_NAME.burst
    assert count(attempts, "eve", None) == OF_NAME.burst  # behind a proxy only names are known


def test_guesses_from_everywhere_keep_nobody_out_where_they_signed_in_before():
    attempts = Attempts(Clock())
    attempts.know("Ada", "192.0.2.1")
    assert sum(count(attempts, "ada", f"198.51.100.{number}") for number in range(100)) == OF_NAME.burst
    assert count(attempts, "ada", "192.0.2.2") == 0
    assert count(attempts, "ada", "192.0.2.1") == OF_NAME_HERE.burst  # and no more guesses there, either


def test_a_customer_of_ipv6_has_many_addresses_and_is_one_place():
    assert find_place("2001:db8::1") == find_place("2001:db8::ffff:1") != find_place("2001:db8:0:1::1")
    assert find_place("192.0.2.1") != find_place("192.0.2.2")


def test_what_is_counted_is_bounded():
    attempts = Attempts(Clock())
    for number in range(30_000):
        attempts.take(f"user {number}", None)
    assert len(attempts._buckets) == 10_000


def test_names_longer_than_any_cost_and_keep_little():
    attempts, swelling = Attempts(Clock()), "\ufdfa" * 5000  # each becomes 18 characters, in long work
    for number in range(100):
        with suppress(Refusal):
            attempts.take(f"{number}{swelling}", "192.0.2.1")
    assert max(len(name) for _, name in attempts._buckets) < 2000
    # Who must wait at this place makes no entries: enough of them would have driven out those of other names.
    assert len(attempts._buckets) == 1 + 2 * OF_PLACE.burst


@pytest.fixture
def database(tmp_path):
    database = open_database(tmp_path / "sightline.db")
    yield database
    database.close()


def test_right_passwords_are_not_counted(database):
    async def sign_in_often() -> None:
        accounts = Accounts(database, Clock())
        for _ in range(100):
            assert await accounts.check("ada", "192.0.2.1", lambda: "secret") == "secret"
        for _ in range(int(OF_NAME_HERE.burst)):
            assert await accounts.check("ada", "192.0.2.1", lambda: None) is None
        with pytest.raises(Refusal):
            await accounts.check("ada", "192.0.2.1", lambda: "secret")

    anyio.run(sign_in_often)


def test_few_passwords_are_checked_at_once_few_wait_and_the_rest_come_again(database):
    running, most, refused = 0, 0, 0
    go_on = anyio.Event()

    async def flood() -> None:
        nonlocal refused
        accounts = Accounts(database, Clock())

        async def work(name: str) -> None:
            nonlocal refused

            def check() -> None:
                nonlocal running, most
                running += 1
                most = max(most, running)
                anyio.from_thread.run(go_on.wait)
                running -= 1

            try:
                await accounts.check(name, None, check)
            except Refusal as refusal:
                assert refusal.headers["Retry-After"] == "2"
                refused += 1

        async with anyio.create_task_group() as group:
            for number in range(MOST_WAITING + 10):
                group.start_soon(work, f"user {number}")
            while refused < 10:
                await anyio.sleep(0)
            go_on.set()

    anyio.run(flood)
    assert (most, refused) == (2, 10)
