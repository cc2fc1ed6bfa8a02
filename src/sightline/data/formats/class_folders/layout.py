"""Which folders of a dataset are splits, which are classes, and which are neither: folders of pictures, of masks, and others.

A folder named like pictures or masks is never a class, unless classes.txt names it or it is `mask` beside `no_mask`; where it
cannot be told apart what the folders mean, the layout is refused.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from sightline.core.errors import UnreadableDataset
from sightline.data.conversion import ConversionReport, clean_name
from sightline.data.formats.label_masks.pairs import IMAGE_FOLDERS, MASK_FOLDERS
from sightline.data.formats.picture_files import (
    SPLIT_NAMES,
    find_split,
    has_picture,
    is_picture,
    list_folder,
    rank_split,
    walk_files,
)
from sightline.data.versions import UNSPLIT

SET_WORDS = ("set", "data", "images", "image", "imgs", "img", "pictures", "photos", "folder", "split")
# Names of folders that sort pictures by where, when or in which lot they were taken, not by what is on them.
SORTING_NAME = re.compile(
    r"(camera|cam|session|sequence|seq|scene|video|vid|clip|batch|lot|part|fold|chunk|shard|set|run|day|week|shift|folder|"
    r"new folder|dcim|unlabell?ed|unsorted|raw|frames)[ _-]*\(?(\d{1,4}|[a-z]|left|right|front|rear|back|top)?\)?|"
    r"\d{4}[ _.-]?\d{2}([ _.-]?\d{2})?([ t_-].*)?|\d{2}[._-]\d{2}[._-]\d{4}|\d{3}[a-z_]{5}",  # dates, 100CANON of cameras
    re.IGNORECASE,
)
FEW_LETTERS = 3
WRAPPER_DEPTH = 4
MANY_FILES = 1_000_000
REMEDY = "name another format, import one of the folders by itself, or list all classes in classes.txt"


class ClassPlace(msgspec.Struct, frozen=True):
    """A folder whose pictures are all of one class and one split; no class for pictures beside the class folders.

    `masks` are the folders right inside that are passed by.
    """

    folder: Path
    category: str | None
    split: str | None
    base: Path
    masks: tuple[str, ...] = ()


def skip_wrappers(source: Path) -> Path:
    """The folder that holds the class folders: lone folders around it, as archives have them, are passed through."""
    folder = source
    for _ in range(WRAPPER_DEPTH):
        files, names = list_folder(folder)
        inner = [name for name in names if has_picture(folder / name)]
        if len(inner) != 1 or find_split(inner[0]) or any(map(is_picture, files)):
            break
        below_files, below_folders = list_folder(folder / inner[0])
        if any(map(is_picture, below_files)) or not below_folders:
            break  # it is a class itself
        folder = folder / inner[0]
    return folder


def find_word_split(name: str) -> str | None:
    """The only split that words of a folder's name mean (`training_set`, `seg_test`, `test1`), or None."""
    splits = {split for word in split_words(name) if (split := find_split(word))}
    return splits.pop() if len(splits) == 1 else None


def split_words(name: str) -> list[str]:
    """The words of a folder's name, in small letters and without numbers."""
    return [word for word in re.split(r"[^a-z]+", name.lower()) if word]


def find_role(name: str) -> Literal["pictures", "masks"] | None:
    """What a folder of this name holds in datasets with masks or boxes (`image_2`, `train_masks`, too); None for others."""
    plain = name.lower()
    if find_word_split(name) and not find_split(name):
        plain = "_".join(word for word in split_words(name) if not find_split(word))
    if plain in MASK_FOLDERS:
        return "masks"
    return "pictures" if plain in IMAGE_FOLDERS or plain.rstrip("0123456789_-") in IMAGE_FOLDERS else None


