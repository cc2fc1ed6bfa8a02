"""Files among pictures that look like annotations: what a reader that looks at folders alone would leave behind unread.

Annotations are a file a picture (its name with another suffix), whatever lies in a folder named like labels, XML that marks
objects, and lists that say more of pictures than that they are there. READMEs, licences, checksums and lists of classes or of
pictures alone are none; a table called classes.csv may be either, which its content tells. Only the first 64 KB of a file are
looked at.
"""

import os
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from sightline.data.formats.label_masks.pairs import MASK_FOLDERS, list_readings
from sightline.data.formats.picture_files import is_picture, walk_folders, walk_pictures

LABEL_SUFFIXES = (".txt", ".xml", ".json", ".jsonl", ".csv", ".tsv", ".lst")
LABEL_FOLDERS = frozenset({*MASK_FOLDERS, "ann", "anns", "label_2"})  # "ann" is Supervisely's, "label_2" KITTI's
HARMLESS_WORDS = frozenset({"readme", "license", "licence", "copying", "manifest", "citation", "attribution",
                            "credits", "authors", "contributors", "notice", "changelog", "requirements", "checksum",
                            "checksums", "md", "sha", "urls", "sources"})  # fmt: skip
HEAD_BYTES = 65536
CLASSES_WORD = "classes"
TABLES = (".csv", ".tsv")
MARKED_UP = (".xml", ".json", ".jsonl")
MOST_LISTS = 200
MOST_TOLD = 3
SHORTEST_STEM = 5  # of a picture that a list names without its suffix; shorter ones may be any word
BETWEEN_WORDS = re.compile(r"[\s,;:|\"'<>=()\[\]{}#]+")
BARE_STRINGS = re.compile(r"(?<=[\[,])\s*\"[^\"]*\"\s*(?=[,\]])")  # elements of a JSON list of names
LABEL_KEY = re.compile(r"\"\w*(label|class|categor|annot|box|polygon|points|shape|region|object|segment|tags)\w*\"\s*:", re.I)
XML_LABELS = re.compile(r"<(annotation|annotations|object|objects|box|track|image)\b", re.IGNORECASE)


def find_label_files(source: Path, with_tables: bool = True) -> list[Path]:
    """The first few files below `source` that look like annotations of its pictures; none for mere class folders.

    Without `with_tables` for readers of tables and of folders of masks: what lies in such folders, and texts that are
    not of one picture each, are theirs.
    """
    candidates: list[Path] = []
    sure: list[Path] = []
    for folder, files in walk_folders(source):
        is_label_folder = with_tables and folder != source and folder.name.lower() in LABEL_FOLDERS
        for name in files:
            if name.lower().endswith(LABEL_SUFFIXES) and not is_harmless(name):
                is_sure = is_label_folder and CLASSES_WORD not in split_words(name)
                (sure if is_sure else candidates).append(folder / name)
        if len(sure) >= MOST_TOLD:
            break
    if sure or not candidates:
        return sure[:MOST_TOLD]
    found = list(islice(find_files_of_pictures(source, candidates), MOST_TOLD))
    if not with_tables:
        candidates = [path for path in candidates if path.suffix.lower() in MARKED_UP]
    return found or list(islice(find_lists(source, candidates[:MOST_LISTS]), MOST_TOLD))


def is_harmless(name: str) -> bool:
    """Whether a file's name says that it is about the dataset, its classes or its files, not about its pictures."""
    words = split_words(name)
    return not HARMLESS_WORDS.isdisjoint(words) or (CLASSES_WORD in words and not name.lower().endswith(TABLES))


def split_words(name: str) -> list[str]:
    """The words of a file's name, without its suffix."""
    return re.split(r"[^a-z]+", os.path.splitext(name.lower())[0])  # noqa: PTH122


def find_files_of_pictures(source: Path, candidates: Iterable[Path]) -> Iterator[Path]:
    """The candidates that are named after one picture: `1.txt`, `1.jpg.json`, `gt_1.txt`, and `1_atr.txt` beside it."""
    by_stem: dict[str, Path] = {}
    beside: dict[Path, Path] = {}
    for path in candidates:
        stem = os.path.splitext(path.stem)[0] if is_picture(path.stem) else path.stem  # noqa: PTH122
        for name in list_readings(stem):
            by_stem.setdefault(name, path)
        before = re.split(r"[_-](?=[^_-]*$)", stem)[0]
        if before:  # not of `_annotations.csv`
            beside.setdefault(path.with_name(before), path)
    told: set[Path] = set()
    for picture in walk_pictures(source):
        found = by_stem.get(picture.stem) or beside.get(picture.with_suffix(""))
        if found is not None and found not in told:
            told.add(found)
            yield found


def find_lists(source: Path, candidates: Iterable[Path]) -> Iterator[Path]:
    """The candidates whose text marks objects, or names pictures and says more of them."""
    by_name: dict[str, Path] = {}
    for path in candidates:
        text = read_head(path)
        if path.suffix.lower() == ".xml" and XML_LABELS.search(text):
            yield path
        else:
            for name in find_named(path, text):
                by_name.setdefault(name, path)
    told: set[Path] = set()
    for picture in walk_pictures(source) if by_name else ():
        found = by_name.get(picture.name.split()[-1]) or by_name.get(picture.stem)
        if found is not None and found not in told:
            told.add(found)
            yield found


def read_head(path: Path) -> str:
    """The first 64 KB of a text, whole lines where it has several; empty when it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return ""
    text = head.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", errors="replace")
    return text if len(head) < HEAD_BYTES else text.rpartition("\n")[0] or text


def find_named(path: Path, text: str) -> Iterator[str]:
    """Names and stems of pictures that a text may name; none for one that only lists pictures."""
    if path.suffix.lower() in (".json", ".jsonl"):
        text = text if LABEL_KEY.search(text) else BARE_STRINGS.sub("", text)
    elif is_plain_list(text):
        return
    for word in set(BETWEEN_WORDS.split(text)):
        name = word.replace("\\", "/").rpartition("/")[2]
        is_number = name.isdigit() and not name.startswith("0")
        if is_picture(name) or (len(name) >= SHORTEST_STEM and not is_number and any(map(str.isdigit, name))):
            yield name


def is_plain_list(text: str) -> bool:
    """Whether each line is one path and nothing else: a list of pictures without labels."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return all(len(BETWEEN_WORDS.split(line)) == 1 or is_lone_path(line) for line in lines) and any(map(str.strip, lines))


def is_lone_path(line: str) -> bool:
    """Whether a line is the path of one picture, perhaps with spaces."""
    return is_picture(line) and sum(is_picture(word) for word in BETWEEN_WORDS.split(line)) == 1 and "," not in line
