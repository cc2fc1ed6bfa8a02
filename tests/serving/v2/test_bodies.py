"""Reading bodies from ASGI messages, and their compression."""

import asyncio
import gzip
import zlib

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from sightline.core.errors import InvalidInput
from sightline.serving.v2.bodies import choose_encoding, decompress_body, find_compressor, read_body


def read(*messages, max_bytes=10, announced=b""):
    waiting = iter(messages)

    async def receive():
        return next(waiting)

    return asyncio.run(read_body(receive, max_bytes, announced))


def part(body, more=True):
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_in_one_message_is_not_copied():
    body = b"0123456789"
    assert read(part(body, more=False)) is body


def test_parts_are_joined():
    assert read(part(b"01"), part(b""), {"type": "http.request", "more_body": True}, part(b"23", more=False)) == b"0123"
    assert read({"type": "http.request"}) == b""


def test_too_much_is_413_whole_in_parts_or_announced():
    for messages, announced in (
        ([part(b"01234567890", more=False)], b""),
        ([part(b"012345"), part(b"678901")], b""),
        ([], b"11"),
        ([], b"9" * 5000),
    ):
        with pytest.raises(HTTPException) as raised:
            read(*messages, announced=announced)
        assert raised.value.status_code == 413


def test_a_client_that_hangs_up_ends_the_reading():
    for messages in ([], [part(b"01")]):
        with pytest.raises(ClientDisconnect):
            read(*messages, {"type": "http.disconnect"})


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_body_is_bounded_and_stands_alone(encoding, compress):
    assert decompress_body(compress(b"abcd"), encoding, 4) == b"abcd"
    with pytest.raises(HTTPException) as raised:
        decompress_body(compress(b"abcd"), encoding, 3)
    assert raised.value.status_code == 413
    with pytest.raises(InvalidInput, match="1 bytes follow"):
        decompress_body(compress(b"ab") + b"c", encoding, 10)
    with pytest.raises(InvalidInput, match="cut off"):
        decompress_body(compress(b"ab")[:-1], encoding, 10)
    with pytest.raises(InvalidInput, match="follow"):
        decompress_body(compress(b"") * 100_000, encoding, 10)


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [(b"gzip", "gzip"), (b" Deflate ", "deflate"), (b"gzip, deflate", ""), (b"br", ""), (b"", ""), (b"gzip;q=0", "")],
)
def test_one_coding_is_a_wish_and_a_list_is_not(accepted, encoding):
    assert choose_encoding(accepted) == encoding


def test_compressors_are_undone_by_the_standard_library():
    assert gzip.decompress(find_compressor("gzip")(b"abc")) == b"abc"
    assert zlib.decompress(find_compressor("deflate")(b"abc")) == b"abc"
    assert find_compressor("")(b"abc") == b"abc"
