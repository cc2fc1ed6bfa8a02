"""Read a .tflite file into plain records: what an operator or a tensor says, and nothing of what it means.

The file is a flatbuffer after TensorFlow Lite's published schema; the package `tflite` holds the readers generated from it.
Those trust every offset they find, so all of the file is read here, once: vectors are views that numpy checks, texts and
counts have limits, and whatever points outside the file ends as InvalidInput. Behind this module no offset is followed any
more.
"""

import functools
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sightline.core.errors import InvalidInput, Unsupported

IDENTIFIER = b"TFL3"  # at byte 4 of every file
MAX_FILE_BYTES = 2**31  # a flatbuffer's own limit
MAX_RECORDS = 100_000  # tensors, operators or buffers
MAX_NAME_BYTES = 4096
MAX_RANK = 8
MAX_ELEMENTS = 2**28  # of one tensor: 1 GiB as float32
METADATA_NAME = b"TFLITE_METADATA"
NAME_SLOT = 10  # Tensor.name in its table: 4 + 2 * its number among the schema's fields
AXIS_SLOT = 16  # QuantizationParameters.quantized_dimension
NUMPY_KINDS = {
    "FLOAT32": np.float32, "FLOAT16": np.float16, "INT32": np.int32, "UINT8": np.uint8, "INT64": np.int64, "BOOL": np.bool_,
    "INT16": np.int16, "INT8": np.int8, "FLOAT64": np.float64, "UINT64": np.uint64, "UINT32": np.uint32, "UINT16": np.uint16,
}  # fmt: skip
# What the generated readers and numpy raise for an offset, a count or a text that the bytes do not hold.
DAMAGE = (struct.error, TypeError, ValueError, LookupError, OverflowError)

Result = TypeVar("Result")
Buffers = Sequence[Callable[[], np.ndarray]]


@dataclass(frozen=True)
class Quantisation:
    """real = scale * (stored - zero_point), with one pair for the tensor or one for each index of an axis.

    Attributes:
        scales: `(1,)` or `(K,)` float32, above 0.
        zero_points: int64 of the same shape.
        axis: the axis that has K entries, in the file's order of axes; meaningless for one pair.
    """

    scales: np.ndarray
    zero_points: np.ndarray
    axis: int


