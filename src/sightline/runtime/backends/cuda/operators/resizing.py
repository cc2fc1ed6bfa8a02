"""Resize and its elder Upsample: each axis by itself, its numbers interpolated at the places where those of the output lie.

Places are computed as ONNX Runtime computes them, in float32, since which number is nearest hangs on their last bit.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn import functional as F

from sightline.runtime.backends.cuda.operators.axes import count_from_front, read_integers, shape_along
from sightline.runtime.backends.cuda.operators.operator import Node, Operator, refuse

Tensor = torch.Tensor
FIRST_RESIZE = 10  # until then nothing says where numbers lie, nor which is nearest
SMOOTH = {3: "linear", 4: "bilinear", 5: "trilinear"}  # PyTorch's words for "linear", by rank
OFFERED = {  # words of a node that are offered, the default first
    "mode": ("nearest", "linear", "cubic"),
    "coordinate_transformation_mode": ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"),
    "nearest_mode": ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
    "keep_aspect_ratio_policy": ("stretch",),
    "antialias": (0,),
}
NEAREST: dict[str, Callable[[Tensor], Tensor]] = {
    "round_prefer_floor": lambda places: (places - 0.5).ceil(),
    "round_prefer_ceil": lambda places: (places + 0.5).floor(),
    "floor": torch.floor,
    "ceil": torch.ceil,
    "cut": torch.floor,
}


class Form(NamedTuple):
    """The words of a node. Attributes: mode: of interpolation; placing: where numbers lie; nearest: how places are rounded."""

    mode: str
    placing: str
    nearest: str


class ResizedAxis(NamedTuple):
    """An axis. Attributes: place: among the axes; before, after: its sizes; scale: what the node says that lies between."""

    place: int
    before: int
    after: int
    scale: float


def run_resize(
    node: Node, x: Tensor, first: Tensor | None = None, scales: Tensor | None = None, sizes: Tensor | None = None
) -> Tensor:
    """`x` with other sizes, by scales or to sizes, of all axes or of `axes`.

    Args:
        first: a region that no mode offered reads; in opset 10 the scales.
    """
    form = _read_form(node)
    axes = _scale_axes(node, x, first if node.opset <= FIRST_RESIZE else scales, sizes)
    if all(axis.before == axis.after for axis in axes):
        return x  # also between scales that make a part of a number, as ONNX Runtime has it
    return _resize(node, x, [axis for axis in axes if axis.scale != 1], form)


def run_upsample(node: Node, x: Tensor, scales: Tensor | None = None) -> Tensor:
    """`x` with each axis longer by its scale, an attribute before opset 9."""
    if scales is None:
        scales = torch.tensor(node.attributes["scales"], dtype=torch.float32)
    return run_resize(node, x, scales)  # no opset after that of the first Resize has an Upsample


def _read_form(node: Node) -> Form:
    """Raises: Unsupported for words that are not offered."""
    words = {name: node.attributes.get(name, offered[0]) for name, offered in OFFERED.items()}
    for name, offered in OFFERED.items():
        if words[name] not in offered:
            raise refuse(node, f"{name} of {', '.join(map(str, offered))}", str(words[name]))
    if node.opset <= FIRST_RESIZE:
        return Form(words["mode"], "asymmetric", "cut")
    return Form(words["mode"], words["coordinate_transformation_mode"], words["nearest_mode"])


def _scale_axes(node: Node, x: Tensor, scales: Tensor | None, sizes: Tensor | None) -> list[ResizedAxis]:
    """The axes that the node names, all unless it names some, with their sizes and scales as float32 numbers."""
    places = count_from_front(read_integers(node, "axes", None) or range(x.ndim), x.ndim)
    before = [x.shape[place] for place in places]
    lengths = torch.tensor(before, dtype=torch.float32)
    if sizes is not None:
        scales, after = sizes / lengths, sizes.tolist()
    elif scales is not None and scales.numel():
        after = (scales * lengths).long().tolist()
    else:
        raise refuse(node, "scales or sizes", "neither")
    return [ResizedAxis(*axis) for axis in zip(places, before, after, scales.tolist(), strict=True)]


def _resize(node: Node, x: Tensor, axes: list[ResizedAxis], form: Form) -> Tensor:
    if form.mode != "nearest" and not x.is_floating_point():
        raise refuse(node, f"fractions to interpolate by {form.mode}", str(x.dtype))
    if _fits_torch(x, axes, form):
        sizes = list(x.shape)
        for axis in axes:
            sizes[axis.place] = axis.after
        if form.mode == "nearest":
            return F.interpolate(x, sizes[2:], mode="nearest-exact")
        return F.interpolate(x, sizes[2:], mode=SMOOTH[x.ndim], align_corners=form.placing == "align_corners")
    for axis in axes:
        places = _find_places(axis, form.placing, x.device)
        if form.mode == "nearest":
            x = _pick_nearest(x, axis, places, form.nearest)
        elif form.mode == "linear":
            x = _mix_two(x, axis, places)
        else:
            x = _mix_four(node, x, axis, places)
    return x


def _fits_torch(x: Tensor, axes: list[ResizedAxis], form: Form) -> bool:
    """Whether PyTorch has a kernel that does the same: it resizes spatial axes, and computes scales from sizes."""
    if x.ndim not in SMOOTH or not x.is_floating_point() or any(axis.place < 2 for axis in axes):
        return False
    is_centred = form.placing in ("half_pixel", "pytorch_half_pixel") and all(axis.after > 1 for axis in axes)
    if form.mode == "linear":
        return form.placing == "align_corners" or (
            is_centred and all(math.isclose(axis.after, axis.before * axis.scale, rel_tol=1e-6) for axis in axes)
        )
    copies = all(axis.scale.is_integer() and axis.after == axis.before * axis.scale for axis in axes)
    repeats = form.placing == "asymmetric" and form.nearest in ("floor", "cut")
    return form.mode == "nearest" and copies and (repeats or (is_centred and form.nearest.startswith("round")))


def _find_places(axis: ResizedAxis, placing: str, device: torch.device) -> Tensor:
    """Where each number of the output lies in the input, float32 `(after,)`."""

    def make_divisor(value: float) -> Tensor:
        return torch.full((), value, device=device)  # by a Python number a GPU would multiply with the reciprocal

    places = torch.arange(axis.after, dtype=torch.float32, device=device)
    if axis.after == 1 and placing in ("align_corners", "pytorch_half_pixel"):
        return places
    if placing == "align_corners":
        return places * (axis.before - 1) / make_divisor(axis.after - 1)
    if placing == "asymmetric":
        return places / make_divisor(axis.scale)
    return (places + 0.5) / make_divisor(axis.scale) - 0.5


def _pick_nearest(x: Tensor, axis: ResizedAxis, places: Tensor, nearest: str) -> Tensor:
    if nearest == "cut" and axis.scale < 1:
        nearest = "ceil"  # ONNX Runtime's reading of the opsets that do not say
    return _pick(x, axis, NEAREST[nearest](places.double()))


def _mix_two(x: Tensor, axis: ResizedAxis, places: Tensor) -> Tensor:
    """The numbers at both sides, the nearer one counting more."""
    places = places.clamp(0, axis.before - 1)
    left = places.floor()
    share = shape_along(places - left, axis.place, x.ndim).to(x.dtype)
    return _pick(x, axis, left) * (1 - share) + _pick(x, axis, left + 1) * share


def _mix_four(node: Node, x: Tensor, axis: ResizedAxis, places: Tensor) -> Tensor:
    """Cubic convolution of the four numbers around (Keys 1981, equation 4), outside ones left out if the node says so."""
    a = node.attributes.get("cubic_coeff_a", -0.75)
    left = places.floor()
    taps, weights = [], []
    for offset in (-1, 0, 1, 2):
        tap = left + offset
        d = (places - tap).abs()
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        weight = torch.where(d <= 1, near, far)
        if node.attributes.get("exclude_outside", 0):
            weight = weight * ((tap >= 0) & (tap < axis.before))
        taps.append(tap)
        weights.append(weight)
    total = sum(weights)
    mixed = [
        _pick(x, axis, tap) * shape_along(weight / total, axis.place, x.ndim).to(x.dtype)
        for tap, weight in zip(taps, weights, strict=True)
    ]
    return mixed[0] + mixed[1] + mixed[2] + mixed[3]


def _pick(x: Tensor, axis: ResizedAxis, places: Tensor) -> Tensor:
    """The numbers at whole places along an axis; outside it those of its ends."""
    return x.index_select(axis.place, places.clamp(0, axis.before - 1).long())


RESIZING: dict[str, Operator] = {
    "Resize": Operator(run_resize, parameters=(1, 2, 3)),
    "Upsample": Operator(run_upsample, parameters=(1,)),
}
