"""Pick the evaluator of a task."""

from collections.abc import Callable

from sightline.core.categories import Categories
from sightline.core.errors import NotFound
from sightline.core.manifests import Task, UnlabelledPixels
from sightline.metrics.classification import ClassificationEvaluator
from sightline.metrics.confusion import CONFIDENCE
from sightline.metrics.detection import DetectionEvaluator
from sightline.metrics.multilabel import DECISION_THRESHOLD, MultilabelEvaluator
from sightline.metrics.semantic import SemanticEvaluator
from sightline.metrics.task_metrics import Evaluator, TaskMetrics

__all__ = ["EVALUATION_THRESHOLDS", "Evaluator", "TaskMetrics", "make_evaluator"]

# The confidence below which predictions need not be asked for. Metrics that walk along the confidence need unsure ones too.
EVALUATION_THRESHOLDS: dict[Task, float] = {
    "classification": 0.0,
    "multilabel": 0.0,
    "detection": 0.01,
    "instance": 0.01,
    "semantic": 0.0,
}

DECISION_THRESHOLDS: dict[Task, float] = {"multilabel": DECISION_THRESHOLD, "detection": CONFIDENCE, "instance": CONFIDENCE}

EVALUATORS: dict[str, Callable[[Categories, UnlabelledPixels, float], Evaluator]] = {
    "classification": lambda categories, unlabelled, threshold: ClassificationEvaluator(categories),
    "multilabel": lambda categories, unlabelled, threshold: MultilabelEvaluator(categories, threshold),
    "detection": lambda categories, unlabelled, threshold: DetectionEvaluator(categories, "box", threshold),
    "instance": lambda categories, unlabelled, threshold: DetectionEvaluator(categories, "mask", threshold),
    "semantic": lambda categories, unlabelled, threshold: SemanticEvaluator(categories, unlabelled),
}


def make_evaluator(
    task: Task,
    categories: Categories,
    unlabelled_pixels: UnlabelledPixels = "background",
    threshold: float | None = None,
) -> Evaluator:
    """A fresh evaluator.

    Args:
        task: what the network does.
        categories: all names that truth or predictions may use.
        unlabelled_pixels: semantic only: pixels no true mask covers are "background" (a class), or not counted ("ignore").
        threshold: the confidence from which a user is shown a label or an object, the Model's own; None takes 0.5 for labels,
            0.25 for objects. Other tasks have none.

    Raises:
        NotFound: no such task.
    """
    if task not in EVALUATORS:
        raise NotFound(f"expected a task of {sorted(EVALUATORS)}, got {task!r}; choose one of these")
    shown = DECISION_THRESHOLDS.get(task, 0.0) if threshold is None else threshold
    return EVALUATORS[task](categories, unlabelled_pixels, shown)
