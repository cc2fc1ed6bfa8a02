"""Caffe's Datum, one picture with its label, as bytes: a small reader and writer of the published protobuf message.

    message Datum {
      optional int32 channels = 1;  optional int32 height = 2;  optional int32 width = 3;
      optional bytes data = 4;      optional int32 label = 5;   repeated float float_data = 6;
      optional bool encoded = 7 [default = false];
    }

A raw Datum holds uint8 pixels as (C, H, W) in BGR order, an encoded one the bytes of a picture file. The wire format (protobuf,
"Encoding") is a list of fields, each a tag (number << 3 | kind) and a value: a varint, 8 bytes, a length with so many bytes, or
4 bytes. The same walk reads a BlobProto, in which Caffe keeps a mean image.
"""

import struct
from collections.abc import Iterator

import msgspec
import numpy as np

from sightline.core.errors import InvalidInput, UnreadableDataset, UnreadableImage

VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5
FIXED_SIZES = {FIXED_64: 8, FIXED_32: 4}
VARINT_BYTES = 10
CHANNELS, HEIGHT, WIDTH, DATA, LABEL, FLOAT_DATA, ENCODED = range(1, 8)
BLOB_CHANNELS, BLOB_HEIGHT, BLOB_WIDTH, BLOB_DATA, BLOB_SHAPE, BLOB_DOUBLES = 2, 3, 4, 5, 7, 8
SHAPE_DIMENSIONS = 1


class Datum(msgspec.Struct, frozen=True, kw_only=True):
    """A picture with its label.

    Attributes:
        channels, height, width: of the raw pixels; 0 where a writer left them out, as is allowed for encoded pictures.
        data: raw pixels, or the bytes of a picture file.
        label: class number; 0 when the message holds none, which is how Caffe reads it.
        has_floats: whether it holds `float_data`: features, not a picture.
        is_encoded: whether `data` is a picture file.
    """

    channels: int = 0
    height: int = 0
    width: int = 0
    data: bytes = b""
    label: int = 0
    has_floats: bool = False
    is_encoded: bool = False


def read_datum(content: bytes) -> Datum:
    """Read a message. Raises: UnreadableDataset when the bytes are no Datum."""
    found: dict[int, int | bytes] = {}
    for number, value in walk_fields(content):
        expected = bytes if number == DATA else int
        if CHANNELS <= number <= ENCODED and number != FLOAT_DATA and not isinstance(value, expected):
            raise UnreadableDataset(f"expected a Datum, got field {number} of another type; write the data set again")
        found[number] = value  # of a field that comes twice, the last counts
    numbers = {number: value for number, value in found.items() if isinstance(value, int)}
    data = found.get(DATA, b"")
    return Datum(
        channels=_to_int32(numbers.get(CHANNELS, 0)),
        height=_to_int32(numbers.get(HEIGHT, 0)),
        width=_to_int32(numbers.get(WIDTH, 0)),
        data=data if isinstance(data, bytes) else b"",
        label=_to_int32(numbers.get(LABEL, 0)),
        has_floats=FLOAT_DATA in found,
        is_encoded=bool(numbers.get(ENCODED, 0)),
    )


def write_datum(datum: Datum) -> bytes:
    """Write a message with the fields in order of their numbers, as protobuf does."""
    parts = [
        _write_number(number, value)
        for number, value in ((CHANNELS, datum.channels), (HEIGHT, datum.height), (WIDTH, datum.width))
        if value
    ]
    parts += [_write_varint(DATA << 3 | BYTES), _write_varint(len(datum.data)), datum.data]
    parts.append(_write_number(LABEL, datum.label))
    if datum.is_encoded:
        parts.append(_write_number(ENCODED, 1))
    return b"".join(parts)


def unpack_pixels(datum: Datum) -> np.ndarray:
    """The pixels of a raw Datum as `(H, W, 3)` uint8 RGB; gray becomes three equal channels.

    Raises: UnreadableImage when its sizes and its bytes do not fit, or it holds floats.
    """
    shape = (datum.channels, datum.height, datum.width)
    if datum.has_floats and not datum.data:
        raise UnreadableImage("expected a Datum of uint8 pixels, got one of floats; export pictures, not features")
    if datum.channels not in (1, 3) or min(shape) < 1 or datum.channels * datum.height * datum.width != len(datum.data):
        raise UnreadableImage(f"expected a Datum of 1 or 3 channels, got sizes {shape} with {len(datum.data)} bytes")
    planes = np.frombuffer(datum.data, np.uint8).reshape(shape)  # (C, H, W), BGR
    ordered = planes[::-1] if datum.channels == 3 else np.repeat(planes, 3, axis=0)
    return np.ascontiguousarray(ordered.transpose(1, 2, 0))  # (C, H, W) -> (H, W, C)


