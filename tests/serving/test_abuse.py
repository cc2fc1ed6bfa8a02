"""Malformed requests and rude clients at the whole running server: refused in one line, and nobody else notices."""

import base64
import json
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from waiting import wait_until
from whole_server import Running

READ_TIMEOUT_S = 20
POLITE, RUDE, TURNS = 48, 16, 8


def make_png(value: int = 200) -> bytes:
    return bytes(cv2.imencode(".png", np.full((20, 40, 3), value, np.uint8))[1])


PNG = make_png()
TENSOR = {"name": "images", "shape": [1, 3, 32, 32], "datatype": "FP32"}
MIXED = json.dumps({"inputs": [{**TENSOR, "parameters": {"binary_data_size": 12288}}]}).encode()


def check_answers(client: httpx.Client) -> None:
    """The server answers rightly over both protocols."""
    answer = client.post("/predict/parts", content=PNG)
    assert answer.status_code == 200, answer.text
    assert [one["category"] for one in answer.json()["annotations"]] == ["bright"]
    answer = client.post("/v2/models/parts/infer", json={"inputs": [{**TENSOR, "data": [0.0] * 3072}]})
    assert {one["name"]: one["data"] for one in answer.json()["outputs"]}["scores"] == [0.5, 0]


def check_refusal(answer: httpx.Response) -> None:
    """A 4xx with one line."""
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:200])
    problem = answer.json()
    line = problem.get("detail") or problem.get("error")
    assert line and "\n" not in line and "Traceback" not in line and len(line) < 1200


@pytest.mark.parametrize("step", [10, pytest.param(1, marks=pytest.mark.slow)])
def test_malformed_files_never_fail_the_server(running: Running, shared_data: Path, step: int) -> None:
    """As bodies, in forms, in JSON and as BYTES tensors. Some decode after all; every other one is refused."""
    files = sorted(path for path in (shared_data / "malformed").rglob("*") if path.is_file())[::step]
    assert len(files) > 20

    def ask(path: Path) -> Counter[int]:
        content = path.read_bytes()
        element = struct.pack("<I", len(content)) + content
        head = json.dumps(
            {
                "inputs": [
                    {"name": "images", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(element)}}
                ]
            }
        ).encode()
        asked = [
            client.post("/predict/parts", content=content),
            client.post("/predict/parts", files={"image": (path.name, content)}),
            client.post("/predict/parts", json={"image": base64.b64encode(content).decode()}),
            client.post(
                "/v2/models/parts/infer",
                content=head + element,
                headers={"inference-header-content-length": str(len(head))},
            ),
            client.post("/v2/models/parts/infer", content=content),
        ]
        for answer in asked:
            if answer.status_code != 200:
                check_refusal(answer)
        assert len({answer.status_code == 200 for answer in asked[:4]}) == 1, path.name  # every way the same verdict
        assert asked[4].status_code != 200
        return Counter(answer.status_code for answer in asked)

    with running.client() as client, ThreadPoolExecutor(4) as pool:
        statuses = sum(pool.map(ask, files), Counter[int]())
        check_answers(client)
    assert sum(count for status, count in statuses.items() if status != 200) > len(files)


def write_request(path: str, body: bytes, *headers: bytes, length: int | None = None, method: bytes = b"POST") -> bytes:
    announced = b"" if length is not None and length < 0 else b"Content-Length: %d" % (len(body) if length is None else length)
    lines = [b"%s %s HTTP/1.1" % (method, path.encode()), b"Host: localhost", b"Connection: close", announced, *headers]
    return b"\r\n".join(line for line in lines if line) + b"\r\n\r\n" + body


def ask_raw(port: int, sent: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=READ_TIMEOUT_S) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent; the answer can still be read
            connection.sendall(sent)
        answer = HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read()


JSON_TYPE = b"Content-Type: application/json"
FORM_TYPE = b"Content-Type: multipart/form-data; boundary=abc"
PREDICT, INFER = "/predict/parts", "/v2/models/parts/infer"


