import json
import socket

import pytest
from scripted_server import HANG_UP, serve_script, write_answer

from sightline.bench.load.target import (
    ask,
    ask_for_facts,
    check_answers,
    find_target,
    write_picture_requests,
    write_request,
)
from sightline.core.errors import Exhausted, InvalidInput, NotFound, SightlineError, Unsupported


def test_a_target_is_resolved_once() -> None:
    target = find_target("http://localhost:8000/", "k3y")
    assert (target.name, target.host, target.port) == ("localhost:8000", "127.0.0.1", 8000)
    assert write_request(target, "/v2") == b"GET /v2 HTTP/1.1\r\nHost: localhost:8000\r\nAuthorization: Bearer k3y\r\n\r\n"


def test_an_address_in_brackets_is_understood() -> None:
    target = find_target("http://[::1]:81")
    assert (target.name, target.host, target.port) == ("[::1]:81", "::1", 81)


@pytest.mark.parametrize(
    ("url", "head"),
    [
        ("https://127.0.0.1", Unsupported),
        ("ftp://127.0.0.1", InvalidInput),
        ("127.0.0.1:8000", InvalidInput),
        ("http://127.0.0.1:port", InvalidInput),
        ("http://[::1", InvalidInput),
        ("http://127.0.0.1:8000/predict/parts", InvalidInput),
        ("http://no-such-host.invalid", NotFound),
    ],
)
def test_a_wrong_url_is_one_line(url: str, head: type[SightlineError]) -> None:
    with pytest.raises(head) as refused:
        find_target(url)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("url", ["http://bob:word@127.0.0.1:80", "http://bob:word@127.0.0.1:none", "http://127.0.0.1/?k=word"])
def test_secrets_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"without user name.*api_key") as refused:
        find_target(url)
    assert "word" not in str(refused.value).replace("password", "")


def test_a_key_cannot_smuggle_a_header() -> None:
    with pytest.raises(InvalidInput, match="printable ASCII"):
        find_target("http://127.0.0.1", "a\r\nX: y")


def test_plain_requests_hold_the_picture_as_it_is() -> None:
    (request,) = write_picture_requests(find_target("http://127.0.0.1:1"), "predict", "a/b", [b"\xff\xd8jpeg"], {})
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"POST /predict/a%2Fb HTTP/1.1"
    assert b"Content-Length: 6" in head and body == b"\xff\xd8jpeg"


def test_v2_requests_hold_the_picture_behind_the_json_with_its_length_in_front() -> None:
    facts = {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [-1, 1]}]}
    (request,) = write_picture_requests(find_target("http://127.0.0.1:1"), "v2", "m", [b"jpeg!"], facts)
    head, _, body = request.partition(b"\r\n\r\n")
    fields = dict(line.split(b": ") for line in head.split(b"\r\n")[1:])
    size = int(fields[b"Inference-Header-Content-Length"])
    assert int(fields[b"Content-Length"]) == len(body) == size + 9
    assert json.loads(body[:size])["inputs"] == [
        {"name": "images", "shape": [1, 1], "datatype": "BYTES", "parameters": {"binary_data_size": 9}}
    ]
    assert body[size:] == b"\x05\0\0\0jpeg!"


def test_v2_needs_to_know_the_input() -> None:
    with pytest.raises(InvalidInput, match="`protocol` predict"):
        write_picture_requests(find_target("http://127.0.0.1:1"), "v2", "m", [b"x"], {})


def test_facts_are_read_also_in_chunks_and_missing_ones_are_none() -> None:
    answers = {
        "/v2": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"name":\r\n4\r\n"x"}\r\n0\r\n\r\n',
        "/list": write_answer(200, b"[]"),
        "/page": write_answer(200, b"<html>"),
    }
    with serve_script(lambda asked: answers.get(asked.path, write_answer(404))) as server:
        target = find_target(server.url)
        assert ask_for_facts(target, "/v2") == {"name": "x"}
        assert [ask_for_facts(target, path) for path in ("/list", "/page", "/absent")] == [None] * 3


@pytest.mark.parametrize(
    ("status", "head"), [(404, NotFound), (401, InvalidInput), (422, InvalidInput), (500, Exhausted), (503, Exhausted)]
)
def test_the_first_answer_says_in_one_line_what_is_wrong(status: int, head: type[SightlineError]) -> None:
    with serve_script(lambda _: write_answer(status, b'{"detail":\n"because"}')) as server:
        target = find_target(server.url)
        with pytest.raises(head, match=f"HTTP {status}: .*because") as refused:
            check_answers(target, write_request(target, "/predict/m", b"x"), "m")
    assert len(str(refused.value).splitlines()) == 1


def test_nobody_and_no_http_at_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    target = find_target(f"http://127.0.0.1:{port}")
    with pytest.raises(Exhausted, match="start it with: sightline serve"):
        ask(target, write_request(target, "/v2"))
    with serve_script(lambda _: HANG_UP) as server, pytest.raises(Exhausted, match="hung up"):
        ask(find_target(server.url), write_request(target, "/v2"))
    with serve_script(lambda _: b"SSH-2.0\r\n\r\n") as server, pytest.raises(InvalidInput, match="is the URL right"):
        ask(find_target(server.url), write_request(target, "/v2"))
