"""SSD's prior boxes, and what a DetectionOutput layer says of decoding them (Liu et al. 2016, section 2.2; Caffe-SSD).

The graph ends at the box offsets and the class confidences; the priors depend on sizes alone, so they become numbers of the
decode head "prior_boxes" and neither the graph nor a device computes them.
"""

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline.compiler.importers.caffe.network import Layer, Network, Value
from sightline.compiler.importers.caffe.step import Tensor
from sightline.compiler.importers.caffe.text import Fields
from sightline.core.errors import InvalidInput, Unsupported
from sightline.core.manifests import DecodeSpec

DETECTION, PRIOR_BOX = "DetectionOutput", "PriorBox"
MOST_PRIORS = 200_000  # SSD512 has 24,564
MOST_RATIOS = 100
MOST_PIXELS = 1_000_000  # of a box's side, and its greatest ratio
DIGITS = 7  # of a prior's coordinate, 0..1: 1e-7 is a hundred-thousandth of a pixel
SAME_RATIO = 1e-6  # prior_box_layer.cpp
DEFAULT_VARIANCE = 0.1
DEFAULT_IOU = 0.3


@dataclass(frozen=True)
class Detection:
    """A DetectionOutput layer and its three inputs."""

    layer: Layer
    offsets: Value
    confidences: Value
    priors: Value


def list_detections(network: Network) -> list[Detection]:
    """The DetectionOutput layers that read offsets, confidences and priors."""
    layers = [layer for layer in network.layers if layer.type == DETECTION and len(layer.reads) == 3]
    return [Detection(layer, *layer.reads) for layer in layers]


def list_prior_layers(network: Network, detection: Detection) -> list[Layer]:
    """The PriorBox layers in the order their boxes are joined. Raises: Unsupported when something else makes the priors."""
    writers = {value: layer for layer in network.layers for value in layer.writes}
    found: list[Layer] = []
    waiting = [detection.priors]
    while waiting:
        layer = writers.get(waiting.pop())
        if layer is None or layer.type not in (PRIOR_BOX, "Concat", "Flatten", "Reshape") or len(found) > len(network.layers):
            raise Unsupported(f"the priors of {detection.layer.name} come from something else than PriorBox layers")
        if layer.type == PRIOR_BOX:
            found.append(layer)
        else:
            waiting.extend(reversed(layer.reads))
    return found


def make_decode(
    detection: Detection, prior_layers: Sequence[Layer], tensors: Mapping[Value, Tensor], picture_shape: tuple[int, int, int]
) -> tuple[DecodeSpec | None, str | None]:
    """The decode head that stands for the DetectionOutput, or None and the reason why none does."""
    param = detection.layer.param("detection_output_param")
    if param.text("code_type", "CORNER") not in ("CENTER_SIZE", "2") or not param.flag("share_location", True):
        return None, f"{detection.layer.name} decodes boxes by corner or per class, which no decode head does"
    boxes = [make_priors(layer, tensors, picture_shape) for layer in prior_layers]
    variances = [read_variances(layer.param("prior_box_param")) for layer in prior_layers]
    if any(one != variances[0] for one in variances):
        return None, f"the PriorBox layers of {detection.layer.name} have different variances, which no decode head takes"
    background = param.integer("background_label_id", 0)
    nms = param.child("nms_param")
    parameters: dict[str, Any] = {
        "priors": [[round(float(side), DIGITS) for side in box] for box in np.concatenate(boxes)],
        "variances": [1.0] * 4 if param.flag("variance_encoded_in_target") else list(variances[0]),
        "background": background if background >= 0 else None,
    }
    if (most := nms.integer("top_k", -1)) > 0:
        parameters["candidates"] = most
    limits: dict[str, Any] = {"iou_threshold": nms.number("nms_threshold", DEFAULT_IOU)}
    if "confidence_threshold" in param:
        limits["confidence_threshold"] = param.number("confidence_threshold")
    if (most := param.integer("keep_top_k", -1)) > 0:
        limits["max_detections"] = most
    outputs = (tensors[detection.offsets].name, tensors[detection.confidences].name)
    return DecodeSpec(head="prior_boxes", outputs=outputs, parameters=parameters, **limits), None


