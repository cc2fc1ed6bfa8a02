"""Tensors of the Open Inference Protocol as numpy arrays: from and to JSON values and little-endian bytes.

Whatever a client claims of a tensor is checked against what it sent before anything is allocated: a shape is bounded, and
its number of elements must be that of the data. Numbers that come as bytes are not copied; the array looks into the body.
`BYTES` elements are a u32 length and that many bytes each; `BF16` has no numpy type and is float32 here.

Source: Open Inference Protocol V2, "Tensor Data"; binary tensor data extension of Triton Inference Server.
"""

import base64
import binascii
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from sightline.core.errors import InvalidInput
from sightline.serving.datatypes import DATATYPES as DATATYPES_OF_NUMBERS
from sightline.serving.datatypes import DTYPES as NUMBERS

MAX_RANK = 16
MAX_ELEMENTS = 2**31 - 1
LENGTH_BYTES = 4  # of the u32 before each BYTES element
MAX_BYTES_ELEMENTS = 2**16  # each becomes an object of some hundred bytes, however short it is
PIECE_BYTES = 64 * 1024  # of JSON text that is parsed at once
PIECE_VALUES = 16 * 1024  # of Python numbers that become an array at once
SHOWN_NAME = 100  # characters of a client's name that a message repeats

DTYPES: dict[str, np.dtype[Any]] = {**NUMBERS, "BF16": np.dtype("<f4"), "BYTES": np.dtype(object)}
ITEM_BYTES = {name: dtype.itemsize for name, dtype in DTYPES.items()} | {"BF16": 2}
DATATYPES = {**DATATYPES_OF_NUMBERS, np.dtype(object): "BYTES"}

_JSON_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {  # by numpy's kind
    "b": msgspec.json.Decoder(list[bool]),
    "i": msgspec.json.Decoder(list[int]),
    "u": msgspec.json.Decoder(list[int]),
    "f": msgspec.json.Decoder(list[float]),
}


def find_datatype(array: np.ndarray) -> str:
    """The protocol's word for an array's element type; `bytes` (dtype object or S) are BYTES. Raises: InvalidInput."""
    if array.dtype.kind in "SO":
        return "BYTES"
    datatype = DATATYPES.get(array.dtype.newbyteorder("<"))
    if datatype is None:
        raise InvalidInput(f"expected a tensor of {', '.join(DATATYPES.values())}, got {array.dtype}; convert it first")
    return datatype


def find_dtype(name: str, datatype: str) -> np.dtype[Any]:
    """Element type of a datatype; object for BYTES. Args: name: of the tensor, for the message. Raises: InvalidInput."""
    dtype = DTYPES.get(datatype)
    if dtype is None:
        raise InvalidInput(f"expected input {shorten(name)} to be of {', '.join(DTYPES)}, got {datatype[:SHOWN_NAME]!r}")
    return dtype


def count_elements(name: str, shape: Sequence[int]) -> int:
    """Elements of a tensor of this shape, which a client claims.

    Raises: InvalidInput for negative dimensions, more than 16 of them, or more than 2**31 - 1 elements.
    """
    if len(shape) > MAX_RANK:
        raise InvalidInput(f"expected input {shorten(name)} to have at most {MAX_RANK} dimensions, got {len(shape)}")
    if any(dimension < 0 for dimension in shape):
        raise InvalidInput(f"expected input {shorten(name)} to have dimensions from 0, got shape {list(shape)}")
    # Empty dimensions must not hide huge ones, which numpy refuses in its own words.
    if math.prod(max(dimension, 1) for dimension in shape) > MAX_ELEMENTS:
        raise InvalidInput(f"expected input {shorten(name)} to have at most {MAX_ELEMENTS} elements, got shape {list(shape)}")
    return math.prod(shape)


def decode_binary(name: str, datatype: str, shape: Sequence[int], buffer: bytes | bytearray | memoryview) -> np.ndarray:
    """An array from a tensor's little-endian bytes, row-major.

    Args:
        name: of the tensor, for messages.
        buffer: exactly the tensor's bytes; numbers are not copied and the array is as writable as the buffer.

    Returns: an array of `shape`; BF16 as float32, BYTES as an object array of `bytes`.
    Raises: InvalidInput when the shape is impossible or asks for another number of bytes.
    """
    dtype = find_dtype(name, datatype)
    count = count_elements(name, shape)
    if datatype == "BYTES":
        return _make_object_array([bytes(element) for element in read_bytes_elements(buffer, count, name)], shape)
    expected_bytes = count * ITEM_BYTES[datatype]
    if len(buffer) != expected_bytes:
        raise InvalidInput(
            f"expected input {shorten(name)} of {datatype} {list(shape)} to have {expected_bytes} bytes, got {len(buffer)}; "
            "send the elements without gaps, little-endian"
        )
    if datatype == "BF16":
        return _widen_bf16(np.frombuffer(buffer, "<u2")).reshape(shape)
    array: np.ndarray = np.frombuffer(buffer, dtype if datatype != "BOOL" else np.uint8).reshape(shape)
    return array != 0 if datatype == "BOOL" else array  # a byte other than 0 and 1 is no valid bool to numpy


