"""Report what a format has no room for, in the same words for all writers."""

from collections.abc import Callable

from sightline.core.annotations import Annotation
from sightline.data.conversion import ConversionReport
from sightline.data.formats.picture_files import find_split, read_split
from sightline.data.items import Item
from sightline.data.versions import UNSPLIT, DatasetVersion
from sightline.imaging.masks import decode_mask, find_mask_box, find_polygons_box

SAME_BOX_PX = 0.01
TURNED = "stored turned, by EXIF: the labels fit the upright picture, which tools that ignore EXIF do not show"


def report_lost_facts(report: ConversionReport, item: Item, annotation: Annotation) -> None:
    """Tell of confidence, origin, crowd mark and attributes of an annotation that is written without them."""
    if annotation.confidence is not None:
        report.drop("attribute", "the format holds no confidence", item.file_name)
    if annotation.origin != "human":
        report.drop("attribute", "the format does not tell people's annotations from a model's", item.file_name)
    if annotation.is_crowd:
        report.drop("attribute", "the format has no mark for crowds: the region becomes an ordinary object", item.file_name)
    for name in annotation.attributes:
        report.drop("attribute", f"the format has no attribute {name!r}", item.file_name)


def report_lost_item_facts(report: ConversionReport, item: Item) -> None:
    """Tell of all that no folder layout holds of a picture: a frame's video and time, and attributes."""
    report_lost_frame(report, item)
    report_lost_attributes(report, item)


def report_lost_frame(report: ConversionReport, item: Item) -> None:
    """Tell of a frame's video and time."""
    if item.source_video is not None:
        report.drop("attribute", "the format does not hold which frame of which video a picture is", item.file_name)


def report_lost_attributes(report: ConversionReport, item: Item) -> None:
    """Tell of attributes of whole pictures."""
    for key in item.attributes:
        report.drop("attribute", f"the format has no attribute {key!r} of a whole picture", item.file_name)


def report_lost_viewer(report: ConversionReport, item: Item) -> None:
    """Tell of a picture without annotations that no person looked at, which will be read as one that shows nothing."""
    if not item.annotations and item.seen_by in ("model", "nobody"):
        report.drop(
            "attribute",
            "the format does not tell a picture that no person looked at from one that shows nothing",
            item.file_name,
        )


def warn_turned(report: ConversionReport, item: Item) -> None:
    """Tell of a picture that EXIF turns: written are its file as it is and the labels of the upright picture. Nothing is lost.

    Detectron2, MMCV and OpenCV turn such a picture; torchvision, Pillow and many small tools do not, so no labels fit all.
    """
    if item.orientation != 1:
        report.warn("image", TURNED, item.file_name)


def report_lost_ignore(report: ConversionReport, version: DatasetVersion) -> None:
    """Tell that pixels to be ignored will count as background."""
    if version.manifest.unlabelled_pixels == "ignore":
        report.change("attribute", "pixels without a label are to be ignored; the format takes them as background")


def report_renamed_splits(
    report: ConversionReport, version: DatasetVersion, read_back: Callable[[str], str | None] = read_split
) -> None:
    """Tell of splits whose name, as the format holds it, will be read as another ("dev" as "val") or as none.

    Args:
        read_back: the split that the format's reader finds for a name that its writer wrote.
    """
    for split in version.splits:
        again = read_back(split)
        if split not in (UNSPLIT, again):
            report.change("file", "split's name is read back as another", f"{split} -> {again or 'none'}")


def read_split_folders(version: DatasetVersion) -> Callable[[str], str | None]:
    """As a reader to whom folders are splits only when all of them are named like one."""
    return find_split if all(map(find_split, version.splits)) else lambda _: None


def report_other_box(report: ConversionReport, annotation: Annotation, where: str) -> None:
    """Tell of a box beside a polygon or mask that is not its bounds: it will be, after reading."""
    if annotation.box_xyxy is None:
        return
    shape, bounds = "polygon", None
    if annotation.mask is not None:
        shape, bounds = "mask", find_mask_box(decode_mask(annotation.mask))
    elif annotation.polygons is not None:
        bounds = find_polygons_box(annotation.polygons)
    if bounds is None:
        return
    if any(abs(one - other) > SAME_BOX_PX for one, other in zip(annotation.box_xyxy, bounds, strict=True)):
        report.change("annotation", f"box is not the bounds of its {shape}; the bounds are kept", where)


def report_no_pixels(report: ConversionReport, annotation: Annotation, file_name: str) -> bool:
    """Whether a mask has nothing of an annotation, for it names no pixels; told as dropped."""
    if annotation.geometry not in ("image", "box"):
        return False
    what = "label of the whole picture" if annotation.geometry == "image" else "box"
    report.drop("annotation", f"{what} names no pixels", f"{file_name}: {annotation.category}")
    return True
