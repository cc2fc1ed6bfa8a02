"""COCO (cocodataset.org/#format-data): one JSON per split with images, categories and annotations, and the pictures beside it.

**Read:** `annotations/instances_<split>.json` with `images/` or `<split>/`, Roboflow's `<split>/_annotations.coco.json`, or a
single JSON. It may hold polygons of several parts, RLE (compressed or not), crowd regions, boxes, and whole-image labels (no
bbox). Ids may be sparse, and keys may be in any order. Of several folders that hold a picture of the listed name, the one
counts that holds the most of the JSON's pictures. Keypoints and captions are not kept, and the report says so.

**Written:** `annotations/instances_<split>.json` and `images/`. Confidence, origin, attributes (of annotations and of pictures)
and who looked at a picture go into keys of their own ("score", "origin", "attributes", "seen_by"), which other readers ignore.

Some COCO tools apply EXIF orientation, others ignore it. On import, labels that record the size of the stored picture are
turned with it. Where no size tells (mirrored, upside down, square), labels are taken as upright, and the report warns. On
export, labels are those of the upright picture, and the report names each picture that EXIF turns.
"""

import math
import mmap
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sightline.core.annotations import Annotation, BoxXyxy, MaskRle, Ring
from sightline.core.categories import Categories
from sightline.core.errors import SightlineError, UnreadableDataset
from sightline.data.conversion import ConversionReport
from sightline.data.formats.coco.names import TASKS, find_file_split, list_folder_names, name_task
from sightline.data.formats.coco.scanning import CocoScan, read_attributes
from sightline.data.formats.coco.writing import check_coco, write_coco
from sightline.data.formats.format import SourceDataset, SourceItem
from sightline.data.formats.listed_pictures import ListedPictures, remove_machine_folders, warn_unlisted
from sightline.data.formats.options import check_options
from sightline.data.formats.run_lengths import read_rle
from sightline.data.versions import DatasetVersion

HEAD_BYTES = 65536
MAX_FILES_LOOKED_AT = 200
BEFORE_JSON = b"\xef\xbb\xbf \t\r\n"
IMAGES_LIST = re.compile(rb'"images"\s*:\s*\[\s*[{\]]')
LABELS_LIST = re.compile(rb'"(annotations|categories)"\s*:\s*\[')
UNREADABLE_TASKS = ("panoptic",)
# What parsing a bbox or segmentation of other types, shapes or sizes than COCO has raises.
NOT_COCO = (TypeError, ValueError, KeyError, OverflowError, SightlineError)


class CocoFormat:
    """COCO JSON with its pictures."""

    name = "coco"
    description = "COCO JSON: boxes, polygons, RLE masks, crowd regions"

    def detect(self, source: Path) -> float:
        """By the keys of the JSON files."""
        files = _find_json_files(source)
        if any(path.name == "_annotations.coco.json" or path.name.startswith("instances_") for path in files):
            return 0.97
        return 0.9 if files else 0.0

    def read(self, source: Path, report: ConversionReport, options: dict[str, Any]) -> SourceDataset:
        """Read all JSON files of one task. Options: task: "instances", "stuff", "labels" ... when there are several."""
        check_options(self.name, options, ("task",))
        files = [source] if source.is_file() else _find_json_files(source) or _find_json_files(source, _has_images)
        files = _choose_task(files, options.get("task"), source, report)
        spill = Path(tempfile.mkdtemp(prefix="sightline-coco-"))
        try:
            scans = []
            for number, path in enumerate(files):
                folder = spill / str(number)
                folder.mkdir()
                scans.append(CocoScan(path, folder, report))
        except BaseException:
            shutil.rmtree(spill, ignore_errors=True)
            raise
        root = source.parent if source.is_file() else source
        items = _stream_items(scans, root, report)
        weakref.finalize(items, shutil.rmtree, spill, ignore_errors=True)
        names = dict.fromkeys(name for scan in scans for name in scan.categories.values())
        return SourceDataset(categories=Categories(names), items=items)

    def check(self, version: DatasetVersion) -> ConversionReport:
        """COCO loses only what it has no place for; see `writing`."""
        return check_coco(version)

    def write(self, version: DatasetVersion, target: Path, report: ConversionReport) -> None:
        """Write `annotations/instances_<split>.json` and `images/`."""
        write_coco(version, target, report)


