import hashlib
import json
import logging
from pathlib import Path

import msgspec
import pytest

from sightline.core.errors import InvalidInput, NotFound
from sightline.serving.http.keys import Authenticator, KeyRecord, create_key, read_key_file, read_key_line, read_token
from sightline.serving.http.refusals import Refusal


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def write_keys(path: Path, *records: KeyRecord) -> Path:
    path.write_bytes(msgspec.json.encode({"keys": records}))
    return path


def test_a_new_key_opens_and_its_record_does_not_hold_it() -> None:
    token, record = create_key("camera-1")
    assert token.startswith("sk.camera-1.") and len(token) >= len("sk.camera-1.") + 43  # 32 bytes in base64
    assert token.split(".")[2] not in record.hash
    caller = Authenticator([record]).authenticate(token)
    assert (caller.name, caller.is_admin, caller.models) == ("camera-1", False, None)


def test_two_keys_of_a_name_share_nothing() -> None:
    (first, one), (second, two) = create_key("a"), create_key("a")
    assert first != second and one.hash != two.hash
    with pytest.raises(Refusal):
        Authenticator([one]).authenticate(second)


def test_the_hash_is_sha256_of_salt_and_key() -> None:
    token, record = create_key("a")
    _, salt, digest = record.hash.split(":")
    assert hashlib.sha256(bytes.fromhex(salt) + token.encode()).hexdigest() == digest


@pytest.mark.parametrize(
    "token", [None, "", "x", "sk.a", "sk.a.", "sk.a.wrong", "sk.b.wrong", "sk..", "a.b.c.d", "sk.a.\xff", "é"]
)
def test_other_keys_are_401_with_a_challenge(token: str | None) -> None:
    with pytest.raises(Refusal) as refused:
        Authenticator([create_key("a")[1]]).authenticate(token)
    assert refused.value.status == 401
    assert refused.value.headers["WWW-Authenticate"].startswith("Bearer")


def test_an_unknown_name_and_a_wrong_secret_read_the_same() -> None:
    authenticator = Authenticator([create_key("a")[1]])
    details = []
    for token in ("sk.a.wrong", "sk.nobody.wrong"):
        with pytest.raises(Refusal) as refused:
            authenticator.authenticate(token)
        details.append(refused.value.detail)
    assert details[0] == details[1]


def test_without_keys_everybody_may_do_everything() -> None:
    authenticator = Authenticator()
    assert not authenticator.has_keys
    caller = authenticator.authenticate(None)
    caller.check_admin()
    caller.check_model("any")
    assert caller.name == ""


def test_a_file_without_keys_lets_nobody_in(tmp_path: Path) -> None:
    authenticator = Authenticator(file=write_keys(tmp_path / "keys.json"))
    with pytest.raises(Refusal, match="expected an API key"):
        authenticator.authenticate(None)


def test_rights_are_the_records() -> None:
    token, record = create_key("a")
    restricted = msgspec.structs.replace(record, models=("parts",), weight=3.0)
    authenticator = Authenticator([restricted])
    caller = authenticator.authenticate(token)
    caller.check_model("parts")
    with pytest.raises(Refusal) as refused:
        caller.check_model("secret")
    assert refused.value.status == 403
    with pytest.raises(Refusal, match="admin key"):
        caller.check_admin()
    assert authenticator.weights() == {"a": 3.0}


@pytest.mark.parametrize(
    ("authorization", "x_api_key", "token"),
    [
        ("Bearer sk.a.b", None, "sk.a.b"),
        ("bearer  sk.a.b ", "other", "sk.a.b"),
        ("Basic sk.a.b", "other", "other"),
        ("Bearer", "other", "other"),
        ("", "other", "other"),
        ("", None, None),
    ],
)
def test_a_token_stands_in_one_of_two_headers(authorization: str, x_api_key: str | None, token: str | None) -> None:
    assert read_token(authorization, x_api_key) == token


def test_keys_stand_in_json_and_toml(tmp_path: Path) -> None:
    _, record = create_key("a")
    written = msgspec.structs.replace(record, requests_per_s=2.5, is_admin=True)
    toml = tmp_path / "keys.toml"
    toml.write_text(f'[[keys]]\nname = "a"\nhash = "{record.hash}"\nrequests_per_s = 2.5\nis_admin = true\n')
    assert read_key_file(toml) == read_key_file(write_keys(tmp_path / "keys.json", written)) == (written,)


def test_keys_stand_in_one_line() -> None:
    (_, one), (token, two) = create_key("a"), create_key("b")
    records = read_key_line(f" a={one.hash} , b={two.hash},")
    assert records == (one, two)
    assert Authenticator(records).authenticate(token).name == "b"
    assert read_key_line("") == ()


@pytest.mark.parametrize(
    "line", ["a", "a=", "a=md5:00:00", "a=sha256:00:zz", "a=sha256::" + "0" * 64, "a.b=sha256:00:" + "0" * 64, "=sha256:00:00"]
)
def test_lines_that_hold_no_keys_are_refused(line: str) -> None:
    with pytest.raises(InvalidInput):
        read_key_line(line)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"keys": 3}',
        b'{"keys": [{"name": "a"}]}',
        b'{"keys": [{"name": "a", "hash": "x", "colour": "red"}]}',
        b"\xff\xfe",
    ],
)
def test_files_that_hold_no_keys_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="no file of API keys"):
        read_key_file(path)
    with pytest.raises(NotFound):
        read_key_file(tmp_path / "absent.json")


def test_a_name_that_stands_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="twice"):
        Authenticator([create_key("a")[1], create_key("a")[1]])


