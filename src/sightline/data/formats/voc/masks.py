"""Pascal VOC's segmentation pictures: one palette PNG says the class of each pixel, another which object it belongs to.

Index 0 is background and 255 the void border; the index of a class is its place in `labelmap.txt`, or in VOC's own list of
20. The palette is VOC's: bits of the index, lowest first, become the highest bits of red, green and blue in turn (VOCdevkit
`VOClabelcolormap`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace
from PIL import Image

from sightline.core.annotations import Annotation, BoxXyxy
from sightline.core.errors import SightlineError, UnreadableImage
from sightline.data.conversion import ConversionReport
from sightline.data.formats.text_files import read_text
from sightline.data.items import Item
from sightline.imaging.files.reading import read_image, read_label_map
from sightline.imaging.masks import draw_annotation, encode_mask, find_mask_box

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog", "horse",
    "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
BACKGROUND_NAMES = ("background", "ignored", "void")
VOID = 255
MASK_INDEX = "mask_index"  # tag of our own in an XML's object: its index in the object picture
MAX_INSTANCES = 254
MIN_BOX_IOU = 0.5


class LabelMap(msgspec.Struct, frozen=True):
    """`labelmap.txt`: names and RGB colours by index; background is index 0."""

    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]

    @property
    def categories(self) -> list[str]:
        """Names that stand for things: all but background and void."""
        return [name for name in self.names if name not in BACKGROUND_NAMES]


def make_palette() -> np.ndarray:
    """VOC's colours: `(256, 3)` uint8."""
    index = np.arange(256)
    colours = np.zeros((256, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((index >> (3 * bit + channel)) & 1) << (7 - bit)
    return colours.astype(np.uint8)


def read_label_names(root: Path, report: ConversionReport | None = None) -> LabelMap | None:
    """`labelmap.txt` of CVAT and Datumaro: `name:r,g,b:parts:actions` a line; None when there is none."""
    path = root / "labelmap.txt"
    if not path.is_file():
        return None
    names: list[str] = []
    colours: list[tuple[int, int, int]] = []
    palette = make_palette()
    for line in read_text(path, report).splitlines():
        name, _, rest = line.partition(":")
        if not name.strip() or name.startswith("#") or name.strip() in names:
            continue
        parts = rest.split(":")[0].split(",")
        known = len(parts) == 3 and all(part.strip().isdigit() and int(part) < 256 for part in parts)
        default = tuple(int(value) for value in palette[min(len(names), 255)])
        colours.append((int(parts[0]), int(parts[1]), int(parts[2])) if known else (default[0], default[1], default[2]))
        names.append(name.strip())
    return LabelMap(tuple(names), tuple(colours))


def read_segmentation(
    root: Path,
    picture_id: str,
    objects: Sequence[Annotation],
    numbers: Sequence[int | None],
    labels: LabelMap | None,
    report: ConversionReport,
) -> tuple[Annotation, ...]:
    """The objects of an XML with the masks of their picture; a mask that fits no object becomes an annotation of its own.

    A mask belongs to the object of its class that states its number; else to the one whose box fits its bounds best (IoU of at
    least 0.5).

    Args:
        objects, numbers: of the XML, and the index that each states for itself in the object picture, as our own writer does.
    """
    class_path, object_path = (root / folder / f"{picture_id}.png" for folder in ("SegmentationClass", "SegmentationObject"))
    if not class_path.is_file():
        return tuple(objects)
    labels = labels or LabelMap(("background", *VOC_CLASSES), ())
    try:
        classes = _read_indices(class_path, labels)
        instances = _read_indices(object_path, None) if object_path.is_file() else None
    except SightlineError as error:
        report.drop("file", "segmentation picture that cannot be read", str(error))
        return tuple(objects)
    if instances is None:
        if objects:
            report.drop("file", "class masks beside boxes, without a picture of the objects", class_path.name)
            return tuple(objects)
        instances = classes
    elif instances.shape != classes.shape:
        report.drop("file", "class and object pictures of different sizes", class_path.name)
        return tuple(objects)
    if (classes == VOID).any():
        report.warn("image", "void border pixels count as background", class_path.name)
    return _match_masks(list(objects), numbers, _find_masks(classes, instances, labels))


def _read_indices(path: Path, labels: LabelMap | None) -> np.ndarray:
    """`(H, W)` indices of a palette picture, or of a colour picture through the label map's (or VOC's) colours."""
    try:
        return read_label_map(path)
    except UnreadableImage:
        colours = read_image(path).astype(np.int64)
    codes = (colours[..., 0] << 16) | (colours[..., 1] << 8) | colours[..., 2]
    known = make_palette().astype(int).tolist() if labels is None or not labels.colours else labels.colours
    indices = np.full(codes.shape, VOID, np.uint8)
    for index, (red, green, blue) in reversed(list(enumerate(known[:256]))):
        indices[codes == (red << 16) | (green << 8) | blue] = index
    return indices


def _find_masks(classes: np.ndarray, instances: np.ndarray, labels: LabelMap) -> dict[int, Annotation]:
    """The masks by their index in the object picture, in its order."""
    found = {}
    for instance in np.unique(instances).tolist():
        if instance in (0, VOID):
            continue
        pixels = instances == instance
        index = int(np.bincount(classes[pixels]).argmax())
        name = labels.names[index] if index < len(labels.names) else f"class {index}"
        if index == VOID or name in BACKGROUND_NAMES:
            continue
        found[instance] = Annotation(category=name, box_xyxy=find_mask_box(pixels), mask=encode_mask(pixels))
    return found


def _match_masks(
    objects: list[Annotation], numbers: Sequence[int | None], found: dict[int, Annotation]
) -> tuple[Annotation, ...]:
    left = dict(found)
    taken: set[int] = set()
    for place, number in enumerate(numbers):
        if number is not None and number in left and left[number].category == objects[place].category:
            objects[place] = replace(objects[place], mask=left.pop(number).mask)
            taken.add(place)
    pairs = [
        (_box_iou(thing.box_xyxy, masked.box_xyxy), -place, -number)
        for place, thing in enumerate(objects)
        for number, masked in left.items()
        if place not in taken and thing.category == masked.category
    ]
    for overlap, place, number in sorted(pairs, reverse=True):
        if overlap >= MIN_BOX_IOU and -number in left and -place not in taken:
            objects[-place] = replace(objects[-place], mask=left.pop(-number).mask)
            taken.add(-place)
    return (*objects, *left.values())


def _box_iou(first: BoxXyxy | None, second: BoxXyxy | None) -> float:
    if first is None or second is None:
        return 0.0
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return shared / (areas - shared) if areas > shared else 0.0


class Instances(NamedTuple):
    """Outlined annotations drawn into two maps.

    Attributes:
        classes, instances: class map and object map, both `(H, W)` uint8.
        numbers: index in the object map of each annotation, None where it has none.
    """

    classes: np.ndarray
    instances: np.ndarray
    numbers: list[int | None]


def draw_instances(item: Item, indices: dict[str, int], report: ConversionReport) -> Instances:
    """Draw an item's outlined annotations, later ones over earlier ones; what is lost of them is told.

    Args: indices: index of each category in the class map.
    """
    classes, instances = np.zeros((2, item.height, item.width), np.uint8)
    numbers: list[int | None] = [None] * len(item.annotations)
    number = 0
    for place, annotation in enumerate(item.annotations):
        if annotation.geometry not in ("mask", "polygons"):
            continue
        if number >= MAX_INSTANCES or indices[annotation.category] >= VOID:
            reason = "mask left out: VOC holds 254 objects a picture and 254 classes"
            report.change("annotation", reason, item.file_name)
            continue
        numbers[place] = number = number + 1
        pixels = draw_annotation(annotation, item.height, item.width)
        if annotation.mask is None:
            report.change("annotation", "polygon drawn as a mask", item.file_name)
        if instances[pixels].any():
            report.change("annotation", "masks overlap: the later one hides the earlier", item.file_name)
        classes[pixels], instances[pixels] = indices[annotation.category], number
    return Instances(classes, instances, numbers)


def save_palette_png(path: Path, indices: np.ndarray) -> None:
    """Write `(H, W)` uint8 indices as a PNG with VOC's palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(indices)  # mode L
    picture.putpalette(make_palette().tobytes())  # turns it into mode P
    picture.save(path)
