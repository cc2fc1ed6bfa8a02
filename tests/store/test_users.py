import threading

import pytest
from sqlalchemy import select

from sightline.core.errors import Conflict, InvalidInput, NotFound
from sightline.store import passwords
from sightline.store.database import open_database
from sightline.store.sign_ins import SignInStore
from sightline.store.tables import USERS
from sightline.store.users import UserStore


@pytest.fixture
def database(tmp_path, cheap_passwords):
    database = open_database(tmp_path / "sightline.db")
    yield database
    database.close()


@pytest.fixture
def users(database):
    return UserStore(database)


def test_users_are_listed_by_name_without_their_passwords(users, database):
    assert not users.has_any() and users.list() == []
    zoe, ada = users.add("Zoë", "viewer"), users.add("ada", "admin", "correct horse")
    assert users.has_any() and users.list() == [ada, zoe]
    assert (ada.role, ada.has_password, ada.disabled) == ("admin", True, False)
    assert (zoe.role, zoe.has_password) == ("viewer", False)
    with database.read() as connection:
        assert "correct horse" not in str(connection.execute(select(USERS)).all())


@pytest.mark.parametrize("written", ["Ada", "ADA", "\uff21da", "ada"])
def test_two_names_that_only_case_or_width_tells_apart_are_one(users, written):
    users.add("ada", "viewer")
    with pytest.raises(Conflict, match="there is a user 'ada' already"):
        users.add(written, "admin")
    assert users.find(written).name == "ada"


def test_a_name_is_kept_composed(users):
    assert users.add("Zoe\u0308", "viewer").name == "Zo\u00eb"
    assert users.find("Zo\u00eb").name == users.find("Zoe\u0308").name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ada",
        "ada ",
        "a\tb",
        "a\nb",
        "a\x00b",
        "a\u200bb",
        "a\u202eb",
        "a\u00a0b",
        "\ud800",
        "\ufeffada",
        "a\u2028b",
        "x" * 101,
    ],
)
def test_a_name_that_cannot_be_seen_or_read_out_is_refused(users, name):
    with pytest.raises(InvalidInput, match="expected a user's name"):
        users.add(name, "viewer")
    with pytest.raises(NotFound):
        users.find(name)


def test_an_unknown_role_and_an_unknown_user_are_refused(users):
    with pytest.raises(InvalidInput, match="expected a role of viewer, editor, admin, got 'root'"):
        users.add("ada", "root")
    with pytest.raises(NotFound, match="no user 7"):
        users.change(7, role="admin")


def test_the_last_admin_who_is_not_disabled_stays_one(users):
    ada, eve = users.add("ada", "admin"), users.add("eve", "admin")
    users.add("bob", "editor")
    users.change(eve.id, disabled=True)
    for change in ({"role": "editor"}, {"disabled": True}, {"role": "viewer", "disabled": True}):
        with pytest.raises(Conflict, match="'ada' is the last admin"):
            users.change(ada.id, **change)
    assert users.find("ada") == ada
    users.change(eve.id, role="viewer")  # disabled: no admin is lost
    users.change(eve.id, role="admin", disabled=False)
    assert users.change(ada.id, role="editor").role == "editor"


def test_of_two_admins_who_demote_each_other_one_stays(users):
    ids = [users.add(name, "admin").id for name in ("ada", "eve")]
    begin, refused = threading.Barrier(2), []

    def demote(user_id):
        begin.wait()
        try:
            users.change(user_id, role="viewer")
        except Conflict as error:
            refused.append(error)

    threads = [threading.Thread(target=demote, args=(user_id,)) for user_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert sorted(user.role for user in users.list()) == ["admin", "viewer"]


def test_a_new_password_and_being_disabled_end_the_sign_ins_and_a_role_does_not(users, database):
    sign_ins = SignInStore(database)
    ada, eve = users.add("ada", "editor", "correct horse"), users.add("eve", "editor", "other horse")
    of_ada, of_eve = sign_ins.begin("ada", "correct horse"), sign_ins.begin("eve", "other horse")
    users.change(ada.id, role="viewer")
    assert sign_ins.find(of_ada).user.role == "viewer"  # at once
    users.change(ada.id, password="battery staple")
    users.change(eve.id, disabled=True)
    assert sign_ins.find(of_ada) is None and sign_ins.find(of_eve) is None
    users.change(eve.id, disabled=False)
    assert sign_ins.find(of_eve) is None  # what has ended does not come back
    assert sign_ins.begin("ada", "correct horse") is None and sign_ins.begin("ada", "battery staple")


def test_ones_own_password_changes_by_the_one_that_was_and_ends_the_other_sign_ins(users, database):
    sign_ins = SignInStore(database)
    ada = users.add("ada", "viewer", "correct horse")
    here, elsewhere = sign_ins.begin("ada", "correct horse"), sign_ins.begin("ada", "correct horse")
    own = sign_ins.find(here).secret_hash
    assert not users.change_own_password(ada.id, "wrong horse", "battery staple", own)
    assert sign_ins.find(elsewhere) is not None
    with pytest.raises(InvalidInput, match="at least 8"):
        users.change_own_password(ada.id, "correct horse", "short", own)
    assert users.change_own_password(ada.id, "correct horse", "battery staple", own)
    assert sign_ins.find(here) is not None and sign_ins.find(elsewhere) is None
    assert not users.change_own_password(users.add("bob", "viewer").id, "", "battery staple", None)  # he has none


def test_a_password_that_is_reset_meanwhile_wins(users, database, monkeypatch):
    sign_ins, ada = SignInStore(database), users.add("ada", "viewer", "correct horse")
    real = passwords.HASHER

    class Slow:
        def hash(self, given):
            return real.hash(given)

        def verify(self, kept, given):
            is_right = real.verify(kept, given)
            if given == b"correct horse":
                users.change(ada.id, password="battery staple")  # by an admin, while this is being compared
            return is_right

    monkeypatch.setattr(passwords, "HASHER", Slow())
    assert sign_ins.begin("ada", "correct horse") is None
    users.change(ada.id, password="correct horse")
    assert not users.change_own_password(ada.id, "correct horse", "mine forever", None)
    assert sign_ins.begin("ada", "battery staple")
