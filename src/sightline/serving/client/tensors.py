"""Tensors of the Open Inference Protocol V2 as a client writes and reads them: JSON in front, little-endian bytes behind.

The binary tensor extension puts the length of the JSON into a header; the tensors follow it in the order they are named.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from sightline.core.errors import InvalidInput
from sightline.serving.datatypes import DATATYPES, DTYPES

LENGTH_HEADER = "Inference-Header-Content-Length"
UNREADABLE = (
    ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError, msgspec.DecodeError,
)  # fmt: skip
BYTES_LENGTH = 4  # of the length in front of an element of a BYTES tensor


def write_infer_request(tensors: Mapping[str, np.ndarray], outputs: Sequence[str] = ()) -> tuple[bytes, dict[str, str]]:
    """Body and headers of `POST /v2/models/NAME/infer`.

    Args:
        tensors: input name -> array with its batch axis; BYTES as arrays of bytes or str objects.
        outputs: names of the wanted outputs; empty asks for all.

    Raises: InvalidInput for no tensors or a type the protocol has no word for.
    """
    if not tensors:
        raise InvalidInput("expected at least one tensor, got none; metadata(model) names the inputs")
    inputs, parts = [], []
    for name, tensor in tensors.items():
        datatype, content = encode_tensor(name, np.asarray(tensor))
        parameters = {"binary_data_size": len(content)}
        inputs.append({"name": name, "shape": list(np.shape(tensor)), "datatype": datatype, "parameters": parameters})
        parts.append(content)
    header: dict[str, Any] = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    if outputs:
        header["outputs"] = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    head = msgspec.json.encode(header)
    headers = {"Content-Type": "application/octet-stream", LENGTH_HEADER: str(len(head))}
    return b"".join([head, *parts]), headers


def read_infer_answer(body: bytes, header_length: str | None) -> dict[str, np.ndarray]:
    """Output name -> array. Args: header_length: of the answer's `Inference-Header-Content-Length`; None: JSON alone.

    Raises: InvalidInput when the answer does not follow the protocol.
    """
    try:
        size = len(body) if header_length is None else int(header_length)
        outputs = msgspec.json.decode(body[:size])["outputs"]
        found, at = {}, size
        for output in outputs:
            count = output.get("parameters", {}).get("binary_data_size")
            shape = tuple(output["shape"])
            if count is None:
                found[output["name"]] = decode_values(output["datatype"], shape, output["data"])
                continue
            found[output["name"]] = decode_tensor(output["datatype"], shape, body[at : at + count])
            at += count
    except UNREADABLE as error:
        raise InvalidInput(f"the server does not answer as the protocol says: {error}; is the URL right?") from error
    return found


def encode_tensor(name: str, tensor: np.ndarray) -> tuple[str, bytes]:
    """Datatype and bytes of a tensor. Raises: InvalidInput for a type the protocol has no word for."""
    if tensor.dtype.kind in "OSU":
        return "BYTES", b"".join(encode_element(name, element) for element in tensor.ravel().tolist())
    little = tensor.dtype.newbyteorder("<")
    if little not in DATATYPES:
        known = ", ".join(sorted(str(dtype) for dtype in DATATYPES))
        raise InvalidInput(f"expected tensor {name!r} of {known} or bytes, got {tensor.dtype}; convert it")
    return DATATYPES[little], np.ascontiguousarray(tensor, little).tobytes()


def encode_element(name: str, element: object) -> bytes:
    """An element of a BYTES tensor, its length in front."""
    content = element.encode() if isinstance(element, str) else element
    if not isinstance(content, bytes):
        raise InvalidInput(f"expected the elements of {name!r} to be bytes or str, got {type(element).__name__}")
    return len(content).to_bytes(BYTES_LENGTH, "little") + content


def decode_tensor(datatype: str, shape: tuple[int, ...], content: bytes) -> np.ndarray:
    """Array of a tensor's bytes; BF16, which numpy lacks, becomes float32. Raises: ValueError, KeyError."""
    if datatype == "BYTES":
        return make_bytes_array(split_elements(content), shape)
    if datatype == "BF16":  # the upper half of a float32
        return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    return np.frombuffer(content, DTYPES[datatype]).reshape(shape).copy()


def decode_values(datatype: str, shape: tuple[int, ...], values: Sequence[Any]) -> np.ndarray:
    """Array of a tensor that stands in the JSON, flat or nested."""
    if datatype == "BYTES":
        flat = [value.encode() for value in np.asarray(values, object).ravel().tolist()]
        return make_bytes_array(flat, shape)
    return np.asarray(values, DTYPES[datatype]).reshape(shape)


def split_elements(content: bytes) -> list[bytes]:
    """Elements of a BYTES tensor. Raises: ValueError when the last one is cut off."""
    elements, at = [], 0
    while at < len(content):
        size = int.from_bytes(content[at : at + BYTES_LENGTH], "little")
        at += BYTES_LENGTH
        if at + size > len(content):
            raise ValueError("a BYTES tensor ends within an element")
        elements.append(content[at : at + size])
        at += size
    return elements


def make_bytes_array(elements: Sequence[bytes], shape: tuple[int, ...]) -> np.ndarray:
    """An object array of bytes; not "S", which would lose zeros at the end."""
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(shape)
