"""The codec against what the protocol says and what `tritonclient` writes and reads."""

import struct

import ml_dtypes
import msgspec
import numpy as np
import pytest
from tritonclient.utils import deserialize_bf16_tensor, deserialize_bytes_tensor, serialize_bf16_tensor, serialize_byte_tensor

from sightline.core.errors import InvalidInput
from sightline.serving.v2.tensors import (
    DTYPES,
    count_elements,
    decode_binary,
    decode_json,
    encode_binary,
    encode_json,
    find_datatype,
    make_array,
    read_bytes_elements,
)

NUMERIC = [name for name in DTYPES if name not in ("BF16", "BYTES")]


@pytest.mark.parametrize("datatype", NUMERIC)
def test_a_numeric_tensor_survives_binary_and_json(datatype):
    array = np.array([[0, 1, 2], [3, 4, 100]]).astype(DTYPES[datatype])
    assert find_datatype(array) == datatype
    from_binary = decode_binary("x", datatype, [2, 3], bytes(encode_binary(array)))
    from_json = decode_json("x", datatype, [2, 3], str(encode_json("x", array)).lower().encode())
    for decoded in (from_binary, from_json):
        assert decoded.dtype == array.dtype
        np.testing.assert_array_equal(decoded, array)


def test_numbers_lie_little_endian():
    assert bytes(encode_binary(np.array([1, -2], ">i2"))) == b"\x01\x00\xfe\xff"
    assert decode_binary("x", "UINT32", [1], b"\x01\x00\x00\x80").tolist() == [2**31 + 1]


def test_a_numeric_tensor_is_not_copied():
    body = bytearray(struct.pack("<2f", 1.0, 2.0))
    array = decode_binary("x", "FP32", [2], memoryview(body))
    body[:4] = struct.pack("<f", 5.0)
    assert array.tolist() == [5.0, 2.0]


def test_bytes_of_a_bool_tensor_other_than_0_are_true():
    assert decode_binary("x", "BOOL", [3], b"\x00\x01\x05").tolist() == [False, True, True]


def test_bytes_elements_are_what_the_client_writes():
    elements = [b"", b"\x00nul\x00", "é".encode(), b"\xff" * 300]
    array = np.array(elements, object)
    written = serialize_byte_tensor(array).item()
    assert bytes(encode_binary(array)) == written
    assert [bytes(element) for element in read_bytes_elements(written, 4)] == elements
    assert decode_binary("x", "BYTES", [2, 2], written).tolist() == [elements[:2], elements[2:]]
    assert deserialize_bytes_tensor(encode_binary(array)).tolist() == elements


def test_bf16_rounds_to_the_nearest_and_the_client_reads_it():
    array = np.array([1.0, 1 + 1 / 256, 1 + 3 / 256, -0.0, 3.4e38, np.nan, np.inf, 1e-40], np.float32)
    expected = array.astype(ml_dtypes.bfloat16).astype(np.float32)
    encoded = bytes(encode_binary(array, "BF16"))
    np.testing.assert_array_equal(deserialize_bf16_tensor(encoded).ravel(), expected)
    np.testing.assert_array_equal(decode_binary("x", "BF16", [8], encoded), expected)
    np.testing.assert_array_equal(decode_binary("x", "BF16", [1], serialize_bf16_tensor(array[:1]).item()), [1.0])


def test_bf16_has_no_json_form():
    with pytest.raises(InvalidInput, match="BF16"):
        decode_json("x", "BF16", [1], b"[1]")
    with pytest.raises(InvalidInput, match="BF16"):
        encode_json("x", np.ones(1, np.float32), "BF16")