def pack_pixels(image: np.ndarray, label: int) -> Datum:
    """A raw Datum of a picture `(H, W, 3)` uint8 RGB."""
    planes = np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1))  # (H, W, C) -> (C, H, W), BGR
    channels, height, width = planes.shape
    return Datum(channels=channels, height=height, width=width, data=planes.tobytes(), label=label)


def read_blob(content: bytes) -> np.ndarray:
    """The array of a BlobProto (`mean.binaryproto`): `(C, H, W)` float64, channels in BGR order.

    Raises: InvalidInput when the bytes are no BlobProto of one picture.
    """
    sizes = {BLOB_CHANNELS: 0, BLOB_HEIGHT: 0, BLOB_WIDTH: 0}
    dimensions: list[int] = []
    values: list[np.ndarray] = []
    try:
        for number, value in walk_fields(content):
            if number in sizes and isinstance(value, int):
                sizes[number] = _to_int32(value)
            elif number == BLOB_SHAPE and isinstance(value, bytes):
                dimensions = read_dimensions(value)
            elif number in (BLOB_DATA, BLOB_DOUBLES) and isinstance(value, bytes):
                values.append(np.frombuffer(value, "<f4" if number == BLOB_DATA else "<f8").astype(np.float64))
    except (UnreadableDataset, ValueError) as error:
        raise InvalidInput(f"expected a BlobProto, got bytes that are none: {error}") from error
    shape = tuple(dimensions[-3:]) if dimensions else tuple(sizes.values())
    flat = np.concatenate(values) if values else np.zeros(0)
    if len(shape) != 3 or min(shape) < 1 or shape[0] * shape[1] * shape[2] != flat.size or not np.isfinite(flat).all():
        raise InvalidInput(f"expected a BlobProto of one picture (C, H, W), got shape {shape} with {flat.size} numbers")
    return flat.reshape(shape)


def read_dimensions(content: bytes) -> list[int]:
    """Sizes of a BlobShape, packed or not."""
    found: list[int] = []
    for number, value in walk_fields(content):
        if number != SHAPE_DIMENSIONS:
            continue
        if isinstance(value, int):
            found.append(value)
            continue
        place = 0
        while place < len(value):
            size, place = _read_varint(value, place)
            found.append(size)
    return found


def walk_fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field: an int for a varint, bytes for all else.

    Raises: UnreadableDataset for a field that ends outside of the message or is of no known kind.
    """
    place = 0
    while place < len(content):
        tag, place = _read_varint(content, place)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise UnreadableDataset("expected a protobuf message, got a field of number 0; write the data set again")
        if kind == VARINT:
            value, place = _read_varint(content, place)
            yield number, value
            continue
        if kind == BYTES:
            size, place = _read_varint(content, place)
        elif kind in FIXED_SIZES:
            size = FIXED_SIZES[kind]
        else:
            raise UnreadableDataset(f"expected a protobuf message, got a field of kind {kind}; write the data set again")
        if place + size > len(content):
            raise UnreadableDataset("expected a whole protobuf message, got one that was cut or damaged; write it again")
        yield number, content[place : place + size]
        place += size


def _read_varint(content: bytes, place: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(content[place : place + VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, place + index + 1
    raise UnreadableDataset("expected a whole protobuf message, got a number without an end; write it again")


def _write_varint(value: int) -> bytes:
    rest, parts = value & 0xFFFF_FFFF_FFFF_FFFF, bytearray()
    while rest > 0x7F:
        parts.append(rest & 0x7F | 0x80)
        rest >>= 7
    parts.append(rest)
    return bytes(parts)


def _write_number(number: int, value: int) -> bytes:
    return _write_varint(number << 3 | VARINT) + _write_varint(value)


def _to_int32(value: int) -> int:
    """A varint as the int32 it stands for: negative numbers fill all 64 bits."""
    (number,) = struct.unpack("<i", struct.pack("<I", value & 0xFFFF_FFFF))
    return int(number)
