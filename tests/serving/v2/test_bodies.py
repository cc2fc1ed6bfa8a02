"""The compression of answers."""

import gzip
import zlib

import pytest

from sightline.serving.v2.bodies import choose_encoding, find_compressor


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
