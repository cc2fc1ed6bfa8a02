"""Compiled against FP32 on the same labelled pictures, through the same Predictor that users run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from sightline.compiler.candidates import Candidate
from sightline.compiler.pictures import read_contents
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.manifests import ModelManifest, Task
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion
from sightline.metrics.agreement import Agreement, compare_predictions
from sightline.metrics.classification import ClassificationEvaluator
from sightline.metrics.comparison import RESAMPLES, compare_evaluators
from sightline.metrics.evaluator import EVALUATION_THRESHOLDS, Evaluator, make_evaluator
from sightline.metrics.intervals import Interval
from sightline.runtime.backend import SessionOptions
from sightline.runtime.predictor import Predictor

CATEGORY_METRICS: dict[Task, str] = {
    "classification": "recall",
    "multilabel": "F1",
    "detection": "AP",
    "instance": "AP",
    "semantic": "IoU",
}
AGREEMENT_NAMES: dict[Task, str] = {
    "classification": "pictures with the same label",
    "multilabel": "pictures with the same labels",
    "detection": "objects found by both",
    "instance": "objects found by both",
    "semantic": "pixels with the same label",
}


class CategoryChange(msgspec.Struct, frozen=True, kw_only=True):
    """Accuracy of one category, FP32 and compiled, 0..1, and the change's 95 % interval."""

    category: str
    baseline: float
    candidate: float
    low: float
    high: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What compiling changed.

    Attributes:
        metric: the task's primary metric.
        category_metric: what `per_category` holds.
        images: pictures judged; in a classification those without a true label are not.
        baseline, candidate: the metric, FP32 and compiled, 0..1.
        change, low, high: candidate - baseline with its 95 % paired interval.
        method: how the interval was found.
        agreement_name, agreement: how alike the answers are, whatever the truth, 0..1.
        mean_iou: of the boxes found by both; None without boxes.
        per_category: those that occur in the truth.
    """

    metric: str
    category_metric: str
    images: int
    baseline: float
    candidate: float
    change: float
    low: float
    high: float
    method: str
    agreement_name: str
    agreement: float
    mean_iou: float | None
    per_category: tuple[CategoryChange, ...]


@dataclass(frozen=True)
class Judged:
    """Predictions on the validation pictures, and the evaluator that has seen them."""

    predictions: list[list[Annotation]]
    evaluator: Evaluator


def predict_items(
    candidate: Candidate,
    setting: tuple[int, int],
    manifest: ModelManifest,
    version: DatasetVersion,
    items: Sequence[Item],
    on_part: Callable[[float], None] = lambda part: None,
) -> Judged:
    """Run a candidate over labelled pictures as users would run it.

    Args:
        setting: (streams, threads for each).
        on_part: told the part done, 0..1.
    """
    evaluator = make_evaluator(manifest.task, Categories(manifest.categories), version.manifest.unlabelled_pixels)
    predictions = []
    options = SessionOptions(candidate.precision, *setting)
    with Predictor(manifest, candidate.open(*setting), candidate.engine, options) as predictor:
        threshold = EVALUATION_THRESHOLDS[manifest.task]
        for item, answer in zip(items, predictor.predict_stream(read_contents(version, items), threshold), strict=True):
            evaluator.add(item.annotations, answer, item.width, item.height)
            predictions.append(answer)
            on_part(len(predictions) / len(items))
    return Judged(predictions, evaluator)


def compare_judged(
    manifest: ModelManifest, items: Sequence[Item], baseline: Judged, candidate: Judged, seed: int
) -> tuple[Comparison, Agreement]:
    """Change of accuracy from `baseline` to `candidate` with its interval, and the pictures whose answer flipped."""
    found = compare_evaluators(baseline.evaluator, candidate.evaluator, seed=seed)
    sizes = [(item.width, item.height) for item in items]
    agreement = compare_predictions(
        manifest.task,
        Categories(manifest.categories),
        baseline.predictions,
        candidate.predictions,
        sizes,
        manifest.decode.confidence_threshold,
    )
    change = _bound(found.change)
    comparison = Comparison(
        metric=found.metric,
        category_metric=CATEGORY_METRICS[manifest.task],
        images=_count_judged(baseline.evaluator),
        baseline=found.before,
        candidate=found.after,
        change=change.estimate,
        low=change.low,
        high=change.high,
        method=_name_method(manifest.task),
        agreement_name=AGREEMENT_NAMES[manifest.task],
        agreement=agreement.label_agreement,
        mean_iou=agreement.mean_iou,
        per_category=_compare_categories(baseline.evaluator, candidate.evaluator, found.per_category),
    )
    return comparison, agreement


def _count_judged(evaluator: Evaluator) -> int:
    return int(evaluator.labelled().sum()) if isinstance(evaluator, ClassificationEvaluator) else evaluator.images


def _compare_categories(baseline: Evaluator, candidate: Evaluator, changes: dict[str, Interval]) -> tuple[CategoryChange, ...]:
    once = np.ones((1, baseline.images), np.int64)
    before, after = (evaluator.resample(once).per_category[0] for evaluator in (baseline, candidate))
    return tuple(
        CategoryChange(
            category=name,
            baseline=float(before[index]),
            candidate=float(after[index]),
            low=_bound(changes[name]).low,
            high=_bound(changes[name]).high,
        )
        for index, name in enumerate(baseline.category_names)
        if name in changes
    )


def _bound(change: Interval) -> Interval:
    """A change of a metric in 0..1 lies in -1..1, also where the interval is unbounded for lack of pictures."""
    return Interval(change.estimate, max(change.low, -1.0), min(change.high, 1.0))


def _name_method(task: Task) -> str:
    bootstrap = f"paired bootstrap over pictures, {RESAMPLES} resamples"
    return f"matched pairs (Bonett and Price 2012); by category {bootstrap}" if task == "classification" else bootstrap
