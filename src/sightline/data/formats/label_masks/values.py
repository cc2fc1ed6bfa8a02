"""What the values of a dataset's masks tell: how a list of classes counts them, and whether edges are soft.

A list names its classes in order. Whether the first of them is value 0, or value 1 beside a background that nobody wrote down,
or 255 in masks of one class, only the masks know: all of them are looked at once, before any is read for its picture.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from sightline.core.errors import SightlineError, UnreadableDataset, UnreadableImage
from sightline.data.conversion import MAX_EXAMPLES, ConversionReport
from sightline.data.formats.label_masks.classes import IGNORE_VALUE, TABLE_NAME, MaskClass
from sightline.data.formats.label_masks.pairs import MaskLayout, walk_masks
from sightline.imaging.files.reading import read_image, read_label_map

BACKGROUND = MaskClass(name="background", value=0, kind="background")
VOID = MaskClass(name="void", value=IGNORE_VALUE, kind="void")
SHOWN_VALUES = 8
CUT = 128
# Soft edges: few pixels, of many values on both sides of the cut, none of which fills a patch. Small classes between 0 and 255
# are otherwise: their values are few or all small, or they have an inside.
MAX_SOFT_SHARE, MIN_SOFT_VALUES, PATCH_MARGIN = 0.05, 5, 16
JPEG_START, JPEG_NOISE = b"\xff\xd8\xff", 64


class MaskSurvey:
    """What the values of all masks are.

    Attributes:
        counts: pixels by value, of masks that are whole and no colour pictures.
        has_patches: whether a value between 0 and 255 fills a square of 3 x 3 pixels, as regions do and soft edges do not.
        colour: the first mask in colour.
        lossy: the first mask that is a JPEG.
        soft_count: how many masks have values between 0 and 255; `soft_names` are the first of them.
    """

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.has_patches = False
        self.colour: Path | None = None
        self.lossy: Path | None = None
        self.soft_count = 0
        self.soft_names: list[str] = []

    def add(self, name: str, values: np.ndarray) -> None:
        """Count one mask `(H, W)` of uint8 or uint16."""
        present, counts = np.unique(values, return_counts=True)
        for value, count in zip(present.tolist(), counts.tolist(), strict=True):
            self.counts[value] = self.counts.get(value, 0) + count
        if any(0 < value < IGNORE_VALUE for value in present.tolist()):
            self.soft_count += 1
            self.soft_names = [*self.soft_names, name][:MAX_EXAMPLES]
            self.has_patches = self.has_patches or has_patch(values)

    def judge(self) -> Literal["plain", "soft", "unclear"]:
        """Whether the values are what was drawn, or 0 and 255 with soft edges; unclear where there are too many between."""
        between = {value: count for value, count in self.counts.items() if 0 < value < IGNORE_VALUE}
        total = sum(self.counts.values())
        if not between or max(self.counts) > IGNORE_VALUE:
            return "plain"
        if self.lossy is not None:
            middle = sum(count for value, count in between.items() if JPEG_NOISE <= value <= IGNORE_VALUE - JPEG_NOISE)
            is_binary = max(self.counts) > IGNORE_VALUE - JPEG_NOISE and middle < MAX_SOFT_SHARE * total
            return "soft" if is_binary else "unclear"
        is_both_sided = min(between) < CUT <= max(between)
        if (
            not {0, IGNORE_VALUE} <= self.counts.keys()
            or len(between) < MIN_SOFT_VALUES
            or not is_both_sided
            or self.has_patches
        ):
            return "plain"
        return "soft" if sum(between.values()) < MAX_SOFT_SHARE * total else "unclear"


def has_patch(values: np.ndarray) -> bool:
    """Whether a value that is neither near 0 nor near 255 fills a square of 3 x 3 pixels of a mask `(H, W)`."""
    square = np.ones((3, 3), np.uint8)
    even = cv2.erode(values, square) == cv2.dilate(values, square)
    return bool((even & (values >= PATCH_MARGIN) & (values <= IGNORE_VALUE - PATCH_MARGIN)).any())


def read_values(path: Path, has_colours: bool) -> np.ndarray:
    """A mask's values `(H, W)`; also of a gray picture stored in three equal channels where no table gives it colours.

    Raises: UnreadableImage for a colour picture or a damaged one.
    """
    try:
        return read_label_map(path)
    except UnreadableImage:
        image = read_image(path)
        if has_colours or not (image == image[..., :1]).all():
            raise
        return image[..., 0]


def survey_masks(layout: MaskLayout, has_colours: bool) -> MaskSurvey:
    """Look at all masks, one at a time; what is damaged is told when the mask is read for its picture."""
    survey = MaskSurvey()
    survey.lossy = find_lossy_mask(layout)
    for path in walk_masks(layout):
        try:
            survey.add(path.name, read_values(path, has_colours))
        except SightlineError:
            if survey.colour is None and is_decodable(path):
                survey.colour = path
    return survey


def find_lossy_mask(layout: MaskLayout) -> Path | None:
    """The first mask that is a JPEG, by its content."""
    for path in walk_masks(layout):
        if os.path.isfile(path):  # noqa: PTH113 - never raises; a pipe would be read for ever
            with path.open("rb") as file:
                if file.read(len(JPEG_START)) == JPEG_START:
                    return path
    return None


def is_decodable(path: Path) -> bool:
    """Whether a picture is whole, of whatever kind."""
    try:
        read_image(path)
    except SightlineError:
        return False
    return True


def cut_classes(name: str, survey: MaskSurvey, report: ConversionReport) -> list[MaskClass]:
    """Background below 128 and one class from there on; every mask that this changes is told."""
    if survey.lossy is not None:
        reason = "mask cut at 128: JPEG changes values, save masks as PNG"
    else:
        reason = "mask with soft edges cut at 128: pixels that are half covered or more belong to the class"
    for example in survey.soft_names:
        report.change("annotation", reason, example)
    report.change("annotation", reason, count=survey.soft_count - len(survey.soft_names))
    below = [MaskClass(name=BACKGROUND.name, value=value, kind=BACKGROUND.kind) for value in range(CUT)]
    return [*below, *(MaskClass(name=name, value=value) for value in range(CUT, IGNORE_VALUE + 1))]


def is_to_be_fitted(classes: Sequence[MaskClass]) -> bool:
    """Whether the masks may mean other values than the places in the list: it has no background, or one class beside it."""
    kinds = [entry.kind for entry in classes]
    return set(kinds) == {"category"} or kinds == ["background", "category"]


def fit_classes(classes: list[MaskClass], present: set[int], report: ConversionReport) -> list[MaskClass]:
    """The classes of a list with the values that the masks hold.

    Args:
        classes: as the list has them, valued 0, 1, 2, ...; see `is_to_be_fitted`.
        present: all values of all masks.
        report: told when a class has another value than its place, and when value 0 is a class.

    Raises: UnreadableDataset when the values fit neither way.
    """
    things = [entry for entry in classes if entry.kind == "category"]
    last = len(things)
    is_binary = present <= {0, IGNORE_VALUE} and IGNORE_VALUE in present
    if last == 1 and is_binary:
        return tell_fitted([BACKGROUND, set_value(things[0], IGNORE_VALUE)], report)
    if len(things) < len(classes):
        return classes
    if last in present and last < IGNORE_VALUE and present <= {*range(last + 1), IGNORE_VALUE}:
        shifted = [BACKGROUND, *(set_value(entry, value) for value, entry in enumerate(things, 1))]
        return tell_fitted([*shifted, VOID] if IGNORE_VALUE in present else shifted, report)
    if is_binary or not present <= {*range(last), IGNORE_VALUE}:
        shown = ", ".join(map(str, sorted(present)[:SHOWN_VALUES]))
        raise UnreadableDataset(
            f"expected masks with values 0 to {last - 1} for the {last} listed classes, or 1 to {last} with 0 as background, "
            f"got {shown}{', ...' if len(present) > SHOWN_VALUES else ''}; give every value its name in {TABLE_NAME}"
        )
    if 0 in present:
        report.warn(
            "category", "value 0 of the masks is the first listed class; list background first if it is none", things[0].name
        )
    return classes


def set_value(entry: MaskClass, value: int) -> MaskClass:
    """The class with another value."""
    return MaskClass(name=entry.name, value=value, colour=entry.colour, kind=entry.kind)


def tell_fitted(classes: list[MaskClass], report: ConversionReport) -> list[MaskClass]:
    """Say which values the classes have."""
    shown = ", ".join(f"{entry.value} {entry.name}" for entry in classes[:SHOWN_VALUES])
    report.warn("category", "the values of the masks do not count the listed classes from 0; they are taken as follows", shown)
    return classes
