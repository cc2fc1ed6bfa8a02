"""Our static graph of Faster R-CNN finds what torchvision's own finds."""

import numpy as np
import pytest
import torch

from sightline.core.categories import Categories
from sightline.imaging.heads.decoding import decode_outputs
from sightline.imaging.resizing import letterbox_image
from sightline.models.faster_rcnn import FasterRcnn


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
    )
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    network.eval()
    assert set(losses) == {"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg"}
    assert bool(torch.isfinite(total))
    assert network.body.backbone.body.conv1.weight.grad is not None


def test_outputs_decode_to_boxes_inside_the_picture(network: FasterRcnn) -> None:
    with torch.no_grad():
        outputs = network(torch.randn(1, 3, 64, 128))
    arrays = {name: output.numpy() for name, output in zip(network.decode_spec.outputs, outputs, strict=True)}
    _, placement = letterbox_image(np.zeros((64, 128, 3), np.uint8), 128, 64)
    found = decode_outputs(network.decode_spec, arrays, [placement], Categories(["a", "b"]), 0.0)[0]
    boxes = np.array([annotation.box_xyxy for annotation in found])
    assert len(found) > 0
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 128 and boxes[:, 3].max() <= 64