@pytest.mark.parametrize("text", [b"[1,2,3,4]", b"[[1, 2], [3, 4]]", b" [ [1,2,3,4] ] ", b"[[[1],[2]],[[3],[4]]]"])
def test_json_data_may_be_flat_or_nested(text):
    assert decode_json("x", "FP32", [2, 2], text).tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_long_json_data_is_read_in_pieces():
    values = np.random.default_rng(0).normal(size=(3, 20_000)).astype(np.float32)
    np.testing.assert_array_equal(decode_json("x", "FP32", [3, 20_000], str(values.tolist()).encode()), values)
    with pytest.raises(InvalidInput, match="got more"):
        decode_json("x", "FP32", [2, 20_000], str(values.tolist()).encode())
    with pytest.raises(InvalidInput, match="60000"):
        decode_json("x", "FP32", [4, 20_000], str(values.tolist()).encode())


def test_json_strings_are_utf8_or_base64():
    assert decode_json("x", "BYTES", [2], '["é", "a\\u0000"]'.encode()).tolist() == ["é".encode(), b"a\x00"]
    assert decode_json("x", "BYTES", [1], b'["/9g="]', is_base64=True).tolist() == [b"\xff\xd8"]
    with pytest.raises(InvalidInput, match="base64"):
        decode_json("x", "BYTES", [1], b'["/9g"]', is_base64=True)


@pytest.mark.parametrize(
    ("shape", "text", "elements"),
    [
        ([2], b'["[[[[", "]\\"[\\\\"]', [b"[[[[", b']"[\\']),
        ([2, 1], b'[["[["], ["[["]]', [[b"[["], [b"[["]]),
        ([1, 2], b'[["a", "b"]]', [[b"a", b"b"]]),
        ([2, 2], b'[["a", "b"], ["c", "d"]]', [[b"a", b"b"], [b"c", b"d"]]),
        ([3, 0], b"[[], [], []]", [[], [], []]),
        ([0], b"[]", []),
    ],
)
def test_json_strings_may_be_nested_and_hold_brackets_and_quotes(shape, text, elements):
    assert decode_json("x", "BYTES", shape, text).tolist() == elements


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ([1], b"[" + b"[]," * 100_000 + b'"a"]'),
        ([1], b"[" + b"[]," * 100_000 + b'"\\\\"]'),
        ([0, 0], b"[" + b"[]," * 100_000 + b"[]]"),
    ],
    ids=["empty lists", "empty lists and a backslash", "no elements"],
)
def test_json_strings_in_more_lists_than_elements_are_refused_before_anything_is_made(shape, text, monkeypatch):
    monkeypatch.setattr(msgspec.json, "decode", None)
    with pytest.raises(InvalidInput, match="got more"):
        decode_json("x", "BYTES", shape, text)


@pytest.mark.parametrize(
    ("datatype", "text"),
    [
        ("INT8", b"[128]"), ("UINT8", b"[-1]"), ("UINT64", b"[18446744073709551616]"), ("INT32", b"[1.5]"), ("FP32", b"[1e39]"),
        ("FP16", b"[70000]"), ("FP32", b"[NaN]"), ("FP32", b"[1e999]"), ("FP32", b'["1"]'), ("FP32", b"[null]"),
        ("BOOL", b"[1]"), ("BYTES", b"[1]"), ("FP32", b'{"a": 1}'), ("FP32", b"1"), ("FP32", b""),
        ("FP32", b"[[1], {}]"), ("FP32", b"[" * 100_000), ("FP32", b"[]"), ("FP32", b"[1, 2]"), ("BYTES", b'["\xff"]'),
    ],
)  # fmt: skip
def test_json_data_that_does_not_fit_is_refused(datatype, text):
    with pytest.raises(InvalidInput, match="'x'"):
        decode_json("x", datatype, [1], text)


@pytest.mark.parametrize("shape", [[-1], [2, -3], [2**31], [2**16, 2**16], [0, 2**62], [1] * 17, [2**400]])
def test_impossible_shapes_are_refused_before_anything_is_allocated(shape):
    with pytest.raises(InvalidInput, match="'x'"):
        count_elements("x", shape)


