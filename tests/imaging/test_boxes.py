import numpy as np
import pytest

from sightline.core.errors import InvalidInput
from sightline.imaging.boxes import box_area, box_iou, suppress_boxes


def draw_boxes(rng, count: int) -> np.ndarray:
    corners = rng.uniform(0, 400, (count, 2))
    return np.concatenate([corners, corners + rng.uniform(5, 90, (count, 2))], axis=1).astype(np.float32)


def test_iou_by_hand():
    boxes = np.array([[0, 0, 2, 1]], np.float32)
    others = np.array([[1, 0, 3, 1], [0, 0, 2, 1], [5, 5, 6, 6], [2, 0, 3, 1]], np.float32)
    # 1 shared of 3 covered; itself; apart; touching.
    assert box_iou(boxes, others)[0] == pytest.approx([1 / 3, 1, 0, 0])


def test_touching_boxes_do_not_overlap():
    assert box_iou(np.array([[0, 0, 1, 1]]), np.array([[1, 0, 2, 1], [1, 1, 2, 2]])).tolist() == [[0, 0]]


def test_empty_and_inverted_boxes_have_no_area_and_no_overlap():
    boxes = np.array([[1, 1, 1, 5], [4, 4, 2, 2]], np.float32)
    assert box_area(boxes).tolist() == [0, 0]
    assert box_iou(boxes, boxes).tolist() == [[0, 0], [0, 0]]


def test_iou_of_nothing_is_an_empty_table():
    assert box_iou(np.zeros((0, 4)), np.zeros((3, 4))).shape == (0, 3)
    assert box_iou([], np.zeros((3, 4))).shape == (0, 3)


@pytest.mark.parametrize("shape", [(4,), (3, 5), (2, 2, 4)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InvalidInput, match=r"\(N, 4\)"):
        box_area(np.zeros(shape))


@pytest.mark.parametrize(
    ("count", "classes", "threshold"), [(1000, 3, 0.6), (1000, 1, 0.5), (700, 80, 0.3), (129, 2, 0.0), (1, 1, 0.5)]
)
def test_suppression_agrees_with_torchvision(rng, count, classes, threshold):
    torch = pytest.importorskip("torch")
    ops = pytest.importorskip("torchvision.ops")
    boxes, scores = draw_boxes(rng, count), rng.random(count).astype(np.float32)
    labels = rng.integers(0, classes, count)
    expected = ops.batched_nms(torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(labels), threshold).numpy()
    for most in (count, 100, 7):
        np.testing.assert_array_equal(suppress_boxes(boxes, scores, labels, threshold, most), expected[:most])


def suppress_slowly(boxes, scores, labels, threshold):
    order = sorted(range(len(boxes)), key=lambda index: (-scores[index], index))
    kept = []
    for index in order:
        rivals = [other for other in kept if labels[other] == labels[index]]
        if all(box_iou(boxes[[index]], boxes[[other]])[0, 0] <= threshold for other in rivals):
            kept.append(index)
    return kept


def test_suppression_agrees_with_a_slow_loop_when_scores_tie(rng):
    boxes, labels = draw_boxes(rng, 150), rng.integers(0, 2, 150)
    scores = rng.integers(0, 4, 150) / 4  # many ties: the earlier box wins
    assert suppress_boxes(boxes, scores, labels, 0.2, 150).tolist() == suppress_slowly(boxes, scores, labels, 0.2)


def test_boxes_of_other_classes_do_not_suppress_each_other():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]], np.float32)
    kept = suppress_boxes(boxes, np.array([0.5, 0.9, 0.7]), np.array([0, 1, 0]), 0.5, 10)
    assert kept.tolist() == [1, 2]


def test_suppression_of_nothing_is_nothing():
    assert suppress_boxes(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), 0.5, 10).tolist() == []


def test_each_box_needs_a_score_and_a_label():
    with pytest.raises(InvalidInput, match="one score and one label"):
        suppress_boxes(np.zeros((2, 4)), np.zeros(3), np.zeros(2, int), 0.5, 10)
