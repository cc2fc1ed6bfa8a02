import numpy as np
import pytest
import torch

from sightline.core.manifests import InputSpec
from sightline.imaging.preprocessing import prepare_batch
from sightline.models.blocks import ConvBlock, CspBlock, PyramidPool, ResidualBlock, ResidualTrunk
from sightline.models.network import IMAGENET_MEAN, IMAGENET_STD, normalise_images
from sightline.models.small_segmenter import SmallSegmenter


def test_training_and_deployment_normalise_alike(rng: np.random.Generator) -> None:
    spec = InputSpec(width=8, height=6, mean=IMAGENET_MEAN, std=IMAGENET_STD, resize="stretch")
    images = rng.integers(0, 256, (2, 6, 8, 3), dtype=np.uint8)
    deployed, _ = prepare_batch(list(images), spec)
    assert np.abs(normalise_images(torch.from_numpy(images), spec).numpy() - deployed).max() < 1e-5


@pytest.mark.parametrize(
    ("block", "shape"),
    [
        (ConvBlock(8, 12, 3, 2), (2, 12, 8, 8)),
        (ResidualBlock(8, 8), (2, 8, 16, 16)),
        (ResidualBlock(8, 24, 2), (2, 24, 8, 8)),
        (CspBlock(8, 20, 2), (2, 20, 16, 16)),
        (PyramidPool(8), (2, 8, 16, 16)),
    ],
    ids=["conv", "residual", "strided residual", "csp", "pool"],
)
def test_blocks_give_the_stated_shapes(block: torch.nn.Module, shape: tuple[int, ...]) -> None:
    assert block(torch.randn(2, 8, 16, 16)).shape == shape


def test_a_new_residual_block_passes_positive_inputs_through() -> None:
    x = torch.rand(1, 8, 6, 6)
    assert torch.equal(ResidualBlock(8, 8).eval()(x), x)


def test_the_trunk_doubles_its_channels_at_each_stride() -> None:
    features = ResidualTrunk(8, (1, 1, 1, 1))(torch.zeros(1, 3, 64, 96))
    assert [tuple(f.shape[1:]) for f in features] == [(8, 16, 24), (16, 8, 12), (32, 4, 6), (64, 2, 3)]


def test_the_segmenter_answers_at_a_quarter_of_its_input() -> None:
    assert SmallSegmenter(5, 96, 64)(torch.zeros(1, 3, 64, 96))[0].shape == (1, 5, 16, 24)


def test_segmenters_of_torchvision_have_norms_that_follow_a_short_training() -> None:
    """torchvision's MobileNetV3 has 0.01: after 200 steps 13 % of the statistics would still be the first ones."""
    from torch import nn

    from sightline.models.table import build_network

    for name in ("lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large"):
        network = build_network("semantic", name, 3, 64, 64)
        momenta = {part.momentum for part in network.modules() if isinstance(part, nn.BatchNorm2d)}
        assert momenta == {0.1}