def make_priors(layer: Layer, tensors: Mapping[Value, Tensor], picture_shape: tuple[int, int, int]) -> np.ndarray:
    """The boxes of one PriorBox layer, `(P, 4)` float64 xyxy as shares of the picture: row by row, cell by cell, size by size.

    Raises: InvalidInput for sizes that make no boxes.
    """
    param = layer.param("prior_box_param")
    feature = tensors.get(layer.reads[0]) if layer.reads else None
    if feature is None or len(feature.shape) != 3:
        raise InvalidInput(f"PriorBox {layer.name} reads no feature map; correct the prototxt")
    _, rows, columns = feature.shape
    sizes = np.array(_list_sizes(layer, param))  # (B, 2) width, height in pixels
    if rows * columns * len(sizes) > MOST_PRIORS:
        raise InvalidInput(f"PriorBox {layer.name} makes more than {MOST_PRIORS} boxes; check the input size")
    height, width = _read_pair(param, "img_size", "img", (picture_shape[1], picture_shape[2]))
    step_y, step_x = _read_pair(param, "step", "step", (height / rows, width / columns))
    offset = param.number("offset", 0.5)
    y, x = np.meshgrid((np.arange(rows) + offset) * step_y, (np.arange(columns) + offset) * step_x, indexing="ij")
    centres = np.stack([x, y], axis=-1).reshape(-1, 1, 2)  # (H W, 1, 2)
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=-1)  # (H W, B, 4)
    boxes = boxes.reshape(-1, 4) / (width, height, width, height)
    return np.clip(boxes, 0.0, 1.0) if param.flag("clip", False) else boxes


def read_variances(param: Fields) -> tuple[float, float, float, float]:
    """The four variances; one stands for all. Raises: InvalidInput."""
    values = param.numbers("variance") or [DEFAULT_VARIANCE]
    if len(values) not in (1, 4) or min(values) <= 0:
        raise InvalidInput(f"line {param.line}: expected one or four positive variances, got {values}; correct the prototxt")
    first, second, third, fourth = values if len(values) == 4 else values * 4
    return first, second, third, fourth


def _list_sizes(layer: Layer, param: Fields) -> list[tuple[float, float]]:
    """Width and height of each box of a cell: for each least size itself, the mean with the greatest, then the other ratios.

    prior_box_layer.cpp keeps sizes as whole pixels and drops the rest.
    """
    least = [math.floor(size) for size in param.numbers("min_size")]
    greatest = [math.floor(size) for size in param.numbers("max_size")]
    sizes_fit = not greatest or (len(greatest) == len(least) and all(map(operator.le, least, greatest)))
    if not least or not sizes_fit or min(least) < 1 or max(*least, *greatest, 0) > MOST_PIXELS:
        raise InvalidInput(f"PriorBox {layer.name} has min_size {least} and max_size {greatest}; correct the prototxt")
    ratios = _list_ratios(layer, param)
    sizes = []
    for index, size in enumerate(least):
        sizes.append((float(size), float(size)))
        if greatest:
            middle = math.sqrt(size * greatest[index])
            sizes.append((middle, middle))
        sizes.extend((size * math.sqrt(ratio), size / math.sqrt(ratio)) for ratio in ratios)
    return sizes


def _list_ratios(layer: Layer, param: Fields) -> list[float]:
    """Ratios of width to height without 1 and without repetition, each followed by its inverse where boxes are flipped."""
    stated = param.numbers("aspect_ratio")
    if len(stated) > MOST_RATIOS:
        raise InvalidInput(f"PriorBox {layer.name} has {len(stated)} aspect ratios, expected at most {MOST_RATIOS}")
    ratios = [1.0]
    for ratio in stated:
        if not 1 / MOST_PIXELS <= ratio <= MOST_PIXELS:
            raise InvalidInput(f"PriorBox {layer.name} has the aspect ratio {ratio}; correct the prototxt")
        if all(abs(ratio - other) >= SAME_RATIO for other in ratios):
            ratios.extend([ratio, 1 / ratio] if param.flag("flip", True) else [ratio])
    return ratios[1:]


def _read_pair(param: Fields, name: str, stem: str, default: tuple[float, float]) -> tuple[float, float]:
    """Height and width under one name or two; the default where neither is positive."""
    both = param.number(name, 0.0)
    pair = (param.number(f"{stem}_h", both), param.number(f"{stem}_w", both))
    return pair if min(pair) > 0 else default