@pytest.mark.parametrize(("shape", "count"), [([], 1), ([0], 0), ([0, 5], 0), ([2, 3], 6), ([1] * 15 + [2], 2)])
def test_elements_of_a_shape(shape, count):
    assert count_elements("x", shape) == count


def test_empty_tensors_have_no_bytes():
    empty = decode_binary("x", "FP32", [0, 3], b"")
    assert empty.shape == (0, 3)
    assert encode_binary(empty) == b""
    assert encode_binary(empty, "BF16") == b""
    assert decode_binary("x", "BYTES", [0], b"").shape == (0,)


@pytest.mark.parametrize("size", [0, 7, 9, 16])
def test_bytes_of_another_size_are_refused(size):
    with pytest.raises(InvalidInput, match=f"8 bytes, got {size}"):
        decode_binary("x", "FP32", [2], bytes(size))


@pytest.mark.parametrize(
    ("buffer", "count"),
    [(b"", 1), (b"\x01\x00\x00", 1), (b"\x02\x00\x00\x00a", 1), (b"\x01\x00\x00\x00ab", 1), (b"\xff\xff\xff\xffab", 1),
     (b"\x00\x00\x00\x00", 2), (b"\x00\x00\x00\x00", 0), (b"\x00" * 64, 2**31 - 1), (b"\x01\x00\x00\x00a\x01\x00\x00", 2)],
)  # fmt: skip
def test_bytes_elements_that_do_not_fill_their_buffer_are_refused(buffer, count):
    with pytest.raises(InvalidInput, match="'x'"):
        read_bytes_elements(buffer, count, "x")


def test_more_bytes_elements_than_are_taken_are_refused_before_they_become_objects():
    with pytest.raises(InvalidInput, match="at most 65536"):
        read_bytes_elements(bytes(4 * 65537), 65537, "x")
    with pytest.raises(InvalidInput, match="at most 65536"):
        decode_json("x", "BYTES", [65537], b"[" + b'"",' * 65536 + b'""]')
    with pytest.raises(InvalidInput, match="got more"):
        decode_json("x", "BYTES", [2], b'["a","b","c"]')
    assert decode_json("x", "BYTES", [3], b'["\\"\\"","\\\\","\\\\\\""]').tolist() == [b'""', b"\\", b'\\"']


def test_values_make_an_array_of_the_datatype():
    assert make_array("x", "FP32", [1, 2], [1, 2.5]).tolist() == [[1.0, 2.5]]
    with pytest.raises(InvalidInput, match="2 elements"):
        make_array("x", "FP32", [2], [1])
    with pytest.raises(InvalidInput, match="fit"):
        make_array("x", "UINT8", [1], [256])


def test_many_values_become_an_array_in_pieces_between_which_other_threads_run():
    class Values(list):
        def __getitem__(self, index):
            sizes.append(len(range(*index.indices(len(self)))))
            return super().__getitem__(index)

        def __iter__(self):
            raise AssertionError("all at once")

    sizes = []
    assert make_array("x", "INT64", [100_000], Values(range(100_000))).tolist() == list(range(100_000))
    assert sum(sizes) == 100_000 and max(sizes) <= 16 * 1024
    assert make_array("x", "FP32", [0], []).shape == (0,)
    with pytest.raises(InvalidInput, match="INT8 elements"):
        make_array("x", "INT8", [100_000], [*range(100)] * 999 + [128] * 100)


def test_unknown_types_are_named():
    with pytest.raises(InvalidInput, match="FP12"):
        decode_binary("x", "FP12", [1], b"1")
    with pytest.raises(InvalidInput, match="complex"):
        find_datatype(np.ones(1, np.complex64))


def test_a_long_name_is_cut_in_messages():
    with pytest.raises(InvalidInput) as raised:
        decode_binary("n" * 5000, "FP32", [2], b"")
    assert len(str(raised.value)) < 400


def test_output_bytes_that_are_no_utf8_travel_as_binary_only():
    with pytest.raises(InvalidInput, match="binary_data"):
        encode_json("x", np.array([b"\xff"], object))
