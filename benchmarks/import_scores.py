"""Scores of an imported network and its Artifact, made here through the Predictor, apart from the compiler's own gate."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sightline.compiler.candidates import REFERENCE
from sightline.core.annotations import Annotation
from sightline.data.versions import DatasetVersion
from sightline.imaging.files.reading import read_image
from sightline.imaging.masks import annotations_to_label_map
from sightline.metrics.comparison import compare_evaluators
from sightline.metrics.evaluator import EVALUATION_THRESHOLDS, Evaluator, make_evaluator
from sightline.runtime.predictor import Predictor, open_predictor

SHOWN_CONFIDENCE = 0.5  # of the boxes that are compared
JUDGED = {"val": ("val",), "all": ("train", "val")}  # pictures that took no part in calibration; and all, for published figures

Row = dict[str, Any]
Answers = dict[str, list[Annotation]]


SHOWN_METRICS = {"classification": ("top1", "top5"), "detection": ("map", "map50")}  # the first is the one whose change counts


def score_accuracy(model: Path, artifact: Path, version: DatasetVersion) -> dict[str, Row]:
    """Accuracy of the Model in the reference engine and of the Artifact, and the change with its 95 % interval."""
    splits = {name: parts for name, parts in JUDGED.items() if name == "val" or version.manifest.name == "imagenet"}
    scores = {}
    with open_predictor(model, engine=REFERENCE) as plain, open_predictor(artifact) as compiled:
        for name, parts in splits.items():
            before, after = (judge_answers(predictor, version, parts) for predictor in (plain, compiled))
            found = compare_evaluators(before, after)
            first, second = before.compute().values, after.compute().values
            shown = SHOWN_METRICS[plain.task]
            scores[name] = {
                "images": before.images,
                "metric": shown[0],
                "fp32": {metric: round(first[metric], 4) for metric in shown},
                "int8": {metric: round(second[metric], 4) for metric in shown},
                "change": round(found.change.estimate, 4),
                "interval": [round(found.change.low, 4), round(found.change.high, 4)],
            }
    return scores


def judge_answers(predictor: Predictor, version: DatasetVersion, splits: Sequence[str]) -> Evaluator:
    """An evaluator that has seen the predictor's answers."""
    evaluator = make_evaluator(predictor.task, predictor.categories, threshold=predictor.decode.confidence_threshold)
    items = list(version.items(splits))
    contents = (version.blobs.read(item.blob) for item in items)
    answers = predictor.predict_stream(contents, EVALUATION_THRESHOLDS[predictor.task])
    for item, answer in zip(items, answers, strict=True):
        evaluator.add(item.annotations, answer, item.width, item.height)
    return evaluator


def count_known(model: Path, artifact: Path, pictures: Sequence[tuple[Path, str]]) -> Row:
    """How many pictures get a category that begins as it must. Args: pictures: (file, begin of the category)."""
    row: Row = {"pictures": len(pictures)}
    for side, folder, engine in (("fp32", model, REFERENCE), ("int8", artifact, None)):
        with open_predictor(folder, engine=engine) as predictor:
            answers = predictor.predict([read_image(path) for path, _ in pictures], 0.0)
        first = [max(answer, key=lambda one: one.confidence or 0.0).category for answer in answers]
        row[side] = sum(category.startswith(start) for category, (_, start) in zip(first, pictures, strict=True))
        row[f"{side}_answers"] = first
    return row


def score_mask(model: Path, artifact: Path, picture: Path, truth: Path) -> dict[str, float]:
    """IoU of everything that is no background, and of each category present, for the Model and the Artifact."""
    expected = read_image(truth)[..., 0].astype(int)
    scores = {}
    for side, folder, engine in (("fp32", model, REFERENCE), ("int8", artifact, None)):
        with open_predictor(folder, engine=engine) as predictor:
            (answer,) = predictor.predict([read_image(picture)])
            found = annotations_to_label_map(answer, predictor.categories, *expected.shape, unlabelled=0)
        scores[side] = round(float(((expected > 0) & (found == expected)).sum() / ((expected > 0) | (found > 0)).sum()), 4)
    return scores


def read_boxes(model: Path, version: DatasetVersion) -> list[np.ndarray]:
    """Boxes `(K, 4)` xyxy pixels of each picture of a version, FP32."""
    with open_predictor(model) as predictor:
        contents = (version.blobs.read(item.blob) for item in version.items())
        answers = predictor.predict_stream(contents, SHOWN_CONFIDENCE)
        return [np.array([one.box_xyxy for one in answer], np.float64).reshape(-1, 4) for answer in answers]


def compare_boxes(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> Row:
    """Every box with the nearest of the other side: the largest difference of a side, and boxes the other side lacks."""
    largest, without = 0.0, 0
    for one, other in zip(before, after, strict=True):
        without += abs(len(one) - len(other))
        if len(one) and len(other):
            differences = np.abs(one[:, None] - other[None]).max(axis=2)  # (K, L)
            largest = max(largest, float(differences.min(axis=1).max()), float(differences.min(axis=0).max()))
    return {
        "pictures": len(after),
        "pictures_with_boxes": sum(len(one) > 0 for one in after),
        "boxes": sum(map(len, after)),
        "without_partner": without,
        "largest_difference_px": round(largest, 5),
    }
