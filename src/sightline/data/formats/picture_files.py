"""Picture files on disk: walk folders in a steady order, tell pictures from other files, make names safe and unique.

A walk holds the names of one folder at a time, so a dataset of any size streams.
"""

import os
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path, PurePosixPath

from sightline.core.errors import InvalidInput, UnreadableImage
from sightline.data.conversion import ConversionReport, clean_name
from sightline.data.items import Item
from sightline.data.versions import SPLIT_ORDER, UNSPLIT, DatasetVersion
from sightline.data.video.containers import VIDEO_SUFFIXES
from sightline.imaging.files.headers import probe_image

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".jpe", ".jfif")
OTHER_PICTURES = (".heic", ".heif", ".avif", ".jxl", ".jp2", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".psd", ".svg", ".dcm")
MAX_PATH = 4096  # longer ones no disk holds, and each of their parts would be tried
JUNK_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx", "@eadir", "icon\r"})
SPLIT_NAMES = {
    "train": "train", "training": "train", "trn": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "tst": "test",
    "trainval": "trainval", "unsplit": "unsplit",
}  # fmt: skip
READING_ORDER = (UNSPLIT, *SPLIT_ORDER)


def is_picture(name: str) -> bool:
    """Whether a file's name ends like a picture's."""
    return os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES  # noqa: PTH122 - a million Path objects cost seconds


def report_no_picture(report: ConversionReport, name: str) -> None:
    """Tell of a file that is passed by: a picture of a kind that nothing here decodes, a video, or neither."""
    if name.lower().endswith(OTHER_PICTURES):
        report.drop("image", "picture of a kind that is not read; save it as JPEG or PNG", name)
    elif name.lower().endswith(tuple(VIDEO_SUFFIXES)):
        report.drop("file", "video among labelled pictures; import it by itself", name)
    else:
        report.warn("file", "file that is no picture is ignored", name)


def is_junk(name: str) -> bool:
    """Files and folders that systems leave behind and nobody means: hidden ones, Thumbs.db, __MACOSX."""
    return name.startswith(".") or name.lower() in JUNK_NAMES


def find_split(name: str) -> str | None:
    """The split a folder's, key's or column's name means: "valid" is "val"; None when it is no split's name."""
    return SPLIT_NAMES.get(name.lower())


def read_split(name: str) -> str | None:
    """The split that a name stands for: a known one for its synonyms, else one of that name; None for "unsplit"."""
    split = find_split(name) or name
    return None if split == UNSPLIT else split


def rank_split(split: str | None) -> int:
    """The place of a split among others: training first, names that nobody knows last."""
    return READING_ORDER.index(split) if split in READING_ORDER else len(READING_ORDER)