@dataclass(frozen=True)
class TensorRecord:
    """A tensor of the file.

    Attributes:
        name: as the file has it, or "tensor_INDEX" where it has none.
        shape: with batch 1, axes as the file orders them; `()` for a scalar and for a tensor of unknown rank.
        kind: element type in the schema's words: "FLOAT32".
        data: the constant's stored values, or None for a tensor that is computed.
        quantisation: None for real numbers.
        is_free: whether the file leaves an axis other than the first one open.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    data: np.ndarray | None
    quantisation: Quantisation | None
    is_free: bool = False


@dataclass(frozen=True)
class OperatorRecord:
    """An operator of the file: its name in the schema, tensor numbers (-1: left out), and options by their names there."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class TfliteFile:
    """All that is read of a file.

    Attributes:
        path: where it is.
        tensors, operators: by their numbers; operators in an order in which they can run.
        inputs, outputs: numbers of the network's tensors.
        metadata: the flatbuffer of TensorFlow Lite's metadata schema, when there is one.
        wrong_axes: where in the file a vector's scales are said to lie on an axis that it does not have, as int32.
    """

    path: Path
    tensors: tuple[TensorRecord, ...]
    operators: tuple[OperatorRecord, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    metadata: bytes | None
    wrong_axes: tuple[int, ...] = ()


def read_tflite(path: Path) -> TfliteFile:
    """Read a file whole. Raises: InvalidInput for a damaged one, Unsupported for what no vision network needs."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise Unsupported(f"expected a .tflite file of at most 2 GiB, got {path.stat().st_size} bytes in {path.name}")
    content = path.read_bytes()
    if content[4:8] != IDENTIFIER:
        raise InvalidInput(f"expected a TensorFlow Lite file, got {path.name} without its identifier; check the file")
    return guard_damage(path, lambda: _read_model(path, content))


def guard_damage(path: Path, read: Callable[[], Result]) -> Result:
    """What `read` returns. Raises: InvalidInput when it meets bytes that contradict each other."""
    try:
        return read()
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:200]
        raise InvalidInput(f"{path.name} is damaged: {reason}; get the file again") from error


def _read_model(path: Path, content: bytes) -> TfliteFile:
    import tflite

    model = tflite.Model.GetRootAs(content, 0)
    if model.SubgraphsLength() != 1:
        raise Unsupported(f"expected a network of one subgraph, got {model.SubgraphsLength()} in {path.name}")
    graph = model.Subgraphs(0)
    buffer_count = _check_count("buffers", model.BuffersLength())
    buffers = [functools.partial(_read_buffer, model, content, index) for index in range(buffer_count)]
    tensors = tuple(
        _read_tensor(graph.Tensors(index), index, buffers) for index in range(_check_count("tensors", graph.TensorsLength()))
    )
    kinds = [
        _read_kind(model.OperatorCodes(index)) for index in range(_check_count("operator codes", model.OperatorCodesLength()))
    ]
    count = _check_count("operators", graph.OperatorsLength())
    file = TfliteFile(
        path=path,
        tensors=tensors,
        operators=tuple(_read_operator(graph.Operators(index), kinds) for index in range(count)),
        inputs=_list_numbers(graph.InputsAsNumpy()),
        outputs=_list_numbers(graph.OutputsAsNumpy()),
        metadata=_find_metadata(model, buffers),
        wrong_axes=_find_wrong_axes(graph),
    )
    _check_order(file)
    return file


def _check_count(what: str, count: int) -> int:
    if count > MAX_RECORDS:
        raise ValueError(f"{count} {what}")
    return count


def _read_buffer(model: Any, content: bytes, index: int) -> np.ndarray:
    """Bytes of a buffer, `(K,)` uint8; files above 2 GiB keep them behind the flatbuffer, by offset and size."""
    buffer = model.Buffers(index)
    if buffer.Offset() > 1:
        start, end = buffer.Offset(), buffer.Offset() + buffer.Size()
        if end > len(content):
            raise ValueError(f"buffer {index} ends at byte {end} of {len(content)}")
        return np.frombuffer(content, np.uint8)[start:end]
    return np.empty(0, np.uint8) if buffer.DataLength() == 0 else np.asarray(buffer.DataAsNumpy(), np.uint8)


def _read_tensor(tensor: Any, index: int, buffers: Buffers) -> TensorRecord:
    name, kind = _read_name(tensor) or f"tensor_{index}", _name_value("TensorType", tensor.Type())
    shape, signature = _list_numbers(tensor.ShapeAsNumpy()), _list_numbers(tensor.ShapeSignatureAsNumpy())
    if len(shape) > MAX_RANK or min(shape, default=1) < 0 or math.prod(shape) > MAX_ELEMENTS:
        raise ValueError(f"tensor {name} of shape {shape}")
    if tensor.Sparsity() is not None:
        raise Unsupported(f"tensor {name} has sparse weights; convert the network without them")
    data = None
    if tensor.Buffer() and len(stored := buffers[tensor.Buffer()]()):
        data = _shape_data(stored, kind, shape, name)
    return TensorRecord(
        name=name,
        shape=shape,
        kind=kind,
        data=data,
        quantisation=_read_quantisation(tensor.Quantization(), shape, kind, name),
        is_free=min(signature[1:], default=1) < 0,
    )


def _shape_data(stored: np.ndarray, kind: str, shape: tuple[int, ...], name: str) -> np.ndarray | None:
    if kind == "INT4":  # two to a byte, the lower half first, as two's complement
        halves = np.stack([stored & 15, stored >> 4], axis=1).reshape(-1)[: math.prod(shape)]
        return (np.where(halves > 7, halves.astype(np.int8) - 16, halves)).astype(np.int8).reshape(shape)
    if kind not in NUMPY_KINDS:
        return None  # text and resources; an operator that wants them is refused by its name
    values: np.ndarray = np.frombuffer(stored.tobytes(), NUMPY_KINDS[kind])
    if len(values) != math.prod(shape):
        raise ValueError(f"tensor {name} of shape {shape} holds {len(values)} values")
    return values.reshape(shape)


def _read_quantisation(record: Any, shape: tuple[int, ...], kind: str, name: str) -> Quantisation | None:
    if record is None or record.ScaleLength() == 0:
        return None
    scales = np.array(record.ScaleAsNumpy(), np.float32)
    zero_points = np.array(record.ZeroPointAsNumpy(), np.int64) if record.ZeroPointLength() else np.zeros(1, np.int64)
    if len(zero_points) not in (1, len(scales)) or not (np.isfinite(scales).all() and (scales > 0).all()):
        raise ValueError(f"tensor {name} has {len(scales)} scales from {scales.min()} and {len(zero_points)} zero points")
    if kind in ("UINT8", "INT8"):
        limits = np.iinfo(NUMPY_KINDS[kind])
        if zero_points.min() < limits.min or zero_points.max() > limits.max:
            raise ValueError(f"tensor {name} of {kind} has a zero point of {zero_points.min()} to {zero_points.max()}")
    axis = record.QuantizedDimension()
    axis = 0 if len(shape) == 1 else axis  # see _find_wrong_axes
    if len(scales) > 1 and (not 0 <= axis < len(shape) or shape[axis] != len(scales)):
        raise ValueError(f"tensor {name} of shape {shape} has {len(scales)} scales on axis {axis}")
    return Quantisation(scales, np.broadcast_to(zero_points, scales.shape), axis)


def _find_wrong_axes(graph: Any) -> tuple[int, ...]:
    """Old converters state the weights' axis for the bias too, which newer versions of TensorFlow Lite refuse to run."""
    places = []
    for index in range(graph.TensorsLength()):
        tensor = graph.Tensors(index)
        record = tensor.Quantization()
        if tensor.ShapeLength() == 1 and record is not None and record.QuantizedDimension() != 0:
            places.append(int(record._tab.Pos + record._tab.Offset(AXIS_SLOT)))
    return tuple(places)


def _read_kind(code: Any) -> str:
    kind = _name_value("BuiltinOperator", max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))
    if kind != "CUSTOM":
        return kind
    return f"custom operator {(code.CustomCode() or b'').decode('utf-8', 'replace')[:80]}"


