"""Validation: the averaged network on a split, through the same preparing, decoding and scoring that deployment uses.

People's annotations judge, and theirs alone: a picture that only a model annotated is left out (`data/truth.py`).
"""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.manifests import InputSpec, Task
from sightline.core.settings import read_settings
from sightline.data.items import Item
from sightline.data.truth import KnownItems
from sightline.data.versions import DatasetVersion
from sightline.imaging.heads.decoding import decode_outputs
from sightline.imaging.preprocessing import prepare_batch
from sightline.imaging.resizing import Placement
from sightline.metrics.evaluator import EVALUATION_THRESHOLDS, TaskMetrics, make_evaluator
from sightline.models.network import Network
from sightline.runtime.ordered import map_in_order
from sightline.training.arithmetic import Arithmetic

BATCH_SIZE = 16  # pictures that the network sees at a time
MOST_THREADS = 8  # that read pictures for a GPU


def infer_network(network: Network, batch: np.ndarray, arithmetic: Arithmetic) -> dict[str, np.ndarray]:
    """Raw outputs by name. Args: batch: `(N, 3, H, W)` float32, prepared. Returns: float32 arrays."""
    images = torch.from_numpy(batch).to(arithmetic.device, memory_format=arithmetic.memory_format)
    with torch.inference_mode(), arithmetic.autocast():
        outputs = network(images)
    names = network.decode_spec.outputs
    return {name: output.float().cpu().numpy() for name, output in zip(names, outputs, strict=True)}


def find_judged(version: DatasetVersion, split: str, task: Task) -> set[str]:
    """Categories that people labelled in a split for the task: a score says nothing of others.

    Without any, the network that shows least would score best.
    """
    said = (annotation for item in KnownItems(version.items(split)) for annotation in item.annotations)
    return {annotation.category for annotation in said if _is_truth(annotation, task)}


def check_truth(version: DatasetVersion, split: str, task: Task) -> None:
    """Refuse what the metric would refuse, before anything is trained. Raises: InvalidInput naming the picture."""
    if task != "classification":
        return
    for item in KnownItems(version.items(split)):
        names = sorted({annotation.category for annotation in item.annotations})
        if len(names) > 1:
            raise InvalidInput(
                f"expected one true category for {item.file_name} of the split {split!r}, got {', '.join(names)}; mend its "
                "labels, validate on another split, or train the task multilabel"
            )


def _is_truth(annotation: Annotation, task: Task) -> bool:
    if task in ("classification", "multilabel"):
        return True  # a box names a category of its picture, too: so training (`find_target_labels`) and the metrics read it
    if task == "semantic":
        return annotation.geometry in ("mask", "polygons")
    if task == "instance":
        return annotation.geometry in ("mask", "polygons") and not annotation.is_crowd
    return annotation.geometry != "image" and not annotation.is_crowd


def evaluate_network(
    network: Network,
    version: DatasetVersion,
    split: str,
    task: Task,
    learned: Categories,
    arithmetic: Arithmetic,
) -> TaskMetrics:
    """Score a network, in evaluation mode, on a split of a version.

    Args:
        network: its specs say how pictures are prepared and outputs decoded.
        learned: the network's categories: the version's, and perhaps a background.
    """
    shown = network.decode_spec.confidence_threshold
    evaluator = make_evaluator(task, version.categories, version.manifest.unlabelled_pixels, shown)
    for group in prepare_groups(version, split, network.input_spec, BATCH_SIZE, arithmetic.device):
        items, prepared, placements = zip(*group, strict=True)
        outputs = infer_network(network, np.concatenate(prepared), arithmetic)
        answers = decode_outputs(network.decode_spec, outputs, placements, learned, EVALUATION_THRESHOLDS[task])
        for item, predicted in zip(items, answers, strict=True):
            evaluator.add(item.annotations, predicted, item.width, item.height)
    return evaluator.compute()


def prepare_groups(
    version: DatasetVersion, split: str, spec: InputSpec, batch_size: int, device: torch.device
) -> Iterator[list[tuple[Item, np.ndarray, Placement]]]:
    """Pictures whose truth is known, ready for the network, `batch_size` at a time.

    Threads read ahead for a GPU, but would slow a CPU down.
    """

    def prepare(item: Item) -> tuple[Item, np.ndarray, Placement]:
        prepared, (placement,) = prepare_batch([version.read_image(item)], spec)
        return item, prepared, placement

    threads = 1 if device.type == "cpu" else min(MOST_THREADS, read_settings().threads)
    with ThreadPoolExecutor(threads, thread_name_prefix="validation") as pool:
        items = KnownItems(version.items(split))
        ready = map(prepare, items) if threads == 1 else map_in_order(pool, prepare, items, in_flight=2 * batch_size)
        while group := list(itertools.islice(ready, batch_size)):
            yield group
