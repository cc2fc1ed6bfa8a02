"""Layers that move elements or combine tensors: Flatten, Reshape, Permute, the element-wise layers, Concatenate, and those
that do nothing.

Keras's element order matters only where a picture becomes something else or comes back; there, and only there, a Transpose is
written, unless the orders agree (one pixel, or one channel).
"""

from math import prod

import numpy as np

from sightline.compiler.importers.keras.graph import PICTURE_RANK, GraphBuild, LayerCall, Tensor
from sightline.core.errors import InvalidInput, Unsupported

NODE_OF_KIND = {
    "Add": "Add",
    "Average": "Add",
    "Divide": "Div",
    "Maximum": "Max",
    "Minimum": "Min",
    "Multiply": "Mul",
    "Subtract": "Sub",
    "TrueDivide": "Div",
}
IDENTITIES = (
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "RandomBrightness",
    "RandomContrast",
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "RandomZoom",
    "SpatialDropout2D",
)


def skip_layer(_build: GraphBuild, call: LayerCall) -> Tensor:
    """A layer that does something in training only."""
    return call.tensor()


def write_flatten(build: GraphBuild, call: LayerCall) -> Tensor:
    """Flatten; a picture keeps the graph's order, and the next layer's weights are permuted."""
    tensor = call.tensor()
    if len(tensor.shape) == 1:
        return tensor
    output = build.writer.add("Flatten", [tensor.name], name=call.path, output=call.output, axis=1)
    # Since Keras 2.2 a channels-first Flatten moves the channels behind too, to give the vector its channels-last twin gives.
    moves = build.channels_last or call.settings.text("data_format", "channels_last") == "channels_first"
    reorders = moves and len(tensor.shape) == PICTURE_RANK and tensor.shape[0] > 1 and prod(tensor.shape[1:]) > 1
    flat_of = (tensor.shape[0], tensor.shape[1], tensor.shape[2]) if reorders else None
    return Tensor(output, (prod(tensor.shape),), flat_of)