def _read_operator(operator: Any, kinds: list[str]) -> OperatorRecord:
    return OperatorRecord(
        kind=kinds[operator.OpcodeIndex()],
        inputs=_list_numbers(operator.InputsAsNumpy()),
        outputs=_list_numbers(operator.OutputsAsNumpy()),
        options=_read_options(operator),
    )


def _read_options(operator: Any) -> dict[str, Any]:
    """All fields of the operator's options, by the names of the schema's readers: "StrideW"."""
    import tflite

    table, options_type = operator.BuiltinOptions(), operator.BuiltinOptionsType()
    if table is None or options_type == 0:
        return {}
    options = getattr(tflite, _name_value("BuiltinOptions", options_type))()
    options.Init(table.Bytes, table.Pos)
    return {name.removesuffix("AsNumpy"): _read_field(options, name) for name in _list_fields(options.__class__)}


def _read_field(options: Any, name: str) -> Any:
    value = getattr(options, name)()
    return _list_numbers(value) if name.endswith("AsNumpy") else value


@functools.cache
def _list_fields(options_class: Any) -> tuple[str, ...]:
    """Names of the generated readers of single values and of whole vectors."""
    plain = (
        name
        for name, method in vars(options_class).items()
        if callable(method) and method.__code__.co_argcount == 1 and not name.endswith(("Length", "IsNone"))
    )
    return tuple(plain)


@functools.cache
def _list_values(enumeration: str) -> dict[int, str]:
    import tflite

    return {value: name for name, value in vars(getattr(tflite, enumeration)).items() if isinstance(value, int)}


def _name_value(enumeration: str, value: int) -> str:
    return _list_values(enumeration).get(value) or f"{enumeration} {value}"


def _read_name(record: Any) -> str:
    table = record._tab  # the generated reader copies a text before it can be measured
    offset = table.Offset(NAME_SLOT)
    if not offset:
        return ""
    if table.VectorLen(offset) > MAX_NAME_BYTES:
        raise ValueError(f"a tensor's name of {table.VectorLen(offset)} bytes")
    return str(record.Name().decode("utf-8", "replace"))


def _find_metadata(model: Any, buffers: Buffers) -> bytes | None:
    for index in range(_check_count("metadata", model.MetadataLength())):
        entry = model.Metadata(index)
        if entry.Name() == METADATA_NAME:
            return bytes(buffers[entry.Buffer()]())
    return None


def _check_order(file: TfliteFile) -> None:
    """Refuse operators that read what nothing before them wrote, or that write a tensor again."""
    known = {index for index, tensor in enumerate(file.tensors) if tensor.data is not None} | set(file.inputs)
    for index in (*file.inputs, *file.outputs):
        if not 0 <= index < len(file.tensors):
            raise ValueError(f"the network's tensor {index} of {len(file.tensors)}")
    for number, operator in enumerate(file.operators):
        for index in (*operator.inputs, *operator.outputs):
            if not -1 <= index < len(file.tensors):
                raise ValueError(f"operator {number} names tensor {index} of {len(file.tensors)}")
        if -1 in operator.outputs or set(operator.outputs) & known:
            raise ValueError(f"operator {number} writes a tensor that is there already")
        known |= set(operator.outputs)


def _list_numbers(values: Any) -> tuple[int, ...]:
    """A vector as numbers; the generated readers give 0 for one that is left out."""
    if isinstance(values, int):
        return ()
    if len(values) > MAX_RECORDS:
        raise ValueError(f"a vector of {len(values)} numbers")
    return tuple(int(value) for value in values)
