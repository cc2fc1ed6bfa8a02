"""Accuracy of a subject on a version: one pass over the pictures feeds the metric, the curves and the worst pictures."""

import heapq
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from sightline.bench.batching import iterate_batches
from sightline.bench.matching import CurveBuilder, match_objects
from sightline.bench.mistakes import WorstPictures
from sightline.bench.records import COUNT_METRIC, Accuracy
from sightline.bench.resamples import Resamples, name_draws
from sightline.bench.subjects import BACKGROUND, Subject, list_answers, predict_pictures, read_pictures, read_task
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, Unsupported
from sightline.core.manifests import Task
from sightline.core.progress import OnProgress, ProgressEvent
from sightline.data.items import Item
from sightline.data.truth import KnownItems
from sightline.data.versions import DatasetVersion
from sightline.metrics.evaluator import DECISION_THRESHOLDS, EVALUATION_THRESHOLDS, Evaluator, TaskMetrics, make_evaluator
from sightline.metrics.intervals import Interval, draw_weights, proportion_interval, widen_empty

BATCH_SIZE = 8
OBJECT_TASKS = ("detection", "instance")
# Resamples for the interval: 1,000, fewer for large sets, whose weights would fill the memory (8 bytes each).
RESAMPLES, MIN_RESAMPLES, RESAMPLED_PICTURES = 1000, 100, 10_000_000
MOST_NAMES = 10  # categories that a message names


class AccuracyResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass over the pictures gives; `images` of them were judged; no resamples of fewer than two."""

    images: int
    accuracy: Accuracy
    resamples: Resamples | None
    worst: WorstPictures
    notes: list[str]


def choose_items(version: DatasetVersion, split: str | None, max_images: int | None, seed: int) -> Iterator[Item]:
    """The split's items, or `max_images` of them drawn with `seed`, in file order. Raises: InvalidInput for an empty split."""
    total = version.count(split)
    if not total:
        raise InvalidInput(f"expected pictures in split {split!r} of {version.name!r}, got none; choose another split")
    if max_images is None or max_images >= total:
        yield from version.items(split)
        return
    chosen = set(np.random.default_rng(seed).choice(total, size=max_images, replace=False).tolist())
    yield from (item for index, item in enumerate(version.items(split)) if index in chosen)


def merge_categories(answers: Sequence[str], version: Categories) -> tuple[Categories, list[str]]:
    """The version's categories, then those only the subject answers; and a note for each difference.

    A background category of the version needs no answer: a segmenter says it by saying nothing.

    Raises: InvalidInput when they have none in common, or the subject answers in raw tensors.
    """
    if not answers:
        raise InvalidInput(
            "expected a subject that gives annotations, got one of raw tensors; import it with a `head` and measure that"
        )
    extra = [name for name in answers if name not in version]
    unknown = [name for name in version if name not in answers and name != BACKGROUND]
    if len(extra) == len(answers):
        raise InvalidInput(
            f"expected a dataset with any of the subject's {list_few(answers)}, got {list_few(list(version))}; choose another"
        )
    notes = [f"the subject cannot answer {list_few(unknown)}: all of these count as missed"] if unknown else []
    if extra:
        notes.append(f"the dataset has no {list_few(extra)}: the subject's answers of these cannot be right")
    return Categories([*version, *extra]), notes


