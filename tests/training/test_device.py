"""A step on a GPU, without one: fake tensors carry a device and no numbers, and refuse to be mixed with another device's."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from sightline.models.network import normalise_images
from sightline.models.table import build_network
from sightline.training.learned_categories import find_learned_categories
from sightline.training.pictures import Pictures
from sightline.training.recipe import make_recipe
from sightline.training.tasks.semantic import make_label_map_reader
from sightline.training.tasks.table import build_task
from sightline.training.tasks.task import Batch, TaskContext

GPU = torch.device("cuda", 0)


@contextmanager
def pretend_gpu() -> Iterator[FakeTensorMode]:
    """Tensors made here have no numbers; how many a mask picks is left open."""
    mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    with warnings.catch_warnings(), mode:
        warnings.filterwarnings("ignore", message="CUDA is not available")  # of autocast
        yield mode


@pytest.mark.parametrize("task", ["classification", "multilabel", "detection", "semantic"])
def test_a_step_touches_nothing_on_another_device(task: str, make_version) -> None:
    version = make_version(task, width=64, height=64)
    learned = find_learned_categories(version, task)
    reader = make_label_map_reader(learned) if task == "semantic" else None
    pictures = Pictures(version, ("train",), width=64, height=64, cache_bytes=1 << 20, make_label_map=reader)
    recipe = make_recipe(task) if task == "detection" else make_recipe(task, class_weights="balanced")
    spec = build_network(task, "fast", len(learned.categories), 64, 64).input_spec
    learning = build_task(TaskContext(recipe, learned.categories, pictures, spec))
    samples = [learning.make_sample(index, np.random.default_rng(index), 1.0) for index in range(2)]
    batch = learning.collate(samples, np.random.default_rng(0), 1.0)
    with pretend_gpu() as mode:
        with torch.device(GPU):
            network = build_network(task, "fast", len(learned.categories), 64, 64)
        moved = make_fake(batch, mode).to(GPU)
        parts = learning.compute_loss(network, normalise_images(moved.images, spec), moved.targets)
        assert {part.device for part in parts.values()} == {GPU}


def make_fake(batch: Batch, mode: FakeTensorMode) -> Batch:
    """The batch as tensors of the mode, on the CPU."""

    return batch.map(lambda tensor: mode.from_tensor(tensor, static_shapes=True))
