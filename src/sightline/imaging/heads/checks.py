"""Check a decode spec, by itself and against the outputs of a graph, without a picture.

A graph never says what its outputs mean, so a spec that does not fit would fail only in requests. Therefore zeros in the shapes
of the outputs are decoded: a head judges shapes and parameters whatever the values are, and none refuses zeros.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, SightlineError
from sightline.core.manifests import DecodeSpec
from sightline.imaging.heads.decoding import RAW, TASK_OF_HEAD, decode_outputs
from sightline.imaging.heads.pictures import PICTURE, PictureSpec, read_picture_spec, write_pictures
from sightline.imaging.resizing import Placement

# What each head reads of `DecodeSpec.parameters`.
PARAMETERS_OF_HEAD: dict[str, tuple[str, ...]] = {
    "softmax": ("top",),
    "probabilities": ("top",),
    "sigmoid": ("activated",),
    "semantic": ("background",),
    "label_map": ("background",),
    "anchor_free": ("strides", "side_scale", "candidates", "votes"),
    "region_boxes": ("weights", "candidates"),
    "anchor_free_masks": ("strides", "side_scale", "candidates"),
    "yolo": ("anchors", "scale_x_y", "class_rule", "new_coords", "candidates"),
    "grid_objects": ("objectness_power", "class_power", "candidates"),
    "scored_boxes": ("normalised", "order", "background", "candidates"),
    "prior_boxes": ("priors", "variances", "activation", "background", "candidates"),
    "joined_boxes": ("axis", "objectness", "order", "normalised", "candidates"),
    "final_boxes": ("order", "normalised"),
    PICTURE: PictureSpec.__struct_fields__,
    RAW: (),
}
# Shapes and parameters are judged alike for every size of a picture.
BLANK = Placement(source_width=64, source_height=64, input_width=64, input_height=64)


def check_decode_spec(spec: DecodeSpec, where: str) -> None:
    """Check what can be checked of a spec alone. Args: where: stands before the field in messages. Raises: InvalidInput."""
    if spec.head not in TASK_OF_HEAD:
        raise InvalidInput(f"{where}.head: expected one of {', '.join(sorted(TASK_OF_HEAD))}, got {spec.head[:100]!r}")
    for field in ("confidence_threshold", "iou_threshold"):
        if not 0 <= getattr(spec, field) <= 1:
            raise InvalidInput(f"{where}.{field}: expected 0 to 1, got {getattr(spec, field)}")
    if spec.max_detections < 1:
        raise InvalidInput(f"{where}.max_detections: expected at least 1, got {spec.max_detections}")
    check_parameter_names(spec.head, spec.parameters, f"{where}.parameters")
    if spec.head == PICTURE:
        read_picture_spec(spec)


def check_parameter_names(head: str, names: Iterable[str], where: str) -> None:
    """Refuse parameters that a head does not read. Args: where: stands before the message. Raises: InvalidInput."""
    known = PARAMETERS_OF_HEAD[head]
    if unknown := sorted(set(names) - set(known)):
        expected = f"only {', '.join(known)}" if known else "none"
        raise InvalidInput(f"{where}: expected {expected} for the head {head}, got {unknown[0][:100]!r}")


def check_decoding(spec: DecodeSpec, shapes: Mapping[str, Sequence[int]], categories: Categories) -> None:
    """Decode zeros in place of a graph's outputs for one picture.

    Args:
        spec: of any head; `raw` fits everything.
        shapes: by the output's name, the batch axis first: 1.
        categories: names of the class indices.

    Raises: InvalidInput saying what the head expects and what the graph gives.
    """
    if spec.head == RAW:
        return
    outputs = {name: np.zeros(shapes[name], np.float32) for name in spec.outputs if name in shapes}
    try:
        with np.errstate(all="ignore"):
            if spec.head == PICTURE:
                write_pictures(spec, outputs, [BLANK])
            else:
                decode_outputs(spec, outputs, [BLANK], categories)
    except SightlineError as error:
        raise InvalidInput(f"the head {spec.head} does not fit the graph: {error}") from error
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:  # a parameter that is missing, or of another kind
        given = msgspec.json.encode(spec.parameters).decode()[:200]
        raise InvalidInput(
            f"the head {spec.head} cannot decode with the parameters {given}: {type(error).__name__}: {error}; correct them"
        ) from error
