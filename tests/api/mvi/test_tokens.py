import httpx
from platform_server import Running
from vapi.base import Base

from sightline.api.parts import Parts

PASSWORD = "correct horse battery"


def connect(running: Running, token: str) -> Base:
    return Base(base_uri=running.url, token=token)


def test_a_password_becomes_a_token_of_its_user(running: Running, running_parts: Parts) -> None:
    eve = running_parts.accounts.users.add("eve", "viewer", PASSWORD)
    stranger = connect(running, "")
    token = stranger.users.get_token("eve", PASSWORD)["token"]
    known = connect(running, token)
    assert known.server.get(f"/users/{token}") == {"username": "eve", "role": "viewer", "result": "success"}
    assert [row["name"] for row in known.datasets.report()] == ["parts"]
    assert known.datasets.create("mine") is None and known.status_code() == 403
    assert "eve" in known.json()["fault"]
    running_parts.accounts.users.change(eve.id, disabled=True)
    assert known.datasets.report() is None and known.json()["fault"] == "Failed to parse token."


def test_an_api_key_is_a_token_too(running: Running, running_parts: Parts) -> None:
    eve = running_parts.accounts.users.add("eve", "editor", PASSWORD)
    _, text = running_parts.accounts.keys.add(eve.id, "script")
    editor = connect(running, text)
    assert editor.datasets.create("mine")["result"] == "success"
    assert editor.datasets.report()[0]["owner"] == "eve"


def test_a_wrong_password_and_what_is_no_request_get_no_token(running: Running, running_parts: Parts) -> None:
    running_parts.accounts.users.add("eve", "editor", PASSWORD)
    stranger = connect(running, "")
    for name, password in (("eve", "wrong"), ("nobody", PASSWORD)):
        assert stranger.users.get_token(name, password) is None
        assert stranger.status_code() == 401 and stranger.json()["fault"] == "name or password is wrong"
    for body in ({"username": "eve"}, {"username": "eve", "password": PASSWORD, "grant_type": "key"}, [], "x" * 20_000):
        assert stranger.server.post("/tokens", json=body) is None
        assert stranger.status_code() in (400, 413) and stranger.json()["result"] == "fail"
    deep = b'{"x":' + b"[" * 8000 + b"]" * 8000 + b"}"
    refused = httpx.post(f"{running.url}/api/tokens", content=deep, headers={"X-Auth-Token": ""}, trust_env=False, timeout=60)
    assert refused.status_code == 400 and refused.json()["result"] == "fail"
    for _ in range(10):
        stranger.users.get_token("eve", "wrong")
    assert stranger.status_code() == 429 and "wait" in stranger.json()["fault"]
    assert int(stranger.raw_http_response().headers["retry-after"]) >= 1


def test_without_users_nobody_gets_a_token(running: Running) -> None:
    assert connect(running, "x").users.get_token("ada", PASSWORD) is None