def read_bytes_elements(buffer: bytes | bytearray | memoryview, count: int, name: str = "BYTES") -> list[memoryview]:
    """The elements of a BYTES tensor, as views into `buffer`.

    Args:
        buffer: u32 length, little-endian, and that many bytes, `count` times, and nothing else.
        name: of the tensor, for messages.

    Raises: InvalidInput when lengths and buffer do not fit.
    """
    check_bytes_count(name, count)
    view = memoryview(buffer)
    elements, start = [], 0
    for _ in range(count):
        first = start + LENGTH_BYTES
        start = first + int.from_bytes(view[start:first], "little")
        if first > len(view) or start > len(view):
            raise _wrong_elements(name, count, len(view))
        elements.append(view[first:start])
    if start != len(view):
        raise _wrong_elements(name, count, len(view))
    return elements


def check_bytes_count(name: str, count: int) -> None:
    """Raises: InvalidInput for a BYTES tensor of more elements than are taken."""
    if count > MAX_BYTES_ELEMENTS:
        raise InvalidInput(
            f"expected input {shorten(name)} of BYTES to have at most {MAX_BYTES_ELEMENTS} elements, got {count}"
        )


def _wrong_elements(name: str, count: int, size_bytes: int) -> InvalidInput:
    return InvalidInput(
        f"expected input {shorten(name)} to hold {count} BYTES elements, each a u32 length and its bytes, and nothing after "
        f"them; {size_bytes} bytes do not divide so"
    )


def decode_json(
    name: str, datatype: str, shape: Sequence[int], data: bytes | memoryview, is_base64: bool = False
) -> np.ndarray:
    """An array from the JSON text of a tensor's `data`: a list in row-major order, flat or nested like the shape.

    Args:
        name: of the tensor, for messages.
        data: valid JSON text; it need not be split or decoded before.
        is_base64: BYTES elements are base64; otherwise a string stands for its UTF-8.

    Raises: InvalidInput for another number of elements, elements of another type or out of range, and BF16.
    """
    dtype = find_dtype(name, datatype)
    count = count_elements(name, shape)
    if datatype == "BF16":
        raise InvalidInput(f"input {shorten(name)} of BF16 has no form in JSON; send it as binary data, or as FP32")
    if len(data) < count:
        raise _wrong_count(name, shape, "fewer")
    try:
        if datatype == "BYTES":
            return _make_object_array(_read_texts(name, shape, data, is_base64), shape)
        return _read_numbers(data, dtype, count).reshape(shape)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise InvalidInput(
            f"expected data of input {shorten(name)} to be a list of {datatype} elements, got {error}"
        ) from error
    except (OverflowError, FloatingPointError) as error:
        raise InvalidInput(f"expected input {shorten(name)} to hold {datatype} elements, got one that does not fit") from error
    except _WrongCount as error:
        raise _wrong_count(name, shape, str(error)) from error


def make_array(name: str, datatype: str, shape: Sequence[int], values: Sequence[Any]) -> np.ndarray:
    """An array from Python numbers, bools or, for BYTES, `bytes`, in row-major order.

    Raises: InvalidInput for another number of values, or values that the datatype cannot hold.
    """
    dtype = find_dtype(name, datatype)
    if len(values) != count_elements(name, shape):
        raise _wrong_count(name, shape, str(len(values)))
    if datatype == "BYTES":
        return _make_object_array(values, shape)
    try:
        array = np.empty(len(values), dtype)
        with np.errstate(over="raise"):
            for first in range(0, len(values), PIECE_VALUES):  # other threads run between the pieces
                piece = values[first : first + PIECE_VALUES]
                array[first : first + len(piece)] = np.fromiter(piece, dtype, len(piece))
        return array.reshape(shape)
    except (OverflowError, FloatingPointError, TypeError, ValueError) as error:
        raise InvalidInput(f"expected input {shorten(name)} to hold {datatype} elements, got one that does not fit") from error


def encode_binary(array: np.ndarray, datatype: str = "") -> bytes | memoryview:
    """An array's elements, row-major and little-endian; numbers that lie so already are not copied.

    Args:
        datatype: "BF16" rounds float32 to it; otherwise the array's own is taken.
    """
    if datatype == "BF16":
        return _narrow_to_bf16(array).data.cast("B") if array.size else b""
    if array.dtype.kind in "SO":
        return b"".join(itertools.chain.from_iterable((len(e).to_bytes(LENGTH_BYTES, "little"), e) for e in array.ravel()))
    flat = np.ascontiguousarray(array, DTYPES[find_datatype(array)]).reshape(-1)
    return flat.view(np.uint8).data if flat.size else b""