def write_reshape(build: GraphBuild, call: LayerCall) -> Tensor:
    """Reshape, which reads and fills tensors in Keras's order."""
    tensor = call.tensor()
    target = call.settings.get("target_shape")
    if not isinstance(target, list) or not all(type(size) is int and (size > 0 or size == -1) for size in target):
        raise InvalidInput(f"layer {call.path}: expected target_shape as whole numbers, got {str(target)[:80]!r}")
    count, known = prod(tensor.shape), prod(size for size in target if size > 0)
    shape = tuple(size if size > 0 else count // known for size in target)
    if prod(shape) != count or target.count(-1) > 1:
        raise InvalidInput(f"layer {call.path}: {count} elements do not fit into {tuple(target)}")
    return _fill(build, call, build.to_keras_order(call, tensor), shape)


def _fill(build: GraphBuild, call: LayerCall, name: str, keras_shape: tuple[int, ...]) -> Tensor:
    """A tensor of Keras's shape from elements in Keras's order."""
    stored = build.stored_shape(keras_shape)
    turn = build.differs(stored)
    shape = build.add_shape(call, keras_shape if turn else stored)
    output = build.writer.add("Reshape", [name, shape], name=call.path, output=call.part("last") if turn else call.output)
    if turn:
        output = build.writer.add(
            "Transpose", [output], name=call.part("channels_first"), output=call.output, perm=[0, 3, 1, 2]
        )
    return Tensor(output, stored)


def write_permute(build: GraphBuild, call: LayerCall) -> Tensor:
    """Permute: axis `dims[k - 1]` becomes axis k, counted from 1 as Keras does."""
    tensor = build.settle(call, call.tensor())
    dims, rank = call.settings.wholes("dims"), len(tensor.shape) + 1
    if sorted(dims) != list(range(1, rank)):
        raise InvalidInput(f"layer {call.path}: expected dims as an order of the axes 1 to {rank - 1}, got {dims}")
    axes = build.list_axes(rank)  # of Keras's axes in the graph
    order = [0] * rank
    for keras_axis, source in enumerate([0, *dims]):
        order[axes[keras_axis]] = axes[source]
    output = build.writer.add("Transpose", [tensor.name], name=call.path, output=call.output, perm=order)
    return Tensor(output, tuple(tensor.shape[axis - 1] for axis in order[1:]))


def write_elementwise(build: GraphBuild, call: LayerCall) -> Tensor:
    """Add, Multiply and the like, of layers or of functions used as layers; shapes broadcast."""
    if not call.inputs or not any(isinstance(value, Tensor) for value in call.inputs):
        raise InvalidInput(f"layer {call.path} ({call.kind}): expected tensors to combine, got none")
    settled = [build.settle(call, value) if isinstance(value, Tensor) else value for value in call.inputs]
    rank = max(len(value.shape) for value in settled if isinstance(value, Tensor))
    if call.kind in ("Subtract", "Divide", "TrueDivide") and len(settled) != 2:
        raise InvalidInput(f"layer {call.path} ({call.kind}): expected two inputs, got {len(settled)}")
    if len(settled) == 1:
        return call.tensor()
    names, shapes = zip(*(_lift(build, call, value, rank) for value in settled), strict=True)
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise InvalidInput(
            f"layer {call.path} ({call.kind}): shapes {', '.join(map(str, shapes))} do not go together"
        ) from None
    average, result = call.kind == "Average", names[0]
    for index, name in enumerate(names[1:], start=1):
        is_last = index == len(names) - 1 and not average
        title, output = (call.path, call.output) if is_last else (call.part(str(index)), None)
        result = build.writer.add(NODE_OF_KIND[call.kind], [result, name], name=title, output=output)
    if average:
        share = build.add_constant(call, "share", 1 / len(names))
        result = build.writer.add("Mul", [result, share], name=call.path, output=call.output)
    return Tensor(result, tuple(shape))


def _lift(build: GraphBuild, call: LayerCall, value: Tensor | float, rank: int) -> tuple[str, tuple[int, ...]]:
    """Name and shape of an operand; a vector beside pictures becomes a picture of one pixel, as Keras's (N, 1, 1, C)."""
    if not isinstance(value, Tensor):
        return build.add_constant(call, "constant", value), ()
    if len(value.shape) == rank:
        return value.name, value.shape
    if len(value.shape) != 1 or rank != PICTURE_RANK or not build.channels_last:
        raise Unsupported(f"layer {call.path} ({call.kind}): tensors of rank {len(value.shape) + 1} and {rank + 1} together")
    shape = (value.shape[0], 1, 1)
    return build.writer.add("Reshape", [value.name, build.add_shape(call, shape)], name=call.part("pixel")), shape


def write_concatenation(build: GraphBuild, call: LayerCall) -> Tensor:
    """Concatenate along one axis."""
    tensors = [build.settle(call, value) for value in call.inputs if isinstance(value, Tensor)]
    if not tensors or len(tensors) < len(call.inputs):
        raise InvalidInput(f"layer {call.path}: expected tensors to concatenate, got {len(call.inputs)} inputs")
    axis = call.settings.get("axis", -1)
    if type(axis) is not int:
        raise InvalidInput(f"layer {call.path}: expected axis as a whole number, got {axis!r}")
    stored = build.find_axis(call, tensors[0], axis)
    others = {(len(tensor.shape), *_without(tensor.shape, stored)) for tensor in tensors}
    if len(others) > 1:
        shapes = ", ".join(str(build.keras_shape(tensor.shape)) for tensor in tensors)
        raise InvalidInput(f"layer {call.path}: shapes {shapes} do not go together along axis {axis}")
    output = build.writer.add("Concat", [tensor.name for tensor in tensors], name=call.path, output=call.output, axis=stored)
    shape = list(tensors[0].shape)
    shape[stored - 1] = sum(tensor.shape[stored - 1] for tensor in tensors)
    return Tensor(output, tuple(shape))


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[: axis - 1] + shape[axis:]


LAYERS = {
    **dict.fromkeys(IDENTITIES, skip_layer),
    **dict.fromkeys(NODE_OF_KIND, write_elementwise),
    "Concatenate": write_concatenation,
    "Flatten": write_flatten,
    "Permute": write_permute,
    "Reshape": write_reshape,
}
