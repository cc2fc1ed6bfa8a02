"""The compression of bodies."""

import gzip
import zlib

import pytest

from sightline.core.errors import InvalidInput
from sightline.serving.http.refusals import Refusal
from sightline.serving.v2.bodies import choose_encoding, decompress_body, find_compressor


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
