import math

import numpy as np
import pytest

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, NotFound
from sightline.imaging.masks import encode_mask
from sightline.metrics.detection import DetectionEvaluator
from sightline.metrics.matching import match_image

from .scenes import NAMES, SIZE, box, label, make_scenes


def judge(scenes, geometry="box", names=NAMES):
    evaluator = DetectionEvaluator(Categories(names), geometry)
    for truth, predicted in scenes:
        evaluator.add(truth, predicted, SIZE, SIZE)
    return evaluator


def test_perfect_boxes_have_map_1():
    truth = [box("a", (10, 10, 50, 60)), box("b", (100, 100, 300, 250))]
    predicted = [box("a", (10, 10, 50, 60), confidence=0.9), box("b", (100, 100, 300, 250), confidence=0.8)]
    metrics = judge([(truth, predicted)]).compute()
    assert metrics.primary == pytest.approx(1.0)
    assert metrics.values["map75"] == pytest.approx(1.0)
    assert metrics.per_category["a"]["ap"] == pytest.approx(1.0)
    assert metrics.per_category["a"]["truth"] == 1
    assert "ap" not in metrics.per_category["c"]


def test_a_box_of_iou_two_thirds_counts_up_to_065():
    truth, predicted = [box("a", (0, 0, 100, 100))], [box("a", (0, 0, 100, 150), confidence=0.9)]
    values = judge([(truth, predicted)]).compute().values
    # IoU 100 * 100 / (100 * 150) = 0.667: right at 0.50, 0.55, 0.60, 0.65, wrong at the other six thresholds.
    assert values["map"] == pytest.approx(0.4)
    assert (values["map50"], values["map75"]) == pytest.approx((1, 0))


def test_a_surer_false_box_halves_the_precision():
    truth = [box("a", (0, 0, 100, 100))]
    predicted = [box("a", (300, 300, 400, 400), confidence=0.9), box("a", (0, 0, 100, 100), confidence=0.8)]
    assert judge([(truth, predicted)]).compute().primary == pytest.approx(0.5)


def test_a_box_in_a_crowd_counts_neither_way():
    truth = [box("a", (0, 0, 100, 100)), box("a", (200, 200, 600, 600), is_crowd=True)]
    predicted = [box("a", (0, 0, 100, 100), confidence=0.5)]
    predicted += [box("a", (250 + 50 * place, 250, 290 + 50 * place, 300), confidence=0.9) for place in range(4)]
    metrics = judge([(truth, predicted)]).compute()
    assert metrics.primary == pytest.approx(1.0)
    assert metrics.confusion[0][0] == 1 and sum(map(sum, metrics.confusion)) == 1


def test_sizes_are_told_apart():
    truth = [box("a", (0, 0, 20, 20)), box("a", (100, 100, 150, 150)), box("a", (200, 200, 400, 400))]
    values = judge([(truth, [box("a", (100, 100, 150, 150), confidence=0.9)])]).compute().values
    assert (values["map_small"], values["map_medium"], values["map_large"]) == pytest.approx((0, 1, 0))
    only_large = judge([(truth[2:], [])]).compute().values
    assert "map_small" not in only_large and only_large["map_large"] == 0.0


