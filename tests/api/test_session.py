from collections.abc import Iterator

import httpx
import pytest
from platform_server import Running, answer_lifespan, run_app
from starlette.types import Receive, Scope, Send

from sightline.api.session import Session, SessionGuard
from sightline.core.errors import InvalidInput


async def let_in(scope: Scope, receive: Receive, send: Send) -> None:
    """The application behind the guard."""
    if scope["type"] == "lifespan":
        await answer_lifespan(receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"in"})


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with run_app(lambda session: SessionGuard(let_in, session)) as running:
        yield running


def sign_in(client: httpx.Client, running: Running) -> httpx.Response:
    return client.get(f"{running.url}/", params={"token": running.session.token})


def test_the_link_becomes_a_cookie_that_no_script_and_no_other_site_gets(client: httpx.Client, running: Running) -> None:
    answer = sign_in(client, running)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    facts = {fact.strip().lower() for fact in answer.headers["set-cookie"].split(";")[1:]}
    assert facts == {"httponly", "samesite=strict", "path=/"}
    assert running.session.token not in answer.headers["set-cookie"]
    assert client.get(f"{running.url}/").text == "in"  # the client sends the cookie


def test_two_servers_of_this_machine_do_not_take_each_others_cookies(client: httpx.Client, running: Running) -> None:
    sign_in(client, running)  # browsers send it to every port of 127.0.0.1
    with run_app(lambda session: SessionGuard(let_in, session)) as other:
        assert client.get(f"{other.url}/v1/session").status_code == 401
        sign_in(client, other)
        assert client.get(f"{other.url}/v1/session").text == client.get(f"{running.url}/v1/session").text == "in"


@pytest.mark.parametrize("given", ["wrong", "é", "a" * 10_000])
def test_another_token_opens_nothing(client: httpx.Client, running: Running, given: str) -> None:
    answer = client.get(f"{running.url}/", params={"token": given})
    assert answer.status_code == 401 and "set-cookie" not in answer.headers
    refused = client.get(f"{running.url}/v1/session", headers={"Authorization": f"Bearer {given}".encode()})
    assert refused.status_code == 401
    cookie = f"{running.session.cookie_name}={given}".encode()
    assert client.get(f"{running.url}/v1/session", headers={"Cookie": cookie}).status_code == 401


def test_without_a_session_the_page_says_how_to_get_the_link_and_not_the_token(client: httpx.Client, running: Running) -> None:
    for path in ("/", "/datasets/parts", "/assets/index.js"):
        page = client.get(f"{running.url}{path}")
        assert page.status_code == 401 and page.headers["content-type"].startswith("text/html")
        assert "sightline up" in page.text
        assert running.session.token not in page.text
    problem = client.get(f"{running.url}/v1/datasets")
    assert problem.headers["content-type"] == "application/problem+json" and problem.headers["www-authenticate"] == "Bearer"
    assert problem.json()["status"] == 401 and "Bearer TOKEN" in problem.json()["detail"]


@pytest.mark.parametrize(
    "host", ["evil.example:{port}", "127.0.0.1", "127.0.0.1:{other}", "127.0.0.1.evil.example:{port}", "0.0.0.0:{port}", ""]
)
def test_a_host_that_is_no_loopback_name_with_our_port_is_refused(client: httpx.Client, running: Running, host: str) -> None:
    given = host.format(port=running.session.port, other=running.session.port + 1)
    answer = client.get(f"{running.url}/v1/session", headers={**running.bearer, "Host": given})
    assert answer.status_code == 400 and "Host" in answer.json()["detail"]


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_a_loopback_name_with_our_port_is_ours(client: httpx.Client, running: Running, host: str) -> None:
    given = host.format(port=running.session.port)
    assert client.get(f"{running.url}/v1/session", headers={**running.bearer, "Host": given}).text == "in"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_changes_something_must_come_from_our_own_pages(client: httpx.Client, running: Running, method: str) -> None:
    sign_in(client, running)

    def ask(**headers: str) -> int:
        return client.request(method, f"{running.url}/v1/datasets", headers=headers).status_code

    own = running.url
    assert ask(Origin=own) == 200
    assert ask(**{"Sec-Fetch-Site": "same-origin"}) == 200
    foreign = ("https://evil.example", "null", own.replace("http:", "https:"), f"{own}0", "http://localhost:1", "")
    assert [ask(Origin=origin) for origin in foreign] == [403] * len(foreign)
    assert ask(Origin="https://evil.example", **{"Sec-Fetch-Site": "same-origin"}) == 403
    sites = ("cross-site", "same-site", "none")  # another port of this machine is the same site
    assert [ask(**{"Sec-Fetch-Site": site}) for site in sites] == [403] * len(sites)
    assert ask() == 403  # a cookie alone does not say whose page asked


