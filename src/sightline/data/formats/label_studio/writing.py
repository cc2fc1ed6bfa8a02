"""Write Label Studio's JSON as a stream: a task a picture, and the labelling configuration that shows it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from sightline.core.annotations import Annotation
from sightline.data.conversion import ConversionReport
from sightline.data.formats.format import UNKNOWN
from sightline.data.formats.label_studio.brush import encode_brush
from sightline.data.formats.label_studio.labelling import CONFIG_NAME, is_writable, write_labelling
from sightline.data.formats.label_studio.tasks import SEEN_BY
from sightline.data.formats.losses import (
    report_lost_ignore,
    report_lost_item_facts,
    report_other_box,
    report_renamed_splits,
    warn_turned,
)
from sightline.data.formats.picture_files import check_inside
from sightline.data.items import Item
from sightline.data.truth import find_viewer
from sightline.data.versions import DatasetVersion
from sightline.imaging.masks import decode_mask

TASKS_NAME = "tasks.json"
LOCAL_FILES = "/data/local-files/?d=images/"
TAGS = {"box": "RectangleLabels", "polygons": "PolygonLabels", "mask": "BrushLabels", "image": "Choices"}
NAMES = {"box": "boxes", "polygons": "polygons", "mask": "masks", "image": "classes"}
MODEL = "sightline"
BESIDE = "a model's beside a person's: written as a prediction, which is not read where a person looked"


def check_label_studio(version: DatasetVersion) -> ConversionReport:
    """What Label Studio has no place for: crowds, attributes of whole pictures, polygons beside a mask ..."""
    report = ConversionReport()
    for _ in _list_items(version, report):
        pass
    return report


def write_label_studio(version: DatasetVersion, target: Path, report: ConversionReport) -> None:
    """Write `tasks.json`, `label_config.xml` and `images/<file name>` below `target`."""
    (target / "images").mkdir(parents=True, exist_ok=True)
    attributes, geometries = _gather_controls(version)
    names = {geometry: name for geometry, name in NAMES.items() if geometry in geometries} or {"box": NAMES["box"]}
    while not attributes.isdisjoint(names.values()):
        names = {geometry: f"{name}_" for geometry, name in names.items()}
    encode = msgspec.json.Encoder().encode
    with (target / TASKS_NAME).open("wb") as file:
        file.write(b"[")
        for number, item in enumerate(_list_items(version, report), start=1):
            version.blobs.copy_to(item.blob, target / "images" / check_inside(item.file_name))
            file.write((b"\n" if number == 1 else b",\n") + encode(_make_task(item, number, names)))
            report.keep("image")
            report.keep("annotation", len(item.annotations))
        file.write(b"\n]\n")
    controls = {name: TAGS[geometry] for geometry, name in names.items()}
    write_labelling(target / CONFIG_NAME, controls, version.categories.names, sorted(attributes))


def _gather_controls(version: DatasetVersion) -> tuple[set[str], set[str]]:
    """Names of the attributes that are written, and the geometries there are."""
    attributes: set[str] = set()
    geometries: set[str] = set()
    for item in version.items():
        for annotation in item.annotations:
            geometries.add(annotation.geometry)
            attributes.update(name for name in annotation.attributes if _has_place(annotation, name))
    return attributes, geometries


def _has_place(annotation: Annotation, name: str) -> bool:
    return annotation.geometry != "image" and is_writable(name)


def _list_items(version: DatasetVersion, report: ConversionReport) -> Iterator[Item]:
    """Every item; what is lost of it is told."""
    report_lost_ignore(report, version)
    report_renamed_splits(report, version)
    for name in version.categories:
        if not is_writable(name):
            report.change(
                "category", "name with a character that XML does not have: the configuration leaves it out", repr(name)
            )
    for item in version.items():
        report_lost_item_facts(report, item)
        warn_turned(report, item)
        by_people = find_viewer(item.annotations, item.seen_by) == "human"
        for annotation in item.annotations:
            if by_people and annotation.origin == "model":
                report.change("annotation", BESIDE, item.file_name)
            _report_losses(annotation, item.file_name, report)
        for origin in ("human", "model"):
            _report_classes([one for one in item.annotations if one.origin == origin], item.file_name, report)
        yield item


def _report_losses(annotation: Annotation, where: str, report: ConversionReport) -> None:
    if annotation.is_crowd:
        report.drop("attribute", "the format has no mark for crowds: the region becomes an ordinary object", where)
    if annotation.origin == "human" and annotation.confidence is not None:
        report.drop("attribute", "the format holds no confidence of a person's annotation", where)
    for name in annotation.attributes:
        if not _has_place(annotation, name):
            report.drop("attribute", f"the format has no attribute {name!r} of a whole picture", where)
    if annotation.polygons is not None and annotation.mask is not None:
        report.change("annotation", "polygons beside a mask are not written", where)
    report_other_box(report, annotation, where)


def _report_classes(annotations: Sequence[Annotation], where: str, report: ConversionReport) -> None:
    """Tell of classes of one picture whose confidences differ: they become one choice."""
    confidences = {one.confidence for one in annotations if one.geometry == "image" and one.origin == "model"}
    if len(confidences) > 1:
        report.change("annotation", "classes of one picture share one confidence: the lowest is kept", where)


def _make_task(item: Item, number: int, names: dict[str, str]) -> dict[str, Any]:
    """The task of an item, without an annotation where nobody says who looked. Args: names: of the control of each geometry."""
    data = {"image": LOCAL_FILES + quote(item.file_name, safe="/")}
    if item.split is not None:
        data["split"] = item.split
    task: dict[str, Any] = {"id": number, "data": data, "annotations": [], "predictions": []}
    viewer = find_viewer(item.annotations, item.seen_by)
    people, models = ([one for one in item.annotations if one.origin == origin] for origin in ("human", "model"))
    if viewer is None:
        data[SEEN_BY] = UNKNOWN
    if viewer == "human":
        task["annotations"] = [{"result": _make_results(item, people, names), "was_cancelled": False, "ground_truth": False}]
    if models or viewer == "model":
        prediction: dict[str, Any] = {"model_version": MODEL, "result": _make_results(item, models, names)}
        scores = [one.confidence for one in models if one.confidence is not None]
        if scores and len(scores) == len(models):
            prediction["score"] = sum(scores) / len(scores)
        task["predictions"] = [prediction]
    return task


def _make_results(item: Item, annotations: Sequence[Annotation], names: dict[str, str]) -> list[dict[str, Any]]:
    """Results of a person or a model: those of regions, then the classes of the whole picture as one choice."""
    results: list[dict[str, Any]] = []
    facts: dict[str, Any] = {"original_width": item.width, "original_height": item.height, "image_rotation": 0}
    for number, annotation in enumerate(annotations, start=1):
        if annotation.geometry != "image":
            results += _make_region(annotation, f"r{number}", item, facts, names)
    classes = [annotation for annotation in annotations if annotation.geometry == "image"]
    if classes:
        choice = {"id": "classes", "from_name": names["image"], "to_name": "image", "type": "choices"}
        scores = [one.confidence for one in classes if one.origin == "model" and one.confidence is not None]
        score = {"score": min(scores)} if scores else {}
        results.append({**choice, "value": {"choices": [one.category for one in classes]}, **score})
    return results


def _make_region(
    annotation: Annotation, identity: str, item: Item, facts: dict[str, Any], names: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """The results of an annotation: its shape, one for each further polygon, one for each attribute."""
    kind = TAGS[annotation.geometry].lower()
    score = {} if annotation.origin == "human" or annotation.confidence is None else {"score": annotation.confidence}
    for number, shape in enumerate(_make_shapes(annotation, item)):
        part = {"id": identity} if number == 0 else {"id": f"{identity}.{number}", "parentID": identity}
        value = {**shape, kind: [annotation.category]}
        control = {"from_name": names[annotation.geometry], "to_name": "image", "type": kind}
        yield {**part, **control, **facts, "value": value, **score}
    for name, text in annotation.attributes.items():
        if _has_place(annotation, name):
            control = {"id": identity, "from_name": name, "to_name": "image", "type": "textarea"}
            yield {**control, **facts, "value": {"text": [text]}}


def _make_shapes(annotation: Annotation, item: Item) -> Iterator[dict[str, Any]]:
    """What a region is, in percent of the picture."""
    across, down = 100 / item.width, 100 / item.height
    if annotation.mask is not None:
        yield {"format": "rle", "rle": encode_brush(decode_mask(annotation.mask))}
    elif annotation.polygons is not None:
        for ring in annotation.polygons:
            points = [(x * across, y * down) for x, y in zip(ring[::2], ring[1::2], strict=True)]
            yield {"points": points, "closed": True}
    elif annotation.box_xyxy is not None:
        x0, y0, x1, y1 = annotation.box_xyxy
        yield {"x": x0 * across, "y": y0 * down, "width": (x1 - x0) * across, "height": (y1 - y0) * down, "rotation": 0}
