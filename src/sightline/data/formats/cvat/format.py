"""CVAT's XML 1.1, as its exports "for images" and "for video" hold it: `annotations.xml` and the pictures in `images/`.

**Read:** exports of a task, a job or a project (`images/<subset>/`), several of them side by side, Datumaro's `<subset>.xml`,
and an XML alone beside its pictures. Boxes, polygons, masks, ellipses and tags. A rotated box becomes a polygon of its
corners, an ellipse one of 72. `occluded`, `group_id` and a track's id (`track_id`) become attributes beside the label's own.
Shapes come in the order of `z_order`, in which they are painted. `source="auto"` means that a model made the shape, with
`score` as its confidence; any other source, "semi-auto" included, a person. Points, polylines, cuboids and skeletons are told
and not kept, nor are labels made for them alone. A label that the head does not declare follows those that it does.

**For video,** frames are the pictures `frame_000000.PNG` and so on, which CVAT exports on request ("save images"): all of
them, with shapes or without. Where there are none, the frames with shapes are taken from the video that the XML names as its
source, or, of one task, the only one beside it. Of a project, the numbers of a subset's frames go on from task to task. Tasks
of pictures are read from an export "for images" only: this one leaves out their names. A shape is in each frame where it is
not `outside`. CVAT writes every frame of a track that was not deleted; where another tool wrote key frames alone, nothing is
made up in between, and the report tells. The shapes of a video are held in memory until their frame's turn, 0.2 KB a box; of
pictures, one picture's at a time. An export "for images" of a video calls its frames by their numbers, too: those whose
pictures are not in it are taken from the video in the same way.

**Splits** are CVAT's subsets ("default" is none), else the name of the XML or of its folder when it is a split's. Names that
are paths of another machine or addresses are looked up by their last parts. Pictures that no XML lists are left out and told.
CVAT does not tell a picture that shows nothing from one that nobody looked at: the report counts those without shapes. A
picture that has only shapes that are not kept counts as one that nobody looked at.

**Written:** a project "for images": `annotations.xml` and `images/<subset>/`, with all labels and their attributes (as text).
CVAT passes over what it does not know: `seen_by`, `source_video` and `frame_pts` of a picture, and `part_of`, by which the
parts of a polygon, which CVAT shows as a polygon each in a group, are one again when read here. Attributes `occluded` ("1")
and `group_id` (a number) become CVAT's own. There is no place for crowd marks, nor for the confidence of a person's annotation.

CVAT applies EXIF orientation, other tools do not. On import, labels that record the size of the stored picture are turned with
it. Where no size tells (mirrored, upside down, square), labels are taken as upright, and the report warns. On export, labels
are those of the upright picture, and the report names each picture that EXIF turns.
"""

import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import msgspec

from sightline.core.categories import Categories
from sightline.core.errors import UnreadableDataset
from sightline.data.conversion import ConversionReport
from sightline.data.formats.cvat.elements import Meta, read_count, read_meta, read_size, read_subset, walk_elements
from sightline.data.formats.cvat.pictures import Folders
from sightline.data.formats.cvat.shapes import WITH_LABEL, parse_shapes, read_label
from sightline.data.formats.cvat.video import SAME_PICTURE, MissingFrames, check_frames, stream_frames
from sightline.data.formats.cvat.writing import check_cvat, write_cvat
from sightline.data.formats.format import NONE_KEPT, SourceDataset, SourceItem
from sightline.data.formats.listed_pictures import remove_machine_folders, warn_unlisted
from sightline.data.formats.options import check_options
from sightline.data.formats.picture_files import find_split
from sightline.data.items import read_viewer
from sightline.data.versions import DatasetVersion

HEAD_BYTES = 4096
MAX_FILES_LOOKED_AT = 200
PATTERNS = ("*.xml", "annotations/*.xml", "*/*.xml", "*/annotations/*.xml")
HEAD = re.compile(rb"(\xef\xbb\xbf|\xff\xfe|\xfe\xff)?\s*(<\?[^>]*>\s*|<!--.*?-->\s*)*<annotations[\s>]", re.DOTALL)
PARTS = re.compile(rb"<(version|meta|image|track)[\s>]")


class CvatFormat:
    """CVAT's XML with its pictures or its video."""

    name = "cvat"
    description = "CVAT XML 1.1, for images and for video: boxes, polygons, masks, tags, tracks"

    def detect(self, source: Path) -> float:
        """By the first elements of the XML files."""
        return 0.95 if next(_find_files(source, MAX_FILES_LOOKED_AT), None) is not None else 0.0

    def read(self, source: Path, report: ConversionReport, options: dict[str, Any]) -> SourceDataset:
        """Read every file found, each twice: for its labels, then for its pictures. Options: none."""
        check_options(self.name, options)
        files = [source] if source.is_file() else sorted(_find_files(source))
        if not files:
            raise UnreadableDataset(f"expected CVAT's annotations.xml in {source.name}, found none; choose another format")
        root = source.parent if source.is_file() else source
        scans = [_scan_file(path) for path in files]
        for scan in scans:
            if scan.is_video:
                check_frames(scan.path, Folders(scan.path, root), scan.meta)
        declared = dict.fromkeys(label for scan in scans for label in scan.meta.labels)
        others = {label for scan in scans for label in scan.labels} - declared.keys()
        return SourceDataset(categories=Categories([*declared, *sorted(others)]), items=_stream_items(scans, root, report))

    def check(self, version: DatasetVersion) -> ConversionReport:
        """CVAT loses only what it has no place for; see `writing`."""
        return check_cvat(version)

    def write(self, version: DatasetVersion, target: Path, report: ConversionReport) -> None:
        """Write `annotations.xml` and `images/<subset>/`."""
        write_cvat(version, target, report)