def _find_json_files(source: Path, belongs: Callable[[Path], bool] | None = None) -> list[Path]:
    """The JSON files of the first place that has any which `belongs` (by default: which look like COCO)."""
    belongs = belongs or _looks_like_coco
    if source.is_file():
        return [source] if source.suffix.lower() == ".json" and belongs(source) else []
    if not source.is_dir():
        return []
    found = []
    for pattern in ("annotations/*.json", "*.json", "*/_annotations.coco.json", "*/*.json", "*/annotations/*.json"):
        for number, path in enumerate(sorted(source.glob(pattern))):
            if number >= MAX_FILES_LOOKED_AT:
                break
            if path.is_file() and belongs(path):
                found.append(path)
        if found:
            return found
    return []


def _looks_like_coco(path: Path) -> bool:
    """By the keys at the file's head and tail; where those do not decide, the list of images is sought in between."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(max(0, path.stat().st_size - HEAD_BYTES))
        tail = file.read(HEAD_BYTES)
    if not head.lstrip(BEFORE_JSON).startswith(b"{"):
        return False
    keys = sum(key in head or key in tail for key in (b'"images"', b'"annotations"', b'"categories"', b'"file_name"'))
    if keys >= 3 and (b'"images"' in head or b'"images"' in tail or b'"file_name"' in head):
        return True
    if IMAGES_LIST.search(head):
        return b'"file_name"' in head
    return LABELS_LIST.search(head) is not None and _has_images(path)


def _has_images(path: Path) -> bool:
    """Whether a JSON object has a list of images anywhere: 1 GB is searched within a second."""
    with path.open("rb") as file:
        if not file.read(HEAD_BYTES).lstrip(BEFORE_JSON).startswith(b"{"):
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return IMAGES_LIST.search(content) is not None


def _choose_task(files: list[Path], wanted: str | None, source: Path, report: ConversionReport) -> list[Path]:
    by_task: dict[str, list[Path]] = {}
    for path in files:
        by_task.setdefault(name_task(path)[0], []).append(path)
    readable = [task for task in TASKS if task in by_task and task not in UNREADABLE_TASKS]
    if wanted is not None:
        readable = [task for task in readable if task == wanted]
    if not readable:
        there = ", ".join(task or "unnamed" for task in by_task) or "none"
        asked = f"a COCO JSON of task {wanted!r}" if wanted else "a COCO JSON with images, annotations and categories"
        raise UnreadableDataset(f"expected {asked} in {source.name}, found: {there}; choose another task or format")
    for task, others in by_task.items():
        if task != readable[0]:
            for path in others:
                report.drop(
                    "file", f"labels of another task ({task or 'unnamed'}) are not read beside {readable[0]}", path.name
                )
    return by_task[readable[0]]


def _stream_items(scans: list[CocoScan], root: Path, report: ConversionReport) -> Iterator[SourceItem]:
    seen: set[int] = set()  # 64 bits a picture
    folders: set[Path] = set()
    for scan in scans:
        split = find_file_split(scan.path, root)
        finder = ListedPictures(_list_picture_folders(scan.path, root, split))
        finder.prefer_fullest(image.file_name for image in scan.stream_images())
        for image, records in scan.stream():
            path = finder.find(image.file_name)
            if path is not None:
                seen.add(hash(path))
                folders.add(finder.folder)
            size = (image.width, image.height) if image.width and image.height else None
            parsed = (_parse_annotation(record, scan.categories, size, report, image.file_name) for record in records)
            yield SourceItem(
                file_name=remove_machine_folders(image.file_name),
                path=path,
                split=split,
                annotations=tuple(annotation for annotation in parsed if annotation is not None),
                declared_size=size,
                seen_by=image.seen_by,
                attributes=image.attributes,
            )
    warn_unlisted(folders, seen, root, report)


def _list_picture_folders(path: Path, root: Path, split: str | None) -> list[Path]:
    """Where the layouts in use put a JSON's pictures, the likeliest first."""
    parents = list(dict.fromkeys((path.parent.parent, path.parent, root)))
    inside = [folder for folder in parents if folder.is_relative_to(root)]
    names = list_folder_names(path, split)
    folders = [parent / part for parent in inside for part in ("images", ".", "data", "JPEGImages")]
    folders = [parent / "images" / name for parent in inside for name in names] + folders
    return folders + [parent / name for parent in inside for name in names]


