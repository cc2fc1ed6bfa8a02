"""OpenVINO operations that move numbers without changing them, as ONNX operators.

Target shapes are read from OpenVINO's own shape inference, not from the expressions that compute them: in a network with a
fixed picture size only the batch is open, and a Reshape can leave one size open.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sightline.compiler.importers.openvino.constants import Node
from sightline.compiler.importers.openvino.context import Context, get_output_shape, get_shape, normalise_axes
from sightline.core.errors import Unsupported

PAD_MODES = {"constant": "constant", "edge": "edge", "reflect": "reflect"}


def convert_reshape(c: Context, node: Node) -> str:
    """Reshape, and Squeeze and Unsqueeze too: any change of shape that leaves the order of the numbers."""
    x, shape = c.get(node, 0), get_output_shape(node)
    if shape == get_shape(node):
        return x
    return c.keep_step(x, c.add(node, "Reshape", [x, c.weight(node, "shape", make_target(node, shape))]))


def make_target(node: Node, shape: Sequence[int]) -> np.ndarray:
    """A shape for ONNX's Reshape. Raises: Unsupported when more than one size is open."""
    if sum(size < 0 for size in shape) > 1:
        raise Unsupported(f"{node.get_type_name()} {node.get_friendly_name()} leaves two sizes of {tuple(shape)} open")
    return np.array(shape, np.int64)


def convert_transpose(c: Context, node: Node) -> str:
    """Transpose, composed with the one in front of it; what comes out in its first order needs none."""
    rank = len(get_shape(node))
    order = c.integers(node, 1, "order") or list(range(rank))[::-1]
    return transpose(c, node, c.get(node, 0), order)


def transpose(c: Context, node: Node, x: str, order: Sequence[int]) -> str:
    """A tensor with its axes in another order, in the name of a node."""
    source, before = c.transposed.get(x, (x, tuple(range(len(order)))))
    composed = tuple(before[axis] for axis in order)
    if composed == tuple(range(len(order))):
        return source
    name = c.keep_step(x, c.add(node, "Transpose", [source], perm=list(composed)))
    c.transposed[name] = source, composed
    if x in c.pictures:
        c.pictures.add(name)
    return name


def convert_concat(c: Context, node: Node) -> str:
    """Concat; of one tensor, that tensor."""
    count = node.get_input_size()
    if count == 1:
        return c.get(node, 0)
    axis = normalise_axes([int(node.get_attributes()["axis"])], len(get_output_shape(node)))[0]
    found = None if any(c.constant(node, index) is not None for index in range(count)) else c.find_sources(node, count)
    if found is not None:
        return c.add_transposed(node, found[1], "Concat", found[0], axis=found[1][axis])
    return c.add(node, "Concat", [c.get(node, index) for index in range(count)], axis=axis)


def convert_split(c: Context, node: Node) -> list[str]:
    """Split and VariadicSplit: the parts' sizes are those of the outputs."""
    axis = normalise_axes(c.integers(node, 1, "axis"), len(get_shape(node)))[0]
    sizes = [get_output_shape(node, index)[axis] for index in range(node.get_output_size())]
    x = c.get(node, 0)
    if len(sizes) == 1:
        return [x]
    if any(size < 0 for size in sizes):
        raise Unsupported(f"{node.get_type_name()} {node.get_friendly_name()} splits the batch")
    names = c.writer.add_many(
        "Split",
        [x, c.weight(node, "sizes", np.array(sizes, np.int64))],
        [c.label(node, index) for index in range(len(sizes))],
        name=node.get_friendly_name(),
        axis=axis,
    )
    return [c.keep_step(x, name) for name in names]


def convert_slice(c: Context, node: Node) -> str:
    """Slice-8: start, stop, step and axes, as ONNX has them."""
    shape = get_shape(node)
    starts, stops, steps = (c.integers(node, index, "limits") for index in (1, 2, 3))
    axes = c.integers(node, 4, "axes") if node.get_input_size() > 4 else list(range(len(starts)))
    axes = [axis + len(shape) if axis < 0 else axis for axis in axes]
    x = c.get(node, 0)
    return c.keep_step(x, c.add(node, "Slice", [x, *_write_limits(c, node, starts, stops, axes, steps)]))


