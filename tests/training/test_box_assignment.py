"""Assignment of cells to objects, against small cases by hand and a slow loop."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sightline.data.augmentation import Objects
from sightline.training.anchor_free_loss import AnchorFreeLoss, cell_centres
from sightline.training.box_assignment import NO_OBJECT, Truth, assign_cells, pad_truth, pair_iou

CENTRES, _ = cell_centres(32, 32, (8,))  # 16 cells: x and y at 4, 12, 20, 28


def make_objects(boxes: list[list[float]], labels: list[int], is_crowd: bool = False) -> Objects:
    crowd = np.full(len(labels), is_crowd)
    return Objects(np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64), crowd, [[] for _ in labels])


def make_truth(boxes: list[list[float]], labels: list[int], is_crowd: bool = False) -> Truth:
    return pad_truth([make_objects(boxes, labels, is_crowd)])


def test_pair_iou_by_hand() -> None:
    iou, giou = pair_iou(torch.tensor([[0.0, 0, 2, 1], [0, 0, 1, 1]]), torch.tensor([[1.0, 0, 3, 1], [2, 0, 3, 1]]))
    assert iou.tolist() == pytest.approx([1 / 3, 0], abs=1e-5)  # 1 shared of 3 covered; apart
    assert giou.tolist() == pytest.approx([1 / 3, -1 / 3], abs=1e-5)  # hulls 3 and 3, unions 3 and 2


def test_truth_is_padded_with_no_object() -> None:
    truth = pad_truth([make_objects([], []), make_objects([[0, 0, 1, 1], [1, 1, 2, 2]], [1, 2])])
    assert truth.labels.tolist() == [[NO_OBJECT, NO_OBJECT], [1, 2]]
    assert truth.is_object.tolist() == [[False, False], [True, True]]
    assert truth.boxes_xyxy.shape == (2, 2, 4)


def test_a_picture_without_objects_assigns_nothing() -> None:
    found = assign_cells(torch.full((1, 16, 2), 0.5), torch.zeros(1, 16, 4), make_truth([], []), CENTRES, 8)
    assert found.cell.numel() == 0


def test_no_cell_answers_for_a_crowd() -> None:
    boxes = torch.cat([CENTRES - 8, CENTRES + 8], 1)[None]
    crowd = make_truth([[0, 0, 16, 16]], [0], is_crowd=True)
    assert assign_cells(torch.full((1, 16, 1), 0.5), boxes, crowd, CENTRES, 8).cell.numel() == 0


def test_only_cells_inside_the_object_are_assigned() -> None:
    boxes = torch.cat([CENTRES - 8, CENTRES + 8], 1)[None]
    found = assign_cells(torch.full((1, 16, 1), 0.5), boxes, make_truth([[0, 0, 16, 16]], [0]), CENTRES, 8)
    assert sorted(found.cell.tolist()) == [0, 1, 4, 5]  # the four cells of the top left quarter


def test_an_object_between_cell_centres_still_gets_cells() -> None:
    boxes = torch.cat([CENTRES - 1, CENTRES + 1], 1)[None]
    found = assign_cells(torch.full((1, 16, 1), 0.5), boxes, make_truth([[7, 7, 9, 9]], [0]), CENTRES, 8)
    assert set(found.cell.tolist()) <= {0, 1, 4, 5}
    assert found.cell.numel() > 0


def test_the_best_cell_aims_at_its_overlap_and_a_contested_cell_goes_to_the_better_match() -> None:
    boxes = torch.cat([CENTRES - 8, CENTRES + 8], 1)[None]  # 16 x 16 around each centre
    truth = make_truth([[0, 0, 16, 16], [4, 4, 20, 20]], [0, 0])
    found = assign_cells(torch.full((1, 16, 1), 0.25), boxes, truth, CENTRES, 8)
    assert len(set(found.cell.tolist())) == len(found.cell)  # no cell answers for two
    by_cell = dict(zip(found.cell.tolist(), zip(found.object.tolist(), found.strength.tolist(), strict=True), strict=True))
    assert by_cell[5][0] == 1  # the cell at (12, 12) boxes (4, 4, 20, 20) exactly
    assert by_cell[5][1] == pytest.approx(1.0, abs=1e-4)


def test_twin_objects_never_share_a_cell() -> None:
    boxes = torch.cat([CENTRES - 8, CENTRES + 8], 1)[None]
    twins = make_truth([[0, 0, 16, 16], [0, 0, 16, 16]], [0, 0])
    found = assign_cells(torch.full((1, 16, 1), 0.5), boxes, twins, CENTRES, 8)
    assert sorted(found.cell.tolist()) == [0, 1, 4, 5]
    assert found.object.tolist() == [0, 0, 0, 0]


def overlap_slowly(box: list[float], other: list[float]) -> tuple[float, float]:
    """IoU and generalised IoU of two boxes xyxy."""
    width, height = (max(0.0, min(box[2 + at], other[2 + at]) - max(box[at], other[at])) for at in (0, 1))
    union = sum((one[2] - one[0]) * (one[3] - one[1]) for one in (box, other)) - width * height
    hull = math.prod(max(box[2 + at], other[2 + at]) - min(box[at], other[at]) for at in (0, 1))
    return width * height / union, width * height / union - (hull - union) / hull


def assign_slowly(scores: Tensor, boxes: Tensor, truth: Truth, centres: Tensor, stride: float) -> dict[tuple, float]:
    """Strength of each (picture, cell, object), cell by cell."""
    strengths: dict[tuple, float] = {}
    for picture, labels in enumerate(truth.labels.tolist()):
        claims: dict[int, list[tuple[float, int, float]]] = {}  # of each cell: how well it suits, the object, IoU
        for item, label in enumerate(labels):
            if label == NO_OBJECT:
                continue
            own = truth.boxes_xyxy[picture, item].tolist()
            suits = []
            for cell, centre in enumerate(centres.tolist()):
                off = [abs(centre[at] - (own[at] + own[2 + at]) / 2) for at in (0, 1)]
                if all(off[at] < max((own[2 + at] - own[at]) / 2, stride / 2 + 1e-3) for at in (0, 1)):
                    iou, _ = overlap_slowly(boxes[picture, cell].tolist(), own)
                    score = float(scores[picture, cell, label])
                    suits.append((math.sqrt(score) * iou**4 + 1e-9 + 1e-7 / (1 + math.hypot(*off) ** 2), cell, iou))
            for suit, cell, iou in sorted(suits, reverse=True)[:10]:
                claims.setdefault(cell, []).append((suit, item, iou))
        won = {cell: max(claim) for cell, claim in claims.items()}
        for cell, (suit, item, _) in won.items():
            mine = [(other_suit, iou) for other_suit, other, iou in won.values() if other == item]
            strengths[picture, cell, item] = suit / max(mine)[0] * max(iou for _, iou in mine)
    return strengths


def make_scene(seed: int, pictures: int = 3) -> tuple[Tensor, Tensor, Truth, Tensor]:
    """Scores, boxes, truth, centres of a network of two strides that has learnt a little."""
    rng = np.random.default_rng(seed)
    centres, strides = cell_centres(64, 48, (8, 16))
    corners = [rng.uniform(0, 40, (count, 2)) for count in rng.integers(0, 6, pictures)]
    objects = [np.concatenate([low, low + rng.uniform(2, 24, low.shape)], 1) for low in corners]
    truth = pad_truth([make_objects(one.tolist(), rng.integers(0, 3, len(one)).tolist()) for one in objects])
    sides = torch.from_numpy(rng.uniform(0.3, 2, (pictures, len(centres), 4)).astype(np.float32)) * strides
    boxes = torch.cat([centres - sides[..., :2], centres + sides[..., 2:]], -1)
    return torch.from_numpy(rng.random((pictures, len(centres), 3)).astype(np.float32)), boxes, truth, centres


@pytest.mark.parametrize("seed", range(5))
def test_the_assignment_agrees_with_a_slow_loop(seed: int) -> None:
    scores, boxes, truth, centres = make_scene(seed)
    found = assign_cells(scores, boxes, truth, centres, 8)
    places = list(zip(found.picture.tolist(), found.cell.tolist(), found.object.tolist(), strict=True))
    expected = assign_slowly(scores, boxes, truth, centres, 8)
    assert sorted(places) == sorted(expected)
    assert found.strength.tolist() == pytest.approx([expected[place] for place in places], rel=1e-3, abs=1e-6)


def test_no_more_than_ten_cells_answer_for_an_object() -> None:
    boxes = torch.tensor([[0.0, 0, 32, 32]]).expand(1, 16, 4) + torch.arange(16)[None, :, None] * 0.01
    found = assign_cells(torch.full((1, 16, 1), 0.5), boxes, make_truth([[0, 0, 32, 32]], [0]), CENTRES, 8)
    assert found.cell.numel() == 10


@pytest.mark.parametrize("seed", range(4))
def test_the_loss_is_that_of_its_papers_cell_by_cell(seed: int) -> None:
    """Varifocal loss: targets weigh themselves, the rest 0.75 p²; boxes: 1 - GIoU, weighed by the target, at least 0.05."""
    generator = torch.Generator().manual_seed(seed)
    truth = make_scene(seed, pictures=2)[2]
    outputs = [torch.randn(2, count, 48 // stride, 64 // stride, generator=generator) for stride in (8, 16) for count in (3, 4)]
    loss = AnchorFreeLoss(64, 48, (8, 16), side_scale=1.5)
    logits, boxes = loss.decode(outputs)
    found = assign_cells(logits.sigmoid(), boxes, truth, loss.centres_xy, loss.smallest_stride)
    targets, box, weights = {}, 0.0, 0.0
    for picture, cell, item, strength in zip(*(one.tolist() for one in found), strict=True):
        targets[picture, cell, int(truth.labels[picture, item])] = strength
        _, giou = overlap_slowly(boxes[picture, cell].tolist(), truth.boxes_xyxy[picture, item].tolist())
        weight = max(strength, 0.05)
        box, weights = box + (1 - giou) * weight, weights + weight
    category = 0.0
    for place, score in np.ndenumerate(logits.sigmoid().double().numpy()):
        target = targets.get(place, 0.0)
        emphasis = target + 1e-3 if target else 0.75 * score**2
        category -= emphasis * (target * math.log(score) + (1 - target) * math.log(1 - score))
    parts = loss(outputs, truth)
    assert parts["category"].item() == pytest.approx(category / max(1, weights), rel=1e-4)
    assert parts["box"].item() == pytest.approx(2.5 * box / max(1, weights), rel=1e-4)
