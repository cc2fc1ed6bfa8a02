"""LabelMe, the desktop tool: a JSON beside each picture with its shapes and flags.

**Read:** `polygon`, `rectangle`, `circle` (as a polygon at most 0.1 px off), `mask` and turned rectangles (as polygons).
`point`, `points`, `line` and `linestrip` outline nothing; they are dropped and reported. Shapes of one label with the same
`group_id` become one annotation of several parts; of a shape alone, or in a group of several labels, the `group_id` becomes an
attribute. So do the description and the flags that are set of a shape. Flags of the whole picture that are set become labels
of the whole picture. Shapes called `__ignore__` or `_background_` are no objects. X-AnyLabeling's files are read as well: its
`score` makes a shape a model's, unless the picture is marked as `checked`.

**Which picture a JSON belongs to.** It is the picture beside it that has its name. If there is none, `imagePath` counts,
which may be a path of another machine but leads nowhere outside of the dataset's folder, and not to a picture that has a JSON
of its own; then folders such as `images` beside the JSON's. A picture that is missing is taken from `imageData`. At a picture
without a JSON, and at one of whose shapes none is kept, nobody looked; one with a JSON without shapes shows nothing. Pictures
in folders of masks and of drawings, which LabelMe's converters make, are left out.

**Categories** come from `labels.txt` in the dataset's folder, in its order, and then from the shapes and flags, sorted.
**Splits** are folders that are named like one: `train/`, `val/`, `test/`.

**Written:** `labels.txt`, and `<split>/` with the pictures and their JSON files, masks as masks. LabelMe 5.2 or later opens
them all. Labels of whole pictures are flags. Confidence, origin, crowd marks and attributes go into keys of a shape that the
tool keeps but does not show (`score`, `origin`, `is_crowd`, `attributes`), attributes whose value is "true" into its flags.

LabelMe shows pictures upright, since version 4 at the latest. Labels of older files that record the size of the stored picture
are turned with it; where no size tells, labels are taken as upright, and the report warns. While a JSON is read it is held in
memory, with its `imageData`.

LabelMe's older web tool writes XML, which is another format. It is not read; CVAT, which exports it as "LabelMe 3.0", also
exports COCO, which is.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import SightlineError, UnreadableDataset
from sightline.data.conversion import ConversionReport
from sightline.data.formats.format import NONE_KEPT, SourceDataset, SourceItem, find_viewer_of_file
from sightline.data.formats.labelme.layout import (
    SUFFIX,
    WEB_SUFFIX,
    LabelmeFile,
    LabelmePictures,
    find_place,
    holds_results,
    looks_like_either,
    looks_like_web_tool,
    read_labelme,
    read_names,
    read_picture_copy,
    walk_json_files,
)
from sightline.data.formats.labelme.shapes import find_categories, find_flags, parse_flags, parse_shapes
from sightline.data.formats.labelme.writing import check_labelme, write_labelme
from sightline.data.formats.options import check_options
from sightline.data.formats.picture_files import find_by_stem, walk_files, walk_pictures
from sightline.data.items import Viewer
from sightline.data.unique_names import UniqueNames
from sightline.data.versions import DatasetVersion
from sightline.imaging.files.headers import probe_image


class LabelmeFormat:
    """LabelMe JSON with its pictures."""

    name = "labelme"
    description = "LabelMe: a JSON beside each picture with polygons, boxes, circles, masks and flags"

    def detect(self, source: Path) -> float:
        """By the first JSON files; XML of the older web tool is known, too, to be refused by its name."""
        if not looks_like_either(source):
            return 0.0
        return 0.8 if source.is_dir() else 0.9

    def read(self, source: Path, report: ConversionReport, options: dict[str, Any]) -> SourceDataset:
        """Read every JSON and every picture below the folder. Options: none."""
        check_options(self.name, options)
        names = _find_names(source)
        return SourceDataset(categories=Categories(names), items=_Reader(source, report).stream())

    def check(self, version: DatasetVersion) -> ConversionReport:
        """What LabelMe has no place for; see `writing`."""
        return check_labelme(version)

    def write(self, version: DatasetVersion, target: Path, report: ConversionReport) -> None:
        """Write labels.txt, the pictures and a JSON beside each."""
        write_labelme(version, target, report)


def _find_names(source: Path) -> list[str]:
    """Categories: the listed ones in their order, then the others sorted. Raises: UnreadableDataset without any JSON."""
    found: set[str] = set()
    is_readable = False
    problem: UnreadableDataset | None = None
    for path in walk_json_files(source):
        try:
            labels = read_labelme(path)
        except UnreadableDataset as error:
            problem = problem or error
            continue
        is_readable = True
        found.update(find_categories(labels.shapes))
        found.update(find_flags(labels.flags))
    if not is_readable:
        raise _explain(source, problem)
    listed = read_names(source if source.is_dir() else source.parent)
    if found.isdisjoint(listed) and found:
        listed = []  # a list of something else
    return [*listed, *sorted(found.difference(listed))]


def _explain(source: Path, problem: UnreadableDataset | None) -> UnreadableDataset:
    """Why there is nothing to read. Args: problem: of the first JSON, if there is one."""
    others = (path for path in walk_files(source) if path.name.lower().endswith(WEB_SUFFIX)) if source.is_dir() else [source]
    if any(map(looks_like_web_tool, others)):
        return UnreadableDataset(
            f"expected JSON of LabelMe's desktop tool, got XML of its older web tool in {source.name}, which is not read; "
            "CVAT, which exports that as LabelMe 3.0, also exports COCO"
        )
    if problem is None:
        return UnreadableDataset(f"expected LabelMe JSON files in {source.name}, found none; choose another format")
    return UnreadableDataset(f"none of the JSON files can be read; the first: {problem}")


class _Reader:
    """Goes through the JSON files of a source, then through the pictures that none of them described."""

    def __init__(self, source: Path, report: ConversionReport) -> None:
        self._source, self._report = source, report
        self._root = source if source.is_dir() else source.parent
        self._finder = LabelmePictures(self._root, report)
        self._names = UniqueNames()
        self._seen: set[int] = set()  # 64 bits a picture that a JSON describes, or would if it could be read
        self._split_folders: set[str] = set()

    def stream(self) -> Iterator[SourceItem]:
        """All items."""
        for path in walk_json_files(self._source):
            try:
                labels = read_labelme(path, self._report)
            except UnreadableDataset as error:
                self._pass_by(path, error)
                continue
            item = self._read_item(path, labels)
            if item is not None:
                yield item
        if self._source.is_dir():
            yield from self._stream_unlabelled()

    def _pass_by(self, path: Path, error: UnreadableDataset) -> None:
        """Tell of a JSON that is none of LabelMe's; a picture with its name must not count as one that shows nothing."""
        picture = find_by_stem(path.parent, path.name[: -len(SUFFIX)])
        if picture is None:
            self._report.warn("file", "JSON that is none of LabelMe's is ignored", path.name)
            return
        self._report.drop("file", "annotation file that is no LabelMe JSON", str(error))
        self._report.drop("image", "its annotation file cannot be read", picture.name)
        self._seen.add(hash(picture))

    def _read_item(self, path: Path, labels: LabelmeFile) -> SourceItem | None:
        picture = self._finder.find(path, labels.picture_name)
        if picture is not None and hash(picture) in self._seen:
            self._report.drop("file", "annotation file of a picture that another one has described", path.name)
            return None
        inside = self._find_path(path, picture, labels.picture_name)
        if labels.split == inside.parts[0]:
            self._split_folders.add(labels.split)
        name, split = self._take_name(inside)
        content = None
        if picture is not None:
            self._seen.add(hash(picture))
        elif (content := read_picture_copy(path)) is not None:
            self._report.warn("image", "the picture's file is missing, its copy in the JSON (imageData) is taken", name)

        def find_size() -> tuple[int, int] | None:
            return _measure(picture, content, name)

        annotations = parse_shapes(labels.shapes, find_size, labels.checked is True, self._report, name)
        annotations += parse_flags(labels.flags, self._report, name)
        is_lost = bool(labels.shapes) and not annotations
        return SourceItem(
            file_name=name,
            path=picture,
            content=content,
            split=split,
            annotations=tuple(annotations),
            declared_size=labels.size,
            is_upright=labels.is_upright,
            warning=NONE_KEPT if is_lost else None,
            seen_by=_find_viewer(labels, annotations, is_lost),
        )

    def _find_path(self, path: Path, picture: Path | None, stated: str | None) -> PurePosixPath:
        """The path of a JSON's picture below the dataset's folder, or where it would be if it was there."""
        if picture is not None:
            return PurePosixPath(picture.relative_to(self._root).as_posix())
        own = PurePosixPath(path.relative_to(self._root).as_posix())
        last = (stated or "").rpartition("/")[2]
        return own.with_suffix(".jpg") if last in ("", ".", "..") else own.with_name(last)

    def _take_name(self, inside: PurePosixPath) -> tuple[str, str | None]:
        name, split = find_place(inside, self._split_folders)
        return self._names.take(name, split), split

    def _stream_unlabelled(self) -> Iterator[SourceItem]:
        """Pictures that no JSON has described."""
        for path in walk_pictures(self._source):
            if hash(path) in self._seen:
                continue
            inside = PurePosixPath(path.relative_to(self._root).as_posix())
            # A folder that says its splits is our own export, and holds nothing else.
            if not self._split_folders and holds_results(inside.parent):
                self._report.warn("file", "picture in a folder of masks or drawings is left out", inside.as_posix())
                continue
            name, split = self._take_name(inside)
            self._report.warn("image", "picture without a JSON", name)
            yield SourceItem(file_name=name, path=path, split=split, seen_by="nobody")


def _find_viewer(labels: LabelmeFile, annotations: Sequence[Annotation], is_lost: bool) -> Viewer | None:
    if labels.seen_by == "human":
        return "human"
    return "nobody" if is_lost else find_viewer_of_file(annotations)


def _measure(path: Path | None, content: bytes | None, name: str) -> tuple[int, int] | None:
    """`(width, height)` of the upright picture; None when it is not there or cannot be read, which an import tells."""
    try:
        header = probe_image(path.read_bytes() if path is not None else content or b"", name)
    except (OSError, SightlineError):
        return None
    return header.width, header.height