class _Scan(msgspec.Struct, frozen=True):
    """What a first look at a file found: its head, the labels of its shapes, and whether it is of a video."""

    path: Path
    meta: Meta
    labels: frozenset[str]
    is_video: bool


def _find_files(source: Path, limit: int | None = None) -> Iterator[Path]:
    """CVAT's files of the first place that has any; `limit` are looked at in each."""
    if source.is_file():
        yield from (path for path in [source] if path.suffix.lower() == ".xml" and _looks_like_cvat(path))
        return
    for pattern in PATTERNS if source.is_dir() else ():
        found = (path for path in islice(source.glob(pattern), limit) if path.is_file() and _looks_like_cvat(path))
        first = next(found, None)
        if first is not None:
            yield from chain([first], found)
            return


def _looks_like_cvat(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES).replace(b"\0", b"")  # UTF-16 reads as ASCII without its zeros
    return HEAD.match(head) is not None and PARTS.search(head) is not None


def _scan_file(path: Path) -> _Scan:
    """Read a whole file once. Raises: UnreadableDataset when it is damaged."""
    meta, labels, tags = Meta(), set[str](), set[str]()
    for element, track in walk_elements(path):
        if track is not None:
            labels.add(read_label(element, track) if element.tag in WITH_LABEL else "")
        elif element.tag == "meta":
            meta = read_meta(element)
        elif element.tag == "image":
            labels.update(read_label(shape, None) for shape in element if shape.tag in WITH_LABEL)
        tags.add(element.tag)
    is_video = "image" not in tags and ("track" in tags or meta.only.is_video or any(t.is_video for t in meta.by_id.values()))
    return _Scan(path, meta, frozenset(labels - {""}), is_video)


def _stream_items(scans: list[_Scan], root: Path, report: ConversionReport) -> Iterator[SourceItem]:
    seen: set[int] = set()  # of the pictures given: 64 bits each
    listed: set[Path] = set()
    for scan in scans:
        folders, named = Folders(scan.path, root), _find_named_split(scan.path, root)
        if scan.is_video:
            yield from stream_frames(scan.path, folders, scan.meta, named, seen, report)
        else:
            yield from _stream_images(scan, folders, named, seen, listed, report)
    warn_unlisted(listed, seen, root, report, "XML")


def _find_named_split(path: Path, root: Path) -> str | None:
    """The split that a file, or else its folder, is named after."""
    return find_split(path.stem) or (find_split(path.parent.name) if path.parent != root else None)


def _stream_images(
    scan: _Scan, folders: Folders, named: str | None, seen: set[int], listed: set[Path], report: ConversionReport
) -> Iterator[SourceItem]:
    missing = MissingFrames(scan.path, folders, scan.meta)
    for image, track in walk_elements(scan.path):
        if track is not None:
            report.drop("annotation", "track in a file that lists pictures", scan.path.name)
        if track is not None or image.tag != "image":
            continue
        task, name = scan.meta.find_task(image.get("task_id")), image.get("name", "")
        subset = image.get("subset") or task.subset
        path = folders.find(name, subset)
        size = read_size(image.get("width"), image.get("height"))
        file_name = remove_machine_folders(name) if path is None else path.relative_to(folders.folder).as_posix()
        annotations = parse_shapes(image, size, report, file_name)
        if path is None and missing.take(image, subset, annotations, report):
            continue
        if path is not None:
            if hash(path) in seen:
                report.drop("image", SAME_PICTURE, file_name)
                report.drop("annotation", "its picture was dropped", file_name, count=len(annotations))
                continue
            seen.add(hash(path))
            listed.add(folders.folder)
        is_lost = len(image) > 0 and not annotations
        frame_pts = image.get("frame_pts")
        yield SourceItem(
            file_name=file_name,
            path=path,
            split=read_subset(subset) or named,
            annotations=annotations,
            declared_size=size,
            seen_by=read_viewer(image.get("seen_by")) or ("nobody" if is_lost else None),
            warning=NONE_KEPT if is_lost else None,
            source_video=image.get("source_video") or (task.video if task.is_video else None),
            frame_pts=None if frame_pts is None else read_count(frame_pts, 0),
        )
    yield from missing.stream(named, report)