def list_wrong_requests() -> list[bytes]:
    """Requests none of which can be right, about 400, in every part of a request that a client can get wrong."""
    rng = random.Random(4)
    noise = [rng.randbytes(rng.randint(1, 300)) for _ in range(60)]
    wrong = [write_request(PREDICT, b"\0" + body) for body in noise]
    wrong += [write_request(INFER, b"{" + body) for body in noise]
    wrong += [write_request(PREDICT, PNG[: rng.randint(1, 40)]) for _ in range(20)]
    wrong += [write_request(PREDICT, b'{"image": "' + body.hex().encode() + b'!"}', JSON_TYPE) for body in noise[:20]]
    wrong += [write_request(PREDICT, b"--abc\r\n" + body, FORM_TYPE) for body in noise[:20]]
    text = json.dumps({"inputs": [{**TENSOR, "data": [0.5] * 3072}]}).encode()
    wrong += [write_request(INFER, text[: rng.randint(1, len(text) - 1)]) for _ in range(30)]
    lengths = [b"0", b"-1", b"x", b"1e3", b"%d" % (len(MIXED) + 1), b"%d" % (len(MIXED) - 1), b"99999999999", b"", b" ", b"1 2"]
    wrong += [write_request(INFER, MIXED + bytes(12288), b"Inference-Header-Content-Length: " + value) for value in lengths]
    header = b"Inference-Header-Content-Length: %d" % len(MIXED)
    wrong += [write_request(INFER, MIXED + bytes(size), header) for size in (0, 1, 12287, 12289, 24576)]
    wrong += [write_request(INFER, json.dumps(change_tensor(*change)).encode()) for change in list_wrong_fields()]
    wrong += [write_request(path, PNG) for path in list_wrong_paths()]
    wrong += [write_request(PREDICT, PNG, line) for line in list_wrong_headers()]
    wrong += [write_request(PREDICT, PNG, length=-1, method=method) for method in (b"GET", b"BREW", b"TRACE", b"post", b"")]
    wrong += [b"", b"\r\n", b"\0", b"\x16\x03\x01\x02\x00\x01\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"][3:]
    wrong += [b"GET / HTTP/%s\r\nHost: localhost\r\n\r\n" % version for version in (b"0.9", b"2.0", b"9.9", b"1", b"x")]
    wrong += [rng.randbytes(3).hex().encode() + b" " + body.replace(b"\n", b"") + b"\r\n\r\n" for body in noise]
    return wrong


def list_wrong_fields() -> list[tuple[str, Any]]:
    values: list[Any] = [None, 0, -1, "", "x", [], {}, [[1]], [-1], [0], [1, 3, 32], [1e9, 1e9], [2**63], True, "FP8", "BYTES"]
    return [(field, value) for field in ("shape", "datatype", "data", "name") for value in values]


def change_tensor(field: str, value: Any) -> dict[str, Any]:
    return {"inputs": [{**TENSOR, "data": [0.5] * 3072, field: value}]}


def list_wrong_paths() -> list[str]:
    names = ["", "absent", "..", "%2e%2e%2fsecret", "a" * 3000, "%00", "%ff", "parts%2f1", "parts/1"]
    queries = [
        "confidence=2",
        "confidence=nan",
        "confidence=",
        "format=gif",
        "mask=x",
        "threshold=1",
        "version=-1",
        "version=x",
    ]
    models = ["/v2/models/absent/infer", "/v2/models/parts/versions/9/infer", "/v2/models/parts/versions/x/infer", "/v2/models"]
    return [f"/predict/{name}" for name in names] + [f"{PREDICT}?{query}" for query in queries] + models


def list_wrong_headers() -> list[bytes]:
    return [
        b"Content-Type: text/plain",
        b"Content-Type: multipart/form-data",
        b"Content-Type: multipart/form-data; boundary=",
        b"Content-Type: \xff\xfe",
        b"Content-Length: 1",
        b"Content-Length: x",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: xchunked",
        b"Expect: 200-fine",
        b"No colon here",
        b" : no name",
        b"Na me: x",
        b"X: a\rb",
        b"X: a\0b",
        b"X-Large: " + b"x" * 100_000,
        *(b"\r\n".join(b"X-%d: x" % number for number in range(count)) for count in (150, 1000)),
        b"Host: other",
    ]


