import io
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher
from cli_fixtures import Run
from test_up_command import start

from sightline.store import passwords
from sightline.store.database import open_database
from sightline.store.sign_ins import SignInStore


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that cost little."""
    monkeypatch.setattr(passwords, "HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def sign_ins(workspace: Path) -> Iterator[SignInStore]:
    workspace.mkdir(parents=True, exist_ok=True)
    database = open_database(workspace / "sightline.db")
    yield SignInStore(database)
    database.close()


def say(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """What stands on standard input."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(line))


def test_a_user_is_made_with_a_password_from_standard_input(
    run: Run, monkeypatch: pytest.MonkeyPatch, sign_ins: SignInStore
) -> None:
    say(monkeypatch, "correct horse\nnot this line\n")
    ran = run("users", "add", "ada", "--role", "admin", "--password-stdin", "--json")
    assert ran.code == 0, ran.err
    made = {key: ran.json[key] for key in ("name", "role", "disabled", "has_password")}
    assert made == {"name": "ada", "role": "admin", "disabled": False, "has_password": True}
    assert "horse" not in ran.out + ran.err
    assert sign_ins.begin("ada", "correct horse") and not sign_ins.begin("ada", "correct horse\n")


def test_a_password_is_typed_twice_without_being_shown(
    run: Run, monkeypatch: pytest.MonkeyPatch, sign_ins: SignInStore
) -> None:
    typed = ["correct horse", "correct horse", "battery staple", "battery stable"]
    monkeypatch.setattr("getpass.getpass", lambda prompt: typed.pop(0))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert run("users", "add", "ada").code == 0
    refused = run("users", "password", "ada")
    assert refused.code == 2 and "the same password twice" in refused.err
    assert sign_ins.begin("ada", "correct horse")


def test_without_a_terminal_a_password_is_asked_for_nowhere(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, "correct horse\n")
    refused = run("users", "add", "ada")
    assert refused.code == 2 and "--password-stdin" in refused.err
    assert run("users", "list", "--json").json == {"users": []}


def test_users_are_listed_changed_disabled_and_enabled(
    run: Run, monkeypatch: pytest.MonkeyPatch, sign_ins: SignInStore
) -> None:
    run("users", "add", "ada", "--role", "admin", "--without-password")
    say(monkeypatch, "correct horse")
    run("users", "add", "eve", "--password-stdin")
    assert run("users", "role", "EVE", "viewer", "--json").json["role"] == "viewer"
    secret = sign_ins.begin("eve", "correct horse")
    assert secret and sign_ins.find(secret)
    assert run("users", "disable", "eve").out.startswith("disabled eve (viewer, disabled)")
    assert sign_ins.find(secret) is None and not sign_ins.begin("eve", "correct horse")
    assert run("users", "enable", "eve", "--json").json["disabled"] is False
    say(monkeypatch, "battery staple")
    assert run("users", "password", "eve", "--password-stdin").code == 0
    assert sign_ins.begin("eve", "battery staple")
    listed = run("users", "list", "--json").json["users"]
    assert [(user["name"], user["role"], user["has_password"]) for user in listed] == [
        ("ada", "admin", False),
        ("eve", "viewer", True),
    ]
    assert "eve" in run("users", "list").out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("add", "a\u202eb", "--without-password"), 2, "characters that can be seen"),
        (("add", "eve", "--role", "root", "--without-password"), 2, "viewer, editor, admin"),
        (("add", "ADA", "--without-password"), 4, "there is a user 'ada'"),
        (("role", "zed", "admin"), 3, "no user 'zed'"),
        (("role", "ada", "viewer"), 4, "last admin"),
        (("disable", "ada"), 4, "last admin"),
    ],
)
def test_what_cannot_be_is_one_line(run: Run, arguments: tuple[str, ...], code: int, words: str) -> None:
    run("users", "add", "ada", "--role", "admin", "--without-password")
    ran = run("users", *arguments)
    assert ran.code == code and words in ran.err and len(ran.err.splitlines()) == 1


def test_a_change_holds_at_once_while_the_server_runs(run: Run, monkeypatch: pytest.MonkeyPatch, workspace: Path) -> None:
    with start(workspace) as up, httpx.Client(base_url=up.ready["url"], trust_env=False, timeout=60) as browser:
        browser.headers["Origin"] = up.ready["url"]
        say(monkeypatch, "correct horse")
        run("users", "add", "eve", "--role", "viewer", "--password-stdin")
        assert browser.post("/sign-in", data={"name": "eve", "password": "correct horse"}).status_code == 303
        assert browser.get("/v1/session").json()["role"] == "viewer"
        run("users", "role", "eve", "editor")
        assert browser.get("/v1/session").json()["role"] == "editor"
        run("users", "disable", "eve")
        assert browser.get("/v1/session").status_code == 401
