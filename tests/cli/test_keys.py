import json
import stat
from pathlib import Path

import pytest
from cli_fixtures import Run

from sightline.serving.http.keys import Authenticator


def test_a_key_is_shown_once_and_let_in(run: Run, workspace: Path) -> None:
    ran = run(
        "keys", "new", "line-3", "--weight", "2", "--models", "parts, lids", "--requests-per-s", "20", "--max-concurrent", "4"
    )
    assert ran.code == 0, ran.err
    (token,) = ran.out.splitlines()
    path = workspace / "keys.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and token not in path.read_text()
    caller = Authenticator(file=path).authenticate(token)
    assert (caller.name, caller.weight, caller.models, caller.is_admin) == ("line-3", 2.0, {"parts", "lids"}, False)
    assert (caller.quota.max_concurrent, caller.quota.bucket.rate_per_s) == (4, 20.0)  # type: ignore[union-attr]


def test_a_named_file_holds_an_admin(run: Run, tmp_path: Path) -> None:
    made = run("keys", "new", "boss", "--admin", "--file", tmp_path / "k.json", "--json").json
    assert made["name"] == "boss" and made["file"] == str(tmp_path / "k.json")
    assert Authenticator(file=tmp_path / "k.json").authenticate(made["key"]).is_admin


def test_the_list_says_what_keys_may_do_and_never_the_keys(run: Run) -> None:
    tokens = [run("keys", "new", name, "--json").json["key"] for name in ("a", "b")]
    listed = run("keys", "list", "--json")
    assert [key["name"] for key in listed.json["keys"]] == ["a", "b"]
    shown = run("keys", "list").out
    assert "Requests a second" in shown
    for secret in (*tokens, "sha256"):
        assert secret not in listed.out + listed.err + shown


def test_a_removed_key_is_gone(run: Run, workspace: Path) -> None:
    for name in ("a", "b"):
        run("keys", "new", name)
    assert run("keys", "remove", "a", "--json").json["removed"] == "a"
    assert [key["name"] for key in json.loads((workspace / "keys.json").read_text())["keys"]] == ["b"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("new", "a.b"), 2, "dots"),
        (("new", "a/b"), 2, "name"),
        (("new", "x", "--weight", "0"), 2, "weight"),
        (("new", "x", "--requests-per-s", "0"), 2, "rate"),
        (("new", "taken"), 4, "already"),
        (("remove", "absent"), 3, "taken"),
        (("list", "--file", "/nowhere/keys.json"), 3, "cannot read"),
        (("new", "x", "--file", "keys.toml"), 2, "TOML"),
    ],
)
def test_mistakes_are_one_line(run: Run, arguments: tuple[str, ...], code: int, words: str) -> None:
    assert run("keys", "new", "taken").code == 0
    ran = run("keys", *arguments)
    assert ran.code == code, ran.err
    assert words in ran.err and len(ran.err.splitlines()) == 1
    assert ran.out == ""