def test_all_numbers_of_a_picture_by_hand():
    small = [box("a", (25 * place, 0, 25 * place + 20, 20)) for place in range(8)]
    medium = [box("a", (60 * place, 100, 60 * place + 50, 150)) for place in range(4)]
    large = [box("a", (0, 200, 200, 300)), box("a", (300, 200, 500, 400))]
    found = [*small, *medium[:3], box("a", (0, 200, 200, 350))]  # the last has IoU 2 / 3 with a large one: right at 4 of 10
    predicted = [box("a", one.box_xyxy, confidence=0.95 - 0.05 * place) for place, one in enumerate(found[:-1])]
    predicted.append(box("a", found[-1].box_xyxy, confidence=0.2))
    metrics = judge([([*small, *medium, *large], predicted)], names=("a",)).compute()
    # Precision is 1 up to the highest recall, 11 or 12 of 14: at the recalls 0 .. 0.78 or 0 .. 0.85.
    ap = (4 * 86 + 6 * 79) / 1010
    assert metrics.values == pytest.approx(
        {
            "map": ap,
            "map50": 86 / 101,
            "map75": 79 / 101,
            "map_small": 1,
            "map_medium": 76 / 101,  # recall 3 / 4
            "map_large": 0.4 * 51 / 101,  # recall 1 / 2
            "ar1": 1 / 14,  # of the surest one alone, ten, a hundred of a picture
            "ar10": 10 / 14,
            "ar100": (11 + 0.4) / 14,
            "ar_small": 1,
            "ar_medium": 3 / 4,
            "ar_large": 0.4 / 2,
            "best_confidence": 0.13,  # the middle of 0.05 .. 0.20
            "best_f1": 24 / 26,
        }
    )
    # From 0.25 on eleven are shown, all of them right.
    assert metrics.per_category["a"] == pytest.approx(
        {"ap": ap, "ap50": 86 / 101, "precision": 1, "recall": 11 / 14, "f1": 22 / 25, "truth": 14}
    )


def test_masks_are_compared_as_masks():
    left, right = np.zeros((SIZE, SIZE), bool), np.zeros((SIZE, SIZE), bool)
    left[100:200, 100:150] = True
    right[100:200, 150:200] = True
    bounds = (100.0, 100.0, 200.0, 200.0)  # one box around both halves
    truth = [Annotation(category="a", mask=encode_mask(left), box_xyxy=bounds)]
    predicted = [Annotation(category="a", mask=encode_mask(right), box_xyxy=bounds, confidence=0.9)]
    assert judge([(truth, predicted)], "mask").compute().primary == 0.0
    assert judge([(truth, predicted)], "box").compute().primary == pytest.approx(1.0)
    again = [Annotation(category="a", mask=encode_mask(left), confidence=0.9)]
    assert judge([(truth, again)], "mask").compute().primary == pytest.approx(1.0)


def test_the_size_of_a_mask_is_its_own_not_that_of_its_box():
    def slash(top, left, **fields):
        """A line of 200 x 2 pixels from corner to corner of a box of 200 x 201: small, in a large box."""
        pixels = np.zeros((SIZE, SIZE), bool)
        steps = np.arange(200)
        pixels[top + steps, left + steps] = pixels[top + steps, left + steps + 1] = True
        return Annotation(category="a", mask=encode_mask(pixels), box_xyxy=(left, top, left + 201, top + 200), **fields)

    truth = [slash(0, 0)]
    predicted = [slash(0, 0, confidence=0.5), slash(300, 300, confidence=0.9)]
    values = judge([(truth, predicted)], "mask").compute().values
    # The surer one is false and small too: precision 1 / 2 at the only recall.
    assert values["map_small"] == pytest.approx(0.5)
    assert "map_medium" not in values and "map_large" not in values
    assert "map_large" in judge([(truth, predicted)], "box").compute().values


def test_only_what_is_there_is_matched_and_only_once(monkeypatch):
    calls = []
    monkeypatch.setattr("sightline.metrics.detection.match_image", lambda *given: (calls.append(1), match_image(*given))[1])
    scenes = [([box("a", (0, 0, 100, 100))], [box("b", (0, 0, 100, 100), confidence=0.9)]) for _ in range(10)]
    evaluator = judge([*scenes, ([], [])])
    evaluator.compute()
    evaluator.resample(np.ones((3, 11), np.int64))
    assert len(calls) == 20  # of 11 pictures with 4 categories, twice
    evaluator.add([box("a", (0, 0, 9, 9))], [], SIZE, SIZE)
    assert [matches.truth.sum() for matches in evaluator.match()] == [11, 0, 0, 0]


