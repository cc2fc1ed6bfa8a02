"""Validation: the averaged network on a split, through the same preparing, decoding and scoring that deployment uses."""

import numpy as np
import torch

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.manifests import Task
from sightline.data.versions import DatasetVersion
from sightline.imaging.heads import decode_outputs
from sightline.imaging.preprocessing import prepare_batch
from sightline.metrics.evaluator import EVALUATION_THRESHOLDS, TaskMetrics, make_evaluator
from sightline.models.network import Network
from sightline.training.arithmetic import Arithmetic


def infer_network(network: Network, batch: np.ndarray, arithmetic: Arithmetic) -> dict[str, np.ndarray]:
    """Raw outputs by name. Args: batch: `(N, 3, H, W)` float32, prepared. Returns: float32 arrays."""
    images = torch.from_numpy(batch).to(arithmetic.device, memory_format=arithmetic.memory_format)
    with torch.inference_mode(), arithmetic.autocast():
        outputs = network(images)
    names = network.decode_spec.outputs
    return {name: output.float().cpu().numpy() for name, output in zip(names, outputs, strict=True)}


def has_truth(version: DatasetVersion, split: str, task: Task) -> bool:
    """Whether anything in a split is labelled for the task. Without, all networks score alike, or who shows least best."""
    return any(_is_truth(annotation, task) for item in version.items(split) for annotation in item.annotations)


def _is_truth(annotation: Annotation, task: Task) -> bool:
    if task in ("classification", "multilabel"):
        return annotation.geometry == "image"
    if task == "semantic":
        return annotation.geometry in ("mask", "polygons")
    return annotation.geometry != "image" and not annotation.is_crowd


def evaluate_network(
    network: Network,
    version: DatasetVersion,
    split: str,
    task: Task,
    learned: Categories,
    arithmetic: Arithmetic,
    batch_size: int = 16,
) -> TaskMetrics:
    """Score a network, in evaluation mode, on a split of a version.

    Args:
        network: its specs say how pictures are prepared and outputs decoded.
        learned: the network's categories: the version's, and perhaps a background.
        batch_size: pictures in memory at a time.
    """
    evaluator = make_evaluator(task, version.categories, version.manifest.unlabelled_pixels)
    items = version.load_items(split)
    for first in range(0, len(items), batch_size):
        group = list(items[first : first + batch_size])
        batch, placements = prepare_batch([version.read_image(item) for item in group], network.input_spec)
        outputs = infer_network(network, batch, arithmetic)
        answers = decode_outputs(network.decode_spec, outputs, placements, learned, EVALUATION_THRESHOLDS[task])
        for item, predicted in zip(group, answers, strict=True):
            evaluator.add(item.annotations, predicted, item.width, item.height)
    return evaluator.compute()
