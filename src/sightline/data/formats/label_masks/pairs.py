"""Find pictures and their masks: `train` + `trainannot` (CamVid), `train` + `train_masks`, `images` + `masks`, `train/image` +
`train/label`, or `train/1.jpg` + `train/1_mask.png` with a `_classes.csv` (Roboflow).

A mask has its picture's relative path but for the suffix and for what people add to names: `gt_0001.png`, `0001_mask.png`.
What is added is taken off the mask's name first, until a picture has it; off the picture's, too, only where none has. CamVid's
`_L` and `_P` are never taken off a picture's name: elsewhere `_l` is the left camera.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from sightline.data.conversion import ConversionReport
from sightline.data.formats.picture_files import find_split, has_picture, is_picture, list_folder, rank_split, walk_folders

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "pictures", "inputs", "jpegimages", "data",
                 "701_stillsraw_full")  # fmt: skip
MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "annotation", "annots", "gt", "ground_truth", "groundtruth",
                "segmentation", "segmentations", "segmentationclass", "segmentationclasspng", "labelmaps", "targets",
                "labeledapproved_full")  # fmt: skip
ANNOT_SUFFIX = "annot"
LONGER_SUFFIXES = ("_masks", "_mask", "_labels", "_label", "_annotations", "_gt")
MIXED_SUFFIX, MIXED_TABLE, MIXED_HEADER = "_mask", "_classes.csv", b"pixel value"
WRAPPER_DEPTH = 3
PREFIX = re.compile(r"^(image|img|picture|gt|mask|label|annotation)[_-](?=.)", re.IGNORECASE)
SUFFIX = re.compile(r"(?<=.)[_-](image|img|gt|mask|masks|label|labels|labelids|seg|segmentation)$", re.IGNORECASE)
CAMVID_SUFFIX = re.compile(r"(?<=.)[_-](l|p)$", re.IGNORECASE)


class MaskFolders(msgspec.Struct, frozen=True):
    """A folder of pictures, the folder of their masks, and the split they are of."""

    images: Path
    masks: Path
    split: str | None


class MaskLayout(msgspec.Struct, frozen=True):
    """Where the folders lie, and whether they are laid out as CamVid's."""

    root: Path
    folders: list[MaskFolders]
    is_camvid: bool


def find_layout(source: Path) -> MaskLayout | None:
    """The folders of pictures and masks of a dataset, or None; lone folders around it are passed through."""
    root = source
    for _ in range(WRAPPER_DEPTH):
        layout = find_layout_at(root)
        names = list_folder(root)[1]
        if layout is not None or len(names) != 1:
            return layout
        root = root / names[0]
    return None


def find_layout_at(root: Path) -> MaskLayout | None:
    """The folders right below `root`, or inside folders named like splits."""
    names = list_folder(root)[1]
    annots = [name for name in names if name + ANNOT_SUFFIX in names and has_picture(root / (name + ANNOT_SUFFIX))]
    if annots:
        ordered = sorted(annots, key=split_order)
        folders = [MaskFolders(root / name, root / (name + ANNOT_SUFFIX), find_split(name) or name) for name in ordered]
        return MaskLayout(root, folders, True)
    longer = [
        MaskFolders(root / name, root / (name + suffix), name_split(name))
        for name in sorted(names, key=split_order)
        for suffix in LONGER_SUFFIXES
        if name + suffix in names and has_picture(root / (name + suffix))
    ]
    if longer:
        return MaskLayout(root, longer, False)
    pair = find_pair(root)
    if pair is not None:
        inner = [name for name in list_folder(pair[0])[1] if find_split(name) and (pair[1] / name).is_dir()]
        if inner and len(inner) == len(list_folder(pair[0])[1]) and not any(map(is_picture, list_folder(pair[0])[0])):
            ordered = sorted(inner, key=split_order)
            return MaskLayout(root, [MaskFolders(pair[0] / name, pair[1] / name, name_split(name)) for name in ordered], False)
        return MaskLayout(root, [MaskFolders(*pair, None)], False)
    found = [
        MaskFolders(*inside, name_split(name))
        for name in sorted(names, key=split_order)
        if find_split(name) and (inside := find_pair(root / name)) is not None
    ]
    found = found or [
        MaskFolders(root / name, root / name, name_split(name))
        for name in sorted(["", *names], key=split_order)
        if (not name or find_split(name)) and is_mixed(root / name)
    ]
    return MaskLayout(root, found, False) if found else None


