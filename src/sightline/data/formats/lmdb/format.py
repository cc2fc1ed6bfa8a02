"""LMDB of Caffe Datums, as Caffe's `convert_imageset` writes it: one database per split, one picture with its class per entry.

**Read:** the file itself, a folder with `data.mdb`, or a folder of such folders (`train_lmdb`, `val_lmdb`: the last word that
names a split counts). Datums hold raw uint8 pixels (C, H, W) in BGR order, or encoded pictures. Keys such as
`00000012_cat/7.jpg` give the file name. Datums that are damaged or hold floats are dropped and reported.

**Option of the reader:** `classes`, a file or a list of category names in the order of the class numbers. Without it they come
from a file inside or beside the database (labels.txt, synset_words.txt, classes.txt, synsets.txt); else class 7 is called
"class 7".

**Written:** `<split>_lmdb/data.mdb` and labels.txt. `lmdb` keeps the pictures' files as they are, `lmdb_raw` keeps their
pixels.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import NotFound, UnreadableDataset, UnreadableImage
from sightline.data.conversion import ConversionReport
from sightline.data.formats.format import SourceDataset, SourceItem
from sightline.data.formats.lmdb.datum import Datum, pack_pixels, read_datum, unpack_pixels, write_datum
from sightline.data.formats.lmdb.pages import LmdbFile, is_lmdb_file
from sightline.data.formats.lmdb.writing import LARGEST_KEY, LmdbWriter
from sightline.data.formats.losses import report_lost_facts, report_lost_ignore, report_lost_item_facts
from sightline.data.formats.options import check_options
from sightline.data.formats.picture_files import find_split, is_picture, list_folder, make_unique_names, rank_split
from sightline.data.formats.text_files import read_text, write_names
from sightline.data.items import Item
from sightline.data.versions import UNSPLIT, DatasetVersion
from sightline.imaging.files.reading import decode_image, encode_image

FILE_NAME = "data.mdb"
LABELS_NAME = "labels.txt"
LABELS_NAMES = (LABELS_NAME, "synset_words.txt", "classes.txt", "synsets.txt")
FOLDER_ENDING = "_lmdb"
KEY_NUMBER = re.compile(r"\d+_(?=.)", re.DOTALL)
WORDNET_LINE = re.compile(r"n\d{8}\s+(\S.*)")  # of Caffe's synset_words.txt
MOST_CLASSES = 100_000
SUFFIXES = ((b"\xff\xd8", ".jpg"), (b"\x89PNG", ".png"), (b"RIFF", ".webp"), (b"BM", ".bmp"), (b"GIF8", ".gif"))


class Database(NamedTuple):
    """A database file and the split all its entries are of."""

    path: Path
    split: str | None


class LmdbFormat:
    """Encoded Datums: the bytes of the picture files."""

    name = "lmdb"
    description = "LMDB of Caffe Datums: class number and encoded picture (JPEG, PNG), one database per split"
    keeps_files = True

    def detect(self, source: Path) -> float:
        """Sure of a folder that holds a database, or folders that do."""
        return 0.9 if find_databases(source) else 0.0

    def read(self, source: Path, report: ConversionReport, options: dict[str, Any]) -> SourceDataset:
        """Open a database or a folder of them. Options: see the module. Raises: UnreadableDataset, NotFound, InvalidInput."""
        check_options(self.name, options, ("classes",))
        databases = find_databases(source)
        if not databases:
            raise UnreadableDataset(f"expected an LMDB ({FILE_NAME}) in {source}, got none; name the folder that holds it")
        names = find_class_names(source, databases, options.get("classes"), report)
        by_label = dict(enumerate(make_unique_names(names, report))) if names else name_labels(databases, report)
        return SourceDataset(categories=Categories(by_label.values()), items=iterate_items(databases, by_label, report))

    def check(self, version: DatasetVersion) -> ConversionReport:
        """What `write` would lose."""
        report = ConversionReport()
        for item, _, label in place_items(version, report):
            if not self.keeps_files:
                make_raw(version, item, label, report)
        return report

    def write(self, version: DatasetVersion, target: Path, report: ConversionReport) -> None:
        """Write a database a split, and labels.txt."""
        target.mkdir(parents=True, exist_ok=True)
        write_names(target / LABELS_NAME, version.categories)
        writers: dict[str, LmdbWriter] = {}
        with ExitStack() as stack:
            for item, key, label in place_items(version, report):
                split = item.split or UNSPLIT
                if split not in writers:
                    writers[split] = stack.enter_context(LmdbWriter(target / f"{split}{FOLDER_ENDING}"))
                make = make_encoded if self.keeps_files else make_raw
                writers[split].put(key, write_datum(make(version, item, label, report)))
                report.keep("image")
                report.keep("annotation")


class LmdbRawFormat(LmdbFormat):
    """Raw Datums: pixels that Caffe's data layer takes without decoding. Reads all that LmdbFormat reads."""

    name = "lmdb_raw"
    description = "LMDB of Caffe Datums: class number and raw pixels (C, H, W) in BGR order, one database per split"
    keeps_files = False

    def detect(self, source: Path) -> float:
        """Less sure than `lmdb`, which reads the same."""
        return 0.8 if find_databases(source) else 0.0


