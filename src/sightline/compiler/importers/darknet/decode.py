"""What a Darknet cfg says of its outputs: a decode spec from its [yolo], [region] or [softmax] layers, and names beside it."""

from collections.abc import Sequence
from pathlib import Path

from sightline.compiler.importers.darknet.cfg import MAX_ANCHORS, Section
from sightline.compiler.importers.darknet.network import DarknetNetwork, Tensor
from sightline.core.errors import InvalidInput, Unsupported
from sightline.core.manifests import DecodeSpec, ResizeRule

# What Darknet's own commands take: -thresh 0.25 and nms 0.45.
CONFIDENCE_THRESHOLD, IOU_THRESHOLD = 0.25, 0.45
MAX_NAMES_BYTES = 1 << 20
FORK_OPTIONS = {
    "letter_box",
    "mosaic",
    "cutmix",
    "iou_loss",
    "iou_thresh",
    "iou_normalizer",
    "scale_x_y",
    "new_coords",
    "nms_kind",
}


def describe_decoding(network: DarknetNetwork, last: Section) -> tuple[list[Tensor], DecodeSpec | None]:
    """The graph's outputs and how to decode them: raw maps of the detection layers, or the last layer's output.

    Raises: InvalidInput, Unsupported for detection layers that do not fit each other or their maps.
    """
    if network.heads:
        return [tensor for _, tensor in network.heads], _describe_yolo(network.heads, network.picture)
    output = network.previous(last, flat=True)
    if output.name not in network.engine_layers:
        raise InvalidInput(f"expected layers that compute something before {last}, got none")
    probabilities = output.name.startswith("softmax_")
    return [output], DecodeSpec(head="probabilities", outputs=(output.name,)) if probabilities else None


def count_classes(network: DarknetNetwork, outputs: Sequence[Tensor]) -> int:
    """Classes that the cfg states, or that the output has."""
    return _count_classes(network.heads[0][0]) if network.heads else outputs[0].channels


def read_names(cfg: Path, class_count: int) -> tuple[tuple[str, ...] | None, list[str]]:
    """Categories of the one `*.names` file beside the cfg when it fits, and notes on what was found."""
    files = sorted(cfg.parent.glob("*.names"))
    if not files:
        return None, []
    if len(files) > 1:
        return None, [f"{len(files)} files of names lie beside {cfg.name}; none was read"]
    if files[0].stat().st_size > MAX_NAMES_BYTES:
        return None, [f"{files[0].name} is too large for a list of names; it was not read"]
    lines = files[0].read_text(encoding="utf-8", errors="replace").splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    if len(names) != class_count or len(set(names)) != len(names):
        return None, [
            f"{files[0].name} was not used: {len(names)} names, {len(set(names))} of them different, for {class_count} classes"
        ]
    return names, [f"categories from {files[0].name}"]


def describe_resize(
    net: Section, sections: Sequence[Section], decode: DecodeSpec | None
) -> tuple[ResizeRule | None, list[str]]:
    """How Darknet brings a picture to the network's size, as far as the cfg tells, and a note on it.

    Redmon's detector test letterboxes (detector.c, letterbox_image); AlexeyAB's fork stretches unless it is told otherwise, and
    trains that way. A cfg is the fork's when it has options that only the fork knows. Classifiers get the middle of a picture.
    """
    if decode is None:
        return None, []
    if decode.head != "yolo":
        return "centre_crop", ["Darknet resizes the shorter side to the input and cuts the middle"]
    is_fork = any(FORK_OPTIONS & section.options.keys() for section in (net, *sections))
    if is_fork and not net.get_int("letter_box"):
        return "stretch", ["the cfg is of AlexeyAB's fork of Darknet, which stretches pictures to the input"]
    return "letterbox", ["Darknet fits the picture into the input, with grey bands"]


def _describe_yolo(heads: Sequence[tuple[Section, Tensor]], picture: Tensor) -> DecodeSpec:
    anchors, scales, rules = [], [], set()
    for section, tensor in heads:
        chosen = _read_region(section, tensor, picture) if section.kind == "region" else _read_yolo(section)
        classes = _count_classes(section)
        if tensor.channels != len(chosen) * (5 + classes):
            raise InvalidInput(
                f"expected {len(chosen) * (5 + classes)} channels before {section} for {len(chosen)} anchors and "
                f"{classes} classes, got {tensor.channels}"
            )
        anchors.append(chosen)
        scales.append((section.get_floats("scale_x_y") or [1.0])[0])
        rules.add((classes, "softmax" if section.kind == "region" else "sigmoid", bool(section.get_int("new_coords"))))
    if len(rules) > 1:
        raise Unsupported(f"the detection layers of one network differ in classes, rule or coordinates: {sorted(rules)}")
    _, class_rule, new_coords = rules.pop()
    return DecodeSpec(
        head="yolo",
        outputs=tuple(tensor.name for _, tensor in heads),
        parameters={"anchors": anchors, "scale_x_y": scales, "class_rule": class_rule, "new_coords": new_coords},
        confidence_threshold=CONFIDENCE_THRESHOLD,
        iou_threshold=IOU_THRESHOLD,
    )


def _read_yolo(section: Section) -> list[list[float]]:
    """Anchors of this scale, input pixels: those of all scales stand in each [yolo], `mask` says which are its own."""
    pairs = _read_pairs(section)
    mask = section.get_ints("mask")
    if not mask or not all(0 <= index < len(pairs) for index in mask):
        raise InvalidInput(f"expected a mask of {section} with numbers of 0..{len(pairs) - 1}, got {mask}")
    return [pairs[index] for index in mask]


def _read_region(section: Section, tensor: Tensor, picture: Tensor) -> list[list[float]]:
    """Anchors in input pixels; [region] states them in cells."""
    x_stride, y_stride = picture.width / tensor.width, picture.height / tensor.height
    return [[width * x_stride, height * y_stride] for width, height in _read_pairs(section)]


def _read_pairs(section: Section) -> list[list[float]]:
    values, count = section.get_floats("anchors"), section.get_int("num", 1, MAX_ANCHORS)
    if len(values) != 2 * count or min(values) <= 0:
        raise InvalidInput(f"expected {2 * count} anchors above 0 in {section}, two for each of num={count}, got {values[:40]}")
    return [[width, height] for width, height in zip(values[0::2], values[1::2], strict=True)]


def _count_classes(section: Section) -> int:
    return section.get_int("classes", 1)