def is_mixed(folder: Path) -> bool:
    """Whether a folder holds pictures and their masks side by side, as its table of the masks' values tells."""
    try:
        with (folder / MIXED_TABLE).open("rb") as file:
            return file.read(len(MIXED_HEADER)).lower() == MIXED_HEADER
    except OSError:
        return False


def part_mixed(files: list[str]) -> tuple[list[str], list[str]]:
    """The pictures and the masks among the files of a mixed folder: a mask is called like a picture and `_mask`."""
    stems = {Path(name).stem for name in files if is_picture(name)}
    masks = [name for name in files if Path(name).stem.removesuffix(MIXED_SUFFIX) in stems - {Path(name).stem}]
    return [name for name in files if name not in set(masks)], masks


def walk_masks(layout: MaskLayout) -> Iterator[Path]:
    """Every file of masks."""
    for folders in layout.folders:
        for folder, files in walk_folders(folders.masks):
            names = part_mixed(files)[1] if folders.masks == folders.images else files
            yield from (folder / name for name in names if is_picture(name))


def split_order(name: str) -> tuple[int, str]:
    """The order of folders named like splits; others come last, by name."""
    return rank_split(find_split(name)), name


def name_split(name: str) -> str | None:
    """The split a folder stands for; pictures without one are exported below unsplit/."""
    split = find_split(name)
    return None if split == "unsplit" else split


def find_pair(folder: Path) -> tuple[Path, Path] | None:
    """A folder of pictures and a folder of masks inside `folder`."""
    names = {name.lower(): name for name in list_folder(folder)[1]}
    images = next((folder / names[name] for name in IMAGE_FOLDERS if name in names), None)
    masks = next((folder / names[name] for name in MASK_FOLDERS if name in names and has_picture(folder / names[name])), None)
    return (images, masks) if images is not None and masks is not None else None


def iterate_pairs(folders: MaskFolders, report: ConversionReport) -> Iterator[tuple[Path, Path | None]]:
    """Every picture with its mask, or with None where it has none; masks without a picture are told."""
    yield from iterate_folder(folders, Path(), report)


def iterate_folder(folders: MaskFolders, inside: Path, report: ConversionReport) -> Iterator[tuple[Path, Path | None]]:
    """The pairs of one folder and of those below it; holds the names of one folder."""
    files, inner = list_folder(folders.images / inside)
    place = folders.masks / inside
    beside = list_folder(place)[0] if place.is_dir() else []
    if folders.masks == folders.images:
        files, beside = part_mixed(files)
    pictures = {Path(name).stem for name in files if is_picture(name)}
    masks = {Path(name).stem: name for name in beside if is_picture(name)}
    partners = match_masks(pictures, masks)
    for name in files:
        if is_picture(name):
            partner = partners.get(Path(name).stem)
            mask = masks.pop(partner, None) if partner is not None else None
            yield folders.images / inside / name, place / mask if mask is not None else None
    for mask in masks.values():
        report.drop("image", "picture is missing, only its mask is there", (inside / mask).as_posix())
    for name in inner:
        yield from iterate_folder(folders, inside / name, report)


def match_masks(pictures: Iterable[str], masks: Iterable[str]) -> dict[str, str]:
    """Stems of masks by the stems of their pictures: exact ones first, then with the least taken off.

    Example: pictures `part_l`, `part_r` and masks `part_l_mask`, `part_r_mask`.
    """
    left = set(pictures)
    keys: dict[str, str | None] = {}  # None: several pictures have it
    for stem in sorted(left):
        key = SUFFIX.sub("", PREFIX.sub("", stem))
        keys[key] = None if key in keys else stem
    readings = {stem: list_readings(stem) for stem in sorted(masks)}
    deepest = max(map(len, readings.values()), default=0)
    partners: dict[str, str] = {}
    for by_key in (False, True):
        for depth in range(deepest):
            for stem in [stem for stem in readings if depth < len(readings[stem])]:
                reading = readings[stem][depth]
                picture = keys.get(reading) if by_key else reading
                if picture in left:
                    left.discard(picture)
                    partners[picture] = stem
                    del readings[stem]
    return partners


def list_readings(stem: str) -> list[str]:
    """What a mask's stem may be without what people add: as it stands, then with ever more taken off."""
    readings = [stem, CAMVID_SUFFIX.sub("", stem)]
    shorter = SUFFIX.sub("", stem)
    while shorter not in readings:
        readings.append(shorter)
        shorter = SUFFIX.sub("", shorter)
    return list(dict.fromkeys([*readings, *(PREFIX.sub("", reading) for reading in readings)]))
