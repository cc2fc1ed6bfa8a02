import asyncio
import json
import threading
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from http_server import connect, serve_app
from starlette.types import Message
from waiting import wait_until

from sightline.core.errors import QueueFull
from sightline.serving.http.connections.exchange import NOBODY_WAITS
from sightline.serving.http.guard import Guard, find_need, is_loopback_address, strip_port
from sightline.serving.http.keys import Authenticator, create_key, find_caller
from sightline.serving.http.limits import TokenBucket
from sightline.serving.http.request_record import RequestRecord

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class App:
    """Answers 200 with who came in; waits while `gate` is set to an unset event."""

    def __init__(self) -> None:
        self.gate: asyncio.Event | None = None
        self.calls = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        self.scope = scope
        if self.gate is not None:
            await self.gate.wait()
        body = json.dumps({"tenant": find_caller(scope).name}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})


class Answer(msgspec.Struct):
    status: int
    headers: dict[str, str]
    body: Any


async def ask(guard: Guard, path: str = "/predict/parts", method: str = "POST", kind: str = "http", **headers: str) -> Answer:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    given = {"host": "localhost:8000", "content-length": "3"} | {name.replace("_", "-"): text for name, text in headers.items()}
    remote = given.pop("remote", "127.0.0.1")
    raw = [(name.encode(), text.encode("latin-1")) for name, text in given.items()]
    await guard({"type": kind, "method": method, "path": path, "headers": raw, "client": (remote, 5)}, receive, send)
    assert all(message["type"].startswith(("http.", "websocket.http.")) for message in sent)
    body = sent[1]["body"]
    named = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], named, json.loads(body) if body else None)


def ask_once(guard: Guard, path: str = "/predict/parts", method: str = "POST", kind: str = "http", **headers: str) -> Answer:
    return asyncio.run(ask(guard, path, method, kind, **headers))


def test_answers_carry_the_security_headers_and_a_request_id() -> None:
    answer = ask_once(Guard(App()))
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert ask_once(Guard(App()), x_request_id="order-7").headers["x-request-id"] == "order-7"
    forged = ask_once(Guard(App()), x_request_id='x" evil').headers["x-request-id"]
    assert "evil" not in forged and forged


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:80"])
def test_hosts_of_ours_are_served(host: str) -> None:
    assert ask_once(Guard(App(), allowed_hosts=LOOPBACK), host=host).status == 200


@pytest.mark.parametrize("host", ["[2001:db8::1]", "[2001:DB8:0:0::1]:8000", "vision.example.", "Vision.example:80"])
def test_any_spelling_of_a_named_host_is_answered(host: str) -> None:
    allowed = frozenset({"2001:db8::1", "vision.example"})
    assert ask_once(Guard(App(), allowed_hosts=allowed), host=host).status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "", "[::2]"])
def test_foreign_hosts_are_400(host: str) -> None:
    app = App()
    answer = ask_once(Guard(app, allowed_hosts=LOOPBACK), host=host)
    assert (answer.status, app.calls) == (400, 0)
    assert answer.body["status"] == 400
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_health_check_in_http_1_0_needs_no_host() -> None:
    def ask_without_host(path: str, version: str) -> int:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "http_version": version, "method": "GET", "path": path, "headers": [], "client": ("::1", 5)}
        asyncio.run(Guard(App(), allowed_hosts=LOOPBACK)(scope, None, send))  # type: ignore[arg-type]
        return int(sent[0]["status"])

    assert ask_without_host("/health", "1.0") == 200
    assert ask_without_host("/predict/parts", "1.0") == 400
    assert ask_without_host("/health", "1.1") == 400


def test_pages_of_other_sites_may_look_but_not_act() -> None:
    guard = Guard(App(), allowed_origins=frozenset({"https://lab.example/"}))
    assert ask_once(guard, origin="http://localhost:8000").status == 200
    assert ask_once(guard, origin="https://lab.example").status == 200
    for origin in ("http://evil.example", "null", "http://localhost:9999", ""):
        assert ask_once(guard, origin=origin).status == 403
        assert ask_once(guard, method="GET", origin=origin).status == 200
        assert ask_once(guard, "/v2/streams/1", method="GET", kind="websocket", origin=origin).status == 403


