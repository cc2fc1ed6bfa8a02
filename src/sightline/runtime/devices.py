"""Devices as data: what each kind of device declares it runs, so that a network is refused or split before anything is built.

A device is the engines that serve it, their precisions and, where it does not take everything its engines read, a rule for each
operator. `find_unsupported` holds a graph against such a declaration and names every layer that does not fit, with the reason.
Rules that need more than an attribute are named functions of `CHECKS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from sightline.core.errors import InvalidInput, NotFound, Unsupported
from sightline.core.manifests import Precision

if TYPE_CHECKING:
    import onnx

HEAVY_OPERATORS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}  # they hold the weights and do the arithmetic
UnsupportedLayer = tuple[str, str, str]  # name of the node, its operator, the reason


class OperatorRule(msgspec.Struct, frozen=True, kw_only=True):
    """What a device asks of one operator; an attribute that the node leaves out has ONNX's default, which every rule allows.

    Attributes:
        ranks: allowed ranks of the first input, batch included; empty allows all.
        attributes: allowed values by attribute; of a list every element must be allowed.
        constant_inputs: places of inputs that must be weights in the file.
        checks: names in `CHECKS`.
    """

    ranks: tuple[int, ...] = ()
    attributes: Mapping[str, tuple[int | float | str, ...]] = {}
    constant_inputs: tuple[int, ...] = ()
    checks: tuple[str, ...] = ()


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of device.

    Attributes:
        name: as a user writes it.
        engines: back ends of `backends/table.py` that serve it.
        precisions: that it may be asked for; the machine at hand may have fewer (`Backend.precisions`).
        operators: ONNX operators it runs, each with its rule; None for all that its engines read.
        max_weights: numbers in the weights of one network on it, None for no limit.
        max_multiplications: of one picture, None for no limit.
        max_tensor: numbers in one picture's largest tensor, None for no limit.
        has_speed: False where running says what the numbers will be and nothing about how fast.
        batches, swept_batches: pictures in an inference that are worth trying, and that the report's sweep shows.
        on_cores: whether inferences run on the machine's cores; elsewhere these only prepare pictures.
    """

    name: str
    engines: tuple[str, ...]
    precisions: tuple[Precision, ...]
    operators: Mapping[str, OperatorRule] | None = None
    max_weights: int | None = None
    max_multiplications: int | None = None
    max_tensor: int | None = None
    has_speed: bool = True
    batches: tuple[int, ...] = (1, 8)
    swept_batches: tuple[int, ...] = (1, 2, 4, 8, 16)
    on_cores: bool = True


_POOL = OperatorRule(
    ranks=(4,),
    attributes={"pads": (0,), "dilations": (1,), "ceil_mode": (0,), "auto_pad": ("NOTSET", "VALID")},
    checks=("kernel equals stride", "one output"),
)
_ANY_TENSOR = OperatorRule(ranks=(2, 4))

# What hls4ml 1.3 builds right, streamed and parallel alike; its pools assert that windows do not overlap or leave the picture.
FPGA_OPERATORS: dict[str, OperatorRule] = {
    "Conv": OperatorRule(
        ranks=(4,),
        attributes={"dilations": (1,), "auto_pad": ("NOTSET", "VALID")},
        constant_inputs=(1, 2),
        checks=("one group or depthwise", "rows strided by higher filters"),
    ),
    "Gemm": OperatorRule(
        ranks=(2,), attributes={"transA": (0,), "alpha": (1.0,), "beta": (1.0,)}, constant_inputs=(1, 2), checks=("flat bias",)
    ),
    "MatMul": OperatorRule(ranks=(2,), constant_inputs=(1,)),
    "MaxPool": _POOL,
    "AveragePool": _POOL,
    "GlobalAveragePool": OperatorRule(ranks=(4,)),
    "GlobalMaxPool": OperatorRule(ranks=(4,)),
    "Relu": _ANY_TENSOR,
    "LeakyRelu": _ANY_TENSOR,
    "Add": OperatorRule(ranks=(2, 4), checks=("two tensors of one shape",)),
    "Concat": OperatorRule(ranks=(4,), attributes={"axis": (1, -3)}, checks=("no constants",)),
    "Flatten": OperatorRule(ranks=(2, 4), attributes={"axis": (1,)}, checks=("feeds matrix products",)),
}

