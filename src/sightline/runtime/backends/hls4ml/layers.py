"""From an ONNX graph with fixed-point types to hls4ml's list of layers, weights rounded to their types.

hls4ml computes with channels last. So tensors are transposed at the ends only, weights once here, and where pictures are
flattened the rows of the matrix behind it are put into the order in which the numbers then lie. Layers get names of our own,
since they become names in C++.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from sightline.core.errors import InvalidInput, Unsupported
from sightline.runtime.backends.hls4ml.network import FixedLayer, FixedNetwork, FixedPoint
from sightline.runtime.devices import DEVICES, GraphFacts, check_supported, name_node, read_attributes

if TYPE_CHECKING:
    import onnx

SLOPE = FixedPoint(width=16, integer=1)  # of a leaky ReLU, which is below one
POOLS = {"MaxPool": "MaxPooling2D", "AveragePool": "AveragePooling2D"}
GLOBAL_POOLS = {"GlobalMaxPool": "GlobalMaxPooling2D", "GlobalAveragePool": "GlobalAveragePooling2D"}


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor as hls4ml has it.

    Attributes:
        layer: that makes it.
        shape: `(H, W, C)`, or `(N,)` of a vector.
        type: of its numbers.
        picture: `(H, W, C)` of a picture that was flattened and so lies channels last, else None.
    """

    layer: str
    shape: tuple[int, ...]
    type: FixedPoint
    picture: tuple[int, ...] | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What hls4ml is given.

    Attributes:
        layers: its list of layers, in order.
        precisions: of each layer, the types of its tensors in the vendors' words.
        inputs: names of the layers that are the graph's inputs.
        outputs: tensors that are the graph's outputs.
        names: layer by the name of the ONNX node it computes.
    """

    layers: list[dict[str, Any]]
    precisions: dict[str, dict[str, str]]
    inputs: tuple[str, ...]
    outputs: tuple[Tensor, ...]
    names: dict[str, str]


def make_plan(network: FixedNetwork, model: onnx.ModelProto) -> Plan:
    """hls4ml's layers of a network.

    Raises: InvalidInput for a layer without types or ports that are not the graph's, Unsupported for what the device does not
        declare, with all reasons, or hls4ml cannot compute.
    """
    check_supported(model, DEVICES["fpga-emulator"])
    _check_ports(network, GraphFacts(model))
    plan = _Planner(network, model).plan()
    for port, tensor in zip(network.outputs, plan.outputs, strict=True):
        if math.prod(tensor.shape) != port.size:  # native code will write as many numbers as it has
            raise InvalidInput(f"expected {port.size} numbers of {port.name!r}, got {tensor.shape}; compile the Model again")
    return plan


def _check_ports(network: FixedNetwork, facts: GraphFacts) -> None:
    """Raises: InvalidInput unless the stated inputs and outputs are the graph's own."""
    for stated, names in ((network.inputs, facts.inputs), (network.outputs, facts.outputs)):
        shapes = {name: (facts.shape(name) or ())[1:] for name in names}
        if {port.name: port.shape for port in stated} != shapes or not stated:
            raise InvalidInput(f"expected the graph's own inputs and outputs, {shapes}, got others; compile the Model again")


