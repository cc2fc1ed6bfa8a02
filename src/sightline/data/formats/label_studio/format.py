"""Label Studio: a JSON of tasks with annotations and predictions, the pictures, and `label_config.xml`.

**Read:** the export "JSON" and "JSON_MIN", one file or all those of a folder. If two tasks show the same picture, the first
counts: the full JSON before JSON_MIN, the later name of a file before the earlier. Boxes, polygons and brush masks; a rotated
box becomes the polygon of its corners, an ellipse a polygon of 64 points. Choices are classes of the whole picture; choices,
texts and numbers of a region are its attributes. `image_rotation` is only how a picture was shown. Key points, relations,
bitmasks, texts, sounds, videos and time series are not kept, and the report says so.

- **Categories** are in the order of the labelling configuration beside the JSON (`label_config.xml`, else the `.xml` that knows
  most of the results), others behind them by the alphabet. In JSON_MIN only the configuration tells choices from texts. It also
  tells the pictures of a task that shows several. JSON_MIN does not say which picture of a list, nor which region, is meant.
- **Of several annotations** of a task the ground truth counts, else the latest that was not cancelled. Predictions count where
  no person looked: the latest, as a model's, with its score. A task whose annotations were all cancelled or hold no list of
  results, or that has none, counts as not looked at, and so does a picture of which nothing that was drawn is kept; an empty
  annotation says that nothing is there.
- **Pictures** are never fetched. `/data/upload/..`, `/data/local-files/?d=..`, `s3://..` and other addresses are looked for
  below the folder by their path or its end, then by base name, if one picture and no other task has it; uploads also without
  the eight digits before their name. The split is that of `data.split`, else of the file's name.

**Written:** `tasks.json`, `label_config.xml` and `images/`, which Label Studio imports again as local files (its document root
must be the exported folder). People's annotations go into `annotations`, a model's into `predictions`. A picture without any,
of which nobody says who looked, is a task to be done; `data.seen_by` says "unknown". Attributes become texts of their region;
further parts of a polygon are regions with its id, a dot and a number. Crowds become ordinary objects.

A task is held at a time, and three numbers a picture. Labels are taken as those of the upright picture, as browsers show it;
if their size is that of the stored picture, they are turned with it.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, UnreadableDataset
from sightline.data.conversion import ConversionReport, clean_name, replace_surrogates
from sightline.data.formats.format import NONE_KEPT, SourceDataset, SourceItem
from sightline.data.formats.label_studio.detecting import find_json_files
from sightline.data.formats.label_studio.labelling import Labelling, read_labelling
from sightline.data.formats.label_studio.pictures import Place, TaskPictures, list_places
from sightline.data.formats.label_studio.results import ResultReader, find_size, is_object, list_categories
from sightline.data.formats.label_studio.tasks import Task, stream_tasks
from sightline.data.formats.label_studio.writing import check_label_studio, write_label_studio
from sightline.data.formats.listed_pictures import warn_unlisted
from sightline.data.formats.options import check_options
from sightline.data.formats.picture_files import find_split, read_picture_size, read_split
from sightline.data.versions import DatasetVersion, check_split

TASKS_LOOKED_AT = 200
OTHER_SIZE = "labels were drawn on the picture in another size; they are scaled with it"


class LabelStudioFormat:
    """Label Studio's JSON with its pictures."""

    name = "label_studio"
    description = "Label Studio JSON and JSON_MIN: boxes, polygons, brush masks, choices, predictions"

    def detect(self, source: Path) -> float:
        """By the keys of the JSON files."""
        return 0.92 if find_json_files(source) else 0.0

    def read(self, source: Path, report: ConversionReport, options: dict[str, Any]) -> SourceDataset:
        """Read all files found. Options: none."""
        check_options(self.name, options)
        paths = [source] if source.is_file() else find_json_files(source)
        if not paths:
            raise UnreadableDataset(f"expected a Label Studio JSON in {source.name}, found none; choose another format")
        root = source.parent if source.is_file() else source
        exports = [_Export(path, root, report) for path in paths]
        names = dict.fromkeys(name for export in exports for name in export.categories)
        return SourceDataset(categories=Categories(names), items=_stream_items(exports, root, report))

    def check(self, version: DatasetVersion) -> ConversionReport:
        """What Label Studio has no place for; see `writing`."""
        return check_label_studio(version)

    def write(self, version: DatasetVersion, target: Path, report: ConversionReport) -> None:
        """Write tasks.json, label_config.xml and images/."""
        write_label_studio(version, target, report)