GOOD = "https://lab.example"
CROSS_ORIGIN = {
    "access-control-allow-origin": GOOD,
    "vary": "Origin",
    "access-control-expose-headers": "x-request-id, retry-after, inference-header-content-length",
    "cross-origin-resource-policy": "cross-origin",
}


def test_every_answer_to_a_listed_page_may_be_read_by_it_alone() -> None:
    _, record = create_key("line-3")
    guards = [Guard(App(), authenticator=keys, allowed_origins=frozenset({GOOD})) for keys in (None, Authenticator([record]))]
    for guard, status in zip(guards, (200, 401), strict=True):
        for method in ("POST", "GET"):
            answer = ask_once(guard, method=method, origin=GOOD)
            assert answer.status == status
            assert answer.headers.items() >= CROSS_ORIGIN.items()
            assert answer.headers["content-security-policy"] and answer.headers["x-content-type-options"] == "nosniff"
            assert not {"access-control-allow-credentials", "access-control-allow-methods"} & answer.headers.keys()


def test_answers_to_other_pages_our_own_and_no_page_are_as_ever() -> None:
    without = Guard(App())
    guard = Guard(App(), allowed_origins=frozenset({GOOD}))
    for origin in (None, "http://localhost:8000", "https://evil.example", "https://lab.example.evil.example", "null"):
        for method in ("POST", "GET", "OPTIONS"):
            headers = {"x_request_id": "1", "access_control_request_method": "POST"} | ({"origin": origin} if origin else {})
            answer = ask_once(guard, method=method, **headers)
            assert answer == ask_once(without, method=method, **headers)
            assert not [name for name in answer.headers if name.startswith("access-control-")]
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_a_browser_s_question_is_answered_before_a_key_is_asked_for() -> None:
    app, told = App(), list[RequestRecord]()
    keys = Authenticator([create_key("line-3")[1]])
    guard = Guard(
        app, authenticator=keys, allowed_origins=frozenset({GOOD}), bucket=TokenBucket(1, 1, Clock()), observers=(told.append,)
    )
    for _ in range(3):
        answer = ask_once(guard, method="OPTIONS", origin=GOOD, access_control_request_method="POST")
        assert (answer.status, answer.body) == (204, None)
        assert answer.headers.items() >= CROSS_ORIGIN.items()
        assert answer.headers["access-control-allow-methods"] == "GET, POST, DELETE"
        allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
        assert {"authorization", "x-api-key", "content-type", "inference-header-content-length"} <= set(allowed)
        assert int(answer.headers["access-control-max-age"]) > 0
        assert not {"access-control-allow-credentials", "content-length"} & answer.headers.keys()
    assert app.calls == 0
    assert [(record.method, record.status, record.tenant) for record in told] == [("OPTIONS", 204, "")] * 3
    assert ask_once(guard, method="OPTIONS", origin=GOOD).status == 401  # no such question
    assert ask_once(guard, method="OPTIONS", origin="https://evil.example", access_control_request_method="POST").status == 401


def test_keys_come_as_bearer_or_x_api_key() -> None:
    token, record = create_key("line-3")
    guard = Guard(App(), authenticator=Authenticator([record]))
    assert ask_once(guard, authorization=f"Bearer {token}").body == {"tenant": "line-3"}
    assert ask_once(guard, authorization=f"bearer  {token} ").body == {"tenant": "line-3"}
    assert ask_once(guard, x_api_key=token).body == {"tenant": "line-3"}
    for headers in ({}, {"authorization": token}, {"authorization": "Basic x"}, {"x_api_key": token + "x"}):
        answer = ask_once(guard, **headers)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_refusals_below_v2_have_that_protocols_form() -> None:
    guard = Guard(App(), authenticator=Authenticator([create_key("a")[1]]))
    assert set(ask_once(guard, "/v2/models/parts/infer").body) == {"error"}
    for path in ("/predict/parts", "/v2/streams", "/v2/streams/7", "/v2streams"):
        assert set(ask_once(guard, path).body) == {"type", "title", "status", "detail"}


@pytest.mark.parametrize("path", ["/health", "/v2/health/live", "/v2/health/ready", "/", "/docs", "/openapi.json"])
def test_health_and_pages_need_no_key(path: str) -> None:
    assert ask_once(Guard(App(), authenticator=Authenticator([create_key("a")[1]])), path, "GET").body == {"tenant": ""}