class _Planner:
    """Walks the graph once; `_tensors` maps a name of the graph to what carries it."""

    def __init__(self, network: FixedNetwork, model: onnx.ModelProto) -> None:
        from onnx import numpy_helper

        self._network, self._facts = network, GraphFacts(model)
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._to_array = numpy_helper.to_array
        self._layers: list[dict[str, Any]] = []
        self._precisions: dict[str, dict[str, str]] = {}
        self._names: dict[str, str] = {}
        self._tensors: dict[str, Tensor] = {}

    def plan(self) -> Plan:
        inputs = tuple(self._add_input(index) for index in range(len(self._network.inputs)))
        for node in self._facts.nodes:
            self._add_node(node)
        outputs = tuple(self._find_tensor(port.name) for port in self._network.outputs)
        return Plan(layers=self._layers, precisions=self._precisions, inputs=inputs, outputs=outputs, names=self._names)

    def _add_input(self, index: int) -> str:
        port = self._network.inputs[index]
        name, shape = f"in{index}", _put_channels_last(port.shape)
        self._layers.append({"name": name, "class_name": "InputLayer", "input_shape": list(shape)})
        self._precisions[name] = {"result": port.type.text}
        self._tensors[port.name] = Tensor(layer=name, shape=shape, type=port.type)
        return name

    def _find_tensor(self, name: str) -> Tensor:
        if name not in self._tensors:
            raise Unsupported(f"expected a tensor computed by a layer before, got {name!r}; compile the Model again")
        return self._tensors[name]

    def _add_node(self, node: onnx.NodeProto) -> None:
        types = self._network.find_layer(name_node(node))
        add = {
            "Conv": self._add_convolution,
            "Gemm": self._add_product,
            "MatMul": self._add_product,
            "Relu": self._add_activation,
            "LeakyRelu": self._add_activation,
            "Add": self._add_sum,
            "Concat": self._add_concatenation,
            "Flatten": self._flatten,
            **dict.fromkeys(POOLS, self._add_pool),
            **dict.fromkeys(GLOBAL_POOLS, self._add_global_pool),
        }.get(node.op_type)
        if add is None:
            raise Unsupported(
                f"hls4ml has no layer for {node.op_type} ({name_node(node)}); compile for hetero:fpga-emulator,cpu"
            )
        add(node, types)

    def _append(self, node: onnx.NodeProto, types: FixedLayer, shape: tuple[int, ...], **attributes: Any) -> Tensor:
        """Add a layer that computes a node, or the last of several that do."""
        name = f"{node.op_type.lower()}{len(self._layers)}"
        attributes.setdefault("inputs", [self._find_tensor(node.input[0]).layer])
        self._layers.append({"name": name, "data_format": "channels_last", **attributes})
        kinds = {"result": types.result, "weight": types.weight, "bias": types.bias, "accum": types.sum}
        self._precisions[name] = {key: kind.text for key, kind in kinds.items() if kind is not None}
        self._names[name_node(node)] = name
        tensor = Tensor(layer=name, shape=shape, type=types.result)
        self._tensors[node.output[0]] = tensor
        return tensor

    def _read_weights(self, node: onnx.NodeProto, place: int, kind: FixedPoint | None) -> np.ndarray | None:
        """Weights of an input as their type holds them, float64, or None where the node has no such input."""
        if place >= len(node.input) or not node.input[place]:
            return None
        if kind is None or node.input[place] not in self._weights:
            raise Unsupported(f"expected weights with a fixed-point type in {name_node(node)}; compile the Model again")
        return kind.quantise(self._to_array(self._weights[node.input[place]]))

    def _add_convolution(self, node: onnx.NodeProto, types: FixedLayer) -> None:
        source, attributes = self._find_tensor(node.input[0]), read_attributes(node)
        weight = self._read_weights(node, 1, types.weight)
        bias = self._read_weights(node, 2, types.bias)
        assert weight is not None
        if len(source.shape) == 1:
            self._add_convolution_of_vector(node, types, weight, bias)
            return
        height, width, channels = source.shape
        filters, _, filter_height, filter_width = weight.shape
        top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
        stride_height, stride_width = attributes.get("strides", [1, 1])
        out_height = (height + top + bottom - filter_height) // stride_height + 1
        out_width = (width + left + right - filter_width) // stride_width + 1
        is_depthwise = attributes.get("group", 1) > 1
        hwio = weight.transpose(2, 3, 0, 1) if is_depthwise else weight.transpose(2, 3, 1, 0)  # (O, I, H, W) -> (H, W, I, O)
        self._append(
            node,
            types,
            (out_height, out_width, filters),
            class_name="DepthwiseConv2D" if is_depthwise else "Conv2D",
            **{"depthwise_data" if is_depthwise else "weight_data": hwio, "bias_data": bias},
            n_chan=channels,
            n_filt=filters,
            **_name_sizes("in", height, width),
            **_name_sizes("out", out_height, out_width),
            **_name_sizes("filt", filter_height, filter_width),
            **_name_sizes("stride", stride_height, stride_width),
            **_name_pads(top, left, bottom, right),
            **({"depth_multiplier": 1} if is_depthwise else {}),
        )

    def _add_convolution_of_vector(
        self, node: onnx.NodeProto, types: FixedLayer, weight: np.ndarray, bias: np.ndarray | None
    ) -> None:
        """Behind a global pool a picture has one pixel, and a 1x1 convolution is a matrix product."""
        if (
            weight.shape[2:] != (1, 1)
            or read_attributes(node).get("group", 1) > 1
            or any(read_attributes(node).get("pads", []))
        ):
            raise Unsupported(f"hls4ml convolves one pixel with a 1x1 kernel only, got {weight.shape} in {name_node(node)}")
        self._append_product(node, types, self._find_tensor(node.input[0]), weight[:, :, 0, 0].T, bias)

    def _add_product(self, node: onnx.NodeProto, types: FixedLayer) -> None:
        matrix = self._read_weights(node, 1, types.weight)
        bias = self._read_weights(node, 2, types.bias)
        assert matrix is not None
        if read_attributes(node).get("transB", 0):
            matrix = matrix.T
        source = self._find_tensor(node.input[0])
        if source.picture is not None:
            height, width, channels = source.picture
            # rows in the graph's order (C, H, W) -> in the order of the numbers here (H, W, C)
            matrix = matrix.reshape(channels, height, width, -1).transpose(1, 2, 0, 3).reshape(matrix.shape)
            source = self._reshape(source)
        self._append_product(node, types, source, matrix, bias)

    def _append_product(
        self, node: onnx.NodeProto, types: FixedLayer, source: Tensor, matrix: np.ndarray, bias: np.ndarray | None
    ) -> None:
        rows, columns = matrix.shape
        self._append(
            node,
            types,
            (columns,),
            class_name="Dense",
            inputs=[source.layer],
            n_in=rows,
            n_out=columns,
            weight_data=np.ascontiguousarray(matrix),
            bias_data=None if bias is None else bias.reshape(-1),
        )

    def _reshape(self, source: Tensor) -> Tensor:
        """A layer that says to hls4ml that these numbers are a vector."""
        name = f"flatten{len(self._layers)}"
        size = math.prod(source.shape)
        self._layers.append({"name": name, "class_name": "Reshape", "inputs": [source.layer], "target_shape": [size]})
        self._precisions[name] = {"result": source.type.text}
        return Tensor(layer=name, shape=(size,), type=source.type)

    def _add_activation(self, node: onnx.NodeProto, types: FixedLayer) -> None:
        source = self._find_tensor(node.input[0])
        if node.op_type == "Relu":
            tensor = self._append(node, types, source.shape, class_name="Activation", activation="relu")
        else:
            slope = float(SLOPE.quantise(np.array(read_attributes(node).get("alpha", 0.01))))
            tensor = self._append(node, types, source.shape, class_name="LeakyReLU", activation="leaky_relu", activ_param=slope)
            self._precisions[tensor.layer]["param"] = SLOPE.text
        self._tensors[node.output[0]] = msgspec.structs.replace(tensor, picture=source.picture)

    def _add_pool(self, node: onnx.NodeProto, types: FixedLayer) -> None:
        source, (pool_height, pool_width) = self._find_tensor(node.input[0]), read_attributes(node)["kernel_shape"]
        if len(source.shape) == 1:
            raise Unsupported(f"hls4ml has no window over one pixel, got {name_node(node)}")
        height, width, channels = source.shape
        out = (height // pool_height, width // pool_width, channels)
        self._append(
            node,
            types,
            out,
            class_name=POOLS[node.op_type],
            n_filt=channels,
            padding="valid",
            count_pad=False,
            **_name_sizes("in", height, width),
            **_name_sizes("out", out[0], out[1]),
            **_name_sizes("pool", pool_height, pool_width),
            **_name_sizes("stride", pool_height, pool_width),
            **_name_pads(0, 0, 0, 0),
        )

    def _add_global_pool(self, node: onnx.NodeProto, types: FixedLayer) -> None:
        source = self._find_tensor(node.input[0])
        if len(source.shape) == 1:
            raise Unsupported(f"hls4ml has no pool over one pixel, got {name_node(node)}")
        height, width, channels = source.shape
        self._append(
            node,
            types,
            (channels,),
            class_name=GLOBAL_POOLS[node.op_type],
            n_filt=channels,
            **_name_sizes("in", height, width),
            **_name_sizes("pool", height, width),
            **_name_sizes("stride", height, width),
        )

    def _add_sum(self, node: onnx.NodeProto, types: FixedLayer) -> None:
        first, second = (self._find_tensor(name) for name in node.input)
        if first.shape != second.shape or first.picture != second.picture:
            raise Unsupported(f"hls4ml adds tensors of one shape, got {first.shape} and {second.shape} in {name_node(node)}")
        inputs = [first.layer, second.layer]
        tensor = self._append(node, types, first.shape, class_name="Merge", op="add", inputs=inputs)
        self._tensors[node.output[0]] = msgspec.structs.replace(tensor, picture=first.picture)

    def _add_concatenation(self, node: onnx.NodeProto, types: FixedLayer) -> None:
        """Channels behind one another; hls4ml takes two tensors at a time."""
        joined, *others = [self._find_tensor(name) for name in node.input]
        if not others:
            self._tensors[node.output[0]] = joined
        for other in others:
            rank = len(joined.shape)
            joined = self._append(
                node,
                types,
                (*joined.shape[:-1], joined.shape[-1] + other.shape[-1]),
                class_name="Concatenate",
                inputs=[joined.layer, other.layer],
                axis=rank,
                op=f"concatenate{rank}d",
            )

    def _flatten(self, node: onnx.NodeProto, types: FixedLayer) -> None:
        """Nothing moves: the numbers stay channels last, and who reads them knows."""
        source = self._find_tensor(node.input[0])
        picture = source.shape if len(source.shape) == 3 else source.picture
        self._tensors[node.output[0]] = msgspec.structs.replace(source, shape=(math.prod(source.shape),), picture=picture)


def _name_sizes(what: str, height: int, width: int) -> dict[str, int]:
    """Attributes as hls4ml calls them: "in_height" and "in_width" of "in"."""
    return {f"{what}_height": int(height), f"{what}_width": int(width)}


def _name_pads(top: int, left: int, bottom: int, right: int) -> dict[str, int]:
    return {"pad_top": top, "pad_left": left, "pad_bottom": bottom, "pad_right": right}


def _put_channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """`(C, H, W)` -> `(H, W, C)`; a vector stays. Raises: Unsupported for other ranks."""
    if len(shape) not in (1, 3):
        raise Unsupported(f"the emulator takes pictures and vectors, got an input of shape {shape}")
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape
