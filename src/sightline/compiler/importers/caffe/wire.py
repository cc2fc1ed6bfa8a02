"""Read the weights of a caffemodel or the mean picture of a binaryproto.

Only names and blobs are read: what the layers do, the prototxt says. Blobs are views of the file's bytes where they can be, and
a stated shape must fit the values that are there. Field numbers: caffe.proto (V2 `layer` = 100, V1 `layers` = 2).
"""

import math
from itertools import islice

import numpy as np

from sightline.core.errors import InvalidInput, Unsupported
from sightline.core.protobuf_wire import read_fields

MOST_AXES = 32  # caffe.proto: kMaxBlobAxes
LAYER, V1_LAYER = 100, 2
NAME_AND_BLOBS = {LAYER: (1, 7), V1_LAYER: (4, 6)}  # field numbers of a layer's name and blobs
V0_LAYER = 1  # inside a V1 layer
HDF5_MAGIC = b"\x89HDF"
RAW_TYPES = {0: "<f8", 1: "<f4", 2: "<f2"}  # blobs as NVIDIA's caffe.proto stores them

Blobs = tuple[np.ndarray, ...]


def read_weights(content: bytes) -> dict[str, Blobs]:
    """The blobs of each layer that has some, float32, by layer name.

    Raises: InvalidInput for a damaged file, Unsupported for HDF5 snapshots and the pre-2013 (V0) schema.
    """
    if content.startswith(HDF5_MAGIC):
        raise Unsupported("this caffemodel is an HDF5 snapshot; save it as a binaryproto (snapshot_format: BINARYPROTO)")
    weights: dict[str, Blobs] = {}
    layer_count = 0
    for field in read_fields(memoryview(content)):
        if field.number in NAME_AND_BLOBS:
            layer_count += 1
            name, blobs = _read_layer(field.as_bytes(), *NAME_AND_BLOBS[field.number], is_v1=field.number == V1_LAYER)
            if blobs:
                if name in weights:
                    raise Unsupported(f"two layers of the caffemodel are named {name!r} and both have weights; rename one")
                weights[name] = blobs
    if not layer_count:
        raise InvalidInput("expected a caffemodel with layers, got none; the file is damaged or no caffemodel")
    return weights


def read_blob(content: memoryview) -> np.ndarray:
    """A blob as float32 in its own shape, a view of the bytes where it can be one.

    Raises: InvalidInput when the shape and the values do not fit.
    """
    shape: list[int] | None = None
    legacy: dict[int, int] = {}
    pieces: list[np.ndarray] = []
    raw_type, raw = 1, None
    for field in read_fields(content):
        if field.number in (1, 2, 3, 4):
            legacy[field.number] = field.as_integer()
        elif field.number == 5:
            pieces.append(_read_array(field.as_bytes(), "<f4"))
        elif field.number == 7:
            shape = _read_shape(field.as_bytes())
        elif field.number == 8:
            pieces.append(_read_array(field.as_bytes(), "<f8"))
        elif field.number == 10:
            raw_type = field.as_integer()
        elif field.number == 12:
            raw = field.as_bytes()
    if raw is not None:
        if raw_type not in RAW_TYPES:
            raise Unsupported(f"blobs of NVIDIA type {raw_type} are not floats; save the network with float weights")
        pieces.append(_read_array(raw, RAW_TYPES[raw_type]))
    values = pieces[0] if len(pieces) == 1 else np.concatenate([np.zeros(0, np.float32), *pieces])
    return _shape_blob(values, shape if shape is not None else [legacy.get(axis, 0) for axis in (1, 2, 3, 4)] if legacy else [])


def _read_layer(content: memoryview, name_field: int, blob_field: int, is_v1: bool) -> tuple[str, Blobs]:
    name, blobs = "", []
    for field in read_fields(content):
        if field.number == name_field:
            name = bytes(field.as_bytes()).decode("utf-8", errors="replace")
        elif field.number == blob_field:
            blobs.append(read_blob(field.as_bytes()))
        elif is_v1 and field.number == V0_LAYER:
            raise Unsupported("this caffemodel has the schema of 2013 (V0); upgrade it with Caffe's upgrade_net_proto_binary")
    return name, tuple(blobs)


def _read_shape(content: memoryview) -> list[int]:
    sizes = (size for field in read_fields(content) if field.number == 1 for size in field.as_integers())
    return list(islice(sizes, MOST_AXES + 1))


def _shape_blob(values: np.ndarray, shape: list[int]) -> np.ndarray:
    if len(shape) > MOST_AXES or any(size < 0 for size in shape) or math.prod(shape) != len(values):
        raise _damaged(f"a blob of shape {shape[:MOST_AXES]} has {len(values)} values")
    return values.reshape(shape)


def _read_array(content: memoryview, kind: str) -> np.ndarray:
    dtype = np.dtype(kind)
    if len(content) % dtype.itemsize:
        raise _damaged(f"{len(content)} bytes are no whole number of {dtype.name} values")
    with np.errstate(over="ignore"):  # a double too large becomes an infinity, which no layer accepts
        return np.frombuffer(content, dtype).astype(np.float32, copy=False)


def _damaged(what: str) -> InvalidInput:
    return InvalidInput(f"expected weights as Caffe writes them, but {what}; the file is damaged or no Caffe file")