@pytest.mark.parametrize(
    "change",
    [
        {"weight": 0.0},
        {"weight": float("nan")},
        {"weight": float("inf")},
        {"max_concurrent": 0},
        {"requests_per_s": 0.0},
        {"requests_per_s": float("inf")},
        {"requests_per_s": 1.0, "burst": float("inf")},
        {"burst": 0.5},
        {"burst": float("nan")},
    ],
)
def test_limits_that_are_none_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        Authenticator([msgspec.structs.replace(create_key("a")[1], **change)])


def test_a_file_that_could_not_be_read_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock, path = Clock(), tmp_path / "keys.json"
    (token, first), (_, second) = create_key("first"), create_key("second")
    authenticator = Authenticator(file=write_keys(path, first), clock=clock)
    write_keys(tmp_path / "new.json", second).replace(path)  # the first is revoked

    def refuse(path: Path) -> None:
        raise InvalidInput("permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("sightline.serving.http.keys.read_key_file", refuse)
        for _ in range(3):
            clock.now_s += 1
            assert authenticator.authenticate(token).name == "first"
    assert caplog.text.count("permission denied") == 1
    clock.now_s += 1
    with pytest.raises(Refusal):
        authenticator.authenticate(token)


def test_a_changed_file_is_read_again_and_a_broken_one_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, path = Clock(), tmp_path / "keys.json"
    (first_token, first), (second_token, second) = create_key("first"), create_key("second")
    authenticator = Authenticator(file=write_keys(path, first), clock=clock)
    running = authenticator.authenticate(first_token)
    running.quota.begin()

    write_keys(tmp_path / "new.json", first, second).replace(path)
    with pytest.raises(Refusal):
        authenticator.authenticate(second_token)  # it was looked at a moment ago
    clock.now_s += 1
    assert authenticator.authenticate(second_token).name == "second"
    assert authenticator.authenticate(first_token) is running  # what runs is not forgotten

    (tmp_path / "broken.json").write_text(json.dumps({"keys": 3}))
    (tmp_path / "broken.json").replace(path)
    clock.now_s += 1
    assert authenticator.authenticate(second_token).name == "second"
    assert "stay as they were" in caplog.text

    path.unlink()
    clock.now_s += 1
    assert authenticator.authenticate(second_token).name == "second"

    write_keys(path, second)
    clock.now_s += 1
    with pytest.raises(Refusal):
        authenticator.authenticate(first_token)


def test_a_file_that_cannot_be_applied_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock, path = Clock(), tmp_path / "keys.toml"
    (token, record), (fresh_token, fresh) = create_key("old"), create_key("fresh")
    path.write_text(f'[[keys]]\nname = "old"\nhash = "{record.hash}"\n')
    told: list[dict[str, float]] = []
    authenticator = Authenticator(file=path, on_change=lambda: told.append(authenticator.weights()), clock=clock)
    before = authenticator.authenticate(token)
    path.write_text(f'[[keys]]\nname = "fresh"\nhash = "{fresh.hash}"\nweight = inf\n')
    clock.now_s += 1
    assert authenticator.authenticate(token) is before and told == []
    with pytest.raises(Refusal):
        authenticator.authenticate(fresh_token)
    assert "stay as they were" in caplog.text
    path.write_text(f'[[keys]]\nname = "fresh"\nhash = "{fresh.hash}"\nweight = 2\n')
    clock.now_s += 1
    assert authenticator.authenticate(fresh_token).weight == 2 and told == [{"fresh": 2.0}]
    with pytest.raises(Refusal):
        authenticator.authenticate(token)


def test_toml_that_is_empty_for_a_moment_locks_nobody_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "sightline")  # other packages turn the root logger down, and leave it so
    clock, path = Clock(), tmp_path / "keys.toml"
    token, record = create_key("a")
    content = f'[[keys]]\nname = "a"\nhash = "{record.hash}"\n'
    path.write_text(content)
    authenticator = Authenticator(file=path, clock=clock)
    path.write_text("")  # as an editor does that rewrites it in place
    for _ in range(4):
        clock.now_s += 1
        assert authenticator.authenticate(token).name == "a"
    assert caplog.text.count("holds none") == 1
    path.write_text(content)
    clock.now_s += 5
    assert authenticator.authenticate(token).name == "a"
    path.write_text("")  # and stays so: nobody is to come in
    clock.now_s += 1
    assert authenticator.authenticate(token).name == "a"
    clock.now_s += 5
    with pytest.raises(Refusal):
        authenticator.authenticate(token)


def test_a_caller_of_before_gets_the_limits_of_today_while_its_key_is_the_same(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "keys.json"
    token, record = create_key("a")
    authenticator = Authenticator(file=write_keys(path, record), clock=clock)
    caller = authenticator.authenticate(token)
    assert authenticator.renew(caller) is caller
    for records, models in (
        ((msgspec.structs.replace(record, models=("parts",)),), frozenset(("parts",))),
        ((create_key("a")[1],), "gone"),  # the name stays, the key is another
        ((), "gone"),
    ):
        write_keys(tmp_path / "new.json", *records).replace(path)
        clock.now_s += 1
        authenticator.look_at_file()
        renewed = authenticator.renew(caller)
        assert ("gone" if renewed is None else renewed.models) == models


def test_the_rate_of_a_key_is_its_own() -> None:
    clock = Clock()
    (slow_token, slow), (other_token, other) = create_key("slow"), create_key("other")
    limited = msgspec.structs.replace(slow, requests_per_s=1.0, burst=1.0)
    authenticator = Authenticator([limited, other], clock=clock)
    authenticator.authenticate(slow_token).quota.spend()
    with pytest.raises(Refusal, match="1 requests a second"):
        authenticator.authenticate(slow_token).quota.spend()
    authenticator.authenticate(other_token).quota.spend()
