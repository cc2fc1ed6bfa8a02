"""The Guide of a quantiser that looks at accuracy: calibration pictures, prepared once, and a score for their outputs.

With labels the score is the task's own metric, without them the share of FP32's answers that are kept, as at the gate. The
pictures that judge at the gate never guide.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np

from sightline.compiler.comparison import measure_tensors
from sightline.compiler.gate import RAW_ERROR_OF_DROP
from sightline.compiler.importing.packed_outputs import Part
from sightline.compiler.quantisers.quantiser import Guide
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import Unsupported
from sightline.core.manifests import TENSOR_TASKS, ModelManifest
from sightline.data.items import Item
from sightline.data.truth import KnownItems
from sightline.data.versions import DatasetVersion
from sightline.imaging.heads.decoding import decode_outputs
from sightline.imaging.preprocessing import prepare_batch
from sightline.imaging.resizing import Placement
from sightline.metrics.agreement import compare_predictions
from sightline.metrics.detection import DetectionEvaluator
from sightline.metrics.evaluator import EVALUATION_THRESHOLDS, make_evaluator

BATCH = 8
MOST_BYTES = 400_000_000  # of prepared pictures that are held in memory
SHIFTS = (-0.2, -0.1, 0.0, 0.1, 0.2)  # of the confidence threshold: on few pictures, too few objects lie near any single one
Answer = Sequence[Annotation]
Outputs = Mapping[str, np.ndarray]


class Prepared(msgspec.Struct, frozen=True):
    """Calibration pictures in batches: their items, inputs and where each picture lies in its input."""

    groups: list[list[Item]]
    batches: list[np.ndarray]
    placements: list[list[Placement]]


def prepare_items(manifest: ModelManifest, version: DatasetVersion, items: Sequence[Item]) -> Prepared:
    """As many pictures as fit the bound of memory."""
    size_bytes = 4 * 3 * manifest.input.width * manifest.input.height
    used = list(items[: max(BATCH, MOST_BYTES // size_bytes)])
    prepared = Prepared([used[first : first + BATCH] for first in range(0, len(used), BATCH)], [], [])
    for group in prepared.groups:
        batch, placed = prepare_batch([version.read_image(item) for item in group], manifest.input)
        prepared.batches.append(batch)
        prepared.placements.append(placed)
    return prepared


def make_guide(
    manifest: ModelManifest,
    version: DatasetVersion,
    items: Sequence[Item],
    max_drop: float,
    is_late: Callable[[], bool],
) -> Guide:
    """A guide by labels of people: its score is the task's metric, and of a detector its mean with the F1 of what is shown."""
    prepared = prepare_items(manifest, version, list(KnownItems(items)))
    categories, shown = Categories(manifest.categories), manifest.decode.confidence_threshold

    def score(outputs: Iterable[tuple[int, Outputs]]) -> float:
        evaluator = make_evaluator(manifest.task, categories, version.manifest.unlabelled_pixels, shown)
        for place, tensors in outputs:
            for item, answer in zip(prepared.groups[place], decode(manifest, prepared, place, tensors), strict=True):
                evaluator.add(item.annotations, answer, item.width, item.height)
        found = evaluator.compute().primary
        if not isinstance(evaluator, DetectionEvaluator):
            return found
        return (found + evaluator.shown.find_f1()) / 2  # the gate judges both

    return Guide(batches=prepared.batches, score=score, max_drop=max_drop, is_late=is_late)


def make_answer_guide(
    manifest: ModelManifest,
    version: DatasetVersion,
    items: Sequence[Item],
    max_drop: float,
    is_late: Callable[[], bool],
    infer: Callable[[np.ndarray], Outputs],
    parts: Sequence[Part] = (),
) -> Guide:
    """A guide without labels: its score is the share of answers kept.

    Args: infer: the network in FP32; parts: of outputs that pack several tensors.
    """
    prepared = prepare_items(manifest, version, items)
    expected = [infer(batch) for batch in prepared.batches]
    if manifest.task in TENSOR_TASKS:
        return Guide(prepared.batches, lambda outputs: score_tensors(expected, outputs, parts), max_drop, is_late)
    answers = [decode(manifest, prepared, place, tensors) for place, tensors in enumerate(expected)]

    def score(outputs: Iterable[tuple[int, Outputs]]) -> float:
        before: list[Answer] = []
        after: list[Answer] = []
        sizes: list[tuple[int, int]] = []
        for place, tensors in outputs:
            before += answers[place]
            after += decode(manifest, prepared, place, tensors)
            sizes += [(item.width, item.height) for item in prepared.groups[place]]
        return score_answers(manifest, before, after, sizes)

    return Guide(prepared.batches, score, max_drop, is_late)


def decode(manifest: ModelManifest, prepared: Prepared, place: int, tensors: Outputs) -> list[list[Annotation]]:
    """Answers of one batch, unsure ones too."""
    threshold = EVALUATION_THRESHOLDS[manifest.task]
    return decode_outputs(manifest.decode, tensors, prepared.placements[place], Categories(manifest.categories), threshold)


def score_answers(
    manifest: ModelManifest, before: Sequence[Answer], after: Sequence[Answer], sizes: Sequence[tuple[int, int]]
) -> float:
    """Share of answers kept; of objects at several confidence thresholds around the Model's, all counted together.

    Raises: Unsupported where neither side shows anything: then nothing guides.
    """
    own = manifest.decode.confidence_threshold
    has_objects = manifest.task in ("detection", "instance")
    same = total = 0
    for threshold in [min(max(own + shift, 0.1), 0.9) for shift in SHIFTS] if has_objects else [own]:
        agreement = compare_predictions(manifest.task, Categories(manifest.categories), before, after, sizes, threshold)
        same += sum(part for part, _ in agreement.parts)
        total += sum(shown for _, shown in agreement.parts)
    if not total:
        raise Unsupported(
            "the network shows nothing on the calibration pictures, so they cannot guide; calibrate on pictures that show "
            "what it finds"
        )
    return same / total


def score_tensors(expected: Sequence[Outputs], outputs: Iterable[tuple[int, Outputs]], parts: Sequence[Part] = ()) -> float:
    """1 less a tenth of the relative error, as the gate counts it: of whole outputs and of the parts of packed ones."""
    before: list[dict[str, np.ndarray]] = []  # of one picture each
    after: list[dict[str, np.ndarray]] = []
    for place, tensors in outputs:
        for index in range(len(next(iter(tensors.values())))):
            before.append({name: expected[place][name][index : index + 1] for name in tensors})
            after.append({name: value[index : index + 1] for name, value in tensors.items()})
    errors = measure_tensors(before, after, parts).sum_up(np.arange(len(before)))
    return 1 - float(errors.max()) / RAW_ERROR_OF_DROP
