"""Convolutions, matrix products and pooling of a .tflite file.

Padding is always explicit in the graph: SAME puts what is odd behind, and zeros that a PAD puts in front of a convolution
become the convolution's own.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sightline.compiler.importers.sizes import find_same_pads
from sightline.compiler.importers.tflite.files import OperatorRecord
from sightline.compiler.importers.tflite.graph import GraphBuilder, Held, Shape
from sightline.compiler.importers.tflite.weights import add_weights
from sightline.core.errors import InvalidInput, Unsupported

SAME, VALID = 0, 1  # Padding of the schema
Pads = tuple[int, int, int, int]  # top, left, bottom, right
WEIGHT_ORDER = {"CONV_2D": (0, 3, 1, 2), "DEPTHWISE_CONV_2D": (3, 0, 1, 2), "TRANSPOSE_CONV": (3, 0, 1, 2)}


def convert_convolution(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """CONV_2D and DEPTHWISE_CONV_2D; a PAD in front of it, or a batch of shifted maps that means dilation, is taken in."""
    source, weights = operator.inputs[:2]
    held = builder.held.get(source)
    pads, name = (held.pads, held.name) if held is not None and held.layout == "spatial" else ((0, 0, 0, 0), "")
    options, shape, weight_shape = operator.options, builder.shape(source), builder.shape(weights)
    _, height, width, channels = check_map(builder, source)
    strides = read_strides(builder, operator)
    dilations = options["DilationHFactor"], options["DilationWFactor"]
    kernel = weight_shape[1:3]
    if options["Padding"] == SAME or not any(pads):
        name = builder.spatial(source)
        pads = find_pads(options["Padding"], (height, width), kernel, strides, dilations)
        padded = (height + pads[0] + pads[2], width + pads[1] + pads[3])
    else:
        padded = (height, width)  # the shape of a tensor counts the pads it waits for
    size = tuple((padded[i] - (kernel[i] - 1) * dilations[i] - 1) // strides[i] + 1 for i in (0, 1))
    is_depthwise = operator.kind == "DEPTHWISE_CONV_2D"
    count = weight_shape[3] if is_depthwise else weight_shape[0]
    groups = channels if is_depthwise else find_groups(builder, operator, channels, weight_shape)
    if min(size) < 1 or count % groups:
        raise InvalidInput(f"{builder.title(operator)} does not fit its input {shape} with weights {weight_shape}")
    builder.emit(
        operator,
        "Conv",
        [name, *add_weights(builder, operator, weights, WEIGHT_ORDER[operator.kind], axis=0)],
        (shape[0], *size, count),
        "spatial",
        activation=options["FusedActivationFunction"],
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        pads=pads,
        group=groups,
    )


def convert_transposed_convolution(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """TRANSPOSE_CONV: inputs are the output's shape, weights (O, H, W, I), map, bias."""
    target, weights, source = operator.inputs[:3]
    shape = builder.numbers(target, "the size of a transposed convolution")
    weight_shape, (_, height, width, channels) = builder.shape(weights), check_map(builder, source)
    strides, kernel = read_strides(builder, operator), weight_shape[1:3]
    if len(shape) != 4 or weight_shape[3] != channels or shape[3] != weight_shape[0]:
        raise InvalidInput(f"{builder.title(operator)} of shape {shape} does not fit weights {weight_shape}")
    whole = [(size - 1) * stride + side for size, stride, side in zip((height, width), strides, kernel, strict=True)]
    missing = [max(0, size - out) for size, out in zip(whole, shape[1:3], strict=True)]
    extra = [max(0, out - size) for size, out in zip(whole, shape[1:3], strict=True)]
    if any(more >= stride for more, stride in zip(extra, strides, strict=True)):
        raise InvalidInput(f"{builder.title(operator)} of shape {shape} is larger than its input reaches")
    inputs = (source, weights, *operator.inputs[3:])
    builder.emit(
        operator,
        "ConvTranspose",
        [builder.spatial(source), *add_weights(builder, replace(operator, inputs=inputs), weights, (3, 0, 1, 2), axis=1)],
        (builder.shape(source)[0], *shape[1:]),
        "spatial",
        activation=operator.options.get("FusedActivationFunction", 0),
        kernel_shape=kernel,
        strides=strides,
        pads=[missing[0] // 2, missing[1] // 2, missing[0] - missing[0] // 2, missing[1] - missing[1] // 2],
        output_padding=extra,
    )


def convert_fully_connected(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """FULLY_CONNECTED: every axis but the last is a row, unless the weights take in more than the last one."""
    source, weights = operator.inputs[:2]
    if operator.options["WeightsFormat"] != 0:
        raise Unsupported(f"{builder.title(operator)} has shuffled weights; convert the network without them")
    shape, weight_shape = builder.shape(source), builder.shape(weights)
    if len(weight_shape) != 2 or not shape or np.prod(shape) % max(weight_shape[1], 1):
        raise InvalidInput(f"{builder.title(operator)} does not fit its input {shape} with weights {weight_shape}")
    count, width = weight_shape
    keeps = bool(operator.options["KeepNumDims"]) and shape[-1] == width
    rows = (*shape[:-1], count) if keeps else (int(np.prod(shape)) // width, count)
    name, order = _flatten_input(builder, source, width, keeps)
    activation = operator.options["FusedActivationFunction"]
    terms = add_weights(builder, operator, weights, (1, 0), axis=1, rows=order)
    if len(rows) == 2:
        builder.emit(operator, "Gemm", [name, *terms], rows, "plain", activation)
    elif len(terms) == 1:
        builder.emit(operator, "MatMul", [name, *terms], rows, "plain", activation)
    else:
        product = builder.writer.add("MatMul", [name, terms[0]], name=f"{builder.name(operator)}/product")
        builder.emit(operator, "Add", [product, terms[1]], rows, "plain", activation)


def convert_pooling(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """AVERAGE_POOL_2D, which does not count padding, and MAX_POOL_2D, which never chooses it: as ONNX does both."""
    source, options = operator.inputs[0], operator.options
    batch, height, width, channels = check_map(builder, source)
    kernel, strides = (options["FilterHeight"], options["FilterWidth"]), read_strides(builder, operator)
    if min(kernel) < 1:
        raise InvalidInput(f"{builder.title(operator)} has a window of {kernel}")
    pads = find_pads(options["Padding"], (height, width), kernel, strides, (1, 1))
    size = (
        (height + pads[0] + pads[2] - kernel[0]) // strides[0] + 1,
        (width + pads[1] + pads[3] - kernel[1]) // strides[1] + 1,
    )
    if min(size) < 1:
        raise InvalidInput(f"{builder.title(operator)} has a window of {kernel} on a map of {height} x {width}")
    shape, activation = (batch, *size, channels), options["FusedActivationFunction"]
    if operator.kind == "AVERAGE_POOL_2D" and kernel == (height, width) and not any(pads):
        builder.emit(operator, "GlobalAveragePool", [builder.spatial(source)], shape, "spatial", activation)
        return
    kind = "AveragePool" if operator.kind == "AVERAGE_POOL_2D" else "MaxPool"
    builder.emit(
        operator, kind, [builder.spatial(source)], shape, "spatial", activation, kernel_shape=kernel, strides=strides, pads=pads
    )


def convert_pad(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """PAD, PADV2 and MIRROR_PAD. Zeros around a map that only convolutions read are left to them."""
    source, shape = operator.inputs[0], builder.shape(operator.inputs[0])
    amounts = np.array(builder.numbers(operator.inputs[1], "the size of a padding")).reshape(-1, 2)
    if len(amounts) != len(shape) or amounts.min() < 0:
        raise InvalidInput(f"{builder.title(operator)} pads {shape} by {amounts.tolist()}")
    if amounts[0].any():
        raise Unsupported(f"{builder.title(operator)} pads the batch axis, which must stay free")
    value = float(builder.real(operator.inputs[2]).ravel()[0]) if operator.kind == "PADV2" else 0.0
    result = tuple(size + int(before) + int(after) for size, (before, after) in zip(shape, amounts, strict=True))
    output = operator.outputs[0]
    layout = builder.choose_layout([source], len(shape))
    if (
        layout == "spatial"
        and value == 0
        and operator.kind != "MIRROR_PAD"
        and _is_left_to_convolutions(builder, operator, amounts)
    ):
        (top, bottom), (left, right) = amounts[1], amounts[2]
        name = builder.spatial(source)
        builder.hold(output, Held(name, "spatial", (int(top), int(left), int(bottom), int(right))), result)
        return
    mode = _find_pad_mode(builder, operator, amounts)
    ordered = amounts[[0, 3, 1, 2]] if layout == "spatial" else amounts
    inputs = [builder.operand(source, layout), builder.add_numbers("pads", ordered.T.ravel().tolist())]
    if value:
        inputs.append(builder.add_scalar(value))
    builder.emit(operator, "Pad", inputs, result, layout, mode=mode)


def _find_pad_mode(builder: GraphBuilder, operator: OperatorRecord, amounts: np.ndarray) -> str | None:
    if operator.kind != "MIRROR_PAD":
        return None
    if operator.options["Mode"] == 0:
        return "reflect"
    if amounts.max() > 1:
        raise Unsupported(f"{builder.title(operator)} mirrors more than one row with its edge, which ONNX cannot say")
    return "edge"


def _is_left_to_convolutions(builder: GraphBuilder, operator: OperatorRecord, amounts: np.ndarray) -> bool:
    """Whether all readers are convolutions without padding of their own, and nothing is rounded anew between."""
    output = operator.outputs[0]
    readers = builder.consumers(output)
    return (
        not amounts[3].any()
        and output not in builder.file.outputs
        and bool(readers)
        and all(reader.kind in ("CONV_2D", "DEPTHWISE_CONV_2D") and reader.options["Padding"] == VALID for reader in readers)
        and builder.has_same_scale(output, operator.inputs[0])
    )


def convert_space_to_batch(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """SPACE_TO_BATCH_ND, a convolution, BATCH_TO_SPACE_ND: together a convolution that is dilated by the block.

    What is cropped behind is padding that is not added in front. Raises: Unsupported for any other use.
    """
    source, block = operator.inputs[0], builder.numbers(operator.inputs[1], "a block")
    middle, last = _find_only_reader(builder, operator), None
    if middle is not None and middle.kind in ("CONV_2D", "DEPTHWISE_CONV_2D") and middle.options["Padding"] == VALID:
        last = _find_only_reader(builder, middle)
    if middle is None or last is None or last.kind != "BATCH_TO_SPACE_ND":
        raise Unsupported(f"{builder.title(operator)} means something else than a dilated convolution")
    dilates_only = (middle.options[name] == 1 for name in ("StrideH", "StrideW", "DilationHFactor", "DilationWFactor"))
    if not all(dilates_only) or len(block) != 2 or builder.numbers(last.inputs[1], "a block") != block:
        raise Unsupported(f"{builder.title(operator)} means something else than a dilated convolution")
    paddings = np.array(builder.numbers(operator.inputs[2], "a padding")).reshape(2, 2)
    pads = paddings - np.array(builder.numbers(last.inputs[2], "a crop")).reshape(2, 2)
    batch, height, width, channels = check_map(builder, source)
    if pads.min() < 0:
        raise Unsupported(f"{builder.title(operator)} crops more than it pads")
    (top, bottom), (left, right) = pads.tolist()
    padded = (batch, height + top + bottom, width + left + right, channels)
    builder.hold(operator.outputs[0], Held(builder.spatial(source), "spatial", (top, left, bottom, right)), padded)
    options = middle.options | {"DilationHFactor": block[0], "DilationWFactor": block[1]}
    convert_convolution(builder, replace(middle, outputs=last.outputs, options=options))
    builder.absorbed |= {middle.outputs[0], last.outputs[0]}


def _find_only_reader(builder: GraphBuilder, operator: OperatorRecord) -> OperatorRecord | None:
    readers = builder.consumers(operator.outputs[0])
    return readers[0] if len(readers) == 1 and operator.outputs[0] not in builder.file.outputs else None


def find_pads(
    padding: int, size: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Pads:
    """Padding of one word of the schema; of SAME what is odd goes behind (TensorFlow's documentation of `tf.nn`)."""
    if padding == VALID:
        return (0, 0, 0, 0)
    (top, bottom), (left, right) = map(find_same_pads, size, kernel, strides, dilations)
    return top, left, bottom, right


def find_groups(builder: GraphBuilder, operator: OperatorRecord, channels: int, weight_shape: Shape) -> int:
    """Groups of a CONV_2D: its weights take in a divisor of the map's channels."""
    taken = weight_shape[3]
    if taken < 1 or channels % taken:
        raise InvalidInput(f"{builder.title(operator)} takes {taken} channels of {channels}")
    return channels // taken


def check_map(builder: GraphBuilder, index: int) -> tuple[int, int, int, int]:
    """Shape (N, H, W, C) of a map. Raises: InvalidInput for another rank."""
    shape = builder.shape(index)
    if len(shape) != 4 or min(shape) < 1:
        raise InvalidInput(
            f"expected a map (N, H, W, C) in {builder.file.path.name}, got {shape} in {builder.tensor(index).name}"
        )
    return shape[0], shape[1], shape[2], shape[3]


def read_strides(builder: GraphBuilder, operator: OperatorRecord) -> tuple[int, int]:
    """Strides along H and W. Raises: InvalidInput below 1."""
    strides = operator.options["StrideH"], operator.options["StrideW"]
    factors = (operator.options.get("DilationHFactor", 1), operator.options.get("DilationWFactor", 1))
    if min(*strides, *factors) < 1:
        raise InvalidInput(f"{builder.title(operator)} has strides {strides} and dilations {factors}")
    return strides


def _flatten_input(builder: GraphBuilder, source: int, width: int, keeps: bool) -> tuple[str, np.ndarray | None]:
    """The rows `(R, width)` that a fully connected layer reads, and the order its weights' rows need for a "flat" input."""
    held, shape = builder.held.get(source), builder.shape(source)
    if held is not None and held.layout == "flat":
        return held.name, _order_rows(builder.flat_maps[source])
    if keeps or (len(shape) == 2 and shape[1] == width):
        return builder.plain(source), None
    if len(shape) == 4 and shape[0] == 1 and np.prod(shape[1:]) == width and builder.is_spatial(source):
        target = builder.add_numbers("shape", [0, width])
        name = builder.writer.add("Reshape", [builder.spatial(source), target], name=f"{builder.tensor(source).name}/flat")
        return name, _order_rows(shape)
    target = builder.add_numbers("shape", [-1, width])
    return builder.writer.add("Reshape", [builder.plain(source), target], name=f"{builder.tensor(source).name}/rows"), None


def _order_rows(map_shape: Shape) -> np.ndarray:
    """For each place of a flattened (C, H, W) its place in a flattened (H, W, C)."""
    return np.arange(np.prod(map_shape[1:])).reshape(map_shape[1:]).transpose(2, 0, 1).ravel()