DEVICES: dict[str, Device] = {
    "cpu": Device(name="cpu", engines=("onnxruntime", "openvino"), precisions=("int8", "bf16", "fp32")),
    "cuda": Device(
        name="cuda",
        engines=("torch", "inductor"),
        precisions=("fp16", "bf16", "fp32"),
        batches=(1, 8, 64),
        swept_batches=(1, 4, 16, 64),
        on_cores=False,
    ),
    "fpga-emulator": Device(
        name="fpga-emulator",
        engines=("hls4ml",),
        precisions=("int8", "int16"),
        operators=FPGA_OPERATORS,
        max_weights=500_000,  # all of them lie in the chip's own memory
        max_multiplications=50_000_000,  # about half a second of emulation for each picture
        max_tensor=1_000_000,
        has_speed=False,
    ),
    "reference": Device(name="reference", engines=("reference",), precisions=("fp32", "int8")),
}


def find_device(name: str) -> Device:
    """A device by name. Raises: NotFound."""
    if name not in DEVICES:
        raise NotFound(f"expected a device of {', '.join(DEVICES)}, or several as in hetero:fpga-emulator,cpu, got {name!r}")
    return DEVICES[name]


def parse_devices(name: str) -> list[Device]:
    """The devices that a name stands for, first choice first: one, or several as in "hetero:fpga-emulator,cpu".

    Raises: NotFound for an unknown device, InvalidInput for a list that names fewer than two, one of them twice, or the CPU
        elsewhere than last.
    """
    if not name.startswith("hetero:"):
        return [find_device(name)]
    names = [part.strip() for part in name.removeprefix("hetero:").split(",")]
    if len(names) < 2 or len(set(names)) < len(names):
        raise InvalidInput(f"expected different devices, first choice first, as in hetero:fpga-emulator,cpu, got {name!r}")
    devices = [find_device(part) for part in names]
    if any(device.operators is None for device in devices[:-1]) or devices[-1].name != "cpu":
        raise InvalidInput(
            f"expected the cpu last, as in hetero:fpga-emulator,cpu: it runs what the others do not, got {name!r}"
        )
    return devices


def runs_on_cores(name: str) -> bool:
    """Whether inferences on a device, or on several, run on the machine's cores."""
    return name not in DEVICES or DEVICES[name].on_cores


def has_speed(name: str) -> bool:
    """Whether running on a device, or on several, says how fast it is; emulation only says what the numbers will be."""
    if name == "hetero":  # what the manifest of an older Artifact says
        return False
    return all(device.has_speed for device in parse_devices(name))


class GraphFacts:
    """What the rules ask about a graph: the shape of each tensor, its constants, and who reads what."""

    def __init__(self, model: onnx.ModelProto) -> None:
        inferred = _infer_shapes(model).graph
        self.nodes = list(model.graph.node)
        self.constants = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
        self.shapes: dict[str, tuple[int, ...] | None] = {
            value.name: _read_shape(value) for value in (*inferred.input, *inferred.value_info, *inferred.output)
        }
        self.shapes |= self.constants
        self.inputs = [value.name for value in model.graph.input if value.name not in self.constants]
        self.outputs = [value.name for value in model.graph.output]
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Shape of a tensor with 0 for its batch, or None when it is not known before the graph runs."""
        return self.shapes.get(name)


def _infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Shapes as they follow from the inputs: stated ones may hold a batch that is no longer true. Raises: InvalidInput."""
    import onnx
    from onnx import shape_inference

    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    for value in bare.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        return shape_inference.infer_shapes(bare, data_prop=True)
    except shape_inference.InferenceError as error:
        reason = " ".join(str(error).split())
        raise InvalidInput(f"expected a graph whose sizes agree, got {reason}; export the network again") from error


def _read_shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    """Known sizes behind the batch; the batch itself may have any."""
    if not value.type.tensor_type.HasField("shape"):
        return None
    sizes = [int(dimension.dim_value) for dimension in value.type.tensor_type.shape.dim]
    return None if any(size < 1 for size in sizes[1:]) else tuple([0, *sizes[1:]] if sizes else [])


