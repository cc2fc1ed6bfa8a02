"""Caffe's Datum, one picture with its label, as bytes: a small reader and writer of the published protobuf message.

    message Datum {
      optional int32 channels = 1;  optional int32 height = 2;  optional int32 width = 3;
      optional bytes data = 4;      optional int32 label = 5;   repeated float float_data = 6;
      optional bool encoded = 7 [default = false];
    }

A raw Datum holds uint8 pixels as (C, H, W) in BGR order, an encoded one the bytes of a picture file. A BlobProto, in which
Caffe keeps a mean image, is read here too.
"""

import struct
from collections import deque

import msgspec
import numpy as np

from sightline.core.errors import InvalidInput, UnreadableDataset, UnreadableImage
from sightline.core.protobuf_wire import Field, read_fields, write_field

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
    try:
        fields = read_fields(memoryview(content))  # of a field that comes twice, the last counts
        found = {field.number: field for field in fields if CHANNELS <= field.number <= ENCODED}
        return Datum(
            channels=_find_number(found, CHANNELS),
            height=_find_number(found, HEIGHT),
            width=_find_number(found, WIDTH),
            data=bytes(found[DATA].as_bytes()) if DATA in found else b"",
            label=_find_number(found, LABEL),
            has_floats=FLOAT_DATA in found,
            is_encoded=bool(_find_number(found, ENCODED)),
        )
    except InvalidInput as error:
        raise UnreadableDataset(f"expected a Datum, got bytes that are none: {error}") from error


def write_datum(datum: Datum) -> bytes:
    """Write a message with the fields in order of their numbers, as protobuf does."""
    sizes = ((CHANNELS, datum.channels), (HEIGHT, datum.height), (WIDTH, datum.width))
    parts = [write_field(number, size) for number, size in sizes if size]
    parts += [write_field(DATA, datum.data), write_field(LABEL, datum.label)]
    if datum.is_encoded:
        parts.append(write_field(ENCODED, 1))
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
    dimensions: deque[int] = deque(maxlen=3)  # the last three; pictures before them are one
    values: list[np.ndarray] = []
    try:
        for field in read_fields(memoryview(content)):
            if field.number in sizes:
                sizes[field.number] = _to_int32(field.as_integer())
            elif field.number == BLOB_SHAPE:
                for part in read_fields(field.as_bytes()):
                    dimensions.extend(part.as_integers() if part.number == SHAPE_DIMENSIONS else ())
            elif field.number in (BLOB_DATA, BLOB_DOUBLES):
                kind = "<f4" if field.number == BLOB_DATA else "<f8"
                values.append(np.frombuffer(field.as_bytes(), kind).astype(np.float64))
    except (InvalidInput, ValueError) as error:
        raise InvalidInput(f"expected a BlobProto, got bytes that are none: {error}") from error
    shape = tuple(dimensions or sizes.values())
    flat = np.concatenate(values) if values else np.zeros(0)
    if len(shape) != 3 or min(shape) < 1 or shape[0] * shape[1] * shape[2] != flat.size or not np.isfinite(flat).all():
        raise InvalidInput(f"expected a BlobProto of one picture (C, H, W), got shape {shape} with {flat.size} numbers")
    return flat.reshape(shape)


def _find_number(found: dict[int, Field], number: int) -> int:
    return _to_int32(found[number].as_integer()) if number in found else 0


def _to_int32(value: int) -> int:
    """A varint as the int32 it stands for: negative numbers fill all 64 bits."""
    (number,) = struct.unpack("<i", struct.pack("<I", value & 0xFFFF_FFFF))
    return int(number)