class _Export:
    """One JSON, gone through once for its labels and the names of its pictures.

    Attributes:
        categories: its labels, those of the labelling configuration first.
        split: of the pictures whose task names none, by the file's name.
    """

    def __init__(self, path: Path, root: Path, report: ConversionReport) -> None:
        self.path, self.split = path, find_split(path.stem)
        untold = ConversionReport()  # what is lost is told when the tasks are read
        names: set[str] = set()
        for task in islice(stream_tasks(path, Labelling(), untold), TASKS_LOOKED_AT):
            names.update(list_categories(task), (str(result.get("from_name")) for result in task.results))
        self.labelling: Labelling = read_labelling(path, names, report)
        self.pictures = TaskPictures(root, path.parent)
        found: set[str] = set()
        for task in stream_tasks(path, self.labelling, untold):
            found.update(list_categories(task))
            for place in list_places(task, self.labelling.images):
                self.pictures.add(place.address)
        listed = self.labelling.categories
        self.categories = [*listed, *sorted(found - set(listed))]


def _stream_items(exports: list[_Export], root: Path, report: ConversionReport) -> Iterator[SourceItem]:
    seen: set[int] = set()  # 64 bits a picture
    folders: set[Path] = set()
    for export in exports:
        for task in stream_tasks(export.path, export.labelling, report):
            places = list_places(task, export.labelling.images)
            if not places:
                reason = "task without a picture, or with several and no label_config.xml that tells them apart"
                report.drop("image", reason, str(list(task.data.values()))[:80])
                _drop(task, report, "its picture was dropped", export.path.name)
            _report_strays(task, places, report)
            for place in places:
                path = export.pictures.find(place.address, report)
                if path is None:
                    _drop(task, report, "its picture was dropped", clean_name(place.address[:80]), place)
                elif hash(path) in seen:
                    where = path.relative_to(root).as_posix()
                    report.warn("image", "a further task shows the same picture; its labels are not read", where)
                    _drop(task, report, "of a further task with the same picture", where, place)
                else:
                    seen.add(hash(path))
                    folders.add(path.parent)
                    item = _make_item(task, place, path, root, export.split, report)
                    if item is not None:
                        yield item
    warn_unlisted(folders, seen, root, report)


def _drop(task: Task, report: ConversionReport, reason: str, where: str, place: Place | None = None) -> None:
    count = sum(place is None or place.holds(result) for result in task.results)
    if count:
        report.drop("annotation", reason, where, count=count)


def _report_strays(task: Task, places: list[Place], report: ConversionReport) -> None:
    """Tell of results about a picture that the task does not show."""
    for result in task.results if places else ():
        if not any(place.holds(result) for place in places):
            report.drop("annotation", "of a picture that its task does not show", clean_name(places[0].address[:80]))


def _make_item(
    task: Task, place: Place, path: Path, root: Path, split: str | None, report: ConversionReport
) -> SourceItem | None:
    name = path.relative_to(root).as_posix().removeprefix("images/")
    size = read_picture_size(path, report, name)
    if size is None:
        _drop(task, report, "its picture was dropped", name, place)
        return None
    results = [result for result in task.results if place.holds(result)]
    stated = find_size(results)
    if stated is not None and stated not in (size, size[::-1]):
        report.warn("image", OTHER_SIZE, f"{name}: {stated} against {size}")
        stated = None
    annotations: list[Annotation] = ResultReader(task, stated or size, report, name).read(results)
    is_lost = not annotations and any(map(is_object, results))
    return SourceItem(
        file_name=name,
        path=path,
        split=_find_split(task, name, report) or split,
        annotations=tuple(annotations),
        declared_size=stated,
        is_upright=True,
        seen_by="nobody" if is_lost else task.viewer,
        warning=NONE_KEPT if is_lost else None,
    )


def _find_split(task: Task, where: str, report: ConversionReport) -> str | None:
    """The split that a task's data names, if a split can have such a name."""
    named = task.data.get("split")
    if not isinstance(named, str) or not named:
        return None
    split = read_split(replace_surrogates(named))
    try:
        check_split(split)
    except InvalidInput:
        report.warn("image", "no name of a split, left out", f"{where}: {split}")
        return None
    return split
