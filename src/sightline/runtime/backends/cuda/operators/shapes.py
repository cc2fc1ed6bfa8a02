"""Operators that give the same numbers another shape or order, and those that tell a shape or make numbers from one.

What tells or makes numbers (Shape, Range, ...) makes them in the host's memory, for parameters of others.
"""

import math

import torch
from torch.nn import functional as F

from sightline.runtime.backends.cuda.operators.axes import count_from_front, read_integers
from sightline.runtime.backends.cuda.operators.operator import Node, Operator, refuse

Tensor = torch.Tensor
STEPWISE_PADS = ("reflect", "edge")


def run_reshape(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    """`x` in another shape: 0 keeps a size unless `allowzero`, -1 is what is left."""
    wanted = [int(size) for size in shape.tolist()]
    if not node.attributes.get("allowzero", 0):
        wanted = [x.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    return x.reshape(wanted)


def run_flatten(node: Node, x: Tensor) -> Tensor:
    """`x` as a matrix: the axes before `axis`, and those from it on."""
    axis = int(node.attributes.get("axis", 1))
    axis += x.ndim if axis < 0 else 0
    return x.reshape(x.shape[:axis].numel(), x.shape[axis:].numel())


def run_transpose(node: Node, x: Tensor) -> Tensor:
    """The axes in the order `perm`, reversed unless stated."""
    return x.permute(*node.attributes.get("perm", range(x.ndim)[::-1]))


def run_concat(node: Node, *operands: Tensor) -> Tensor:
    """The operands one after the other along `axis`."""
    return torch.cat(operands, int(node.attributes["axis"]))


def run_split(node: Node, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    """Parts of `x` along `axis`, of the sizes stated, else of one size, the last perhaps smaller."""
    axis = int(node.attributes.get("axis", 0))
    stated = read_integers(node, "split", sizes)
    return x.split(stated or math.ceil(x.shape[axis] / len(node.outputs)), axis)


def run_slice(
    node: Node,
    x: Tensor,
    starts: Tensor | None = None,
    ends: Tensor | None = None,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    """`x` from `starts` to before `ends` by `steps` along `axes`, as Python slices; attributes before opset 10."""
    first, last = read_integers(node, "starts", starts) or [], read_integers(node, "ends", ends) or []
    places = read_integers(node, "axes", axes) or range(len(first))
    strides = read_integers(node, "steps", steps) or [1] * len(first)
    for axis, start, end, step in zip(places, first, last, strides, strict=True):
        taken = range(x.shape[axis])[slice(start, end, step)]
        if step < 0:  # PyTorch only goes forwards
            low = taken[-1] if taken else 0
            x = x.narrow(axis, low, taken[0] - low + 1 if taken else 0)
            x = _take_every(x, axis, 0, len(taken), -step).flip(axis)
        else:
            x = _take_every(x, axis, taken.start, len(taken), step)
    return x


def _take_every(x: Tensor, axis: int, start: int, count: int, step: int) -> Tensor:
    """A view of `count` places of an axis."""
    index = [slice(None)] * x.ndim
    index[axis] = slice(start, start + max((count - 1) * step + 1, 0) if count else start, step)
    return x[tuple(index)]


def run_squeeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """`x` without the axes named, all of size 1, or, where none is, without any of size 1."""
    stated = read_integers(node, "axes", axes)
    return x.squeeze() if stated is None else x.squeeze(tuple(stated))


def run_unsqueeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """`x` with axes of size 1 at these places of the result."""
    stated = read_integers(node, "axes", axes) or []
    for axis in sorted(count_from_front(stated, x.ndim + len(stated))):
        x = x.unsqueeze(axis)
    return x


def run_expand(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    """`x` broadcast together with a shape."""
    return x.expand(torch.broadcast_shapes(x.shape, tuple(shape.tolist())))


def run_tile(node: Node, x: Tensor, repeats: Tensor) -> Tensor:
    """`x` again and again along each axis."""
    return x.repeat(repeats.tolist()) if x.ndim else x


def run_pad(
    node: Node, x: Tensor, pads: Tensor | None = None, value: Tensor | None = None, axes: Tensor | None = None
) -> Tensor:
    """`x` with a border: of a constant, of its mirror image or of its edge; negative pads cut."""
    sizes = read_integers(node, "pads", pads) or []
    places = count_from_front(read_integers(node, "", axes) or range(x.ndim), x.ndim)
    both = dict(zip(places, zip(sizes[: len(places)], sizes[len(places) :], strict=True), strict=True))
    mode = node.attributes.get("mode", "constant")
    if mode == "constant":
        constant = node.attributes.get("value", 0) if value is None else value.item()
        return F.pad(x, [size for axis in reversed(range(x.ndim)) for size in both.get(axis, (0, 0))], value=constant)
    if mode not in STEPWISE_PADS:
        raise refuse(node, f"mode constant, {' or '.join(STEPWISE_PADS)}", mode)
    for axis, (before, behind) in both.items():
        x = _continue_axis(x, axis, before, behind, mode)
    return x


def _continue_axis(x: Tensor, axis: int, before: int, behind: int, mode: str) -> Tensor:
    """`x` continued along an axis, or cut where a pad is negative."""
    start, end = max(-before, 0), x.shape[axis] - max(-behind, 0)
    x = x.narrow(axis, start, end - start)
    if before <= 0 and behind <= 0:
        return x
    places = torch.arange(-max(before, 0), end - start + max(behind, 0), device=x.device)
    last = end - start - 1
    places = places.clamp(0, last) if mode == "edge" else last - (places % max(2 * last, 1) - last).abs()
    return x.index_select(axis, places)


def run_shape(node: Node, x: Tensor) -> Tensor:
    """Sizes of the axes, in the host's memory, from `start` to before `end`."""
    return torch.tensor(x.shape[node.attributes.get("start", 0) : node.attributes.get("end")], dtype=torch.int64)


def run_size(node: Node, x: Tensor) -> Tensor:
    """How many numbers there are, in the host's memory."""
    return torch.tensor(x.numel(), dtype=torch.int64)


def run_constant(node: Node) -> Tensor:
    """The numbers that the node states, in the host's memory."""
    (name, value), *_ = node.attributes.items()
    if name == "value":
        return torch.as_tensor(value)
    if name not in ("value_float", "value_floats", "value_int", "value_ints"):
        raise refuse(node, "numbers", name)
    return torch.tensor(value, dtype=torch.float32 if "float" in name else torch.int64)


def run_constant_of_shape(node: Node, shape: Tensor) -> Tensor:
    """One number all over a shape, in the host's memory."""
    value = node.attributes.get("value", torch.zeros(1))
    return torch.full(tuple(shape.tolist()), value.item(), dtype=value.dtype)


def run_range(node: Node, start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """Numbers from `start` to before `limit` by `delta`, in the host's memory."""
    count = max(math.ceil((limit - start).item() / delta.item()), 0)
    return start + torch.arange(count, dtype=start.dtype) * delta


def run_depth_to_space(node: Node, x: Tensor) -> Tensor:
    """Channels laid out as blocks of pixels: the block before the channels ("DCR") or behind them ("CRD")."""
    n, c, h, w = x.shape
    side = int(node.attributes["blocksize"])
    if node.attributes.get("mode", "DCR") == "DCR":
        # (N, side, side, C', H, W) -> (N, C', H, side, W, side)
        blocks = x.reshape(n, side, side, c // side**2, h, w).permute(0, 3, 4, 1, 5, 2)
    else:
        # (N, C', side, side, H, W) -> (N, C', H, side, W, side)
        blocks = x.reshape(n, c // side**2, side, side, h, w).permute(0, 1, 4, 2, 5, 3)
    return blocks.reshape(n, c // side**2, h * side, w * side)


def run_space_to_depth(node: Node, x: Tensor) -> Tensor:
    """Blocks of pixels laid out as channels, the block before the channels."""
    n, c, h, w = x.shape
    side = int(node.attributes["blocksize"])
    # (N, C, H', side, W', side) -> (N, side, side, C, H', W')
    blocks = x.reshape(n, c, h // side, side, w // side, side).permute(0, 3, 5, 1, 2, 4)
    return blocks.reshape(n, c * side**2, h // side, w // side)


SHAPES: dict[str, Operator] = {
    "Reshape": Operator(run_reshape, parameters=(1,)),
    "Flatten": Operator(run_flatten),
    "Transpose": Operator(run_transpose),
    "Concat": Operator(run_concat),
    "Split": Operator(run_split, parameters=(1,)),
    "Slice": Operator(run_slice, parameters=(1, 2, 3, 4)),
    "Squeeze": Operator(run_squeeze, parameters=(1,)),
    "Unsqueeze": Operator(run_unsqueeze, parameters=(1,)),
    "Expand": Operator(run_expand, parameters=(1,)),
    "Tile": Operator(run_tile, parameters=(1,)),
    "Pad": Operator(run_pad, parameters=(1, 2, 3)),
    "Shape": Operator(run_shape),
    "Size": Operator(run_size),
    "Constant": Operator(run_constant),
    "ConstantOfShape": Operator(run_constant_of_shape, parameters=(0,)),
    "Range": Operator(run_range, parameters=(0, 1, 2)),
    "DepthToSpace": Operator(run_depth_to_space),
    "SpaceToDepth": Operator(run_space_to_depth),
}