def convert_strided_slice(c: Context, node: Node) -> str:
    """StridedSlice with its masks: new axes and dropped ones are a Reshape behind the Slice."""
    rank, attributes = len(get_shape(node)), node.get_attributes()
    starts, stops = c.integers(node, 1, "limits"), c.integers(node, 2, "limits")
    steps = c.integers(node, 3, "limits") if node.get_input_size() > 3 else [1] * len(starts)
    masks = {name: [*attributes[name], *[0] * len(starts)] for name in MASKS}
    limits, axis = [], 0
    for place, (start, stop, step) in enumerate(zip(starts, stops, steps, strict=True)):
        if masks["new_axis_mask"][place]:
            continue
        if masks["ellipsis_mask"][place]:
            taken = sum(not new for new in masks["new_axis_mask"][place + 1 : len(starts)])
            axis = rank - taken
            continue
        if masks["shrink_axis_mask"][place]:
            limits.append((start, start + 1 if start != -1 else LAST, axis, 1))
        else:
            first = (LAST if step < 0 else 0) if masks["begin_mask"][place] else start
            last = (-LAST if step < 0 else LAST) if masks["end_mask"][place] else stop
            limits.append((first, last, axis, step))
        axis += 1
    limits = [limit for limit in limits if (limit[0], limit[1], limit[3]) != (0, LAST, 1)]
    return _slice_and_reshape(c, node, limits)


def convert_gather(c: Context, node: Node) -> str:
    """Gather along one axis; the places may be computed."""
    if int(node.get_attributes().get("batch_dims", 0)) != 0:
        raise Unsupported(f"Gather {node.get_friendly_name()} has batch_dims; expected 0")
    axis = c.integers(node, 2, "axis")[0]
    return c.keep_step(c.get(node, 0), c.add(node, "Gather", [c.get(node, 0), c.get(node, 1)], axis=axis))


def convert_pad(c: Context, node: Node) -> str:
    """Pad with a constant, the edge or a mirror image; a Pad of nothing vanishes."""
    begin, end = c.integers(node, 1, "padding"), c.integers(node, 2, "padding")
    mode, x = str(node.get_attributes()["pad_mode"]).lower(), c.get(node, 0)
    if not any(begin) and not any(end):
        return x
    if mode not in PAD_MODES:
        raise Unsupported(f"Pad {node.get_friendly_name()} pads {mode}; expected one of {', '.join(PAD_MODES)}")
    inputs = [x, c.weight(node, "padding", np.array([*begin, *end], np.int64))]
    if mode == "constant" and node.get_input_size() > 3:
        inputs.append(c.get(node, 3))
    return c.add(node, "Pad", inputs, mode=PAD_MODES[mode])


def convert_depth_to_space(c: Context, node: Node) -> str:
    """Channels to blocks of pixels, the block's place first (DCR) or the channel first (CRD)."""
    attributes = node.get_attributes()
    mode = {"blocks_first": "DCR", "depth_first": "CRD"}[str(attributes["mode"]).lower()]
    return c.add(node, "DepthToSpace", [c.get(node, 0)], blocksize=int(attributes["block_size"]), mode=mode)


def convert_space_to_depth(c: Context, node: Node) -> str:
    """Blocks first is ONNX's order; depth first, which puts the channel in front of the block, is written out."""
    attributes, (_, channels, height, width) = node.get_attributes(), get_shape(node)
    size = int(attributes["block_size"])
    if str(attributes["mode"]).lower() == "blocks_first":
        return c.add(node, "SpaceToDepth", [c.get(node, 0)], blocksize=size)
    split = (-1, channels, height // size, size, width // size, size)
    return _shuffle(c, node, split, [0, 1, 3, 5, 2, 4])  # (N, C, H, b, W, b) -> (N, C, b, b, H, W)


def convert_shuffle_channels(c: Context, node: Node) -> str:
    """Channels of g groups, dealt out in turn (ShuffleNet, Zhang et al. 2018, section 3.1)."""
    attributes, shape = node.get_attributes(), get_shape(node)
    axis, groups = normalise_axes([int(attributes["axis"])], len(shape))[0], int(attributes["group"])
    split = (*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])
    order = list(range(len(split)))
    order[axis], order[axis + 1] = axis + 1, axis
    return _shuffle(c, node, split, order)


