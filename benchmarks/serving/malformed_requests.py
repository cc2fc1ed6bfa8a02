"""Requests that no server should answer well: files of a corpus, and seeded ones of every layer from a picture's bytes to HTTP.

A `BadRequest` is bytes to send on a fresh connection. Of pictures that were changed some still decode; those may be answered.
"""

import json
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

PREDICT, INFER = "/predict/clf", "/v2/models/clf/infer"
JPEG_TYPE, BINARY_TYPE = ("Content-Type", "image/jpeg"), ("Content-Type", "application/octet-stream")


class BadRequest(NamedTuple):
    """Attributes: kind: what is wrong. content: the whole request. may_be_fine: a picture that perhaps still decodes."""

    kind: str
    content: bytes
    may_be_fine: bool = False


def write(path: str, body: bytes, *headers: tuple[str, str], line: str = "") -> bytes:
    """A POST. Args: line: instead of the usual request line. A Content-Length among the headers stands for the true one."""
    lines = [line or f"POST {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers)]
    if not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def list_corpus(folder: Path) -> list[BadRequest]:
    """Every file below a folder as a picture; what a fuzzer found may well be a valid one."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(("README", "LICENSE")))
    return [BadRequest(f"corpus {path.suffix or 'file'}", write(PREDICT, path.read_bytes(), JPEG_TYPE), True) for path in files]


def generate(pictures: list[bytes], tensor: dict[str, Any], count: int, seed: int) -> Iterator[BadRequest]:
    """So many requests, of each kind in turn. Args: tensor: the model's first input, from its V2 metadata."""
    rng = random.Random(seed)
    for number in range(count):
        make = MAKERS[number % len(MAKERS)]
        yield make(rng, rng.choice(pictures), tensor)


def truncate(rng: random.Random, picture: bytes, tensor: dict[str, Any]) -> BadRequest:
    """A picture that ends too early."""
    return BadRequest("truncated picture", write(PREDICT, picture[: rng.randrange(len(picture))], JPEG_TYPE), True)


def flip(rng: random.Random, picture: bytes, tensor: dict[str, Any]) -> BadRequest:
    """A picture with wrong bytes in its first kilobyte or anywhere."""
    content = bytearray(picture)
    reach = rng.choice((1024, len(content)))
    for _ in range(rng.randint(1, 64)):
        content[rng.randrange(min(reach, len(content)))] = rng.randrange(256)
    return BadRequest("flipped picture", write(PREDICT, bytes(content), JPEG_TYPE), True)


def make_noise(rng: random.Random, picture: bytes, tensor: dict[str, Any]) -> BadRequest:
    """No picture at all, also behind a JPEG's first bytes."""
    start = rng.choice((b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"GIF89a"))
    return BadRequest("noise", write(PREDICT, start + rng.randbytes(rng.randrange(1, 5000)), JPEG_TYPE))


def make_bomb(rng: random.Random, picture: bytes, tensor: dict[str, Any]) -> BadRequest:
    """A BMP or GIF of a few bytes that says it is enormous."""
    side = rng.randint(20_000, 65_535)
    bmp = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    gif = b"GIF89a" + struct.pack("<HHBBB", side, side, 0, 0, 0) + b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x08;"
    return BadRequest("bomb", write(PREDICT, rng.choice((bmp, gif)), BINARY_TYPE))


def lie_about_length(rng: random.Random, picture: bytes, tensor: dict[str, Any]) -> BadRequest:
    """A Content-Length that is no length, too large, there twice, or shorter than the body."""
    lies = (
        ("-1",),
        ("+5",),
        ("1e3",),
        ("0x10",),
        ("9" * 30,),
        (str(1 << 40),),
        ("5", "6"),
        ("7 7",),
        (str(rng.randrange(1, 64)),),
    )
    lie = rng.choice(lies)
    headers = [("Content-Length", value) for value in lie]
    return BadRequest("content-length", write(PREDICT, picture[:4096], JPEG_TYPE, *headers))


def break_chunks(rng: random.Random, picture: bytes, tensor: dict[str, Any]) -> BadRequest:
    """Chunks that are none, or a coding that nobody knows, or a length beside it."""
    garbage = (
        b"zz\r\nabc\r\n0\r\n\r\n",
        b"-5\r\nabcde\r\n0\r\n\r\n",
        b"5\r\nabcdefgh\r\n0\r\n\r\n",
        b"f" * 40 + b"\r\nab",
        b"\0\0\r\n\r\n",
    )
    if rng.random() < 0.3:
        codings = (("Transfer-Encoding", "gzip"), ("Transfer-Encoding", "chunked, gzip"), ("Transfer-Encoding", "xchunked"))
        return BadRequest("coding", write(PREDICT, b"3\r\nabc\r\n0\r\n\r\n", JPEG_TYPE, rng.choice(codings)))
    both = (("Content-Length", "3"),) if rng.random() < 0.3 else ()
    return BadRequest("chunks", write(PREDICT, rng.choice(garbage), JPEG_TYPE, ("Transfer-Encoding", "chunked"), *both))


def bomb_headers(rng: random.Random, picture: bytes, tensor: dict[str, Any]) -> BadRequest:
    """Too many headers, too long ones, names and lines that HTTP does not have."""
    kinds = (
        write(PREDICT, picture[:10], *((f"X-{number}", "a") for number in range(rng.randint(120, 2000)))),
        write(PREDICT, picture[:10], ("X-Long", "a" * rng.randint(40_000, 200_000))),
        write(PREDICT, b"", line=f"POST /{'a' * rng.randint(40_000, 100_000)} HTTP/1.1"),
        write(PREDICT, b"", line=f"POST {PREDICT} HTTP/{rng.randint(3, 9)}.{rng.randint(0, 9)}"),
        write(PREDICT, b"", ("X bad\0name", "a")),
        write(PREDICT, b"", line=rng.choice(("", "GARBAGE", "\0\1\2", "POST", "PÖST / HTTP/1.1"))),
        f"POST {PREDICT} HTTP/1.1\r\nContent-Length: 0\r\n\r\n".encode(),
        rng.randbytes(rng.randint(20, 2000)) + b"\r\n\r\n",
    )
    return BadRequest("head", rng.choice(kinds))


def break_json(rng: random.Random, picture: bytes, tensor: dict[str, Any]) -> BadRequest:
    """A V2 body that is no JSON, or is JSON of another thing."""
    bodies = (
        b"", b"{", b"[]", b"null", b'{"inputs"', b'{"inputs": 5}', b'{"inputs": []}', b'{"inputs": [{}]}', b"\xff\xfe{}",
        b'{"inputs": [{"name": 1, "shape": "x", "datatype": [], "data": {}}]}', b"[" * 100_000, b'{"a":' * 50_000 + b"1",
    )  # fmt: skip
    return BadRequest("json", write(INFER, rng.choice(bodies), ("Content-Type", "application/json")))


def break_tensor(rng: random.Random, picture: bytes, tensor: dict[str, Any]) -> BadRequest:
    """A V2 tensor whose name, type, shape and data do not fit each other."""
    described: dict[str, Any] = {"name": tensor["name"], "shape": [1, 1], "datatype": "BYTES", "data": ["no picture"]}
    described |= rng.choice(
        (
            {"name": "nobody"},
            {"datatype": rng.choice(("FP128", "", "INT4", "fp32"))},
            {"datatype": "UINT8", "shape": [1, 224, 224, 3], "data": [1] * rng.randint(0, 99)},
            {"datatype": "UINT8", "shape": [2**40, 2**40, 3], "data": [0]},
            {"datatype": "UINT8", "shape": [10**9], "data": [0]},
            {"datatype": "UINT8", "shape": [-1, 224, 224, 3], "data": [0]},
            {"shape": [10**18]},
            {"shape": []},
            {"shape": [0]},
            {"data": [[["nested"]], 5]},
            {"data": [None]},
            {"parameters": {"binary_data_size": rng.randint(1, 1 << 40)}},
        )
    )
    return BadRequest(
        "tensor", write(INFER, json.dumps({"inputs": [described]}).encode(), ("Content-Type", "application/json"))
    )


def break_binary(rng: random.Random, picture: bytes, tensor: dict[str, Any]) -> BadRequest:
    """Binary data of V2 that are shorter, longer or elsewhere than the JSON before them says."""
    element = struct.pack("<I", rng.choice((len(picture) + 1, 2**32 - 1, 0, 3))) + picture
    size = rng.choice((len(element), len(element) - 1, len(element) + 7, 0, -4))
    tensor_words = {"name": tensor["name"], "shape": [1, 1], "datatype": "BYTES", "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [tensor_words]}).encode()
    length = rng.choice((len(head), len(head) - 1, len(head) + 1, 0, 10**9, -1, "x"))
    return BadRequest("binary", write(INFER, head + element, BINARY_TYPE, ("Inference-Header-Content-Length", str(length))))


Maker = Callable[[random.Random, bytes, dict[str, Any]], BadRequest]
MAKERS: tuple[Maker, ...] = (
    truncate, flip, make_noise, make_bomb, lie_about_length, break_chunks, bomb_headers, break_json, break_tensor, break_binary,
)  # fmt: skip
