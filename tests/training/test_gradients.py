"""The gradients of a batch that is computed in parts are those of the whole batch, and so is its loss."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sightline.core.manifests import DecodeSpec, InputSpec
from sightline.models.network import Network
from sightline.models.table import build_network
from sightline.training.arithmetic import EXACT
from sightline.training.gradients import GradientComputer
from sightline.training.learned_categories import find_learned_categories
from sightline.training.pictures import Pictures
from sightline.training.recipe import make_recipe
from sightline.training.tasks.classification import mix_batch
from sightline.training.tasks.semantic import make_label_map_reader
from sightline.training.tasks.table import build_task
from sightline.training.tasks.task import Batch, TaskContext


class Plain(Network):
    """A classifier of three categories without a norm; keeps how many pictures it saw each time."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 3))
        self.input_spec = InputSpec(width=16, height=16, mean=(120.0,) * 3, std=(60.0,) * 3, resize="stretch")
        self.decode_spec = DecodeSpec(head="softmax", outputs=("logits",))
        self.seen: list[int] = []

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        self.seen.append(len(images))
        return (self.layers(images),)


def compute(network: Network, task: Any, batch: Batch, micro_batch: int | None) -> tuple[dict[str, float], list[Tensor]]:
    """Terms of the loss and gradients of a copy of a network."""
    terms = GradientComputer(network, task, EXACT, micro_batch).compute(batch)
    gradients = [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]
    return {name: term.item() for name, term in terms.items()}, gradients


@pytest.mark.parametrize("is_blended", [False, True])
@pytest.mark.parametrize("task_name", ["classification", "multilabel"])
def test_parts_give_the_gradients_and_the_loss_of_the_whole_batch(task_name: str, is_blended: bool, make_version) -> None:
    version = make_version(task_name, {"train": 11}, width=16, height=16)
    recipe = make_recipe(task_name, size=16, class_weights="balanced")
    network, pictures = Plain(), Pictures(version, ("train",), width=16, height=16, cache_bytes=1 << 20)
    task = build_task(TaskContext(recipe, version.categories, pictures, network.input_spec))
    rng = np.random.default_rng(0)
    batch = task.collate([task.make_sample(index, rng, 0.0) for index in range(11)], rng, 0.0)
    if is_blended:
        batch = mix_batch(batch.images, batch.targets, np.random.default_rng(2))
        assert 0.05 < batch.mixed < 0.95
    whole_loss, whole = compute(network, task, batch, None)
    for micro_batch, parts in ((4, [3, 4, 4]), (10, [5, 6]), (1, [1] * 11), (11, [11]), (64, [11])):
        network.seen.clear()
        loss, gradients = compute(network, task, batch, micro_batch)
        assert network.seen == parts
        assert loss == pytest.approx(whole_loss, rel=1e-5)
        torch.testing.assert_close(gradients, whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("task_name", ["detection", "instance", "semantic"])
def test_what_is_divided_by_what_a_batch_holds_is_the_mean_of_the_parts_by_their_pictures(task_name: str, make_version) -> None:
    version = make_version(task_name, {"train": 5}, width=64, height=64)
    recipe = make_recipe(task_name, width=64, height=64)
    learned = find_learned_categories(version, task_name)
    torch.manual_seed(0)
    network = build_network(
        task_name, "fast", len(learned.categories), 64, 64
    ).eval()  # its norms use no statistics of the batch
    make_label_map = make_label_map_reader(learned) if task_name == "semantic" else None
    pictures = Pictures(version, ("train",), width=64, height=64, cache_bytes=1 << 20, make_label_map=make_label_map)
    task = build_task(TaskContext(recipe, learned.categories, pictures, network.input_spec))
    rng = np.random.default_rng(0)
    samples = [task.make_sample(index, rng, 0.0) for index in range(5)]
    first, second = (task.collate(part, rng, 0.0) for part in (samples[:2], samples[2:]))
    loss, gradients = compute(network, task, task.collate(samples, rng, 0.0), 3)
    (first_loss, first_gradients), (second_loss, second_gradients) = (
        compute(network, task, one, None) for one in (first, second)
    )
    assert loss == pytest.approx({name: 0.4 * first_loss[name] + 0.6 * second_loss[name] for name in first_loss}, rel=1e-4)
    expected = [0.4 * one + 0.6 * other for one, other in zip(first_gradients, second_gradients, strict=True)]
    torch.testing.assert_close(gradients, expected, rtol=1e-3, atol=1e-5)