def convert_tile(c: Context, node: Node) -> str:
    """Tile; axes that only the repeats have come in front."""
    repeats, rank = c.integers(node, 1, "repeats"), len(get_shape(node))
    x = c.get(node, 0)
    if len(repeats) > rank:
        x = c.step(node, "raised", "Reshape", [x, _raise_rank(c, node, len(repeats))])
    repeats = [1] * (rank - len(repeats)) + repeats
    return c.add(node, "Tile", [x, c.weight(node, "repeats", np.array(repeats, np.int64))])


def convert_broadcast(c: Context, node: Node) -> str:
    """Expand; the batch keeps its size by a 1 there, which leaves what is larger."""
    shape, source = get_output_shape(node), get_shape(node)
    mode = str(node.get_attributes().get("mode", "numpy")).lower()
    if mode not in ("numpy", "bidirectional"):
        raise Unsupported(f"Broadcast {node.get_friendly_name()} has mode {mode}; expected numpy or bidirectional")
    if shape == source:
        return c.get(node, 0)
    if any(size < 0 for size in shape[1:]) or (shape[0] < 0 and (len(source) != len(shape) or source[0] >= 0)):
        raise Unsupported(f"Broadcast {node.get_friendly_name()} widens {source} to the batch size")
    target = np.array([max(size, 1) for size in shape], np.int64)
    return c.add(node, "Expand", [c.get(node, 0), c.weight(node, "shape", target)])


MASKS = ("begin_mask", "end_mask", "new_axis_mask", "shrink_axis_mask", "ellipsis_mask")
LAST = 2**31 - 1


def _write_limits(c: Context, node: Node, *limits: Sequence[int]) -> list[str]:
    names = ("starts", "stops", "axes", "steps")
    return [c.weight(node, name, np.array(values, np.int64)) for name, values in zip(names, limits, strict=True)]


def _slice_and_reshape(c: Context, node: Node, limits: Sequence[tuple[int, int, int, int]]) -> str:
    """Slice by (start, stop, axis, step), then take the node's own output shape where that dropped or added axes."""
    attributes, x = node.get_attributes(), c.get(node, 0)
    reshaped = any(attributes["new_axis_mask"]) or any(attributes["shrink_axis_mask"])
    if limits:
        inputs = [x, *_write_limits(c, node, *(list(part) for part in zip(*limits, strict=True)))]
        sliced = c.step(node, "sliced", "Slice", inputs) if reshaped else c.add(node, "Slice", inputs)
        x = c.keep_step(x, sliced)
    if not reshaped:
        return x
    target = make_target(node, get_output_shape(node))
    return c.keep_step(x, c.add(node, "Reshape", [x, c.weight(node, "shape", target)]))


def _shuffle(c: Context, node: Node, split: tuple[int, ...], order: list[int]) -> str:
    """Reshape, Transpose and Reshape to the node's own shape."""
    x = c.step(node, "split", "Reshape", [c.get(node, 0), c.weight(node, "split_shape", make_target(node, split))])
    x = c.step(node, "moved", "Transpose", [x], perm=order)
    return c.add(node, "Reshape", [x, c.weight(node, "shape", make_target(node, get_output_shape(node)))])


def _raise_rank(c: Context, node: Node, rank: int) -> str:
    shape = get_shape(node)
    return c.weight(node, "raised_shape", make_target(node, (*[1] * (rank - len(shape)), *shape)))


CONVERTERS: dict[str, Callable[[Context, Any], str | list[str]]] = {
    "Broadcast": convert_broadcast,
    "Concat": convert_concat,
    "DepthToSpace": convert_depth_to_space,
    "Gather": convert_gather,
    "Pad": convert_pad,
    "Reshape": convert_reshape,
    "ShuffleChannels": convert_shuffle_channels,
    "Slice": convert_slice,
    "SpaceToDepth": convert_space_to_depth,
    "Split": convert_split,
    "Squeeze": convert_reshape,
    "StridedSlice": convert_strided_slice,
    "Tile": convert_tile,
    "Transpose": convert_transpose,
    "Unsqueeze": convert_reshape,
    "VariadicSplit": convert_split,
}
