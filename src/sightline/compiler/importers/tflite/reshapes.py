"""Operators of a .tflite file that only move values: reshapes, transposes, joins, splits and changes of size.

The order of values matters only where a map (N, H, W, C) becomes something else than a map. Only there, and not even there
when a fully connected layer can read another order or the map is one value high and wide, does the graph turn (N, C, H, W)
round.
"""

import math

import numpy as np

from sightline.compiler.importers.graph_writer import TO_NCHW
from sightline.compiler.importers.sizes import find_resize_factor
from sightline.compiler.importers.tflite.files import OperatorRecord
from sightline.compiler.importers.tflite.graph import TO_SPATIAL_AXIS, GraphBuilder, Layout, Shape
from sightline.compiler.importers.tflite.pointwise import check_axis, refuse_activation
from sightline.core.errors import InvalidInput, Unsupported


def convert_reshape(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """RESHAPE; the batch, which the file knows as 1, stays free."""
    target = list(
        builder.numbers(operator.inputs[1], "a shape") if len(operator.inputs) > 1 else operator.options.get("NewShape", ())
    )
    total = math.prod(builder.shape(operator.inputs[0]))
    known = math.prod(size for size in target if size != -1)
    if target.count(-1) == 1 and known > 0:
        target[target.index(-1)] = total // known
    if not target or min(target) < 1 or math.prod(target) != total:
        raise InvalidInput(
            f"{builder.name(operator)} of {builder.file.path.name} reshapes {builder.shape(operator.inputs[0])} to {target}"
        )
    emit_reshape(builder, operator, tuple(target))


def convert_squeeze(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """SQUEEZE of the axes it names, or of all of length 1 but the batch's."""
    shape = builder.shape(operator.inputs[0])
    named = {axis % len(shape) for axis in operator.options["SqueezeDims"] if -len(shape) <= axis < len(shape)}
    axes = named or {axis for axis, size in enumerate(shape) if size == 1 and axis}
    if any(shape[axis] != 1 for axis in axes):
        raise InvalidInput(f"{builder.name(operator)} squeezes axes {sorted(axes)} of {shape}")
    emit_reshape(builder, operator, tuple(size for axis, size in enumerate(shape) if axis not in axes))


def convert_expansion(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """EXPAND_DIMS by one axis of length 1."""
    shape = builder.shape(operator.inputs[0])
    axis = check_axis(builder, operator, builder.numbers(operator.inputs[1], "an axis")[0], len(shape) + 1)
    emit_reshape(builder, operator, (*shape[:axis], 1, *shape[axis:]))


def emit_reshape(builder: GraphBuilder, operator: OperatorRecord, shape: Shape) -> None:
    """The first input's values in another shape."""
    source, output = operator.inputs[0], operator.outputs[0]
    before = builder.shape(source)
    if before == shape:
        builder.alias(output, source)
        return
    is_map = builder.is_spatial(source)
    if is_map and not _is_trivial(before) and _is_read_flat(builder, output, before, shape):
        target = builder.add_numbers("shape", [0, shape[1]])  # a Reshape, which lets integers through where a Flatten does not
        name = builder.writer.add("Reshape", [builder.spatial(source), target], name=f"{builder.tensor(output).name}/flat")
        builder.flat_maps[output] = before
        builder.move(output, source, name, shape, "flat")
        return
    name = builder.spatial(source) if is_map and _is_trivial(before) else builder.plain(source)
    first = 0 if before[:1] == shape[:1] == (1,) else -1
    layout: Layout = "spatial" if len(shape) == 4 and _is_trivial(shape) else "plain"
    rest = (shape[3], shape[1], shape[2]) if layout == "spatial" else shape[1:]
    target = builder.add_numbers("shape", [first, *rest])
    title, value = builder.tensor(output).name, builder.moved_name(output, source)
    value = builder.writer.add("Reshape", [name, target], name=title, output=value)
    builder.move(output, source, value, shape, layout)


def convert_transpose(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """TRANSPOSE: nothing at all where the new order is how the map lies already."""
    source, output = operator.inputs[0], operator.outputs[0]
    shape, order = builder.shape(source), builder.numbers(operator.inputs[1], "an order of axes")
    if sorted(order) != list(range(len(shape))):
        raise InvalidInput(f"{builder.tensor(output).name} orders the axes of {shape} as {order}")
    if order[0] != 0:
        raise Unsupported(f"{builder.tensor(output).name} moves the batch axis, which must stay the first")
    result = tuple(shape[axis] for axis in order)
    is_map = builder.is_spatial(source)
    place = TO_SPATIAL_AXIS if is_map else tuple(range(len(shape)))  # of the source's axes in what is held
    to_plain = tuple(place[axis] for axis in order)
    to_spatial = tuple(to_plain[axis] for axis in TO_NCHW) if len(shape) == 4 else ()
    layouts: dict[Layout, tuple[int, ...]] = {"spatial": to_spatial, "plain": to_plain}
    name = builder.spatial(source) if is_map else builder.plain(source)
    for layout, moved in layouts.items():
        if moved == tuple(range(len(shape))):
            builder.move(output, source, name, result, layout)
            return
    wanted: Layout = "spatial" if is_map else "plain"
    builder.emit(operator, "Transpose", [name], result, wanted, perm=layouts[wanted])


def convert_concatenation(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """CONCATENATION along any axis but the batch's; each part keeps its own scale."""
    refuse_activation(builder, operator)
    shapes = [builder.shape(index) for index in operator.inputs]
    rank = len(shapes[0]) if shapes else 0
    axis = check_axis(builder, operator, operator.options["Axis"], rank)
    rests = {shape[:axis] + shape[axis + 1 :] for shape in shapes}
    if len(rests) != 1:
        raise InvalidInput(f"{builder.name(operator)} joins {shapes} along axis {axis}")
    layout = builder.choose_layout(operator.inputs, rank)
    result = (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])
    names = [builder.operand(index, layout, rank) for index in operator.inputs]
    place = TO_SPATIAL_AXIS[axis] if layout == "spatial" else axis
    builder.emit(operator, "Concat", names, result, layout, axis=place)


def convert_split(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """SPLIT into equal parts: inputs are the axis and the tensor."""
    axis_index, source = operator.inputs[:2]
    shape, count = builder.shape(source), len(operator.outputs)
    axis = check_axis(builder, operator, builder.numbers(axis_index, "an axis")[0], len(shape))
    _emit_split(builder, operator, source, axis, [shape[axis] // count] * count)


def convert_split_by_size(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """SPLIT_V: inputs are the tensor, the sizes of the parts and the axis."""
    source, shape = operator.inputs[0], builder.shape(operator.inputs[0])
    sizes = list(builder.numbers(operator.inputs[1], "sizes of parts"))
    axis = check_axis(builder, operator, builder.numbers(operator.inputs[2], "an axis")[0], len(shape))
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = shape[axis] - sum(size for size in sizes if size != -1)
    _emit_split(builder, operator, source, axis, sizes)


def _emit_split(builder: GraphBuilder, operator: OperatorRecord, source: int, axis: int, sizes: list[int]) -> None:
    shape = builder.shape(source)
    if len(sizes) != len(operator.outputs) or min(sizes, default=0) < 1 or sum(sizes) != shape[axis]:
        raise InvalidInput(f"{builder.name(operator)} splits axis {axis} of {shape} into {sizes}")
    layout = builder.choose_layout([source], len(shape))
    names = [builder.tensor(index).name for index in operator.outputs]
    raw = [
        f"{name}/linear" if builder.quantisation(index) is not None else name
        for index, name in zip(operator.outputs, names, strict=True)
    ]
    inputs = [builder.operand(source, layout), builder.add_numbers("sizes", sizes)]
    place = TO_SPATIAL_AXIS[axis] if layout == "spatial" else axis
    parts = builder.writer.add_many("Split", inputs, raw, name=names[0], axis=place)
    for index, part, size in zip(operator.outputs, parts, sizes, strict=True):
        builder.put(index, part, (*shape[:axis], size, *shape[axis + 1 :]), layout)


def convert_pack(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """PACK: equal tensors side by side along a new axis."""
    shapes = {builder.shape(index) for index in operator.inputs}
    shape, title = builder.shape(operator.inputs[0]), builder.name(operator)
    if len(shapes) != 1:
        raise InvalidInput(f"{title} of {builder.file.path.name} packs tensors of shapes {sorted(shapes)}")
    axis = check_axis(builder, operator, operator.options["Axis"], len(shape) + 1)
    place = builder.add_numbers("axes", [axis])
    parts = [
        builder.writer.add("Unsqueeze", [builder.operand(index, "plain", len(shape)), place], name=f"{title}/part_{number}")
        for number, index in enumerate(operator.inputs)
    ]
    builder.emit(operator, "Concat", parts, (*shape[:axis], len(parts), *shape[axis:]), "plain", axis=axis)


def convert_unpack(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """UNPACK: the slices of an axis, which they lose."""
    source, shape = operator.inputs[0], builder.shape(operator.inputs[0])
    axis, title = check_axis(builder, operator, operator.options["Axis"], len(shape)), builder.name(operator)
    if len(operator.outputs) != shape[axis]:
        raise InvalidInput(f"{title} of {builder.file.path.name} unpacks {shape} into {len(operator.outputs)} tensors")
    sizes = builder.add_numbers("sizes", [1] * shape[axis])
    names = [f"{title}/part_{number}" for number in range(shape[axis])]
    parts = builder.writer.add_many("Split", [builder.plain(source), sizes], names, name=f"{title}/split", axis=axis)
    for index, part in zip(operator.outputs, parts, strict=True):
        name = builder.tensor(index).name
        output = f"{name}/linear" if builder.quantisation(index) is not None else name
        value = builder.writer.add("Squeeze", [part, builder.add_numbers("axes", [axis])], name=name, output=output)
        builder.put(index, value, shape[:axis] + shape[axis + 1 :], "plain")


def convert_gather(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """GATHER of constant places along one axis."""
    source, places = operator.inputs[:2]
    shape, title = builder.shape(source), builder.name(operator)
    axis = check_axis(builder, operator, operator.options["Axis"], len(shape))
    builder.numbers(places, "places to gather")
    values = builder.constants[places].astype(np.int64)
    if operator.options.get("BatchDims", 0):
        raise Unsupported(f"{title} of {builder.file.path.name} gathers other places for each picture")
    if values.size == 0 or values.min() < 0 or values.max() >= shape[axis]:
        raise InvalidInput(f"{title} of {builder.file.path.name} gathers places outside {shape[axis]}")
    layout = builder.choose_layout([source], len(shape)) if values.ndim == 1 else "plain"
    inputs = [builder.operand(source, layout), builder.writer.add_weight(f"{title}/places", values)]
    result = (*shape[:axis], *values.shape, *shape[axis + 1 :])
    builder.emit(operator, "Gather", inputs, result, layout, axis=TO_SPATIAL_AXIS[axis] if layout == "spatial" else axis)


def convert_block_move(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """DEPTH_TO_SPACE and SPACE_TO_DEPTH; both order a block's values by row, column, channel."""
    source, block = operator.inputs[0], operator.options["BlockSize"]
    shape, is_depth = builder.shape(source), operator.kind == "DEPTH_TO_SPACE"
    fits = len(shape) == 4 and block > 0
    fits = fits and (shape[3] % (block * block) == 0 if is_depth else shape[1] % block == shape[2] % block == 0)
    if not fits:
        raise InvalidInput(f"{builder.name(operator)} moves blocks of {block} in {shape}")
    batch, height, width, channels = shape
    if is_depth:
        result = (batch, height * block, width * block, channels // block**2)
        builder.emit(operator, "DepthToSpace", [builder.spatial(source)], result, "spatial", blocksize=block, mode="DCR")
    else:
        result = (batch, height // block, width // block, channels * block**2)
        builder.emit(operator, "SpaceToDepth", [builder.spatial(source)], result, "spatial", blocksize=block)


def convert_resize(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR under their three rules for where a pixel lies."""
    source, shape = operator.inputs[0], builder.shape(operator.inputs[0])
    size = builder.numbers(operator.inputs[1], "the size of a map")
    if len(shape) != 4 or len(size) != 2 or min(size) < 1:
        raise InvalidInput(f"{builder.name(operator)} resizes {shape} to {size}")
    aligned, centred = operator.options["AlignCorners"], operator.options["HalfPixelCenters"]
    result = (shape[0], *size, shape[3])
    if result == shape:
        builder.alias(operator.outputs[0], source)
        return
    scales = np.array([1, 1, *map(find_resize_factor, shape[1:3], size)], np.float32)
    is_linear = operator.kind == "RESIZE_BILINEAR"
    # Nearest: the kernel takes floor(x * ratio), floor((x + 0.5) * ratio), or the aligned place rounded half up.
    nearest = "round_prefer_ceil" if aligned or centred else "floor"
    builder.emit(
        operator,
        "Resize",
        [builder.spatial(source), "", builder.writer.add_weight(f"{builder.name(operator)}/scales", scales)],
        result,
        "spatial",
        mode="linear" if is_linear else "nearest",
        coordinate_transformation_mode="align_corners" if aligned else "half_pixel" if centred else "asymmetric",
        nearest_mode=None if is_linear else nearest,
    )


def _is_trivial(shape: Shape) -> bool:
    """Whether a map's values have one order in both layouts."""
    return shape[3] == 1 or shape[1] * shape[2] == 1


def _is_read_flat(builder: GraphBuilder, output: int, before: Shape, shape: Shape) -> bool:
    """Whether only fully connected layers read a flattened map, whose weights can be reordered instead."""
    readers = builder.consumers(output)
    return (
        before[0] == 1
        and len(shape) == 2
        and shape[0] == 1
        and output not in builder.file.outputs
        and bool(readers)
        and all(
            reader.kind == "FULLY_CONNECTED"
            and reader.inputs[0] == output
            and reader.inputs[1] in builder.constants
            and builder.shape(reader.inputs[1])[-1:] == shape[1:]
            for reader in readers
        )
    )
