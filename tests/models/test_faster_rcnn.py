"""Our static graph of Faster R-CNN finds what torchvision's own finds."""

import numpy as np
import pytest
import torch
from torchvision.models.detection.rpn import RegionProposalNetwork

from sightline.core.categories import Categories
from sightline.imaging.heads.decoding import decode_outputs
from sightline.imaging.resizing import letterbox_image
from sightline.models.faster_rcnn import FasterRcnn, find_crowded


@pytest.fixture(scope="module")
def network() -> FasterRcnn:
    torch.manual_seed(0)
    return FasterRcnn(2, 128, 64).eval()


def test_anchors_are_those_of_torchvision(network: FasterRcnn) -> None:
    from torchvision.models.detection.image_list import ImageList

    images = torch.zeros(1, 3, 64, 128)
    with torch.no_grad():
        features = list(network.body.backbone(images).values())
        expected = network.body.rpn.anchor_generator(ImageList(images, [(64, 128)]), features)[0]
    ours = torch.cat([network.get_buffer(f"anchors_{level}") for level in range(5)])
    assert torch.equal(ours, expected)


def test_pooling_picks_the_level_torchvision_picks(network: FasterRcnn) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        features = network.body.backbone(torch.randn(2, 3, 64, 128))
        corners = torch.rand(2, 20, 2) * torch.tensor([100.0, 40.0])
        proposals = torch.cat([corners, corners + 4 + torch.rand(2, 20, 2) * 24], -1)
        expected = network.body.roi_heads.box_roi_pool(features, list(proposals), [(64, 128)] * 2)
        # torchvision infers the levels from the pyramid: with this input they are 2..5, as ours.
        ours = network._pool_features(list(features.values()), proposals)
    assert torch.allclose(ours, expected, atol=1e-5)


def test_losses_are_finite_and_reach_the_backbone(network: FasterRcnn) -> None:
    network.train()
    torch.manual_seed(2)
    losses = network.compute_box_losses(
        torch.randn(2, 3, 64, 128),
        [torch.tensor([[10.0, 10, 60, 50], [20.0, 20, 20, 40]]), torch.zeros(0, 4)],  # the second has no area
        [torch.tensor([1, 0]), torch.zeros(0, dtype=torch.int64)],
        [torch.zeros(0, 4), torch.tensor([[0.0, 0, 64, 64]])],
    )
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    network.eval()
    assert set(losses) == {"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg"}
    assert bool(torch.isfinite(total))
    assert network.body.backbone.body.conv1.weight.grad is not None


def test_a_box_half_of_which_lies_in_one_crowd_is_crowded() -> None:
    crowds = torch.tensor([[0.0, 0, 10, 20], [12.0, 0, 20, 20]])
    boxes = torch.tensor([[5.0, 5, 15, 15], [6.0, 5, 16, 15], [2.0, 2, 4, 4], [0.0, 0, 20, 40], [30.0, 0, 40, 10]])
    # 50 and 30 of 100; 40 and 40 of 100; all of it; 200 and 160 of 800; nothing
    assert find_crowded(boxes, crowds).tolist() == [True, False, True, False, False]
    assert find_crowded(boxes, torch.zeros(0, 4)).tolist() == [False] * 5


def make_target(crowds: list[list[float]], boxes: list[list[float]] | None = None) -> dict[str, torch.Tensor]:
    boxes_xyxy = torch.tensor(boxes or [], dtype=torch.float32).reshape(-1, 4)
    return {"boxes": boxes_xyxy, "crowds": torch.tensor(crowds, dtype=torch.float32).reshape(-1, 4)}


def test_anchors_in_a_crowd_are_no_background(network: FasterRcnn) -> None:
    crowd = [0.0, 0, 40, 40]
    anchors = torch.tensor([[10.0, 10, 20, 20], [2.0, 2, 12, 12], [10.0, 10, 20, 25], [35.0, 0, 55, 20], [60.0, 0, 70, 10]])
    # IoU with the object: 1; 4/196; 100/150, between torchvision's thresholds of 0.3 and 0.7, so unknown anyway; 0; 0. The
    # fourth has a quarter of its area in the crowd, the last nothing.
    assign = network.body.rpn.assign_targets_to_anchors
    targets = [make_target([crowd], [[10, 10, 20, 20]]), make_target([crowd]), make_target([], [[10, 10, 20, 20]])]
    labels, boxes = assign([anchors] * 3, targets)
    assert labels[0].tolist() == [1, -1, -1, 0, 0]
    assert labels[1].tolist() == [-1, -1, -1, 0, 0]
    expected, expected_boxes = RegionProposalNetwork.assign_targets_to_anchors(network.body.rpn, [anchors] * 3, targets)
    assert torch.equal(labels[2], expected[2]) and labels[2].tolist()[3:] == [0, 0]
    assert all(map(torch.equal, boxes, expected_boxes))


def test_proposals_in_a_crowd_are_sampled_only_where_they_fit_an_object(network: FasterRcnn) -> None:
    proposals = torch.tensor([[10.0, 10, 20, 20], [10.0, 10, 20, 30], [10.0, 10, 20, 31], [35.0, 0, 55, 20], [0.0, 0, 40, 60]])
    # IoU with the object: 1, 1/2, 10/21, 0, 1/24; a quarter of the fourth and two thirds of the fifth lie in the crowd.
    crowded = make_target([[0, 0, 40, 40]], [[10, 10, 20, 20]])
    assert torch.equal(network._leave_out_crowded(proposals, crowded), proposals[[0, 1, 3]])
    assert torch.equal(network._leave_out_crowded(proposals, make_target([[0, 0, 40, 40]])), proposals[[3]])
    assert torch.equal(network._leave_out_crowded(proposals, make_target([], [[10, 10, 20, 20]])), proposals)


def test_a_crowd_that_fills_the_picture_teaches_no_category_and_its_losses_are_finite(network: FasterRcnn) -> None:
    network.train()
    torch.manual_seed(2)
    nothing = (torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    losses = network.compute_box_losses(
        torch.randn(1, 3, 64, 128), [nothing[0]], [nothing[1]], [torch.tensor([[0.0, 0, 128, 64]])]
    )
    network.eval()
    assert set(losses) == {"loss_objectness", "loss_rpn_box_reg"}  # of anchors that lie outside for the most part
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_outputs_decode_to_boxes_inside_the_picture(network: FasterRcnn) -> None:
    with torch.no_grad():
        outputs = network(torch.randn(1, 3, 64, 128))
    arrays = {name: output.numpy() for name, output in zip(network.decode_spec.outputs, outputs, strict=True)}
    _, placement = letterbox_image(np.zeros((64, 128, 3), np.uint8), 128, 64)
    found = decode_outputs(network.decode_spec, arrays, [placement], Categories(["a", "b"]), 0.0)[0]
    boxes = np.array([annotation.box_xyxy for annotation in found])
    assert len(found) > 0
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 128 and boxes[:, 3].max() <= 64