def test_metrics_need_a_key_but_from_this_machine() -> None:
    token, record = create_key("prometheus")
    guard = Guard(App(), authenticator=Authenticator([record]))
    assert ask_once(guard, "/metrics", "GET").status == 200
    assert ask_once(guard, "/metrics", "GET", remote="10.0.0.7").status == 401
    assert ask_once(guard, "/metrics", "GET", remote="10.0.0.7", x_api_key=token).status == 200
    behind_proxy = Guard(App(), authenticator=Authenticator([record]), has_open_metrics=False)
    assert ask_once(behind_proxy, "/metrics", "GET").status == 401
    assert ask_once(behind_proxy, "/metrics", "GET", x_api_key=token).status == 200


def test_metrics_are_not_for_keys_of_some_models() -> None:
    (token, record), (admin_token, admin) = create_key("a"), create_key("admin")
    keys = [msgspec.structs.replace(one, models=("parts",), is_admin=one is admin) for one in (record, admin)]
    guard = Guard(App(), authenticator=Authenticator(keys), has_open_metrics=False)
    refused = ask_once(guard, "/metrics", "GET", x_api_key=token)
    assert refused.status == 403 and "/metrics tells of all" in refused.body["detail"]
    assert ask_once(guard, "/metrics", "GET", x_api_key=admin_token).status == 200


def test_a_key_of_some_models_reaches_no_other() -> None:
    token, record = create_key("a")
    guard = Guard(App(), authenticator=Authenticator([msgspec.structs.replace(record, models=("parts",))]))
    for path in ("/predict/parts", "/v2/models/parts/infer", "/v2/models/parts/versions/1/infer", "/v2/models/stats", "/v2"):
        assert ask_once(guard, path, x_api_key=token).status == 200, path
    for path in (
        "/predict/secret",
        "/v2/models/secret/infer",
        "/v2/models/secret",
        "/deployments/secret",
        "/v2/models/stats/infer",
    ):
        assert ask_once(guard, path, "GET", x_api_key=token).status == 403, path


def test_only_admin_keys_change_what_the_server_does() -> None:
    (user_token, user), (admin_token, admin) = create_key("user"), create_key("admin")
    guard = Guard(App(), authenticator=Authenticator([user, msgspec.structs.replace(admin, is_admin=True)]))
    for path in ("/v2/repository/models/parts/load", "/v2/repository/models/parts/unload", "/deployments/parts/reload"):
        assert ask_once(guard, path, x_api_key=user_token).status == 403
        assert ask_once(guard, path, x_api_key=admin_token).status == 200
        assert ask_once(Guard(App()), path).status == 200  # a server without keys
    assert ask_once(guard, "/v2/repository/index", x_api_key=user_token).status == 200


def test_a_keys_requests_at_once_are_counted_and_given_back() -> None:
    token, record = create_key("a")
    app = App()
    guard = Guard(app, authenticator=Authenticator([msgspec.structs.replace(record, max_concurrent=1)]))

    async def scenario() -> list[int]:
        app.gate = asyncio.Event()
        first = asyncio.create_task(ask(guard, x_api_key=token))
        while not app.calls:
            await asyncio.sleep(0)
        refused = await ask(guard, x_api_key=token)
        assert refused.headers["retry-after"] == "1"
        first.cancel()  # the client hangs up
        await asyncio.gather(first, return_exceptions=True)
        app.gate.set()
        return [refused.status, (await ask(guard, x_api_key=token)).status]

    assert asyncio.run(scenario()) == [429, 200]


def test_the_servers_rate_is_503_with_the_time_to_wait_and_spares_health() -> None:
    clock = Clock()
    guard = Guard(App(), bucket=TokenBucket(0.5, clock=clock))
    assert ask_once(guard).status == 200
    refused = ask_once(guard)
    assert (refused.status, refused.headers["retry-after"]) == (503, "2")
    for path in ("/health", "/metrics"):  # what shows that the server is at its limit
        assert ask_once(guard, path, "GET").status == 200
    clock.now_s += 2
    assert ask_once(guard).status == 200


