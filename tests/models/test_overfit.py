"""Every classifier and segmenter learns eight generated pictures by heart; detectors have tests of their own."""

import pytest
import torch
import torch.nn.functional as F

from sightline.models.table import NETWORKS, build_network
from sightline.training.optimisers import build_optimiser
from sightline.training.recipe import make_recipe

SIZE = 64
SMALL = {"small_classifier", "small_segmenter"}
CLASSIFIERS = [name for name, row in NETWORKS.items() if "classification" in row.tasks]
SEGMENTERS = [name for name, row in NETWORKS.items() if "semantic" in row.tasks]


def mark_large(names: list[str]) -> list[object]:
    return [pytest.param(name, marks=[] if name in SMALL else [pytest.mark.slow]) for name in names]


def train(name: str, task: str, images: torch.Tensor, labels: torch.Tensor, steps: int) -> torch.Tensor:
    """Logits, in evaluation mode, after some steps on the same eight pictures."""
    torch.manual_seed(3)
    network = build_network(task, name, 4, SIZE, SIZE).train()
    optimiser = build_optimiser(network, make_recipe(task, learning_rate=2e-3, weight_decay=0.0, optimiser="adamw"))
    for _ in range(steps):
        logits = network(images)[0]
        logits = logits if logits.ndim == 2 else F.interpolate(logits, (SIZE, SIZE), mode="bilinear")
        loss = F.cross_entropy(logits, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():  # the norms see the whole set at every step, so batch statistics are the right ones
        return network(images)[0]


@pytest.mark.parametrize("name", mark_large(CLASSIFIERS))
def test_a_classifier_learns_eight_pictures_by_heart(name: str) -> None:
    images = torch.randn(8, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(8) % 4
    logits = train(name, "classification", images, labels, steps=30)
    assert logits.argmax(1).tolist() == labels.tolist()


@pytest.mark.parametrize("name", mark_large(SEGMENTERS))
def test_a_segmenter_learns_eight_label_maps_by_heart(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    images, labels = torch.randn(8, 3, SIZE, SIZE, generator=generator) * 0.2, torch.zeros(8, SIZE, SIZE, dtype=torch.long)
    for index in range(8):
        label, x = 1 + index % 3, 16 * (index % 4)
        images[index, label - 1, 16:48, x : x + 16] += 2.0
        labels[index, 16:48, x : x + 16] = label
    logits = F.interpolate(train(name, "semantic", images, labels, steps=40), (SIZE, SIZE), mode="bilinear")
    predicted = logits.argmax(1)
    shapes = labels > 0
    overlap = ((predicted == labels) & shapes).sum() / ((predicted > 0) | shapes).sum()
    assert overlap > 0.7
