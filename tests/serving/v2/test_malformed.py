"""Damaged and hostile bodies by the hundred: each is answered, at once, and none with a 5xx."""

import json
import struct
import time
from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).parents[4] / "shared" / "data" / "malformed"
SLOWEST_S = 5.0  # far above what any answer takes on a busy machine, far below what a hang or a bomb would

PICTURE_HEADER = json.dumps(
    {
        "id": "1",
        "parameters": {"priority": 1, "timeout": 10_000_000, "binary_data_output": True},
        "inputs": [{"name": "images", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 4096}}],
        "outputs": [{"name": "logits", "parameters": {"classification": 2, "binary_data": True}}],
    }
).encode()
TENSOR_HEADER = json.dumps(
    {
        "inputs": [
            {"name": "x", "shape": [2, 3], "datatype": "FP32", "parameters": {"binary_data_size": 24}},
            {"name": "y", "shape": [2, 3], "datatype": "FP32", "data": [[1, 2, 3], [4, 5, 6]]},
        ]
    }
).encode()


def post(client, body, header_length=None, model="sum"):
    headers = {} if header_length is None else {"Inference-Header-Content-Length": str(header_length)}
    started = time.monotonic()
    answer = client.post(f"/v2/models/{model}/infer", content=body, headers=headers)
    assert time.monotonic() - started < SLOWEST_S
    assert answer.status_code < 500, (answer.status_code, answer.text, body[:500])
    if answer.status_code != 200:
        assert set(answer.json()) == {"error"}
        assert "\n" not in answer.json()["error"]
        assert len(answer.json()["error"]) < 2000
    return answer.status_code


@pytest.fixture
def requests(jpeg):
    picture = PICTURE_HEADER.replace(b"4096", b"%d" % (len(jpeg) + 4))
    content = struct.pack("<I", len(jpeg)) + jpeg
    tensors = struct.pack("<6f", *range(6))
    return [("colours", picture, content), ("sum", TENSOR_HEADER, tensors)]


def test_whole_requests_are_answered(client, requests):
    for model, header, tail in requests:
        assert post(client, header + tail, len(header), model) == 200


def test_bodies_that_are_cut_off_are_4xx(client, requests):
    for model, header, tail in requests:
        body = header + tail
        for size in range(0, len(body), max(1, len(body) // 120)):
            assert 400 <= post(client, body[:size], len(header), model) < 500
            assert 400 <= post(client, body[:size], None, model) < 500


def test_flipped_bytes_never_fail_the_server(client, requests):
    rng = np.random.default_rng(4)
    for model, header, tail in requests:
        statuses = set()
        for _ in range(250):
            body = bytearray(header + tail)
            for position in rng.integers(0, len(body), rng.integers(1, 6)):
                body[position] = rng.integers(256)
            statuses.add(post(client, bytes(body), len(header), model))
        assert 400 in statuses


def test_wrong_header_lengths_never_fail_the_server(client, requests):
    for model, header, tail in requests:
        body = header + tail
        for length in (*range(1, len(body), 17), len(body)):
            if length != len(header):
                assert 400 <= post(client, body, length, model) < 500


def test_hostile_values_in_json_are_4xx(client):
    values = [
        b"null", b"true", b"-1", b"1e400", b"NaN", b"Infinity", b'""', b"{}", b"[]", b"[[]]", b"[null]", b'["\\ud800"]',
        b"9" * 10_000, b"-" + b"9" * 10_000, b"0." + b"9" * 10_000, b"[" * 5000 + b"]" * 5000, b"[" * 100_000,
        b'{"a":' * 100_000, b'"' + b"a" * 100_000 + b'"', b"[-1]", b"[2147483647,2147483647]", b"[9223372036854775807]",
        b"[" + b"1," * 50_000 + b"1]", b"[" + b" " * 2000 + b"1,3]", b"[1.0,3]", b"[true,3]", b"[1,2,3", b"\xff\xfe", b"\x00",
    ]  # fmt: skip
    whole = b'{"id":"1","parameters":{},"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}],"outputs":[]}'
    places = [b'"1"', b"{}", b'[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]', b'"x"', b"[1,3]", b'"FP32"',
              b"[1,2,3]", whole]  # fmt: skip
    assert post(client, whole, model="echo-FP32") == 200
    harmless = {(b"{}", b"null"), (b'"1"', b"null"), (b'"1"', b'""'), (b'"1"', b'"' + b"a" * 100_000 + b'"')}
    for place in places:
        for value in values:
            body = whole.replace(place, value, 1)
            if body == whole or (place, value) in harmless:
                continue
            assert 400 <= post(client, body, model="echo-FP32") < 500, (place, value[:50])


def test_lengths_of_bytes_elements_that_lie_are_4xx(client, jpeg):
    for count in (1, 2, 3, 1000, 2**31 - 1, 2**62):
        header = PICTURE_HEADER.replace(b"[1]", b"[%d]" % count)
        for length in (0, 1, len(jpeg) - 1, len(jpeg) + 1, 2**31, 2**32 - 1):
            tail = struct.pack("<I", length) + jpeg
            sized = header.replace(b"4096", b"%d" % len(tail))
            assert 400 <= post(client, sized + tail, len(sized), "colours") < 500


@pytest.mark.skipif(not SHARED.is_dir(), reason="the malformed pictures of ../shared/data are not there")
def test_malformed_files_as_pictures_and_as_bodies_never_fail_the_server(client):
    files = sorted(path for path in SHARED.rglob("*") if path.is_file() and path.stat().st_size < 200_000)
    assert len(files) > 400
    header = b'{"inputs":[{"name":"images","shape":[1],"datatype":"BYTES"}]}'
    statuses = [post(client, header + path.read_bytes(), len(header), "colours") for path in files if path.stat().st_size]
    assert statuses.count(400) > 200
    assert all(400 <= post(client, path.read_bytes(), model="colours") < 500 for path in files)
