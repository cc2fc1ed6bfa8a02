import json

import msgspec
import pytest

from sightline.core.categories import Categories
from sightline.core.errors import NotFound
from sightline.metrics.evaluator import EVALUATION_THRESHOLDS, make_evaluator
from sightline.metrics.task_metrics import PRIMARY_MEANINGS

from .scenes import box

CATEGORIES = Categories(["a", "b"])


@pytest.mark.parametrize(
    ("task", "primary"),
    [("classification", "top1"), ("multilabel", "f1"), ("detection", "map"), ("instance", "map"), ("semantic", "miou")],
)
def test_each_task_has_its_primary_metric(task, primary):
    metrics = make_evaluator(task, CATEGORIES).compute()
    assert metrics.primary_name == primary
    assert metrics.values[primary] == metrics.primary == 0.0
    assert task in EVALUATION_THRESHOLDS
    assert PRIMARY_MEANINGS[primary].startswith(f"{primary}: ")


@pytest.mark.parametrize("task", ["classification", "multilabel", "detection", "instance", "semantic"])
@pytest.mark.parametrize("truth", [[], [box("a", (1, 1, 3, 3))]])
@pytest.mark.parametrize("predicted", [[], [box("b", (1, 1, 3, 3), confidence=0.5)]])
def test_metrics_are_finite_and_fit_into_json(task, truth, predicted):
    evaluator = make_evaluator(task, CATEGORIES)
    evaluator.add(truth, predicted, 8, 8)
    content = json.loads(msgspec.json.encode(evaluator.compute()), parse_constant=pytest.fail)
    numbers = [*content["values"].values(), *(value for row in content["per_category"].values() for value in row.values())]
    assert all(isinstance(number, float | int) for number in numbers)  # JSON would hold null for NaN


def test_unlabelled_pixels_reach_the_evaluator():
    evaluators = [make_evaluator("semantic", CATEGORIES, rule) for rule in ("ignore", "background")]
    for evaluator in evaluators:
        evaluator.add([], [], 4, 4)
    assert [evaluator.compute().values["pixel_accuracy"] for evaluator in evaluators] == [0.0, 1.0]


def test_unknown_tasks_are_refused():
    with pytest.raises(NotFound, match="'pose'"):
        make_evaluator("pose", CATEGORIES)
