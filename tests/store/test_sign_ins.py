import re

import pytest
from sqlalchemy import select

from sightline.core.errors import Conflict, InvalidInput, NotFound
from sightline.store.database import open_database
from sightline.store.sign_ins import IDLE_S, LONGEST_S, MOST_KEYS, MOST_SIGN_INS, ApiKeyStore, SignInStore
from sightline.store.tables import API_KEYS, SIGN_INS
from sightline.store.users import UserStore

DAY_S = 24 * 3600


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def database(tmp_path, cheap_passwords):
    database = open_database(tmp_path / "sightline.db")
    yield database
    database.close()


@pytest.fixture
def ada(database):
    return UserStore(database).add("ada", "editor", "correct horse")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sign_ins(database, ada, clock):
    return SignInStore(database, clock)


@pytest.fixture
def api_keys(database, ada, clock):
    return ApiKeyStore(database, clock)


def test_a_sign_in_is_known_by_a_secret_of_which_the_store_has_only_the_hash(sign_ins, database, ada):
    first, second = sign_ins.begin("ada", "correct horse"), sign_ins.begin("ADA", "correct horse")
    assert first != second and len(first) >= 43  # 256 bits
    assert sign_ins.find(first).user == ada
    with database.read() as connection:
        rows = str(connection.execute(select(SIGN_INS)).all())
    assert first not in rows and sign_ins.find(first).secret_hash in rows


@pytest.mark.parametrize("given", ["", "wrong", "é", "\ud800", "x" * 10_000])
def test_another_secret_opens_nothing(sign_ins, api_keys, given):
    secret = sign_ins.begin("ada", "correct horse")
    assert sign_ins.find(given) is None and api_keys.find(given) is None
    assert sign_ins.find(sign_ins.find(secret).secret_hash) is None  # what stands in the store opens nothing
    assert api_keys.find(secret) is None  # a browser's secret is no program's


def test_nobody_without_the_password_signs_in(sign_ins, database, ada):
    users = UserStore(database)
    users.add("bob", "viewer")
    for name, password in (("ada", "wrong horse"), ("ada", ""), ("eve", "correct horse"), ("bob", ""), ("a\x00da", "x" * 9)):
        assert sign_ins.begin(name, password) is None
    users.change(ada.id, disabled=True)
    assert sign_ins.begin("ada", "correct horse") is None


def test_a_sign_in_ends_after_a_week_in_which_nobody_came(sign_ins, clock):
    secret = sign_ins.begin("ada", "correct horse")
    clock.now += IDLE_S - 1
    assert sign_ins.find(secret) is not None
    clock.now += IDLE_S - 1
    assert sign_ins.find(secret) is not None  # counted from the last time
    clock.now += IDLE_S
    assert sign_ins.find(secret) is None
    assert IDLE_S == 7 * DAY_S


def test_a_sign_in_ends_after_thirty_days_whoever_came(sign_ins, clock, database):
    secret = sign_ins.begin("ada", "correct horse")
    for _ in range(LONGEST_S // DAY_S - 1):
        clock.now += DAY_S
        assert sign_ins.find(secret) is not None
    clock.now += DAY_S
    assert sign_ins.find(secret) is None
    assert LONGEST_S == 30 * DAY_S
    sign_ins.begin("ada", "correct horse")
    with database.read() as connection:
        assert len(connection.execute(select(SIGN_INS)).all()) == 1  # what is over is gone


def test_who_signed_out_is_out_and_others_are_not(sign_ins):
    here, there = sign_ins.begin("ada", "correct horse"), sign_ins.begin("ada", "correct horse")
    sign_ins.end(sign_ins.find(here).secret_hash)
    assert sign_ins.find(here) is None and sign_ins.find(there) is not None


def test_a_user_has_a_bounded_number_of_sign_ins_and_the_oldest_goes(sign_ins, database, monkeypatch):
    monkeypatch.setattr("sightline.store.sign_ins.is_password", lambda given, kept: True)  # it costs much, on purpose
    secrets = [sign_ins.begin("ada", "correct horse") for _ in range(MOST_SIGN_INS + 2)]
    assert [sign_ins.find(secret) is None for secret in secrets] == [True] * 2 + [False] * MOST_SIGN_INS


def test_a_key_is_shown_once_and_known_by_its_hash(api_keys, database, ada, clock):
    key, text = api_keys.add(ada.id, "line 3")
    assert re.fullmatch(r"sightline_[A-Za-z0-9_-]{43}", text)
    assert (key.name, key.made_at, key.used_at) == ("line 3", "2027-01-15T08:00:00+00:00", None)
    with database.read() as connection:
        assert text not in str(connection.execute(select(API_KEYS)).all())
    clock.now += 60
    assert api_keys.find(text) == ada
    assert api_keys.list(ada.id)[0].used_at == "2027-01-15T08:01:00+00:00"
    clock.now += 300
    api_keys.find(text)
    assert api_keys.list(ada.id)[0].used_at == "2027-01-15T08:01:00+00:00"  # known to ten minutes


def test_a_key_ends_when_it_is_removed_and_sleeps_while_its_user_is_disabled(api_keys, database, ada):
    users = UserStore(database)
    users.add("root", "admin")
    (key, text), (_, other) = api_keys.add(ada.id, "line 3"), api_keys.add(ada.id, "line 4")
    users.change(ada.id, disabled=True)
    assert api_keys.find(text) is None
    users.change(ada.id, disabled=False)
    assert api_keys.find(text) is not None
    api_keys.remove(ada.id, key.id)
    assert api_keys.find(text) is None and api_keys.find(other) is not None
    assert [kept.name for kept in api_keys.list(ada.id)] == ["line 4"]


def test_keys_of_others_are_neither_seen_nor_removed(api_keys, database, ada):
    eve = UserStore(database).add("eve", "admin")
    key, text = api_keys.add(ada.id, "line 3")
    assert api_keys.list(eve.id) == []
    with pytest.raises(NotFound, match=f"no key {key.id} of yours"):
        api_keys.remove(eve.id, key.id)
    assert api_keys.find(text) is not None
    api_keys.add(eve.id, "line 3")  # names are one's own


def test_keys_have_names_and_are_not_without_number(api_keys, ada):
    for number in range(MOST_KEYS):
        api_keys.add(ada.id, f"line {number}")
    with pytest.raises(Conflict, match="at most 100 keys"):
        api_keys.add(ada.id, "one more")
    with pytest.raises(Conflict, match="there is a key 'line 3' already"):
        api_keys.add(ada.id, "line 3")
    with pytest.raises(InvalidInput, match="name"):
        api_keys.add(ada.id, "a\x1b[31mb")
