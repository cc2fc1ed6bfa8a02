"""What the name of a COCO JSON tells: the task of its labels and the split of its pictures."""

import re
from pathlib import Path

from sightline.data.formats.picture_files import find_split

# Tasks of one data set, richest first; only one of them is read.
TASKS = ("instances", "", "person_keypoints", "stuff", "labels", "image_info", "captions", "panoptic")
NO_SPLIT_NAMES = ("", "default", "unsplit")
TEST_DEV = re.compile(r"(?<![a-z])test[_\-. ]?dev(?![a-z])", re.IGNORECASE)  # COCO's public part of the test pictures
WORD_ENDS = re.compile(r"[_\-. ]+")
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

    All that follows `instances_` names the split, as in our own export: "test_day" is not "test". Elsewhere the last word that
    is a split's name counts.
    """
    task, rest = name_task(path)
    plain = TEST_DEV.sub("test", rest)
    for word in [plain] if task == "instances" else reversed(WORD_ENDS.split(plain)):
        split = find_split(TRAILING_DIGITS.sub("", word))
        if split in ("train", "val", "test"):
            return split
    if task == "instances" and rest not in NO_SPLIT_NAMES:
        return rest
    for folder in (path.parent, path.parent.parent):
        if folder not in (root, root.parent) and folder.is_relative_to(root) and find_split(folder.name):
            return find_split(folder.name)
    return None