def list_few(names: Sequence[str]) -> str:
    """Names with commas: the first few, and how many more there are."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def measure_accuracy(
    subject: Subject,
    version: DatasetVersion,
    items: Iterator[Item],
    total: int,
    worst_pictures: int,
    seed: int,
    on_progress: OnProgress,
) -> AccuracyResult:
    """Predict every item's picture and judge the answers, but for pictures that no person looked at.

    Args:
        items: streamed once; `total` of them, for the progress.
        worst_pictures: how many of the worst to remember.
        seed: of the resamples that give the interval.

    Raises: InvalidInput when people gave no annotation.
    """
    task = read_task(subject)
    if task not in EVALUATION_THRESHOLDS:
        judged = ", ".join(EVALUATION_THRESHOLDS)
        raise Unsupported(f"expected a task that labels can judge ({judged}), got {task!r}; import it with a `head`")
    categories, notes = merge_categories(list_answers(subject), version.categories)
    threshold, told = EVALUATION_THRESHOLDS[task], _find_user_threshold(subject)
    shown = DECISION_THRESHOLDS.get(task, 0.0) if told is None else told
    evaluator = make_evaluator(task, categories, version.manifest.unlabelled_pixels, shown)
    curves = CurveBuilder(categories)
    worst = WorstPictures(task, categories, version.manifest.unlabelled_pixels, worst_pictures)
    known, labelled = KnownItems(items), 0
    for batch in iterate_batches(known, BATCH_SIZE):
        answers = predict_pictures(subject, read_pictures(subject, version, batch), threshold)
        for item, predicted in zip(batch, answers, strict=True):
            evaluator.add(item.annotations, predicted, item.width, item.height)
            truth = _pick_truth(task, item)
            if task in OBJECT_TASKS:
                curves.add(match_objects(truth, predicted), truth)
            worst.offer(item, truth, _as_shown(task, predicted, shown))
            labelled += bool(item.annotations)
        done = evaluator.images + known.left_out
        on_progress(ProgressEvent(stage="accuracy", progress=min(1.0, done / total), metrics={"images": evaluator.images}))
    notes += note_left_out(known.left_out, labelled, version)
    resamples = resample_metrics(evaluator, seed)
    accuracy = _describe_accuracy(evaluator, resamples, curves, categories, threshold)
    notes += note_unjudged(evaluator.images - evaluator.judged, accuracy)
    if task in DECISION_THRESHOLDS:
        accuracy = msgspec.structs.replace(accuracy, shown_threshold=told)
    return AccuracyResult(images=evaluator.judged, accuracy=accuracy, resamples=resamples, worst=worst, notes=notes)


def _describe_accuracy(
    evaluator: Evaluator, resamples: Resamples | None, curves: CurveBuilder, categories: Categories, threshold: float
) -> Accuracy:
    metrics = evaluator.compute()
    low, high = compute_interval(metrics, resamples)
    confusion, names = trim_confusion(metrics.confusion, categories)
    return Accuracy(
        primary_name=metrics.primary_name,
        primary=metrics.primary,
        primary_low=low,
        primary_high=high,
        values=metrics.values,
        per_category=metrics.per_category,
        confusion=confusion,
        confusion_names=names,
        curves=curves.build(),
        confidence_threshold=threshold,
    )


def note_left_out(left_out: int, labelled: int, version: DatasetVersion) -> list[str]:
    """What to say of pictures that no person looked at.

    Args: left_out: so many there are; labelled: pictures with annotations of people.

    Raises: InvalidInput when there are no others with annotations.
    """
    if left_out and not labelled:
        raise InvalidInput(
            f"expected pictures that people labelled, got {left_out} of {version.name!r} that no person "
            "looked at; label some, or measure on an earlier version, NAME@ID"
        )
    return [f"{left_out} pictures were left out: no person looked at them to label them"] if left_out else []


def note_unjudged(unlabelled: int, accuracy: Accuracy) -> list[str]:
    """What to say of pictures that no label judges, and of truth that holds nothing. Args: unlabelled: so many of them."""
    notes = [f"{unlabelled} pictures carry no label, so they judge nothing"] if unlabelled else []
    if not any(row[COUNT_METRIC] for row in accuracy.per_category.values()):
        notes.append(f"there is nothing true on these pictures, so {accuracy.primary_name} is 0 and says nothing")
    return notes


def trim_confusion(confusion: list[list[int]] | None, categories: Categories) -> tuple[list[list[int]] | None, tuple[str, ...]]:
    """The confusion matrix and the names of its rows; a background beside the categories goes when nothing is in it."""
    if confusion is None:
        return None, ()
    count = len(categories)
    if len(confusion) > count and not any(confusion[-1]) and not any(row[-1] for row in confusion):
        confusion = [row[:count] for row in confusion[:count]]
    return confusion, (*categories, BACKGROUND)[: len(confusion)]


def resample_metrics(evaluator: Evaluator, seed: int) -> Resamples | None:
    """The metrics on resamples of the pictures, drawn with `seed`; None for fewer than two pictures."""
    if evaluator.images < 2:
        return None
    resamples = max(MIN_RESAMPLES, min(RESAMPLES, RESAMPLED_PICTURES // evaluator.images))
    weights = draw_weights(evaluator.images, resamples, seed)
    found = evaluator.resample_all(weights)
    return Resamples(
        draws=name_draws(weights),
        images=evaluator.judged,
        categories=evaluator.category_names,
        pictures=tuple(evaluator.count_pictures().tolist()),
        found=found,
    )


def compute_interval(metrics: TaskMetrics, resamples: Resamples | None) -> tuple[float | None, float | None]:
    """95 % interval of the primary metric; None twice without resamples, or where none of them holds anything to judge."""
    if resamples is None:
        return None, None
    found = resamples.found
    if metrics.primary_name in found.right and found.labels is not None:
        interval = proportion_interval(found.right[metrics.primary_name][found.labels >= 0])
        return (interval.low, interval.high) if (found.labels >= 0).any() else (None, None)
    primary = found.values[metrics.primary_name]
    usable = primary[~np.isnan(primary)]
    if not len(usable):
        return None, None
    low, high = np.percentile(usable, [2.5, 97.5])
    interval = widen_empty(Interval(metrics.primary, float(low), float(high)), resamples.images, 0.0)
    return interval.low, interval.high


def _pick_truth(task: Task, item: Item) -> list[Annotation]:
    """What the task is about: of objects no label of the whole picture."""
    return [one for one in item.annotations if task not in OBJECT_TASKS or one.geometry != "image"]


def _find_user_threshold(subject: Subject) -> float | None:
    """The confidence from which on a user sees predictions; None for a Deployment whose server does not say."""
    decode = getattr(subject, "decode", None)
    if decode is not None:
        return float(decode.confidence_threshold)
    threshold: float | None = getattr(subject, "confidence_threshold", DECISION_THRESHOLDS.get(read_task(subject)))
    return threshold


def _as_shown(task: Task, predicted: Sequence[Annotation], threshold: float) -> list[Annotation]:
    """What a user sees of the answer: the best label, or the labels and objects above the threshold."""
    if task == "classification":
        return heapq.nlargest(1, predicted, key=lambda one: one.certainty)
    if task != "semantic":
        return [one for one in predicted if one.certainty >= threshold]
    return list(predicted)