def test_requests_that_cannot_be_right_are_4xx(running: Running) -> None:
    wrong = list_wrong_requests()
    assert len(wrong) > 400
    with ThreadPoolExecutor(8) as pool, running.client() as client:
        statuses = list(pool.map(lambda sent: ask_raw(running.port, sent)[0], wrong))
        odd = {sent[:150]: status for sent, status in zip(wrong, statuses, strict=True) if not 400 <= status < 500}
        assert odd == {}
        check_answers(client)


def test_changed_bytes_never_fail_the_server(running: Running) -> None:
    """Sound requests with bytes flipped, removed, doubled: some are still sound, none is an error of the server's."""
    rng = random.Random(7)
    form = b'--abc\r\nContent-Disposition: form-data; name="i"; filename="a.png"\r\n\r\n' + PNG + b"\r\n--abc--\r\n"
    sound = [
        write_request(PREDICT, PNG),
        write_request(PREDICT, form, FORM_TYPE),
        write_request(PREDICT, json.dumps({"image": base64.b64encode(PNG).decode()}).encode(), JSON_TYPE),
        write_request(INFER, json.dumps({"inputs": [{**TENSOR, "data": [0.5] * 3072}]}).encode()),
        write_request(INFER, MIXED + bytes(12288), b"Inference-Header-Content-Length: %d" % len(MIXED)),
    ]
    assert [ask_raw(running.port, sent)[0] for sent in sound] == [200] * 5

    def change(sent: bytes) -> bytes:
        """Damage a body, keeping its length, or a head in a way that announces no more body than there is."""
        start = sent.index(b"\r\n\r\n") + 4
        content = bytearray(sent)
        first, last = (start, len(sent)) if rng.random() < 0.7 else (0, sent.index(b"Content-Length"))
        for _ in range(rng.choice((1, 1, 2, 8))):
            content[rng.randrange(first, min(last, first + 400))] = rng.randrange(256)
        return bytes(content)

    changed = [change(rng.choice(sound)) for _ in range(400)]
    with ThreadPoolExecutor(8) as pool, running.client() as client:
        statuses = Counter(pool.map(lambda sent: ask_raw(running.port, sent)[0], changed))
        assert all(status == 200 or 400 <= status < 500 for status in statuses), statuses
        assert sum(statuses.values()) - statuses[200] > 100
        check_answers(client)


def hang_up_in_the_middle(port: int, rng: random.Random) -> None:
    """Begin a request, go away at some point of it: before, within or behind its body, cleanly or with a reset."""
    sent = write_request(PREDICT, PNG * 20, length=len(PNG) * 20).replace(b"Connection: close\r\n", b"")
    with socket.create_connection(("127.0.0.1", port), timeout=READ_TIMEOUT_S) as connection:
        connection.sendall(sent[: rng.randint(0, len(sent))])
        if rng.random() < 0.5:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_rude_clients_cost_the_polite_nothing(running: Running) -> None:
    """48 clients ask and read while 16 hang up in the middle of their requests, again and again."""
    stop = threading.Event()

    def be_rude(number: int) -> int:
        rng, count = random.Random(number), 0
        while not stop.is_set():
            hang_up_in_the_middle(running.port, rng)
            count += 1
        return count

    def be_polite(number: int) -> Iterator[str]:
        value = 255 * (number % 2)
        for _ in range(TURNS):
            status, body = ask_raw(running.port, write_request(PREDICT, make_png(value)))
            assert status == 200, body
            yield str(json.loads(body)["annotations"][0]["category"])

    with ThreadPoolExecutor(POLITE + RUDE) as pool:
        rude = [pool.submit(be_rude, number) for number in range(RUDE)]
        polite = [pool.submit(lambda number=number: list(be_polite(number))) for number in range(POLITE)]
        try:
            for number, answers in enumerate(polite):
                assert answers.result() == ["bright" if number % 2 else "dark"] * TURNS
        finally:
            stop.set()
        assert sum(one.result() for one in rude) > RUDE
    wait_until(lambda: not running.whole.edge.connections)
    assert running.whole.edge.buffered_bytes == 0
    assert running.whole.scheduler.snapshot().waiting.get("parts", 0) == 0
    with running.client() as client:
        check_answers(client)