def test_a_key_beyond_its_own_limits_does_not_spend_what_all_may_send() -> None:
    clock, told = Clock(), list[RequestRecord]()
    (greedy, first), (modest, second) = create_key("greedy"), create_key("modest")
    keys = Authenticator([msgspec.structs.replace(first, requests_per_s=1.0), second], clock=clock)
    guard = Guard(App(), authenticator=keys, bucket=TokenBucket(0.5, burst=2, clock=clock), observers=[told.append])
    assert [ask_once(guard, x_api_key=greedy).status for _ in range(5)] == [200, 429, 429, 429, 429]
    assert [ask_once(guard, x_api_key=modest).status for _ in range(2)] == [200, 503]
    assert [record.tenant for record in told] == ["greedy"] * 5 + ["modest"] * 2  # also of those that were refused
    clock.now_s += 1  # a token for the key, none for all
    assert [ask_once(guard, x_api_key=greedy).status for _ in range(2)] == [503, 503]
    clock.now_s += 1
    assert ask_once(guard, x_api_key=greedy).status == 200  # what all refused was not taken from the key


def test_what_a_full_queue_refuses_is_not_counted() -> None:
    clock, full = Clock(), [True]
    token, record = create_key("a")
    keys = Authenticator([msgspec.structs.replace(record, requests_per_s=1.0)], clock=clock)

    def check_room(model: str, version: str, tenant: str, priority: int) -> None:
        if full[0]:
            raise QueueFull("the queue of parts is full", retry_after_s=1.0)

    guard = Guard(App(), authenticator=keys, bucket=TokenBucket(1.0, clock=clock), check_room=check_room)
    assert [ask_once(guard, x_api_key=token).status for _ in range(3)] == [503, 503, 503]
    full[0] = False
    assert [ask_once(guard, x_api_key=token).status for _ in range(2)] == [200, 429]


def test_observers_learn_of_every_request() -> None:
    told: list[RequestRecord] = []
    guard = Guard(App(), allowed_hosts=LOOPBACK, observers=[told.append])
    ask_once(guard, x_request_id="one")
    ask_once(guard, host="evil.example")
    assert [(record.status, record.path, record.bytes_in) for record in told] == [
        (200, "/predict/parts", 3),
        (400, "/predict/parts", 3),
    ]
    assert told[0].request_id == "one" and told[0].bytes_out == len('{"tenant": ""}') and told[0].duration_s > 0


@pytest.mark.parametrize(("nobody_waits", "status"), [(True, 499), (False, 503)])
def test_a_request_that_is_cut_off_is_499_when_its_client_hung_up_and_503_when_the_server_ends(
    nobody_waits: bool, status: int
) -> None:
    told: list[RequestRecord] = []
    app = App()
    guard = Guard(app, observers=[told.append])

    async def scenario() -> None:
        app.gate = asyncio.Event()
        task = asyncio.create_task(ask(guard))
        while not app.calls:
            await asyncio.sleep(0)
        if nobody_waits:
            app.scope["state"][NOBODY_WAITS] = True
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())
    assert [record.status for record in told] == [status]


HEADS: dict[str, list[tuple[bytes, bytes]]] = {"whole": [(b"content-length", b"2")], "in pieces": []}


@pytest.mark.parametrize(("body", "status"), [("whole", 499), ("in pieces", 200)])
def test_a_client_that_hangs_up_before_the_head_of_its_answer_has_left_is_499(body: str, status: int) -> None:
    """A head leaves with the body, but before pieces of unknown length, of which the first may be long in coming."""
    told: list[RequestRecord] = []
    begun = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADS[body]})
        begun.set()
        await asyncio.Event().wait()

    with serve_app(Guard(app, observers=[told.append])) as port:
        with connect(port) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert begun.wait(20)
        wait_until(lambda: bool(told))
    assert [record.status for record in told] == [status]


def test_an_answer_that_comes_after_its_client_has_gone_is_499() -> None:
    told: list[RequestRecord] = []
    begun = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await send({"type": "http.response.start", "status": 200, "headers": HEADS["whole"]})

    with serve_app(Guard(app, observers=[told.append])) as port:
        with connect(port) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert begun.wait(20)
        wait_until(lambda: bool(told))
    assert [record.status for record in told] == [499]


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/predict/parts", "parts"),
        ("/predict/parts/", "parts"),
        ("/v2/models/parts", "parts"),
        ("/v2/models/parts/versions/3/infer", "parts"),
        ("/v2/models/stats", None),
        ("/v2/models/stats/infer", "stats"),
        ("/v2", None),
        ("/predict", None),
    ],
)
def test_the_model_is_found_in_the_path(path: str, model: str | None) -> None:
    assert find_need("POST", path).model == model