def find_unsupported(model: onnx.ModelProto, device: Device) -> list[UnsupportedLayer]:
    """Every layer that a device does not run, in the graph's order, and whatever exceeds its limits (operator "network").

    Returns: rows of (name of the node, operator, reason); empty when the device takes the network whole.
    """
    facts = GraphFacts(model)
    rows = [
        (name_node(node), node.op_type, reason)
        for node in facts.nodes
        if (reason := find_reason(node, facts, device)) is not None
    ]
    name = model.graph.name or "graph"
    return [*rows, *((name, "network", reason) for reason in _find_exceeded(facts, device))]


def check_supported(model: onnx.ModelProto, device: Device) -> None:
    """Raises: Unsupported with every layer the device does not run and every limit the network exceeds."""
    rows = find_unsupported(model, device)
    if rows:
        listed = "; ".join(f"{name} ({kind}): {reason}" for name, kind, reason in rows)
        remedy = f"compile for hetero:{device.name},cpu, which runs the rest on the CPU"
        raise Unsupported(f"{device.name} does not run {len(rows)} layers of this network: {listed}; {remedy}")


def _find_exceeded(facts: GraphFacts, device: Device) -> list[str]:
    """The limits of a device that a network exceeds, in words."""
    found = [
        (sum(count_node_weights(node, facts) for node in facts.nodes), device.max_weights, "weights"),
        (sum(count_node_multiplications(node, facts) for node in facts.nodes), device.max_multiplications, "multiplications"),
    ]
    return [
        f"{count:,} {what}, {device.name} takes {limit:,}"
        for count, limit, what in found
        if limit is not None and count > limit
    ]


def name_node(node: onnx.NodeProto) -> str:
    """The node's name, or that of its first output where it has none."""
    return str(node.name or node.output[0])


def find_reason(node: onnx.NodeProto, facts: GraphFacts, device: Device) -> str | None:
    """Why a device does not run this node, or None when it does."""
    if device.operators is None:
        return None
    rule = device.operators.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if rule is None:
        return f"{device.name} has no operator {node.op_type}"
    if any(facts.shape(name) is None for name in (*node.input, *node.output) if name):
        return "its sizes are not known before it runs"
    largest = max(
        math.prod((facts.shape(name) or ())[1:]) for name in (*node.input, *node.output) if name not in facts.constants
    )
    if device.max_tensor is not None and largest > device.max_tensor:
        return f"a tensor of {largest:,} numbers, {device.name} takes {device.max_tensor:,}"
    rank = len(facts.shape(node.input[0]) or ())
    if rule.ranks and rank not in rule.ranks:
        return f"expected rank {' or '.join(map(str, rule.ranks))}, got {rank}"
    return _find_wrong_attribute(node, rule) or _find_wrong_input(node, rule, facts) or _run_checks(node, rule, facts)


def _find_wrong_attribute(node: onnx.NodeProto, rule: OperatorRule) -> str | None:
    for name, value in read_attributes(node).items():
        allowed = rule.attributes.get(name)
        if allowed is not None and any(one not in allowed for one in (value if isinstance(value, list) else [value])):
            return f"expected {name} {' or '.join(map(str, allowed))}, got {value}"
    return None


def _find_wrong_input(node: onnx.NodeProto, rule: OperatorRule, facts: GraphFacts) -> str | None:
    for place in rule.constant_inputs:
        if place < len(node.input) and node.input[place] and node.input[place] not in facts.constants:
            return f"expected input {place} to be weights in the file, got the tensor {node.input[place]!r}"
    return None


def _run_checks(node: onnx.NodeProto, rule: OperatorRule, facts: GraphFacts) -> str | None:
    return next((reason for name in rule.checks if (reason := CHECKS[name](node, facts)) is not None), None)


