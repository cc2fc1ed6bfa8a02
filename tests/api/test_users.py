"""Users over HTTP, as those would try it who must not come in, or not so far."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import httpx
import pytest
from platform_server import Running, run_app
from waiting import wait_until

from sightline.api.accounts import OF_NAME_HERE
from sightline.api.parts import Parts
from sightline.api.server import make_platform, open_parts
from sightline.core.workspace import Workspace

PASSWORDS = {"ada": "correct horse", "eve": "battery staple", "vic": "only looking"}
ROLES = {"ada": "admin", "eve": "editor", "vic": "viewer"}


class Server(NamedTuple):
    """A server with users, and what it works on."""

    running: Running
    parts: Parts

    @property
    def url(self) -> str:
        return self.running.url


@pytest.fixture
def server(workspace: Workspace, cheap_passwords: None) -> Iterator[Server]:
    with open_parts(workspace) as parts:
        for name, role in ROLES.items():
            parts.accounts.users.add(name, role, PASSWORDS[name])  # type: ignore[arg-type]
        with run_app(lambda session: make_platform(parts, session)) as running:
            yield Server(running, parts)


class Browser(httpx.Client):
    """A browser as it asks from our own pages."""

    def __init__(self, server: Server) -> None:
        origin = {"Origin": server.url, "Sec-Fetch-Site": "same-origin"}
        super().__init__(base_url=server.url, headers=origin, trust_env=False, timeout=60)

    def sign_in(self, name: str, password: str, **fields: str) -> httpx.Response:
        return self.post("/sign-in", data={"name": name, "password": password, **fields})

    def read(self, path: str = "/v1/session") -> int:
        return self.get(path).status_code


@pytest.fixture
def browser(server: Server) -> Iterator[Browser]:
    with Browser(server) as browser:
        yield browser


@contextmanager
def come_in(server: Server, name: str) -> Iterator[Browser]:
    with Browser(server) as browser:
        assert browser.sign_in(name, PASSWORDS[name]).status_code == 303
        yield browser


def test_a_user_signs_in_by_name_and_password_and_is_who_they_are(server: Server, browser: Browser) -> None:
    page = browser.get("/datasets/parts", headers={"Sec-Fetch-Site": "none"})
    assert page.status_code == 401 and '<form method="post" action="/sign-in">' in page.text
    assert 'name="page" value="/datasets/parts"' in page.text and "<script" not in page.text
    assert page.headers["referrer-policy"] == "same-origin"  # else the form's Origin would be null
    assert "form-action 'self'" in page.headers["content-security-policy"]
    answer = browser.sign_in("Ada", PASSWORDS["ada"], page="/datasets/parts")
    assert (answer.status_code, answer.headers["location"]) == (303, "/datasets/parts")
    facts = {fact.strip().lower() for fact in answer.headers["set-cookie"].split(";")[1:]}
    assert facts == {"httponly", "samesite=strict", "path=/", f"max-age={30 * 24 * 3600}"}
    told = browser.get("/v1/session").json()
    assert (told["author"], told["role"], told["entry"], told["has_users"]) == ("ada", "admin", "password", True)


def test_an_editor_may_make_datasets_and_a_viewer_may_not(server: Server) -> None:
    with come_in(server, "eve") as eve:
        names = {"name": "bolts"}
        files = [("files", ("a.png", b"no picture", "image/png"))]
        assert eve.post("/v1/datasets", data=names, files=files).status_code == 422  # she may ask
    with come_in(server, "vic") as vic:
        refused = vic.post("/v1/datasets", data=names, files=files)
        assert refused.status_code == 403 and "role editor" in refused.json()["detail"]


def test_whoever_has_the_link_is_an_admin_beside_the_users(server: Server, browser: Browser) -> None:
    browser.get("/", params={"token": server.running.session.token})
    told = browser.get("/v1/session").json()
    assert (told["author"], told["role"], told["entry"]) == ("ada", "admin", "link")
    assert [user["name"] for user in browser.get("/v1/users").json()["users"]] == ["ada", "eve", "vic"]
    for method, path in (("GET", "/v1/keys"), ("POST", "/v1/keys"), ("POST", "/v1/password")):
        body = {"name": "x"} if path == "/v1/keys" else {"present": "x", "wanted": "long enough"}
        assert browser.request(method, path, json=body if method == "POST" else None).status_code == 409


@pytest.mark.parametrize(
    "page", ["//evil.example", "/\\evil.example", "https://evil.example", "", "/\t/evil.example", "/a\r\nX: y"]
)
def test_signing_in_leads_to_no_other_site(browser: Browser, page: str) -> None:
    assert browser.sign_in("ada", PASSWORDS["ada"], page=page).headers["location"] == "/"


def test_a_wrong_name_and_a_wrong_password_are_told_in_the_same_words(server: Server, browser: Browser) -> None:
    server.parts.accounts.users.change(server.parts.accounts.users.find("eve").id, disabled=True)
    server.parts.accounts.users.add("bob", "admin")  # has no password
    pages = []
    for name, password in (("ada", "wrong horse"), ("zed", "wrong horse"), ("eve", PASSWORDS["eve"]), ("bob", "")):
        answer = browser.sign_in(name, password)
        assert answer.status_code == 401 and "set-cookie" not in answer.headers
        assert "Name or password is wrong." in answer.text and "wrong horse" not in answer.text
        pages.append(answer.text.replace(f'value="{name}"', ""))
    assert len(set(pages)) == 1


def test_what_is_typed_into_the_form_is_shown_as_text(browser: Browser) -> None:
    answer = browser.sign_in('"><script>alert(1)</script>', "x", page='/"><script>')
    assert "<script>" not in answer.text and "&lt;script&gt;" in answer.text


def test_guessing_ends_soon_with_a_time_to_wait(browser: Browser) -> None:
    statuses = [browser.sign_in("ada", f"wrong horse {number}").status_code for number in range(int(OF_NAME_HERE.burst))]
    assert set(statuses) == {401}
    answer = browser.sign_in("ada", PASSWORDS["ada"])
    assert answer.status_code == 429 and 1 <= int(answer.headers["retry-after"]) <= OF_NAME_HERE.every_s
    assert browser.sign_in("eve", PASSWORDS["eve"]).status_code == 303


def test_a_huge_password_costs_nothing_and_a_huge_body_is_not_read(browser: Browser) -> None:
    assert browser.sign_in("ada", "x" * 10_000).status_code == 401
    assert browser.sign_in("ada", "x" * 100_000).status_code == 413
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for content in (b"\xff\xfe", "&".join(f"a{n}=1" for n in range(1000)).encode(), b"name=%FF&password=x"):
        assert browser.post("/sign-in", content=content, headers=form).status_code == 400
    assert browser.post("/sign-in", json={"name": "ada", "password": PASSWORDS["ada"]}).status_code == 415


def test_a_cookie_that_was_there_before_is_not_the_one_after(server: Server, browser: Browser) -> None:
    cookie = server.running.session.cookie_name
    browser.cookies.set(cookie, "planted-by-somebody-else", domain="127.0.0.1")
    browser.sign_in("ada", PASSWORDS["ada"])
    first = browser.cookies[cookie]
    assert first != "planted-by-somebody-else"
    browser.sign_in("vic", PASSWORDS["vic"])
    assert browser.cookies[cookie] != first
    with Browser(server) as other:
        other.cookies.set(cookie, first)
        assert other.read() == 401  # what the browser was signed in by before has ended
        other.cookies.set(cookie, "planted-by-somebody-else")
        assert other.read() == 401


def test_signing_out_ends_the_cookie_itself(server: Server) -> None:
    for enter in (lambda browser: browser.sign_in("ada", PASSWORDS["ada"]), lambda browser: browser.get(server.running.link)):
        with Browser(server) as browser:
            enter(browser)
            kept = browser.cookies[server.running.session.cookie_name]
            assert browser.read() == 200
            answer = browser.post("/sign-out")
            assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
            assert server.running.session.cookie_name not in browser.cookies
            browser.cookies.set(server.running.session.cookie_name, kept)
            assert browser.read() == 401


def test_a_page_of_another_site_neither_signs_in_nor_out(server: Server) -> None:
    with come_in(server, "ada") as ada:
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
            foreign = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
            form = {"name": "vic", "password": PASSWORDS["vic"]}
            assert ada.post("/sign-in", data=form, headers=foreign).status_code == 403
            assert ada.post("/sign-out", headers=foreign).status_code == 403
        assert ada.get("/v1/session").json()["author"] == "ada"


def test_a_program_gets_a_token_of_powerai_visions_kind_and_a_page_of_another_site_does_not(server: Server) -> None:
    body = {"grant_type": "password", "username": "vic", "password": PASSWORDS["vic"]}
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as program:
        token = program.post("/api/tokens", json=body).json()["token"]
        told = program.get("/v1/session", headers={"X-Auth-Token": token}).json()
        assert (told["author"], told["role"]) == ("vic", "viewer")
        assert program.post("/api/tokens", json=body, headers={"Origin": "https://evil.example"}).status_code == 403
        assert program.post("/api/datasets", data={"name": "x"}, headers={"X-Auth-Token": token}).status_code == 403


def test_a_link_of_another_site_leads_in_who_is_signed_in(server: Server) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}  # the browser keeps the cookie back
    with Browser(server) as browser:
        page = browser.get("/datasets/parts", headers=foreign)
        assert page.status_code == 401 and '<meta http-equiv="refresh" content="0">' in page.text and "<form" not in page.text


def test_a_role_that_changes_and_a_user_who_is_disabled_are_so_at_once(server: Server) -> None:
    with come_in(server, "ada") as ada, come_in(server, "eve") as eve:
        eve_id = next(user["id"] for user in ada.get("/v1/users").json()["users"] if user["name"] == "eve")
        assert eve.post("/v1/datasets/none/categories", json={"name": "x"}).status_code == 404
        assert ada.patch(f"/v1/users/{eve_id}", json={"role": "viewer"}).json()["role"] == "viewer"
        assert eve.post("/v1/datasets/none/categories", json={"name": "x"}).status_code == 403
        assert ada.patch(f"/v1/users/{eve_id}", json={"disabled": True}).json()["disabled"]
        assert eve.read() == 401 and eve.sign_in("eve", PASSWORDS["eve"]).status_code == 401


def test_the_last_admin_can_neither_step_down_nor_be_disabled(server: Server) -> None:
    with come_in(server, "ada") as ada:
        own = next(user["id"] for user in ada.get("/v1/users").json()["users"] if user["name"] == "ada")
        for change in ({"role": "viewer"}, {"disabled": True}):
            refused = ada.patch(f"/v1/users/{own}", json=change)
            assert refused.status_code == 409 and "last admin" in refused.json()["detail"]
        assert ada.patch("/v1/users/999", json={"role": "viewer"}).status_code == 404


def test_only_admins_see_and_change_users_whatever_they_send(server: Server) -> None:
    for name in ("eve", "vic"):
        with come_in(server, name) as browser:
            own = server.parts.accounts.users.find(name).id
            assert browser.read("/v1/users") == 403
            assert browser.post("/v1/users", json={"name": "mallory", "role": "admin"}).status_code == 403
            assert browser.patch(f"/v1/users/{own}", json={"role": "admin"}).status_code == 403
            assert browser.patch(f"/v1//users/{own}", json={"role": "admin"}).status_code in (403, 404, 405)
            assert browser.post("/v1/session", json={"role": "admin"}).status_code == 405
    assert [user.role for user in server.parts.accounts.users.list()] == ["admin", "editor", "viewer"]


def test_ones_own_password_needs_the_one_that_was_and_ends_what_is_signed_in_elsewhere(server: Server) -> None:
    with come_in(server, "vic") as here, come_in(server, "vic") as elsewhere:
        wrong = here.post("/v1/password", json={"present": "wrong horse", "wanted": "long enough"})
        assert wrong.status_code == 422 and "present" in wrong.json()["detail"]
        short = here.post("/v1/password", json={"present": PASSWORDS["vic"], "wanted": "short"})
        assert short.status_code == 422 and "at least 8" in short.json()["detail"]
        assert elsewhere.read() == 200
        right = {"present": PASSWORDS["vic"], "wanted": "long enough"}
        assert here.post("/v1/password", json=right).status_code == 204
        assert here.read() == 200 and elsewhere.read() == 401
        statuses = {here.post("/v1/password", json=right).status_code for _ in range(10)}
        assert statuses == {422, 429}  # a cookie that was stolen does not help to guess it


def test_a_key_does_what_its_user_may_and_makes_no_other_keys(server: Server) -> None:
    with come_in(server, "eve") as eve:
        made = eve.post("/v1/keys", json={"name": "line 3"}).json()
        assert made["text"].startswith("sightline_") and made["text"] not in eve.get("/v1/keys").text
        program = httpx.Client(base_url=server.url, trust_env=False, timeout=60)
        with program:
            for headers in ({"Authorization": f"Bearer {made['text']}"}, {"X-Auth-Token": made["text"]}):
                told = program.get("/v1/session", headers=headers).json()
                assert (told["author"], told["role"], told["entry"]) == ("eve", "editor", "key")
                assert program.get("/v1/users", headers=headers).status_code == 403
                assert program.post("/v1/keys", json={"name": "another"}, headers=headers).status_code == 409
            eve_id = server.parts.accounts.users.find("eve").id
            server.parts.accounts.users.change(eve_id, disabled=True)
            assert program.get("/v1/session", headers=headers).status_code == 401
            server.parts.accounts.users.change(eve_id, disabled=False)
            assert program.get("/v1/session", headers=headers).status_code == 200
    with come_in(server, "eve") as eve, come_in(server, "ada") as ada:
        assert ada.get("/v1/keys").json() == {"keys": []}
        assert ada.delete(f"/v1/keys/{made['id']}").status_code == 404  # nobody's but hers
        assert eve.delete(f"/v1/keys/{made['id']}").json() == {"keys": []}
        assert httpx.get(f"{server.url}/v1/session", headers=headers, trust_env=False, timeout=60).status_code == 401


def test_a_cookies_secret_is_no_key_and_a_key_no_cookie(server: Server, browser: Browser) -> None:
    cookie = server.running.session.cookie_name
    with come_in(server, "ada") as ada:
        key = ada.post("/v1/keys", json={"name": "line 3"}).json()["text"]
        bearer = {"Authorization": f"Bearer {ada.cookies[cookie]}"}
        assert httpx.get(f"{server.url}/v1/session", headers=bearer, trust_env=False, timeout=60).status_code == 401
    browser.cookies.set(cookie, key)
    assert browser.read() == 401
    browser.cookies.set(cookie, server.running.session.token)
    assert browser.read() == 401


def test_a_stream_ends_when_its_reader_is_disabled(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightline.api.job_events.HEARTBEAT_S", 0.05)
    monkeypatch.setattr("sightline.api.session.LOOKED_AGAIN_S", 0.0)
    job = server.parts.jobs.store.add("train", {"dataset": "none"}, "ada")  # of which the runner is not told
    with come_in(server, "vic") as vic, vic.stream("GET", f"/v1/jobs/{job.id}/events") as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if line == ": still there")
        server.parts.accounts.users.change(server.parts.accounts.users.find("vic").id, disabled=True)
        ended = threading.Event()

        def read_on() -> None:
            for _ in lines:
                pass
            ended.set()

        reader = threading.Thread(target=read_on)
        reader.start()
        wait_until(ended.is_set)
        reader.join()
    wait_until(lambda: server.parts.jobs.listener_count == 0)  # the server does not go on for nobody


def test_names_that_cannot_be_seen_are_refused_over_http(server: Server) -> None:
    with come_in(server, "ada") as ada:
        for name in ("", "a\u202eb", "a\x00b", " ada", "x" * 101, "ADA"):
            refused = ada.post("/v1/users", json={"name": name, "role": "viewer"})
            assert refused.status_code in (409, 422), name
        content = b'{"name": "\\ud800", "role": "viewer"}'
        assert ada.post("/v1/users", content=content, headers={"Content-Type": "application/json"}).status_code == 422
        assert ada.post("/v1/users", json={"name": "bob", "role": "root"}).status_code == 422
        assert ada.post("/v1/users", json={"name": "bob", "role": "viewer", "password": "x" * 2000}).status_code == 422
        bob = ada.post("/v1/users", json={"name": "Bo\u0308b", "role": "viewer", "password": "long enough"})
        assert bob.status_code == 201 and bob.json()["name"] == "B\u00f6b" and "long enough" not in bob.text


def test_two_cookies_of_one_name_and_damaged_ones_open_nothing(server: Server) -> None:
    name = server.running.session.cookie_name.encode()
    for cookie in (name + b"=\xff\xfe", name + b"=a; " + name + b"=b", b";;;=" + name, name * 4000):
        with socket.create_connection(("127.0.0.1", server.running.session.port)) as connection:
            host = f"127.0.0.1:{server.running.session.port}".encode()
            connection.sendall(b"GET /v1/session HTTP/1.1\r\nHost: " + host + b"\r\nCookie: " + cookie + b"\r\n\r\n")
            assert b" 200 " not in connection.recv(100).split(b"\r\n")[0]


def test_what_a_viewer_reads_of_the_session_holds_no_secret(server: Server) -> None:
    with come_in(server, "vic") as vic:
        told = vic.get("/v1/session").text
        assert server.running.session.token not in told and "secret" not in told
        assert set(json.loads(told)) == {"author", "role", "entry", "has_users", "version", "workspace"}