def make_encoded(version: DatasetVersion, item: Item, label: int, report: ConversionReport) -> Datum:
    """A Datum of the picture's file; nothing is lost. Sizes are left out, as Caffe does."""
    return Datum(data=version.blobs.read(item.blob), label=label, is_encoded=True)


def make_raw(version: DatasetVersion, item: Item, label: int, report: ConversionReport) -> Datum:
    """A Datum of the picture's pixels; the report is told when the file cannot be made from them again."""
    content = version.blobs.read(item.blob)
    image = decode_image(content, max(1, item.width * item.height), item.file_name)
    if encode_image(image, "png") != content:
        report.change("image", "kept as upright 8-bit RGB pixels, not as the file it was", item.file_name)
    return pack_pixels(image, label)


def find_databases(source: Path) -> list[Database]:
    """The database that `source` is or holds, or those of its folders, training first; none when there is none."""
    if source.is_file():
        named = source.parent.name if source.name == FILE_NAME else source.stem
        return [Database(source, find_database_split(named, alone=True))] if is_lmdb_file(source) else []
    if not source.is_dir():
        return []
    if is_lmdb_file(source / FILE_NAME):
        return [Database(source / FILE_NAME, find_database_split(source.name, alone=True))]
    names = [name for name in list_folder(source)[1] if is_lmdb_file(source / name / FILE_NAME)]
    databases = [Database(source / name / FILE_NAME, find_database_split(name)) for name in names]
    return sorted(databases, key=lambda database: rank_split(database.split))


def find_database_split(folder: str, alone: bool = False) -> str | None:
    """The split a folder's name tells: "ilsvrc12_train_lmdb" is "train"; a name without such a word is a split of its own.

    Args:
        alone: there is no other database beside it, so a name without a split's word tells nothing.
    """
    stem = folder.removesuffix(FOLDER_ENDING)
    word = next((split for part in reversed(re.split(r"[_-]", stem)) if (split := find_split(part))), None)
    if word is None:
        return None if alone else stem
    return None if word == UNSPLIT else word


def find_class_names(
    source: Path, databases: list[Database], given: object, report: ConversionReport | None = None
) -> list[str]:
    """Names from the option, or from a file in the source, in a database's folder or beside it; none when there is none."""
    if isinstance(given, list | tuple):
        return [str(name) for name in given]
    if given is not None:
        path = Path(str(given))
        if not path.is_file():
            raise NotFound(f"expected a file of category names at {path}, got nothing there; check the path")
        return read_class_names(path, report)
    folders = dict.fromkeys([source, *(one.path.parent for one in databases), databases[0].path.parent.parent])
    found = next((folder / name for folder in folders for name in LABELS_NAMES if (folder / name).is_file()), None)
    return [] if found is None else read_class_names(found, report)


def read_class_names(path: Path, report: ConversionReport | None = None) -> list[str]:
    """A name a line; the WordNet number before it is left out where every line has one and a name."""
    text = read_text(path, report)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    matches = [WORDNET_LINE.fullmatch(line) for line in lines]
    if matches and all(matches):
        return [match.group(1) for match in matches if match]
    return lines


