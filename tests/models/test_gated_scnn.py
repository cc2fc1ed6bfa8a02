"""Gated-SCNN: sizes, what gates and edges do by hand, and that every part learns from categories and edges."""

import pytest
import torch

from sightline.models.blocks import ConvBlock
from sightline.models.gated_scnn import EdgeFusion, Gate, GatedScnn


@pytest.mark.parametrize(("shape_stride", "edges"), [(2, (28, 52)), (1, (56, 104))])
def test_categories_come_at_a_quarter_and_edges_at_the_stride_of_the_shape_stream(
    shape_stride: int, edges: tuple[int, int]
) -> None:
    network = GatedScnn(5, 104, 56, shape_stride)  # no multiples of 16
    images = torch.zeros(1, 3, 56, 104)
    logits, edge_logits = network.find_categories_and_edges(images)
    assert logits.shape == (1, 5, 14, 26)
    assert edge_logits.shape == (1, 1, *edges)
    assert [answer.shape for answer in network(images)] == [logits.shape]


@pytest.mark.parametrize(("bias", "factor"), [(-50.0, 1), (0.0, 1.5), (50.0, 2)])
def test_a_gate_lets_features_through_and_raises_those_that_matter(bias: float, factor: float) -> None:
    gate = Gate(3).eval()
    with torch.no_grad():
        gate.attention[-2].norm.weight.zero_()
        gate.attention[-2].norm.bias.fill_(bias)  # before the sigmoid
        gate.exit.weight.copy_(torch.eye(3)[:, :, None, None])
        gate.exit.bias.zero_()
    features = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(gate(features, torch.randn(2, 1, 4, 5)), features * factor)


def test_a_gate_decides_by_the_features_and_the_side_output_of_each_place() -> None:
    torch.manual_seed(0)
    gate = Gate(3).eval()
    features, side = torch.randn(1, 3, 4, 5), torch.zeros(1, 1, 4, 5)
    before = gate(features, side)
    side[0, 0, 2, 3] = 5
    assert (gate(features, side) != before).any(1).nonzero().tolist() == [[0, 2, 3]]


@pytest.mark.parametrize("stride", [1, 2])
def test_the_picture_s_gradient_is_its_steepness_with_none_at_the_rim(stride: int) -> None:
    ramp = torch.arange(16.0) * 0.25
    images = (ramp[None, :] + 2 * ramp[:12, None]).expand(1, 3, 12, 16).clone()
    gradient = EdgeFusion(stride).find_gradient(images)
    assert gradient.shape == (1, 1, 12 // stride, 16 // stride)
    steepness = stride * 0.25 * 5**0.5  # a step of 0.25 a pixel to the right, 0.5 downwards
    torch.testing.assert_close(
        gradient[..., 1:-1, 1:-1], torch.full_like(gradient[..., 1:-1, 1:-1], steepness), rtol=1e-3, atol=0
    )
    assert EdgeFusion(stride).find_gradient(torch.full((1, 3, 12, 16), 7.0)).max() < 0.0101  # the floor's root


@pytest.mark.parametrize("answer", [0, 1], ids=["categories", "edges"])
def test_every_part_that_an_answer_is_made_of_learns_from_it(answer: int) -> None:
    torch.manual_seed(0)
    network = GatedScnn(3, 64, 64)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)  # residual blocks start as the identity, which hides their inside
    network.find_categories_and_edges(torch.randn(2, 3, 64, 64))[answer].square().mean().backward()
    silent = {name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()}
    behind_edges = {name for name, _ in network.named_parameters() if not name.startswith(("regular.", "shape."))}
    assert silent == (behind_edges if answer else set())


def test_every_norm_stands_behind_a_convolution_that_it_folds_into() -> None:
    """OpenVINO ended the process when it compiled one in front of a convolution that ONNX Runtime had quantised by itself."""
    modules = list(GatedScnn(3, 64, 64).modules())
    folded = [module.norm for module in modules if isinstance(module, ConvBlock)]
    assert [module for module in modules if isinstance(module, torch.nn.BatchNorm2d)] == folded
