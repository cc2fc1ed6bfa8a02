"""Compiled against FP32 on the same pictures, through the same Predictor that users run.

The best evidence there is decides. With labels it is the change of the task's metric. Without labels it is the share of answers
that stay the same, of all that at least one side shows: when at most 1 % of them change, the share of right ones cannot have
changed by more, whatever the truth. Where some pictures have labels, the answers on the others count beside them. For tensors
that nobody explained it is their relative error.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from sightline.compiler.candidates import Candidate
from sightline.compiler.importing.packed_outputs import Part, divide_squares, measure_parts
from sightline.compiler.pictures import PreparedSamples, read_contents
from sightline.compiler.tuning.autotune import Setting
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.manifests import TENSOR_TASKS, ModelManifest, Task
from sightline.data.items import Item
from sightline.data.truth import find_truth
from sightline.data.versions import DatasetVersion
from sightline.metrics.agreement import Agreement, compare_predictions
from sightline.metrics.comparison import RESAMPLES, compare_evaluators, compare_shown
from sightline.metrics.detection import DetectionEvaluator
from sightline.metrics.evaluator import EVALUATION_THRESHOLDS, Evaluator, make_evaluator
from sightline.metrics.intervals import Interval, draw_weights, summarise_changes, widen_empty
from sightline.metrics.semantic import SemanticEvaluator
from sightline.metrics.task_metrics import Resampled
from sightline.runtime.backend import SessionOptions, Tensors
from sightline.runtime.backends.table import load_backend
from sightline.runtime.output_error import find_rms_error, split_outputs
from sightline.runtime.predictor import Predictor, take_groups

CATEGORY_METRICS: dict[Task, str] = {
    "classification": "recall",
    "multilabel": "F1",
    "detection": "AP",
    "instance": "AP",
    "semantic": "IoU",
    "image": "relative error",
    "raw": "relative error",
}
AGREEMENT_NAMES: dict[Task, str] = {
    "classification": "pictures with the same label",
    "multilabel": "pictures with the same labels",
    "detection": "objects found by both",
    "instance": "objects found by both",
    "semantic": "shown pixels with the same label",
    "image": "mean cosine similarity of the outputs",
    "raw": "mean cosine similarity of the outputs",
}
Evidence = Literal["labels", "answers", "tensors"]
TENSOR_PICTURES = 256  # whose raw outputs are held in memory
ERROR_PERCENTILE = 95


class CategoryChange(msgspec.Struct, frozen=True, kw_only=True):
    """Accuracy of one category, FP32 and compiled, 0..1, and the change's 95 % interval.

    Attributes:
        low, high: both None where no resample of the pictures changes anything: 0 to 0 would claim that this is known.
    """

    category: str
    baseline: float
    candidate: float
    low: float | None
    high: float | None


class ShownChange(msgspec.Struct, frozen=True, kw_only=True):
    """What compiling changed of the objects that a detector shows, judged by the labels of the same pictures.

    Attributes:
        threshold: confidence from which an object is shown, the Model's own.
        baseline, candidate: F1 of what is shown, FP32 and compiled, 0..1, a mean over categories.
        change, low, high: candidate - baseline with its 95 % paired interval.
        objects: true ones.
        baseline_shown, candidate_shown: objects shown.
        baseline_right, candidate_right: those of them that are right.
        per_category: F1 of those that occur in the truth.
    """

    threshold: float
    baseline: float
    candidate: float
    change: float
    low: float
    high: float
    objects: int
    baseline_shown: int
    baseline_right: int
    candidate_shown: int
    candidate_right: int
    per_category: tuple[CategoryChange, ...]


class CompiledComparison(msgspec.Struct, frozen=True, kw_only=True):
    """What compiling changed.

    Attributes:
        evidence: what was compared: "labels", or "answers" or "tensors" of FP32 where no labels are.
        metric: the task's primary metric, or what takes its place without labels.
        category_metric: what `per_category` holds.
        images: pictures judged; those without a label that the task needs are not.
        baseline, candidate: the metric, FP32 and compiled, 0..1.
        change, low, high: candidate - baseline with its 95 % paired interval.
        method: how the interval was found.
        agreement_name, agreement: how alike the answers are, whatever the truth, 0..1.
        mean_iou: of the boxes found by both; None without boxes.
        answers: pictures, objects or pixels that at least one side shows; `agreement` is a share of them; None of tensors.
        part: of tensors: the part of a packed output whose error is the change; None where it is that of whole outputs.
        per_category: those that occur in the truth.
        unlabelled: where labels judge: the answers on the pictures that they say nothing of; None where there are none.
        labelled_answers: those on the other pictures, in the unit of `unlabelled.answers`.
        shown: of a detector with labels: the objects that a user is shown; None for all others, whose metric judges these.
    """

    evidence: Evidence = "labels"
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
    answers: int | None = None
    part: str | None = None
    per_category: tuple[CategoryChange, ...]
    unlabelled: "CompiledComparison | None" = None
    labelled_answers: int = 0
    shown: ShownChange | None = None


@dataclass(frozen=True)
class Judged:
    """What a candidate answered on the validation pictures.

    Attributes:
        predictions: of each picture.
        evaluator: has seen them and their truth; None without labels.
        tensors: raw outputs of each picture, for a Model whose outputs nobody explained.
    """

    predictions: list[list[Annotation]]
    evaluator: Evaluator | None = None
    tensors: list[Tensors] = field(default_factory=list)


def predict_items(
    candidate: Candidate,
    setting: Setting,
    manifest: ModelManifest,
    version: DatasetVersion,
    items: Sequence[Item],
    on_part: Callable[[float], None] = lambda part: None,
) -> Judged:
    """Run a candidate over pictures as users would run it.

    Args:
        setting: that the Artifact will have, so many pictures in each inference.
        on_part: told the part done, 0..1.
    """
    if manifest.task in TENSOR_TASKS:
        return Judged([], None, infer_items(candidate, setting, manifest, version, items[:TENSOR_PICTURES], on_part))
    shown = manifest.decode.confidence_threshold
    evaluator = make_evaluator(manifest.task, Categories(manifest.categories), version.manifest.unlabelled_pixels, shown)
    predictions = []
    # as `open_predictor` opens the Artifact
    options = SessionOptions(candidate.precision, setting.streams, setting.threads, pixels=manifest.input)
    session = load_backend(candidate.engine).open(candidate.graph, options)
    with Predictor(manifest, session, candidate.engine, options, setting.batch) as predictor:
        threshold = EVALUATION_THRESHOLDS[manifest.task]
        for item, answer in zip(items, predictor.predict_stream(read_contents(version, items), threshold), strict=True):
            if find_truth(item) is not None:
                evaluator.add(item.annotations, answer, item.width, item.height)
            predictions.append(answer)
            on_part(len(predictions) / len(items))
    return Judged(predictions, evaluator if any(item.annotations for item in items) else None)


def infer_items(
    candidate: Candidate,
    setting: Setting,
    manifest: ModelManifest,
    version: DatasetVersion,
    items: Sequence[Item],
    on_part: Callable[[float], None],
) -> list[Tensors]:
    """Raw outputs of each picture."""
    found: list[Tensors] = []
    with closing(candidate.open(setting.streams, setting.threads)) as session:
        samples = PreparedSamples(version, items, manifest.input)
        groups = take_groups((samples[place] for place in range(len(samples))), setting.batch)
        for outputs in session.stream({manifest.input.name: np.concatenate(group)} for group in groups):
            found += split_outputs(outputs, min(setting.batch, len(items) - len(found)))
            on_part(len(found) / len(items))
    return found


def compare_judged(
    manifest: ModelManifest,
    items: Sequence[Item],
    baseline: Judged,
    candidate: Judged,
    seed: int,
    parts: Sequence[Part] = (),
) -> tuple[CompiledComparison, Agreement]:
    """Change from `baseline` to `candidate` with its interval, by the best evidence, and the pictures whose answer flipped.

    Args: parts: of outputs that pack several tensors.
    """
    if manifest.task in TENSOR_TASKS:
        return compare_tensors(baseline.tensors, candidate.tensors, seed, parts)
    if baseline.evaluator is None or candidate.evaluator is None:
        return compare_answers(manifest, items, baseline, candidate, seed)
    found = compare_evaluators(baseline.evaluator, candidate.evaluator, seed=seed)
    agreement = find_agreement(manifest, items, baseline, candidate)
    change = widen_empty(found.change, baseline.evaluator.judged, -1.0)
    unlabelled = compare_unlabelled(manifest, items, baseline, candidate, seed)
    comparison = CompiledComparison(
        metric=found.metric,
        category_metric=CATEGORY_METRICS[manifest.task],
        images=baseline.evaluator.judged,
        baseline=found.before,
        candidate=found.after,
        change=change.estimate,
        low=change.low,
        high=change.high,
        method=_name_method(manifest.task),
        agreement_name=AGREEMENT_NAMES[manifest.task],
        agreement=agreement.label_agreement,
        mean_iou=agreement.mean_iou,
        answers=agreement.shown,
        per_category=_compare_categories(baseline.evaluator, candidate.evaluator, found.per_category),
        unlabelled=unlabelled,
        labelled_answers=(agreement.shown or 0) - (unlabelled.answers or 0) if unlabelled else 0,
        shown=compare_shown_objects(baseline.evaluator, candidate.evaluator, seed),
    )
    return comparison, agreement


def compare_shown_objects(baseline: Evaluator, candidate: Evaluator, seed: int) -> ShownChange | None:
    """What became of the objects that a user is shown; None where the task's metric judges what is shown anyway."""
    if not (isinstance(baseline, DetectionEvaluator) and isinstance(candidate, DetectionEvaluator)):
        return None
    found = compare_shown(baseline, candidate, seed=seed)
    change = widen_empty(found.change, baseline.images, -1.0)
    before, after = baseline.shown.sum_up(), candidate.shown.sum_up()
    once = np.ones((1, baseline.images), np.int64)
    return ShownChange(
        threshold=baseline.shown.threshold,
        baseline=found.before,
        candidate=found.after,
        change=change.estimate,
        low=change.low,
        high=change.high,
        objects=before.truth,
        baseline_shown=before.shown,
        baseline_right=before.right,
        candidate_shown=after.shown,
        candidate_right=after.right,
        per_category=_list_categories(
            baseline.category_names, baseline.shown.resample(once), candidate.shown.resample(once), found.per_category
        ),
    )


