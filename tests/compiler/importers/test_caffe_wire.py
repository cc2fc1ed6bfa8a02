import struct

import numpy as np
import pytest
from caffe_files import write_blob, write_caffemodel, write_field, write_unpacked_blob, write_varint

from sightline.compiler.importers.caffe.wire import read_blob, read_weights
from sightline.core.errors import InvalidInput, Unsupported

VALUES = np.arange(-6, 6, dtype=np.float32).reshape(2, 3, 1, 2)


@pytest.mark.parametrize("v1", [True, False])
def test_blobs_come_back_by_layer_name(v1):
    weights = read_weights(write_caffemodel({"conv": [VALUES, VALUES[0, 0, 0]], "relu": [], "fc": [VALUES[0, :, 0]]}, v1))
    assert list(weights) == ["conv", "fc"]
    np.testing.assert_array_equal(weights["conv"][0], VALUES)
    np.testing.assert_array_equal(weights["conv"][1].ravel(), VALUES[0, 0, 0])
    assert weights["fc"][0].shape == ((1, 1, 3, 2) if v1 else (3, 2))


def test_shape_may_be_legacy_or_unpacked_or_absent():
    np.testing.assert_array_equal(read_blob(memoryview(write_blob(VALUES[0], legacy=True))), VALUES[:1])
    unpacked = write_field(7, b"".join(write_field(1, size) for size in VALUES.shape)) + write_field(5, VALUES.tobytes())
    np.testing.assert_array_equal(read_blob(memoryview(unpacked)), VALUES)
    assert read_blob(memoryview(write_field(5, struct.pack("<f", 7)))) == 7  # a scalar has no axes


def test_floats_each_with_a_tag_are_read():
    np.testing.assert_array_equal(read_blob(memoryview(write_unpacked_blob([1, 2.5, -3]))), [1, 2.5, -3])


@pytest.mark.parametrize(("raw_type", "dtype"), [(0, "<f8"), (1, "<f4"), (2, "<f2")])
def test_nvidia_raw_data(raw_type, dtype):
    content = write_field(7, write_field(1, 12)) + write_field(10, raw_type) + write_field(12, VALUES.astype(dtype).tobytes())
    np.testing.assert_array_equal(read_blob(memoryview(content)), VALUES.ravel())


def test_doubles_become_floats():
    content = write_field(7, write_field(1, 12)) + write_field(8, VALUES.astype("<f8").tobytes())
    blob = read_blob(memoryview(content))
    assert blob.dtype == np.float32
    np.testing.assert_array_equal(blob, VALUES.ravel())


def test_unknown_fields_are_skipped():
    extra = (
        write_field(900, b"text")
        + write_field(901, 5)
        + write_varint(902 << 3 | 1)
        + bytes(8)
        + write_varint(903 << 3 | 5)
        + bytes(4)
    )
    np.testing.assert_array_equal(read_blob(memoryview(extra + write_blob(VALUES) + extra)), VALUES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (write_field(7, write_field(1, 5)) + write_field(5, bytes(16)), r"shape \[5\] has 4 values"),
        (write_field(7, write_field(1, 2**40)) + write_field(5, bytes(16)), "has 4 values"),
        (write_field(7, write_field(1, 2**63)) + write_field(5, bytes(16)), "has 4 values"),
        (write_field(7, b"".join([write_field(1, 1)] * 40)) + write_field(5, bytes(4)), "has 1 values"),
        (write_field(5, bytes(7)), "no whole number"),
        (write_varint(5 << 3 | 2) + write_varint(2**60), "where 0 are left"),
        (write_field(5, 3), "a number where bytes belong"),
        (write_field(1, b"3"), "bytes where a number belongs"),
    ],
)
def test_damage_is_told_in_one_line(content, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        read_blob(memoryview(content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", write_field(1, b"only a name"), b"PK\x03\x04 something else"])
def test_no_caffemodel_is_refused(content):
    with pytest.raises(InvalidInput):
        read_weights(content)


def test_other_schemas_are_named():
    with pytest.raises(Unsupported, match="HDF5"):
        read_weights(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(Unsupported, match="V0"):
        read_weights(write_field(2, write_field(1, b"")))
    with pytest.raises(Unsupported, match="NVIDIA type 3"):
        read_blob(memoryview(write_field(10, 3) + write_field(12, bytes(4))))


def test_two_layers_with_weights_and_one_name_are_refused():
    twice = write_caffemodel({"conv": [VALUES]}) * 2
    with pytest.raises(Unsupported, match="'conv'"):
        read_weights(twice)
