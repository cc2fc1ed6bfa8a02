"""An ONNX graph as steps that PyTorch runs: read once, then bound to each set of input shapes.

What follows from the weights and from the shapes alone (the target of a Reshape, weights that are stored as integers) is
computed when the network is bound, on the CPU; the steps that are left read pictures. Constants lie on the device once, however
many shapes are bound.

In FP16 and BF16 the layers that hold the weights, and all between them, run in half precision; what loses or overflows it
(`is_wide`), what leads to that alone, and everything behind the last of those layers run in FP32: boxes of 640 pixels are half
a pixel coarse in FP16.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from sightline.core.errors import InvalidInput, Unsupported
from sightline.core.manifests import Precision
from sightline.runtime.backend import TensorType
from sightline.runtime.backends.cuda.fusing import FUSED_CONV, FUSED_OPERATORS, FusedNode, fuse_nodes
from sightline.runtime.backends.cuda.operators.arithmetic import TYPES
from sightline.runtime.backends.cuda.operators.operator import Node, Operator
from sightline.runtime.backends.cuda.operators.table import find_operator
from sightline.runtime.devices import HEAVY_OPERATORS

FLOATS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
OUTPUT_TYPES = {"float16": torch.float16}  # of floats; the others are read as float32, bfloat16 too, which numpy lacks
LAYERED = (torch.float16, torch.bfloat16)  # convolutions in these are fastest with channels last
SHAPE_OPERATORS = {"Shape", "Size"}  # what they give is known as soon as the input's shape is
STANDARD_DOMAINS = ("", "ai.onnx")

Values = dict[str, torch.Tensor]


class Step(NamedTuple):
    """A node, what runs it, and the type of the floats that it computes in."""

    node: Node
    operator: Operator
    dtype: torch.dtype


class BoundStep(NamedTuple):
    """A step with those of its operands that are known; the others, None in `constants`, are read by name."""

    step: Step
    constants: tuple[torch.Tensor | None, ...]
    dropped: tuple[str, ...]  # tensors that no later step reads


@dataclass
class BoundNetwork:
    """The steps for one set of input shapes. `run` only launches kernels, so that it can be captured.

    Attributes:
        outputs: type of each, by name in the graph's order.
        known: outputs that do not depend on the inputs.
    """

    steps: list[BoundStep]
    outputs: Mapping[str, torch.dtype]
    known: Values

    def run(self, inputs: Values, on_step: Callable[[], object] = lambda: None) -> Values:
        """The outputs, on the device, in the types that the graph states. Args: on_step: called after each step."""
        values = {**inputs, **self.known}
        for bound in self.steps:
            run_step(bound, values)
            on_step()
        return {name: convert_float(values[name], dtype) for name, dtype in self.outputs.items()}


def run_step(bound: BoundStep, values: Values) -> None:
    """Add the outputs of a step to the values, and let go of what nobody reads any more."""
    node, operator, dtype = bound.step
    operands = [
        constant if constant is not None or not name else convert_float(values[name], dtype)
        for name, constant in zip(node.inputs, bound.constants, strict=True)
    ]
    values.update(call(node, operator, operands))
    for name in bound.dropped:
        values.pop(name, None)


def call(node: Node, operator: Operator, operands: Sequence[torch.Tensor | None]) -> Values:
    """The outputs of a node by name. Raises: InvalidInput when PyTorch refuses the operands."""
    try:
        found = operator.run(node, *operands)
    except (torch.cuda.OutOfMemoryError, torch.AcceleratorError):
        raise
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InvalidInput(f"PyTorch cannot run {node.name} ({node.kind}) on these inputs: {reason}") from error
    outputs = (found,) if isinstance(found, torch.Tensor) else found
    return {name: value for name, value in zip(node.outputs, outputs, strict=False) if name}


def convert_float(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A tensor of FP32, FP16 or BF16 in the type of a step; others as they are."""
    return value.to(dtype) if value.dtype in FLOATS.values() else value