def find_unlabelled(task: Task, items: Sequence[Item], evaluator: Evaluator) -> list[int]:
    """Places of the pictures that labels say nothing of, though others have some.

    To a detector a picture without annotations is one on which there is nothing, and so it is to a segmenter whose unlabelled
    pixels are background: those the labels judge, unless nobody looked at them.
    """
    is_ignored = isinstance(evaluator, SemanticEvaluator) and evaluator.ignores
    judges_bare = task not in ("classification", "multilabel") and not is_ignored
    bare = [place for place, item in enumerate(items) if not item.annotations]
    return [place for place in bare if not judges_bare or find_truth(items[place]) is None]


def compare_unlabelled(
    manifest: ModelManifest, items: Sequence[Item], baseline: Judged, candidate: Judged, seed: int
) -> CompiledComparison | None:
    """The answers on the pictures that labels say nothing of; None where there are none, or neither side shows any."""
    assert baseline.evaluator is not None
    places = find_unlabelled(manifest.task, items, baseline.evaluator)
    if not places:
        return None
    before, after = (Judged([side.predictions[place] for place in places]) for side in (baseline, candidate))
    comparison, _ = compare_answers(manifest, [items[place] for place in places], before, after, seed)
    return comparison if comparison.answers else None


def find_agreement(manifest: ModelManifest, items: Sequence[Item], baseline: Judged, candidate: Judged) -> Agreement:
    """How alike the answers are, whatever the truth."""
    return compare_predictions(
        manifest.task,
        Categories(manifest.categories),
        baseline.predictions,
        candidate.predictions,
        [(item.width, item.height) for item in items],
        manifest.decode.confidence_threshold,
    )


