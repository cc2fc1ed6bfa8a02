import msgspec
import numpy as np
import pytest

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.imaging.masks import encode_mask, label_map_to_annotations
from sightline.metrics.agreement import compare_predictions, pair_objects

from .scenes import box, label

CATEGORIES = Categories(["a", "b"])


def compare(task, before, after, size=(10, 10), threshold=0.25):
    return compare_predictions(task, CATEGORIES, before, after, [size] * len(before), threshold)


def test_classification_flips_when_the_first_category_changes():
    before = [[label("a", 0.9), label("b", 0.1)], [label("a", 0.6)], [label("b", 0.7)], []]
    after = [[label("b", 0.2), label("a", 0.8)], [label("b", 0.6)], [label("b", 0.4)], []]
    result = compare("classification", before, after)
    assert (result.images, result.label_agreement, result.flipped) == (4, pytest.approx(2 / 3), [1])  # the last shows nothing
    assert result.mean_iou is None


def test_multilabel_flips_when_a_category_crosses_the_threshold():
    before = [[label("a", 0.9), label("b", 0.4)], [label("a", 0.6)]]
    after = [[label("a", 0.5), label("b", 0.3)], [label("a", 0.4)]]
    assert compare("multilabel", before, after, threshold=0.5).flipped == [1]
    assert compare("multilabel", before, after, threshold=0.35).flipped == [0]  # b was shown, from 0.4 to 0.3


@pytest.mark.parametrize("task", ["classification", "multilabel", "detection"])
def test_labels_of_another_tool_are_compared_as_sure_predictions(task):
    place = (0, 0, 10, 10)
    labels = [[box("a", place)], [box("b", place)]]
    said = [[box("b", place, confidence=0.2), box("a", place, confidence=0.9)], [box("a", place, confidence=0.9)]]
    assert compare(task, labels, said).flipped == [1]
    surest_first = [[box("b", place, confidence=0.2), box("a", place)], [box("a", place)]]  # a label beside a prediction
    assert compare(task, surest_first, said).flipped == []


def test_multilabel_is_compared_as_users_get_it():
    before, after = [[label("a", 0.9), label("b", 0.4)]] * 100, [[label("a", 0.9), label("b", 0.05)]] * 100
    result = compare("multilabel", before, after, threshold=0.25)
    assert (result.label_agreement, len(result.flipped)) == (0.0, 100)


def test_boxes_agree_by_category_and_overlap():
    before = [[box("a", (0, 0, 10, 10), confidence=0.9), box("b", (20, 20, 30, 30), confidence=0.9)], []]
    after = [[box("a", (0, 0, 10, 8), confidence=0.7), box("a", (20, 20, 30, 30), confidence=0.9)], []]
    result = compare("detection", before, after)
    assert result.label_agreement == 0.5
    assert result.mean_iou == pytest.approx(0.8)
    assert result.flipped == [0]


def test_instances_agree_by_their_masks_and_not_by_their_bounds():
    corner, cross = np.tri(10, dtype=bool), np.zeros((10, 10), bool)  # both reach from 0 to 10
    cross[0], cross[:, 9] = True, True
    one, same, other = (
        Annotation(category="a", box_xyxy=(0, 0, 10, 10), mask=encode_mask(mask), confidence=0.9)
        for mask in (corner, corner | np.eye(10, k=1, dtype=bool), cross)
    )
    result = compare("instance", [[one], [one]], [[same], [other]])
    assert (result.label_agreement, result.flipped) == (pytest.approx(1 / 3), [1])  # the lost one and the false one are two
    assert result.mean_iou == pytest.approx(55 / 64)
    assert compare("detection", [[one]], [[other]]).flipped == []
    bare = msgspec.structs.replace(one, mask=None)
    assert compare("instance", [[bare]], [[other]]).flipped == []  # without a mask boxes are all that can be compared


def test_boxes_that_are_not_shown_are_not_compared():
    before = [[box("a", (0, 0, 10, 10), confidence=0.9)]]
    after = [[box("a", (0, 0, 10, 10), confidence=0.8), box("b", (0, 0, 5, 5), confidence=0.1)]]
    result = compare("detection", before, after)
    assert (result.label_agreement, result.flipped) == (1.0, [])


def test_the_closest_boxes_are_matched_first_and_once():
    before = [box("a", (0, 0, 10, 10)), box("a", (0, 0, 10, 9))]
    after = [box("a", (0, 0, 10, 10))]
    assert pair_objects(before, after) == [(0, 0, pytest.approx(1.0))]
    assert pair_objects([], after) == []


def test_a_lost_and_a_false_object_in_two_places_are_two_changes():
    kept, lost, false = (box("a", (place, 0, place + 10, 10), confidence=0.9) for place in (0, 100, 200))
    result = compare("detection", [[kept, lost]], [[kept, false]])
    assert (result.parts, result.label_agreement) == ([(1, 3)], pytest.approx(1 / 3))