def is_sorting(names: Sequence[str]) -> bool:
    """Whether all of the names look like cameras, dates or lots, or are two or three single letters."""
    letters = 1 < len(names) <= FEW_LETTERS and all(len(name) == 1 and name.isalpha() for name in names)
    return bool(names) and (letters or all(map(SORTING_NAME.fullmatch, names)))


def list_filled(folder: Path, limit: int = MANY_FILES) -> list[str]:
    """Names of the folders inside that hold a picture."""
    return [name for name in list_folder(folder)[1] if has_picture(folder / name, limit)]


def find_splits(root: Path, listed: Sequence[str], limit: int = MANY_FILES) -> dict[str, str]:
    """The folders that are splits, with the split that each is; none where the folders are classes.

    One folder named like a split, among others, is a class if its pictures lie right in it (`valid` beside `invalid`).

    Args:
        listed: the names of classes.txt.
        limit: how many files of a folder are looked at for a picture.
    Raises: UnreadableDataset when one folder named like a split has folders inside and so have others.
    """
    filled = list_filled(root, limit)
    inner = {name: list_folder(root / name)[1] for name in filled}
    if listed and filled and all(names and set(names) <= set(listed) for names in inner.values()):
        return {name: find_split(name) or name for name in filled}  # as we write them, splits of any name
    named = {name: split for name in filled if (split := find_split(name))}
    others = [name for name in filled if name not in named and find_role(name) is None]
    if len(set(named.values())) > 1:
        return named
    if longer := find_longer_splits(root, filled, limit):
        return longer
    if not others:
        return named
    if not named or set(named) <= set(listed) or not any(list_filled(root / name, limit) for name in named):
        return {}
    if any(list_filled(root / name, limit) for name in others):
        raise UnreadableDataset(
            f"expected splits or classes in {root.name}, got {', '.join(filled[:5])}: {next(iter(named))} may be either; "
            "rename it if it is a class, move the others away if it is a split"
        )
    return named


def find_longer_splits(root: Path, filled: list[str], limit: int) -> dict[str, str]:
    """Folders with a split's name in theirs, one for training and one for another split; empty where they may be classes.

    They hold folders (`seg_train/sea` and `seg_test/sea`; a `train_station` may be a class), or all are named after splits with
    numbers and words for pictures alone (`train` and `test1`).
    """
    named = {name: split for name in filled if (split := find_word_split(name)) and find_role(name) != "masks"}
    if "train" not in named.values() or len(set(named.values())) == 1:
        return {}
    is_plain = all(set(split_words(name)) <= {*SPLIT_NAMES, *SET_WORDS} for name in filled)
    return named if is_plain or all(list_filled(root / name, limit) for name in named) else {}


def find_places(root: Path, listed: Sequence[str], report: ConversionReport) -> Iterator[ClassPlace]:
    """Folders of one class and split each, training first; what is passed by is told. Raises: UnreadableDataset."""
    splits = find_splits(root, listed)
    if not splits:
        yield from find_classes(root, None, listed, report)
        return
    for name in list_folder(root)[1]:
        if name not in splits and is_class_folder(root / name, report) and has_picture(root / name, MANY_FILES):
            report_left_out(name, report)
    for name in sorted(splits, key=lambda name: rank_split(splits[name])):
        yield from find_classes(root / name, None if splits[name] == UNSPLIT else splits[name], listed, report)
    yield from find_loose(root, None)


def report_left_out(name: str, report: ConversionReport) -> None:
    """Tell of a folder with pictures that is neither a split nor a class."""
    if find_role(name) == "masks":
        report.drop("file", "folder of masks is not read: class folders hold labels of whole pictures", name)
    else:
        report.drop("file", "folder with pictures that is neither a split nor a class is not read", name)