@pytest.mark.parametrize(
    ("method", "path", "joins"),
    [
        ("POST", "/predict/parts", ("parts", "", 0)),
        ("POST", "/v2/models/parts/infer", ("parts", "", 1)),
        ("POST", "/v2/models/parts/versions/3/infer", ("parts", "3", 1)),
        ("GET", "/v2/models/parts/infer", None),
        ("POST", "/v2/models/parts", None),
        ("POST", "/v2/models/parts/versions/3", None),
        ("POST", "/v2/repository/models/parts/load", None),
        ("POST", "/deployments/parts", None),
    ],
)
def test_the_queue_that_a_request_would_join_is_found_in_the_path(
    method: str, path: str, joins: tuple[str, str, int] | None
) -> None:
    assert find_need(method, path).joins == joins


def test_a_request_whose_queue_is_full_is_refused_before_the_application_reads_it() -> None:
    asked: list[tuple[str, str, str, int]] = []

    def check_room(model: str, version: str, tenant: str, priority: int) -> None:
        asked.append((model, version, tenant, priority))
        raise QueueFull("the queue of parts is full", retry_after_s=2.2)

    app, told = App(), list[RequestRecord]()
    guard = Guard(app, check_room=check_room, observers=[told.append])
    answer = ask_once(guard, "/v2/models/parts/versions/3/infer")
    assert (answer.status, answer.headers["retry-after"], answer.body) == (503, "3", {"error": "the queue of parts is full"})
    problem = ask_once(guard, "/predict/parts").body
    assert (problem["type"], problem["detail"]) == ("urn:sightline:error:queue-full", "the queue of parts is full")
    assert (app.calls, asked, [record.status for record in told]) == (
        0,
        [("parts", "3", "", 1), ("parts", "", "", 0)],
        [503, 503],
    )
    assert ask_once(guard, "/v2/models/parts", method="GET").status == 200 and len(asked) == 2


def make_scope(**headers: str) -> dict[str, Any]:
    raw = [(b"host", b"localhost"), *((name.replace("_", "-").encode(), text.encode()) for name, text in headers.items())]
    return {"type": "http", "method": "POST", "path": "/predict/parts", "headers": raw, "client": ("127.0.0.1", 5)}


def test_what_does_not_come_in_is_answered_whole_before_the_application_is_asked() -> None:
    told: list[RequestRecord] = []
    refused = Guard(App(), allowed_hosts=frozenset({"other"}), observers=[told.append]).admit(make_scope(x_request_id="one"))
    assert refused is not None and refused.status_code == 400
    assert (refused.headers["x-request-id"], refused.headers["x-content-type-options"]) == ("one", "nosniff")
    assert [(record.status, record.bytes_out) for record in told] == [(400, len(refused.body))]


def test_what_was_admitted_is_neither_asked_nor_counted_again() -> None:
    told: list[RequestRecord] = []
    token, record = create_key("a")
    keys = Authenticator([msgspec.structs.replace(record, max_concurrent=1)])
    app = App()
    guard = Guard(app, authenticator=keys, bucket=TokenBucket(0.001, burst=3), observers=[told.append])
    scopes = [make_scope(x_api_key=token) for _ in range(3)]
    assert [guard.admit(scope) for scope in scopes] == [None] * 3  # a place of the key is taken later
    statuses: list[int] = []

    async def send(message: Message) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    for scope in scopes[:2]:
        asyncio.run(guard(scope, None, send))  # type: ignore[arg-type]
    assert (statuses, app.calls, [one.status for one in told]) == ([200, 200], 2, [200, 200])
    refused = guard.admit(make_scope(x_api_key=token))
    assert refused is not None and refused.status_code == 503


@pytest.mark.parametrize(("host", "name"), [("a:1", "a"), ("LOCALHOST", "localhost"), ("[::1]:80", "::1"), ("", "")])
def test_the_port_is_stripped(host: str, name: str) -> None:
    assert strip_port(host) == name


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False), ("", False)],
)
def test_loopback_addresses_are_told_apart(address: str, expected: bool) -> None:
    assert is_loopback_address(address) is expected
