"""What the name of a COCO JSON tells: the task of its labels and the split of its pictures."""

import re
from collections.abc import Sequence
from pathlib import Path

from sightline.data.formats.picture_files import find_split

# Tasks of one dataset, richest first; only one of them is read.
TASKS = ("instances", "", "person_keypoints", "stuff", "labels", "image_info", "captions", "panoptic")
NO_SPLIT_NAMES = ("", "default", "unsplit")
TEST_DEV = re.compile(r"(?<![a-z])test[_\-. ]?dev(?![a-z])", re.IGNORECASE)  # COCO's public part of the test pictures
WORD_ENDS = re.compile(r"[_\-. ]+")
YEAR = re.compile(r"[a-z][_\-. ]?(?:19|20)\d\d$", re.IGNORECASE)
TRAILING_DIGITS = re.compile(r"[_\-. \d]*\d$")


def name_task(path: Path) -> tuple[str, str]:
    """Task and the rest of a JSON's name: `person_keypoints_val2017.json` -> ("person_keypoints", "val2017")."""
    stem = path.name.removesuffix(".json")
    for task in TASKS:
        if task and (stem == task or stem.startswith(task + "_")):
            return task, stem[len(task) + 1 :]
    return "", stem


def find_file_split(path: Path, root: Path) -> str | None:
    """The split a JSON's name or folder tells: `instances_train2017.json`, `valid/_annotations.coco.json`.

    All that follows `instances_` names the split, as in our own export: "test_day" is not "test"; but a split's word with a
    year is that split (`instances_attributes_train2020.json`). Elsewhere the last word that is a split's name counts.
    """
    task, rest = name_task(path)
    plain = TEST_DEV.sub("test", rest)
    words = WORD_ENDS.split(plain)
    if task == "instances":
        words = [word for word in words if YEAR.search(word)] + [plain]
    if split := find_last_split(words):
        return split
    if task == "instances" and rest not in NO_SPLIT_NAMES:
        return rest
    for folder in (path.parent, path.parent.parent):
        if folder not in (root, root.parent) and folder.is_relative_to(root) and find_split(folder.name):
            return find_split(folder.name)
    return None


def find_last_split(words: Sequence[str]) -> str | None:
    """The last of some words, less the digits behind it, that is the name of a split."""
    splits = (find_split(TRAILING_DIGITS.sub("", word)) for word in reversed(words))
    return next((split for split in splits if split in ("train", "val", "test")), None)


def list_folder_names(path: Path, split: str | None) -> list[str]:
    """Names of the folders in which a JSON's pictures may lie: what follows the task in its own name, and splits."""
    rest = name_task(path)[1]
    plain = TEST_DEV.sub("test", rest)
    words = WORD_ENDS.split(plain)
    names = (rest, plain, split, *(word for word in words if find_last_split([word])), find_last_split(words))
    return list(dict.fromkeys(name for name in names if name))