def list_folder(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the files and of the folders inside, junk left out, each sorted; a link to itself counts as a file."""
    files: list[str] = []
    folders: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not is_junk(entry.name):
                # `DirEntry.is_dir` raises for a link that leads to itself; `os.path.isdir` says no.
                is_folder = os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()  # noqa: PTH112
                (folders if is_folder else files).append(entry.name)
    return sorted(files), sorted(folders)


def walk_folders(folder: Path, _above: tuple[str, ...] = ()) -> Iterator[tuple[Path, list[str]]]:
    """`folder` and every folder below it, each with the names of its files; a link back to a folder above is not followed."""
    real = os.path.realpath(folder)
    if real in _above:
        return
    files, folders = list_folder(folder)
    yield folder, files
    for name in folders:
        yield from walk_folders(folder / name, (*_above, real))


def walk_files(folder: Path) -> Iterator[Path]:
    """Every file below `folder`, junk left out, in a steady order."""
    return (inside / name for inside, files in walk_folders(folder) for name in files)


def walk_pictures(folder: Path) -> Iterator[Path]:
    """Every picture below `folder`, in a steady order."""
    return (path for path in walk_files(folder) if is_picture(path.name))


def find_by_stem(folder: Path, stem: str) -> Path | None:
    """The picture in `folder` that has this name without its suffix, which is in small or in capital letters."""
    for suffix in PICTURE_SUFFIXES:
        for spelling in (suffix, suffix.upper()):
            path = folder / f"{stem}{spelling}"
            if os.path.isfile(path):  # noqa: PTH113 - never raises
                return path
    return None


def names_the_same(picture_id: str, file_name: str) -> bool:
    """Whether a file name, with or without folders and suffix, has the last part of the id; case and composition aside."""
    name = file_name.replace("\\", "/").rsplit("/", 1)[-1]
    names = (name, os.path.splitext(name)[0])  # noqa: PTH122 - a million Path objects cost seconds
    wanted, *given = (unicodedata.normalize("NFC", text).casefold() for text in (Path(picture_id).name, *names))
    return wanted in given


def list_picture_stems(folder: Path) -> set[str]:
    """Stems of the pictures that lie in `folder` itself; none when it is not there."""
    return {Path(name).stem for name in list_folder(folder)[0] if is_picture(name)} if folder.is_dir() else set()


def has_picture(folder: Path, limit: int = 2000) -> bool:
    """Whether one of the first `limit` files below `folder` is a picture."""
    return any(is_picture(path.name) for _, path in zip(range(limit), walk_files(folder), strict=False))


def read_picture_size(path: Path, report: ConversionReport, name: str) -> tuple[int, int] | None:
    """Upright `(width, height)` of a picture, or None after telling the report that it is missing or unreadable."""
    if not os.path.isfile(path):  # noqa: PTH113 - never raises; a pipe would be read for ever
        report.drop("image", "picture is missing", name)
        return None
    try:
        header = probe_image(path.read_bytes(), name)
    except OSError as error:
        report.drop("image", "picture cannot be read", f"{name}: {error.strerror}")
    except UnreadableImage as error:
        report.drop("image", "picture cannot be read", f"{name}: {error}")
    else:
        return header.width, header.height
    return None


def make_unique_names(names: Iterable[str], report: ConversionReport, extra: Iterable[str] = ()) -> list[str]:
    """Category names, the second and further of equal ones told apart: by `extra` where it is given, else by a number.

    Example: `["crane", "crane"]` with extra `["n02012849", "n03126707"]` gives `["crane", "crane (n03126707)"]`.
    """
    seen: set[str] = set()
    unique = []
    extras = list(extra)
    for index, name in enumerate(names):
        cleaned = clean_name(name) or f"class_{index}"
        candidate, number = cleaned, 2
        if candidate in seen and index < len(extras):
            candidate = f"{cleaned} ({extras[index]})"
        while candidate in seen:
            candidate, number = f"{cleaned} ({number})", number + 1
        if candidate != name:
            report.change("category", "name made unique and not empty", f"{index}: {name!r} -> {candidate!r}")
        seen.add(candidate)
        unique.append(candidate)
    return unique


def check_inside(file_name: str) -> PurePosixPath:
    """A file name as a relative path that stays below its folder. Raises: InvalidInput for one that does not."""
    path = PurePosixPath(file_name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in file_name:
        raise InvalidInput(f"expected a file name below the dataset's folder, got {file_name!r}; import the dataset again")
    return path


def spell(name: str) -> tuple[str, ...]:
    """A name as it stands, composed and decomposed (Unicode NFC, NFD): zips of macOS hold names as the last."""
    if name.isascii():
        return (name,)
    return tuple(dict.fromkeys((name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))))


def resolve_inside(root: Path, *names: str) -> Path | None:
    """The first existing file or folder that one of `names`, written on any machine, can mean below `root`.

    Absolute paths and leading ".." or machine folders are given up part by part from the left: "/home/ann/set/images/train"
    means `root/images/train` when that is there. Nothing outside of `root` is ever returned; open that, not the name, which may
    lead elsewhere.
    """
    real_root = Path(os.path.realpath(root))
    for name in chain.from_iterable(map(spell, names)):
        if len(name) > MAX_PATH:
            continue
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        if not parts:
            return root
        for start in range(len(parts)):
            if ".." in parts[start:]:
                continue
            path = root.joinpath(*parts[start:])
            if os.path.exists(path) and Path(os.path.realpath(path)).is_relative_to(real_root):  # noqa: PTH110 - never raises
                return path
    return None


def _make_listable(part: str) -> str:
    """A part of a path as a line of a list can hold it: no line breaks, no space or quote at its ends."""
    return "_".join(part.splitlines()).strip(' "') or "_"


class FileNamer:
    """Gives each item a file name that no other picture of its folder has, and that ends like a picture's.

    With `by_stem`, for layouts that pair files by stem, not even the stem is shared: `a.jpg` and `a.png` are told apart.
    Remembers a 64-bit hash a name: some 60 bytes an item.
    """

    def __init__(self, version: DatasetVersion, report: ConversionReport, by_stem: bool = True) -> None:
        self._version, self._report, self._by_stem = version, report, by_stem
        self._taken: set[int] = set()

    def place(self, folder: str, item: Item, file_name: str | None = None) -> PurePosixPath:
        """Path of the item's picture below `folder`; the report is told when it is not the wanted (or the item's own) name."""
        wanted = check_inside(file_name or item.file_name)
        check_inside(folder)
        writable = PurePosixPath(*(_make_listable(part) for part in wanted.parts))
        suffix = writable.suffix if is_picture(writable.name) else self._find_suffix(item)
        stem = writable.stem if suffix == writable.suffix else writable.name
        path, number = writable.with_name(stem + suffix), 1
        while self._key(folder, path) in self._taken:
            number += 1
            path = writable.with_name(f"{stem}-{suffix[1:]}{'' if number == 2 else f'-{number - 1}'}{suffix}")
        self._taken.add(self._key(folder, path))
        if path != wanted:
            self._report.change(
                "file",
                "picture renamed: another has its name, it ended like no picture, or a list could not hold it",
                f"{wanted} -> {path}",
            )
        return PurePosixPath(folder) / path

    def _find_suffix(self, item: Item) -> str:
        kind = probe_image(self._version.blobs.read(item.blob), item.file_name).format
        return ".jpg" if kind == "jpeg" else f".{kind}"

    def _key(self, folder: str, path: PurePosixPath) -> int:
        return hash((folder, path.with_suffix("") if self._by_stem else path))