def name_labels(databases: list[Database], report: ConversionReport) -> dict[int, str]:
    """Names for the class numbers in use, found by reading all Datums once. Raises: UnreadableDataset."""
    labels: set[int] = set()
    for database in databases:
        for _, datum in read_datums(database, ConversionReport()):
            labels.add(datum.label)
            if len(labels) > MOST_CLASSES:
                raise UnreadableDataset(f"expected class numbers, got more than {MOST_CLASSES:,} different ones; give classes=")
    if labels:
        report.warn("category", "class numbers without names; give them with the option classes", f"{len(labels)} of them")
    return {label: f"class {label}" for label in sorted(labels)}


def read_datums(database: Database, report: ConversionReport) -> Iterator[tuple[bytes, Datum]]:
    """Every whole Datum with its key; the others are reported. Raises: UnreadableDataset when the database is damaged."""
    with LmdbFile(database.path) as file:
        for key, value in file.pairs():
            try:
                datum = read_datum(value)
            except UnreadableDataset:
                report.drop("image", "damaged Datum", describe_key(key))
            else:
                yield key, datum


def iterate_items(databases: list[Database], by_label: dict[int, str], report: ConversionReport) -> Iterator[SourceItem]:
    """The pictures of every database, with their labels. Remembers a 64-bit hash a name."""
    taken: set[int] = set()
    for database in databases:
        for key, datum in read_datums(database, report):
            try:
                content = datum.data if datum.is_encoded else encode_image(unpack_pixels(datum), "png")
            except UnreadableImage as error:
                report.drop("image", "Datum without a picture", f"{describe_key(key)}: {error}")
                continue
            name = read_file_name(key, content, datum.is_encoded)
            if hash(name) in taken:
                name = f"{database.path.parent.name}/{describe_key(key)}/{name}"
            taken.add(hash(name))
            category = by_label.get(datum.label)
            if category is None:
                report.drop("annotation", "unknown category: its class number has no name", f"{name}: {datum.label}")
            annotations = () if category is None else (Annotation(category=category),)
            yield SourceItem(file_name=name, content=content, split=database.split, annotations=annotations)


def place_items(version: DatasetVersion, report: ConversionReport) -> Iterator[tuple[Item, bytes, int]]:
    """Items that have a class, with key and class number; what is lost of any item is told."""
    report_lost_ignore(report, version)
    counts: dict[str, int] = {}
    for item in version.items():
        labels = [annotation for annotation in item.annotations if annotation.geometry == "image"]
        for annotation in item.annotations:
            if annotation.geometry != "image":
                reason = f"{annotation.geometry} lost: a Datum holds the label of a whole picture"
                report.drop("annotation", reason, item.file_name)
        for annotation in labels[1:]:
            report.drop("annotation", "a Datum has one label, the first", f"{item.file_name}: {annotation.category}")
        if not labels:
            report.drop("image", "picture without a label has no class number", item.file_name)
            continue
        report_lost_facts(report, item, labels[0])
        report_lost_item_facts(report, item)
        split = item.split or UNSPLIT
        if split not in counts and find_database_split(f"{split}{FOLDER_ENDING}") != item.split:
            report.change("file", "split's name is read back as another", split)
        counts[split] = counts.get(split, 0) + 1
        yield item, make_key(counts[split] - 1, item, report), version.categories.index(labels[0].category)


def make_key(index: int, item: Item, report: ConversionReport) -> bytes:
    """A key that keeps the order and, as far as a key is long, the file name; the report is told when the name is not kept."""
    key = f"{index:08d}_{item.file_name}".encode()[:LARGEST_KEY]
    if read_file_name(key, b"", True) != item.file_name:
        report.change("file", "file name is longer than a key, or none that a folder can hold", item.file_name)
    return key


def read_file_name(key: bytes, content: bytes, is_encoded: bool) -> str:
    """A file name from a key: without the number before it, and with nothing that leads out of a folder."""
    text = KEY_NUMBER.sub("", describe_key(key), count=1)
    name = "/".join(part for part in text.split("/") if part not in ("", ".", "..")) or "picture"
    if is_encoded:
        suffix = next((suffix for magic, suffix in SUFFIXES if content.startswith(magic)), "")
        return name if is_picture(name) else name + suffix
    stem = name.rpartition(".")[0] if is_picture(name) else name
    return name if name.lower().endswith(".png") else f"{stem}.png"


def describe_key(key: bytes) -> str:
    """A key as text."""
    return key.decode("utf-8", "replace").replace("\0", "")
