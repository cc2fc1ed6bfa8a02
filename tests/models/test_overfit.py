"""Every classifier and segmenter learns eight generated pictures by heart; detectors have tests of their own."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from sightline.models.table import NETWORKS, build_network
from sightline.training.optimisers import build_optimiser
from sightline.training.recipe import make_recipe

SIZE = 32  # of pictures for classifiers
SIZES = {"deeplabv3_resnet50": 32}  # its maps are as fine as those that other segmenters make of 64 pixels
SMALL = {"small_classifier", "small_segmenter"}
CLASSIFIERS = [name for name, row in NETWORKS.items() if "classification" in row.tasks]
SEGMENTERS = [name for name, row in NETWORKS.items() if "semantic" in row.tasks]


def mark_large(names: list[str]) -> list[object]:
    return [pytest.param(name, marks=[] if name in SMALL else [pytest.mark.slow]) for name in names]


def train(
    name: str, task: str, images: torch.Tensor, labels: torch.Tensor, is_known: Callable[[torch.Tensor], bool], steps: int
) -> bool:
    """Whether a network tells the eight pictures apart, in evaluation mode: at two fourth steps in a row, or at the last."""
    torch.manual_seed(3)
    size = images.shape[-1]
    network = build_network(task, name, 4, size, size).train()
    optimiser = build_optimiser(network, make_recipe(task, learning_rate=2e-3, weight_decay=0.0, optimiser="adamw"))
    was_known = False
    for step in range(1, steps + 1):
        logits = network(images)[0]
        logits = logits if logits.ndim == 2 else F.interpolate(logits, (size, size), mode="bilinear")
        loss = F.cross_entropy(logits, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 4 == 0:
            with torch.no_grad():  # the norms see the whole set at every step, so batch statistics are the right ones
                known = is_known(network(images)[0])
            if known and (was_known or step == steps):
                return True
            was_known = known
    return False


@pytest.mark.parametrize("name", mark_large(CLASSIFIERS))
def test_a_classifier_learns_eight_pictures_by_heart(name: str) -> None:
    images = torch.randn(8, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(8) % 4

    def is_known(logits: torch.Tensor) -> bool:
        return logits.argmax(1).tolist() == labels.tolist()

    is_learnt = train(name, "classification", images, labels, is_known, steps=28)
    assert is_learnt


@pytest.mark.parametrize("name", mark_large(SEGMENTERS))
def test_a_segmenter_learns_eight_label_maps_by_heart(name: str) -> None:
    size = SIZES.get(name, 64)
    generator = torch.Generator().manual_seed(1)
    images, labels = torch.randn(8, 3, size, size, generator=generator) * 0.2, torch.zeros(8, size, size, dtype=torch.long)
    quarter = size // 4
    for index in range(8):
        label, x = 1 + index % 3, quarter * (index % 4)
        images[index, label - 1, quarter : size - quarter, x : x + quarter] += 2.0
        labels[index, quarter : size - quarter, x : x + quarter] = label

    def is_known(logits: torch.Tensor) -> bool:
        predicted = F.interpolate(logits, (size, size), mode="bilinear").argmax(1)
        shapes = labels > 0
        overlap = ((predicted == labels) & shapes).sum() / ((predicted > 0) | shapes).sum()
        return bool(overlap > 0.7)

    is_learnt = train(name, "semantic", images, labels, is_known, steps=40)
    assert is_learnt