def encode_json(name: str, array: np.ndarray, datatype: str = "") -> list[Any]:
    """An array's elements as a flat list that JSON can hold, row-major; `NaN` and infinities become null when written.

    Raises: InvalidInput for BF16, and for BYTES that are no UTF-8: such outputs travel as binary data only.
    """
    if datatype == "BF16":
        raise InvalidInput(f"output {shorten(name)} of BF16 has no form in JSON; ask for binary_data")
    if array.dtype.kind not in "SO":
        values: list[Any] = array.ravel().tolist()
        return values
    try:
        return [element.decode() for element in array.ravel()]
    except UnicodeDecodeError as error:
        raise InvalidInput(f"output {shorten(name)} holds bytes that are no UTF-8; ask for binary_data") from error


def shorten(name: str) -> str:
    """A client's name as a message may repeat it: quoted, without control characters, of bounded length."""
    return repr(name[:SHOWN_NAME])


class _WrongCount(Exception):  # noqa: N818
    """Data with another number of elements than the shape has; the message says which."""


def _read_numbers(data: bytes | memoryview, dtype: np.dtype[Any], count: int) -> np.ndarray:
    """The numbers of a valid JSON list, however nested, in order.

    Text is taken in pieces that end at a comma, its brackets deleted: no list of millions of Python objects is made, and other
    threads run between the pieces.
    """
    if bytes(data[:PIECE_BYTES]).lstrip()[:1] != b"[":
        raise msgspec.DecodeError("something else than a list")
    decode = _JSON_DECODERS[dtype.kind].decode
    values = np.empty(count, dtype)
    view, start, filled = memoryview(data), 0, 0
    with np.errstate(over="raise"):
        while start < len(view):
            piece = bytes(view[start : start + PIECE_BYTES])
            if start + len(piece) < len(view):
                piece = piece[: piece.rfind(b",") + 1]
            if not piece:
                raise msgspec.DecodeError("an element of impossible length")
            start += len(piece)
            numbers = decode(b"[" + piece.translate(None, b"[]").removesuffix(b",") + b"]")
            if filled + len(numbers) > count:
                raise _WrongCount("more")
            values[filled : filled + len(numbers)] = np.fromiter(numbers, dtype, len(numbers))
            filled += len(numbers)
    if filled < count:
        raise _WrongCount(str(filled))
    return values


def _read_texts(name: str, shape: Sequence[int], data: bytes | memoryview, is_base64: bool) -> list[bytes]:
    """The elements of a JSON list of strings, nested at most twice: BYTES of pictures are `[N]` or `[N, 1]`."""
    count, text = math.prod(shape), bytes(data)
    check_bytes_count(name, count)
    rows = min(shape[0], MAX_BYTES_ELEMENTS) if shape else 0  # which may be empty
    _check_lists(text, count, 1 + max(count, rows))
    nested = msgspec.json.decode(text, type=list[str | list[str]])
    texts = [text for one in nested for text in ([one] if isinstance(one, str) else one)]
    if len(texts) != count:
        raise _WrongCount(str(len(texts)))
    if not is_base64:
        return [text.encode() for text in texts]
    try:
        return [base64.b64decode(text, validate=True) for text in texts]
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"expected elements of input {shorten(name)} to be base64, got one that is not: {error}") from error


def _check_lists(text: bytes, most_strings: int, most_lists: int) -> None:
    """Refuse valid JSON of more strings, or of more lists, before millions of either are made. Raises: _WrongCount."""
    plain = text.replace(b"\\\\", b"").replace(b'\\"', b"")  # every quote that is left begins or ends a string
    if plain.count(b'"') > 2 * most_strings:
        raise _WrongCount("more")
    if plain.count(b"[") > most_lists and sum(outside.count(b"[") for outside in plain.split(b'"')[::2]) > most_lists:
        raise _WrongCount("more lists than that")


def _wrong_count(name: str, shape: Sequence[int], got: str) -> InvalidInput:
    return InvalidInput(
        f"expected input {shorten(name)} of shape {list(shape)} to have {math.prod(shape)} elements, got {got}; "
        "make shape and data agree"
    )


def _make_object_array(elements: Iterable[bytes], shape: Sequence[int]) -> np.ndarray:
    """An object array; filled one by one, since numpy would take `bytes` apart or strip their zeros."""
    listed = list(elements)
    array = np.empty(len(listed), object)
    array[:] = listed
    return array.reshape(shape)


def _widen_bf16(halves: np.ndarray) -> np.ndarray:
    """The upper 16 bits of float32 as float32."""
    bits = halves.astype(np.uint32)
    bits <<= 16
    return bits.view(np.float32)


def _narrow_to_bf16(array: np.ndarray) -> np.ndarray:
    """Float32 rounded to the nearest bfloat16, ties to even, as u16; NaN stays NaN."""
    bits = np.ascontiguousarray(array, np.float32).reshape(-1).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    quiet_nan = (bits >> 16) | 0x40
    return np.where(np.isnan(array).reshape(-1), quiet_nan, rounded).astype("<u2")
