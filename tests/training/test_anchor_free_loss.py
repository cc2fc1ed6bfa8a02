"""The loss of the anchor-free detector, against what a better prediction must cost."""

import msgspec
import numpy as np
import pytest
import torch

from sightline.data.augmentation import Objects
from sightline.training.anchor_free_loss import AnchorFreeLoss
from sightline.training.box_assignment import Truth, pad_truth


def make_truth(boxes: list[list[float]], labels: list[int], crowds: int = 0) -> Truth:
    """One picture; the last `crowds` of its boxes are crowds."""
    is_crowd = np.arange(len(labels)) >= len(labels) - crowds
    return pad_truth([Objects(np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64), is_crowd, [])])


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


def find_category_gradient(truth: Truth) -> torch.Tensor:
    """`(2, 4, 4)`: how the loss would change the class logits of a network that is undecided everywhere."""
    scores = torch.zeros(1, 2, 4, 4, requires_grad=True)
    loss = AnchorFreeLoss(32, 32, (8,), side_scale=2.0)
    sum(loss((scores, torch.zeros(1, 4, 4, 4)), truth).values(), torch.zeros(())).backward()
    assert scores.grad is not None
    return scores.grad[0]


def test_in_a_crowd_its_category_is_not_taught_to_be_absent() -> None:
    nothing = find_category_gradient(make_truth([], []))
    assert (nothing > 0).all()  # every cell is to say less
    crowded = find_category_gradient(make_truth([[0, 0, 16, 32]], [1], crowds=1))
    assert (crowded[1, :, :2] == 0).all()  # the cells in its left half
    assert torch.equal(crowded[0], nothing[0]) and torch.equal(crowded[1, :, 2:], nothing[1, :, 2:])


def test_an_object_in_a_crowd_is_learned_as_any_other() -> None:
    alone = find_category_gradient(make_truth([[4, 4, 20, 20]], [1]))
    crowded = find_category_gradient(make_truth([[4, 4, 20, 20], [0, 0, 32, 32]], [1, 1], crowds=1))
    positive = alone[1] < 0
    assert positive.any()
    assert torch.equal(crowded[1][positive], alone[1][positive])
    assert (crowded[1][crowded[1] >= 0] == 0).all()