def test_polygons_serve_where_masks_are_asked_for():
    ring = (10.0, 10.0, 60.0, 10.0, 60.0, 60.0, 10.0, 60.0)
    truth = [Annotation(category="a", polygons=(ring,))]
    predicted = [box("a", (10, 10, 60, 60), confidence=0.5)]
    assert judge([(truth, predicted)], "mask").compute().primary == pytest.approx(1.0)
    assert judge([(truth, predicted)], "box").compute().primary == pytest.approx(1.0)


@pytest.mark.parametrize("geometry", ["box", "mask"])
def test_nothing_true_nothing_said_and_nothing_at_all_are_defined(geometry):
    truth, said = [box("a", (1, 1, 30, 30))], [box("a", (1, 1, 30, 30), confidence=0.9)]
    assert judge([], geometry).compute().primary == 0.0
    assert judge([([], [])], geometry).compute().primary == 0.0
    assert judge([(truth, [])], geometry).compute().primary == 0.0
    nothing_true = judge([([], said)], geometry).compute()
    assert nothing_true.primary == 0.0
    assert nothing_true.per_category["a"] == {"precision": 0.0, "truth": 0}
    assert judge([(truth, said), ([], [])], geometry).compute().primary == pytest.approx(1.0)


def test_annotations_without_a_place_are_passed_over():
    assert judge([([label("a")], [label("a", 0.9)])]).compute().per_category["a"]["truth"] == 0


def test_nothing_is_printed(capfd):
    judge(make_scenes(5, 0)).compute()
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_unknown_categories_are_refused():
    with pytest.raises(NotFound):
        judge([([box("zebra", (0, 0, 1, 1))], [])])


def test_a_confidence_that_is_no_number_is_refused_when_it_comes():
    with pytest.raises(InvalidInput, match="got NaN"):
        judge([([], [box("a", (0, 0, 1, 1), confidence=math.nan)])])


def test_a_mask_of_another_size_than_the_picture_is_refused():
    mask = Annotation(category="a", mask=encode_mask(np.ones((SIZE, SIZE // 2), bool)), confidence=0.5)
    for truth, predicted in (([mask], []), ([], [mask])):
        with pytest.raises(InvalidInput, match=f"expected a mask of {SIZE} x {SIZE} for 'a', got {SIZE // 2} x {SIZE}"):
            judge([(truth, predicted)], geometry="mask")


def test_the_confusion_counts_as_a_user_sees_it():
    truth = [box("a", (0, 0, 100, 100)), box("a", (200, 0, 300, 100)), box("b", (400, 0, 500, 100))]
    predicted = [
        box("a", (0, 0, 100, 100), confidence=0.9),  # right
        box("a", (0, 0, 100, 90), confidence=0.8),  # the same again: nothing there
        box("b", (200, 0, 300, 100), confidence=0.7),  # an a taken for a b
        box("b", (400, 0, 500, 100), confidence=0.2),  # too unsure to be shown: the b is missed
    ]
    metrics = judge([(truth, predicted)], names=("a", "b")).compute()
    assert metrics.confusion == [[1, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert metrics.per_category["a"]["precision"] == pytest.approx(1 / 2)
    assert metrics.per_category["a"]["recall"] == pytest.approx(1 / 2)


def test_an_object_that_is_also_taken_for_another_is_found():
    """The confusion lets the surer "b" take it; precision and recall of "a" are those of the curve over recall."""
    place = (0, 0, 100, 100)
    predicted = [box("b", place, confidence=0.9), box("a", place, confidence=0.8)]
    metrics = judge([([box("a", place)], predicted)], names=("a", "b")).compute()
    assert metrics.confusion == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]
    assert metrics.per_category["a"] == {"ap": 1.0, "ap50": 1.0, "precision": 1.0, "recall": 1.0, "f1": 1.0, "truth": 1}
    assert metrics.per_category["b"] == {"precision": 0.0, "truth": 0}
