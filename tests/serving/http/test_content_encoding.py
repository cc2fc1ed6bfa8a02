"""Bodies that came compressed, and answers that are asked for so."""

import asyncio
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sightline.core.errors import InvalidInput
from sightline.serving.http.content_encoding import (
    Decompressor,
    choose_encoding,
    compress_body,
    decompress_body,
    read_encoding,
)
from sightline.serving.http.refusals import Refusal


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_body_is_bounded_and_stands_alone(encoding, compress):
    assert decompress_body(compress(b"abcd"), encoding, 4) == b"abcd"
    with pytest.raises(Refusal) as raised:
        decompress_body(compress(b"abcd"), encoding, 3)
    assert raised.value.status == 413
    with pytest.raises(InvalidInput, match="1 bytes follow"):
        decompress_body(compress(b"ab") + b"c", encoding, 10)
    with pytest.raises(InvalidInput, match="cut off"):
        decompress_body(compress(b"ab")[:-1], encoding, 10)
    with pytest.raises(InvalidInput, match="follow"):
        decompress_body(compress(b"") * 100_000, encoding, 10)


@pytest.mark.parametrize(("header", "encoding"), [(b"", ""), (b"identity", ""), (b" GZip ", "gzip"), (b"br", "br")])
def test_no_coding_and_identity_are_one(header, encoding):
    assert read_encoding(header) == encoding


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [(b"gzip", "gzip"), (b" Deflate ", "deflate"), (b"gzip, deflate", ""), (b"br", ""), (b"", ""), (b"gzip;q=0", "")],
)
def test_one_coding_is_a_wish_and_a_list_is_not(accepted, encoding):
    assert choose_encoding(accepted) == encoding


def test_what_is_compressed_is_undone_by_the_standard_library():
    assert gzip.decompress(compress_body(b"abc", "gzip")) == b"abc"
    assert zlib.decompress(compress_body(b"abc", "deflate")) == b"abc"


def test_what_a_body_becomes_is_counted_while_it_is_in_use():
    held = 0

    @contextmanager
    def hold(size_bytes: int) -> Iterator[None]:
        nonlocal held
        held += size_bytes
        yield
        held -= size_bytes

    async def use() -> None:
        decompressor = Decompressor(10_000, hold)
        async with decompressor.undo(gzip.compress(bytes(5000)), "gzip") as body:
            assert len(body) == held == 5000
        assert held == 0
        with pytest.raises(Refusal):
            async with decompressor.undo(gzip.compress(bytes(20_000)), "gzip"):
                pass
        assert held == 0

    asyncio.run(use())
