import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from sightline.core.errors import InvalidInput, UnreadableDataset, UnreadableImage
from sightline.data.formats.lmdb.datum import Datum, pack_pixels, read_blob, read_datum, unpack_pixels, write_datum

INT32, FLOAT, BYTES, BOOL, DOUBLE, INT64, MESSAGE = 5, 2, 12, 8, 1, 3, 11
OPTIONAL, REPEATED = 1, 3
FIELDS = {
    "Datum": [
        ("channels", 1, INT32, OPTIONAL),
        ("height", 2, INT32, OPTIONAL),
        ("width", 3, INT32, OPTIONAL),
        ("data", 4, BYTES, OPTIONAL),
        ("label", 5, INT32, OPTIONAL),
        ("float_data", 6, FLOAT, REPEATED),
        ("encoded", 7, BOOL, OPTIONAL),
    ],
    "BlobShape": [("dim", 1, INT64, REPEATED)],
    "BlobProto": [
        ("num", 1, INT32, OPTIONAL),
        ("channels", 2, INT32, OPTIONAL),
        ("height", 3, INT32, OPTIONAL),
        ("width", 4, INT32, OPTIONAL),
        ("data", 5, FLOAT, REPEATED),
        ("shape", 7, MESSAGE, OPTIONAL),
        ("double_data", 8, DOUBLE, REPEATED),
    ],
}


def make_messages(packed: bool):
    """The messages of Caffe's published schema, by Google's own protobuf."""
    file = descriptor_pb2.FileDescriptorProto(name=f"caffe{packed}.proto", package=f"caffe{packed}", syntax="proto2")
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, label in fields:
            field = message.field.add(name=field_name, number=number, type=kind, label=label)
            if kind == MESSAGE:
                field.type_name = f".caffe{packed}.BlobShape"
            elif label == REPEATED:
                field.options.packed = packed
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe{packed}.{name}")) for name in FIELDS}


CAFFE = make_messages(packed=True)
CAFFE_UNPACKED = make_messages(packed=False)


@pytest.mark.parametrize("label", [0, 1, 127, 128, 999, 2**31 - 1, -1, -(2**31)])
def test_a_datum_reads_and_writes_as_protobuf_does(label):
    theirs = CAFFE["Datum"](channels=3, height=300, width=2, data=bytes(range(200)), label=label, encoded=True)
    ours = Datum(channels=3, height=300, width=2, data=bytes(range(200)), label=label, is_encoded=True)
    assert read_datum(theirs.SerializeToString()) == ours
    assert write_datum(ours) == theirs.SerializeToString()


def test_fields_may_be_absent_unknown_or_come_twice():
    assert read_datum(b"") == Datum()
    assert read_datum(bytes([5 << 3, 1, 5 << 3, 2])).label == 2
    unknown = bytes([9 << 3 | 5, 1, 2, 3, 4, 10 << 3 | 1, *range(8), 11 << 3 | 2, 2, 0, 0, 12 << 3, 200, 1])
    assert read_datum(unknown + bytes([5 << 3, 7])) == Datum(label=7)


@pytest.mark.parametrize("messages", [CAFFE, CAFFE_UNPACKED])
def test_a_datum_of_floats_is_no_picture(messages):
    datum = read_datum(messages["Datum"](channels=1, height=1, width=2, float_data=[1.0, 2.0]).SerializeToString())
    assert datum.has_floats
    with pytest.raises(UnreadableImage, match="floats"):
        unpack_pixels(datum)


@pytest.mark.parametrize(
    "content",
    [
        bytes([4 << 3 | 2, 5, 1, 2]),  # data of 5 bytes, 2 are there
        bytes([4 << 3 | 2, *[255] * 9, 1]),  # data of 2^64 - 1 bytes
        bytes([5 << 3]),  # no value
        bytes([5 << 3, *[255] * 11]),  # a varint without an end
        bytes([1 << 3 | 3]),  # a group, which proto2 gave up
        bytes([1 << 3 | 7, 0]),  # no such kind
        bytes([0, 0]),  # field 0
        bytes([4 << 3, 7]),  # data as a number
        bytes([5 << 3 | 2, 1, 7]),  # a label as bytes
    ],
)
def test_a_damaged_datum_is_refused_in_one_line(content):
    with pytest.raises(UnreadableDataset) as caught:
        read_datum(content)
    assert "\n" not in str(caught.value)


def test_raw_pixels_are_planes_of_blue_green_and_red():
    image = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)  # (1, 2, 3) RGB
    datum = pack_pixels(image, 9)
    assert datum == Datum(channels=3, height=1, width=2, data=bytes([3, 6, 2, 5, 1, 4]), label=9)
    assert np.array_equal(unpack_pixels(datum), image)
    gray = Datum(channels=1, height=2, width=1, data=bytes([7, 8]))
    assert unpack_pixels(gray).tolist() == [[[7, 7, 7]], [[8, 8, 8]]]


@pytest.mark.parametrize("sizes", [(3, 2, 3), (3, -1, -2), (0, 0, 0), (2, 1, 3), (3, 2**30, 2**30)])
def test_sizes_that_do_not_fit_the_bytes_are_refused(sizes):
    channels, height, width = sizes
    with pytest.raises(UnreadableImage):
        unpack_pixels(Datum(channels=channels, height=height, width=width, data=bytes(6)))


@pytest.mark.parametrize("messages", [CAFFE, CAFFE_UNPACKED])
def test_a_mean_image_is_read(messages):
    values = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    old = messages["BlobProto"](num=1, channels=3, height=2, width=2, data=values.ravel().tolist())
    new = messages["BlobProto"](double_data=values.ravel().tolist())
    new.shape.dim.extend([1, 3, 2, 2])
    for blob in (old, new):
        assert np.array_equal(read_blob(blob.SerializeToString()), values)


def test_a_damaged_mean_image_is_refused():
    whole = CAFFE["BlobProto"](num=1, channels=3, height=2, width=2, data=[1.0] * 12).SerializeToString()
    for content in (b"", b"\xff" * 30, whole[:-3], whole[:-4], CAFFE["BlobProto"](channels=3, data=[1.0]).SerializeToString()):
        with pytest.raises(InvalidInput):
            read_blob(content)
