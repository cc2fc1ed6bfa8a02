"""What the values of a data set's masks tell of a list of classes that gives names but no values.

A list names its classes in order. Whether the first of them is value 0, or value 1 beside a background that nobody wrote down,
or 255 in masks of one class, only the masks know: all of them are looked at once, before any is read for its picture.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sightline.core.errors import SightlineError, UnreadableDataset, UnreadableImage
from sightline.data.conversion import ConversionReport
from sightline.data.formats.mask_classes import IGNORE_VALUE, TABLE_NAME, MaskClass
from sightline.data.formats.mask_pairs import MaskLayout
from sightline.data.formats.picture_files import walk_pictures
from sightline.imaging.reading import read_image, read_label_map

BACKGROUND = MaskClass(name="background", value=0, kind="background")
VOID = MaskClass(name="void", value=IGNORE_VALUE, kind="void")
SHOWN_VALUES = 8


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


def list_values(layout: MaskLayout, has_colours: bool) -> set[int]:
    """Every value of the masks that are whole and no colour pictures, one mask at a time."""
    present: set[int] = set()
    for folders in layout.folders:
        for path in walk_pictures(folders.masks):
            try:
                present.update(int(value) for value in np.unique(read_values(path, has_colours)))
            except SightlineError:
                continue  # told when the mask is read for its picture
    return present


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
    if last in present and last != IGNORE_VALUE:
        shifted = [BACKGROUND, *(set_value(entry, value) for value, entry in enumerate(things, 1))]
        return tell_fitted([*shifted, VOID] if IGNORE_VALUE in present else shifted, report)
    strange = sorted(present - {entry.value for entry in classes} - {IGNORE_VALUE})
    if strange or is_binary:
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