def test_programs_need_no_origin_but_may_not_have_a_foreign_one(client: httpx.Client, running: Running) -> None:
    assert client.post(f"{running.url}/v1/datasets", headers=running.bearer).text == "in"
    foreign = {**running.bearer, "Origin": "https://evil.example"}
    assert client.post(f"{running.url}/v1/datasets", headers=foreign).status_code == 403
    assert client.post(f"{running.url}/v1/datasets", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_who_shows_nothing_is_a_stranger_and_no_page(client: httpx.Client, running: Running) -> None:
    assert client.post(f"{running.url}/v1/datasets").status_code == 401  # a program that signs in begins so
    for origin in ("https://evil.example", "null"):
        assert client.post(f"{running.url}/v1/datasets", headers={"Origin": origin}).status_code == 403
    assert client.post(f"{running.url}/v1/datasets", headers={"Cookie": "some=thing"}).status_code == 403


def test_every_answer_carries_what_keeps_pages_apart(client: httpx.Client, running: Running) -> None:
    answers = [
        client.get(f"{running.url}/"),
        client.get(f"{running.url}/v1/datasets", headers=running.bearer),
        client.get(f"{running.url}/", headers={"Host": "evil.example"}),
        client.get(f"{running.url}/", params={"token": running.session.token}),
    ]
    for answer in answers:
        policy = dict(rule.strip().split(" ", 1) for rule in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'"
        if answer.headers.get("content-type", "").startswith("text/html"):  # a notice, whole by itself
            assert set(policy) == {"default-src", "style-src", "base-uri", "form-action", "frame-ancestors"}
            assert policy["style-src"].startswith("'sha256-")
        else:
            assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
            assert policy["img-src"] == "'self' blob: data:"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers and "server" not in answer.headers


def test_secrets_are_new_each_time_and_not_shown() -> None:
    first, second = (Session(port=8000, author="ada") for _ in range(2))
    made = {first.token, second.token, first.open(), first.open(), second.open()}
    assert len(made) == 5 and all(len(secret) >= 43 for secret in made)  # 256 bits
    assert not any(secret in repr(first) + str(first) for secret in made)


@pytest.mark.parametrize("author", ["x" * 201, "\udc80"])
def test_an_author_whom_the_journal_cannot_name_is_refused_at_the_start(author: str) -> None:
    with pytest.raises(InvalidInput, match="expected an author's name"):
        Session(port=8000, author=author)


def test_a_client_of_powerai_vision_shows_the_token_in_its_own_header(client: httpx.Client, running: Running) -> None:
    known = {"X-Auth-Token": running.session.token}
    assert client.get(f"{running.url}/api/datasets", headers=known).text == "in"
    assert client.post(f"{running.url}/api/datasets", headers=known).text == "in"  # no page of another site can send it
    for given in ("wrong", ""):
        refused = client.get(f"{running.url}/api/datasets", headers={"X-Auth-Token": given})
        assert refused.status_code == 401 and refused.headers["content-type"] == "application/json"
        told = refused.json()
        assert (told["result"], told["fault"]) == ("fail", "Failed to parse token.")
    elsewhere = client.get(f"{running.url}/api/datasets", headers={**known, "Host": "evil.example"})
    assert elsewhere.status_code == 400 and "Host" in elsewhere.json()["fault"]
