"""Caffe layers that move or repeat values: Concat, Slice, Flatten, Reshape, Permute, Crop, ShuffleChannel, Interp, Upsample.

A reshape is written with 0 for the batch axis, which ONNX copies from the input.
"""

import math
from collections.abc import Sequence

import numpy as np

from sightline.compiler.importers.caffe.step import Step
from sightline.compiler.importers.caffe.text import Fields
from sightline.compiler.importers.sizes import find_resize_factor


def write_concat(step: Step) -> None:
    """Concat along one axis; `concat_dim` is its older spelling."""
    param = step.layer.param("concat_param")
    axis = step.axis(param.integer("concat_dim", 1) if "concat_dim" in param else param.integer("axis", 1))
    first = step.inputs[0].shape
    for other in step.inputs[1:]:
        if _without(other.shape, axis) != _without(first, axis):
            raise step.wrong(f"shapes {first} and {other.shape} differ beside axis {axis}")
    total = sum(tensor.shape[axis - 1] for tensor in step.inputs)
    step.end("Concat", [tensor.name for tensor in step.inputs], _replaced(first, axis, total), axis=axis)


def write_slice(step: Step) -> None:
    """Slice into as many parts as there are outputs, at `slice_point` or into equal ones."""
    param = step.layer.param("slice_param")
    axis = step.axis(param.integer("slice_dim", 1) if "slice_dim" in param else param.integer("axis", 1))
    shape, count = step.inputs[0].shape, step.output_count
    length = shape[axis - 1]
    points = param.integers("slice_point")
    if not points and length % count:
        raise step.wrong(f"{length} values cannot be cut into {count} equal parts")
    edges = [0, *(points or [length // count * part for part in range(1, count)]), length]
    sizes = np.diff(edges)
    if len(sizes) != count or (sizes < 1).any():
        raise step.wrong(f"cutting {length} values at {points} does not give {count} parts")
    shapes = [_replaced(shape, axis, int(size)) for size in sizes]
    step.end_many("Split", [step.inputs[0].name, step.weight("sizes", sizes.astype(np.int64))], shapes, axis=axis)


def write_flatten(step: Step) -> None:
    """Flatten the axes `axis` to `end_axis` into one."""
    param = step.layer.param("flatten_param")
    start, end = step.axis(param.integer("axis", 1)), step.axis(param.integer("end_axis", -1))
    shape = step.inputs[0].shape
    if end < start:
        raise step.wrong(f"its last axis {end} lies before its first, {start}")
    flat = (*shape[: start - 1], math.prod(shape[start - 1 : end]), *shape[end:])
    if len(flat) == 1:
        step.end("Flatten", [step.inputs[0].name], flat, axis=1)
    else:
        _end_reshape(step, flat)


def write_reshape(step: Step) -> None:
    """Reshape the axes from `axis` on: 0 keeps one, -1 takes what is left."""
    param = step.layer.param("reshape_param")
    dims = param.child("shape").integers("dim")
    rank = len(step.inputs[0].shape) + 1
    start = param.integer("axis", 0)
    start = start + rank + 1 if start < 0 else start
    count = param.integer("num_axes", -1)
    end = rank if count == -1 else start + count
    if not 0 <= start <= end <= rank:
        raise step.wrong(f"it reshapes {count} axes from {start} on, of {rank}")
    shape = step.inputs[0].shape
    if start == 0:
        _check_batch(step, dims, shape[: max(0, end - 1)], end)
        dims, start = dims[1:], 1
    _end_reshape(step, (*shape[: start - 1], *_resolve_dims(step, dims, shape[start - 1 : end - 1]), *shape[end - 1 :]))


def write_permute(step: Step) -> None:
    """Permute the axes; those not named keep their order behind the others."""
    order = step.layer.param("permute_param").integers("order")
    rank = len(step.inputs[0].shape) + 1
    if len(set(order)) != len(order) or any(not 0 <= axis < rank for axis in order):
        raise step.wrong(f"the order {order} is none of {rank} axes")
    order = [*order, *(axis for axis in range(rank) if axis not in order)]
    if order[0] != 0:
        raise step.refuse("it moves the axis of the batch")
    step.end("Transpose", [step.inputs[0].name], [step.inputs[0].shape[axis - 1] for axis in order[1:]], perm=order)


def write_crop(step: Step) -> None:
    """Crop the first input to the size of the second, from `axis` on, at one offset or one an axis."""
    param = step.layer.param("crop_param")
    axis, offsets = step.axis(param.integer("axis", 2)), param.integers("offset")
    shape, like = step.inputs[0].shape, step.inputs[1].shape
    count = len(shape) - axis + 1
    offsets = offsets * count if len(offsets) == 1 else offsets or [0] * count
    if len(like) != len(shape) or len(offsets) != count:
        raise step.wrong(f"{len(offsets)} offsets and the size of {like} are for another number of axes than {shape}")
    starts, sizes = np.array(offsets), np.array(like[axis - 1 :])
    if (starts < 0).any() or (starts + sizes > shape[axis - 1 :]).any():
        raise step.wrong(f"a crop of {tuple(sizes)} at {tuple(offsets)} leaves {shape}")
    inputs = [step.inputs[0].name]
    for part, values in (("starts", starts), ("ends", starts + sizes), ("axes", np.arange(axis, axis + count))):
        inputs.append(step.weight(part, values.astype(np.int64)))
    step.end("Slice", inputs, (*shape[: axis - 1], *like[axis - 1 :]))


def write_shuffle_channel(step: Step) -> None:
    """ShuffleChannel (ShuffleNet, Zhang et al. 2017): the channels, read group by group, are dealt out in turn."""
    channels, height, width = step.picture()
    groups = step.layer.param("shuffle_channel_param").integer("group", 1)
    if groups < 1 or channels % groups:
        raise step.wrong(f"{channels} channels cannot be split into {groups} groups")
    split = step.weight("split", np.array([0, groups, channels // groups, height, width]))
    # (N, G C, H, W) -> (N, G, C, H, W) -> (N, C, G, H, W) -> (N, C G, H, W)
    parted = step.add("Reshape", [step.inputs[0].name, split], part="split")
    dealt = step.add("Transpose", [parted], part="deal", perm=[0, 2, 1, 3, 4])
    joined = step.weight("join", np.array([0, channels, height, width]))
    step.end("Reshape", [dealt, joined], (channels, height, width))


def write_interp(step: Step) -> None:
    """Interp (DeepLab): bilinear, the corners' centres kept in place."""
    channels, height, width = step.picture()
    param = step.layer.param("interp_param")
    if len(step.inputs) > 1 or param.integer("pad_beg") or param.integer("pad_end"):
        raise step.refuse(
            "it takes its size from a second input or crops; only height and width, or factors, can be carried over"
        )
    size = [_interp_length(step, param, name, length) for name, length in (("height", height), ("width", width))]
    _end_resize(step, (channels, *size), mode="linear", coordinate_transformation_mode="align_corners")


def write_upsample(step: Step) -> None:
    """Upsample (YOLO for Caffe): each pixel repeated `scale` times along both axes."""
    channels, height, width = step.picture()
    scale = step.layer.param("upsample_param").integer("scale", 0)
    if len(step.inputs) > 1 or scale < 1:
        raise step.refuse("it needs the places of a max pooling or no whole scale; only repeated pixels can be carried over")
    shape = (channels, height * scale, width * scale)
    _end_resize(step, shape, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")


def _interp_length(step: Step, param: Fields, name: str, length: int) -> int:
    """Length of an axis afterwards (interp_layer.cpp): factors first, then the stated size."""
    shrink, zoom = param.integer("shrink_factor", 0), param.integer("zoom_factor", 0)
    if shrink < 0 or zoom < 0 or not (shrink or zoom or name in param):
        raise step.wrong("it needs height and width, or positive factors")
    if not shrink and not zoom:
        return param.integer(name)
    length = (length - 1) // (shrink or 1) + 1
    return length + (length - 1) * ((zoom or 1) - 1)


def _end_resize(step: Step, shape: Sequence[int], **attributes: str) -> None:
    """A Resize by factors, because sizes would name the batch."""
    step.check_shape(shape)
    scales = np.array([1, *map(find_resize_factor, step.inputs[0].shape, shape)], np.float32)
    step.end("Resize", [step.inputs[0].name, "", step.weight("scales", scales)], shape, **attributes)


def _end_reshape(step: Step, shape: Sequence[int]) -> None:
    """Raises: InvalidInput when the number of values changes."""
    if math.prod(shape) != math.prod(step.inputs[0].shape):
        raise step.wrong(f"{step.inputs[0].shape} has another number of values than {tuple(shape)}")
    step.end("Reshape", [step.inputs[0].name, step.weight("shape", np.array([0, *shape], np.int64))], shape)


def _resolve_dims(step: Step, dims: Sequence[int], before: Sequence[int]) -> tuple[int, ...]:
    """The sizes that `dims` stand for where the axes `before` are replaced."""
    if any(dim == 0 and index >= len(before) for index, dim in enumerate(dims)) or list(dims).count(-1) > 1:
        raise step.wrong(f"dims {list(dims)} cannot stand for {tuple(before)}")
    sizes = [before[index] if dim == 0 else dim for index, dim in enumerate(dims)]
    known = math.prod(size for size in sizes if size != -1)
    if -1 in sizes:
        if known < 1 or math.prod(before) % known:
            raise step.wrong(f"dims {list(dims)} do not divide {tuple(before)}")
        sizes[sizes.index(-1)] = math.prod(before) // known
    return tuple(sizes)


def _check_batch(step: Step, dims: Sequence[int], covered: Sequence[int], end: int) -> None:
    """Whether the first of `dims` leaves the batch axis as it is. Raises: Unsupported."""
    first = dims[0] if dims else None
    if first == -1 and end > 0:
        sizes = [covered[index] if dim == 0 and index < len(covered) else dim for index, dim in enumerate(dims[1:])]
        if math.prod(sizes) == math.prod(covered):
            return
    if end < 1 or first not in (0, step.batch):
        raise step.refuse(f"dims {list(dims)} do not keep the axis of the batch")


def _without(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    return (*shape[: axis - 1], *shape[axis:])


def _replaced(shape: Sequence[int], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[: axis - 1], size, *shape[axis:])
