import numpy as np
import pytest

from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, NotFound
from sightline.metrics.classification import ClassificationEvaluator

from .scenes import label


def judge(pairs, names="abc"):
    evaluator = ClassificationEvaluator(Categories(names))
    for truth, predicted in pairs:
        evaluator.add([label(name) for name in truth], [label(*one) for one in predicted], 10, 10)
    return evaluator.compute()


def test_counts_by_hand():
    metrics = judge(
        [
            ("a", [("a", 0.9), ("b", 0.1)]),
            ("a", [("b", 0.6), ("a", 0.4), ("c", 0.0)]),
            ("a", [("a", 0.5)]),
            ("b", [("b", 0.8)]),
            ("b", [("c", 0.4), ("b", 0.7)]),  # not sorted: the surest decides
            ("c", [("a", 0.3)]),
        ]
    )
    assert metrics.primary_name == "top1"
    assert metrics.primary == pytest.approx(4 / 6)
    assert metrics.confusion == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert metrics.per_category["a"] == pytest.approx({"truth": 3, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3})
    assert metrics.per_category["b"] == pytest.approx({"truth": 2, "precision": 2 / 3, "recall": 1.0, "f1": 0.8})
    assert metrics.per_category["c"] == {"truth": 1, "recall": 0.0, "f1": 0.0}  # never predicted: no precision
    assert metrics.values["macro_f1"] == pytest.approx((2 / 3 + 0.8 + 0) / 3)
    assert "top5" not in metrics.values  # of three categories it would always be 1


def test_top_5_looks_at_the_five_surest():
    ranked = [(name, 1 - place / 10) for place, name in enumerate("abcdefg")]
    metrics = judge([("a", ranked), ("e", ranked), ("f", ranked), ("g", ranked), ("", ranked)], "abcdefg")
    assert metrics.values["top1"] == 1 / 4
    assert metrics.values["top5"] == 2 / 4
    assert "top5" not in judge([("a", ranked[:5])], "abcde").values


def test_resamples_of_top_5_by_hand():
    evaluator = ClassificationEvaluator(Categories("abcdefg"))
    for name in ("a", "e", "f", ""):
        ranked = [label(one, 1 - place / 10) for place, one in enumerate("abcdefg")]
        evaluator.add([label(name)] if name else [], ranked, 10, 10)
    found = evaluator.resample_all(np.array([[1, 1, 1, 1], [0, 2, 1, 5], [0, 0, 0, 4]]))
    assert found.values["top5"].tolist() == pytest.approx([2 / 3, 2 / 3, np.nan], nan_ok=True)
    assert found.right["top5"].tolist() == [True, True, False, False]
    assert found.labels.tolist() == [0, 4, 5, -1]
    assert (evaluator.images, evaluator.judged) == (4, 3)


def test_a_picture_without_an_answer_is_wrong_and_has_a_column():
    metrics = judge([("a", []), ("b", [("b", 0.5)])], "ab")
    assert metrics.primary == 0.5
    assert metrics.confusion == [[0, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert judge([("a", [("b", 0.5)])], "ab").confusion == [[0, 1], [0, 0]]  # all are answered


def test_a_picture_without_a_label_is_left_out():
    metrics = judge([("", [("a", 0.9)]), ("b", [("b", 0.5)])], "ab")
    assert metrics.primary == 1.0
    assert metrics.images == 2
    assert sum(map(sum, metrics.confusion)) == 1


def test_nothing_added_gives_zero():
    assert judge([]).primary == 0.0
    assert judge([("", [])]).primary == 0.0


def test_two_labels_and_unknown_names_are_refused():
    with pytest.raises(InvalidInput, match="multilabel"):
        judge([("ab", [])])
    with pytest.raises(NotFound, match="'z'"):
        judge([("a", [("z", 0.5)])])
