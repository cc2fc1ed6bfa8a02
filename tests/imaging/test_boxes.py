import math

import numpy as np
import pytest

from sightline.core.errors import InvalidInput
from sightline.imaging.boxes import box_area, box_iou, suppress_boxes, vote_boxes


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


def test_a_vote_moves_a_box_and_supports_it_by_hand():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [50, 50, 60, 60]], np.float32)
    scores, labels = np.array([0.8, 0.4, 0.6], np.float32), np.array([0, 0, 0])
    voted, support = vote_boxes(np.array([0, 2]), boxes, scores, labels, iou_threshold=0.6, voters=2, share=0.5, spread=0.02)
    weight = 0.4 * math.exp(-2)  # IoU 80 / 100: (1 - 0.8)² / 0.02 = 2
    assert voted[0] == pytest.approx([0, 0, 10, (0.8 * 10 + weight * 8) / (0.8 + weight)])
    assert voted[1] == pytest.approx([50, 50, 60, 60])
    # Means of two votes (0.8 + 0.4) / 2 and (0.6 + 0) / 2, blended evenly with the boxes' own scores.
    assert support == pytest.approx([math.sqrt(0.8 * 0.6), math.sqrt(0.6 * 0.3)])


def test_other_classes_and_boxes_farther_off_do_not_vote():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 6]], np.float32)
    scores, labels = np.array([0.8, 0.4, 0.4], np.float32), np.array([0, 1, 0])
    voted, support = vote_boxes(np.array([0]), boxes, scores, labels, iou_threshold=0.6, voters=1)  # IoU 0.6 is not above 0.6
    assert voted[0] == pytest.approx([0, 0, 10, 10])
    assert support == pytest.approx([0.8])


def test_a_faint_box_votes_for_itself_only():
    boxes, scores = np.array([[0, 0, 10, 10], [0, 0, 10, 9]], np.float32), np.array([0.8, 0.4], np.float32)
    voted, support = vote_boxes(
        np.array([0]), boxes, scores, np.array([0, 0]), iou_threshold=0.6, voters=2, share=1.0, faintest=0.5
    )
    assert voted[0] == pytest.approx([0, 0, 10, 10])
    assert support == pytest.approx([0.4])  # (0.8 + 0) / 2
    _, faint = vote_boxes(np.array([0]), boxes, scores, np.array([0, 0]), iou_threshold=0.6, voters=2, share=1.0, faintest=0.9)
    assert faint == pytest.approx([0.4])


@pytest.mark.parametrize(("rival", "votes"), [(0.05, 1), (0.049, 0)])
def test_what_is_voted_where_nothing_else_is_said(rival, votes):
    boxes, scores = np.array([[0, 0, 10, 10], [0, 0, 10, 9]], np.float32), np.array([0.8, rival], np.float32)
    voted, support = vote_boxes(np.array([0]), boxes, scores, np.array([0, 0]), iou_threshold=0.6)
    weight = votes * rival * math.exp(-(0.1**2) / 0.02)  # IoU 0.9
    assert voted[0] == pytest.approx([0, 0, 10, (0.8 * 10 + weight * 9) / (0.8 + weight)])
    assert support == pytest.approx([0.8**0.7 * ((0.8 + votes * rival) / 5) ** 0.3])


def test_among_boxes_at_random_votes_raise_no_score(rng):
    boxes, scores, labels = draw_boxes(rng, 80), rng.uniform(0.01, 1, 80).astype(np.float32), rng.integers(0, 2, 80)
    kept = suppress_boxes(boxes, scores, labels, 0.3, 100)
    _, support = vote_boxes(kept, boxes, scores, labels, iou_threshold=0.3)
    assert (support <= scores[kept] * (1 + 1e-6)).all()


def test_surer_boxes_that_another_suppressed_may_raise_a_score():
    """The five at 0.8 fell to the first, but overlap the last, which stays, by 0.64: they vote for both."""
    boxes = np.array([[0, 0, 100, 100], *[[22, 0, 122, 100]] * 5, [44, 0, 144, 100]], np.float32)
    scores, labels = np.array([0.9, *[0.8] * 5, 0.5], np.float32), np.zeros(7, int)
    kept = suppress_boxes(boxes, scores, labels, 0.6, 100)
    assert kept.tolist() == [0, 6]
    _, support = vote_boxes(kept, boxes, scores, labels, iou_threshold=0.6)
    assert support[1] == pytest.approx(0.5**0.7 * 0.8**0.3)  # five votes of 0.8
    assert support[1] > 0.5


@pytest.mark.parametrize("candidates", [0, 3])
def test_where_nothing_is_kept_nothing_is_voted_on(candidates):
    kept = np.zeros(0, np.int64)
    voted, support = vote_boxes(
        kept, np.ones((candidates, 4)), np.ones(candidates), np.ones(candidates, int), iou_threshold=0.6
    )
    assert (voted.shape, support.shape) == ((0, 4), (0,))


def test_a_score_of_zero_keeps_its_place():
    voted, support = vote_boxes(np.array([0]), np.array([[1, 2, 3, 4]]), np.array([0.0]), np.array([0]), iou_threshold=0.6)
    assert voted.tolist() == [[1, 2, 3, 4]]
    assert support.tolist() == [pytest.approx(0, abs=1e-6)]


@pytest.mark.parametrize("score", [0.5, 0.0])
def test_an_empty_box_stays_where_it_is(score):
    voted, support = vote_boxes(
        np.array([0]), np.array([[5, 5, 5, 9]]), np.array([score]), np.array([0]), iou_threshold=1.0, voters=1
    )
    assert voted.tolist() == [[5, 5, 5, 9]]
    assert support == pytest.approx([score], abs=1e-6)
