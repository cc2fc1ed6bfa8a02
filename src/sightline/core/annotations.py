"""The Annotation: what is seen, where, and who says so. One type serves dataset, metric, response and canvas.

A person's annotation has `confidence=None`; a prediction has a confidence. Where metrics and reports rank annotations, or cut
them off at a threshold, one without a confidence counts as sure (`Annotation.certainty`): labels of a person or of another tool
may stand where predictions are judged. Without box, polygons and mask it speaks of the whole image. Coordinates are absolute
pixels of the upright (EXIF-corrected) image, origin at its top left corner.
"""

from typing import Any, Literal

import msgspec

from sightline.core.errors import InvalidInput

BoxXyxy = tuple[float, float, float, float]
Ring = tuple[float, ...]  # x0, y0, x1, y1, ...: at least three points, not closed
Origin = Literal["human", "model"]
Geometry = Literal["image", "box", "polygons", "mask"]


class MaskRle(msgspec.Struct, frozen=True, kw_only=True):
    """A binary mask, run-length encoded down the columns like COCO's; `encode_mask` and `decode_mask` convert.

    Attributes:
        height, width: size of the mask, pixels.
        counts: COCO's compressed string: lengths of alternating runs of 0 and 1, starting with 0, 5 bits per character.
    """

    height: int
    width: int
    counts: str


class Annotation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """One labelled thing, or the label of a whole picture.

    Attributes:
        category: name of the category.
        box_xyxy: `(x_min, y_min, x_max, y_max)`, float pixels; beside polygons and masks it is their bounds.
        polygons: rings of float pixels that together outline one object (several if it is occluded).
        mask: a binary mask of the size of the picture.
        confidence: 0..1 for a prediction, None for a person's annotation.
        origin: who made it: "human" or "model".
        is_crowd: the region holds many objects that are not separated (COCO `iscrowd`); metrics ignore it, and so do the
            losses of detectors.
        attributes: further facts from the source format, text to text ("difficult": "1").
    """

    category: str
    box_xyxy: BoxXyxy | None = None
    polygons: tuple[Ring, ...] | None = None
    mask: MaskRle | None = None
    confidence: float | None = None
    origin: Origin = "human"
    is_crowd: bool = False
    attributes: dict[str, str] = {}

    @property
    def certainty(self) -> float:
        """The confidence to rank and to cut off by, 0..1: 1 where none is stated, as of a person's label."""
        return 1.0 if self.confidence is None else self.confidence

    @property
    def geometry(self) -> Geometry:
        """The richest geometry that this annotation has."""
        if self.mask is not None:
            return "mask"
        if self.polygons is not None:
            return "polygons"
        return "box" if self.box_xyxy is not None else "image"


def read_annotation(made: Annotation) -> Annotation:
    """An annotation that somebody's program made, checked; arrays and numbers of NumPy become plain numbers.

    Raises: InvalidInput naming the field that does not fit.
    """
    if not isinstance(made, Annotation):
        raise InvalidInput(f"expected an Annotation, got {made!r}; make sightline.Annotation(category=...)")
    try:
        return msgspec.convert(msgspec.to_builtins(made, enc_hook=_make_plain), Annotation)
    except (msgspec.ValidationError, TypeError) as error:
        raise InvalidInput(
            f"the annotation of {made.category!r} does not fit: {error}; help(sightline.Annotation) says what it holds"
        ) from error


def _make_plain(value: Any) -> Any:
    """What an array or number of NumPy holds, without importing it."""
    if not hasattr(value, "tolist"):
        raise TypeError(f"expected numbers and text, got {type(value).__name__}")
    return value.tolist()