def compare_answers(
    manifest: ModelManifest, items: Sequence[Item], baseline: Judged, candidate: Judged, seed: int
) -> tuple[CompiledComparison, Agreement]:
    """Without labels: the share of answers that stay the same, with its interval over the pictures."""
    agreement = find_agreement(manifest, items, baseline, candidate)
    same, total = (np.array(values, np.float64) for values in zip(*agreement.parts, strict=True))
    weights = draw_weights(len(items), RESAMPLES, seed)
    with np.errstate(invalid="ignore"):
        drawn = (weights @ same) / (weights @ total)
    change = widen_empty(summarise_changes(agreement.label_agreement - 1, drawn - 1), int((total > 0).sum()), -1.0)
    return _make_unlabelled("answers", manifest.task, len(items), change, agreement), agreement


def compare_tensors(
    before: Sequence[Tensors], after: Sequence[Tensors], seed: int, parts: Sequence[Part] = ()
) -> tuple[CompiledComparison, Agreement]:
    """Without an explanation of the outputs: the relative error of both runs' tensors, of each picture the worst output.

    The error is the root mean square of the difference over that of the expected values; what counts is the error that 95 % of
    the pictures stay below, so that neither a rare bad picture decides nor many are averaged away. Where an output packs
    several tensors, the error of each of them counts too: over all pictures together, since scores are next to nothing on those
    that show nothing. The cosine, which a mere change of scale does not touch, stands beside it.
    """
    measured = measure_tensors(before, after, parts)
    pairs = list(zip(before, after, strict=True))
    alike = float(np.mean([min(_find_cosine(one[name], other[name]) for name in one) for one, other in pairs]))
    found = measured.sum_up(np.arange(len(pairs)))
    drawn = np.random.default_rng(seed).integers(0, len(pairs), (RESAMPLES, len(pairs)))
    errors = np.array([measured.sum_up(rows).max() for rows in drawn])
    errors[np.isinf(errors)] = errors.max(where=np.isfinite(errors), initial=1.0)  # an interval has no infinite ends
    change = summarise_changes(-float(found.max()), -errors)
    agreement = Agreement(images=len(pairs), label_agreement=alike, mean_iou=None, flipped=[])
    names = [None, *(part.name for part in parts)]
    comparison = _make_unlabelled("tensors", "raw", len(pairs), change, agreement)
    return msgspec.structs.replace(comparison, part=names[int(found.argmax())]), agreement


