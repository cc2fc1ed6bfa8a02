"""What of an OpenVINO model is constant: weights behind conversions and reshapes, and shapes that only the batch could change.

A shape is often computed in the graph (ShapeOf, Gather, Concat ...). Such an expression is folded twice, for two batch sizes:
what comes out the same does not depend on the batch and is a constant. The arithmetic is OpenVINO's own, node by node.
"""

import math
from typing import Any

import numpy as np

from sightline.core.errors import InvalidInput, Unsupported

Node = Any  # openvino.Node: OpenVINO is imported only where it is used
Output = Any  # openvino.Output
Values = tuple[np.ndarray, np.ndarray]  # for the two batch sizes, the same array twice when the batch has no say
Key = tuple[str, int]

BATCHES = (2, 3)
LARGEST_TENSOR = 1 << 28  # elements of a picture; a damaged file may ask for any number
NUMBER_TYPES = {
    "boolean": np.bool_,
    "i8": np.int8,
    "u8": np.uint8,
    "i16": np.int16,
    "u16": np.uint16,
    "i32": np.int32,
    "u32": np.uint32,
    "i64": np.int64,
    "f16": np.float16,
    "bf16": np.float32,  # numpy has no bfloat16
    "f32": np.float32,
    "f64": np.float64,
}
# Others crash without a full graph around them (PriorBox) or have no business in a constant.
FOLDABLE = {
    "Abs", "Add", "Broadcast", "Ceiling", "Clamp", "Concat", "Convert", "ConvertLike", "Divide", "Equal", "Erf", "Exp",
    "FakeQuantize", "Floor", "FloorMod", "Gather", "Greater", "GreaterEqual", "Less", "LessEqual", "Log", "LogicalAnd",
    "LogicalNot", "LogicalOr", "MatMul", "Maximum", "Minimum", "Mod", "Multiply", "Negative", "NotEqual", "Pad",
    "Power", "Range", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "Relu", "Reshape", "Reverse",
    "Round", "Select", "Sigmoid", "Slice", "Split", "Sqrt", "SquaredDifference", "Squeeze", "StridedSlice", "Subtract",
    "Tanh", "Tile", "Transpose", "Unsqueeze", "VariadicSplit",
}  # fmt: skip


def get_dimensions(output: Output) -> tuple[int, ...]:
    """The shape of a tensor, -1 for what is open. Raises: Unsupported when not even the rank is known."""
    shape = output.get_partial_shape()
    if shape.rank.is_dynamic:
        raise Unsupported(f"the shape of {output.get_node().get_friendly_name()} is not known before the network runs")
    return tuple(dimension.get_length() if dimension.is_static else -1 for dimension in shape)


def check_size(output: Output) -> None:
    """Refuse a tensor no vision network has. Raises: InvalidInput."""
    shape = output.get_partial_shape()
    if shape.rank.is_dynamic:
        return
    count = math.prod(dimension.get_length() for dimension in shape if dimension.is_static)
    if count > LARGEST_TENSOR:
        name = output.get_node().get_friendly_name()
        raise InvalidInput(f"{name} is of shape {shape}: more than {LARGEST_TENSOR} values; the file may be damaged")


def get_type(output: Output) -> str:
    """The element type: "f32"."""
    return str(output.get_element_type().get_type_name())


def widen(values: np.ndarray) -> np.ndarray:
    """Floats as float32, integers as int64, booleans as they are: the only three types of our graphs."""
    if values.dtype == np.bool_:
        return values
    return values.astype(np.float32 if values.dtype.kind == "f" else np.int64, copy=False)


