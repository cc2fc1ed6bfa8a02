import numpy as np
import pytest

from sightline.core.categories import Categories
from sightline.metrics.multilabel import MultilabelEvaluator, average_precision

from .scenes import label


def judge(pairs, names="abc", threshold=0.5):
    evaluator = MultilabelEvaluator(Categories(names), threshold)
    for truth, predicted in pairs:
        evaluator.add([label(name) for name in truth], [label(*one) for one in predicted], 10, 10)
    return evaluator.compute()


def test_f1_by_hand():
    metrics = judge(
        [
            ("ab", [("a", 0.9), ("b", 0.4)]),
            ("a", [("a", 0.5), ("b", 0.8)]),
            ("", [("a", 0.6)]),
            ("b", [("b", 0.7)]),
        ]
    )
    # a: 2 right of 3 said, 2 true; b: 1 right of 2 said, 2 true; c does not occur.
    assert metrics.per_category["a"]["f1"] == pytest.approx(4 / 5)
    assert metrics.per_category["b"]["f1"] == pytest.approx(2 / 4)
    assert metrics.per_category["c"] == {"truth": 0}
    assert metrics.values["f1"] == metrics.primary == pytest.approx((4 / 5 + 2 / 4) / 2)
    assert metrics.values["micro_f1"] == pytest.approx(2 * 3 / (4 + 5))


@pytest.mark.parametrize(("threshold", "f1"), [(0.25, 1.0), (0.4, 1.0), (0.5, 0.5)])
def test_f1_is_that_of_the_labels_from_the_threshold_on(threshold, f1):
    assert judge([("ab", [("a", 0.9), ("b", 0.4)])], threshold=threshold).primary == pytest.approx(f1)


def test_average_precision_by_hand():
    # Ranked: right, wrong, right: precision 1 at recall 1/2, 2/3 at recall 1.
    assert average_precision(np.array([True, False, True]), np.array([0.9, 0.8, 0.7])) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_ties_count_as_one_step():
    # Both at one confidence: one step to recall 1 at precision 1/2, whatever their order.
    assert average_precision(np.array([True, False]), np.array([0.5, 0.5])) == pytest.approx(0.5)
    assert average_precision(np.array([False, True]), np.array([0.5, 0.5])) == pytest.approx(0.5)


def step_through(truth, confidences):
    """Recall steps times precision, threshold by threshold."""
    total, area, last = truth.sum(), 0.0, 0.0
    for threshold in sorted(set(confidences), reverse=True):
        said = confidences >= threshold
        recall = (truth & said).sum() / total
        area += (recall - last) * (truth & said).sum() / said.sum()
        last = recall
    return area


@pytest.mark.parametrize("seed", range(10))
def test_average_precision_agrees_with_a_slow_loop(seed):
    rng = np.random.default_rng(seed)
    truth, confidences = rng.random(40) < 0.3, np.round(rng.random(40), 1)
    truth[0] = True
    assert average_precision(truth, confidences) == pytest.approx(step_through(truth, confidences))


def test_nothing_true_or_nothing_said_is_defined():
    assert judge([]).primary == 0.0
    assert judge([("", [])]).values == {"f1": 0.0, "micro_f1": 0.0, "map": 0.0}
    assert judge([("a", [])]).per_category["a"] == pytest.approx({"truth": 1, "recall": 0.0, "f1": 0.0, "ap": 1.0})
