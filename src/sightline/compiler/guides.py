"""The Guide of a quantiser that looks at accuracy: labelled pictures prepared once in batches, and the task's own metric.

They are calibration pictures: those that judge at the gate must not guide.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from sightline.compiler.quantisers.quantiser import Guide
from sightline.core.categories import Categories
from sightline.core.manifests import ModelManifest
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion
from sightline.imaging.heads import decode_outputs
from sightline.imaging.preprocessing import prepare_batch
from sightline.imaging.resizing import Placement
from sightline.metrics.evaluator import EVALUATION_THRESHOLDS, make_evaluator

BATCH = 8
MOST_BYTES = 400_000_000  # of prepared pictures that are held in memory


def make_guide(
    manifest: ModelManifest,
    version: DatasetVersion,
    items: Sequence[Item],
    max_drop: float,
    is_late: Callable[[], bool],
) -> Guide:
    """A guide over as many labelled pictures as fit the bound of memory."""
    size_bytes = 4 * 3 * manifest.input.width * manifest.input.height
    used = list(items[: max(BATCH, MOST_BYTES // size_bytes)])
    groups = [used[first : first + BATCH] for first in range(0, len(used), BATCH)]
    batches: list[np.ndarray] = []
    placements: list[list[Placement]] = []
    for group in groups:
        batch, placed = prepare_batch([version.read_image(item) for item in group], manifest.input)
        batches.append(batch)
        placements.append(placed)
    categories = Categories(manifest.categories)

    def score(outputs: Iterable[tuple[int, Mapping[str, np.ndarray]]]) -> float:
        evaluator = make_evaluator(manifest.task, categories, version.manifest.unlabelled_pixels)
        threshold = EVALUATION_THRESHOLDS[manifest.task]
        for place, tensors in outputs:
            answers = decode_outputs(manifest.decode, tensors, placements[place], categories, threshold)
            for item, answer in zip(groups[place], answers, strict=True):
                evaluator.add(item.annotations, answer, item.width, item.height)
        return evaluator.compute().primary

    return Guide(batches=batches, score=score, max_drop=max_drop, is_late=is_late)