class Constants:
    """Folds on demand, and remembers."""

    def __init__(self) -> None:
        self._known: dict[Key, Values | None] = {}

    def read(self, output: Output) -> np.ndarray | None:
        """The value of a tensor in its own type (bfloat16 as float32), or None when picture or batch size decide it."""
        for node in _list_unknown(output.get_node(), self._known):
            for index, values in enumerate(self._evaluate(node)):
                self._known[node.get_name(), index] = values
        found = self._known[_key(output)]
        return found[0] if found is not None and (found[0] is found[1] or np.array_equal(*found)) else None

    def _evaluate(self, node: Node) -> list[Values | None]:
        kind = node.get_type_name()
        if kind == "Constant":
            values = _read_data(node)
            return [(values, values)]
        if kind == "ShapeOf":
            return [_read_shapes(node)]
        known = [values for values in (self._known[_key(source)] for source in node.input_values()) if values is not None]
        if kind not in FOLDABLE or not known or len(known) < node.get_input_size():
            return [None] * node.get_output_size()
        first = _evaluate_node(node, [values[0] for values in known])
        same = all(values[0] is values[1] for values in known)
        second = first if same else _evaluate_node(node, [values[1] for values in known])
        return list(zip(first, second, strict=True))


def _key(output: Output) -> Key:
    return output.get_node().get_name(), output.get_index()


def _list_unknown(node: Node, known: dict[Key, Values | None]) -> list[Node]:
    """The node and what it reads, inputs first, as far as not known; without recursion, since networks are deep."""
    ordered: list[Node] = []
    seen: set[str] = set()
    stack: list[tuple[Node, bool]] = [(node, False)]
    while stack:
        one, inputs_done = stack.pop()
        name = one.get_name()
        if inputs_done:
            ordered.append(one)
        elif name not in seen and (name, 0) not in known:
            seen.add(name)
            stack.append((one, True))
            if one.get_type_name() != "ShapeOf":  # only the shape of what it reads matters
                stack.extend((source.get_node(), False) for source in one.input_values())
    return ordered


def _read_data(node: Node) -> np.ndarray:
    check_size(node.output(0))
    kind = get_type(node.output(0))
    if kind not in NUMBER_TYPES:
        raise Unsupported(
            f"the constant {node.get_friendly_name()} is of type {kind}, expected one of {', '.join(NUMBER_TYPES)}"
        )
    if kind == "bf16":  # OpenVINO hands out the 16 bits as if they were float16
        return (np.asarray(node.data).view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return np.array(node.data)


def _read_shapes(node: Node) -> Values | None:
    """The shape for either batch size; only the first axis may be open."""
    shape = get_dimensions(node.input_value(0))
    kind = NUMBER_TYPES[get_type(node.output(0))]
    if any(size < 0 for size in shape[1:]):
        return None
    if not shape or shape[0] >= 0:
        values: np.ndarray = np.array(shape, kind)
        return values, values
    return np.array((BATCHES[0], *shape[1:]), kind), np.array((BATCHES[1], *shape[1:]), kind)


def _evaluate_node(node: Node, inputs: list[np.ndarray]) -> list[np.ndarray]:
    kinds = [get_type(output) for output in node.outputs()]
    if any(kind not in NUMBER_TYPES for kind in kinds):
        raise Unsupported(f"{node.get_friendly_name()} computes numbers of type {kinds[0]}, expected {', '.join(NUMBER_TYPES)}")
    if node.get_type_name() in ("Convert", "ConvertLike"):
        return [inputs[0].astype(NUMBER_TYPES[kinds[0]])]
    import openvino

    for output in node.outputs():
        check_size(output)
    results = [openvino.Tensor(output.get_element_type(), openvino.Shape([])) for output in node.outputs()]
    try:
        done = node.evaluate(results, [openvino.Tensor(np.asarray(values, order="C")) for values in inputs])
    except RuntimeError as error:
        raise InvalidInput(f"{node.get_friendly_name()} cannot be computed: {' '.join(str(error).split())}") from error
    if not done:
        raise Unsupported(f"{node.get_friendly_name()} of type {node.get_type_name()} cannot be computed beforehand")
    return [np.array(result.data) for result in results]
