"""Pooling, reductions, softmax, the best k and resizing of OpenVINO as ONNX operators.

Pooling rounds up in three ways among engines, so no ONNX node here rounds up: the padding behind is chosen so that rounding
down gives the output size OpenVINO inferred.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from sightline.compiler.importers.openvino.constants import Node
from sightline.compiler.importers.openvino.context import Context, get_output_shape, get_shape, normalise_axes
from sightline.compiler.importers.openvino.ops_layers import find_same_padding
from sightline.compiler.importers.sizes import find_resize_factor
from sightline.core.errors import Unsupported

REDUCTIONS = {
    "ReduceL1": "ReduceL1",
    "ReduceL2": "ReduceL2",
    "ReduceMax": "ReduceMax",
    "ReduceMean": "ReduceMean",
    "ReduceMin": "ReduceMin",
    "ReduceProd": "ReduceProd",
    "ReduceSum": "ReduceSum",
}
COORDINATES = {
    "half_pixel": "half_pixel",
    "pytorch_half_pixel": "pytorch_half_pixel",
    "asymmetric": "asymmetric",
    "align_corners": "align_corners",
    "tf_half_pixel_for_nn": "half_pixel",
}
RESIZE_MODES = {"nearest": "nearest", "linear": "linear", "linear_onnx": "linear", "cubic": "cubic"}


def convert_pool(c: Context, node: Node) -> str:
    """MaxPool and AvgPool of any opset."""
    attributes, name = node.get_attributes(), node.get_friendly_name()
    is_max = node.get_type_name() == "MaxPool"
    if node.get_output_size() > 1 and node.output(1).get_target_inputs():
        raise Unsupported(f"MaxPool {name} gives the places of its maxima; expected values only")
    kernel, strides = attributes["kernel"], attributes["strides"]
    dilations = attributes.get("dilations", [1] * len(kernel))
    begin, end = _find_pool_padding(node, kernel, strides, dilations)
    more = _find_overhang(node, kernel, strides, dilations, begin)
    if any(pad >= size for pad, size in zip(more, kernel, strict=True)):
        raise Unsupported(f"{node.get_type_name()} {name} has a window that lies in its padding alone")
    x = c.get(node, 0)
    if is_max:
        inputs = {"dilations": dilations} if any(step != 1 for step in dilations) else {}
        pooled = c.add(node, "MaxPool", [x], kernel_shape=kernel, strides=strides, pads=[*begin, *more], **inputs)
        return c.keep_step(x, pooled)
    # OpenVINO's CPU counts every place of a window, also what rounding up put behind the padding, if there is any padding.
    counted = not attributes["exclude-pad"] and any([*begin, *end])
    return c.add(
        node, "AveragePool", [x], kernel_shape=kernel, strides=strides, pads=[*begin, *more], count_include_pad=int(counted)
    )


def convert_reduction(c: Context, node: Node) -> str:
    """A mean over the whole map is GlobalAveragePool, which every engine and quantiser knows."""
    kind, rank = node.get_type_name(), len(get_shape(node))
    keep = bool(node.get_attributes()["keep_dims"])
    axes = normalise_axes(c.integers(node, 1, "axes"), rank)
    x = c.get(node, 0)
    if not axes:
        return x
    if kind == "ReduceMean" and rank == 4 and axes == [2, 3]:
        if keep:
            return c.add(node, "GlobalAveragePool", [x])
        return c.add(node, "Flatten", [c.step(node, "pooled", "GlobalAveragePool", [x])], axis=1)
    if kind == "ReduceSum":  # takes its axes as an input since opset 13
        return c.add(node, kind, [x, c.weight(node, "axes", np.array(axes, np.int64))], keepdims=int(keep))
    return c.add(node, REDUCTIONS[kind], [x], axes=axes, keepdims=int(keep))


def convert_softmax(c: Context, node: Node) -> str:
    """Softmax and its logarithm along one axis."""
    axis = normalise_axes([int(node.get_attributes()["axis"])], len(get_shape(node)))[0]
    kind, found = str(node.get_type_name()), c.find_sources(node, 1)
    if found is not None:
        return c.add_transposed(node, found[1], kind, found[0], axis=found[1][axis])
    return c.add(node, kind, [c.get(node, 0)], axis=axis)


def convert_top_k(c: Context, node: Node) -> list[str]:
    """The best k; ArgMax or ArgMin where one place is all that is asked for."""
    attributes, rank = node.get_attributes(), len(get_shape(node))
    axis = normalise_axes([int(attributes["axis"])], rank)[0]
    count, largest = c.integers(node, 1, "k")[0], str(attributes["mode"]).lower() == "max"
    if str(attributes["sort"]).lower() == "index" and count > 1:
        raise Unsupported(f"TopK {node.get_friendly_name()} sorts by place; expected by value")
    x = c.get(node, 0)
    if count == 1 and not node.output(0).get_target_inputs():
        place = c.writer.add(
            "ArgMax" if largest else "ArgMin",
            [x],
            name=node.get_friendly_name(),
            output=c.label(node, 1),
            axis=axis,
            keepdims=1,
        )
        return ["", place]
    return c.writer.add_many(
        "TopK",
        [x, c.weight(node, "k", np.array([count], np.int64))],
        [c.label(node), c.label(node, 1)],
        name=node.get_friendly_name(),
        axis=axis,
        largest=int(largest),
    )


def convert_interpolate(c: Context, node: Node) -> str:
    """Interpolate of opset 1, 4 and 11 -> Resize by scales, since sizes would fix the batch."""
    attributes, shape, target = node.get_attributes(), get_shape(node), get_output_shape(node)
    if shape == target:
        return c.get(node, 0)
    opset = node.get_type_info().version_id
    mode = str(attributes["mode"]).lower()
    if mode not in RESIZE_MODES or any(
        any(attributes.get(name, [])) for name in ("pads_begin", "pads_end") if opset != "opset1"
    ):
        raise Unsupported(
            f"Interpolate {node.get_friendly_name()} has mode {mode} or padding; expected {', '.join(RESIZE_MODES)}"
        )
    scales = _find_scales(c, node, shape, target)
    if attributes.get("antialias") and any(scale < 1 for scale in scales):
        raise Unsupported(f"Interpolate {node.get_friendly_name()} smooths what it shrinks (antialias); expected it not to")
    coordinates, nearest = _find_rule(attributes, opset, shape, target)
    if coordinates == "tf_half_pixel_for_nn" and mode == "nearest":
        if nearest != "floor":
            raise Unsupported(
                f"Interpolate {node.get_friendly_name()} rounds by tf_half_pixel_for_nn and {nearest}; expected floor"
            )
        nearest = "round_prefer_ceil"  # floor((x + 0.5) / scale), said by half_pixel
    extra: dict[str, Any] = {"nearest_mode": nearest} if mode == "nearest" else {}
    if mode == "cubic":
        extra = {"cubic_coeff_a": float(attributes.get("cube_coeff", -0.75))}
    extra.update(mode=RESIZE_MODES[mode], coordinate_transformation_mode=COORDINATES[coordinates])
    found = c.find_sources(node, 1)
    if found is None:
        return c.add(node, "Resize", [c.get(node, 0), "", c.weight(node, "scales", np.array(scales, np.float32))], **extra)
    turned = np.array(scales, np.float32)[np.argsort(found[1])]
    return c.add_transposed(node, found[1], "Resize", [*found[0], "", c.weight(node, "scales", turned)], **extra)


def _find_rule(
    attributes: dict[str, Any], opset: str, shape: tuple[int, ...], target: tuple[int, ...]
) -> tuple[str, str | None]:
    """The coordinate rule and, for the nearest pixel, how to round."""
    shrinks = any(b < a for a, b in zip(shape[2:], target[2:], strict=True))
    if opset == "opset1":
        coordinates = "align_corners" if attributes["align_corners"] else "asymmetric"
        return coordinates, "ceil" if shrinks else "floor"
    coordinates = str(attributes["coordinate_transformation_mode"]).lower()
    nearest = str(attributes["nearest_mode"]).lower()
    if nearest == "simple":  # OpenVINO's own: up where the picture shrinks, cut off where it grows
        nearest = "ceil" if shrinks else "floor"
    return coordinates, nearest


def _find_scales(c: Context, node: Node, shape: tuple[int, ...], target: tuple[int, ...]) -> list[float]:
    """A factor for each axis."""
    stated = _read_scales(c, node, len(shape))
    return [
        1.0 if size < 0 or size == wanted else float(find_resize_factor(size, wanted, stated.get(axis)))
        for axis, (size, wanted) in enumerate(zip(shape, target, strict=True))
    ]


def _read_scales(c: Context, node: Node, rank: int) -> dict[int, float]:
    """Factors that the file states itself, by axis; where it states sizes, none."""
    attributes = node.get_attributes()
    if str(attributes.get("shape_calculation_mode", "sizes")).lower() != "scales":
        return {}
    four = node.get_type_info().version_id == "opset4"
    values = c.need(node, 2 if four else 1, "scales").ravel()
    at = 3 if four else 2
    axes = c.integers(node, at, "axes") if node.get_input_size() > at else list(range(rank))
    return {axis % rank: float(value) for axis, value in zip(axes, values, strict=True)}


def _find_pool_padding(node: Node, kernel: list[int], strides: list[int], dilations: list[int]) -> tuple[list[int], list[int]]:
    """The padding in front and the stated one behind."""
    attributes, mode = node.get_attributes(), str(node.get_attributes()["auto_pad"])
    if mode == "valid":
        return [0] * len(kernel), [0] * len(kernel)
    if mode in ("same_upper", "same_lower"):
        return find_same_padding(get_shape(node)[2:], tuple(kernel), strides, dilations, upper=mode == "same_upper")
    return list(attributes["pads_begin"]), list(attributes["pads_end"])


def _find_overhang(node: Node, kernel: list[int], strides: list[int], dilations: list[int], begin: list[int]) -> list[int]:
    """The padding behind at which the last window ends."""
    sizes = zip(get_shape(node)[2:], get_output_shape(node)[2:], kernel, strides, dilations, begin, strict=True)
    return [
        max((out - 1) * stride + dilation * (k - 1) + 1 - size - first, 0) for size, out, k, stride, dilation, first in sizes
    ]


CONVERTERS: dict[str, Callable[[Context, Any], str | list[str]]] = {
    **dict.fromkeys(REDUCTIONS, convert_reduction),
    "AvgPool": convert_pool,
    "Interpolate": convert_interpolate,
    "LogSoftmax": convert_softmax,
    "MaxPool": convert_pool,
    "Softmax": convert_softmax,
    "TopK": convert_top_k,
}