class TensorErrors(NamedTuple):
    """Errors of each picture: `(pictures,)` of its worst output; `(pictures, parts)` mean squares as of `measure_parts`."""

    worst: np.ndarray
    noise: np.ndarray
    power: np.ndarray

    def sum_up(self, rows: np.ndarray) -> np.ndarray:
        """Relative errors `(1 + parts,)` over some of the pictures: what 95 % of them stay below, then each part's."""
        whole = np.percentile(self.worst[rows], ERROR_PERCENTILE, method="higher")  # one of them: infinities have no middle
        return np.append(whole, divide_squares(self.noise[rows].mean(axis=0), self.power[rows].mean(axis=0)))


def measure_tensors(before: Sequence[Tensors], after: Sequence[Tensors], parts: Sequence[Part]) -> TensorErrors:
    """What `after` differs by. Args: outputs of each picture; parts: of packed outputs, where errors are finite."""
    pairs = list(zip(before, after, strict=True))
    worst = np.array([max(find_rms_error(one[name], other[name]) for name in one) for one, other in pairs])
    noise, power = np.zeros((2, len(worst), len(parts)))
    rows = np.flatnonzero(np.isfinite(worst)).tolist()
    noise[rows], power[rows] = measure_parts(parts, [before[row] for row in rows], [after[row] for row in rows])
    return TensorErrors(worst, noise, power)


def _find_cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Of two tensors; 0 for other shapes, or where a value is not finite."""
    if one.shape != other.shape or not (np.isfinite(one).all() and np.isfinite(other).all()):
        return 0.0
    first, second = one.ravel().astype(np.float64), other.ravel().astype(np.float64)
    scale = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / scale if scale else float(np.array_equal(first, second))


def _make_unlabelled(evidence: Evidence, task: Task, images: int, change: Interval, agreement: Agreement) -> CompiledComparison:
    name = AGREEMENT_NAMES[task]
    return CompiledComparison(
        evidence=evidence,
        metric="accuracy of the tensors" if evidence == "tensors" else name,
        category_metric=CATEGORY_METRICS[task],
        images=images,
        baseline=1.0,
        candidate=1.0 + change.estimate,
        change=change.estimate,
        low=max(change.low, -1.0),
        high=min(change.high, 0.0),
        method=f"bootstrap over pictures, {RESAMPLES} resamples",
        agreement_name=name,
        agreement=agreement.label_agreement,
        mean_iou=agreement.mean_iou,
        answers=agreement.shown,
        per_category=(),
    )


def _compare_categories(baseline: Evaluator, candidate: Evaluator, changes: dict[str, Interval]) -> tuple[CategoryChange, ...]:
    once = np.ones((1, baseline.images), np.int64)
    return _list_categories(baseline.category_names, baseline.resample(once), candidate.resample(once), changes)


def _list_categories(
    names: Sequence[str], before: Resampled, after: Resampled, changes: dict[str, Interval]
) -> tuple[CategoryChange, ...]:
    """Args: before, after: of the pictures as they are."""
    return tuple(
        CategoryChange(
            category=name,
            baseline=float(before.per_category[0, index]),
            candidate=float(after.per_category[0, index]),
            low=None if changes[name].is_empty else changes[name].low,
            high=None if changes[name].is_empty else changes[name].high,
        )
        for index, name in enumerate(names)
        if name in changes
    )


def _name_method(task: Task) -> str:
    if task == "classification":
        return "matched pairs (Bonett and Price 2012)"
    return f"paired bootstrap over pictures, {RESAMPLES} resamples"
