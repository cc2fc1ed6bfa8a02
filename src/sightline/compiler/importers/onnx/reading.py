"""Read an ONNX file nobody here made: whole, checked, and with its external weights, before anything else looks at it.

The one idea: every length is compared with the bytes that are there before memory is taken for it, and weights outside the file
are read only from its own folder, so that a damaged or hostile file ends in one line.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper

from sightline.core.errors import InvalidInput, NotFound, Unsupported

MAX_BYTES = 2_000_000_000  # protobuf's limit for one message; every engine here reads a graph as one message
MAX_TENSOR_ELEMENTS = 1 << 29  # of one tensor for one picture, 2 GiB of float32: no picture network comes near it
MOST_CHARACTERS = 240  # of an engine's message
FIRST_BYTES = frozenset(b"\x08\x12\x1a\x22\x28\x32\x3a\x42")  # fields 1 to 8 of ModelProto with their wire types (onnx.proto)


def looks_like_onnx(path: Path) -> bool:
    """Whether a file's name and first byte are an ONNX model's; False for whatever cannot be read."""
    try:
        if path.suffix.lower() != ".onnx" or not path.is_file():
            return False
        with path.open("rb") as file:
            return not FIRST_BYTES.isdisjoint(file.read(1))
    except (OSError, ValueError):
        return False


def read_model(path: Path) -> onnx.ModelProto:
    """Read a model with all its weights inside, checked by `onnx.checker`.

    Raises: NotFound for the file or its external weights; InvalidInput for a damaged one; Unsupported beyond 2 GB.
    """
    if not path.is_file():
        raise NotFound(f"no ONNX file {path}; check the path")
    if path.stat().st_size > MAX_BYTES:
        raise Unsupported(f"expected an ONNX file of at most 2 GB, got {path.stat().st_size / 1e9:.1f} GB in {path.name}")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError as error:
        raise InvalidInput(
            f"{path.name} is no ONNX file or a damaged one: {one_line(error)}; fetch or export it again"
        ) from error
    if not model.graph.node:
        raise InvalidInput(f"{path.name} holds no network: its graph is empty; fetch or export it again")
    _read_external_weights(model, path)
    if not model.graph.name:
        model.graph.name = path.stem  # the checker asks for one, engines do not
    check_model(model, path.name)
    return model


def check_model(model: onnx.ModelProto, file_name: str) -> None:
    """Let `onnx.checker` look at a model, shapes and types included. Raises: InvalidInput."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, UnicodeDecodeError, RuntimeError) as error:
        raise InvalidInput(f"{file_name} contradicts itself: {one_line(error)}; fetch or export it again") from error


def one_line(error: BaseException) -> str:
    """What an engine says, on one line of readable characters and bounded length."""
    words = " ".join("".join(sign if sign.isprintable() else " " for sign in str(error)).split())
    return (words or type(error).__name__)[:MOST_CHARACTERS]


def iterate_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and the sub-graphs of its nodes, however deep."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for subgraph in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from iterate_graphs(subgraph)


def iterate_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Nodes of a graph and of its sub-graphs."""
    return (node for one in iterate_graphs(graph) for node in one.node)


def iterate_tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """Every tensor stored in a graph and its sub-graphs: initializers, and attributes of nodes."""
    for one in iterate_graphs(graph):
        yield from one.initializer
    for node in iterate_nodes(graph):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _read_external_weights(model: onnx.ModelProto, path: Path) -> None:
    left = MAX_BYTES - path.stat().st_size
    for tensor in iterate_tensors(model.graph):
        if tensor.data_location == TensorProto.EXTERNAL:
            content = _read_external_tensor(tensor, path, left)
            left -= len(content)
            tensor.raw_data = content
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]


def _read_external_tensor(tensor: TensorProto, path: Path, most: int) -> bytes:
    stated = {entry.key: entry.value for entry in tensor.external_data}
    file = _find_external_file(stated.get("location", ""), path)
    size = _count_bytes(tensor)
    try:
        offset, length = int(stated.get("offset", "0")), int(stated.get("length", str(size)))
    except ValueError as error:
        raise InvalidInput(f"{path.name}: weight {tensor.name!r} has no number as its place in {file.name}") from error
    if offset < 0 or length != size or offset + length > file.stat().st_size:
        raise InvalidInput(
            f"{path.name}: weight {tensor.name!r} needs {size} bytes, its entry says {length} from {offset} on in {file.name}, "
            f"which has {file.stat().st_size}; fetch both files again"
        )
    if length > most:
        raise Unsupported(f"expected at most 2 GB of weights, got more in {path.name} and {file.name}")
    with file.open("rb") as stream:
        stream.seek(offset)
        return stream.read(length)


def _find_external_file(location: str, path: Path) -> Path:
    """The file of weights, which must lie in the model's own folder (ONNX ExternalData.md allows relative paths only)."""
    if location in ("", "..") or Path(location).name != location or "\\" in location or "\0" in location:
        raise InvalidInput(f"expected weights in the folder of {path.name}, got the place {location[:80]!r}; move them there")
    file = path.parent / location
    if not file.is_file():
        raise NotFound(f"{path.name} keeps weights in {location}, which is not beside it; put it there")
    if file.resolve().parent not in (path.parent.resolve(), path.resolve().parent):
        raise InvalidInput(f"expected weights in the folder of {path.name}, got a link out of it: {location}; copy the file")
    return file


def _count_bytes(tensor: TensorProto) -> int:
    try:
        width = int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"weight {tensor.name!r} has no known element type ({tensor.data_type})") from error
    if any(size < 0 for size in tensor.dims):
        raise InvalidInput(f"weight {tensor.name!r} has a negative size: {list(tensor.dims)}")
    elements: int = math.prod(tensor.dims)
    return elements * width