def _parse_annotation(
    record: dict[str, Any],
    categories: Mapping[Any, str],
    size: tuple[int, int] | None,
    report: ConversionReport,
    where: str,
) -> Annotation | None:
    identity = record.get("category_id")
    category = categories.get(identity) if isinstance(identity, int | float | str) else None
    if identity is None or ("caption" in record and category is None):
        report.drop("annotation", "caption or other label without a category", where)
        return None
    if any(isinstance(value, int | float) and value for value in _as_list(record.get("keypoints"))):
        report.drop("attribute", "keypoints are not kept", where)
    try:
        box, polygons, mask = _parse_geometry(record, size, report, where)
    except NOT_COCO:
        report.drop("annotation", "bbox or segmentation that is not as COCO defines it", where)
        return None
    score = record.get("score")
    origin = record.get("origin", "human" if score is None else "model")
    return Annotation(
        category=f"id {str(identity)[:40]}" if category is None else category,
        box_xyxy=box,
        polygons=polygons,
        mask=mask,
        confidence=float(score) if isinstance(score, int | float) else None,
        origin="model" if origin == "model" else "human",
        is_crowd=bool(record.get("iscrowd", 0)),
        attributes=read_attributes(record),
    )


def _parse_box(bbox: Any) -> BoxXyxy | None:
    if bbox is None or bbox == []:
        return None
    if not isinstance(bbox, list):
        raise TypeError("a bbox is a list")
    x, y, width, height = (math.nan if value is None else float(value) for value in bbox)
    return x, y, x + width, y + height


def _parse_geometry(
    record: dict[str, Any], size: tuple[int, int] | None, report: ConversionReport, where: str
) -> tuple[BoxXyxy | None, tuple[Ring, ...] | None, MaskRle | None]:
    """Box, polygons and mask of an annotation. Raises: NOT_COCO when one is damaged and no other is there to keep."""
    box: BoxXyxy | None = None
    damaged_box: Exception | None = None
    try:
        box = _parse_box(record.get("bbox"))
    except NOT_COCO as error:
        damaged_box = error
    try:
        polygons, mask = _parse_segmentation(record.get("segmentation"), size)
    except NOT_COCO:
        if box is None:
            raise
        report.change("annotation", "segmentation that is not as COCO defines it, its box is kept", where)
        return box, None, None
    if damaged_box is not None:
        if polygons is None and mask is None:
            raise damaged_box
        report.change("annotation", "bbox that is not as COCO defines it, drawn anew around its outline", where)
    return box, polygons, mask


def _parse_segmentation(segmentation: Any, size: tuple[int, int] | None) -> tuple[tuple[Ring, ...] | None, MaskRle | None]:
    if not segmentation:
        return None, None
    if isinstance(segmentation, dict):
        return None, read_rle(segmentation, size)
    if not isinstance(segmentation[0], list):  # one ring that was not put into a list
        segmentation = [segmentation]
    rings = tuple(tuple(math.nan if value is None else float(value) for value in ring) for ring in segmentation)
    return tuple(ring for ring in rings if ring) or None, None


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
