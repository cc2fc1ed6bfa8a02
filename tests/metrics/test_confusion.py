import numpy as np

from sightline.metrics.confusion import ObjectConfusion


def count(labels, crowd, answers, confidences, ious, categories=2, **threshold):
    confusion = ObjectConfusion(categories, **threshold)
    shape = (len(answers), len(labels))
    confusion.add(
        np.array(labels, np.int64), np.array(crowd, bool), np.array(answers, np.int64), np.array(confidences, float),
        np.array(ious, float).reshape(shape),
    )  # fmt: skip
    return confusion.counts.tolist()


def test_its_own_category_comes_before_a_closer_other_one():
    assert count([0, 1], [0, 0], [1], [0.9], [[0.9, 0.6]]) == [[0, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_the_surer_prediction_chooses_first():
    assert count([0], [0], [1, 0], [0.5, 0.9], [[0.9], [0.6]]) == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_of_equally_sure_predictions_the_earlier_chooses_first():
    assert count([0], [0], [0, *[1] * 39], [0.9] * 40, [[0.9]] * 40) == [[1, 0, 0], [0, 0, 0], [0, 39, 0]]


def test_a_crowd_excuses_and_is_never_missed():
    assert count([0], [1], [0, 1], [0.9, 0.9], [[0.8], [0.2]]) == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_what_lies_in_a_crowd_is_excused_beside_objects_that_are_none():
    assert count([0, 1], [1, 0], [0], [0.9], [[0.5, 0.0]]) == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_predictions_count_from_the_confidence_and_the_overlap_on():
    assert count([0, 1], [0, 0], [0, 1], [0.25, 0.25], [[0.5, 0], [0, 0.49]]) == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    unsure = ([0, 1], [0, 0], [0, 1, 1], [0.3, 0.29, 0.2], [[0.9, 0], [0, 0.9], [0, 0]])
    assert count(*unsure, confidence=0.3) == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_an_empty_picture_counts_nothing():
    assert count([], [], [], [], []) == [[0, 0, 0], [0, 0, 0], [0, 0, 0]]
