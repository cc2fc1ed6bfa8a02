"""The verb `annotate`: a model labels the pictures of a version into a new version; what people said stays as it is.

Predictions are marked `origin="model"` and keep their confidence, so that a person can review the unsure ones first and no
metric takes them for truth. Nor does one take a picture in which the model found nothing for one that shows nothing: its item
says that a model alone looked at it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sightline.bench.batching import iterate_batches
from sightline.bench.subjects import Subject, describe_subject, list_answers, predict_pictures, read_pictures, read_task
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.manifests import Task
from sightline.core.progress import OnProgress, ProgressEvent, ignore_progress
from sightline.core.workspace import StrPath, Workspace, make_place
from sightline.data.cleaning import clean_annotations
from sightline.data.conversion import ConversionReport
from sightline.data.items import Item
from sightline.data.truth import find_viewer, note_viewer
from sightline.data.versions import DatasetVersion, VersionWriter, check_version
from sightline.imaging.boxes import box_iou
from sightline.imaging.masks import find_annotation_box
from sightline.runtime.predictor import check_confidence

BATCH_SIZE = 8
SAME_OBJECT_IOU = 0.5  # as metrics match objects


class AnnotateResult(msgspec.Struct, frozen=True, kw_only=True):
    """What `annotate_version` made.

    Attributes:
        version: the new version.
        images_annotated: pictures to which the model added something.
        images_without: pictures in which it found nothing, or only what people had labelled.
        images_left: pictures left as they were, because a person had labelled them, or had looked and found nothing.
        images_bare: of those it looked at, pictures without annotations that did not say who looked: until now they counted as
            showing nothing.
        annotations: new annotations per category.
        report: which predictions were clipped to the picture or dropped, and why; clean for predictors of Sightline's own.
    """

    version: DatasetVersion
    images_annotated: int
    images_without: int
    images_left: int
    images_bare: int
    annotations: dict[str, int]
    report: ConversionReport


def annotate_version(
    version: DatasetVersion,
    predictor: Subject,
    name: str | None = None,
    confidence_threshold: float | None = None,
    only_unlabelled: bool = True,
    *,
    out: StrPath | Workspace,
    folder: StrPath | None = None,
    on_progress: OnProgress = ignore_progress,
) -> AnnotateResult:
    """Label pictures with a predictor; of a classifier the surest category alone, for a picture has one.

    Args:
        version: pictures, some of them perhaps labelled.
        predictor: what `load` opens, a RemotePredictor, or anything of yours with attributes `task` and `categories` (names)
            and a method `predict(images, confidence_threshold=None)` that gives for each `uint8 (H, W, 3)` RGB array a list
            of annotations with a confidence.
        name: name of the new Dataset, by default the old one's.
        confidence_threshold: 0..1, predictions below it are dropped; None takes the predictor's own.
        only_unlabelled: leave alone pictures that a person labelled, or looked at and found nothing in; False also adds what
            people did not label there. Annotations of an earlier model are replaced in every picture that is looked at.
        out: new folder of the version, or a Workspace, which shelves it under its name and id.
        folder: folder of the Model or Artifact that the predictor was opened from; its id goes into the new version.

    Raises: InvalidInput for a threshold out of range, a version without pictures, or a predictor whose answers are not such
        lists, or have a category that it did not declare.
    """
    check_version(version)
    out, folder = make_place(out), None if folder is None else Path(folder)
    check_confidence(confidence_threshold)
    total = version.count()
    if not total:
        raise InvalidInput(f"expected pictures to annotate, got none in {version.name!r}; import some first")
    settings = {"confidence_threshold": confidence_threshold, "only_unlabelled": only_unlabelled}
    source = _describe_source(version, predictor, folder) | settings
    counts: Counter[str] = Counter()
    annotated = left = bare = done = 0
    report = ConversionReport()
    with _open_writer(version, predictor, out, name or version.name, source) as writer:
        for batch in iterate_batches(version.items(), BATCH_SIZE):
            for item, found in _annotate_batch(version, predictor, batch, confidence_threshold, only_unlabelled, report):
                writer.add(item)
                counts.update(annotation.category for annotation in found or ())
                annotated, left = annotated + bool(found), left + (found is None)
            bare += sum(find_viewer(item.annotations, item.seen_by) is None for item in batch)
            done += len(batch)
            on_progress(ProgressEvent(stage="annotating", progress=done / total, metrics={"annotations": counts.total()}))
        made = writer.close()
    return AnnotateResult(
        version=made,
        images_annotated=annotated,
        images_without=done - annotated - left,
        images_left=left,
        images_bare=bare,
        annotations=dict(counts),
        report=report,
    )


def _open_writer(
    version: DatasetVersion, predictor: Subject, out: Path | Workspace, name: str, source: dict[str, Any]
) -> VersionWriter:
    """A writer for the old version's categories and those the model adds to them."""
    added = tuple(one for one in list_answers(predictor) if one not in version.categories)
    return VersionWriter(
        out,
        name,
        Categories(version.categories.names + added),
        version.blobs,
        unlabelled_pixels=version.manifest.unlabelled_pixels,
        source=source,
        seed=version.manifest.seed,
    )


