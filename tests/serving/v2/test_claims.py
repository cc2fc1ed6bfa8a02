"""What a request claims of its inputs, against a model, before an element is read."""

import msgspec
import numpy as np
import pytest
from v2_fakes import COLOURS, SUM

from sightline.core.errors import InvalidInput
from sightline.serving.v2.claims import Claim, check_claims, check_element_count, read_claims, weigh_binary, weigh_json


def claim(name, datatype="FP32", shape=(1, 3), count=None):
    return Claim(name, datatype, tuple(shape), int(np.prod(shape)) if count is None else count, 0, lambda: np.zeros(shape))


def test_inputs_that_the_model_has_may_be_read_and_a_missing_one_is_found_later():
    check_claims([claim("x"), claim("y")], SUM)
    check_claims([claim("x")], SUM)
    check_claims([claim("images", shape=(1, 3, 4, 4))], COLOURS)
    check_claims([claim("images", "BYTES", (8, 1))], COLOURS)
    assert set(read_claims([claim("x"), claim("y")])) == {"x", "y"}


@pytest.mark.parametrize(
    ("claims", "facts", "words"),
    [
        ([claim("x"), claim("z")], SUM, r"inputs \['x', 'y'\] for sum, got 'z'"),
        ([claim("images"), claim("x")], COLOURS, r"inputs \['images'\] for colours, got 'x'"),
        ([claim("x", "BYTES")], SUM, "'x' as FP32, got BYTES"),
        ([claim("x", "BYTES", (1,))], COLOURS, "pictures in the input 'images'"),
        ([claim("images", "BYTES", (1,)), claim("x")], COLOURS, "'images' and nothing else"),
        ([claim("images", "BYTES", (2, 2))], COLOURS, r"\[N\] or \[N, 1\], got \[2, 2\]"),
        ([claim("images", "BYTES", (0,))], COLOURS, r"\[N\] or \[N, 1\], got \[0\]"),
        ([claim("images", "BYTES", (9,))], COLOURS, "1 to 8 rows for colours, got 9"),
    ],
)
def test_what_a_model_does_not_take_is_refused_before_it_is_read(claims, facts, words):
    with pytest.raises(InvalidInput, match=words):
        check_claims(claims, msgspec.structs.replace(facts, max_batch=8))


def test_bytes_elements_are_counted_over_all_inputs():
    check_element_count([claim("a", "BYTES", (65_535,)), claim("b", "BYTES", (1,)), claim("c", "FP32", (10**6,))])
    with pytest.raises(InvalidInput, match="at most 65536 BYTES elements in all inputs together, got 65537"):
        check_element_count([claim("a", "BYTES", (65_535,)), claim("b", "BYTES", (2,))])


def test_what_reading_takes_beside_the_bytes_that_came():
    assert weigh_binary("FP32", 10, 40) == 0  # a view
    assert weigh_binary("BF16", 10, 20) == 40  # float32
    assert weigh_binary("BOOL", 10, 10) == 10
    assert weigh_binary("BYTES", 2, 300_000) == 2 * 200
    assert weigh_json("FP64", 3, 100) == 24
    assert weigh_json("BYTES", 3, 100) == 100 + 3 * 48
    assert weigh_json("NONE", 3, 100) == 0


def test_claims_that_cannot_be_true_weigh_no_more_than_what_came():
    assert weigh_binary("BYTES", 2**31 - 1, 8) == 2 * 200
    assert weigh_json("FP64", 2**31 - 1, 10) == 80
