"""Assignment of cells to objects, against small cases by hand and a slow loop."""

import msgspec
import numpy as np
import pytest
import torch

from sightline.training.anchor_free_loss import AnchorFreeLoss, cell_centres
from sightline.training.box_assignment import NO_OBJECT, Truth, assign_cells, pad_truth, pair_iou

CENTRES, _ = cell_centres(32, 32, (8,))  # 16 cells: x and y at 4, 12, 20, 28


def make_truth(boxes: list[list[float]], labels: list[int]) -> Truth:
    return pad_truth([np.array(boxes, np.float32).reshape(-1, 4)], [np.array(labels, np.int64)])


def test_pair_iou_by_hand() -> None:
    iou, giou = pair_iou(torch.tensor([[0.0, 0, 2, 1], [0, 0, 1, 1]]), torch.tensor([[1.0, 0, 3, 1], [2, 0, 3, 1]]))
    assert iou.tolist() == pytest.approx([1 / 3, 0], abs=1e-5)  # 1 shared of 3 covered; apart
    assert giou.tolist() == pytest.approx([1 / 3, -1 / 3], abs=1e-5)  # hulls 3 and 3, unions 3 and 2


def test_truth_is_padded_with_no_object() -> None:
    truth = pad_truth([np.zeros((0, 4)), np.ones((2, 4))], [np.zeros(0, int), np.array([1, 2])])
    assert truth.labels.tolist() == [[NO_OBJECT, NO_OBJECT], [1, 2]]
    assert truth.boxes_xyxy.shape == (2, 2, 4)


def test_a_picture_without_objects_assigns_nothing() -> None:
    found = assign_cells(torch.full((1, 16, 2), 0.5), torch.zeros(1, 16, 4), make_truth([], []), CENTRES, 8)
    assert found.cell.numel() == 0


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


def test_no_more_than_ten_cells_answer_for_an_object() -> None:
    boxes = torch.tensor([[0.0, 0, 32, 32]]).expand(1, 16, 4) + torch.arange(16)[None, :, None] * 0.01
    found = assign_cells(torch.full((1, 16, 1), 0.5), boxes, make_truth([[0, 0, 32, 32]], [0]), CENTRES, 8)
    assert found.cell.numel() == 10


def test_the_loss_falls_when_boxes_and_scores_fit_better() -> None:
    loss = AnchorFreeLoss(32, 32, (8,), side_scale=2.0)
    truth = make_truth([[4, 4, 20, 20]], [0])
    raw_side = float(np.log(np.expm1(8 / 16)))  # softplus gives 0.5 * 8 * 2 = 8 px to each side
    scores = torch.full((1, 1, 4, 4), -6.0)
    good = scores.clone()
    good[0, 0, 1, 1] = 6.0
    sides = torch.full((1, 4, 4, 4), raw_side)
    poor = sum(part.item() for part in loss((scores, sides), truth).values())
    better = sum(part.item() for part in loss((good, sides), truth).values())
    assert better < poor


def test_the_loss_of_a_batch_without_objects_is_finite_and_has_a_gradient() -> None:
    loss = AnchorFreeLoss(32, 32, (8, 16), side_scale=2.0)
    outputs = [torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, 4), torch.zeros(1, 2, 2, 2), torch.zeros(1, 4, 2, 2)]
    for output in outputs:
        output.requires_grad_()
    parts = loss(outputs, make_truth([], []))
    sum(parts.values(), torch.zeros(())).backward()
    assert all(torch.isfinite(part) for part in parts.values())
    assert outputs[0].grad is not None and bool(outputs[0].grad.abs().sum() > 0)


def test_decoding_in_training_equals_decoding_in_deployment(rng: np.random.Generator) -> None:
    from sightline.core.categories import Categories
    from sightline.imaging.heads.decoding import decode_outputs
    from sightline.imaging.resizing import letterbox_image
    from sightline.models.csp_detector import anchor_free_head

    head = anchor_free_head((8, 16))
    head = msgspec.structs.replace(head, parameters={**head.parameters, "votes": None})  # votes come after decoding
    arrays = {}
    for name, shape in zip(head.outputs, [(1, 2, 8, 8), (1, 4, 8, 8), (1, 2, 4, 4), (1, 4, 4, 4)], strict=True):
        arrays[name] = rng.normal(0, 1, shape).astype(np.float32)
    _, placement = letterbox_image(np.zeros((64, 64, 3), np.uint8), 64, 64)
    predicted = decode_outputs(head, arrays, [placement], Categories(["a", "b"]), 0.01)[0]
    loss = AnchorFreeLoss(64, 64, (8, 16), head.parameters["side_scale"])
    logits, boxes = loss.decode([torch.from_numpy(arrays[name]) for name in head.outputs])
    scores, cell = logits.sigmoid()[0].flatten().max(0)
    assert predicted[0].confidence == pytest.approx(scores.item(), abs=1e-5)
    expected = boxes[0][cell // 2].clamp(0, 64)
    assert predicted[0].box_xyxy == pytest.approx(expected.tolist(), abs=1e-3)