def find_classes(folder: Path, split: str | None, listed: Sequence[str], report: ConversionReport) -> Iterator[ClassPlace]:
    """The class folders inside `folder`, each perhaps parted into splits itself, and the pictures beside them."""
    yield from find_loose(folder, split)
    filled = list_filled(folder)
    if (
        len(filled) == 1
        and filled[0] not in listed
        and (find_role(filled[0]) == "pictures" or (split and (find_split(filled[0]) or filled[0] == folder.name)))
    ):
        yield from find_classes(folder / filled[0], split, listed, report)
        names = [name for name in list_folder(folder)[1] if name != filled[0] and find_role(name) is None]
    else:
        names = choose_classes(folder, filled, listed, report)
    for name in names:
        if is_class_folder(folder / name, report):
            yield from find_parts(folder, name, split, listed, report)


def choose_classes(folder: Path, filled: list[str], listed: Sequence[str], report: ConversionReport) -> list[str]:
    """Names of the class folders; empty ones are classes, too. Raises: UnreadableDataset for pictures beside masks."""
    with_mask = any("mask" in name.lower() and find_role(name) is None for name in filled)
    roles = [
        name
        for name in list_folder(folder)[1]
        if find_role(name) and name not in listed and not (with_mask and "mask" in name.lower())
    ]
    left_out = [name for name in roles if name in filled]
    classes = [name for name in filled if name not in left_out]
    if left_out and len(classes) < 2:
        raise UnreadableDataset(
            f"expected class folders in {folder.name}, got {', '.join(filled[:5])}, which are none; {REMEDY}"
        )
    for name in left_out:
        report_left_out(name, report)
    for name in classes:
        if find_split(name) and name not in listed:
            report.warn("category", "folder named like a split is a class here, as the folders beside it are", name)
    return [name for name in list_folder(folder)[1] if name not in roles and (name in filled or not find_split(name))]


def find_parts(
    folder: Path, name: str, split: str | None, listed: Sequence[str], report: ConversionReport
) -> Iterator[ClassPlace]:
    """The places of one class: its folder, or its splits. Raises: UnreadableDataset for a dataset of its own."""
    files, inner = list_folder(folder / name)
    category = name_class(name, report)
    splits = [part for part in inner if find_split(part)]
    if split is None and splits and len(splits) == len(inner) and not any(map(is_picture, files)):
        for part in inner:
            yield ClassPlace(folder / name / part, category, find_split(part), folder)
        return
    masks = tuple(part for part in inner if find_role(part) == "masks" and has_picture(folder / name / part, MANY_FILES))
    if masks and not any(map(is_picture, files)) and not any(find_role(part) == "pictures" for part in inner):
        raise UnreadableDataset(
            f"expected a class folder, got {name} in {folder.name}, a dataset of its own with {', '.join(inner[:5])}; "
            "import it by itself"
        )
    for part in masks:
        report_left_out(part, report)
    sorted_by = [part for part in inner if part not in masks and has_picture(folder / name / part, MANY_FILES)]
    if sorted_by and name not in listed:
        report.warn("category", "folders inside of a class are not told apart", f"{name}: {', '.join(sorted_by[:5])}")
    yield ClassPlace(folder / name, category, split, folder, masks)


def name_class(folder: str, report: ConversionReport) -> str:
    """A class's name from its folder's; the report is told where they differ."""
    name = clean_name(folder)
    if name != folder:
        report.change("category", "name with line breaks, spaces at its ends or no Unicode, cleaned", f"{folder!r} -> {name!r}")
    return name


def find_loose(folder: Path, split: str | None) -> Iterator[ClassPlace]:
    """A place for the pictures that lie in `folder` itself, if there are any."""
    if any(map(is_picture, list_folder(folder)[0])):
        yield ClassPlace(folder, None, split, folder)


def is_class_folder(folder: Path, report: ConversionReport) -> bool:
    """Whether a folder holds pictures or nothing at all (a class without pictures); other folders are told."""
    if has_picture(folder, MANY_FILES) or next(walk_files(folder), None) is None:
        return True
    report.warn("file", "folder without a picture is ignored", folder.name)
    return False