def read_attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Attributes of a node as Python values: numbers, text, lists."""
    from onnx import helper

    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}


def _check_groups(node: onnx.NodeProto, facts: GraphFacts) -> str | None:
    group, shape = read_attributes(node).get("group", 1), facts.shape(node.input[0])
    weight = facts.constants[node.input[1]]
    assert shape is not None
    if group == 1 or (group == shape[1] and weight[0] == group):
        return None
    return f"expected one group or a filter for each channel, got {group} groups, {shape[1]} channels and {weight[0]} filters"


def _check_row_stride(node: onnx.NodeProto, facts: GraphFacts) -> str | None:
    """hls4ml 1.3 streams filters one row high as one-dimensional ones, which keep every row; pointwise ones it does right."""
    weight, attributes = facts.constants[node.input[1]], read_attributes(node)
    stride = attributes.get("strides", [1, 1])[0]
    if weight[2] > 1 or stride == 1 or (weight[3] == 1 and attributes.get("group", 1) == 1):
        return None
    return f"expected filters of more than one row to stride over rows, got {weight[2]}x{weight[3]} and stride {stride}"


def _check_window(node: onnx.NodeProto, facts: GraphFacts) -> str | None:
    attributes = read_attributes(node)
    kernel = attributes["kernel_shape"]
    strides = attributes.get("strides", [1] * len(kernel))
    return None if list(kernel) == list(strides) else f"expected windows that touch, got kernel {kernel} and stride {strides}"


def _check_one_output(node: onnx.NodeProto, facts: GraphFacts) -> str | None:
    return None if len(node.output) == 1 else f"expected one output, got {len(node.output)}"


def _check_flat_bias(node: onnx.NodeProto, facts: GraphFacts) -> str | None:
    """A bias for each column: `(N)` or `(1, N)`, not a number or a whole matrix."""
    if len(node.input) < 3 or not node.input[2]:
        return None
    shape, out = facts.constants[node.input[2]], facts.shape(node.output[0])
    return None if out and math.prod(shape) == out[-1] == shape[-1] else f"expected a bias for each output, got shape {shape}"


def _check_same_shapes(node: onnx.NodeProto, facts: GraphFacts) -> str | None:
    if reason := _check_no_constants(node, facts):
        return reason
    shapes = [facts.shape(name) for name in node.input]
    return None if shapes[0] == shapes[1] else f"expected two tensors of one shape, got {shapes[0]} and {shapes[1]}"


def _check_no_constants(node: onnx.NodeProto, facts: GraphFacts) -> str | None:
    constant = next((name for name in node.input if name in facts.constants), None)
    return None if constant is None else f"expected tensors, got the constant {constant!r}"


def _check_feeds_products(node: onnx.NodeProto, facts: GraphFacts) -> str | None:
    """Channels lie last on such a device: only weights that are reordered too undo what flattening then permutes."""
    shape = facts.shape(node.input[0])
    if shape is not None and math.prod(shape[2:]) == 1:
        return None
    other = next((one for one in facts.readers.get(node.output[0], []) if one.op_type not in ("Gemm", "MatMul")), None)
    return None if other is None else f"expected matrix products behind it, got {other.op_type}"


CHECKS: dict[str, Callable[[onnx.NodeProto, GraphFacts], str | None]] = {
    "one group or depthwise": _check_groups,
    "rows strided by higher filters": _check_row_stride,
    "kernel equals stride": _check_window,
    "one output": _check_one_output,
    "flat bias": _check_flat_bias,
    "two tensors of one shape": _check_same_shapes,
    "no constants": _check_no_constants,
    "feeds matrix products": _check_feeds_products,
}


def count_node_weights(node: onnx.NodeProto, facts: GraphFacts) -> int:
    """Numbers in the weights of a convolution or matrix product, its bias left out; 0 for other operators."""
    if node.op_type not in HEAVY_OPERATORS or len(node.input) < 2:
        return 0
    return math.prod(facts.constants.get(node.input[1], (0,)))


def count_node_multiplications(node: onnx.NodeProto, facts: GraphFacts) -> int:
    """Multiplications of one picture in a convolution or matrix product; 0 for other operators and unknown sizes."""
    out = facts.shape(node.output[0]) if node.op_type in HEAVY_OPERATORS else None
    if out is None or len(node.input) < 2:
        return 0
    return count_node_weights(node, facts) * math.prod(out[2:])
