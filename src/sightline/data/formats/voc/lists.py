"""Pascal VOC's split lists: `ImageSets/Main/train.txt` with a picture's id a line, as people and tools really write them.

An id is the path of the XML without its suffix. A line may also hold the picture's file name, further columns, or quotes: what
it means is the first reading that is there.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sightline.core.errors import UnreadableDataset
from sightline.data.conversion import ConversionReport
from sightline.data.formats.picture_files import find_split, is_picture
from sightline.data.formats.text_files import read_text

LIST_FOLDERS = ("Main", "Segmentation", "Layout", "Action")
# A picture in both train.txt and trainval.txt is in train.
LIST_ORDER = ("train", "val", "test", "trainval")


def read_split_lists(
    root: Path, is_known: Callable[[str], bool], known_ids: Callable[[], Iterable[str]], report: ConversionReport
) -> dict[str, str]:
    """Picture id to split, of `ImageSets/Main`, else of the first other folder of lists.

    Args:
        root: the folder of `ImageSets`.
        is_known: whether there is a picture, or an XML, of an id.
        known_ids: the ids of all XML files; asked only when a list names nothing that is known.
        report: told of pictures in several lists.

    Raises: UnreadableDataset when a list names nothing that is known, and pictures are left that no list names.
    """
    folder = next((root / "ImageSets" / name for name in LIST_FOLDERS if (root / "ImageSets" / name).is_dir()), None)
    splits: dict[str, str] = {}
    strange: list[tuple[Path, str]] = []
    for path in sorted(folder.glob("*.txt") if folder else (), key=lambda path: (_rank(path.stem), path.stem)):
        lines = [line.strip() for line in read_text(path, report).splitlines() if line.strip()]
        if _is_class_list(path.stem, lines):
            continue
        name = find_split(path.stem) or path.stem
        has_known = False
        for line in lines:
            picture_id, known = find_id(line, is_known)
            has_known = has_known or known
            if name == "trainval" and picture_id in splits:
                continue
            if splits.setdefault(picture_id, name) != name:
                reason = "picture in several split lists, the first counts"
                report.warn("image", reason, f"{picture_id}: {splits[picture_id]}, {name}")
        if lines and not has_known:
            strange.append((path, lines[0]))
    if strange and any(picture_id not in splits for picture_id in known_ids()):
        path, line = strange[0]
        raise UnreadableDataset(
            f"expected picture ids in {path.relative_to(root)}, such as an XML's name without suffix, got {line[:80]!r}, "
            "and no line names a picture; mend the list or remove it"
        )
    return {picture_id: name for picture_id, name in splits.items() if name != "unsplit"}


def find_id(line: str, is_known: Callable[[str], bool]) -> tuple[str, bool]:
    """The id that a line of a list means, and whether there is such a picture."""
    readings = list(dict.fromkeys(_read_line(line)))
    found = next((reading for reading in readings if is_known(reading)), None)
    return (readings[0], False) if found is None else (found, True)


def _read_line(line: str) -> Iterator[str]:
    """The whole line (ids may hold spaces) or its first word, each as it stands and without a picture's suffix."""
    whole = re.sub(r'^"(.*)"$', r"\1", line)
    for text in (whole, whole.split()[0] if whole.split() else whole):
        yield text
        if is_picture(text):
            yield os.path.splitext(text)[0]  # noqa: PTH122 - a million Path objects cost seconds


def _rank(stem: str) -> int:
    name = find_split(stem) or stem
    return LIST_ORDER.index(name) if name in LIST_ORDER else len(LIST_ORDER)


def _is_class_list(stem: str, lines: list[str]) -> bool:
    """`cat_train.txt`: each line ends in 1, 0 or -1."""
    return "_" in stem and all(line.split()[-1] in ("1", "0", "-1") and len(line.split()) > 1 for line in lines)