def _describe_source(version: DatasetVersion, predictor: Subject, folder: Path | None) -> dict[str, Any]:
    """What the new version was made from."""
    subject = describe_subject(predictor, folder)
    facts = {key: getattr(subject, key) for key in ("kind", "name", "id", "model_id", "engine", "precision")}
    return {"made_by": "annotate", "parents": [version.id], "subject": facts}


def _annotate_batch(
    version: DatasetVersion,
    predictor: Subject,
    batch: list[Item],
    threshold: float | None,
    only_unlabelled: bool,
    report: ConversionReport,
) -> Iterator[tuple[Item, list[Annotation] | None]]:
    """Each item as it shall be written, with what the model found in it, or None when it was left alone."""
    viewers = {item.file_name: find_viewer(item.annotations, item.seen_by) for item in batch}
    wanted = [item for item in batch if not (only_unlabelled and viewers[item.file_name] == "human")]
    proposed = propose_annotations(predictor, wanted, read_pictures(predictor, version, wanted), threshold, report)
    found = {item.file_name: new for item, new in zip(wanted, proposed, strict=True)}
    for item in batch:
        if item.file_name not in found:
            yield item, None
            continue
        new = found[item.file_name]
        annotations = (*_keep_labels(item), *new)
        seen_by = note_viewer("human" if viewers[item.file_name] == "human" else "model", annotations)
        yield msgspec.structs.replace(item, annotations=annotations, seen_by=seen_by), new


def propose_annotations(
    predictor: Subject, items: Sequence[Item], images: Sequence[np.ndarray], threshold: float | None, report: ConversionReport
) -> list[list[Annotation]]:
    """What a predictor finds in each picture that people did not label there, as a version may hold it.

    Args:
        predictor, threshold: as of `annotate_version`.
        items: the pictures' facts and labels.
        images: the pictures, `uint8 (H, W, 3)` RGB.
        report: told which predictions were clipped to the picture or dropped, and why.

    Raises: InvalidInput for answers that are not a list of predictions for each picture.
    """
    answers = predict_pictures(predictor, images, threshold) if items else []
    task = read_task(predictor)
    if task == "classification":  # a picture is of one category: further ones above the threshold are rivals
        answers = [sorted(answer, key=lambda one: -one.certainty)[:1] for answer in answers]
    return [
        [one for one in _take_answer(item, answer, report) if not _is_labelled(one, _keep_labels(item), task)]
        for item, answer in zip(items, answers, strict=True)
    ]


def _keep_labels(item: Item) -> tuple[Annotation, ...]:
    """What people said of a picture."""
    return tuple(annotation for annotation in item.annotations if annotation.origin == "human")


def _take_answer(item: Item, answer: list[Annotation], report: ConversionReport) -> list[Annotation]:
    """The predictions as a version may hold them: a model's, and inside the picture."""
    marked = [msgspec.structs.replace(one, origin="model") for one in answer]
    named = Categories(dict.fromkeys(one.category for one in answer))  # the writer refuses those that are not declared
    return list(clean_annotations(marked, item.width, item.height, named, report, item.file_name))


def _is_labelled(prediction: Annotation, labels: Sequence[Annotation], task: Task) -> bool:
    """Whether people labelled the same: an object of its category that it overlaps by half, or the picture as a whole."""
    box = find_annotation_box(prediction)
    if box is None:
        whole = [label.category for label in labels if label.geometry == "image"]
        return bool(whole) if task == "classification" else prediction.category in whole
    others = [find_annotation_box(label) for label in labels if label.category == prediction.category]
    boxes = np.array([other for other in others if other is not None], np.float32).reshape(-1, 4)
    return bool((box_iou(np.array([box], np.float32), boxes) >= SAME_OBJECT_IOU).any())