def test_an_object_whose_category_changed_is_one_change():
    kept, lost = (box("a", (place, 0, place + 10, 10), confidence=0.9) for place in (0, 100))
    false = box("b", (101, 0, 111, 10), confidence=0.9)
    assert compare("detection", [[kept, lost]], [[kept, false]]).parts == [(1, 2)]


def test_one_lost_and_one_false_object_of_a_hundred_are_more_than_one_percent():
    pair = [box("a", (place, 0, place + 10, 10), confidence=0.9) for place in (0, 50)]
    moved = [pair[0], box("a", (200, 0, 210, 10), confidence=0.9)]
    result = compare("detection", [pair] * 50, [moved, *[pair] * 49])
    assert (result.shown, result.label_agreement) == (101, pytest.approx(99 / 101))


def test_pixels_agree_and_a_picture_flips_at_more_than_one_in_twenty():
    first, few, many = np.zeros((10, 10), int), np.zeros((10, 10), int), np.zeros((10, 10), int)
    few[0, :5], many[0, :6] = 1, 1
    side = [label_map_to_annotations(first, CATEGORIES)] * 2
    other = [label_map_to_annotations(one, CATEGORIES) for one in (few, many)]
    result = compare("semantic", side, other)
    assert result.label_agreement == pytest.approx(1 - 11 / 200)
    assert result.flipped == [1]


def test_a_lost_defect_is_no_small_change_beside_the_background():
    defect = np.full((10, 10), -1)
    defect[0, :4] = 0
    shrunk = np.where(np.arange(10) < 3, defect, -1)
    side = [label_map_to_annotations(one, CATEGORIES) for one in (defect, defect, np.full((10, 10), -1))]
    other = [label_map_to_annotations(one, CATEGORIES) for one in (shrunk, np.full((10, 10), -1), np.full((10, 10), -1))]
    result = compare("semantic", side, other)
    assert result.parts == [(3, 4), (0, 4), (0, 0)]  # three of four pixels stay; all go; nothing there
    assert (result.label_agreement, result.flipped, result.shown) == (3 / 8, [0, 1], 8)
    assert compare("semantic", other, side) == result  # a false defect counts as a lost one


def test_a_background_that_has_masks_of_its_own_is_not_compared_either():
    categories = Categories(["background", "a"])
    empty, defect = np.zeros((10, 10), int), np.zeros((10, 10), int)
    defect[0, :5] = 1
    before, after = ([label_map_to_annotations(one, categories)] for one in (defect, empty))
    result = compare_predictions("semantic", categories, before, after, [(10, 10)])
    assert (result.label_agreement, result.shown) == (0.0, 5)
    assert compare_predictions("semantic", categories, after, [[]], [(10, 10)]).shown == 0


def test_pictures_without_a_label_do_not_agree_with_each_other():
    sure, unsure = [label("a", 0.9)], [label("a", 0.1)]
    result = compare("multilabel", [sure, *[unsure] * 99], [unsure] * 100)
    assert (result.label_agreement, result.flipped, result.shown) == (0.0, [0], 1)  # the one label there was is lost


@pytest.mark.parametrize("task", ["classification", "multilabel", "detection", "instance", "semantic"])
def test_no_pictures_agree(task):
    result = compare(task, [], [])
    assert (result.images, result.label_agreement, result.flipped) == (0, 1.0, [])


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(InvalidInput):
        compare("detection", [[]], [[], []])


@pytest.mark.parametrize(("confidence", "agreement"), [(0.2, 1.0), (0.1, 0.0)])
def test_an_object_that_slips_below_the_threshold_is_still_there_and_one_that_fades_is_not(confidence, agreement):
    """Shown from 0.25 on; a partner counts from 0.15 on, whichever side it is on."""
    sure, unsure = [[box("a", (0, 0, 10, 10), confidence=0.27)]], [[box("a", (0, 0, 10, 10), confidence=confidence)]]
    for before, after in ((sure, unsure), (unsure, sure)):
        assert compare("detection", before, after).label_agreement == agreement


def test_an_object_that_only_one_side_has_counts_against_both():
    both = box("a", (0, 0, 10, 10), confidence=0.9)
    result = compare("detection", [[both]], [[both, box("a", (20, 20, 30, 30), confidence=0.9)]])
    assert (result.label_agreement, result.flipped, result.parts) == (0.5, [0], [(1, 2)])


@pytest.mark.parametrize(("task", "shown"), [("classification", 2), ("multilabel", 1), ("detection", 1), ("semantic", 300)])
def test_what_neither_side_shows_is_not_counted_as_shown(task, shown):
    make = box if task == "detection" else label
    place = ((0, 0, 5, 5),) if task == "detection" else ()
    sure, unsure = make("a", *place, confidence=0.9), make("a", *place, confidence=0.1)
    before, after = [[sure], [unsure], []], [[unsure], [unsure], []]
    if task == "semantic":
        before = after = [label_map_to_annotations(np.zeros((10, 10), int), CATEGORIES)] * 3
    assert compare(task, before, after).shown == shown