class TorchNetwork:
    """An ONNX graph on a device.

    Args:
        graph: `.onnx` file in which all weights lie.
        precision: of the layers that hold the weights, and of those between them.
        device: that it runs on.

    Attributes:
        inputs, outputs: tensors as the graph states them.

    Raises: InvalidInput for a file that is no graph; Unsupported for operators that are not offered, all of them named.
    """

    def __init__(self, graph: Path, precision: Precision, device: torch.device) -> None:
        model = read_model(graph)
        self.device = device
        self._float = FLOATS[precision]
        self._constants = {tensor.name: read_tensor(tensor) for tensor in model.graph.initializer}
        stated = [value for value in model.graph.input if value.name not in self._constants]
        self.inputs = tuple(describe_value(value) for value in stated)
        self.outputs = tuple(describe_value(value) for value in model.graph.output)
        nodes = read_nodes(model)
        check_made(nodes, {*self._constants, *(value.name for value in self.inputs)}, [value.name for value in self.outputs])
        nodes = fuse_nodes(nodes, {value.name for value in self.outputs})
        self._known_names = find_known(nodes, set(self._constants))
        self._steps = choose_steps(nodes, self._float, self._constants)
        self._last_readers = find_last_readers(nodes, {value.name for value in self.outputs})
        self._placed: dict[tuple[str, torch.dtype], torch.Tensor] = {}

    def bind(self, inputs: Values) -> tuple[BoundNetwork, Values]:
        """The steps for inputs of these shapes, and the outputs for these very inputs: binding runs them.

        Args: inputs: on the device.
        Raises: InvalidInput for shapes that do not fit; Unsupported where sizes depend on what is in the picture.
        """
        known, values = dict(self._constants), dict(inputs)
        bound: list[BoundStep] = []
        for place, step in enumerate(self._steps):
            node = step.node
            if set(node.outputs) <= self._known_names:
                operands = [None if not name else known.get(name, values.get(name)) for name in node.inputs]
                known.update(call(node, step.operator, operands))
                unread = self._last_readers.get(place, ())
                for name in unread:
                    values.pop(name, None)
                if bound:  # what asks for shapes does not run again
                    bound[-1] = bound[-1]._replace(dropped=(*bound[-1].dropped, *unread))
                continue
            constants = tuple(self._bind_operand(step, index, name, known) for index, name in enumerate(node.inputs))
            bound.append(BoundStep(step, constants, self._last_readers.get(place, ())))
            run_step(bound[-1], values)
        types = {value.name: OUTPUT_TYPES.get(value.dtype, torch.float32) for value in self.outputs}
        values |= (placed := {name: known[name].to(self.device) for name in types if name in known})
        return BoundNetwork(bound, types, placed), {name: convert_float(values[name], kind) for name, kind in types.items()}

    def _bind_operand(self, step: Step, index: int, name: str, known: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
        """A known operand as its operator wants it: on the CPU where it is read, else on the device; None: read by name."""
        if index in step.operator.parameters and name:
            if name not in known:
                raise Unsupported(
                    f"expected input {index} of {step.node.name} ({step.node.kind}) to be known before a picture is, got "
                    f"{name!r}, which depends on what is in it; compile this network for the cpu"
                )
            return known[name]
        return self._place(name, known[name], step.dtype) if name in known else None

    def _place(self, name: str, value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """A constant on the device; each lies there once in each type. What follows from shapes is not kept."""
        value = convert_float(value, dtype)
        if name not in self._constants:
            return lay_out(value.to(self.device))
        key = name, value.dtype
        if key not in self._placed:
            self._placed[key] = lay_out(value.to(self.device))
        return self._placed[key]


def lay_out(value: torch.Tensor) -> torch.Tensor:
    """Weights of half-precision convolutions with channels last."""
    if value.dim() == 4 and value.dtype in LAYERED:
        return value.contiguous(memory_format=torch.channels_last)
    return value


def find_known(nodes: Sequence[Node], constants: set[str]) -> set[str]:
    """Tensors that follow from the weights and from the shapes of the inputs."""
    known = set(constants)
    for node in nodes:
        if node.kind in SHAPE_OPERATORS or all(name in known for name in node.inputs if name):
            known.update(node.outputs)
    return known


def choose_steps(nodes: Sequence[Node], wanted: torch.dtype, constants: Values) -> list[Step]:
    """Steps in order, each with its type of floats: the wanted one for layers with weights and between. Raises: Unsupported."""
    operators, refused = [], []
    for node in nodes:
        try:
            operators.append(FUSED_OPERATORS[node.kind] if isinstance(node, FusedNode) else find_operator(node))
        except Unsupported as error:
            refused.append(str(error))
    if refused:
        raise Unsupported("; ".join(refused))
    needed: set[str] = set()  # tensors that a step of the wanted type reads
    steps = []
    for node, operator in zip(reversed(nodes), reversed(operators), strict=True):
        is_heavy = node.kind in {*HEAVY_OPERATORS, FUSED_CONV}
        is_wanted = is_heavy or (
            any(name in needed for name in node.outputs) and not is_wide(node, operator, wanted, constants)
        )
        needed.update(node.inputs if is_wanted else ())
        steps.append(Step(node, operator, wanted if is_wanted else torch.float32))
    return steps[::-1]


def is_wide(node: Node, operator: Operator, wanted: torch.dtype, constants: Values) -> bool:
    """Whether a node computes in FP32 in any case: its operator does, it makes whole numbers, or a constant overflows."""
    if operator.wide or (node.kind == "Cast" and TYPES.get(node.attributes["to"]) not in FLOATS.values()):
        return True
    known = [constants[name] for name in node.inputs if name in constants]
    return any(convert_float(value, wanted).isinf().ne(value.isinf()).any() for value in known)


def find_last_readers(nodes: Sequence[Node], kept: set[str]) -> dict[int, tuple[str, ...]]:
    """For each place the tensors that are read there for the last time; those in `kept` never are."""
    last = {name: place for place, node in enumerate(nodes) for name in (*node.outputs, *node.inputs) if name}
    found: dict[int, list[str]] = {}
    for name, place in last.items():
        if name not in kept:
            found.setdefault(place, []).append(name)
    return {place: tuple(names) for place, names in found.items()}


def read_model(graph: Path) -> Any:
    """The file as onnx reads it. Raises: InvalidInput."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load(graph)
    except (DecodeError, OSError, ValueError) as error:
        raise InvalidInput(f"PyTorch cannot open {graph}: {' '.join(str(error).split())}") from error


def read_nodes(model: Any) -> list[Node]:
    """The nodes in the graph's order, attributes as Python values; one without a name of its own is named by its first output.

    Raises: Unsupported for operators of other domains.
    """
    opset = next((int(entry.version) for entry in model.opset_import if entry.domain in STANDARD_DOMAINS), 1)
    others = sorted({f"{node.domain}.{node.op_type}" for node in model.graph.node if node.domain not in STANDARD_DOMAINS})
    if others:
        raise Unsupported(f"expected operators of ONNX, got {', '.join(others)}; compile this network for the cpu")
    named = Counter(node.name for node in model.graph.node if node.name)
    return [
        Node(
            name=node.name if named[node.name] == 1 else node.output[0],
            kind=node.op_type,
            inputs=tuple(node.input),
            outputs=tuple(node.output),
            attributes={attribute.name: read_attribute(attribute) for attribute in node.attribute},
            opset=opset,
        )
        for node in model.graph.node
    ]


def check_made(nodes: Sequence[Node], given: set[str], wanted: Sequence[str]) -> None:
    """Raises: InvalidInput where a tensor is read, or is an output, that no input, weight or earlier node gives."""
    made = {*given, ""}
    for reader, names, outputs in [*((node.name, node.inputs, node.outputs) for node in nodes), ("the graph", wanted, ())]:
        if missing := [name for name in names if name not in made]:
            raise InvalidInput(
                f"expected {missing[0]!r}, which {reader} takes, from an input, a dense weight or an earlier node, got none; "
                "export the network again"
            )
        made.update(outputs)


def read_attribute(attribute: Any) -> Any:
    """Its value: number, text, list, or a tensor on the CPU."""
    import onnx

    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return read_tensor(value)
    if isinstance(value, bytes):
        return value.decode()
    return list(value) if isinstance(value, (list, tuple)) or hasattr(value, "extend") else value


def read_tensor(tensor: Any) -> torch.Tensor:
    """A constant of the file, on the CPU."""
    import onnx

    values = np.ascontiguousarray(onnx.numpy_helper.to_array(tensor)).reshape(tuple(tensor.dims))
    return torch.from_numpy(values.copy())


def describe_value(value: Any) -> TensorType:
    """Element type and shape of an input or output. Raises: Unsupported for what is no tensor."""
    import onnx

    if not value.type.HasField("tensor_type"):
        raise Unsupported(f"expected tensors, got {value.name!r}, which is none; run this network on the CPU")
    kind = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    shape = tuple(size.dim_value if size.HasField("dim_value") else -1 for size in kind.shape.dim)
    return TensorType(name=value.name, dtype=dtype, shape=shape)
